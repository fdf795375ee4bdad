"""A session that was recorded is played again: to any client, at any speed, without the credentials it had."""

import json
import socket
import subprocess
import sys
import threading
import time
from math import inf, nan
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from streamclient import ConnectionLost, ListenOptions, ReconnectPolicy, StreamClient, Transcript, transcribe
from streamclient.testing import (
    Cassette,
    CassetteError,
    CassetteWriter,
    Close,
    DeepgramServer,
    Fault,
    Fin,
    Refuse,
    ReplayServer,
    Reset,
    audio_seconds,
    close_stream,
    finals,
    spoken,
)
from streamclient.testing.entries import Audio, Closed, Control, Ended, Entry, Refused, Requested, Said

OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000, interim_results=True)
SPEECH = spoken("please book", "table nine")
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
KEY = "dg-secret-0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the cassette goes."""
    return tmp_path / "call.cassette.jsonl"


def record(path: Path, *faults: Fault, audio: Literal["whole", "hash"] = "whole", **arguments: Any) -> Transcript:
    """Record a client of the kit's server."""
    with CassetteWriter(path, audio) as writer, DeepgramServer(schedule=[faults], recorders=[writer]) as server:
        client = StreamClient(OPTIONS, url=server.url, **{"api_key": KEY, "reconnect": QUICK, **arguments})
        with client:
            client.send(SPEECH[:16000])
            client.finalize()
            client.send(SPEECH[16000:])
        server.relay.wait_for_ends()
    return client.transcript


def said(path: Path) -> list[str]:
    """Every message in a cassette."""
    return [message.text for connection in Cassette.read(path).connections for message in connection.of(Said)]


@pytest.mark.parametrize("audio", ["whole", "hash"])
def test_a_client_gets_what_was_recorded(path: Path, audio: Literal["whole", "hash"]) -> None:
    """The same transcript, metadata and request id, whether the voices were kept or not."""
    recorded = record(path, audio=audio)
    with ReplayServer(Cassette.read(path)) as server:
        replayed = transcribe(SPEECH, OPTIONS, url=server.url)
    assert replayed.text == recorded.text == "please book table nine"
    assert replayed.request_ids == recorded.request_ids
    assert replayed.words == recorded.words
    assert replayed.complete


def test_a_cassette_recorded_from_a_cassette_is_the_same(path: Path, tmp_path: Path) -> None:
    """Recording what a replay says gives the same messages in the same places."""
    record(path)
    copy = tmp_path / "copy.jsonl"
    with (
        ReplayServer(Cassette.read(path)) as replay,
        CassetteWriter(copy) as writer,
        DeepgramServer(replay, recorders=[writer]) as server,
    ):
        transcribe(SPEECH, OPTIONS, url=server.url)
        server.relay.wait_for_ends()
    assert said(copy) == said(path)


def test_everything_is_in_it(path: Path) -> None:
    """Audio to the byte, control messages, messages, the request, and how it ended."""
    record(path)
    (connection,) = Cassette.read(path).connections
    assert b"".join(frame.data for frame in connection.of(Audio)) == SPEECH
    assert [json.loads(control.text)["type"] for control in connection.of(Control)] == ["Finalize", "CloseStream"]
    assert connection.request.path.startswith("/v1/listen?")
    assert connection.request.headers["user-agent"]
    assert [type(entry.what).__name__ for entry in connection.entries[-3:]] == ["Closed", "Closed", "Ended"]


def test_without_the_voices_there_is_their_length_and_hash(path: Path) -> None:
    """What is shared in a bug report need not hold a recording of people."""
    record(path, audio="hash")
    text = path.read_text(encoding="utf-8")
    assert '"data"' not in text
    cassette = Cassette.read(path)
    assert not cassette.has_audio
    assert sum(len(frame.data) for frame in cassette.connections[0].of(Audio)) == len(SPEECH)
    metadata = json.loads(said(path)[-1])
    assert json.loads(text.splitlines()[-1])["audio_sha256"] == metadata["sha256"]


