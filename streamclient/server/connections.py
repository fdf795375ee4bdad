"""The connections of a server: what it knows of each, how many there are, and how they are brought to an end."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection

from streamclient.server.connection import Backlog
from streamclient.server.handshake import limit_writes, new_request_id, refuse
from streamclient.server.query import ListenRequest, Refusal
from streamclient.server.settings import Limits

__all__ = ["Connection", "Connections"]


class Connection(ServerConnection):
    """A connection, with what this server knows of it before there is a stream.

    Attributes:
        request_id: names it, in every response.
        listen: what it asks for, once that has been accepted.
        backlog: what was received and not recognised yet.
        handler_thread: serves it.
    """

    def __init__(
        self, sock: socket.socket, protocol: ServerProtocol, *args: Any, limits: Limits, **kwargs: Any
    ) -> None:
        limit_writes(sock, limits.unread)
        self.request_id = new_request_id()
        self.listen: ListenRequest | None = None
        self.backlog = Backlog(limits.backlog)
        self.handler_thread = threading.current_thread()
        protocol.reject = self._reject  # type: ignore[method-assign] # it says no also before anybody is asked
        super().__init__(sock, protocol, *args, **kwargs)

    @property
    def end_code(self) -> int:
        """The code of the close frame that ended it; 1006 if none did."""
        frame = self.protocol.close_sent or self.protocol.close_rcvd
        return frame.code if frame else CloseCode.ABNORMAL_CLOSURE

    @property
    def is_alive(self) -> bool:
        """Whether a thread of it still runs."""
        return any(thread.is_alive() for thread in self.threads)

    @property
    def threads(self) -> tuple[threading.Thread, ...]:
        """The threads that end last; others of the connection end before them."""
        return self.handler_thread, self.recv_events_thread

    def leave(self) -> None:
        """Ask it to come to an end; a connection without a stream does so at once."""
        if self.state is State.CONNECTING:
            self.cut()
        else:
            self.backlog.leave()

    def _reject(self, status: int, text: str) -> Response:
        """What the library refuses by itself looks like every other refusal."""
        why = text.partition("\n")[0]
        return refuse(Refusal(status, HTTPStatus(status).phrase, why), self.request_id)

    def cut(self) -> None:
        """Hang up; wakes every thread that waits for the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Connections:
    """The connections of one server that may still have a thread.

    Args:
        limits: of each.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._all: set[Connection] = set()
        self._ending = False

    def create(self, *args: Any, **kwargs: Any) -> Connection:
        """Make a connection and remember it."""
        connection = Connection(*args, limits=self._limits, **kwargs)
        with self._lock:
            self._all = {known for known in self._all if known.is_alive} | {connection}
            if self._ending:  # accepted at the last moment
                connection.cut()
        return connection

    @property
    def streams(self) -> int:
        """How many have a stream."""
        with self._lock:
            return sum(connection.listen is not None and connection.is_alive for connection in self._all)

    def wait(self, budget: float) -> None:
        """Wait until all have ended by themselves, but not longer than ``budget`` seconds."""
        self._join(budget)

    def end(self, budget: float) -> None:
        """Ask all to go, and cut off who has not after ``budget`` seconds."""
        with self._lock:
            self._ending = True
            connections = list(self._all)
        for connection in connections:
            connection.leave()
        self._join(budget)
        for connection in connections:
            connection.cut()
        self._join(budget)

    def _join(self, budget: float) -> None:
        with self._lock:
            threads = [thread for connection in self._all for thread in connection.threads]
        _join(threads, budget)


def _join(threads: Iterable[threading.Thread], budget: float) -> None:
    deadline = time.monotonic() + budget
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
