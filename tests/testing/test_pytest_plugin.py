"""The fixtures, in the pytest of somebody else's project."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import json, os, socket
import pytest
from streamclient import ListenOptions, StreamClient, Timeouts, transcribe
from streamclient.testing import Reset, finals, silence, spoken

OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000)
"""


def run(folder: Path, code: str, *arguments: str) -> str:
    """What pytest says about a module of tests; there is nothing else in the folder."""
    (folder / "test_it.py").write_text(HEAD + code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=150)
    return done.stdout + done.stderr


def test_the_fixtures_serve_a_whole_test_module(tmp_path: Path) -> None:
    """Scripted server, recorder, faults, environment, and a server of its own for each test."""
    said = run(
        tmp_path,
        """
def test_words(deepgram_server, stream_recorder):
    deepgram_server.say("good morning")
    with StreamClient(OPTIONS, plugins=[stream_recorder]) as client:
        client.send(silence(1.0))
    assert client.transcript.text == stream_recorder.text == "good morning"
    deepgram_server.call.assert_closed_well()
    assert len(deepgram_server.call.audio) == 32000

def test_another(deepgram_server, stream_recorder):
    deepgram_server.break_next(Reset(after=finals(1)))
    assert transcribe(spoken("one", "two", "three"), OPTIONS, plugins=[stream_recorder]).text == "one two three"
    assert len(deepgram_server.calls) == len(stream_recorder.disconnects) + 1 == 2

def test_environment(deepgram_server):
    assert os.environ["STREAMCLIENT_URL"] == deepgram_server.url
    assert os.environ["DEEPGRAM_API_KEY"]
    assert "DEEPGRAM_ACCESS_TOKEN" not in os.environ

def test_no_environment():
    assert "STREAMCLIENT_URL" not in os.environ
""",
    )
    assert "4 passed" in said, said


def test_the_fixtures_serve_other_clients_too(tmp_path: Path) -> None:
    """An application that uses Deepgram's own client, or a bare websocket, finds server and key in the environment."""
    page = Path(__file__).parents[2] / "docs" / "howto" / "testing.md"
    shown = next(block for block in page.read_text(encoding="utf-8").split("```") if "def deepgram_client" in block)
    (tmp_path / "app.py").write_text(shown.removeprefix("python"))
    said = run(
        tmp_path,
        """
import threading
from deepgram.core.events import EventType
from websockets.sync.client import connect
from app import deepgram_client

def finals(messages):
    said = [m["channel"]["alternatives"][0]["transcript"] for m in messages if m.get("is_final")]
    return " ".join(filter(None, said))

def test_deepgram_sdk(deepgram_server):
    deepgram_server.say("good morning")
    messages = []
    with deepgram_client().listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as connection:
        connection.on(EventType.MESSAGE, messages.append)
        listener = threading.Thread(target=connection.start_listening)
        listener.start()
        connection.send_media(silence(1.0))
        connection.send_close_stream()
        listener.join()
    assert finals(message.dict() for message in messages) == "good morning"
    deepgram_server.call.assert_closed_well()
    assert deepgram_server.call.headers["authorization"] == "Token " + os.environ["DEEPGRAM_API_KEY"]

def test_websockets(deepgram_server):
    deepgram_server.say("good morning")
    url = os.environ["DEEPGRAM_URL"] + "/v1/listen?encoding=linear16&sample_rate=16000"
    with connect(url, subprotocols=["token", os.environ["DEEPGRAM_API_KEY"]]) as connection:
        connection.send(silence(1.0))
        connection.send('{"type": "CloseStream"}')
        assert finals(json.loads(text) for text in connection) == "good morning"
    deepgram_server.call.assert_closed_well()
""",
    )
    assert "2 passed" in said, said


def test_what_is_left_behind_is_an_error(tmp_path: Path) -> None:
    """A stream that a test leaves open, by whatever client, and a thread of ours; each test is told of its own."""
    said = run(
        tmp_path,
        """
import streamclient.testing.calls, streamclient.testing.leaks

@pytest.fixture
def impatient(monkeypatch):
    for where in (streamclient.testing.calls.Call.has_ended, streamclient.testing.leaks.no_stream_left.__wrapped__):
        monkeypatch.setattr(where, "__defaults__", (0.1,))

left = []

@pytest.mark.usefixtures("impatient")
def test_ours(deepgram_server):
    left.append(StreamClient(OPTIONS, reconnect=None))
    left[-1].open()

@pytest.mark.usefixtures("impatient")
def test_another_client(deepgram_server):
    left.append(socket.create_connection(("127.0.0.1", deepgram_server.relay.port)))
    left[-1].sendall(b"GET /v1/listen HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                     b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n")
    deepgram_server.wait_for_call()

def test_good(deepgram_server):
    transcribe(silence(0.1), OPTIONS)
""",
    )
    assert "3 passed, 2 errors" in said, said
    assert said.count("a stream was left open") >= 2, said


def test_the_recogniser_is_one_for_all(tmp_path: Path) -> None:
    """Tests share the engine; the calls are each test's own."""
    sample = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
    said = run(
        tmp_path,
        f"""
@pytest.mark.parametrize("attempt", [1, 2])
def test_speech(deepgram_recogniser, attempt):
    pcm = open({str(sample)!r}, "rb").read()[44 + 2 * 16000 * 7:]
    assert "amiable" in transcribe(pcm, OPTIONS, timeouts=Timeouts(close=60)).text
    deepgram_recogniser.call.assert_closed_well()
""",
    )
    assert "2 passed" in said, said


def test_who_does_not_use_it_pays_nothing(tmp_path: Path) -> None:
    """Importing the plugin imports pytest and three empty shells; nothing of it is measured or delayed."""
    code = (
        "import sys; before = set(sys.modules); import pytest; own = set(sys.modules)\n"
        "import streamclient.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - own - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["streamclient", "streamclient.testing", "streamclient.testing.pytest_plugin"]


def test_the_fixtures_are_listed_with_what_they_are_for(tmp_path: Path) -> None:
    """``pytest --fixtures`` names the four."""
    said = run(tmp_path, "", "--fixtures")
    for name in ("deepgram_server", "deepgram_recogniser", "stream_recorder", "no_stream_left"):
        assert f"\n{name} " in said, said


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inner pytest has none of our settings."""
    for name in list(os.environ):
        if name.startswith(("PYTEST_", "COV_")):
            monkeypatch.delenv(name)
