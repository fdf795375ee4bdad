"""Each fault, over real sockets, in front of the local server: what a client sees, and what becomes of the words."""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from streamclient import (
    AuthenticationError,
    BadRequestError,
    CloseTimeout,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ListenOptions,
    PaymentRequiredError,
    RateLimitedError,
    ReconnectPolicy,
    ServiceUnavailableError,
    StreamClient,
    StreamClientError,
    Timeouts,
    Transcript,
)
from streamclient.server import ServerStartError
from streamclient.testing import DeepgramServer, Relay, StreamRecorder, silence, spoken
from streamclient.testing.builders import metadata, results
from streamclient.testing.faults import (
    Alter,
    Close,
    DelayMetadata,
    Dribble,
    Fault,
    Fin,
    Fragment,
    Garbage,
    HalfOpen,
    NoClose,
    Ping,
    Refuse,
    Reset,
    Say,
    SlowHandshake,
    StaleCredential,
    Stall,
    audio_bytes,
    audio_seconds,
    close_stream,
    finals,
    handshake,
    messages,
)
from tests.support.service import obedient, serving

LISTEN = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&interim_results=true"
OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000, interim_results=True)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
TEXT = "the quick brown fox jumps over the lazy dog"
SPEECH = spoken("the quick brown fox", "jumps over", "the lazy dog")
SECOND = 32000
SOON = 10.0


@pytest.fixture
def server() -> Iterator[DeepgramServer]:
    """A server that hears the speech above."""
    with DeepgramServer() as server:
        yield server


def transcribe(server: DeepgramServer, **arguments: Any) -> Transcript:
    """Stream the speech, and close."""
    client = StreamClient(OPTIONS, url=server.url, **{"reconnect": QUICK, **arguments})
    with client:
        for start in range(0, len(SPEECH), 6400):
            client.send(SPEECH[start : start + 6400])
        return client.close(timeout=SOON)


def listen(server: DeepgramServer, **arguments: Any) -> ClientConnection:
    """A client that shows everything."""
    connection: ClientConnection = connect(server.url + LISTEN, compression=None, **arguments)
    return connection


def messages_of(connection: ClientConnection) -> list[Any]:
    """Everything up to the end."""
    return [json.loads(message) for message in connection]


def test_a_relay_without_faults_changes_nothing(server: DeepgramServer) -> None:
    """Every word arrives, and the call knows what was asked for, sent and said, and how it ended."""
    assert transcribe(server).text == TEXT
    call = server.call
    call.assert_closed_well()
    assert call.audio == SPEECH
    assert call.options["model"] == ["nova-3"]
    assert call.controls == [{"type": "CloseStream"}]
    assert call.transcript == TEXT
    assert call.messages[-1]["type"] == "Metadata"
    assert call.messages[-1]["request_id"] == call.request_id
    assert call.ended == "closed"


BREAKS = [
    Reset(),
    Reset(after=audio_bytes(12_345)),
    Reset(after=finals(1)),
    Reset(after=close_stream()),
    Fin(after=audio_seconds(0.7)),
    Fin(after=close_stream(1)),
    Close(1011, "NET-0001", after=messages(2)),
    Close(1011, "Deepgram did not receive audio data. See https://dpgr.am/net0001", after=finals(2)),
    Close(1001, after=close_stream()),
    Close(1012, after=audio_bytes(1)),
    Close(999, "a code that is not allowed", after=audio_seconds(0.5)),
]


@pytest.mark.parametrize("fault", BREAKS, ids=str)
def test_a_broken_connection_costs_no_word(server: DeepgramServer, fault: Fault) -> None:
    """After a break at any moment the client comes again, and the transcript is whole."""
    server.break_next(fault)
    transcript = transcribe(server)
    assert (transcript.text, transcript.complete) == (TEXT, True)
    server.relay.wait_for_ends()
    assert server.calls[0].ended == type(fault).__name__
    assert len(server.calls) == 2
    server.calls[1].assert_closed_well()


