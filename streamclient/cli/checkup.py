"""What ``streamclient doctor`` looks at: each check is a finding, and the first that fails on the way ends the way."""

import platform
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from attrs import field, frozen

from streamclient import __version__
from streamclient.cli.exits import UNEXPECTED, exit_code
from streamclient.client import StreamClient, stream_url
from streamclient.errors import ConnectError, StreamClientError
from streamclient.extensions import Extension, find_extensions
from streamclient.options import ListenOptions
from streamclient.plugins import FoundPlugin, find_plugins
from streamclient.policies import BufferPolicy, Timeouts, TransportOptions
from streamclient.wire.credentials import Credentials
from streamclient.wire.dialing import PROXY_PORT, Address, Attempt, look_up, proxy_for, trusted
from streamclient.wire.sockets import SoundSocket

__all__ = ["Finding", "Subject", "clock_error", "findings"]

OK, NOTE, FAIL = "ok", "note", "fail"
"""In order; worth knowing; in the way of a transcript."""

T = TypeVar("T")
Said = tuple[str, str, str | None]
"""State, text and hint of a finding."""

LIBRARIES = ("websocket-client", "pluggy", "attrs", "click", "rich")

EXTRAS = (
    ("av", "audio", "decodes audio on this machine, for a service that does not"),
    ("pocketsphinx", "server", "recognises without a key, on this machine"),
    ("websockets", "server", "runs streamclient serve"),
)
"""Module, the extra that brings it, and what it is there for."""

SECONDS_FOR_THE_TIME = 3.0

SOUND_CLOCK = 30.0
"""Seconds a clock may be off without being worth a word."""


@frozen
class Finding:
    """What one check has found.

    Args:
        name: of the check.
        state: ``ok``, ``note`` or ``fail``.
        text: what was found.
        hint: what to do, where there is something to do.
        code: exit code of the command, if this fails.
    """

    name: str
    state: str
    text: str
    hint: str | None = None
    code: int = 0


@frozen(kw_only=True)
class Subject:
    """What is to be checked: what ``streamclient transcribe`` would use.

    Args:
        url: base URL of the service, or ``None`` for the default.
        is_local: whether a recogniser on this machine is used.
        api_key: or ``None``.
        access_token: or ``None``.
        place: where key or token are from.
        files: the settings files that were read.
        timeout: seconds one step may take.
    """

    url: str | None = None
    is_local: bool = False
    api_key: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    place: str = ""
    files: tuple[str, ...] = ()
    timeout: float = 10.0


def findings(subject: Subject) -> Iterator[Finding]:
    """Check everything, one thing after the other."""
    yield _versions()
    yield Finding("settings", OK, ", ".join(subject.files) or "no settings file")
    yield from _local(subject) if subject.is_local else _service(subject)
    yield from _tools()
    yield from _plugins()
    yield _disk()


def _versions() -> Finding:
    found = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("versions", OK, f"streamclient {__version__}, {system}; {found}; {ssl.OPENSSL_VERSION}")


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def _failed(name: str, error: StreamClientError) -> Finding:
    detail = f" The service says: {error.detail}" if error.detail else ""
    request = f" Request id {error.request_id}." if error.request_id else ""
    return Finding(name, FAIL, f"{error.message.rstrip('.')}.{detail}{request}", error.hint, exit_code(error))


# The way to the service.


def _service(subject: Subject) -> Iterator[Finding]:
    with closing(Steps(subject)) as steps:
        for name, check in steps.in_order:
            try:
                state, text, hint = check()
                yield Finding(name, state, text, hint)
            except StreamClientError as error:
                yield _failed(name, error)
                return