SECRETS: list[dict[str, Any]] = [
    {"additional_headers": {"Authorization": f"Token {KEY}", "Cookie": KEY, "X-Whatever": KEY}},
    {"additional_headers": {"Authorization": f"Bearer {KEY}"}},
    {"subprotocols": ["token", KEY]},
    {"query": f"&token={KEY}"},
    {"query": f"&access_token={KEY}&X-API-Key={KEY}"},
    {"query": f"&extra=session_token%3A{KEY}"},
    {"query": "&callback=https%3A%2F%2Fuser%3Adg-secret-0123456789%40example.com%2F"},
    {"query": f"&callback=https%3A%2F%2Fexample.com%2Fhook%3Ftoken%3D{KEY}"},
    {"additional_headers": {"Authorization": f"Token {KEY}"}, "query": f"&tag={KEY}&extra=a:{KEY}&encoding={KEY}"},
    {"additional_headers": {"Authorization": f"Token {KEY}"}, "send": f'{{"type": "Nonsense", "key": "{KEY}"}}'},
]


@pytest.mark.parametrize("secret", SECRETS, ids=str)
def test_credentials_are_not_in_it(path: Path, secret: dict[str, Any]) -> None:
    """Wherever a client puts its key, and wherever a server repeats it."""
    arguments = dict(secret)
    query, sent = arguments.pop("query", ""), arguments.pop("send", "")
    target = "/v1/listen?encoding=linear16&sample_rate=16000" + query
    with CassetteWriter(path) as writer, DeepgramServer(recorders=[writer]) as server:
        try:
            with connect(server.url + target, compression=None, **arguments) as connection:
                if sent:
                    connection.send(sent)
                connection.send('{"type": "CloseStream"}')
                for _ in connection:
                    pass
        except (InvalidStatus, ConnectionClosed):
            pass
        server.relay.wait_for_ends()
    assert KEY not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("key", ["a+b/c==d-e:f,g", "clé-secrète-0123456789", "e", "table"])
def test_a_key_of_any_kind_is_not_in_it_and_spoils_nothing(path: Path, key: str) -> None:
    """However it is written in a URL, a reason or a body; a short one is no part of other words."""
    named = {"authorization": f"Token {key}"}
    said = f'{{"type": "Results", "text": "the suitable {key}"}}'
    with CassetteWriter(path) as writer:
        writer(Entry(0, 0.0, Requested(f"/v1/listen?{urlencode({'extra': f'a:{key}', 'tag': key})}", named)))
        writer(Entry(0, 0.1, Said(said)))
        writer(Entry(0, 0.2, Refused(401, {"dg-error": f"{key} is wrong"}, f'{{"path": "?token={quote(key)}"}}')))
        writer(Entry(0, 0.3, Closed("server", 1008, f"not {key}")))
    (connection,) = Cassette.read(path).connections
    (refused,), (closed,) = connection.of(Refused), connection.of(Closed)
    assert connection.request.path == "/v1/listen?extra=a%3Aremoved&tag=removed"
    assert [text.text for text in connection.of(Said)] == ['{"type": "Results", "text": "the suitable removed"}']
    assert (refused.headers["dg-error"], refused.body) == ("removed is wrong", '{"path": "?token=removed"}')
    assert (closed.by, closed.reason) == ("server", "not removed")


def test_any_text_comes_back(path: Path) -> None:
    """Also one with characters that end a line elsewhere."""
    text = '{"transcript": "one\u2028two\x85three\u2029日本"}'
    with CassetteWriter(path) as writer:
        writer(Entry(0, 0.0, Requested("/v1/listen", {})))
        writer(Entry(0, 0.1, Said(text)))
    assert said(path) == [text]


BREAKS = [
    Reset(after=finals(1)),
    Fin(after=audio_seconds(0.9)),
    Close(1011, "NET-0001", after=close_stream()),
]


@pytest.mark.parametrize("fault", BREAKS, ids=str)
def test_what_broke_breaks_again(path: Path, fault: Fault) -> None:
    """A recorded break meets the client at the same place, and so does the connection after it."""
    recorded = record(path, fault)
    assert len(Cassette.read(path).connections) == 2
    with ReplayServer(Cassette.read(path), repeats=False) as server:
        client = StreamClient(OPTIONS, url=server.url, reconnect=QUICK)
        with client:
            client.send(SPEECH)
    assert client.transcript.text == recorded.text
    assert client.stats.reconnects == 1


