"""The plugin ``command``: a program that runs for each utterance, with the text on its standard input."""

import atexit
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from attrs import define, field

from streamclient import LanePolicy, StreamView, Transcript, Utterance, hookimpl

__all__ = ["Command", "CommandFailed"]

LONGEST = 86400
"""Seconds that a program may take; the system cannot wait for ever and a deadline at once."""


class CommandFailed(RuntimeError):
    """The program could not be started, took too long, or ended with an exit status other than 0."""


@define(eq=False, kw_only=True)
class Command:
    """Run a program for each utterance, with the text on its standard input."""

    run: str | tuple[str, ...] = field(
        metadata={"help": "The program and its arguments, as in a shell, but no shell runs; or a list in TOML."}
    )
    when: Literal["utterance", "close"] = field(
        default="utterance", metadata={"help": "Once for each utterance, or once at the end with the whole text."}
    )
    timeout: float = field(default=10.0, metadata={"help": "Seconds after which it is killed, with its children."})
    _arguments: list[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._arguments = _split(self.run) if isinstance(self.run, str) else list(self.run)
        if not self._arguments:
            raise ValueError("run names no program")
        if shutil.which(self._arguments[0]) is None:
            raise ValueError(f"there is no program {self._arguments[0]!r}")
        if not 0 < self.timeout <= LONGEST:
            raise ValueError(f"timeout={self.timeout:g} is not allowed; allowed is a number above 0, up to {LONGEST}")

    @property
    def lane_policy(self) -> LanePolicy:
        """A program may take its time without a warning."""
        return LanePolicy(slow_after=self.timeout + 1.0)

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Run it with the utterance's text."""
        if self.when == "utterance":
            speaker = "" if utterance.speaker is None else utterance.speaker
            facts = {
                "INDEX": utterance.index,
                "START": f"{utterance.start:.3f}",
                "END": f"{utterance.end:.3f}",
                "CHANNEL": utterance.channel,
                "SPEAKER": speaker,
                "CONFIDENCE": f"{utterance.confidence:.3f}",
            }
            self._execute(stream, utterance.text, facts)

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Run it with the whole text, an utterance per line."""
        if self.when == "close":
            text = "\n".join(utterance.text for utterance in transcript.utterances)
            self._execute(stream, text, {"COMPLETE": "1" if transcript.complete else "0"})

    def _execute(self, stream: StreamView, text: str, facts: Mapping[str, object]) -> None:
        told = {"STREAM_ID": stream.id, **facts}
        program = Program(self._arguments, {f"STREAMCLIENT_{name}": str(value) for name, value in told.items()})
        program.run(text, self.timeout)


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ValueError(f"run={line!r} cannot be split into words: {error}") from error


class Program:
    """One run of a program. What it prints goes to standard error, since standard output is the transcript's.

    Args:
        arguments: its name and its arguments.
        environment: what it is told beside the text.
    """

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._name = arguments[0]
        try:
            with starting:
                self._process = subprocess.Popen(  # noqa: S603 - it is the user who names the program
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=_standard_error(),
                    env={**os.environ, **environment},
                    # A group of its own, so that all of it can be killed, and a Ctrl-C is not for it.
                    start_new_session=True,
                )
                running.add(self)
        except OSError as error:
            raise CommandFailed(f"{self._name} cannot be started: {error.strerror or error}") from error

    def run(self, text: str, timeout: float) -> None:
        """Give it the text and wait for its end.

        Raises:
            CommandFailed: it took too long and was killed, or ended with an exit status other than 0.
        """
        try:
            self._process.communicate(f"{text}\n".encode("utf-8", "backslashreplace"), timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise CommandFailed(f"{self._name} was killed after {timeout:g} s") from None
        except BaseException:
            self.kill()
            raise
        finally:
            running.discard(self)
        status = self._process.returncode
        if status < 0:
            raise CommandFailed(f"{self._name} was ended by signal {-status}")
        if status:
            raise CommandFailed(f"{self._name} ended with exit status {status}")

    def kill(self) -> None:
        """Kill it, with all it has started that did not leave its group."""
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()


running: set[Program] = set()
"""What runs now, to be killed when the interpreter exits."""

starting = threading.Lock()
"""Held while a program is started, so that one that runs is known to run; and for good once the interpreter exits."""


def _kill_all() -> None:
    starting.acquire()
    for program in list(running):
        program.kill()


def _begin_anew() -> None:
    """In a forked child: what runs is the parent's, and must not be killed by the child's exit."""
    global starting  # a thread that is not in the child may hold it
    starting = threading.Lock()
    running.clear()


def _standard_error() -> Any:
    """Where the program's output goes: standard error, unless somebody has put something without a number there."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


atexit.register(_kill_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
