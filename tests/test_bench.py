"""The benchmark runs and answers every question; what it finds is for people to read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = (
    "CPU, audio at full speed, 20 ms chunks",
    "CPU, audio at full speed, 100 ms chunks",
    "CPU, live audio, 20 ms chunks",
    "CPU, live audio, 100 ms chunks",
    "CPU, a call: audio, 5 results a second",
    "the same, with log, jsonl and captions",
    "the same, recorded",
    "CPU, results through one plugin",
    "delay of a result",
    "CPU, import",
    "the same, and its client",
    "the same, and a first stream",
)


def bench(*arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "bench", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=150)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def printed() -> str:
    """A run that measures everything once, with very little of it."""
    return bench("--scale", "0.01", "--rounds", "1")


@pytest.mark.parametrize("line", LINES)
def test_prints_both_figures_and_their_ratio(printed: str, line: str) -> None:
    """Each line has what plain websocket-client costs, what streamclient costs, and the one through the other."""
    found = re.search(rf"^\s*{re.escape(line)}\s+\S+\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)$", printed, re.MULTILINE)
    assert found, printed
    plain, ours, ratio = map(float, found.groups())
    assert plain > 0
    assert ours > 0
    assert ratio == pytest.approx(ours / plain, rel=0.05, abs=0.011)


def test_compares_with_a_plain_loop_that_skips_the_text_check_too(printed: str) -> None:
    """Against one setting of websocket-client alone it would be too easy to look good, so both are shown."""
    assert printed.count("the same, plain without its text check") == 2


def test_says_what_was_measured_where(printed: str) -> None:
    """Figures mean something only with versions and the machine beside them."""
    assert re.match(r"streamclient \S+ next to websocket-client \S+, Python \S+, \S+, \d+ cores; medians of 1", printed)


def test_measures_only_what_is_asked_for() -> None:
    """While one works on one thing, the others need not run."""
    printed = bench("--scale", "0.01", "--rounds", "1", "--only", "full speed, 20 ms")
    assert [line for line in LINES if line in printed] == ["CPU, audio at full speed, 20 ms chunks"]
