"""The server on real sockets, with scripted speech."""

import json
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket
from websockets.protocol import State
from websockets.server import ServerProtocol

from streamclient.server import EngineError, Limits, LocalServer, ServerStartError
from streamclient.server import app as server_app
from streamclient.server.engines import ENGINES, load_engine, register_engine
from streamclient.server.engines.scripted import ScriptedEngine
from tests.support.waiting import wait_until

SCRIPT = [("one", 0.5, 0.9), ("two", 1.0, 1.4)]
SECOND = bytes(32_000)
LISTEN = "/v1/listen?encoding=linear16&sample_rate=16000"
CLOSE = json.dumps({"type": "CloseStream"})


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Every thread of the server is gone when it has stopped."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A server that everybody may use."""
    with LocalServer(ScriptedEngine(SCRIPT)) as server:
        yield server


def connect(server: LocalServer, target: str = LISTEN, **arguments: Any) -> Any:
    """A plain websocket."""
    return websocket.create_connection(server.url + target, timeout=60, **arguments)


def read(ws: Any) -> tuple[list[dict[str, Any]], int | None]:
    """All messages until the server closes, and its code."""
    messages: list[dict[str, Any]] = []
    while True:
        opcode, data = ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            ws.shutdown()
            return messages, struct.unpack("!H", data[:2])[0] if data else None
        messages.append(json.loads(data))


def words(messages: list[dict[str, Any]]) -> list[str]:
    """The words of the finals."""
    finals = [message for message in messages if message.get("is_final")]
    return [word["word"] for message in finals for word in message["channel"]["alternatives"][0]["words"]]


def transcribe(server: LocalServer) -> list[str]:
    """Two seconds of audio, closed well."""
    ws = connect(server)
    ws.send_binary(SECOND * 2)
    ws.send(CLOSE)
    messages, code = read(ws)
    assert code == 1000
    return words(messages)


def test_streams_do_not_mix(server: LocalServer) -> None:
    """Many streams at once, each with its own words."""
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(transcribe(server))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["one", "two"]] * 8


def test_hostile_clients_do_no_harm(server: LocalServer) -> None:
    """Garbage instead of HTTP, a reset in mid-stream, a frame without end, a silent connection: others are served."""
    address = (server.host, server.port)
    with socket.create_connection(address) as garbage:
        garbage.sendall(b"\x16\x03\x01\x02\x00" * 100)
    reset = connect(server)
    reset.send_binary(SECOND)
    reset.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.sock.close()
    huge = connect(server)
    huge.sock.sendall(b"\x82\xff" + struct.pack("!Q", 1 << 40) + b"\0" * 4)
    assert read(huge)[1] == 1009
    with socket.create_connection(address):
        assert transcribe(server) == ["one", "two"]


