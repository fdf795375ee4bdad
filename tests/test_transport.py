"""The wire: refusals, broken servers, secrets, redirects, proxies."""

import inspect
import json
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
import websocket

from streamclient import (
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ListenOptions,
    OptionsError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
    StreamClient,
    StreamClientError,
    StreamState,
    Timeouts,
    TransportOptions,
    transcribe,
)
from streamclient.dialing import Address, Attempt
from streamclient.transport import _as_lost
from tests.support.service import LINEAR16, SOON, Call, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
KEY = "sup3r-s3cret-k3y"


@contextmanager
def bare_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server whose one connection does as it is told."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(SOON)


def fails_to_open(url: str, **client: object) -> StreamClientError:
    """The error of an open() that cannot succeed."""
    opened = StreamClient(RAW, url=url, api_key=KEY, **client)  # type: ignore[arg-type]
    with pytest.raises(StreamClientError) as caught:
        opened.open()
    assert opened.state is StreamState.FAILED
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamclient")]
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, PaymentRequiredError, False),
        (403, PermissionDeniedError, False),
        (404, ConnectError, False),
        (408, ConnectError, True),
        (414, ConnectError, False),
        (429, RateLimitedError, True),
        (500, ServiceUnavailableError, True),
        (503, ServiceUnavailableError, True),
    ],
)
def test_each_refusal_has_a_name(status: int, kind: type[ConnectError], retryable: bool) -> None:
    """A refused handshake says which, why in the service's words, and whether to try again."""
    body = json.dumps({"err_code": "A_CODE", "err_msg": "Words of the service.", "request_id": "r-1"}).encode()
    with serving() as service:
        service.refusal = lambda _: (status, {"Retry-After": "7"}, body)
        error = fails_to_open(service.url)

    assert type(error) is kind
    assert isinstance(error, ConnectError)
    assert error.status == status
    assert error.detail == "Words of the service."
    assert error.request_id == "r-1"
    assert error.retry_after == 7.0
    assert error.retryable is retryable
    assert "A_CODE" in str(error)
    assert "Words of the service." in str(error)


@pytest.mark.parametrize(
    ("headers", "body", "detail"),
    [
        ({"dg-error": "From the header."}, b"", "From the header."),
        ({}, b"plain words", "plain words"),
        ({}, b'{"category": "c", "message": "m", "details": "d"}', "m"),
        ({}, b'{"code": "INVALID_PARAMETER", "description": "d"}', "d"),
        ({}, b"", None),
        ({}, b"[1, 2]", "[1, 2]"),
    ],
)
def test_the_services_words_are_found_in_every_shape(headers: dict[str, str], body: bytes, detail: str | None) -> None:
    """Bodies come as JSON of several shapes, as text, or not at all; the header helps out."""
    with serving() as service:
        service.refusal = lambda _: (400, {"dg-request-id": "from-header", **headers}, body)
        error = fails_to_open(service.url)

    assert error.detail == detail
    assert error.request_id == "from-header"


def test_redirects_are_refused() -> None:
    """A redirect would carry the key to another host; the error names the place instead."""
    with serving() as other, serving() as service:
        service.refusal = lambda _: (302, {"Location": other.url}, b"")
        error = fails_to_open(service.url)

        assert not other.calls
    assert other.url in str(error)
    assert isinstance(error, ConnectError)
    assert error.status == 302


def test_the_key_goes_out_and_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """The key reaches the service, and no log, repr, error or traceback, even if the service repeats it."""
    websocket.enableTrace(True, handler=logging.NullHandler())
    logging.getLogger("websocket").addHandler(caplog.handler)
    try:
        with serving() as service:
            client = StreamClient(RAW, url=service.url, api_key=KEY)
            client.open()
            client.close()
            shown = repr(client) + repr(vars(client)) + caplog.text
            assert service.call.headers["Authorization"] == f"Token {KEY}"

            service.refusal = lambda _: (401, {"dg-error": f"bad key {KEY}"}, b"")
            error = fails_to_open(service.url)
    finally:
        logging.getLogger("websocket").removeHandler(caplog.handler)
        websocket.enableTrace(False)

    shown += repr(error) + str(error) + "".join(traceback.format_exception(error))
    cause: BaseException | None = error
    while cause is not None:
        shown += str(inspect.getinnerframes(cause.__traceback__)) if cause.__traceback__ else ""
        cause = cause.__cause__ or cause.__context__
    assert KEY not in shown