NUISANCES = [
    Stall(0.05, after=audio_seconds(0.5)),
    Say(after=messages(1)),
    Say("{", after=audio_bytes(1)),
    Say("", after=audio_bytes(1)),
    Say('{"type": 7}', after=close_stream()),
    Say(json.dumps({"type": "Warning", "code": "HOT"}), after=finals(1)),
    Ping(after=audio_seconds(0.3)),
    Dribble(97, 0.0001),
    Fragment(7),
    DelayMetadata(0.05),
    SlowHandshake(0.05),
    Alter("null optionals"),
    Alter("unknown fields"),
    Alter("type is a number"),
    Alter("no alternatives"),
    Alter("no from_finalize"),
]


@pytest.mark.parametrize("fault", NUISANCES, ids=str)
def test_a_nuisance_changes_nothing(server: DeepgramServer, fault: Fault) -> None:
    """What is odd, late or in pieces costs neither a word nor the connection."""
    server.break_next(fault)
    transcript = transcribe(server)
    assert (transcript.text, transcript.complete) == (TEXT, True)
    server.call.assert_closed_well()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refuse(400), BadRequestError),
        (Refuse(401), AuthenticationError),
        (Refuse(402), PaymentRequiredError),
        (Refuse(429), RateLimitedError),
        (Refuse(500, body="no JSON at all"), ServiceUnavailableError),
        (Refuse(503, body=""), ServiceUnavailableError),
        (Refuse(302, headers={"Location": "ws://127.0.0.1:1/v1/listen"}), ConnectError),
        (Garbage(), ConnectError),
        (Garbage("HTTP/1.1 101 Switching Protocols\r\n\r\n"), ConnectError),
        (Reset(after=handshake()), ConnectError),
        (Fin(after=handshake()), ConnectError),
    ],
    ids=str,
)
def test_a_refused_handshake_has_a_name(server: DeepgramServer, fault: Fault, error: type[StreamClientError]) -> None:
    """Each refusal of a first connection is the error of that name."""
    server.break_next(fault)
    with pytest.raises(error) as caught:
        StreamClient(OPTIONS, url=server.url).open()
    assert isinstance(caught.value, ConnectError)
    if isinstance(fault, Refuse):
        assert caught.value.status == fault.status
        server.call.wait_for_end()
        assert (server.call.refused, server.call.ended) == (fault.status, "refused")


def test_a_refusal_looks_like_the_service_s(server: DeepgramServer) -> None:
    """The body is the service's JSON, the header says the same, and more headers can be given."""
    server.break_next(Refuse(429, "Too many requests.", headers={"Retry-After": "1"}))
    with pytest.raises(InvalidStatus) as caught:
        listen(server)
    response = caught.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert response.headers["dg-error"] == "Too many requests."
    body = json.loads(response.body or b"")
    assert (body["err_code"], body["err_msg"]) == ("TOO_MANY_REQUESTS", "Too many requests.")


def test_a_refusal_may_be_worded_in_any_language(server: DeepgramServer) -> None:
    """A header holds ASCII alone, the body everything."""
    server.break_next(Refuse(503, "Überlastet"))
    with pytest.raises(ServiceUnavailableError, match="Überlastet"):
        StreamClient(OPTIONS, url=server.url).open()


def test_the_server_s_own_refusal_passes(server: DeepgramServer) -> None:
    """What the server behind refuses is refused in its words."""
    with pytest.raises(InvalidStatus) as caught:
        connect(server.url + "/v1/listen?encoding=linear16", compression=None)
    assert caught.value.response.status_code == 400
    assert "sample_rate" in caught.value.response.headers["dg-error"]
    assert server.call.refused == 400


def test_a_client_gets_in_after_so_many_refusals(server: DeepgramServer) -> None:
    """A schedule of connections: 429 twice, then the stream."""
    for fault in (Reset(after=finals(1)), Refuse(429, headers={"Retry-After": "0"}), Refuse(503)):
        server.break_next(fault)
    assert transcribe(server).text == TEXT
    assert [call.refused for call in server.calls] == [None, 429, 503, None]


def test_a_token_is_good_for_one_handshake(server: DeepgramServer) -> None:
    """A client that asks for a fresh token comes through; one that uses the old one again is refused."""
    server.break_next(Reset(after=finals(1)))
    server.break_next(StaleCredential())
    tokens = iter(["first", "second"])
    assert transcribe(server, access_token=lambda: next(tokens)).text == TEXT
    server.break_next(Reset(after=finals(1)))
    server.break_next(StaleCredential())
    with pytest.raises(ConnectionLost) as caught:
        transcribe(server, access_token="always-the-same")
    assert isinstance(caught.value.__cause__, AuthenticationError)