def test_a_client_that_does_not_read_is_dropped() -> None:
    """Its answers fill every buffer; the server gives up on it, and its threads end."""
    with LocalServer(ScriptedEngine(SCRIPT), limits=Limits(unread=0.2)) as server:
        ws = connect(server, sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
        with pytest.raises((OSError, websocket.WebSocketException)):
            for _ in range(2000):
                ws.send("?" * 60_000)
        ws.shutdown()


def test_stop_ends_open_streams(server: LocalServer) -> None:
    """With 1001, at once, and a new server can have the port."""
    ws = connect(server)
    ws.send_binary(SECOND)
    reader = threading.Thread(target=server.stop)
    reader.start()
    assert read(ws)[1] == 1001
    reader.join()
    server.stop()
    server.start()
    assert transcribe(server) == ["one", "two"]


def test_stop_does_not_wait_for_a_client_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off after the budget."""
    monkeypatch.setattr(server_app, "STOP_BUDGET", 0.1)
    server = LocalServer(ScriptedEngine(SCRIPT))
    server.start()
    silent, half_open = connect(server), socket.create_connection((server.host, server.port))
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 3
    silent.shutdown()
    half_open.close()


def test_serve_forever_ends_when_stopped() -> None:
    """``stop`` from another thread ends it."""
    server = LocalServer(ScriptedEngine(SCRIPT))
    server.start()
    forever = threading.Thread(target=server.serve_forever)
    forever.start()
    assert transcribe(server) == ["one", "two"]
    server.stop()
    forever.join(30)
    assert not forever.is_alive()


def test_a_taken_port_is_a_clear_error(server: LocalServer) -> None:
    """The message names the port, the hint the next step."""
    with pytest.raises(ServerStartError, match=f"Port {server.port} of 127.0.0.1 is taken.*another port"):
        LocalServer(ScriptedEngine(SCRIPT), port=server.port).start()
    with pytest.raises(ServerStartError, match="already running"):
        server.start()


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 99_999), ("203.0.113.1", 0)])
def test_a_bad_address_is_a_clear_error(host: str, port: int) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ServerStartError, match=host):
        LocalServer(ScriptedEngine(SCRIPT), host=host, port=port).start()


def test_an_engine_that_does_not_get_ready_ends_the_server() -> None:
    """Its error comes out of ``start``, and nobody listens."""

    class Unready(ScriptedEngine):
        def open(self) -> None:
            raise EngineError("The model is gone.")

    server = LocalServer(Unready("never heard"))
    for _ in range(2):
        with pytest.raises(EngineError, match="is gone"):
            server.start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port))


def test_engines_go_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known name makes the engine, an unknown one says which there are, and more can be registered."""
    monkeypatch.setattr("streamclient.server.engines.ENGINES", ENGINES)
    assert load_engine("scripted").name == "scripted"
    with pytest.raises(EngineError, match=r"no recognition engine 'sphinx'.*pocketsphinx, scripted"):
        LocalServer(engine="sphinx")
    monkeypatch.setitem(ENGINES, "mine", lambda: ScriptedEngine())
    register_engine("mine", lambda: ScriptedEngine("hello"))
    assert LocalServer(engine="mine").url.startswith("ws://127.0.0.1:")


def test_one_line_a_stream_is_logged(server: LocalServer, caplog: pytest.LogCaptureFixture) -> None:
    """With the request id, the close code and the length; never with a key."""
    with caplog.at_level(logging.INFO, "streamclient.server"):
        transcribe(server)
        server.stop()
    lines = [record.getMessage() for record in caplog.records if "ended" in record.getMessage()]
    assert len(lines) == 1
    assert "1000 after 2.00 s" in lines[0]


def test_bytes_after_the_end_are_no_defect(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a client sends while it is hung up on is told in a line: no error, no traceback."""
    receive_data = ServerProtocol.receive_data

    def receive_late(protocol: ServerProtocol, data: bytes) -> None:
        if protocol.state is State.OPEN:
            protocol.receive_eof()  # what the handler's thread does when it hangs up at this moment
        receive_data(protocol, data)

    monkeypatch.setattr(ServerProtocol, "receive_data", receive_late)
    with caplog.at_level(logging.INFO, "streamclient.server"):
        ws = connect(server)
        ws.send_binary(SECOND)
        ws.settimeout(10)
        with suppress(websocket.WebSocketException, OSError):
            read(ws)
        ws.shutdown()
        server.stop()
    assert "a client sent something while its connection was being closed" in caplog.text
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []


def test_the_url_can_be_used() -> None:
    """Also when the server listens on every address."""
    with LocalServer(ScriptedEngine(SCRIPT), host="0.0.0.0") as server:
        assert urlsplit(server.url).hostname == "127.0.0.1"
        assert transcribe(server) == ["one", "two"]


@pytest.mark.parametrize("library", ["numpy", "pocketsphinx"])
def test_a_missing_extra_says_what_to_install(library: str, tmp_path: Path) -> None:
    """One sentence and the command, whether the server or only the engine lacks something."""
    script = f"import sys; sys.modules[{library!r}] = None\nfrom streamclient.server import LocalServer\nLocalServer()"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    last = outcome.stderr.splitlines()[-1]
    assert "MissingExtraError" in last
    assert f"needs {library}, which is not installed. Install it with: pip install 'streamclient[server]'" in last
