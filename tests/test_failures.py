"""Guarantee 6: every failure has a name, its facts, the service's own words, and what to do next. Over real sockets."""

import datetime as dt
import json
import logging
import pickle
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest
import trustme
import websocket
from attrs import Factory, evolve, frozen

from streamclient import (
    AudioRejected,
    AuthenticationError,
    BadRequestError,
    Closed,
    CloseTimeout,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    Failed,
    ListenOptions,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ReconnectPolicy,
    ServiceUnavailableError,
    Span,
    StreamClient,
    StreamClientError,
    StreamState,
    Timeouts,
    TransportOptions,
    hookimpl,
)
from streamclient.core.actions import FrameKind
from streamclient.testing.builders import SHA256_OF_NOTHING
from streamclient.wire.dialing import Address
from streamclient.wire.transport import Connection, connect
from tests.support.bare import bare_server
from tests.support.service import LINEAR16, SOON, Call, Script, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
KEY = "sup3r-s3cret-k3y"
PASSWORD = "pr0xy-pa55word"
SECOND = bytes(32000)
WORDS = "Words of the service."
ARGUMENTS = {"api_key": KEY, "reconnect": None}

Scene = Callable[[], AbstractContextManager[dict[str, Any]]]
"""Makes a world in which a stream fails, and gives the client's arguments."""


@frozen(kw_only=True)
class Failure:
    """What a caller is to be told.

    Args:
        kind: class of the error.
        says: texts that it holds, in any order.
        hint: text of what to do next.
        retryable: whether doing the same again may help.
        facts: attributes it has.
    """

    kind: type[StreamClientError]
    says: tuple[str, ...] = ()
    hint: str
    retryable: bool
    facts: dict[str, Any] = Factory(dict)


def shown(error: BaseException) -> str:
    """Everything that a log, a report of a crash or another process may get of an error, local variables included."""
    parts = [repr(error), str(error), repr(vars(error)), repr(pickle.dumps(error))]
    parts += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "".join(parts)


def check(error: StreamClientError, expected: Failure, caplog: pytest.LogCaptureFixture) -> None:
    """The error is the one expected, and holds no secret."""
    assert type(error) is expected.kind, error
    for text in expected.says:
        assert text in str(error), error
    assert error.hint, error
    assert expected.hint in error.hint
    assert expected.hint in str(error)
    assert error.retryable is expected.retryable
    assert {name: getattr(error, name) for name in expected.facts} == expected.facts
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    everything = shown(error) + "".join(ours)  # websockets is the test's server
    assert KEY not in everything
    assert PASSWORD not in everything


def fails_to_open(arguments: dict[str, Any]) -> StreamClientError:
    """The error of an open() that cannot succeed; close() raises the same."""
    client = StreamClient(RAW, **{**ARGUMENTS, **arguments})
    with pytest.raises(StreamClientError) as caught:
        client.open()
    assert client.state is StreamState.FAILED
    with pytest.raises(type(caught.value)) as again:
        client.close()
    assert str(again.value) == str(caught.value)
    return caught.value


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log all there is, with what websocket-client traces."""
    caplog.set_level(logging.DEBUG)
    websocket.enableTrace(True, handler=logging.NullHandler())
    logging.getLogger("websocket").addHandler(caplog.handler)
    yield
    logging.getLogger("websocket").removeHandler(caplog.handler)
    websocket.enableTrace(False)


# The service refuses (the manual of the service: errors; PROTOCOL of the upgrade).

REFUSALS = [
    (400, BadRequestError, False, "Check the options"),
    (401, AuthenticationError, False, "DEEPGRAM_API_KEY"),
    (402, PaymentRequiredError, False, "Add credit"),
    (403, PermissionDeniedError, False, "spelling of model"),
    (404, ConnectError, False, "Check url"),
    (405, ConnectError, False, "Check model"),
    (408, ConnectError, True, "Try again"),
    (413, ConnectError, False, "keyterms"),
    (414, ConnectError, False, "keyterms"),
    (429, RateLimitedError, True, "Close other streams"),
    (500, ServiceUnavailableError, True, "Try again"),
    (502, ServiceUnavailableError, True, "Try again"),
    (503, ServiceUnavailableError, True, "Try again"),
    (504, ServiceUnavailableError, True, "Try again"),
]


@pytest.mark.parametrize(("status", "kind", "retryable", "hint"), REFUSALS)
def test_each_refusal_has_a_name(
    status: int, kind: type[ConnectError], retryable: bool, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused handshake says which, why in the service's words, and what to do; a key that it repeats is hidden."""
    body = json.dumps({"err_code": "A_CODE", "err_msg": f"{WORDS} {KEY}", "request_id": "r-1"}).encode()
    with serving() as service:
        service.refusal = lambda _: (status, {"Retry-After": "7"}, body)
        error = fails_to_open({"url": service.url})

    facts = {"status": status, "request_id": "r-1", "retry_after": 7.0, "detail": f"{WORDS} ***"}
    says = (f"HTTP {status}", "A_CODE", WORDS, "r-1")
    check(error, Failure(kind=kind, says=says, hint=hint, retryable=retryable, facts=facts), caplog)