def test_a_handshake_that_is_never_answered_times_out(server: DeepgramServer) -> None:
    """The client gives up after Timeouts.connect."""
    server.break_next(SlowHandshake(inf))
    with pytest.raises(ConnectTimeout):
        StreamClient(OPTIONS, url=server.url, timeouts=Timeouts(connect=0.2)).open()


def test_a_half_open_connection_is_replaced(server: DeepgramServer) -> None:
    """A server that is gone without a word answers no ping; the client notices and comes again."""
    server.break_next(HalfOpen(after=audio_seconds(0.3)))
    recorder = StreamRecorder()
    timeouts = Timeouts(ping=0.05, pong=0.2)
    with StreamClient(OPTIONS, url=server.url, reconnect=QUICK, timeouts=timeouts, plugins=[recorder]) as client:
        client.send(SPEECH)
        recorder.wait_until(lambda heard: heard.reconnects)
    assert client.transcript.text == TEXT


def test_a_half_open_connection_answers_nothing(server: DeepgramServer) -> None:
    """No pong, no message, and no end either."""
    server.break_next(HalfOpen(after=audio_bytes(4)))
    with listen(server, ping_interval=None, close_timeout=0.1) as connection:
        connection.send(SPEECH)
        assert not connection.ping().wait(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.1)


def test_a_stalled_connection_goes_on(server: DeepgramServer) -> None:
    """Nothing comes for as long as was asked for, then all of it."""
    server.break_next(Stall(0.3, after=close_stream()))
    with listen(server) as connection:
        connection.send(SPEECH)
        asked = time.monotonic()
        connection.send('{"type": "CloseStream"}')
        received = messages_of(connection)
        assert time.monotonic() - asked >= 0.3
    assert received[-1]["type"] == "Metadata"


def test_metadata_comes_late(server: DeepgramServer) -> None:
    """The results come at once, the summary and the close frame not before their time."""
    server.break_next(DelayMetadata(0.3))
    with listen(server) as connection:
        connection.send(SPEECH)
        asked = time.monotonic()
        connection.send('{"type": "CloseStream"}')
        received = messages_of(connection)
        assert time.monotonic() - asked >= 0.3
    assert [message["type"] for message in received][-2:] == ["Results", "Metadata"]
    assert connection.close_code == 1000


def test_no_close_after_close_stream(server: DeepgramServer) -> None:
    """The summary comes, the close frame never does; the client says so within its budget."""
    server.break_next(NoClose())
    with pytest.raises(CloseTimeout) as caught:
        transcribe(server, timeouts=Timeouts(close=1.0))
    assert caught.value.transcript is not None
    assert caught.value.transcript.text == TEXT


@pytest.mark.parametrize(("code", "seen"), [(1000, 1000), (1011, 1011), (4321, 4321), (None, None)])
def test_a_close_frame_has_any_code(server: DeepgramServer, code: int | None, seen: int | None) -> None:
    """The client sees the code and the reason it was given, or that there was none."""
    server.break_next(Close(code, "for a reason" if code else "", after=audio_bytes(100)))
    with listen(server) as connection:
        connection.send(SPEECH)
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                connection.recv(SOON)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == (seen or 1005)
    assert caught.value.rcvd.reason == ("for a reason" if code else "")


def test_a_reset_is_a_reset(server: DeepgramServer) -> None:
    """The client's socket reports it as such."""
    server.break_next(Reset(after=audio_bytes(100)))
    with listen(server, close_timeout=0.1) as connection:
        connection.send(bytes(200))
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(SOON)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_a_fin_is_no_reset(server: DeepgramServer) -> None:
    """The client's socket reads the end of the stream, even when audio is still on its way."""
    server.break_next(Fin(after=audio_bytes(100)))
    with listen(server, close_timeout=0.1) as connection:
        connection.send(SPEECH)
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                connection.recv(SOON)
    assert not isinstance(caught.value.__cause__, ConnectionResetError)
    assert caught.value.rcvd is None


def test_messages_come_in_fragments(server: DeepgramServer) -> None:
    """With fragments of ten bytes each message is the same, in more frames."""
    server.break_next(Fragment(10))
    with listen(server) as connection:
        connection.send(SPEECH)
        connection.send('{"type": "CloseStream"}')
        pieces = list(connection.recv_streaming())
        assert json.loads("".join(map(str, pieces)))["type"] == "Results"
        assert max(map(len, pieces)) <= 10
        messages_of(connection)


