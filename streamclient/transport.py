"""The wire: the only module that knows websocket-client.

`connect` builds one connection; a `Connection` is written by one thread and read by another. Every exception of
websocket-client and of the system leaves here as one of ours, without a key or token in it.
"""

import base64
import json
import logging
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import websocket
from attrs import field, frozen
from websocket import ABNF

from streamclient.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    OptionsError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
    StreamClientError,
)
from streamclient.policies import TransportOptions
from streamclient.protocol import Frame, FrameKind
from streamclient.sockets import Cancelled, SoundSocket, TooMuchData, wait_ready

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "Address", "Connection", "connect"]

TEXT, BINARY, CLOSE, PING, PONG = (
    ABNF.OPCODE_TEXT,
    ABNF.OPCODE_BINARY,
    ABNF.OPCODE_CLOSE,
    ABNF.OPCODE_PING,
    ABNF.OPCODE_PONG,
)
OPCODES = {FrameKind.AUDIO: BINARY, FrameKind.TEXT: TEXT, FrameKind.PING: PING, FrameKind.PONG: PONG}

MOST_HANDSHAKE_BYTES = 128 * 1024
MOST_MESSAGE_BYTES = 16 * 1024 * 1024
"""A message of the service has a few kilobytes; a hostile one must not fill the memory."""

SECONDS_FOR_FAREWELL = 1.0

