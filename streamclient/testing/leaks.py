"""Nothing is left behind: the threads of streams that a test began and did not end."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

__all__ = ["no_stream_left", "no_thread_left"]

OURS = "streamclient-"
SERVING = ("streamclient-server",)
"""Threads of a server, which may live longer than a test."""

GRACE = 5.0
"""Seconds a thread that is about to end is given."""


@contextmanager
def no_stream_left(grace: float = GRACE) -> Iterator[None]:
    """Check that the block ends every stream of streamclient's that it begins.

    Args:
        grace: seconds that threads may take to end after the block.

    Raises:
        AssertionError: a thread of a stream lives on.
    """
    with no_thread_left(grace, but=SERVING):
        yield


@contextmanager
def no_thread_left(grace: float = GRACE, *, but: Collection[str] = ()) -> Iterator[None]:
    """Check that the block ends every thread of streamclient's that it begins, but those with names that begin so."""
    before = _threads(but)
    yield
    deadline = time.monotonic() + grace
    left = _threads(but) - before
    for thread in left:
        thread.join(max(deadline - time.monotonic(), 0.0))
    names = sorted(thread.name for thread in left if thread.is_alive())
    assert not names, f"a stream was left open; close it, or use it in a with statement. Its threads: {names}"


def _threads(but: Collection[str]) -> set[threading.Thread]:
    # One that is only about to start has no number yet, and cannot be waited for.
    ours = [thread for thread in threading.enumerate() if thread.ident and thread.name.startswith(OURS)]
    return {thread for thread in ours if not thread.name.startswith(tuple(but))}
