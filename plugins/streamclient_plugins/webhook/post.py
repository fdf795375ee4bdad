"""Posts letters over HTTP: one connection, kept open; the whole of a post within one budget of time.

This uses `http.client` itself, because what stands above it writes whole URLs into its log, and those of receivers are
often secret. For the same reason no error here shows more of a URL than its host.
"""

import hashlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, urlsplit

from attrs import field, frozen

from streamclient import __version__
from streamclient_plugins.webhook.addresses import is_public
from streamclient_plugins.webhook.outbox import Letter
from streamclient_plugins.webhook.rules import Answer, read_retry_after
from streamclient_plugins.webhook.signing import Signer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Poster", "Target"]

BODY_LIMIT = 65536
"""Bytes of an answer that are read; a longer one costs a new connection for the next post."""


class _Refused(Exception):
    """We did not connect, for a reason that can be said."""


@frozen
class Target:
    """Where to post, and how.

    Args:
        url: ``http`` or ``https``; it is a secret.
        signer: signs each post.
        ca_file: certificate authorities to trust instead of the system's.
        allow_private: also post to addresses that are not of the public internet.
        timeout: seconds for a whole post.
        name: what it is called where the URL must not be seen; by default its host and a digest of it all.

    Raises:
        ValueError: the URL cannot be one, or the certificate authorities cannot be read.
    """

    url: str = field(repr=False)
    signer: Signer = field(factory=lambda: Signer(()))
    ca_file: str | None = None
    allow_private: bool = True
    timeout: float = 15.0
    name: str = ""
    parts: SplitResult = field(init=False, repr=False)
    tls: ssl.SSLContext | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        parts = _split(self.url)
        tls = _trusting(self.ca_file) if parts.scheme == "https" else None
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        for name, value in (
            ("parts", parts),
            ("tls", tls),
            ("name", self.name or f"{parts.scheme}://{parts.netloc}#{digest}"),
        ):
            object.__setattr__(self, name, value)

    @property
    def host(self) -> str:
        """The name or address of the receiver."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        return self.parts.port or self.default_port

    @property
    def default_port(self) -> int:
        """The port of the scheme."""
        return http.client.HTTPS_PORT if self.tls else http.client.HTTP_PORT

    @property
    def path(self) -> str:
        """What is asked of the receiver."""
        return (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # as SSLError is
        raise ValueError(f"ca_file={ca_file!r} cannot be used: {error.strerror or error}") from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("url must be http://host/path or https://host/path")
    if parts.username is not None:
        raise ValueError("url must not hold a user or a password; posts are signed with the option secret")
    return parts


class Poster:
    """Posts to one target. Used by one thread; `cut` may be called by any.

    Args:
        target: where to.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection = _Connection(target)

    def post(self, letter: Letter, now: float) -> Answer:
        """Post a letter and wait for the answer.

        Args:
            letter: what to post.
            now: the time for the signature.

        Returns:
            What came of it; an answer that did not come whole and in time is none.
        """
        signed = self._target.signer.headers(letter.id, int(now), letter.body)
        headers = {"Content-Type": "application/json", "User-Agent": f"streamclient/{__version__}", **signed}
        try:
            return self._exchange(letter.body, headers, now)
        except (OSError, http.client.HTTPException, ValueError, _Refused) as error:
            self._connection.close()
            return Answer(error=self._describe(error))

    def cut(self) -> None:
        """End a post that is under way, with a failure."""
        self._connection.cut()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exchange(self, body: bytes, headers: dict[str, str], now: float) -> Answer:
        connection = self._connection
        connection.begin()
        connection.request("POST", self._target.path, body, headers)
        response = connection.getresponse()
        retry_after = read_retry_after(response.headers.get("Retry-After"), now)
        content = response.read(BODY_LIMIT)
        if response.length and len(content) < BODY_LIMIT:
            raise http.client.IncompleteRead(content, response.length)
        if not response.isclosed():
            connection.close()
        return Answer(response.status, retry_after=retry_after)

    def _describe(self, error: Exception) -> str:
        target = self._target
        if isinstance(error, _Refused):
            return str(error)
        if isinstance(error, TimeoutError):
            return f"no whole answer of {target.host} within {target.timeout:g} s"
        if isinstance(error, socket.gaierror):
            return f"the address of {target.host} cannot be found: {error.strerror}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate of {target.host} is not accepted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"no TLS with {target.host}: {error.reason}"
        if isinstance(error, http.client.RemoteDisconnected):
            return f"{target.host} closed the connection without an answer"
        if isinstance(error, OSError):
            return f"no connection with {target.host}: {error.strerror or type(error).__name__}"
        return f"no whole answer of {target.host}: {type(error).__name__}"