# There is no service to refuse anything.


@contextmanager
def nothing_listens() -> Iterator[dict[str, Any]]:
    """A port that nobody has."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    yield {"url": f"ws://127.0.0.1:{port}"}


@contextmanager
def no_such_name() -> Iterator[dict[str, Any]]:
    """A name that is reserved for not being there (RFC 6761)."""
    yield {"url": "ws://no-such-host.invalid"}


@contextmanager
def no_name_at_all() -> Iterator[dict[str, Any]]:
    """A label that is longer than labels may be."""
    yield {"url": f"ws://{'a' * 70}.example"}


@contextmanager
def full_queue() -> Iterator[dict[str, Any]]:
    """A server that accepts nobody: the system answers no further connection."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield {"url": f"ws://127.0.0.1:{listener.getsockname()[1]}", "timeouts": Timeouts(connect=0.3)}


@contextmanager
def silent(scheme: str) -> Iterator[dict[str, Any]]:
    """A server that takes what it is sent and says nothing."""
    stop = threading.Event()
    with bare_server(lambda _: (stop.wait(SOON), None)[1]) as port:
        yield {"url": f"{scheme}://127.0.0.1:{port}", "timeouts": Timeouts(connect=0.3)}
        stop.set()


@contextmanager
def answering(answer: bytes, scheme: str = "ws") -> Iterator[dict[str, Any]]:
    """A server that answers with these bytes, whatever it is asked, and leaves."""

    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        with suppress(OSError):
            connection.sendall(answer)

    with bare_server(speak) as port:
        yield {"url": f"{scheme}://127.0.0.1:{port}"}