REFUSALS: dict[int, type[ConnectError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    429: RateLimitedError,
}
RETRYABLE_STATUSES = frozenset({408, 429})

logging.getLogger("websocket").addFilter(
    lambda record: not re.search(r"(?i)authorization:|proxy-authorization:", record.getMessage())
)
"""websocket-client's trace prints the request with its key; such records are dropped."""


@frozen
class Address:
    """Where to connect to.

    Args:
        url: ``ws://`` or ``wss://`` URL with path and query.
        headers: HTTP headers of the handshake; never shown, since they hold the key.
        secrets: texts that must not appear in any error.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def parts(self) -> SplitResult:
        """The URL in its parts."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Name or number of the host."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, by the scheme where none is given."""
        return self.parts.port or (443 if self.is_secure else 80)

    @property
    def is_secure(self) -> bool:
        """Whether TLS is used."""
        return self.parts.scheme == "wss"

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"

    def scrub(self, text: str) -> str:
        """The text without any secret."""
        for secret in self.secrets:
            text = text.replace(secret, "***") if secret else text
        return text


class Connection:
    """One websocket connection: `write` and `farewell` for one thread, `receive` for another, `hang_up` for all.

    Args:
        ws: websocket-client's object, connected over ``sound``.
        sound: the socket.
        write_timeout: seconds one write may make no progress.
    """

    def __init__(self, ws: websocket.WebSocket, sound: SoundSocket, write_timeout: float) -> None:
        headers: Mapping[str, str] = ws.getheaders() or {}
        self.request_id = _request_id(headers)
        self._ws = ws
        self._sound = sound
        self._fragments: list[bytes] = []
        self._fragments_opcode = BINARY
        sound.deadline = None
        sound.write_timeout = write_timeout

    def write(self, frames: Iterable[Frame]) -> None:
        """Write frames with one system call where the network takes them.

        Raises:
            ConnectionLost: the connection cannot be written to any more.
        """
        try:
            self._sound.send(b"".join(_encode(OPCODES[frame.kind], frame.payload) for frame in frames))
        except OSError as error:
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
    attempt = _Attempt(address, options, time.monotonic() + timeout, cancelled)
    try:
        sound = attempt.reach()
        try:
            ws = attempt.shake_hands(sound)
        except BaseException:
            sound.close()
            raise
        return Connection(ws, sound, write_timeout)
    except StreamClientError:
        raise
    except (OSError, websocket.WebSocketException, ValueError) as error:
        raise attempt.translate(error, timeout) from error.with_traceback(None)


class _Attempt:
    """One attempt to connect, by one thread."""

    def __init__(
        self, address: Address, options: TransportOptions, deadline: float, cancelled: Callable[[], bool]
    ) -> None:
        self.address = address
        self.options = options
        self.deadline = deadline
        self.cancelled = cancelled
        self.step = "looking up the name"

    def reach(self) -> SoundSocket:
        """A socket to the server, through the proxy where there is one, with TLS where it is wanted."""
        proxy = proxy_for(self.address, self.options)
        if proxy is None:
            raw = self._dial(self.address.host, self.address.port)
        else:
            raw = self._dial(proxy.hostname or "", proxy.port or 3128)
        try:
            if proxy is not None:
                self._tunnel(raw, proxy)
            return self._secure(raw)
        except BaseException:
            raw.close()
            raise

    def _dial(self, host: str, port: int) -> socket.socket:
        """Try each address of the host; each gets its share of the time that is left."""
        self.step = f"looking up {host}"
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.step = f"connecting to {host}:{port}"
        failure: OSError = OSError("the name has no address")
        for tried, (family, kind, protocol, _, where) in enumerate(found):
            share = (self.deadline - time.monotonic()) / (len(found) - tried)
            raw = socket.socket(family, kind, protocol)
            try:
                self._connect(raw, where, time.monotonic() + share)
            except OSError as error:
                raw.close()
                failure = error
                if isinstance(error, Cancelled):
                    break
            else:
                return raw
        raise failure

    def _connect(self, raw: socket.socket, where: Any, deadline: float) -> None:
        raw.setblocking(False)
        try:
            raw.connect(where)
        except BlockingIOError:
            while not wait_ready(raw, True, 0.1):
                if self.cancelled():
                    raise Cancelled("the connection attempt was given up") from None
                if time.monotonic() >= deadline:
                    raise TimeoutError("timed out") from None
            problem = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                raise OSError(problem, os.strerror(problem)) from None
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _tunnel(self, raw: socket.socket, proxy: SplitResult) -> None:
        """Ask an HTTP proxy for a tunnel (RFC 9110, CONNECT)."""
        self.step = f"asking the proxy {proxy.hostname}:{proxy.port or 3128} for a tunnel"
        place = self.address.place
        request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
        if proxy.username is not None:
            login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            request += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
        sound = self._sound(raw)
        sound.send(f"{request}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = sound.recv(1)
            if not byte:
                raise ConnectError("The proxy ended the connection", retryable=True)
            answer += byte
        status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
        if not status or status[1] != b"200":
            line = answer.splitlines()[0].decode("latin-1")
            hint = "Check the proxy's address and its login." if b"407" in answer[:16] else None
            raise ConnectError(f"The proxy refused the tunnel to {place}: {line}", hint=hint)

    def _sound(self, raw: socket.socket) -> SoundSocket:
        sound = SoundSocket(raw, self.cancelled)
        sound.deadline = self.deadline
        sound.allowance = MOST_HANDSHAKE_BYTES
        return sound

    def _secure(self, raw: socket.socket) -> SoundSocket:
        if not self.address.is_secure:
            return self._sound(raw)
        self.step = f"agreeing on TLS with {self.address.place}"
        context = self.options.ssl_context or _tls_context(self.options.ca_file)
        tls = context.wrap_socket(raw, server_hostname=self.address.host, do_handshake_on_connect=False)
        sound = self._sound(tls)
        try:
            sound.handshake()
        except BaseException:
            tls.close()
            raise
        return sound

    def shake_hands(self, sound: SoundSocket) -> websocket.WebSocket:
        """The websocket handshake. Redirects are refused: they would carry the key to another host."""
        self.step = f"the websocket handshake with {self.address.place}"
        # Checking UTF-8 in Python makes receiving ten times slower; the text is decoded once, in C.
        ws = websocket.WebSocket(skip_utf8_validation=True)
        headers = [f"{name}: {content}" for name, content in self.address.headers]
        try:
            ws.connect(  # type: ignore[no-untyped-call]
                self.address.url, socket=sound, header=headers, redirect_limit=0, suppress_origin=True
            )
        except websocket.WebSocketBadStatusException as error:
            # Its text repeats the whole answer, which a hostile server fills as it likes.
            raise self._bad_status(error.status_code, error.resp_headers or {}, error.resp_body) from None
        except websocket.WebSocketException:
            answer = ws.handshake_response
            if answer is None or not 300 <= answer.status < 400:
                raise
            raise self._redirected(answer.status, str(answer.headers.get("location"))) from None
        return ws

    def _redirected(self, status: int, location: str) -> ConnectError:
        return ConnectError(
            f"{self.address.place} redirects to {self.address.scrub(location)}",
            status=status,
            hint="Redirects are not followed, because they would carry the key along; give the right url.",
        )

    def _bad_status(self, status: int, headers: Mapping[str, str], body: Any) -> ConnectError:
        code, detail, request_id = _refusal_words(headers, body)
        kind = REFUSALS.get(status, ServiceUnavailableError if status >= 500 else ConnectError)
        return kind(
            f"{self.address.place} refused the stream with HTTP {status}" + (f" {code}" if code else ""),
            status=status,
            detail=self.address.scrub(detail) if detail else None,
            request_id=request_id or _request_id(headers),
            retry_after=_retry_after(headers.get("retry-after")),
            retryable=status in RETRYABLE_STATUSES or status >= 500,
        )

    def translate(self, error: Exception, timeout: float) -> ConnectError:
        """What went wrong at this step, as one of our errors."""
        if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
            return ConnectTimeout(f"Timed out after {timeout:g} s while {self.step}")
        if isinstance(error, Cancelled):
            return ConnectError("The connection attempt was given up")
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._untrusted(error)
        hints = {
            socket.gaierror: "Check the host in url, and the network.",
            ConnectionRefusedError: "Nothing listens there: check host and port of url.",
            ssl.SSLError: "Is this a TLS server? A plain one has a ws:// url.",
        }
        hint = next((hint for kind, hint in hints.items() if isinstance(error, kind)), None)
        words = self.address.scrub(_words_of(error))
        retryable = not isinstance(error, ValueError | ssl.SSLError)
        return ConnectError(f"Failed while {self.step}: {words}", hint=hint, retryable=retryable)

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> ConnectError:
        trusted = self.options.ca_file or ssl.get_default_verify_paths().cafile or "the system's authorities"
        return ConnectError(
            f"The certificate of {self.address.place} is not trusted: {error.verify_message}",
            hint=f"Trusted is what {trusted} holds; name another file with TransportOptions(ca_file=...) "
            "or in SSL_CERT_FILE.",
        )


@lru_cache(maxsize=16)
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """One context for all connections: reading the authorities takes ten times as long as a handshake."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise OptionsError(f"TransportOptions.ca_file={ca_file!r} cannot be used: {_words_of(error)}") from error


def proxy_for(address: Address, options: TransportOptions) -> SplitResult | None:
    """The proxy to use: the one that was named, else the environment's; none for this machine itself."""
    chosen = options.proxy
    if chosen is None:
        from urllib.request import getproxies, proxy_bypass  # costs too much to import for those who need none

        if address.host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(address.host):
            return None
        proxies = getproxies()
        chosen = proxies.get("https" if address.is_secure else "http") or proxies.get("all")
    if not chosen:
        return None
    proxy = urlsplit(chosen if "://" in chosen else f"http://{chosen}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise OptionsError(
            f"The proxy {proxy.scheme}://{proxy.hostname} cannot be used; allowed is http://host:port",
            hint="Name another one with TransportOptions(proxy=...), or none with proxy=''.",
        )
    return proxy


def _encode(opcode: int, payload: bytes | str) -> bytes:
    return bytes(ABNF.create_frame(payload, opcode).format())


def _request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("dg-request-id") or headers.get("x-dg-request-id")


def _refusal_words(headers: Mapping[str, str], body: Any) -> tuple[str | None, str | None, str | None]:
    """The service's code, its words and the request id; bodies come in several shapes."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        return None, headers.get("dg-error") or text[:500] or None, None

    def first(*names: str) -> str | None:
        return next((facts[name] for name in names if isinstance(facts.get(name), str)), None)

    words = first("err_msg", "message", "description") or headers.get("dg-error")
    return first("err_code", "error_code", "code", "category"), words, first("request_id")


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait; the header holds seconds or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _as_lost(error: Exception, request_id: str | None) -> ConnectionLost:
    """Whatever ends a connection that stood, as one of our errors."""
    facts: dict[str, Any] = {"code": 1006, "request_id": request_id}
    if isinstance(error, TooMuchData):
        return ConnectionLost("Connection lost: the server sent a message that is too large", retryable=False, **facts)
    if isinstance(error, websocket.WebSocketProtocolException | websocket.WebSocketPayloadException):
        return ConnectionLost(f"Connection lost: the server broke the websocket protocol ({error})", **facts)
    if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
        return ConnectionLost("Connection lost: the network or the server takes no data", **facts)
    return ConnectionLost(f"Connection lost: {_words_of(error)}", **facts)


def _words_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