class _Connection(http.client.HTTPConnection):
    """A connection whose every step ends when the time for the post is over."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port)
        self.default_port = target.default_port
        self._target = target
        self._deadline = 0.0
        self._is_cut = False
        self._wire: socket.socket | None = None

    def begin(self) -> None:
        """Start the time for a post; drop a connection that the receiver has left meanwhile."""
        self._deadline = time.monotonic() + self._target.timeout
        if self.sock is not None and self._wire is not None and _is_readable(self._wire):
            self.close()

    def left(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: none.
        """
        left = self._deadline - time.monotonic()
        if left <= 0 or self._is_cut:
            raise TimeoutError
        return left

    def connect(self) -> None:
        """Connect, with TLS where the URL asks for it."""
        wire = self._dial()
        try:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._target.tls:
                wire.settimeout(self.left())
                wire = self._wire = self._target.tls.wrap_socket(wire, server_hostname=self._target.host)
        except BaseException:
            wire.close()
            raise
        self.sock = _TimedSocket(wire, self.left)

    def cut(self) -> None:
        """Wake the thread that waits for this connection, which then finds it broken; it is of no use any more."""
        self._is_cut = True
        wire = self._wire
        if wire is not None:
            with suppress(OSError):  # not connected any more
                # Not the method of a TLS socket, whose state belongs to the other thread.
                socket.socket.shutdown(wire, socket.SHUT_RDWR)

    def _dial(self) -> socket.socket:
        """Connect to an address that was looked at, so that the name cannot mean another one a moment later."""
        target = self._target
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        allowed = [one for one in found if target.allow_private or is_public(str(one[4][0]))]
        if not allowed:
            raise _Refused(f"{target.host} has no public address, and allow_private is false")
        *others, last = allowed
        for tried, (family, _, _, _, address) in enumerate(others):
            with suppress(OSError):
                # One where nobody answers leaves the next ones their time.
                return self._connect(family, address, self.left() / (len(allowed) - tried))
        return self._connect(last[0], last[4], self.left())

    def _connect(self, family: int, address: Any, seconds: float) -> socket.socket:
        wire = self._wire = socket.socket(family, socket.SOCK_STREAM)
        try:
            wire.settimeout(seconds)
            wire.connect(address)
        except BaseException:
            wire.close()
            raise
        return wire


def _is_readable(wire: socket.socket) -> bool:
    """Whether something came unasked: an end, or what can only be nonsense."""
    wire.settimeout(0)
    try:
        wire.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True


class _TimedSocket:
    """What `http.client` uses of a socket, each step with the time that is left."""

    def __init__(self, wire: socket.socket, left: Callable[[], float]) -> None:
        self._wire = wire
        self._left = left

    def sendall(self, data: bytes) -> None:
        self._wire.settimeout(self._left())
        self._wire.sendall(data)

    def makefile(self, mode: Literal["rb"]) -> io.BufferedReader:
        return _WholeLines(_TimedReader(self._wire.makefile(mode, buffering=0), self._wire, self._left))

    def close(self) -> None:
        self._wire.close()


class _WholeLines(io.BufferedReader):
    """Reads an answer. `http.client` takes a head that ends in its middle for a whole one; this does not."""

    _has_begun = False

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if self._has_begun and not line.endswith(b"\n") and len(line) != size:
            raise http.client.IncompleteRead(line)
        self._has_begun = True
        return line


class _TimedReader(io.RawIOBase):
    """Reads a socket. The socket stays open until this is closed too, as with any file made of one."""

    def __init__(self, file: socket.SocketIO, wire: socket.socket, left: Callable[[], float]) -> None:
        self._file = file
        self._wire = wire
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        self._wire.settimeout(self._left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
