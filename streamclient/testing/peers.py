"""One end of a relayed connection: a non-blocking socket and the websocket protocol on it, without a thread."""

import logging
import socket
import ssl
import struct

from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from streamclient.testing.entries import Closed

__all__ = ["Arrived", "ClientSide", "Peer", "ServerSide", "library_log"]

library_log = logging.getLogger("streamclient.testing.websockets")
library_log.setLevel(logging.CRITICAL)  # it tells each connection twice, and the key to who logs at DEBUG

READ_BYTES = 65536
CONNECT_TIMEOUT = 10.0
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
BY_HOP = ("host", "upgrade", "connection", "content-length")
"""Headers that concern one connection, and are not handed on."""

NO_CODE = 1005

Arrived = Request | Response | bytes | str | Closed
"""What a peer hands on: a request, a response, a binary message, a text message, a close frame."""


class Peer:
    """One end.

    Args:
        sock: connected; belongs to the peer from now on.
        protocol: of our side of the connection.
        who: is on the other side, ``"client"`` or ``"server"``.

    Attributes:
        unsent: bytes that wait for the socket.
        ended: nothing more will come from the other side.
    """

    def __init__(self, sock: socket.socket, protocol: ServerProtocol | ClientProtocol, who: str) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.protocol = protocol
        self.who = who
        self.unsent = bytearray()
        self.ended = False
        self._finishes = False  # nothing is written after what is unsent
        self._parts: list[Frame] = []

    def read(self) -> list[Arrived]:
        """What has come since, as far as it is whole."""
        for data in self._received():
            self.protocol.receive_data(data)
        if self.ended:
            self.protocol.receive_eof()
        arrived = [one for event in self.protocol.events_received() if (one := self._arrived(event)) is not None]
        self.collect()
        return arrived

    def send(self, data: bytes | str, fragment: int | None = None) -> None:
        """Send a message, perhaps in several frames of so many bytes."""
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        payload = data.encode() if isinstance(data, str) else data
        size = fragment or max(len(payload), 1)
        pieces = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
        for index, piece in enumerate(pieces):
            self.send_frame(opcode if index == 0 else Opcode.CONT, piece, last=index == len(pieces) - 1)

    def send_frame(self, opcode: Opcode, payload: bytes = b"", *, last: bool = True) -> None:
        """Send one frame, unless a close frame was sent."""
        if self.protocol.state is OPEN:
            self.protocol.send_frame(Frame(opcode, payload, last))
            self.collect()

    def close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame with any code, allowed or not; ``None`` and 1005 for a frame without one."""
        code = NO_CODE if code is None else code
        self.send_frame(Opcode.CLOSE, b"" if code == NO_CODE else struct.pack("!H", code) + reason.encode())
        if self.protocol.state is OPEN:
            self.protocol.close_sent = Close(code, reason)
            self.protocol.state = State.CLOSING

    def write(self, most: int | None = None) -> None:
        """Write what the socket takes; with ``most`` one piece of so many bytes."""
        try:
            while self.unsent:
                del self.unsent[: self.sock.send(self.unsent[: most or READ_BYTES])]
                if most:
                    break
        except WOULD_BLOCK:
            return
        if self._finishes and not self.unsent:
            self._finishes = False
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def collect(self) -> None:
        """Take what the protocol wants written."""
        for data in self.protocol.data_to_send():
            self.unsent += data
            self._finishes = self._finishes or not data

    def _received(self) -> list[bytes]:
        chunks: list[bytes] = []
        try:
            while not self.ended:
                chunk = self.sock.recv(READ_BYTES)
                chunks.append(chunk)
                self.ended = not chunk
                if not isinstance(self.sock, ssl.SSLSocket):  # which may hold more than a selector knows of
                    break
        except WOULD_BLOCK:
            pass
        except OSError:
            self.ended = True
        return [chunk for chunk in chunks if chunk]

    def _arrived(self, event: object) -> Arrived | None:
        if isinstance(event, Request | Response):
            return event
        assert isinstance(event, Frame)
        if event.opcode is Opcode.CLOSE:
            received = self.protocol.close_rcvd
            assert received
            return Closed(self.who, received.code, received.reason)
        return self._message(event) if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) else None

    def _message(self, frame: Frame) -> bytes | str | None:
        self._parts.append(frame)
        if not frame.fin:
            return None
        parts, self._parts = self._parts, []
        payload = b"".join(part.data for part in parts)
        return payload.decode("utf-8", "replace") if parts[0].opcode is Opcode.TEXT else payload


class ClientSide(Peer):
    """The end a client is on.

    Args:
        sock: as accepted.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._subprotocol: str | None = None
        self.server_protocol = ServerProtocol(
            select_subprotocol=lambda *_: self._choice(), max_size=None, logger=library_log
        )
        super().__init__(sock, self.server_protocol, "client")

    def answer(self, request: Request, response: Response) -> None:
        """Answer the request as the server did."""
        if response.status_code == 101:
            self._subprotocol = response.headers.get("Sec-WebSocket-Protocol")
            ours = self.server_protocol.accept(request)
            for name, value in _headers(response):
                if name.startswith("dg-"):
                    ours.headers[name] = value
            response = ours
        self.server_protocol.send_response(response)
        self.collect()

    def _choice(self) -> Subprotocol | None:
        return Subprotocol(self._subprotocol) if self._subprotocol else None


class ServerSide(Peer):
    """The end the server is on; sends it the client's request.

    Args:
        base: URL of the server, without a path.
        request: of the client.

    Raises:
        OSError: nobody is there.
    """

    def __init__(self, base: str, request: Request) -> None:
        uri = parse_uri(base.rstrip("/") + request.path)
        sock = socket.create_connection((uri.host, uri.port), CONNECT_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if uri.secure:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=uri.host)
        protocol = ClientProtocol(uri, subprotocols=_offered(request) or None, max_size=None, logger=library_log)
        super().__init__(sock, protocol, "server")
        ours = protocol.connect()
        for name, value in _headers(request):
            if name not in BY_HOP and not name.startswith("sec-websocket-"):
                ours.headers[name] = value
        protocol.send_request(ours)
        self.collect()


def _headers(message: Request | Response) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in message.headers.raw_items()]


def _offered(request: Request) -> list[Subprotocol]:
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
    return [Subprotocol(name.strip()) for name in offered if name.strip()]