def test_a_token_is_asked_for_and_sent_as_bearer() -> None:
    """An access_token callable is asked before the connection, in a thread of the stream."""
    threads: list[str] = []

    def token() -> str:
        threads.append(threading.current_thread().name)
        return "fresh-token\n"

    with serving() as service, StreamClient(RAW, url=service.url, access_token=token):
        pass

    assert service.call.headers["Authorization"] == "Bearer fresh-token"
    assert threads[0].startswith("streamclient-sender")


def test_a_failing_token_callable_is_a_connect_error() -> None:
    """The callable's own exception is the cause."""

    def token() -> str:
        raise LookupError("no token today")

    with serving() as service:
        client = StreamClient(RAW, url=service.url, access_token=token)
        with pytest.raises(ConnectError) as caught:
            client.open()

    assert isinstance(caught.value.__cause__, LookupError)


def test_options_are_in_the_query() -> None:
    """The path and the query come from the options."""
    options = ListenOptions(model="nova-3", keyterm=["one two", "three"], punctuate=True)
    with serving() as service, StreamClient(options, url=service.url):
        pass

    assert service.call.path == "/v1/listen?model=nova-3&punctuate=true&keyterm=one+two&keyterm=three"


def test_extra_headers_are_sent() -> None:
    """TransportOptions.headers go out with the handshake."""
    transport = TransportOptions(headers={"X-Trace": "42"})
    with serving() as service, StreamClient(RAW, url=service.url, transport=transport):
        pass

    assert service.call.headers["X-Trace"] == "42"
    assert service.call.headers["User-Agent"].startswith("streamclient/")


@pytest.mark.parametrize(
    "url", ["localhost:1", "ftp://localhost", "ws://", "ws://host:99999", "ws://u:p@host", "ws://host?x=1"]
)
def test_a_wrong_url_is_an_options_error(url: str) -> None:
    """It is found before any connection."""
    with pytest.raises(OptionsError, match="url="):
        StreamClient(RAW, url=url)


def test_the_real_service_is_not_called_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to set, and no connection is tried."""
    monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
    monkeypatch.delenv("STREAMCLIENT_URL", raising=False)
    client = StreamClient(RAW)
    with pytest.raises(AuthenticationError, match="DEEPGRAM_API_KEY"):
        client.open()


def test_a_closed_port_is_a_connect_error() -> None:
    """Nobody listens there, and the error says so."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    error = fails_to_open(f"ws://127.0.0.1:{port}")

    assert isinstance(error, ConnectError)
    assert "refused" in str(error)
    assert error.retryable


def test_a_silent_server_is_a_connect_timeout() -> None:
    """A handshake that is never answered ends after Timeouts.connect seconds."""
    stop = threading.Event()
    with bare_server(lambda _: (stop.wait(SOON), None)[1]) as port:
        error = fails_to_open(f"ws://127.0.0.1:{port}", timeouts=Timeouts(connect=0.3))
        stop.set()

    assert isinstance(error, ConnectTimeout)
    assert "handshake" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"\x00\xff" * 5000,
        b"",
        b"HTTP/1.1 101 X\r\n" + b"X-Long: " + b"a" * 2_000_000,
        b"HTTP/1.1 500 X\r\nContent-Length: 99999999999\r\n\r\n" + b"a" * 2_000_000,
        b"HTTP/1.1 401 X\r\nContent-Length: abc\r\n\r\n",
    ],
)
def test_garbage_instead_of_a_handshake_is_a_connect_error(answer: bytes) -> None:
    """Whatever a server says, the caller gets one of our errors, and memory stays bounded."""

    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        try:
            connection.sendall(answer)
        except OSError:
            pass

    with bare_server(speak) as port:
        assert isinstance(fails_to_open(f"ws://127.0.0.1:{port}"), ConnectError)


