"""Ports of this machine that a test can rely on."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

__all__ = ["reserved_port"]


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port on which nobody listens before the test does: the system gives it to no other process meanwhile."""
    with closing(socket.socket()) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that a server of the test may have it, too
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
