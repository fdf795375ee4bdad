"""Each way in which a handshake or a connection fails, by its name: what two clients see, and what is lost."""

import json
import time
from collections.abc import Iterator
from math import inf
from uuid import UUID

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from streamclient import (
    AuthenticationError,
    BadRequestError,
    CloseTimeout,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
    StreamClient,
    Timeouts,
)
from streamclient.testing import DeepgramServer, StreamRecorder
from streamclient.testing.faults import (
    Close,
    Fault,
    Fin,
    Garbage,
    HalfOpen,
    NoClose,
    Refuse,
    Reset,
    SlowHandshake,
    StaleCredential,
    audio_bytes,
    audio_seconds,
    close_stream,
    finals,
    handshake,
    messages,
)
from tests.support.clients import (
    CLOSE_STREAM,
    OPTIONS,
    QUICK,
    SOON,
    SPEECH,
    TEXT,
    UTTERANCE,
    assert_nothing_is_lost,
    dial,
    listen,
    transcribe,
)


@pytest.fixture
def server() -> Iterator[DeepgramServer]:
    """A server that hears the speech above."""
    with DeepgramServer() as server:
        yield server


# The handshake.


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "Bad Request", BadRequestError),
        (401, "INVALID_AUTH", AuthenticationError),
        (402, "ASR_PAYMENT_REQUIRED", PaymentRequiredError),
        (403, "INSUFFICIENT_PERMISSIONS", PermissionDeniedError),
        (429, "TOO_MANY_REQUESTS", RateLimitedError),
        (500, "INTERNAL_SERVER_ERROR", ServiceUnavailableError),
        (503, "Service Unavailable", ServiceUnavailableError),
    ],
)
def test_refuse_with_any_status(server: DeepgramServer, status: int, code: str, error: type[ConnectError]) -> None:
    """The status, ``dg-error``, a request id and the service's JSON; to streamclient an error of that name."""
    server.break_next(Refuse(status, "Not today.", headers={"Retry-After": "1"}))
    server.break_next(Refuse(status, "Not today."))
    with pytest.raises(InvalidStatus) as seen, dial(server):
        pass
    response = seen.value.response
    body = json.loads(response.body or b"")
    assert (response.status_code, response.headers["dg-error"]) == (status, "Not today.")
    assert (response.headers["Retry-After"], response.headers["Content-Length"]) == (
        "1",
        str(len(response.body or b"")),
    )
    assert (body["err_code"], body["err_msg"]) == (code, "Not today.")
    assert str(UUID(body["request_id"])) == response.headers["dg-request-id"]
    with pytest.raises(error, match=r"Not today\.") as caught:
        StreamClient(OPTIONS, url=server.url).open()
    assert caught.value.status == status
    for call in server.calls:
        call.wait_for_end()
    assert [(call.refused, call.ended) for call in server.calls] == [(status, "refused")] * 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refuse(500, body="no JSON at all"), ServiceUnavailableError),
        (Refuse(503, body=""), ServiceUnavailableError),
        (Refuse(503, "Überlastet"), ServiceUnavailableError),
        (Refuse(302, headers={"Location": "ws://127.0.0.1:1/v1/listen"}), ConnectError),
        (Garbage(), ConnectError),
        (Garbage("HTTP/1.1 101 Switching Protocols\r\n\r\n"), ConnectError),
        (Reset(after=handshake()), ConnectError),
        (Fin(after=handshake()), ConnectError),
        (Close(1011, after=handshake()), ConnectError),
    ],
    ids=str,
)
def test_a_handshake_that_fails_in_other_ways(server: DeepgramServer, fault: Fault, error: type[ConnectError]) -> None:
    """With a body that is none, a redirect, something that is no HTTP, or no answer: a failure for both."""
    server.break_next(fault)
    server.break_next(fault)
    with pytest.raises(error):
        StreamClient(OPTIONS, url=server.url).open()
    with pytest.raises((InvalidHandshake, OSError, EOFError)), dial(server):
        pass


def test_slow_handshake(server: DeepgramServer) -> None:
    """The answer comes late, or never."""
    assert_nothing_is_lost(server, SlowHandshake(0.05))
    server.break_next(SlowHandshake(0.2))
    asked = time.monotonic()
    with dial(server):
        assert time.monotonic() - asked >= 0.2
    for _ in range(2):
        server.break_next(SlowHandshake(inf))
    with pytest.raises(ConnectTimeout):
        StreamClient(OPTIONS, url=server.url, timeouts=Timeouts(connect=0.2)).open()
    with pytest.raises(TimeoutError), dial(server, open_timeout=0.2):
        pass


def test_429_n_times_then_101(server: DeepgramServer) -> None:
    """A client that comes again gets in after so many refusals."""
    for _ in range(2):
        server.break_next(Refuse(429))
    for _ in range(2):
        with pytest.raises(InvalidStatus), dial(server):
            pass
    assert listen(server).words == TEXT
    retry_at_once = {"Retry-After": "0"}
    refusals = (Refuse(429, headers=retry_at_once), Refuse(429, headers=retry_at_once), Refuse(503))
    assert_nothing_is_lost(server, Reset(after=finals(1)), *refusals, connections=5)
    assert [call.refused for call in server.calls[3:]] == [None, 429, 429, 503, None]


