"""Streams that nobody closed: at exit of the interpreter, when a server drains, and after a fork.

Daemon threads alone would lose what is under way at exit; other threads would hang it. So exit hooks ask all open
streams to close and wait a short while. They are registered with the first stream, not at import, and there are two:

- Before Python joins the threads that are no daemons and shuts down thread pools, which plugins may use. It leaves
  alone what is still fed by a thread that Python is going to wait for.
- After that, for what those threads have left open.

What is called here may interrupt its own thread anywhere, in a handler of a signal, so it takes no lock of a stream.
"""

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Protocol

from streamclient.threads.worker import Deadline

__all__ = ["close_all", "watch"]

log = logging.getLogger("streamclient.lifecycle")

FAREWELL = 2.0
"""Seconds for streams that were cut to tell their plugins."""


class OpenStream(Protocol):
    """What the exit hooks need of a stream."""

    @property
    def exit_budget(self) -> float:
        """Seconds its closing may take at exit."""

    @property
    def feeder(self) -> int:
        """The thread that was the last to send to it, or else opened it."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it is left to do."""

    @property
    def is_current(self) -> bool:
        """Whether one of its own threads asks."""

    @property
    def is_interrupted(self) -> bool:
        """Whether a handler of a signal asks that has interrupted a call into the stream, which must go on first."""

    def drain(self) -> None:
        """Ask the server to end it; takes no lock and does not wait."""

    def wait(self, deadline: Deadline) -> bool:
        """Wait for its end; whether it came."""

    def cut(self) -> None:
        """End it at once; takes no lock and does not wait."""

    def after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent."""


_streams: "weakref.WeakValueDictionary[int, OpenStream]" = weakref.WeakValueDictionary()
_registered = threading.Event()


def watch(stream: OpenStream) -> None:
    """Close this stream at exit, unless it has ended by then."""
    if not _registered.is_set():
        _registered.set()
        _register()
    _streams[id(stream)] = stream


def close_all(timeout: float | None = None) -> bool:
    """Close all open streams of this process and wait for them; for servers that drain before they stop.

    From then on `StreamClient.send` raises `InvalidState`; a ``with`` block that is left by an exception then does not
    abort its stream. In a hook this only asks, like `StreamClient.close`, and so it does for a stream into which the
    same thread is just calling, when it is called by a handler of a signal.

    Args:
        timeout: seconds for all of them together; ``None`` for the longest of their ``Timeouts.exit``.

    Returns:
        Whether all have ended. Those that had not in time were cut.
    """
    return _close(_open_streams(), timeout)


def _open_streams() -> list[OpenStream]:
    known = (reference() for reference in _streams.valuerefs())
    return [stream for stream in known if stream is not None and not stream.is_finished]


def _close(streams: list[OpenStream], timeout: float | None) -> bool:
    if timeout is None:
        timeout = max((stream.exit_budget for stream in streams), default=0.0)
    for stream in streams:
        stream.drain()
    if any(stream.is_current for stream in streams):
        return False
    awaited = [stream for stream in streams if not stream.is_interrupted]
    return _wait(awaited, Deadline(timeout)) and len(awaited) == len(streams)


def _wait(streams: Iterable[OpenStream], deadline: Deadline) -> bool:
    late = [stream for stream in streams if not stream.wait(deadline)]
    _cut(late)
    return not late


def _cut(streams: list[OpenStream]) -> None:
    for stream in streams:
        stream.cut()
    farewell = Deadline(FAREWELL)
    for stream in streams:
        stream.wait(farewell)


def _close_before_threads_are_joined() -> None:
    main = threading.main_thread()
    awaited = {thread.ident for thread in threading.enumerate() if thread is not main and not thread.daemon}
    _close_forgotten([stream for stream in _open_streams() if stream.feeder not in awaited])


def _close_after_threads_are_joined() -> None:
    _close_forgotten(_open_streams())


def _close_forgotten(streams: list[OpenStream]) -> None:
    if not streams:
        return
    try:
        log.warning("Closing %d stream(s) that were still open at exit: %s", len(streams), streams)
        in_time = _close(streams, None)
    except BaseException:  # Ctrl-C: nobody wants to wait, and the second hook must not begin again
        _cut(streams)
        raise
    if not in_time:
        log.warning("Not all streams could be closed in time; their last words may be missing")


def _after_fork() -> None:
    for reference in _streams.valuerefs():
        stream = reference()
        if stream is not None:
            stream.after_fork()
    _streams.clear()


def _register() -> None:
    atexit.register(_close_after_threads_are_joined)
    # The other is private to the standard library, so it may go away.
    if hasattr(threading, "_register_atexit"):
        try:
            import concurrent.futures.thread  # noqa: F401 - hooks run last in, first out: its hook must run after ours

            threading._register_atexit(_close_before_threads_are_joined)  # noqa: SLF001
        except RuntimeError:  # the interpreter is exiting already
            pass
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
