"""What stands between clients and a server: what it carries, remembers and tells, and how it ends."""

import logging
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

from streamclient import (
    ServiceUnavailableError,
    StreamClient,
)
from streamclient.server import ServerStartError
from streamclient.testing import DeepgramServer, Relay, silence
from streamclient.testing.builders import metadata, results
from streamclient.testing.faults import (
    HalfOpen,
    NoClose,
    Refuse,
    Reset,
    audio_seconds,
    finals,
)
from tests.support.clients import CLOSE_STREAM, OPTIONS, SPEECH, TEXT, dial, transcribe
from tests.support.service import obedient, serving


@pytest.fixture
def server() -> Iterator[DeepgramServer]:
    """A server that hears the speech above."""
    with DeepgramServer() as server:
        yield server


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


def test_the_key_is_in_no_log(server: DeepgramServer, caplog: pytest.LogCaptureFixture) -> None:
    """Not even at DEBUG, where the library below would tell every header it reads and writes, twice."""
    with caplog.at_level(logging.DEBUG), StreamClient(OPTIONS, api_key="the-key", url=server.url) as client:
        client.send(SPEECH)
    assert server.call.headers["authorization"] == "Token the-key"
    assert "the-key" not in caplog.text


def test_how_it_ended_is_known_when_the_client_has_seen_it(server: DeepgramServer) -> None:
    """Whatever client it is: nobody has to wait before a test looks at its calls."""
    server.break_next(Refuse(429))
    with pytest.raises(InvalidStatus):
        dial(server)
    for _ in range(20):
        with dial(server) as connection:
            connection.send(CLOSE_STREAM)
            list(connection)
    assert [call.ended for call in server.calls] == ["refused"] + ["closed"] * 20


def test_the_server_s_own_refusal_passes(server: DeepgramServer) -> None:
    """What the server behind refuses is refused in its words."""
    with pytest.raises(InvalidStatus) as caught:
        connect(server.url + "/v1/listen?encoding=linear16", compression=None)
    assert caught.value.response.status_code == 400
    assert "sample_rate" in caught.value.response.headers["dg-error"]
    assert server.call.refused == 400


def test_what_a_client_sends_after_close_stream_is_told(server: DeepgramServer) -> None:
    """A client that goes on after its CloseStream has not closed well."""
    server.break_next(NoClose())  # or it may be too late for more
    with dial(server) as connection:
        connection.send('{"type": "CloseStream"}')
        connection.send(b"more")
        server.call.wait_until(lambda call: len(call.frames) == 2)
    with pytest.raises(AssertionError, match="after its CloseStream"):
        server.call.assert_closed_well()


def test_a_client_that_leaves_has_not_closed_well(server: DeepgramServer) -> None:
    """Neither has one that does not say CloseStream, or does not wait for the server."""
    with dial(server) as connection:
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
    with dial(server, close_timeout=0.1), dial(server):
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
