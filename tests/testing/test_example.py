"""The test file of the manual runs as it is shown."""

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "flask-upload"


def test_the_view_of_the_manual_is_tested_as_shown(tmp_path: Path) -> None:
    """A Flask view that transcribes an upload, and its test, in a folder of their own."""
    shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "project", check=False, capture_output=True, text=True, timeout=150)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