def test_what_a_client_sends_after_close_stream_is_told(server: DeepgramServer) -> None:
    """A client that goes on after its CloseStream has not closed well."""
    server.break_next(NoClose())  # or it may be too late for more
    with listen(server) as connection:
        connection.send('{"type": "CloseStream"}')
        connection.send(b"more")
        server.call.wait_until(lambda call: len(call.frames) == 2)
    with pytest.raises(AssertionError, match="after its CloseStream"):
        server.call.assert_closed_well()


def test_a_client_that_leaves_has_not_closed_well(server: DeepgramServer) -> None:
    """Neither has one that does not say CloseStream, or does not wait for the server."""
    with listen(server) as connection:
        connection.send(SPEECH)
    with pytest.raises(AssertionError, match="no CloseStream"):
        server.call.assert_closed_well()


def test_a_wrong_schedule_is_the_test_s_failure() -> None:
    """What cannot be done is raised where the server is stopped, not swallowed by a thread."""
    server = DeepgramServer()
    server.start()
    server.break_next(Reset(after=audio_seconds(1)))
    with pytest.raises((ConnectionClosed, InvalidMessage, EOFError, ConnectionError)):
        connect(server.url + "/v1/listen", compression=None)
    with pytest.raises(ValueError, match="audio_bytes"):
        server.stop()


def test_stopping_cuts_what_is_left() -> None:
    """A server that is stopped leaves no thread, whoever is still connected, however deaf."""
    server = DeepgramServer(schedule=[[], [HalfOpen()]])
    server.start()
    with listen(server, close_timeout=0.1), listen(server, close_timeout=0.1):
        server.stop()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamclient-server")]


def test_bytes_that_are_no_http_do_no_harm(server: DeepgramServer) -> None:
    """A stranger at the port is sent away, and the next client is served."""
    with socket.create_connection(("127.0.0.1", server.relay.port)) as stranger:
        stranger.sendall(b"\x16\x03\x01 hello?\r\n\r\n")
        assert stranger.recv(1000) == b""
    with socket.create_connection(("127.0.0.1", server.relay.port)) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert transcribe(server).text == TEXT


def test_a_server_behind_tls_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client speaks in the clear to the relay, the relay under TLS to a server whose certificate it checks."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(obedient(results("under cover", 0, 1), metadata()), tls=context) as service:
        with Relay(service.url) as relay:
            client = StreamClient(OPTIONS, url=relay.url, reconnect=None)
            with pytest.raises(ServiceUnavailableError, match="502"):
                client.open()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with Relay(service.url) as relay, StreamClient(OPTIONS, url=relay.url) as client:
            client.send(silence(40.0))
    assert client.transcript.text == "under cover"
    assert service.call.audio == silence(40.0)


def test_a_server_that_is_not_there_is_told() -> None:
    """A relay to nowhere answers for the server."""
    with socket.socket() as nobody:  # has the port, and does not listen
        nobody.bind(("127.0.0.1", 0))
        upstream = f"ws://127.0.0.1:{nobody.getsockname()[1]}"
        with Relay(upstream) as relay, pytest.raises(ServiceUnavailableError, match="502"):
            StreamClient(OPTIONS, url=relay.url).open()


def test_a_taken_port_is_told() -> None:
    """With what to do."""
    with Relay("ws://127.0.0.1:1") as relay, pytest.raises(ServerStartError, match="taken"):
        Relay("ws://127.0.0.1:1", port=relay.port).start()


def test_recorders_are_told_everything() -> None:
    """What is recorded is what happened, in order, with times that do not go back."""
    entries: list[Any] = []
    with DeepgramServer(schedule=[[Reset(after=finals(1))]], recorders=[entries.append]) as server:
        transcribe(server)
        server.relay.wait_for_ends()
    kinds = [type(entry.what).__name__ for entry in entries if entry.connection == 1]
    assert kinds[:2] == ["Requested", "Accepted"]
    assert kinds[-3:] == ["Closed", "Closed", "Ended"]
    times = [entry.at for entry in entries]
    assert times == sorted(times)
    assert {entry.connection for entry in entries} == {0, 1}