def test_abort_interrupts_a_connection_attempt() -> None:
    """Another thread can give up a client that is still connecting."""
    stop, reached = threading.Event(), threading.Event()

    def hold(connection: socket.socket) -> None:
        connection.recv(4096)
        reached.set()
        stop.wait(SOON)

    with bare_server(hold) as port:
        client = StreamClient(RAW, url=f"ws://127.0.0.1:{port}")
        opener = threading.Thread(target=client.open)
        opener.start()
        assert reached.wait(SOON)
        client.abort()
        opener.join(SOON)
        stop.set()

    assert not opener.is_alive()
    assert client.state is StreamState.CLOSED


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" + b"a" * 100_000,
        b"\x83\x00",
        b"\xf1\x00",
        b"\x80\x01a",
        b"\x01\x01a\x01\x01b",
        b"\x88\x01\x03",
        b"\x88\x02\x00\x01",
    ],
)
def test_a_server_that_breaks_the_protocol_loses_the_connection(frame: bytes) -> None:
    """Huge, reserved, orphaned and malformed frames end in a named error."""

    def script(call: Call) -> None:
        call.read()
        with suppress(OSError):  # the client may be gone already
            call.ws.socket.sendall(frame)
            call.ws.socket.shutdown(socket.SHUT_WR)
        call.read_to_end()

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=None)
        client.open()
        client.send(b"audio")
        list(client.events())
        with pytest.raises(ConnectionLost):
            client.close()


def test_fragmented_messages_are_put_together() -> None:
    """A message in many frames, with a ping between them, is one message."""
    text = json.dumps(final("in pieces", 0.0)).encode()

    def script(call: Call) -> None:
        call.read_until()
        pieces = [text[start : start + 7] for start in range(0, len(text), 7)]
        wire = b"\x01" + bytes([len(pieces[0])]) + pieces[0] + b"\x89\x02hi"
        for piece in pieces[1:-1]:
            wire += b"\x00" + bytes([len(piece)]) + piece
        wire += b"\x80" + bytes([len(pieces[-1])]) + pieces[-1]
        call.ws.socket.sendall(wire)
        call.end(metadata())

    with serving(script) as service, StreamClient(RAW, url=service.url) as client:
        assert client.close().text == "in pieces"


def test_what_cannot_be_understood_is_passed_on() -> None:
    """Garbage, unknown types and binary frames of the server end nothing."""

    def script(call: Call) -> None:
        call.read_until()
        call.ws.send(b"binary")
        call.say("not json", "", "[]", '{"type": "Tomorrow"}', '{"type": 7}', '{"type": "Results"}', "[" * 100_000)
        call.end(final("fine", 0.0), metadata())

    with serving(script) as service:
        assert transcribe([b"audio"], RAW, url=service.url).text == "fine"


def test_a_proxy_is_asked_for_a_tunnel() -> None:
    """The proxy gets CONNECT with its login, and the stream goes through it."""
    requests: list[bytes] = []
    with serving(obedient(final("tunnelled", 0.0), metadata())) as service:
        target = int(service.url.rsplit(":", 1)[1])

        def relay(client_side: socket.socket) -> None:
            requests.append(client_side.recv(4096))
            with closing(socket.create_connection(("127.0.0.1", target))) as server_side:
                client_side.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server_side, client_side))
                back.start()
                _copy(client_side, server_side)
                back.join(SOON)

        with bare_server(relay) as port:
            transport = TransportOptions(proxy=f"http://user:pa%20ss@127.0.0.1:{port}")
            transcript = transcribe([b"audio"], RAW, url=service.url, transport=transport)

    assert transcript.text == "tunnelled"
    assert requests[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1" % target)
    assert b"Proxy-Authorization: Basic dXNlcjpwYSBzcw==" in requests[0]


def test_a_proxy_that_refuses_is_named() -> None:
    """The error holds the proxy's answer and not its password."""
    refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"

    def turn_away(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(refuse)

    with bare_server(turn_away) as port:
        proxy = TransportOptions(proxy=f"http://user:pa55word@127.0.0.1:{port}")
        error = fails_to_open("ws://127.0.0.1:9", transport=proxy)

    assert "407" in str(error)
    assert "pa55word" not in str(error) + repr(proxy)


def test_every_exception_of_websocket_client_is_mapped() -> None:
    """Whatever websocket-client raises while connecting or reading leaves as one of our errors."""
    kinds = [
        kind for _, kind in inspect.getmembers(websocket._exceptions, inspect.isclass) if issubclass(kind, Exception)
    ]
    assert len(kinds) >= 8
    attempt = Attempt(Address("ws://host/"), TransportOptions(), 0.0, lambda: False)
    for kind in kinds:
        error = kind("x", 500) if kind is websocket.WebSocketBadStatusException else kind("x")
        assert isinstance(attempt.explain(error, 1.0), ConnectError)
        assert isinstance(_as_lost(error, None), ConnectionLost)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
