"""Python programs in processes of their own: what users write, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.service import SOON

ROOT = Path(__file__).parents[2]

IMPORTS = """
import os, signal, sys, threading, time
from streamclient import *
import streamclient.sources  # an import that Ctrl-C interrupts would leave an open file, with a warning of Python's

# Where the tests run in the background, the shell may have told its children to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
url = sys.argv[1]
options = ListenOptions(encoding="linear16", sample_rate=16000)
patient = Timeouts(connect=30, exit=30)  # a busy machine is slow at both

def say(*what):
    os.write(1, (" ".join(map(str, what)) + "\\n").encode())  # whole lines, from any thread

class Plugin:
    @hookimpl
    def on_final(self, result):
        say("final", result.transcript)
    @hookimpl
    def on_close(self, transcript):
        say("closed", transcript.complete)
"""

OPEN = """
client = StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient)
client.open()
client.send(bytes(32000))
"""
"""A second of audio is accepted, and nobody has closed yet."""

WHOLE = ["final hello", "closed True"]
"""What `OPEN`'s plugin prints of a stream that ended well and that an obedient service answered with ``hello``."""


class Ended(NamedTuple):
    """How a program ended; a negative code is a signal."""

    code: int
    out: list[str]
    err: str


class Program:
    """A program that runs.

    Args:
        parts: its text.
        url: the service's.
    """

    def __init__(self, *parts: str, url: str) -> None:
        # No warning of Python may reach the user, but for the one against forking a process that has threads.
        quiet = ["-W", "default", "-W", "ignore:This process:DeprecationWarning"]
        self._process = subprocess.Popen(
            [sys.executable, *quiet, "-c", "\n".join(parts), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        )

    def wait_for_line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def write_line(self) -> None:
        """Let a program go on that waits for a line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """What a supervisor does."""
        self._process.terminate()

    def end(self, patience: float = SOON * 2) -> Ended:
        """Wait for its end."""
        try:
            out, err = self._process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
            raise AssertionError(f"the program hangs; it printed\n{out}\n{err}") from None
        return Ended(self._process.returncode, out.splitlines(), err)


def run(*parts: str, url: str, patience: float = SOON * 2) -> Ended:
    """Run a program from beginning to end."""
    return Program(*parts, url=url).end(patience)