class Steps:
    """The steps to the service, each on the ground of those before it.

    Args:
        subject: what is to be checked.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._transport = TransportOptions()
        self._options = ListenOptions()
        self._attempt: Attempt | None = None
        self._raw: socket.socket | None = None
        self._sound: SoundSocket | None = None

    @property
    def in_order(self) -> tuple[tuple[str, Callable[[], Said]], ...]:
        """Name and check of each step."""
        return (
            ("key", self.key),
            ("address", self.address),
            ("proxy", self.proxy),
            ("name", self.name),
            ("TCP", self.tcp),
            ("TLS", self.tls),
            ("clock", self.clock),
            ("service", self.service),
        )

    def key(self) -> Said:
        """The key is there, and is one; it is not shown."""
        subject = self._subject
        Credentials(subject.api_key, subject.access_token)
        if subject.api_key:
            return OK, f"an API key from {subject.place}", None
        if subject.access_token:
            return OK, f"an access token from {subject.place}", None
        return NOTE, "none", "Set DEEPGRAM_API_KEY, unless this service asks for none."

    def address(self) -> Said:
        """The URL is one."""
        url = stream_url(self._subject.url, self._options)
        self._attempt = Attempt(Address(url), self._transport, time.monotonic() + self._subject.timeout, lambda: False)
        return OK, url.partition("?")[0], None

    def proxy(self) -> Said:
        """Whether there is one between; its login is not shown."""
        proxy = proxy_for(self._known.address, self._transport)
        if proxy is None:
            return OK, "none", None
        login = " with a login" if proxy.username else ""
        return OK, f"http://{proxy.hostname}:{proxy.port or PROXY_PORT}{login}, from the environment", None

    def name(self) -> Said:
        """The name has an address."""
        address = self._known.address
        proxy = proxy_for(address, self._transport)
        host = address.host if proxy is None else proxy.hostname or ""
        self._known.step = f"looking up {host}"
        found = self._step(lambda: look_up(host, address.port))
        places = list(dict.fromkeys(str(where[0]) for *_, where in found))
        return OK, f"{host} is {', '.join(places[:4])}", None

    def tcp(self) -> Said:
        """Somebody listens, and the proxy lets through."""
        attempt, began = self._known, time.monotonic()
        attempt.deadline = began + self._subject.timeout
        raw = self._raw = self._step(attempt.dial)
        self._step(lambda: attempt.tunnel(raw))
        through = " through the proxy" if attempt.proxy is not None else ""
        return OK, f"connected{through} in {_milliseconds(began)}", None

    def tls(self) -> Said:
        """The certificate is trusted."""
        attempt, raw, began = self._known, self._raw, time.monotonic()
        assert raw is not None
        attempt.deadline = began + self._subject.timeout
        sound = self._sound = self._step(lambda: attempt.secure(raw))
        if sound.tls is None:
            return (OK if _is_near(attempt.address.host) else NOTE), "none: a ws:// url", None
        facts = f"{sound.tls.version()} in {_milliseconds(began)}; {_certificate(sound.tls)}"
        return OK, f"{facts}; trusted by {trusted(self._transport)}", None

    def clock(self) -> Said:
        """What the server thinks the time is."""
        sound = self._sound
        assert sound is not None
        sound.deadline = time.monotonic() + min(self._subject.timeout, SECONDS_FOR_THE_TIME)
        error = clock_error(sound, self._known.address.host, self._options.path)
        sound.close()
        if error is None:
            return OK, "the server does not tell its time", None
        if abs(error) <= SOUND_CLOCK:
            return OK, "right", None
        ahead = "ahead" if error > 0 else "behind"
        return (
            NOTE,
            f"{abs(error):.0f} s {ahead} of the server's",
            "Set it: certificates and tokens are valid for a time.",
        )

    def service(self) -> Said:
        """A stream without audio begins and ends well."""
        return OK, opens_and_closes(self._subject), None

    def close(self) -> None:
        """Let go of what is still open."""
        for end in (self._sound, self._raw):
            if end is not None:
                end.close()

    @property
    def _known(self) -> Attempt:
        assert self._attempt is not None
        return self._attempt

    def _step(self, do: Callable[[], T]) -> T:
        """One step, whose errors leave as ours."""
        attempt = self._known
        try:
            return do()
        except ConnectError as refusal:
            raise attempt.scrubbed(refusal) from None
        except OSError as error:
            raise attempt.scrubbed(attempt.explain(error, self._subject.timeout)) from None


def _certificate(tls: ssl.SSLSocket) -> str:
    """Who vouches for the server, and until when."""
    certificate: Any = tls.getpeercert() or {}
    issuer = {name: value for part in certificate.get("issuer", ()) for name, value in part}
    by = issuer.get("organizationName") or issuer.get("commonName") or "nobody known"
    return f"certificate by {by} until {certificate.get('notAfter', 'an unknown time')}"


def clock_error(sound: SoundSocket, host: str, path: str) -> float | None:
    """Seconds that this machine is ahead of a server; ``None`` where it does not tell. Ends the connection."""
    answer = b""
    with suppress(OSError):  # a server that only speaks websocket need not answer this
        sound.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while b"\r\n\r\n" not in answer and (data := sound.recv(4096)):
            answer += data
    date = re.search(rb"(?im)^date:[ \t]*(.+?)\r$", answer)
    try:
        return time.time() - parsedate_to_datetime(date[1].decode("latin-1")).timestamp() if date else None
    except (TypeError, ValueError):
        return None


def opens_and_closes(subject: Subject) -> str:
    """Open a stream and close it, without audio.

    Raises:
        StreamClientError: it did not go well.
    """
    client = StreamClient(
        ListenOptions(),
        url=subject.url,
        api_key=subject.api_key,
        access_token=subject.access_token,
        timeouts=Timeouts(connect=subject.timeout, close=subject.timeout),
        reconnect=None,
    )
    began = time.monotonic()
    client.open()
    took = _milliseconds(began)
    client.close()
    return f"a stream was open after {took} and ended well; request id {', '.join(client.request_ids) or 'unknown'}"


def _milliseconds(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"


def _is_near(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")


# This machine.


def _local(subject: Subject) -> Iterator[Finding]:
    """Nothing is asked of the network: a recogniser here does the work."""
    hint = "Set DEEPGRAM_API_KEY for Deepgram, or name another service with --url." if not subject.api_key else None
    yield Finding("key", NOTE, "none is used: the recogniser on this machine transcribes", hint)
    try:
        from streamclient.server import LocalServer

        with LocalServer(engine="pocketsphinx") as server:
            here = Subject(url=server.url, api_key="local", timeout=subject.timeout)
            yield Finding("service", OK, f"{server.engine.name}: {opens_and_closes(here)}")
    except StreamClientError as error:
        yield _failed("service", error)


def _tools() -> Iterator[Finding]:
    for module, extra, purpose in EXTRAS:
        try:
            found = import_module(module)
        except ImportError:
            hint = f"It {purpose}: pip install 'streamclient[{extra}]'"
            yield Finding(module, NOTE, "not installed", hint)
        else:
            yield Finding(module, OK, str(getattr(found, "__version__", "")) or _version(module))
    yield _ffmpeg()


def _ffmpeg() -> Finding:
    path = shutil.which("ffmpeg")
    if path is None:
        return Finding("ffmpeg", NOTE, "not installed", "It is of use in pipes: ffmpeg -i FILE -f wav - | ...")
    try:
        ask = [path, "-version"]
        done = subprocess.run(ask, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 - from PATH
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("ffmpeg", NOTE, f"{path} does not run: {error}")
    found = re.match(r"ffmpeg version (\S+)", done.stdout)
    return Finding("ffmpeg", OK, f"{found[1] if found else 'unknown version'} at {path}")


def _plugins() -> Iterator[Finding]:
    """One finding for all that load, and one for each that does not."""
    sound = []
    installed: tuple[FoundPlugin | Extension, ...] = (*find_plugins(), *find_extensions())
    for found in installed:
        if found.error:
            hint = f"Reinstall or remove {found.distribution} {found.version}."
            yield Finding("plugin", FAIL, f"{found.name}: {found.error}", hint, UNEXPECTED)
        else:
            sound.append(found.name)
    yield Finding("plugins", OK, ", ".join(sorted(set(sound))) or "none")


def _disk() -> Finding:
    """Room for audio that waits while there is no connection."""
    wanted = BufferPolicy().max_disk
    try:
        path = tempfile.gettempdir()
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Finding(
            "disk", NOTE, str(error), "Audio that waits is kept in memory alone; name a directory in TMPDIR."
        )
    text = f"{free / 1e9:.1f} GB free in {path} for audio that waits"
    if free >= wanted:
        return Finding("disk", OK, text)
    return Finding("disk", NOTE, text, "An outage may need a gigabyte; make room, or name another directory in TMPDIR.")