@contextmanager
def echoing() -> Iterator[dict[str, Any]]:
    """A server that repeats the handshake, with the key, in a header that cannot be read."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 X\r\nX: \xff" + connection.recv(4096).replace(b"\r\n", b" ") + b"\r\n\r\n")

    with bare_server(speak) as port:
        yield {"url": f"ws://127.0.0.1:{port}"}


GARBAGE = "does not speak websocket"
UNREACHABLE: dict[str, tuple[Scene, Failure]] = {
    "no such name": (
        no_such_name,
        Failure(kind=ConnectError, says=("no-such-host.invalid",), hint="Check the host", retryable=True),
    ),
    "no name at all": (
        no_name_at_all,
        Failure(kind=ConnectError, says=("no name of a host",), hint="Check the host", retryable=True),
    ),
    "refused": (
        nothing_listens,
        Failure(kind=ConnectError, says=("Connection refused",), hint="host and port", retryable=True),
    ),
    "nobody accepts": (
        full_queue,
        Failure(kind=ConnectTimeout, says=("0.3 s", "connecting to"), hint="Timeouts(connect=", retryable=True),
    ),
    "no handshake": (
        lambda: silent("ws"),
        Failure(kind=ConnectTimeout, says=("0.3 s", "websocket handshake"), hint="Timeouts(connect=", retryable=True),
    ),
    "no TLS handshake": (
        lambda: silent("wss"),
        Failure(kind=ConnectTimeout, says=("0.3 s", "TLS"), hint="Timeouts(connect=", retryable=True),
    ),
    "another protocol": (
        lambda: answering(b"SSH-2.0-OpenSSH_9.2\r\n"),
        Failure(kind=ConnectError, says=("SSH-2.0",), hint=GARBAGE, retryable=True),
    ),
    "a web page": (
        lambda: answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        Failure(kind=ConnectError, says=("HTTP 200",), hint=GARBAGE, retryable=False, facts={"status": 200}),
    ),
    "a handshake without its answer": (
        lambda: answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Failure(kind=ConnectError, says=("Invalid WebSocket Header",), hint=GARBAGE, retryable=True),
    ),
    "no status line": (
        lambda: answering(b"\r\n\r\n"),
        Failure(kind=ConnectError, says=("no status line",), hint=GARBAGE, retryable=True),
    ),
    "a wrong length": (
        lambda: answering(b"HTTP/1.1 401 X\r\nContent-Length: abc\r\n\r\n"),
        Failure(kind=ConnectError, hint=GARBAGE, retryable=True),
    ),
    "binary": (lambda: answering(b"\x00\xff" * 5000), Failure(kind=ConnectError, hint=GARBAGE, retryable=True)),
    "nothing": (lambda: answering(b""), Failure(kind=ConnectError, says=("lost",), hint=GARBAGE, retryable=True)),
    "an endless header": (
        lambda: answering(b"HTTP/1.1 101 X\r\nX-Long: " + b"a" * 2_000_000),
        Failure(kind=ConnectError, says=("too large",), hint="Check", retryable=True),
    ),
    "an endless body": (
        lambda: answering(b"HTTP/1.1 500 X\r\nContent-Length: 99999999999\r\n\r\n" + b"a" * 2_000_000),
        Failure(kind=ConnectError, says=("too large",), hint="Check", retryable=True),
    ),
    "an echo": (echoing, Failure(kind=ConnectError, says=("***",), hint=GARBAGE, retryable=True)),
    "a plain server at wss": (
        lambda: answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", "wss"),
        Failure(kind=ConnectError, says=("TLS",), hint="ws:// url", retryable=False),
    ),
    "TLS that ends at once": (
        lambda: answering(b"", "wss"),
        Failure(kind=ConnectError, says=("TLS",), hint="try again", retryable=True),
    ),
    "a redirect": (
        lambda: answering(b"HTTP/1.1 302 Found\r\nLocation: wss://elsewhere.example/v1\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=("wss://elsewhere.example/v1",),
            hint="not followed",
            retryable=False,
            facts={"status": 302},
        ),
    ),
    "a redirect to nowhere": (
        lambda: answering(b"HTTP/1.1 301 Moved\r\n\r\n"),
        Failure(kind=ConnectError, says=("nowhere",), hint="not followed", retryable=False, facts={"status": 301}),
    ),
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_whatever_answers_instead_of_the_service_has_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No service, no TLS, no HTTP, no websocket: each is one of our errors, and memory stays bounded."""
    scene, expected = UNREACHABLE[name]
    with scene() as arguments:
        error = fails_to_open(arguments)

    check(error, expected, caplog)


# The way there: certificates.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that the servers' certificates are of."""
    return trustme.CA()


