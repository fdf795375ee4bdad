"""The wire: refusals, broken servers, secrets, redirects, proxies."""

import inspect
import json
import logging
import socket
import threading
import traceback
from contextlib import closing, suppress

import pytest
import websocket

from streamclient import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    ListenOptions,
    OptionsError,
    StreamClient,
    StreamClientError,
    StreamState,
    TransportOptions,
    transcribe,
)
from tests.support.bare import bare_server
from tests.support.service import LINEAR16, SOON, Call, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
KEY = "sup3r-s3cret-k3y"


def fails_to_open(url: str, **client: object) -> StreamClientError:
    """The error of an open() that cannot succeed."""
    opened = StreamClient(RAW, url=url, api_key=KEY, **client)  # type: ignore[arg-type]
    with pytest.raises(StreamClientError) as caught:
        opened.open()
    assert opened.state is StreamState.FAILED
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamclient")]
    return caught.value


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
    """A redirect would carry the key to another host; that host is not called."""
    with serving() as other, serving() as service:
        service.refusal = lambda _: (302, {"Location": other.url}, b"")
        error = fails_to_open(service.url)

        assert not other.calls
    assert other.url in str(error)


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


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
