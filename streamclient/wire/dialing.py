"""The way to the server: name look-up, TCP, proxy, TLS; one attempt, within one deadline."""

import base64
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from streamclient.core.refusals import MOST_WORDS, NO_WEBSOCKET, tunnel_refused
from streamclient.errors import ConnectError, ConnectTimeout, OptionsError, words_of
from streamclient.policies import TransportOptions
from streamclient.wire.sockets import Cancelled, SoundSocket, wait_ready

__all__ = ["PROXY_PORT", "Address", "Attempt", "look_up", "proxy_for", "trusted"]

MOST_HANDSHAKE_BYTES = 128 * 1024
PROXY_PORT = 3128
FORK_WAITS = 0.2
"""Seconds for name look-ups that are under way to end."""

MOST_UNSENT_BYTES = 256 * 1024
"""What the system may hold back. By itself it takes megabytes, and is ready for more only when a third of them is gone:
on a slow line that takes longer than a write may make no progress."""

ABOUT_PROXY = (
    "The proxy is from TransportOptions(proxy=...) or from the environment (HTTPS_PROXY, HTTP_PROXY); "
    "proxy='' goes without."
)

ADVICE: tuple[tuple[type[Exception], str, bool], ...] = (
    (
        ssl.SSLEOFError,
        "The server, or something before it, hung up: try again in a moment; a plain server has a ws:// url.",
        True,
    ),
    (ssl.SSLError, "Is this a TLS server? A plain one has a ws:// url.", False),
    (socket.gaierror, "Check the host in url, and the network.", True),
    (ConnectionRefusedError, "Nothing listens there: check host and port of url.", True),
    (OSError, "Check the network, and host and port of url.", True),
    (Exception, NO_WEBSOCKET, True),
)
"""What to do, and whether the same may go well later; the first kind that fits decides."""

OTHER_NAME = "The certificate is for another name: check the host in url."
OTHER_TIME = "Check the clock of this machine, and the server's certificate."
CERTIFICATE_HINTS = {9: OTHER_TIME, 10: OTHER_TIME, 62: OTHER_NAME, 64: OTHER_NAME}
"""By OpenSSL's verify code, where other authorities would not help."""


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