def serving_with(certificate: trustme.LeafCert) -> AbstractContextManager[Any]:
    """A service with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return serving(tls=context)


def distrusted(certificate: trustme.LeafCert, transport: TransportOptions) -> StreamClientError:
    """The error of a client that is shown this certificate."""
    with serving_with(certificate) as service:
        return fails_to_open({"url": service.url, "transport": transport})


def test_an_unknown_authority_names_the_file_that_was_trusted(
    authority: trustme.CA, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says where the trusted authorities come from, and how to name others."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    certificate = authority.issue_cert("localhost")
    ours = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    for transport, trusted in (
        (TransportOptions(), str(paths.cafile or paths.capath)),
        (TransportOptions(ca_file=str(other)), str(other)),
        (TransportOptions(ssl_context=ours), "ssl_context"),
    ):
        expected = Failure(
            kind=ConnectError,
            says=("certificate of localhost:", "unable to get local issuer", "ca_file=", "SSL_CERT_FILE"),
            hint=trusted,
            retryable=False,
        )
        check(distrusted(certificate, transport), expected, caplog)


def test_a_missing_file_of_the_environment_is_named(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SSL_CERT_FILE that leads nowhere trusts nobody, which is hard to guess."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    error = distrusted(authority.issue_cert("localhost"), TransportOptions())

    expected = Failure(kind=ConnectError, hint="SSL_CERT_FILE=/no/such/file.pem, which is not there", retryable=False)
    check(error, expected, caplog)


def test_a_certificate_of_another_name_or_time_is_no_matter_of_authorities(
    authority: trustme.CA, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The hint is about what is wrong: the host, or the clock."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    transport = TransportOptions(ca_file=str(trusted))
    past = dt.datetime(2001, 1, 1, tzinfo=dt.timezone.utc)
    expired = authority.issue_cert("localhost", not_before=past, not_after=past + dt.timedelta(days=1))
    for certificate, text, hint in (
        (authority.issue_cert("elsewhere.example"), "mismatch", "another name"),
        (expired, "expired", "clock"),
    ):
        expected = Failure(kind=ConnectError, says=(text,), hint=hint, retryable=False)
        check(distrusted(certificate, transport), expected, caplog)


def test_a_certificate_that_is_wrong_for_a_while_is_an_attempt_in_vain(authority: trustme.CA, tmp_path: Any) -> None:
    """A stream that stood outlasts a portal that puts itself in front of the service, and the key never goes to it."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours, portals = authority.issue_cert("localhost"), trustme.CA().issue_cert("localhost")
    ours.configure_cert(context)
    in_vain = threading.Event()

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "not trusted" in record.getMessage():
                ours.configure_cert(context)
                in_vain.set()

    def break_once(call: Call) -> None:
        call.read()
        if len(service.calls) == 1:
            portals.configure_cert(context)
            call.reset()
        call.read_until()
        call.end(final("word", 0.0, 1.0), metadata())

    watching = Watching()
    logging.getLogger("streamclient.session").addHandler(watching)
    try:
        with serving(break_once, context) as service:
            quick = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
            transport = TransportOptions(ca_file=str(trusted))
            client = StreamClient(RAW, url=service.url, api_key=KEY, transport=transport, reconnect=quick)
            client.open()
            client.send(SECOND)
            assert client.close(timeout=SOON).complete
            assert len(service.calls) == 2
    finally:
        logging.getLogger("streamclient.session").removeHandler(watching)
    assert in_vain.is_set()


# The way there: proxies.


@contextmanager
def proxy_answering(answer: bytes, *, patient: bool = False) -> Iterator[dict[str, Any]]:
    """A proxy that answers with these bytes and leaves, or stays silent."""
    stop = threading.Event()

    def speak(connection: socket.socket) -> None:
        request = connection.recv(4096)
        login = next(line for line in request.splitlines() if line.startswith(b"Proxy-Authorization"))
        with suppress(OSError):
            connection.sendall(answer.replace(b"LOGIN", login))
        if patient:
            stop.wait(SOON)

    with bare_server(speak) as port:
        proxy = f"http://user:{PASSWORD}@127.0.0.1:{port}"
        yield proxied(proxy)
        stop.set()


@contextmanager
def no_proxy_there() -> Iterator[dict[str, Any]]:
    """A proxy that is not there."""
    with nothing_listens() as there:
        yield proxied(there["url"].replace("ws://", f"http://user:{PASSWORD}@"))


def proxied(proxy: str) -> dict[str, Any]:
    """Arguments of a client behind a proxy."""
    transport = TransportOptions(proxy=proxy)
    assert PASSWORD not in repr(transport)
    return {"url": "ws://service.example:80", "transport": transport, "timeouts": Timeouts(connect=1.0)}


