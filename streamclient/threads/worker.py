"""Threads of ours: daemons whose end is an event they set, and the bell that wakes one of them."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from streamclient.errors import InvalidState

__all__ = ["Bell", "Deadline", "Worker", "is_held", "wait_for", "was_called_within"]

log = logging.getLogger("streamclient.worker")

SLICE = 1.0
"""Seconds a caller's wait lasts at most before a Ctrl-C is looked for, on systems where it does not end the wait."""


LAST_STEPS = 5.0
"""Seconds a thread that has said that it has ended may take to be gone, or one that is to be started to be there; they
elapse only on a very busy machine."""


class Bell:
    """One thread waits, any thread rings; a ring before the wait is not lost.

    Ringing takes no lock, so it is safe even in code that the garbage collector runs.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Let the waiting thread go on."""
        if self._silence.locked():
            with suppress(RuntimeError):  # another thread has rung in between
                self._silence.release()

    def wait(self, seconds: float | None) -> bool:
        """Wait for a ring, at most that long; whether there was one."""
        if seconds is None:
            return self._silence.acquire()
        return self._silence.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))


class Deadline:
    """One budget of seconds for several steps; ``None`` for no bound."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, not negative; ``None`` for no bound."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def sooner(self, seconds: float) -> "Deadline":
        """This deadline, or one in so many seconds if that is sooner."""
        left = self.left()
        return Deadline(seconds if left is None else min(left, seconds))


def wait_for(event: threading.Event, deadline: Deadline) -> bool:
    """Wait for an event so that Ctrl-C can interrupt it anywhere; whether it came."""
    while True:
        left = deadline.left()
        if event.wait(SLICE if left is None else min(left, SLICE)):
            return True
        if left is not None and left <= SLICE:
            return event.is_set()


def was_called_within(*modules: str) -> bool:
    """Whether the caller's caller was called, however indirectly, from one of these modules."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - documented, and the module that wraps it costs too much to import
    while frame is not None and frame.f_globals.get("__name__") not in modules:
        frame = frame.f_back
    return frame is not None


def is_held(lock: threading.Lock) -> bool:
    """Whether the thread that asks, in a handler of a signal, holds a lock: nobody else does so for long."""
    free = lock.acquire(timeout=SLICE)
    if free:
        lock.release()
    return not free


class Worker:
    """A daemon thread that runs a function once.

    Its end is the event `ended`: before Python 3.13 a Ctrl-C during ``join`` marks a living thread as dead.

    Args:
        name: of the thread.
        work: what it does.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.ended = threading.Event()
        self._name = name
        self._work = work
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread.

        Raises:
            InvalidState: no thread can be started (the interpreter is exiting, or the system has no more).
        """
        # Not made before: since Python 3.13 a thread that was made before a fork cannot be started after it.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self.ended.set()
            raise InvalidState(f"No thread can be started: {error}") from error

    @property
    def was_started(self) -> bool:
        """Whether it runs, or has run."""
        return self._thread is not None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread is not None and not self.ended.is_set()

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that asks."""
        return threading.current_thread() is self._thread

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the thread has ended; whether it has. Not to be called by a thread of ours."""
        if self._thread is None:
            return True
        if not wait_for(self.ended, deadline):
            return False
        if self._thread.ident is not None:
            self._thread.join(LAST_STEPS)
        return True

    def _run(self) -> None:
        try:
            self._work()
        except BaseException:
            log.exception("The thread %s failed; this is a bug of streamclient", self._name)
        finally:
            self.ended.set()