def test_a_recorded_refusal_refuses(path: Path) -> None:
    """With its status, its body and its words."""
    with (
        CassetteWriter(path) as writer,
        DeepgramServer(schedule=[[Refuse(402, "No credits.")]], recorders=[writer]) as server,
    ):
        with pytest.raises(InvalidStatus):
            connect(server.url + "/v1/listen", compression=None).__enter__()
        server.relay.wait_for_ends()
    with ReplayServer(Cassette.read(path)) as replay, pytest.raises(InvalidStatus) as caught:
        connect(replay.url + "/v1/listen", compression=None).__enter__()
    assert caught.value.response.status_code == 402
    assert json.loads(caught.value.response.body or b"")["err_msg"] == "No credits."


def test_further_clients_begin_again_or_are_refused(path: Path) -> None:
    """A server for development repeats itself; one that plays a session has an end."""
    record(path)
    cassette = Cassette.read(path)
    with ReplayServer(cassette) as server:
        assert transcribe(SPEECH, OPTIONS, url=server.url) == transcribe(SPEECH, OPTIONS, url=server.url)
    with ReplayServer(cassette, repeats=False) as server:
        transcribe(SPEECH, OPTIONS, url=server.url)
        with pytest.raises(InvalidStatus):
            connect(server.url + "/v1/listen", compression=None).__enter__()


def timed(path: Path, seconds: float) -> Cassette:
    """A cassette in which a message comes so many seconds after a handshake of one second."""
    lines: list[dict[str, Any]] = [
        {"cassette": 1, "audio": "whole"},
        {"at": 0.0, "connection": 0, "what": "requested", "path": "/v1/listen", "headers": {}},
        {"at": 1.0, "connection": 0, "what": "accepted", "headers": {}},
        {"at": 1.0 + seconds, "connection": 0, "what": "said", "text": "late"},
        {"at": 1.0 + seconds, "connection": 0, "what": "closed", "by": "server", "code": 1000, "reason": ""},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Cassette.read(path)


@pytest.mark.parametrize(("seconds", "speed", "least"), [(0.4, 1.0, 0.4), (0.8, 2.0, 0.4), (3600.0, inf, 0.0)])
def test_the_speed_is_chosen(path: Path, seconds: float, speed: float, least: float) -> None:
    """Times are those of the recording, divided by the speed; the handshake's time does not count."""
    with ReplayServer(timed(path, seconds), speed) as server:
        began = time.monotonic()
        with connect(server.url + "/v1/listen", compression=None) as client:
            assert client.recv(60.0) == "late"
            assert least <= time.monotonic() - began < 60.0


BROKEN = [
    ("", "no cassette"),
    ("{}", "no cassette"),
    ('{"cassette": 99}', "no cassette"),
    ("nonsense", "no cassette.* relay --cassette"),
    ("[]", "no cassette"),
    ('{"cassette": 1}\n[]', "line 2"),
    ('{"cassette": 1}\nnonsense\n{}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "sneezed"}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "audio"}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 1e999, "what": "said", "text": "hello"}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "audio", "bytes": 1e15}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "audio", "bytes": 99999999999}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "said", "text": 7}', "line 2: .*text is 7"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "said", "text": "hello"}', "its request"),
    ('{"cassette": 1}\n{"at": NaN, "connection": 0, "what": "said", "text": "hello"}', "line 2: .*at is nan"),
    ('{"cassette": 1}\n{"at": -1, "connection": 0, "what": "said", "text": "hello"}', "line 2: .*at is -1"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "said", "text": "\\ud800"}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "audio", "bytes": 3, "data": "***"}', "line 2"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "closed", "by": "server", "code": 70000}', "code is 70000"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "refused", "status": 101, "headers": {}}', "status"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "accepted", "headers": {"a": "b\\r\\nc: d"}}', "line end"),
    ('{"cassette": 1}\n{"at": 0, "connection": 0, "what": "accepted", "headers": {"a": 7}}', "line 2"),
    ('{"cassette": 1}\n' + "[" * 100_000 + "\n{}", "line 2"),
]