def test_a_token_valid_only_once(server: DeepgramServer) -> None:
    """Who asks for a fresh token comes through; who comes with the used one again is refused with 401."""
    old, new = ({"additional_headers": {"Authorization": f"Bearer {token}"}} for token in ("old", "new"))
    with dial(server, **old):
        pass
    server.break_next(StaleCredential())
    with pytest.raises(InvalidStatus) as seen, dial(server, **old):
        pass
    assert seen.value.response.status_code == 401
    server.break_next(StaleCredential())
    with dial(server, **new):
        pass
    server.break_next(Reset(after=finals(1)))
    server.break_next(StaleCredential())
    tokens = iter(["first", "second"])
    assert transcribe(server, access_token=lambda: next(tokens)).text == TEXT
    server.break_next(Reset(after=finals(1)))
    server.break_next(StaleCredential())
    with pytest.raises(ConnectionLost) as caught:
        transcribe(server, access_token="always-the-same")
    assert isinstance(caught.value.__cause__, AuthenticationError)


# The end of a connection.


@pytest.mark.parametrize(
    "fault",
    [
        Reset(),
        Reset(after=audio_bytes(12_345)),
        Reset(after=finals(1)),
        Reset(after=close_stream()),
        Fin(after=audio_seconds(0.7)),
        Fin(after=messages(2)),
        Fin(after=close_stream(1)),
    ],
    ids=str,
)
def test_drop_tcp_without_close(server: DeepgramServer, fault: Fault) -> None:
    """At any moment, 1006 to a client: streamclient comes again, and the transcript is whole."""
    assert_nothing_is_lost(server, fault, connections=2)
    server.calls[0].wait_for_end()
    assert server.calls[0].ended == type(fault).__name__
    assert listen(server, fault).end.rcvd is None


def test_a_reset_is_a_reset_and_a_fin_is_none(server: DeepgramServer) -> None:
    """A client's socket tells the two apart, also when audio is still on its way."""
    server.break_next(Reset(after=audio_bytes(100)))
    with dial(server) as connection:
        connection.send(bytes(200))
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(SOON)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert not isinstance(listen(server, Fin(after=audio_bytes(100))).end.__cause__, ConnectionResetError)


SENTENCE = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)


@pytest.mark.parametrize("reason", ["NET-0000", "NET-0001", SENTENCE, ""])
def test_close_with_1011_in_both_reason_spellings(server: DeepgramServer, reason: str) -> None:
    """The documented code, the sentence that is really sent, or nothing: a break, and nothing is lost."""
    assert_nothing_is_lost(server, Close(1011, reason, after=audio_seconds(0.7)), connections=2)
    end = listen(server, Close(1011, reason, after=finals(2))).end
    assert end.rcvd
    assert (end.rcvd.code, end.rcvd.reason) == (1011, reason)


@pytest.mark.parametrize("code", [1001, 1008, 1012, 4321])
def test_close_with_any_code_and_reason(server: DeepgramServer, code: int) -> None:
    """A client sees the code and the reason."""
    end = listen(server, Close(code, "for a reason", after=audio_bytes(100))).end
    assert end.rcvd
    assert (end.rcvd.code, end.rcvd.reason) == (code, "for a reason")


def test_close_with_a_code_that_is_not_allowed(server: DeepgramServer) -> None:
    """To one client a failure of the protocol, to the other one more break."""
    end = listen(server, Close(999, "not allowed", after=audio_bytes(100))).end
    assert (end.rcvd, end.sent and end.sent.code) == (None, 1002)
    assert_nothing_is_lost(server, Close(999, "not allowed", after=audio_seconds(0.5)), connections=2)


@pytest.mark.parametrize("code", [1000, None])
def test_close_1000_unasked_or_with_a_0_byte_payload(server: DeepgramServer, code: int | None) -> None:
    """A normal end in the middle of the audio: streamclient takes neither for the end of its stream."""
    server.break_next(Close(code, after=audio_bytes(len(UTTERANCE))))
    with dial(server) as connection:
        connection.send(SPEECH)
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                connection.recv(SOON)
    assert caught.value.rcvd
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code or 1005, "")
    server.break_next(Close(code, after=audio_bytes(len(UTTERANCE))))
    recorder = StreamRecorder()
    with StreamClient(OPTIONS, url=server.url, reconnect=QUICK, plugins=[recorder]) as client:
        client.send(UTTERANCE)
        recorder.wait_until(lambda heard: heard.reconnects)
        client.send(SPEECH[len(UTTERANCE) :])
    assert client.transcript.text == TEXT
    ((lost, _),) = recorder.disconnects
    assert isinstance(lost, ConnectionLost)
    assert lost.code == (code or 1005)


def test_half_open(server: DeepgramServer) -> None:
    """No pong, no message, and no end either; streamclient notices, and comes again."""
    server.break_next(HalfOpen(after=audio_bytes(4)))
    with dial(server, ping_interval=None) as connection:
        connection.send(SPEECH)
        assert not connection.ping().wait(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.1)
    server.break_next(HalfOpen(after=audio_seconds(0.1)))
    recorder = StreamRecorder()
    timeouts = Timeouts(ping=0.05, pong=0.2)
    with StreamClient(OPTIONS, url=server.url, reconnect=QUICK, timeouts=timeouts, plugins=[recorder]) as client:
        client.send(SPEECH[:6400])
        recorder.wait_until(lambda heard: heard.reconnects)
        client.send(SPEECH[6400:])
    assert client.transcript.text == TEXT


def test_no_close_after_close_stream(server: DeepgramServer) -> None:
    """The summary comes, the close frame never does; streamclient says so within its budget, with all it has."""
    server.break_next(NoClose())
    with dial(server) as connection:
        connection.send(SPEECH)
        connection.send(CLOSE_STREAM)
        while json.loads(connection.recv(SOON))["type"] != "Metadata":
            pass
        with pytest.raises(TimeoutError):
            connection.recv(0.2)
    server.break_next(NoClose())
    with pytest.raises(CloseTimeout) as caught:
        transcribe(server, timeouts=Timeouts(close=3.0))
    assert caught.value.transcript is not None
    assert caught.value.transcript.text == TEXT