TUNNEL = "tunnel to service.example:80"
PROXIES: dict[str, tuple[Scene, Failure]] = {
    "407": (
        lambda: proxy_answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=(TUNNEL, "407 Proxy Authentication Required"),
            hint="login of the proxy",
            retryable=False,
            facts={"status": 407},
        ),
    ),
    "403": (
        lambda: proxy_answering(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=(TUNNEL, "403 Forbidden"),
            hint="who runs the proxy",
            retryable=False,
            facts={"status": 403},
        ),
    ),
    "502": (
        lambda: proxy_answering(b"HTTP/1.0 502 Bad Gateway\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=(TUNNEL, "502"),
            hint="who runs the proxy",
            retryable=True,
            facts={"status": 502},
        ),
    ),
    "garbage": (
        lambda: proxy_answering(b"\x05\x00garbage\x1b[31m\r\n\r\n"),
        Failure(kind=ConnectError, says=(TUNNEL, r"garbage\x1b"), hint="no HTTP proxy", retryable=False),
    ),
    "endless garbage": (
        lambda: proxy_answering(b"x" * 1_000_000),
        Failure(kind=ConnectError, says=("proxy 127.0.0.1", "too large"), hint="Check", retryable=True),
    ),
    "an echo": (
        lambda: proxy_answering(b"HTTP/1.1 400 LOGIN\r\n\r\n"),
        Failure(kind=ConnectError, says=("***",), hint="who runs the proxy", retryable=False),
    ),
    "a hang-up": (
        lambda: proxy_answering(b""),
        Failure(kind=ConnectError, says=(TUNNEL, "ended the connection"), hint="proxy's address", retryable=True),
    ),
    "silence": (
        lambda: proxy_answering(b"", patient=True),
        Failure(kind=ConnectTimeout, says=("asking the proxy",), hint="Timeouts(connect=", retryable=True),
    ),
    "nobody there": (
        no_proxy_there,
        Failure(
            kind=ConnectError,
            says=("connecting to the proxy", "Connection refused"),
            hint="HTTPS_PROXY",
            retryable=True,
        ),
    ),
}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_that_does_not_help_is_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error is about the proxy, holds its answer and not its password, and is not taken for the service's."""
    scene, expected = PROXIES[name]
    with scene() as arguments:
        error = fails_to_open(arguments)

    assert "127.0.0.1:" in str(error)
    check(error, expected, caplog)


# The stream stood, and ends.


class Hooks:
    """Keeps what it is told of failures."""

    def __init__(self) -> None:
        self.errors: list[StreamClientError] = []

    @hookimpl
    def on_error(self, error: StreamClientError) -> None:
        self.errors.append(error)


def leaving(code: int, reason: str = "", *messages: dict[str, Any]) -> Script:
    """A service that leaves at the first audio."""

    def script(call: Call) -> None:
        call.read()
        call.end(*messages, code=code, reason=reason)

    return script


def resetting(call: Call) -> None:
    """The connection breaks."""
    call.read()
    call.reset()


def vanishing(call: Call) -> None:
    """The connection ends without a close frame."""
    call.read()
    call.ws.socket.shutdown(socket.SHUT_RDWR)


def leaving_without_code(call: Call) -> None:
    """A close frame without a code."""
    call.read()
    call.ws.socket.sendall(b"\x88\x00")
    call.read_to_end()


def breaking_the_protocol(call: Call) -> None:
    """A frame with reserved bits."""
    call.read()
    with suppress(OSError):
        call.ws.socket.sendall(b"\xf1\x00")
    call.read_to_end()