class Attempt:
    """One attempt to connect, by one thread."""

    def __init__(
        self, address: Address, options: TransportOptions, deadline: float, cancelled: Callable[[], bool]
    ) -> None:
        self.address = address
        self.options = options
        self.deadline = deadline
        self.cancelled = cancelled
        self.step = "looking up the name"
        self.proxy: SplitResult | None = None
        self._secrets = list(address.secrets)

    def reach(self) -> SoundSocket:
        """A socket to the server, through the proxy where there is one, with TLS where it is wanted."""
        raw = self.dial()
        try:
            self.tunnel(raw)
            return self.secure(raw)
        except BaseException:
            raw.close()
            raise

    def dial(self) -> socket.socket:
        """Connect to the server, or to the proxy before it."""
        proxy = self.proxy = proxy_for(self.address, self.options)
        if proxy is None:
            return self._dial(self.address.host, self.address.port)
        return self._dial(proxy.hostname or "", proxy.port or PROXY_PORT, "the proxy ")

    def _dial(self, host: str, port: int, role: str = "") -> socket.socket:
        """Try each address of the host; each gets its share of the time that is left."""
        self.step = f"looking up {role}{host}"
        found = look_up(host, port)
        self.step = f"connecting to {role}{host}:{port}"
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
        with suppress(AttributeError, OSError):  # not every Python knows it, nor every kernel
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT_BYTES)

    def tunnel(self, raw: socket.socket) -> None:
        """Ask the proxy, where there is one, for a tunnel (RFC 9110, CONNECT)."""
        proxy = self.proxy
        if proxy is None:
            return
        self.step = f"asking the proxy {proxy.hostname}:{proxy.port or PROXY_PORT} for a tunnel"
        place = self.address.place
        request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
        if proxy.username is not None:
            password = unquote(proxy.password or "")
            login = base64.b64encode(f"{unquote(proxy.username)}:{password}".encode()).decode()
            request += f"Proxy-Authorization: Basic {login}\r\n"
            self._secrets += [secret for secret in (password, login) if secret]
        sound = self._sound(raw)
        sound.send(f"{request}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = sound.recv(1)
            if not byte:
                break
            answer += byte
        line = answer.partition(b"\r\n")[0].decode("latin-1")
        if not line.startswith(("HTTP/1.0 200", "HTTP/1.1 200")):
            raise tunnel_refused(f"{proxy.hostname}:{proxy.port or PROXY_PORT}", place, line)

    def _sound(self, raw: socket.socket) -> SoundSocket:
        sound = SoundSocket(raw, self.cancelled)
        sound.deadline = self.deadline
        sound.allowance = MOST_HANDSHAKE_BYTES
        return sound

    def secure(self, raw: socket.socket) -> SoundSocket:
        """Agree on TLS where it is wanted."""
        if not self.address.is_secure:
            return self._sound(raw)
        self.step = f"agreeing on TLS with {self.address.place}"
        context = self.options.ssl_context or _tls_context(self.options.ca_file, ssl.SSLContext)
        tls = context.wrap_socket(raw, server_hostname=self.address.host, do_handshake_on_connect=False)
        sound = self._sound(tls)
        try:
            sound.handshake()
        except BaseException:
            tls.close()
            raise
        return sound

    def scrubbed(self, error: ConnectError) -> ConnectError:
        """The error without any secret that the other side may have repeated."""
        for secret in self._secrets:
            error.message = error.message.replace(secret, "***")
            error.detail = error.detail and error.detail.replace(secret, "***")
        error.args = (error.message,)
        return error

    def explain(self, error: Exception, timeout: float) -> ConnectError:
        """What went wrong at this step, as one of our errors."""
        if isinstance(error, TimeoutError):
            return ConnectTimeout(f"Timed out after {timeout:g} s while {self.step}")
        if isinstance(error, Cancelled):
            return ConnectError("The connection attempt was given up")
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._untrusted(error)
        hint, retryable = next(advice for kind, *advice in ADVICE if isinstance(error, kind))
        if self.proxy is not None and isinstance(error, ConnectionRefusedError | socket.gaierror):
            hint = ABOUT_PROXY
        words = words_of(error)[:MOST_WORDS]
        return ConnectError(f"Failed while {self.step}: {words}", hint=hint, retryable=retryable)

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> ConnectError:
        hint = CERTIFICATE_HINTS.get(error.verify_code) or (
            f"Trusted is what {trusted(self.options)} holds; name another file with TransportOptions(ca_file=...) "
            "or in SSL_CERT_FILE."
        )
        place = self.address.place
        return ConnectError(f"The certificate of {place} is not trusted: {error.verify_message}", hint=hint)


def trusted(options: TransportOptions) -> str:
    """Where the authorities come from."""
    if options.ssl_context is not None:
        return "the ssl_context of TransportOptions"
    paths = ssl.get_default_verify_paths()
    named = os.environ.get(paths.openssl_cafile_env)
    if options.ca_file is None and named and not Path(named).is_file():
        return f"SSL_CERT_FILE={named}, which is not there,"
    return options.ca_file or paths.cafile or paths.capath or f"{paths.openssl_cafile}, which is not there,"


class _LookUps:
    """The look-ups of this process that are under way: a fork waits a moment for them.

    The system's library has locks for them (glibc around what it knows of resolv.conf). A child that is forked
    while another thread holds one could never look up anything. They are free while the network is waited for.
    """

    def __init__(self) -> None:
        self._gate = threading.RLock()
        self._under_way: set[threading.Event] = set()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._after_fork_in_child
            )

    @contextmanager
    def one_more(self) -> Iterator[None]:
        ended = threading.Event()
        with self._gate:
            self._under_way.add(ended)
        try:
            yield
        finally:
            self._under_way.discard(ended)
            ended.set()

    def _before_fork(self) -> None:
        self._gate.acquire()  # until the fork is done none begins
        deadline = time.monotonic() + FORK_WAITS
        for ended in self._under_way.copy():
            ended.wait(max(deadline - time.monotonic(), 0.0))

    def _after_fork(self) -> None:
        self._gate.release()

    def _after_fork_in_child(self) -> None:
        self._gate = threading.RLock()
        self._under_way = set()


_look_ups = _LookUps()


def look_up(host: str, port: int) -> list[Any]:
    """The addresses of a host, as `socket.getaddrinfo` has them; a text that is no name has none."""
    try:
        with _look_ups.one_more():
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "this is no name of a host") from None


@lru_cache(maxsize=16)
def _tls_context(ca_file: str | None, _kind: type[ssl.SSLContext]) -> ssl.SSLContext:
    """One context for all connections: reading the authorities takes ten times as long as a handshake.

    But another one once gevent has replaced its kind, since the old one cannot wrap gevent's sockets.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise OptionsError(f"TransportOptions.ca_file={ca_file!r} cannot be used: {words_of(error)}") from error


def proxy_for(address: Address, options: TransportOptions) -> SplitResult | None:
    """The proxy to use: the one that was named, else the environment's; none for this machine itself."""
    chosen = options.proxy
    if chosen is None:
        if address.host in ("localhost", "127.0.0.1", "::1"):
            return None
        from urllib.request import getproxies, proxy_bypass  # costs too much to import for those who need none

        if proxy_bypass(address.host):
            return None
        proxies = getproxies()
        chosen = proxies.get("https" if address.is_secure else "http") or proxies.get("all")
    if not chosen:
        return None
    proxy = urlsplit(chosen if "://" in chosen else f"http://{chosen}")
    if proxy.scheme != "http" or not proxy.hostname or not _has_sound_port(proxy):
        raise OptionsError(
            f"The proxy {proxy.scheme}://{proxy.hostname} cannot be used; allowed is http://host:port",
            hint="Name another one with TransportOptions(proxy=...), or none with proxy=''.",
        )
    return proxy


def _has_sound_port(proxy: SplitResult) -> bool:
    try:
        return proxy.port != 0
    except ValueError:
        return False
