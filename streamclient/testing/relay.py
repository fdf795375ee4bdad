"""A relay between a client and a server: it watches, and it breaks what it is told to break.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
whoever calls             ``start()`` and ``stop()``
acceptor (one)            the listening socket
connection (one each)     both sockets of the connection, and everything that happens on it
========================  ==========================================================================

All wait in a selector, with a socket pair that wakes them to stop.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType

from streamclient.testing.calls import PATIENCE, Call
from streamclient.testing.carrier import Carrier
from streamclient.testing.entries import Entry, Happening, Requested
from streamclient.testing.faults import Fault, Schedule

__all__ = ["Relay"]

Recorder = Callable[[Entry], None]


class Relay:
    """Stands between clients and a server on a port of its own, on this machine.

    ::

        with LocalServer() as server, Relay(server.url, [[Reset(after=audio_seconds(2))]]) as relay:
            transcript = transcribe("talk.wav", url=relay.url)
        assert len(relay.calls) == 2

    Args:
        upstream: base URL of the server, ``ws://`` or ``wss://``.
        schedule: the faults of the first connection, of the second, and so on; further ones meet none.
        recorders: called with everything that happens, by the thread of the connection.
        port: to listen on; 0 for any free one.

    Attributes:
        calls: the connections so far, in the order in which they were asked for.
        schedule: the faults that are still to come; may be added to at any time.
    """

    def __init__(
        self, upstream: str, schedule: Schedule = (), recorders: Iterable[Recorder] = (), *, port: int = 0
    ) -> None:
        self.upstream = upstream
        self.schedule: list[list[Fault]] = [list(faults) for faults in schedule]
        self.calls: list[Call] = []
        self.port = port
        self.failures: list[Exception] = []
        self._recorders = tuple(recorders)
        self._changed = threading.Condition()
        self._began: float | None = None
        self._accepted = 0
        self._carriers: list[Carrier] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._waker: socket.socket | None = None

    @property
    def url(self) -> str:
        """Base of the relay's URLs; only while it runs."""
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; returns when clients can connect."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        woken, self._waker = socket.socketpair()
        self._start_thread(self._accept, self._listener, woken)

    def stop(self) -> None:
        """Cut all connections and end all threads.

        Raises:
            Exception: what went wrong inside the relay, if anything did.
        """
        listener, self._listener = self._listener, None
        if listener is None or self._waker is None:
            return
        self._waker.close()
        deadline = time.monotonic() + PATIENCE
        self._threads[0].join(PATIENCE)  # no new connection from here on
        for carrier in self._carriers:
            carrier.cut()
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        if self.failures:
            raise self.failures[0]

    def wait_for_call(self, number: int = 0, timeout: float = PATIENCE) -> Call:
        """The connection of this number, counted from 0, as soon as a client has asked for it.

        Raises:
            AssertionError: nobody asked in time.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: len(self.calls) > number, timeout)
        assert in_time, f"connection {number} was not asked for within {timeout:g} s; there are {self.calls}"
        return self.calls[number]

    def wait_for_ends(self, timeout: float = PATIENCE) -> None:
        """Wait until every connection has ended.

        Raises:
            AssertionError: one still lives.
        """
        for call in list(self.calls):
            call.wait_for_end(timeout)

    def __enter__(self) -> "Relay":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket, woken: socket.socket) -> None:
        with listener, woken, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while woken not in [key.fileobj for key, _ in selector.select()]:
                with suppress(BlockingIOError, ConnectionError):  # gone already
                    sock, _ = listener.accept()
                    self._start_carrier(sock)

    def _start_carrier(self, sock: socket.socket) -> None:
        carrier = Carrier(sock, self.upstream, self._admit, self.failures.append)
        self._carriers.append(carrier)
        self._start_thread(carrier.run)

    def _admit(self, request: Requested) -> tuple[list[Fault], bool, Callable[[Happening], None]]:
        """A client asks: the faults it meets, whether its credential was seen before, and where to tell the rest."""
        call = Call(request)
        with self._changed:
            number = len(self.calls)
            stale = _credential(request) in [_credential(known) for known in self.calls]
            faults = self.schedule.pop(0) if self.schedule else []
            self.calls.append(call)
            self._changed.notify_all()
        record = self._recorder(call, number)
        record(request)
        return faults, stale, record

    def _recorder(self, call: Call, number: int) -> Callable[[Happening], None]:
        def record(what: Happening) -> None:
            with self._changed:
                now = time.monotonic()
                self._began = self._began or now
                entry = Entry(number, now - self._began, what)
                for recorder in self._recorders:
                    recorder(entry)
            call.add(what)

        return record

    def _start_thread(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="streamclient-relay", daemon=True)
        self._threads.append(thread)
        thread.start()


def _credential(request: Requested | Call) -> str | None:
    return request.headers.get("authorization") or request.headers.get("sec-websocket-protocol")
