"""A server that says again what a cassette recorded.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
whoever calls             ``start()`` and ``stop()``
acceptor (one)            the listening socket (see ``streamclient.server.listener``)
handler (one each)        a connection and everything said on it (websockets has a reader beside it)
========================  ==========================================================================
"""

import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from math import inf
from types import TracebackType
from typing import cast

import attrs
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.sync.server import ServerConnection, serve

from streamclient.server import Limits
from streamclient.server.connections import Connection, Connections
from streamclient.server.listener import Listener, listen_with
from streamclient.testing.cassette import Cassette, RecordedConnection
from streamclient.testing.entries import Accepted, Audio, Closed, Control, Ended, Happening, Refused, Requested, Said
from streamclient.testing.listening import MOST_CONNECTIONS, listen_here
from streamclient.testing.mishaps import control_type
from streamclient.testing.peers import library_log

__all__ = ["ReplayServer"]

log = logging.getLogger("streamclient.testing")
PATIENCE = 5.0
NO_CODE = 1005


class ReplayServer:
    """Plays the server's part of a cassette: the first client meets the first recorded connection, and so on.

    A message is said when the client has sent as much audio as the recorded one had, and not before its time. After
    ``CloseStream`` nothing waits for audio any more. A connection that broke breaks again.

    Args:
        cassette: what to say.
        speed: how many times faster than it was; ``inf`` for as fast as the client sends.
        port: to listen on; 0 for any free one.
        repeats: whether the first connection comes again after the last; otherwise further clients are refused.

    Raises:
        ValueError: the speed is no positive number.
    """

    def __init__(self, cassette: Cassette, speed: float = inf, *, port: int = 0, repeats: bool = True) -> None:
        if not speed > 0:
            raise ValueError(f"the speed has to be more than 0, and is {speed}; inf is as fast as the client sends")
        self.port = port
        self._recorded = cassette.connections
        self._speed = speed
        self._repeats = repeats
        self._lock = threading.Lock()
        self._asked = 0
        self._open: dict[ServerConnection, RecordedConnection] = {}
        self._connections = Connections(Limits())
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """Base of the server's URLs."""
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; returns when clients can connect.

        Raises:
            ServerStartError: the port is taken or not allowed.
        """
        self._connections = Connections(Limits())
        sock = listen_here(self.port)
        self.port = sock.getsockname()[1]
        server = serve(
            self._handle,
            sock=sock,
            create_connection=cast("type[ServerConnection]", self._connections.create),
            process_request=self._process_request,
            process_response=self._process_response,
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
            server_header=None,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
            logger=library_log,
        )
        self._listener = listen_with(server, MOST_CONNECTIONS)
        self._listener.start()

    def stop(self) -> None:
        """Cut the connections that are left, and end every thread; in a fork, leave them to where they belong."""
        listener, self._listener = self._listener, None
        if listener is None or listener.is_inherited:
            return
        listener.close()
        self._connections.end(0.0)
        listener.join(PATIENCE)

    def __enter__(self) -> "ReplayServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        recorded = self._next()
        if recorded is None:
            return _response(Refused(410, {"dg-error": "The cassette has no further connection."}))
        if request.path.partition("?")[0] != recorded.request.path.partition("?")[0]:
            log.warning("the client asks for %s, the recorded one did for %s", request.path, recorded.request.path)
        for refused in recorded.of(Refused):
            return _response(refused)
        with self._lock:
            self._open[connection] = recorded
        return None

    def _process_response(self, connection: ServerConnection, _: Request, response: Response) -> None:
        for accepted in self._open[connection].of(Accepted) if connection in self._open else ():
            for name, value in accepted.headers.items():
                if name.startswith("dg-"):
                    response.headers[name] = value

    def _next(self) -> RecordedConnection | None:
        with self._lock:
            number = self._asked
            self._asked += 1
        if self._repeats and self._recorded:
            number %= len(self._recorded)
        return self._recorded[number] if number < len(self._recorded) else None

    def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        try:
            Player(connection, self._open[connection], self._speed).play()
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                del self._open[connection]


@attrs.frozen
class Cue:
    """Something the server did.

    Args:
        what: it did.
        at: seconds since the connection stood.
        audio: bytes the client had sent.
        closing: whether it had sent ``CloseStream``.
    """

    what: Happening
    at: float
    audio: int
    closing: bool


def cues(recorded: RecordedConnection) -> Iterator[Cue]:
    """The server's part of a connection."""
    began = next((entry.at for entry in recorded.entries if isinstance(entry.what, Accepted)), 0.0)
    audio, closing = 0, False
    for entry in recorded.entries:
        what = entry.what
        if isinstance(what, Audio):
            audio += len(what.data)
            closing = closing or not what.data  # the older way to ask
        elif isinstance(what, Control):
            closing = closing or control_type(what.text) == "CloseStream"
        elif not isinstance(what, Requested | Accepted | Refused):
            yield Cue(what, entry.at - began, audio, closing)


class Player:
    """Plays one connection, in the thread that calls `play`.

    Args:
        connection: with the client.
        recorded: what to say.
        speed: how many times faster than it was.
    """

    def __init__(self, connection: Connection, recorded: RecordedConnection, speed: float) -> None:
        self._connection = connection
        self._recorded = recorded
        self._speed = speed
        self._began = time.monotonic()
        self._audio = 0
        self._closing = False

    def play(self) -> None:
        """Play to the end.

        Raises:
            ConnectionClosed: the client has left.
        """
        for cue in cues(self._recorded):
            self._wait(cue)
            self._do(cue.what)
        self._connection.cut()

    def _wait(self, cue: Cue) -> None:
        due = self._began + max(cue.at, 0.0) / self._speed
        while True:
            left = due - time.monotonic() if self._has_heard(cue) else None
            if left is not None and left <= 0:
                return
            try:
                self._hear(self._connection.recv(left))
            except TimeoutError:
                return

    def _has_heard(self, cue: Cue) -> bool:
        return self._closing or (self._audio >= cue.audio and not cue.closing)

    def _hear(self, frame: bytes | str) -> None:
        if isinstance(frame, bytes):
            self._audio += len(frame)
        self._closing = self._closing or not frame or (isinstance(frame, str) and control_type(frame) == "CloseStream")

    def _do(self, what: Happening) -> None:
        if isinstance(what, Said):
            self._connection.send(what.text)
        elif isinstance(what, Closed) and what.by == "server":
            self._close(what)
        elif isinstance(what, Closed | Ended) and self._connection.protocol.state is OPEN:
            if isinstance(what, Closed):
                self._read_on()
            elif what.how == "Reset":
                self._connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._connection.socket.shutdown(socket.SHUT_RD)  # or the library's reader keeps it open
                self._connection.socket.close()

    def _close(self, closed: Closed) -> None:
        payload = b"" if closed.code == NO_CODE else struct.pack("!H", closed.code) + closed.reason.encode()
        with self._connection.protocol_mutex:
            self._connection.protocol.send_frame(Frame(Opcode.CLOSE, payload))
            self._connection.send_data()
        self._read_on()

    def _read_on(self) -> None:
        """Until the client has left, for it was the recorded one that did."""
        while True:
            self._hear(self._connection.recv())


def _response(refused: Refused) -> Response:
    body = refused.body.encode()
    headers = Headers({**refused.headers, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(refused.status, "Refused", headers, body)
