"""The commands relay and replay: record a session, play it again, break connections."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from streamclient import ListenOptions, StreamClient, transcribe
from streamclient.testing import Cassette, CassetteWriter, DeepgramServer, Fault, Reset, finals, spoken
from streamclient.testing.faults import to_json
from tests.cli.conftest import Start, invoke
from tests.support.waiting import wait_until

Capture = pytest.CaptureFixture[str]

OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000, interim_results=True, keyterm=["table"])
SPEECH = spoken("please book", "table nine")
TRANSCRIPT = "please\nbook\ntable nine\n"
"""Finalize ends an utterance."""


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """A recorded session, with a finalize in it."""
    return recorded(tmp_path / "call.jsonl")


def recorded(path: Path, *faults: Fault) -> Path:
    """Record a session."""
    with CassetteWriter(path) as writer, DeepgramServer(schedule=[faults], recorders=[writer]) as server:
        with StreamClient(OPTIONS, url=server.url) as client:
            client.send(SPEECH[:20000])
            client.finalize()
            client.send(SPEECH[20000:])
        server.relay.wait_for_ends()
    return path


def test_a_cassette_is_played_through_plugins(cassette: Path, capsys: Capture, tmp_path: Path) -> None:
    """A named plugin and a file with hooks hear what was recorded; the transcript is printed."""
    plugin = tmp_path / "shout.py"
    plugin.write_text(
        "from streamclient import hookimpl\n"
        "@hookimpl\n"
        "def on_utterance(utterance):\n"
        "    with open('heard.txt', 'a') as file:\n"
        "        file.write(utterance.text.upper() + '\\n')\n"
    )
    events = tmp_path / "events.jsonl"
    code, out, err = invoke(
        capsys, ["replay", str(cassette), "--plugin", str(plugin), "--plugin", f"jsonl:path={events}"]
    )
    assert (code, out, err) == (0, TRANSCRIPT, "")
    assert Path("heard.txt").read_text().splitlines() == TRANSCRIPT.upper().splitlines()
    assert '"final"' in events.read_text()


def test_a_cassette_keeps_its_pace(cassette: Path, capsys: Capture) -> None:
    """With a speed the times of the recording are kept."""
    code, out, _ = invoke(capsys, ["replay", str(cassette), "--speed", "2"])
    assert (code, out) == (0, TRANSCRIPT)


def test_what_broke_is_said(tmp_path: Path, capsys: Capture) -> None:
    """A recorded break is an error of the stream it broke; the others are played too."""
    code, out, err = invoke(capsys, ["replay", str(recorded(tmp_path / "broken.jsonl", Reset(after=finals(1))))])
    assert code == 4
    assert "connection 0: Connection lost" in err
    assert out.endswith("table nine\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["replay", "nowhere.jsonl"], 1, "nowhere.jsonl cannot be read: No such file or directory."),
        (["replay", "nonsense.jsonl"], 1, "no cassette"),
        (["replay", "talk.txt"], 1, "talk.txt is no cassette of version 1. A cassette is what this records"),
        (["replay", "empty.jsonl"], 1, "empty.jsonl holds no connection"),
        (["replay", "flux.jsonl"], 2, "/v2/listen"),
        (["replay", "nonsense.jsonl", "--serve", "--plugin", "log"], 2, "do not go together"),
        (["relay", "--faults", "nonsense.jsonl"], 2, "faults in nonsense.jsonl"),
        (["relay", "--cassette", "nonsense.jsonl"], 1, "exists"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, capsys: Capture, arguments: list[str], code: int, says: str
) -> None:
    """Files that are not there, not cassettes, or not ours to overwrite."""
    (tmp_path / "empty.jsonl").write_text('{"cassette": 1}\n')
    (tmp_path / "talk.txt").write_text("good morning\n")
    (tmp_path / "nonsense.jsonl").write_text('{"fault": "Lightning"}')
    lines = [
        {"cassette": 1, "audio": "whole"},
        {"at": 0.0, "connection": 0, "what": "requested", "path": "/v2/listen?model=flux-general-en", "headers": {}},
    ]
    (tmp_path / "flux.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found, _, err = invoke(capsys, arguments)
    assert (found, says in err) == (code, True), err


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
def test_ctrl_c_ends_a_slow_replay(tmp_path: Path, start: Start) -> None:
    """Nothing of a replay is worth waiting for."""
    cassette, events = tmp_path / "slow.jsonl", tmp_path / "events.jsonl"
    lines = [
        {"cassette": 1, "audio": "whole"},
        {"at": 0.0, "connection": 0, "what": "requested", "path": "/v1/listen", "headers": {}},
        {"at": 0.0, "connection": 0, "what": "accepted", "headers": {}},
        {"at": 1000.0, "connection": 0, "what": "audio", "bytes": 2, "data": "AAA="},
        {"at": 1000.0, "connection": 0, "what": "said", "text": "{}"},
    ]
    cassette.write_text("\n".join(map(json.dumps, lines)))
    process = start("replay", str(cassette), "--speed", "1", "--plugin", f"jsonl:path={events}")
    wait_until(lambda: events.exists() and '"event":"open"' in events.read_text())
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(25) == 130  # by itself the server would say nothing for 30 seconds


def url_in(line: str) -> str:
    """The URL a server says it has."""
    match = re.search(r"ws://127\.0\.0\.1:\d+", line)
    assert match, line
    return match[0]


def test_a_cassette_is_served(cassette: Path, start: Start) -> None:
    """Any client gets what was recorded, until Ctrl-C."""
    process = start("replay", str(cassette), "--serve", "--port", "0")
    assert process.stderr is not None
    url = url_in(process.stderr.readline())
    assert transcribe(SPEECH, OPTIONS, url=url).text == "please book table nine"
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 130


def test_a_session_is_recorded_by_the_command(tmp_path: Path, start: Start) -> None:
    """A relay in front of a server writes a cassette that can be read, with what broke in it, and no key."""
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps(to_json([[Reset(after=finals(1))]])))
    path = tmp_path / "new.jsonl"
    with DeepgramServer() as server:
        process = start(
            "relay", "--url", server.url, "--port", "0", "--cassette", str(path), "--audio", "hash",
            "--faults", str(faults),
        )  # fmt: skip
        assert process.stderr is not None
        url = url_in(process.stderr.readline())
        assert transcribe(SPEECH, OPTIONS, url=url, api_key="dg-a-key").text == "please book table nine"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 143
    said = process.stderr.read()
    assert f"recorded 2 connections in {path}" in said
    assert "connection 0: Reset after" in said
    assert len(Cassette.read(path).connections) == 2
    assert "dg-a-key" not in path.read_text(encoding="utf-8")
