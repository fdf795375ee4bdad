"""A server one can leave running: what it bears, and how it ends."""

import errno
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamclient.server import Limits, LocalServer, Timeouts
from streamclient.server.engines.base import Word
from streamclient.server.engines.scripted import ScriptedEngine, ScriptedRecogniser
from tests.support.waiting import wait_until
from tests.support.wire import CLOSE, RAW, converse, dial, read, refusal, send

SCRIPT = [("one", 0.5, 0.9), ("two", 1.0, 1.4)]
SECOND = bytes(32_000)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Every thread of the server is gone when it has stopped."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before)


def get(server: LocalServer, path: str) -> tuple[int, Any]:
    """A plain request, and the JSON of its answer."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def test_health_is_told_to_everybody() -> None:
    """200, the engine, and how many streams there are; no key is needed."""
    with LocalServer(ScriptedEngine(SCRIPT), api_keys=["key"]) as server:
        assert get(server, "/health") == (200, {"status": "ok", "engine": "scripted", "streams": 0})
        ws = dial(server, header=["Authorization: Token key"])
        assert get(server, "/health?x")[1]["streams"] == 1
        send(ws, CLOSE)
        read(ws)


def test_one_stream_too_many_is_429() -> None:
    """As the service says it of a project's concurrency; when one has ended, the next is welcome."""
    with LocalServer(ScriptedEngine(SCRIPT), limits=Limits(connections=2)) as server:
        first, second = dial(server), dial(server)
        refused = refusal(server)
        assert (refused.status_code, json.loads(refused.resp_body or b"")["err_code"]) == (429, "TOO_MANY_REQUESTS")
        send(first, CLOSE)
        assert read(first).code == 1000
        wait_until(lambda: get(server, "/health")[1]["streams"] == 1)
        assert converse(server, RAW, [SECOND, CLOSE]).words() == ["one"]
        second.shutdown()


def test_connections_without_a_request_are_bounded() -> None:
    """The one beyond the limit is hung up on; when the others have had their time, everything is as before."""
    limits = Limits(connections=1, handshake=3.0)
    with LocalServer(ScriptedEngine(SCRIPT), limits=limits) as server:
        crowd = [socket.create_connection((server.host, server.port)) for _ in range(40)]
        for one in crowd:
            one.settimeout(30)
            assert one.recv(1000) == b""
            one.close()
        wait_until(lambda: "streamclient-server-handler" not in [thread.name for thread in threading.enumerate()])
        assert converse(server, RAW, [SECOND, CLOSE]).words() == ["one"]


def test_a_frame_that_is_too_large_is_1009(caplog: pytest.LogCaptureFixture) -> None:
    """Told by its header, before it is taken in, to the client and in the log."""
    limits = Limits(frame=1_000)
    with (
        caplog.at_level(logging.INFO, "streamclient.server"),
        LocalServer(ScriptedEngine(SCRIPT), limits=limits) as server,
    ):
        assert converse(server, RAW, [bytes(1_001)]).code == 1009
    assert "ended with 1009 after 0.00 s" in caplog.text


def test_a_full_backlog_slows_down_and_loses_nothing() -> None:
    """However much is sent before anything is recognised."""
    with LocalServer(ScriptedEngine(SCRIPT), limits=Limits(backlog=1_000)) as server:
        heard = converse(server, RAW, [*[SECOND] * 60, CLOSE])
    assert heard.of_type("Metadata")[0]["duration"] == 60.0


class SlowRecogniser(ScriptedRecogniser):
    """Takes longer for an utterance than the server's patience with a client lasts."""

    def finish(self) -> list[Word]:
        time.sleep(2.8)
        return super().finish()


class SlowEngine(ScriptedEngine):
    """Its recognisers are slow."""

    def recogniser(self, language: str) -> ScriptedRecogniser:
        return SlowRecogniser(self.script)


def test_a_slow_recogniser_does_not_cut_off_who_waits_for_it() -> None:
    """A client that says nothing until its results are there is not taken for one that is gone."""
    with LocalServer(SlowEngine(SCRIPT), timeouts=Timeouts(inactivity=2.5)) as server:
        ws = dial(server)
        send(ws, SECOND, {"type": "Finalize"})
        assert json.loads(ws.recv())["from_finalize"]
        send(ws, CLOSE)
        assert read(ws).code == 1000


def test_running_out_of_descriptors_passes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A system that has none left has some later; the server still listens then."""
    failures = iter([errno.EMFILE, errno.ENFILE])
    accept = socket.socket.accept

    def failing(self: socket.socket) -> Any:
        for number in failures:
            raise OSError(number, "too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with caplog.at_level(logging.WARNING), LocalServer(ScriptedEngine(SCRIPT)) as server:
        assert converse(server, RAW, [SECOND, CLOSE]).words() == ["one"]
    assert "too many open files" in caplog.text


def test_stopping_lets_streams_finish() -> None:
    """Within the grace a stream goes on to its own end, while nobody new is let in."""
    server = LocalServer(ScriptedEngine(SCRIPT))
    server.start()
    ws = dial(server)
    stopping = threading.Thread(target=server.stop, args=(30.0,))
    stopping.start()
    wait_until(lambda: not can_connect(server))
    send(ws, SECOND, SECOND, CLOSE)
    heard = read(ws)
    stopping.join(30)
    assert not stopping.is_alive()
    assert (heard.words(), heard.code) == (["one", "two"], 1000)


def can_connect(server: LocalServer) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((server.host, server.port), 1).close()
    except OSError:
        return False
    return True


def test_stopping_cuts_no_word_in_two() -> None:
    """After the grace: code 1001, after the results of everything received but of no utterance that is not over."""
    server = LocalServer(ScriptedEngine([*SCRIPT, ("three", 2.5, 3.2)]))
    server.start()
    ws = dial(server, RAW + "&interim_results=true")
    send(ws, *[SECOND] * 3)
    while json.loads(ws.recv())["start"] < 1:  # the first interim after the first final
        pass
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    heard = read(ws)
    stopping.join(30)
    assert (heard.code, heard.of_type("Metadata"), heard.words()) == (1001, [], [])
