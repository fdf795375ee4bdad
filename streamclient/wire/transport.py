"""The wire: the only module that knows websocket-client.

`connect` builds one connection; a `Connection` is written by one thread and read by another. Every exception of
websocket-client and of the system leaves here as one of ours, without a key or token in it.
"""

import logging
import re
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import websocket
from websocket import ABNF

from streamclient.core.actions import FrameKind
from streamclient.core.endings import ABNORMAL, DEFECT, NETWORK
from streamclient.core.refusals import redirected, refused, request_id_of
from streamclient.errors import ConnectError, ConnectionLost, OptionsError, words_of
from streamclient.policies import TransportOptions
from streamclient.wire.dialing import Address, Attempt
from streamclient.wire.sockets import SoundSocket, TooMuchData

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "Connection", "connect"]

TEXT, BINARY, CLOSE, PING, PONG = (
    ABNF.OPCODE_TEXT,
    ABNF.OPCODE_BINARY,
    ABNF.OPCODE_CLOSE,
    ABNF.OPCODE_PING,
    ABNF.OPCODE_PONG,
)
OPCODES = {FrameKind.AUDIO: BINARY, FrameKind.TEXT: TEXT, FrameKind.PING: PING, FrameKind.PONG: PONG}

MOST_MESSAGE_BYTES = 16 * 1024 * 1024
"""A message of the service has a few kilobytes; a hostile one must not fill the memory."""

SECONDS_FOR_FAREWELL = 1.0

logging.getLogger("websocket").addFilter(
    lambda record: not re.search(r"(?i)authorization:|proxy-authorization:", record.getMessage())
)
"""websocket-client's trace prints the request with its key; such records are dropped."""


class Connection:
    """One websocket connection: `write` and `farewell` for one thread, `receive` for another, `hang_up` for all.

    Args:
        ws: websocket-client's object, connected over ``sound``.
        sound: the socket.
        write_timeout: seconds one write may make no progress.
    """

    def __init__(self, ws: websocket.WebSocket, sound: SoundSocket, write_timeout: float) -> None:
        headers: Mapping[str, str] = ws.getheaders() or {}
        self.request_id = request_id_of(headers)
        self._ws = ws
        self._sound = sound
        self._fragments: list[bytes] = []
        self._fragments_opcode = BINARY
        sound.deadline = None
        sound.write_timeout = write_timeout

    def write(self, frames: Iterable[tuple[FrameKind, bytes | str]]) -> None:
        """Write frames with one system call where the network takes them.

        Raises:
            ConnectionLost: the connection cannot be written to any more.
        """
        try:
            self._sound.send(b"".join([_encode(OPCODES[kind], payload) for kind, payload in frames]))
        except (OSError, websocket.WebSocketException) as error:
            raise _as_lost(error, self.request_id) from error

    def receive(self) -> tuple[int, bytes]:
        """Wait for the next message or control frame; its opcode and its payload.

        Raises:
            ConnectionLost: the connection broke, or the server broke the protocol.
        """
        if not self._fragments:
            self._sound.allowance = MOST_MESSAGE_BYTES
        try:
            while True:
                message = self._complete(self._ws.recv_frame())  # type: ignore[no-untyped-call]
                if message is not None:
                    return message
        except (OSError, websocket.WebSocketException) as error:
            raise _as_lost(error, self.request_id) from error

    def _complete(self, frame: ABNF) -> tuple[int, bytes] | None:
        """The message that this frame completes."""
        opcode, payload = frame.opcode, frame.data
        assert isinstance(payload, bytes)  # with text checking off it stays as it came
        if opcode >= CLOSE:
            return opcode, payload
        if (opcode == ABNF.OPCODE_CONT) != bool(self._fragments):
            raise websocket.WebSocketProtocolException("a fragment out of place")
        if frame.fin and not self._fragments:
            return opcode, payload
        if opcode != ABNF.OPCODE_CONT:
            self._fragments_opcode = opcode
        self._fragments.append(payload)
        if not frame.fin:
            return None
        payload = b"".join(self._fragments)
        self._fragments = []
        return self._fragments_opcode, payload

    def end_reading(self) -> None:
        """The reader's last call: a writer that waits for a server which has left need not wait long."""
        self._sound.reader_ended = True

    def hang_up(self) -> None:
        """Cut the connection; a thread that waits in `receive` or `write` comes back. From any thread."""
        self._sound.hang_up()

    def release(self, *, answer_close: bool) -> None:
        """Free the connection once its reader has ended; the server's close frame is answered first."""
        if answer_close:
            self._sound.write_timeout = SECONDS_FOR_FAREWELL
            with suppress(OSError):  # the server did not wait for the answer, and need not
                self._sound.send(_encode(CLOSE, struct.pack("!H", 1000)))
        self._sound.close()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection without a word on the wire."""
        self._sound.abandon()


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; 1005 stands for none."""
    if len(payload) < 2:
        return 1005, ""
    return struct.unpack("!H", payload[:2])[0], payload[2:].decode("utf-8", "replace")


