"""What the tests of the command line share: an environment without keys, audio, and the command itself."""

import os
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamclient.cli import run

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory and a home of the test's own, and no settings in the environment."""
    for name in list(os.environ):
        if name.startswith(("STREAMCLIENT_", "DEEPGRAM_", "XDG_")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wav(tmp_path: Path) -> str:
    """Two seconds of silence, as ``talk.wav``."""
    return str(write_wav(tmp_path / "talk.wav", 2.0))


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command as a process; it does not outlive the test."""
    with ExitStack() as stack:

        def begin(*arguments: str, stdin: int = subprocess.PIPE, **variables: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-m", "streamclient", *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **variables},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def write_wav(path: Path, seconds: float) -> Path:
    """Write silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(int(seconds * 16000) * 2))
    return path


def invoke(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run a command line in this process; gives the exit code, standard output and standard error."""
    code = run(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
