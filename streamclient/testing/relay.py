"""A relay between a client and a server: it watches, and it breaks what it is told to break.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
whoever calls             ``start()`` and ``stop()``
acceptor (one)            the listening socket
handler (one each)        both sockets of a connection, and everything that happens on it
========================  ==========================================================================

All wait in a selector, with a socket pair that wakes them to stop.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from streamclient.server.listener import Listener
from streamclient.testing.calls import PATIENCE, Call
from streamclient.testing.carrier import Carrier
from streamclient.testing.entries import Audio, Control, Entry, Happening, Requested, Said
from streamclient.testing.faults import Fault, Schedule
from streamclient.testing.listening import MOST_CONNECTIONS, listen_here

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
        remembers: whether calls keep what was sent and said; a relay that runs for days had better not.

    Attributes:
        calls: the connections so far, in the order in which they were asked for.
        schedule: the faults that are still to come; may be added to at any time.
    """

    def __init__(
        self,
        upstream: str,
        schedule: Schedule = (),
        recorders: Iterable[Recorder] = (),
        *,
        port: int = 0,
        remembers: bool = True,
    ) -> None:
        self.upstream = upstream
        self.schedule: list[list[Fault]] = [list(faults) for faults in schedule]
        self.calls: list[Call] = []
        self.port = port
        self.failures: list[Exception] = []
        self._recorders = tuple(recorders)
        self._remembers = remembers
        self._changed = threading.Condition()
        self._began: float | None = None
        self._carriers: set[Carrier] = set()
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """Base of the relay's URLs; only while it runs."""
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; returns when clients can connect.

        Raises:
            ServerStartError: the port is taken or not allowed.
        """
        sock = listen_here(self.port)
        self.port = sock.getsockname()[1]
        self._listener = Listener(sock, self._carry, MOST_CONNECTIONS)
        self._listener.start()

    def stop(self) -> None:
        """Cut all connections, and wait for their ends; in a fork, leave them to the process they belong to.

        Raises:
            Exception: what went wrong inside the relay, if anything did.
        """
        listener, self._listener = self._listener, None
        if listener is None or listener.is_inherited:
            return
        listener.close()
        with self._changed:
            for carrier in self._carriers:
                carrier.cut()
            self._changed.wait_for(lambda: not self._carriers, PATIENCE)
        listener.join(PATIENCE)
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

    def _carry(self, sock: socket.socket, _: object) -> None:
        carrier = Carrier(sock, self.upstream, self._admit, self.failures.append)
        with self._changed:
            self._carriers.add(carrier)
            if self._listener is None:  # accepted at the last moment
                carrier.cut()
        carrier.run()
        with self._changed:
            self._carriers.remove(carrier)
            self._changed.notify_all()

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
            if self._remembers or not isinstance(what, Audio | Control | Said):
                call.add(what)

        return record


def _credential(request: Requested | Call) -> str | None:
    return request.headers.get("authorization") or request.headers.get("sec-websocket-protocol")