def connect(
    address: Address,
    options: TransportOptions,
    timeout: float,
    write_timeout: float,
    cancelled: Callable[[], bool],
) -> Connection:
    """Connect: name look-up, TCP, proxy, TLS, websocket handshake.

    Args:
        address: where to.
        options: the way.
        timeout: seconds for all of it.
        write_timeout: seconds one later write may make no progress.
        cancelled: asked while waiting, whether to give up.

    Raises:
        ConnectError: or one of its kin.
    """
    attempt = Attempt(address, options, time.monotonic() + timeout, cancelled)
    try:
        sound = attempt.reach()
        try:
            attempt.step = f"doing the websocket handshake with {address.place}"
            return Connection(_shake_hands(address, sound), sound, write_timeout)
        except BaseException:
            sound.close()
            raise
    except OptionsError:
        raise
    except ConnectError as refusal:
        raise attempt.scrubbed(refusal) from None
    except OSError as error:
        raise attempt.scrubbed(attempt.explain(error, timeout)) from error.with_traceback(None)
    except websocket.WebSocketTimeoutException:
        raise attempt.explain(TimeoutError(), timeout) from None
    except (websocket.WebSocketException, ValueError) as error:
        # The library's text quotes the answer, which may quote the key; it is scrubbed in the message only.
        raise attempt.scrubbed(attempt.explain(error, timeout)) from None


def _shake_hands(address: Address, sound: SoundSocket) -> websocket.WebSocket:
    """The websocket handshake. Redirects are refused: they would carry the key to another host."""
    # Checking UTF-8 in Python makes receiving ten times slower; the text is decoded once, in C.
    ws = websocket.WebSocket(skip_utf8_validation=True)
    headers = [f"{name}: {content}" for name, content in address.headers]
    try:
        ws.connect(  # type: ignore[no-untyped-call]
            address.url, socket=sound, header=headers, redirect_limit=0, suppress_origin=True
        )
    except websocket.WebSocketBadStatusException as error:
        answer = (error.resp_headers or {}, error.resp_body)
        if error.status_code is None:
            raise websocket.WebSocketException("the answer has no status line") from None
        # The library's own text repeats the whole answer, which a hostile server fills as it likes.
        raise refused(address.place, error.status_code, *answer, time.time()) from None
    except websocket.WebSocketException:
        redirect = ws.handshake_response
        if redirect is None or not 300 <= redirect.status < 400:
            raise
        raise redirected(address.place, redirect.status, redirect.headers) from None
    return ws


def _encode(opcode: int, payload: bytes | str) -> bytes:
    return bytes(ABNF.create_frame(payload, opcode).format())


def _as_lost(error: Exception, request_id: str | None) -> ConnectionLost:
    """Whatever ends a connection that stood, as one of our errors."""
    facts: dict[str, Any] = {"code": ABNORMAL, "request_id": request_id}
    if isinstance(error, TooMuchData):
        facts |= {"retryable": False, "hint": DEFECT}
        return ConnectionLost("Connection lost: the server sent a message that is too large", **facts)
    if isinstance(error, websocket.WebSocketProtocolException | websocket.WebSocketPayloadException):
        return ConnectionLost(
            f"Connection lost: the server broke the websocket protocol ({error})", hint=DEFECT, **facts
        )
    if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
        return ConnectionLost("Connection lost: the network or the server takes no data", hint=NETWORK, **facts)
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return ConnectionLost("Connection lost: it ended without a close frame", hint=NETWORK, **facts)
    return ConnectionLost(f"Connection lost: {words_of(error)}", hint=NETWORK, **facts)