@pytest.mark.parametrize(("text", "complaint"), BROKEN)
def test_what_is_no_cassette_is_told(path: Path, text: str, complaint: str) -> None:
    """With the line that is wrong; and with what makes one, where it never was one."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CassetteError, match=complaint):
        Cassette.read(path)


def test_a_cassette_that_was_cut_off_is_read_up_to_there(path: Path) -> None:
    """A crash in the middle of a line costs that line."""
    record(path)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write('{"at": 9.0, "connection": 0, "what": "said", "text": "日'.encode()[:-1])
    assert Cassette.read(path).connections[0].entries[-1].what == Ended("closed")
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert Cassette.read(path).connections[0].entries


def test_a_cassette_survives_the_death_of_its_writer(path: Path) -> None:
    """A process that is killed while it records leaves everything that had happened."""
    program = (
        "import sys\n"
        "from streamclient import ListenOptions, StreamClient\n"
        "from streamclient.testing import CassetteWriter, DeepgramServer, StreamRecorder, spoken\n"
        "recorder = StreamRecorder()\n"
        "writer = CassetteWriter(sys.argv[1])\n"
        "server = DeepgramServer(recorders=[writer])\n"
        "server.start()\n"
        "options = ListenOptions(encoding='linear16', sample_rate=16000)\n"
        "client = StreamClient(options, url=server.url, plugins=[recorder])\n"
        "client.open()\n"
        "client.send(spoken('please book', 'table nine'))\n"
        "recorder.wait_until(lambda heard: len(heard.finals) == 2)\n"
        "print('heard', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "heard\n"
        process.kill()
    cassette = Cassette.read(path)
    assert b"".join(frame.data for frame in cassette.connections[0].of(Audio)) == SPEECH
    with ReplayServer(cassette) as server:
        client = StreamClient(OPTIONS, url=server.url, reconnect=None)
        with pytest.raises(ConnectionLost), client:
            client.send(SPEECH)
    assert client.transcript.text == "please book table nine"


def test_stopping_leaves_no_thread(path: Path) -> None:
    """Whoever is connected: in the middle of a stream, or not even that far."""
    record(path)
    before = set(threading.enumerate())
    server = ReplayServer(Cassette.read(path))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)), StreamClient(OPTIONS, url=server.url) as client:
        server.stop()
        assert not [thread for thread in set(threading.enumerate()) - before if "server" in thread.name]
        client.abort()


def test_a_cassette_without_a_connection_refuses() -> None:
    """Nobody called while it was recorded."""
    with ReplayServer(Cassette(())) as server, pytest.raises(InvalidStatus) as caught:
        connect(server.url + "/v1/listen", compression=None).__enter__()
    assert caught.value.response.status_code == 410


@pytest.mark.parametrize("speed", [0.0, -1.0, nan])
def test_a_speed_that_makes_no_sense_is_told(speed: float) -> None:
    """Before anybody waits for it."""
    with pytest.raises(ValueError, match="speed"):
        ReplayServer(Cassette(()), speed)


def test_no_file_is_overwritten(path: Path) -> None:
    """A cassette is evidence."""
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(CassetteError, match="exists"):
        CassetteWriter(path)
    assert path.read_text(encoding="utf-8") == "mine"


FULL_DISK = """
import resource, sys
from streamclient.testing import CassetteError, CassetteWriter, DeepgramServer, spoken
from streamclient import ListenOptions, transcribe

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
writer = CassetteWriter(sys.argv[1])
with DeepgramServer(recorders=[writer]) as server:
    options = ListenOptions(encoding="linear16", sample_rate=16000)
    print(transcribe(spoken("please book", "table nine"), options, url=server.url).text)
    server.relay.wait_for_ends()
try:
    writer.close()
except CassetteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_full_disk_ends_the_cassette_and_nothing_else(path: Path) -> None:
    """Who is recorded gets every word; what was written before can be played; the end of it is told at once."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[0] == "please book table nine"
    assert f"{path} cannot be written: File too large" in done.stdout
    assert done.stderr.splitlines() == done.stdout.splitlines()[1:]
    assert len(Cassette.read(path).connections) == 1


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Rather than an OSError."""
    with pytest.raises(CassetteError, match="cannot be written"):
        CassetteWriter(tmp_path / "nowhere" / "file")
    with pytest.raises(CassetteError, match="cannot be read"):
        Cassette.read(tmp_path / "nowhere" / "file")


def test_a_recording_without_its_end_breaks_there(path: Path) -> None:
    """A client of half a recording has lost its connection, and knows what is missing."""
    record(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    cut = next(index for index, line in enumerate(lines) if '"CloseStream' in line or "CloseStream" in line)
    path.write_text("\n".join(lines[:cut]), encoding="utf-8")
    with ReplayServer(Cassette.read(path)) as server, pytest.raises(ConnectionLost):
        transcribe(SPEECH, OPTIONS, url=server.url, reconnect=None)
