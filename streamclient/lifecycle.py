"""Streams that nobody closed: at exit of the interpreter, and after a fork.

Daemon threads alone would lose what is under way at exit; other threads would hang it. So an exit hook asks all open
streams to close and waits a short while. It is registered with the first stream, not at import.
"""

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Protocol

from streamclient.worker import Deadline

__all__ = ["close_all", "watch"]

log = logging.getLogger("streamclient.lifecycle")


class OpenStream(Protocol):
    """What the exit hook needs of a stream."""

    @property
    def exit_budget(self) -> float:
        """Seconds its closing may take at exit."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it is left to do."""

    def request_close(self) -> None:
        """Ask the server to end it; does not wait."""

    def wait(self, deadline: Deadline) -> bool:
        """Wait for its end; whether it came."""

    def abort(self) -> None:
        """Cut it; does not wait."""

    def after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent."""


_streams: "weakref.WeakSet[OpenStream]" = weakref.WeakSet()
_registered = threading.Event()


def watch(stream: OpenStream) -> None:
    """Close this stream at exit, unless it has ended by then."""
    if not _registered.is_set():
        _registered.set()
        _register()
    _streams.add(stream)


def close_all(timeout: float | None = None) -> bool:
    """Close all open streams of this process and wait for them; for servers that drain before they stop.

    Args:
        timeout: seconds for all of them together; ``None`` for each stream's ``Timeouts.exit``.

    Returns:
        Whether all ended in time. Those that did not were cut.
    """
    streams = [stream for stream in list(_streams) if not stream.is_finished]
    if timeout is None:
        timeout = max((stream.exit_budget for stream in streams), default=0.0)
    for stream in streams:
        stream.request_close()
    return _wait(streams, Deadline(timeout))


def _wait(streams: Iterable[OpenStream], deadline: Deadline) -> bool:
    late = [stream for stream in streams if not stream.wait(deadline)]
    for stream in late:
        stream.abort()
    farewell = Deadline(1.0)
    for stream in late:
        stream.wait(farewell)
    return not late


def _close_at_exit() -> None:
    forgotten = [stream for stream in list(_streams) if not stream.is_finished]
    if not forgotten:
        return
    log.warning("Closing %d stream(s) that were still open at exit: %s", len(forgotten), forgotten)
    if not close_all():
        log.warning("Not all streams could be closed in time; their last words may be missing")


def _after_fork() -> None:
    for stream in list(_streams):
        stream.after_fork()
    _streams.clear()


def _register() -> None:
    # This runs before threads are joined and before thread pools, which plugins may use, are shut down; ``atexit``
    # runs after. It is private to the standard library, so it may go away.
    import concurrent.futures.thread  # noqa: F401 - hooks run last in, first out: its hook must run after ours

    register = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(_close_at_exit)
    except RuntimeError:  # the interpreter is exiting already
        atexit.register(_close_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