def boundless(call: Call) -> None:
    """A message without an end."""
    call.read()
    with suppress(OSError):
        call.ws.socket.sendall(b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")
        while True:
            call.ws.socket.sendall(b"a" * 1_000_000)


def lost(code: int, reason: str = "", *, retryable: bool, hint: str, says: tuple[str, ...] = ()) -> Failure:
    """A lost connection whose audio has no transcript."""
    facts = {"code": code, "reason": reason, "unconfirmed": Span(0.0, 1.0), "request_id": "request-0"}
    return Failure(kind=ConnectionLost, says=("request-0", *says, reason), hint=hint, retryable=retryable, facts=facts)


def rejected(code: int, reason: str = "", *, says: tuple[str, ...] = (), **differing: Any) -> Failure:
    """Audio that the service cannot use."""
    facts = {"code": code, "reason": reason, "request_id": "request-0"}
    expected = Failure(
        kind=AudioRejected,
        says=("request-0", *says, reason),
        hint="Raw audio needs encoding",
        retryable=False,
        facts=facts,
    )
    return evolve(expected, **differing)


NET_0000 = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
NET_0001 = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
DATA_0000 = "The payload cannot be decoded as audio. See https://dpgr.am/data0000"
EMPTY = metadata(0.0, 0)
NOT_ARRIVED = metadata(0.0, 0, sha256=SHA256_OF_NOTHING)

ENDS: dict[str, tuple[Script, Failure]] = {
    "1000 unasked": (leaving(1000), lost(1000, retryable=True, hint="WAV", says=("without being asked",))),
    "1000 with a summary, unasked": (leaving(1000, "", metadata()), lost(1000, retryable=True, hint="WAV")),
    "no code, unasked": (leaving_without_code, lost(1005, retryable=True, hint="WAV")),
    "1001": (leaving(1001), lost(1001, retryable=True, hint="again", says=("went away",))),
    "1002": (leaving(1002), lost(1002, retryable=False, hint="defect")),
    "1003 MESSAGE-0000": (leaving(1003, "MESSAGE-0000"), lost(1003, "MESSAGE-0000", retryable=False, hint="defect")),
    "1007": (leaving(1007), lost(1007, retryable=False, hint="defect")),
    "1008 with other words": (leaving(1008, WORDS), lost(1008, WORDS, retryable=False, hint="its words say why")),
    "1009 BIG-0000": (leaving(1009, "BIG-0000"), lost(1009, "BIG-0000", retryable=False, hint="defect")),
    "1011 NET-0000": (leaving(1011, "NET-0000"), lost(1011, "NET-0000", retryable=True, hint="match its encoding")),
    "1011 NET-0000 in words": (leaving(1011, NET_0000), lost(1011, NET_0000, retryable=True, hint="its encoding")),
    "1011 NET-0001": (
        leaving(1011, "NET-0001"),
        lost(1011, "NET-0001", retryable=True, hint="network stuck", says=("received nothing",)),
    ),
    "1011 NET-0001 in words": (
        leaving(1011, NET_0001),
        lost(1011, NET_0001, retryable=True, hint="network stuck", says=("received nothing",)),
    ),
    "1011": (leaving(1011), lost(1011, retryable=True, hint="again", says=("internal error",))),
    "1011 with words": (leaving(1011, WORDS), lost(1011, WORDS, retryable=True, hint="again")),
    "1012": (leaving(1012), lost(1012, retryable=True, hint="again", says=("restarts",))),
    "1013": (leaving(1013), lost(1013, retryable=True, hint="again", says=("overloaded",))),
    "a private code": (leaving(4001, WORDS), lost(4001, WORDS, retryable=False, hint="its words say why")),
    "a reset": (resetting, lost(1006, retryable=True, hint="network")),
    "an end without a word": (vanishing, lost(1006, retryable=True, hint="network")),
    "a breach of the protocol": (breaking_the_protocol, lost(1006, retryable=True, hint="request id", says=("rsv",))),
    "a boundless message": (boundless, lost(1006, retryable=False, hint="request id", says=("too large",))),
    "1008 DATA-0000": (leaving(1008, "DATA-0000"), rejected(1008, "DATA-0000")),
    "1008 DATA-0000 in words": (leaving(1008, DATA_0000), rejected(1008, DATA_0000)),
    "1008": (leaving(1008), rejected(1008)),
    "1002 DATA-0000": (leaving(1002, "DATA-0000"), rejected(1002, "DATA-0000")),
    "an empty summary, unasked": (leaving(1000, "", EMPTY), rejected(1000, says=("found no audio in 32000 bytes",))),
}
"""By itself, when it has heard some audio."""

ANSWERS: dict[str, tuple[Script, Failure]] = {
    "an empty summary": (obedient(EMPTY), rejected(1000, says=("found no audio in 32000 bytes",))),
    "a summary of nothing": (
        obedient(NOT_ARRIVED),
        Failure(
            kind=ConnectionLost,
            says=("request-0", "none of 32000 bytes"),
            hint="again",
            retryable=True,
            facts={"code": 1000, "unconfirmed": Span(0.0, 1.0)},
        ),
    ),
    "silence": (
        lambda call: call.read_to_end(),
        Failure(kind=CloseTimeout, says=("0.3 s while closing",), hint="Timeouts(close=", retryable=False),
    ),
}
"""In answer to CloseStream."""


@pytest.mark.parametrize("name", [*ENDS, *ANSWERS])
def test_each_end_of_a_stream_has_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each close code, both spellings of its reason, each way to break: send(), close(), hooks and events() agree."""
    script, expected = {**ENDS, **ANSWERS}[name]
    hooks = Hooks()
    timeouts = Timeouts(close=0.3 if name == "silence" else SOON)
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, timeouts=timeouts, plugins=[hooks], api_key=KEY, reconnect=None)
        client.open()
        client.send(SECOND)
        events = list(client.events()) if name in ENDS else []
        with pytest.raises(expected.kind) as caught:
            client.close(timeout=SOON)
        events += client.events()
    with pytest.raises(expected.kind) as again:
        client.send(b"more")

    check(caught.value, expected, caplog)
    assert str(again.value) == str(caught.value)
    failed, closed = events[-2:]
    assert isinstance(failed, Failed)
    assert isinstance(closed, Closed)
    assert [str(failed.error)] == [str(error) for error in hooks.errors] == [str(caught.value)]
    assert closed.transcript == client.transcript
    assert client.state is StreamState.FAILED
    assert not client.transcript.complete
    assert client.transcript.gaps == (Span(0.0, 1.0),)
    assert KEY not in repr(client) + repr(vars(client)) + repr(events)


def test_no_audio_is_no_rejected_audio() -> None:
    """A stream without a byte of audio has an empty summary as well, and is complete."""
    for summary in (NOT_ARRIVED, EMPTY):
        with serving(obedient(summary)) as service, StreamClient(RAW, url=service.url) as client:
            pass
        assert client.transcript.complete


# Whatever websocket-client may raise.


def exceptions_of_websocket_client() -> list[Exception]:
    """One of each."""
    classes = [kind for kind in vars(websocket._exceptions).values() if isinstance(kind, type)]
    kinds = [kind for kind in classes if issubclass(kind, Exception)]
    assert len(kinds) >= 8
    bad_status = websocket.WebSocketBadStatusException
    return [kind(f"{KEY} %s", 503) if kind is bad_status else kind(KEY) for kind in kinds]


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection that stands."""
    with serving(lambda call: call.read_to_end()) as service:
        connected = connect(Address(service.url), TransportOptions(), SOON, SOON, lambda: False)
        yield connected
        connected.release(answer_close=True)


def raising(error: Exception) -> Callable[..., Any]:
    """Raises it, whatever it is called with."""

    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize("error", exceptions_of_websocket_client(), ids=lambda error: type(error).__name__)
def test_every_exception_of_websocket_client_is_mapped(
    error: Exception, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the handshake it is a ConnectError, in reading and in writing a ConnectionLost; none says what it quotes."""
    monkeypatch.setattr(connection._ws, "recv_frame", raising(error))
    with pytest.raises(ConnectionLost) as read:
        connection.receive()
    monkeypatch.setattr(connection._sound, "send", raising(error))
    with pytest.raises(ConnectionLost) as written:
        connection.write([(FrameKind.AUDIO, b"audio")])
    monkeypatch.undo()

    monkeypatch.setattr(websocket.WebSocket, "connect", raising(error))
    with serving() as service, pytest.raises(ConnectError) as connecting:
        connect(Address(service.url, secrets=(KEY,)), TransportOptions(), SOON, SOON, lambda: False)

    for caught in (read, written, connecting):
        assert caught.value.hint
    assert KEY not in str(connecting.value)
    assert connecting.value.__cause__ is None
    assert connecting.value.__suppress_context__
