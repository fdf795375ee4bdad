"""pocketsphinx in processes of its own: they work side by side, one may fail, and none outlives who uses them."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import websocket

from streamclient import ConnectionLost, ListenOptions, StreamClient, Timeouts
from streamclient.server import EngineError, LocalServer
from streamclient.server import app as server_app
from streamclient.server.engines import load_engine, utterances
from streamclient.server.engines.decoders import CAN_FORK, Decoder, DecoderPool, can_run
from streamclient.server.engines.pocketsphinx import PocketsphinxEngine
from streamclient.testing.recorder import StreamRecorder
from tests.support.processes import decoders, descendants, has_ended, needs_proc
from tests.support.service import SOON
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="nothing can be forked here")

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
OPTIONS = ListenOptions(encoding="linear16", sample_rate=16_000, interim_results=True)
PATIENT = Timeouts(close=2 * SOON)
"""A machine may be busy with something else."""
FAILED = "The process that recognised this stream has failed."


@pytest.fixture(scope="module")
def passage() -> bytes:
    """The second passage of the sample: 3.3 s."""
    with wave.open(str(SAMPLE), "rb") as reader:
        return reader.readframes(reader.getnframes())[-105_280:]


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """Two utterances at a time, and one more."""
    with LocalServer(PocketsphinxEngine(decoders=2)) as server:
        yield server


@pytest.fixture(scope="module")
def heard(passage: bytes) -> str:
    """What a decoder in this very process makes of the passage."""
    engine = load_engine("pocketsphinx:processes=no")
    with LocalServer(engine) as server:
        text = transcribe(server, passage)
    assert not decoders()
    assert len(text.split()) > 5
    return text


def transcribe(server: LocalServer, audio: bytes) -> str:
    """A whole stream."""
    with StreamClient(OPTIONS, url=server.url, reconnect=None, timeouts=PATIENT) as client:
        client.send(audio)
    return client.transcript.text


def decode(decoder: Decoder | None, audio: bytes) -> str:
    """A whole utterance."""
    assert decoder
    decoder.begin(None)
    decoder.feed(audio)
    words, _ = decoder.finish()
    return " ".join(word for word, *_ in words)


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    """Of one decoder, with nothing else around."""
    pool = DecoderPool(1, processes=True)
    yield pool
    pool.close()


def working(server: int | None = None) -> set[int]:
    """The processes that were forked to decode: children of the one with the model."""
    return {child for parent in decoders(server) for child in descendants(parent)}


def test_streams_side_by_side_get_the_words_they_get_alone(server: LocalServer, passage: bytes, heard: str) -> None:
    """More of them than there are decoders; and words do not depend on where they are decoded."""
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(lambda _: transcribe(server, passage), range(3))) == {heard}


@needs_proc
def test_a_decoder_that_dies_costs_its_stream_a_named_end(
    server: LocalServer, passage: bytes, heard: str, caplog: pytest.LogCaptureFixture
) -> None:
    """1011 with a sentence, a line in the log, and the next stream knows nothing of it."""
    ws: Any = websocket.create_connection(
        f"{server.url}/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true", timeout=SOON
    )
    ws.send_binary(passage[:80_000])
    while not json.loads(ws.recv())["channel"]["alternatives"][0]["transcript"]:
        pass
    (decoder,) = working()
    os.kill(decoder, signal.SIGKILL)
    ws.send_binary(passage[80_000:])
    ws.send(json.dumps({"type": "CloseStream"}))
    while (frame := ws.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
        assert not json.loads(frame[1])["is_final"]
    ws.shutdown()

    assert int.from_bytes(frame[1][:2], "big") == 1011
    assert frame[1][2:].decode() == FAILED
    assert [record.getMessage().partition(": ")[2] for record in caplog.records if record.levelname == "ERROR"] == [
        FAILED
    ]
    assert transcribe(server, passage) == heard


@needs_proc
def test_a_client_loses_nothing_by_a_decoder_that_dies(server: LocalServer, passage: bytes, heard: str) -> None:
    """It connects again, sends again what has no final, and has every word once."""
    recorder = StreamRecorder()
    with StreamClient(OPTIONS, url=server.url, plugins=[recorder], timeouts=PATIENT) as client:
        client.send(passage[:80_000])
        wait_until(lambda: bool(working()))
        (decoder,) = working()
        os.kill(decoder, signal.SIGKILL)
        client.send(passage[80_000:])
    assert client.transcript.text == heard
    assert client.transcript.complete
    assert client.stats.reconnects == 1
    ((lost, _),) = recorder.disconnects
    assert isinstance(lost, ConnectionLost)
    assert (lost.code, lost.reason) == (1011, FAILED)


@needs_proc
def test_when_the_process_with_the_model_dies_streams_go_on(
    server: LocalServer, passage: bytes, heard: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that have a decoder keep it, and for others the model is loaded again."""
    recorder = StreamRecorder()
    with StreamClient(OPTIONS, url=server.url, plugins=[recorder], reconnect=None, timeouts=PATIENT) as client:
        client.send(passage[:80_000])
        recorder.wait_until(lambda heard: any(interim.transcript for interim in heard.interims), SOON)
        (parent,) = decoders()
        os.kill(parent, signal.SIGKILL)
        wait_until(lambda: has_ended(parent))
        with ThreadPoolExecutor(2) as pool:
            assert set(pool.map(lambda _: transcribe(server, passage), range(2))) == {heard}
        client.send(passage[80_000:])
    assert client.transcript.text == heard
    assert "another one is started" in caplog.text


@needs_proc
def test_a_server_that_stops_leaves_no_process(passage: bytes) -> None:
    """Also where it stops in the middle of a stream; and it can be started again."""
    server = LocalServer("pocketsphinx")
    everyone: set[int] = set()
    for _ in range(2):
        with (
            server,
            pytest.raises(ConnectionLost),
            StreamClient(OPTIONS, url=server.url, reconnect=None, timeouts=PATIENT) as client,
        ):
            client.send(passage)
            wait_until(lambda: bool(working()))
            everyone |= {one for decoder in decoders() for one in {decoder} | descendants(decoder)}
            server.stop()
        assert not decoders()
    wait_until(lambda: all(map(has_ended, everyone)))


@needs_proc
def test_what_is_stuck_does_not_outlive_the_server(
    monkeypatch: pytest.MonkeyPatch, server: LocalServer, passage: bytes, heard: str
) -> None:
    """A stream that has not ended in time is told that its decoder has; the next start has new ones."""
    monkeypatch.setattr(server_app, "STOP_BUDGET", 0.1)
    client = StreamClient(OPTIONS, url=server.url, reconnect=None, timeouts=PATIENT)
    client.open()
    client.send(passage[:80_000])
    wait_until(lambda: bool(working()))
    everyone = decoders() | working()
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    server.stop()
    client.abort()
    assert all(map(has_ended, decoders()))
    wait_until(lambda: all(map(has_ended, everyone)))
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("streamclient-server")])
    server.start()
    assert transcribe(server, passage) == heard


@needs_proc
def test_a_decoder_that_dies_while_it_has_nothing_to_do_costs_nothing(
    server: LocalServer, passage: bytes, heard: str
) -> None:
    """Such as the first that a system without memory ends."""
    assert transcribe(server, passage) == heard
    (decoder,) = working()
    os.kill(decoder, signal.SIGKILL)
    wait_until(lambda: has_ended(decoder))
    assert transcribe(server, passage) == heard


@needs_proc
def test_servers_that_share_an_engine_do_not_end_each_others_streams(passage: bytes, heard: str) -> None:
    """The processes end with the last of them."""
    engine = PocketsphinxEngine()
    with LocalServer(engine) as first:
        with (
            LocalServer(engine) as second,
            StreamClient(OPTIONS, url=first.url, reconnect=None, timeouts=PATIENT) as client,
        ):
            client.send(passage[:80_000])
            wait_until(lambda: bool(working()))
            second.stop()
            client.send(passage[80_000:])
            assert client.close().text == heard
        assert decoders()
    assert not decoders()


def test_a_program_that_cannot_be_run_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says how to do without; the lease is not lost by it."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pool = DecoderPool(1, processes=True)
    pool.open()
    for _ in range(2):
        with pytest.raises(EngineError, match=r"cannot be run: .*/nowhere/python.*processes=no"):
            pool.lease()


@pytest.mark.parametrize(
    ("executable", "program", "can"),
    [
        ("/usr/bin/python3.12", utterances.PROGRAM, True),
        ("/usr/bin/PyPy3", utterances.PROGRAM, True),
        ("/usr/bin/uwsgi_python3", utterances.PROGRAM, False),
        ("", utterances.PROGRAM, False),
        (None, utterances.PROGRAM, False),
        ("/usr/bin/python3", "/application.zip/streamclient/server/engines/utterances.py", False),
    ],
)
def test_only_python_runs_the_program(executable: str | None, program: str, can: bool) -> None:
    """Elsewhere it decodes in threads: uWSGI says that it is what runs Python, and knows no option ``-I``."""
    assert can_run(executable, program) == can


def test_a_default_timeout_for_sockets_is_not_for_the_processes(pool: DecoderPool, passage: bytes, heard: str) -> None:
    """It makes sockets that do not block, which the other end of a pair would inherit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SOON)
    try:
        decoder = pool.lease()
    finally:
        socket.setdefaulttimeout(before)
    assert decode(decoder, passage) == heard
    assert decoder
    pool.give_back(decoder)


def test_a_model_needs_no_directory_to_write_to(monkeypatch: pytest.MonkeyPatch, passage: bytes, heard: str) -> None:
    """A container may have none."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert decode(utterances.UtteranceDecoder(), passage) == heard


def test_no_descriptor_left_is_a_named_error(pool: DecoderPool) -> None:
    """As what keeps a process from being run is."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(EngineError, match="Too many open files"):
            pool.lease()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    decoder = pool.lease()
    assert decoder
    pool.give_back(decoder)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_no_room_for_a_process_ends_one_stream(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The process with the model goes on."""

    def fork() -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fork", fork)
    control, other = socket.socketpair()
    ours, theirs = socket.socketpair()
    with control, other, ours:
        utterances._fork(None, control, theirs)  # type: ignore[arg-type] # nothing is decoded
        assert ours.recv(1) == b""
        assert control.fileno() >= 0


@needs_proc
def test_a_group_that_has_ended_by_itself_is_no_error(monkeypatch: pytest.MonkeyPatch, pool: DecoderPool) -> None:
    """On macOS no signal may be sent to processes that only wait to be asked how they ended."""

    def forbid(*_: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "killpg", forbid)
    pool.open()
    wait_until(lambda: bool(decoders()))
    pool.close()
    assert not decoders()


FORKING = """
import os, sys, wave
from streamclient.server.engines.decoders import DecoderPool

with wave.open(sys.argv[1]) as reader:
    passage = reader.readframes(reader.getnframes())[-105_280:]

def decode(decoder, audio):
    decoder.begin(None)
    decoder.feed(audio)

pool = DecoderPool(2, processes=True)
leased = pool.lease()
decode(leased, bytes(32_000))
free = pool.lease()
free.words()
pool.give_back(free)
here, there = os.pipe()
if child := os.fork():
    os.read(here, 1)
    decoder = pool.lease()
    decode(decoder, bytes(32_000))
    print(child, flush=True)
    assert decoder.finish()[0] == leased.finish()[0] == []
    os.kill(os.getpid(), 9)
decoder = pool.lease()
decode(decoder, passage)
decoder.words()
os.write(there, b"1")
sys.stdin.readline()
print(*(word for word, *_ in decoder.finish()[0]), flush=True)
pool.give_back(decoder)
pool.close()
sys.stdin.readline()
"""


@needs_proc
def test_a_fork_has_decoders_of_its_own_and_keeps_none_of_its_parent(heard: str) -> None:
    """Each hears its own audio; when the parent is killed its processes end, while the fork lives."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FORKING, SAMPLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        assert parent.stderr
        try:
            child = int(parent.stdout.readline())
            wait_until(lambda: bool(working(child)))
            theirs = decoders(child) | working(child)
            others = descendants(parent.pid) - theirs - {child}
            parent.wait(SOON)
            wait_until(lambda: all(map(has_ended, others)))
            assert not any(map(has_ended, theirs | {child}))
            parent.stdin.write("\n")
            parent.stdin.flush()
            assert parent.stdout.readline().strip() == heard
        finally:
            parent.stdin.close()  # the child ends
        wait_until(lambda: all(map(has_ended, theirs | {child})))
        assert parent.stderr.read() == ""


def serve(stack: list[subprocess.Popen[str]]) -> tuple[subprocess.Popen[str], str]:
    """Run the command, in a group of its own as a terminal would."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamclient", "serve", "--port", "0", "--grace", "30"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stack.append(process)
    assert process.stderr is not None
    url = re.search(r"ws://\S+", process.stderr.readline())
    assert url is not None
    return process, url[0]


@pytest.fixture
def command() -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Runs ``streamclient serve``; it does not outlive the test."""
    started: list[subprocess.Popen[str]] = []
    yield lambda: serve(started)
    for process in started:
        process.kill()
        process.communicate()


@needs_proc
def test_none_outlives_a_server_that_is_killed(
    command: Callable[[], tuple[subprocess.Popen[str], str]], passage: bytes
) -> None:
    """It had no time to end them."""
    process, url = command()
    client = StreamClient(OPTIONS, url=url, reconnect=None, timeouts=PATIENT)
    client.open()
    client.send(passage)
    wait_until(lambda: bool(working(process.pid)))
    parents, forked = decoders(process.pid), working(process.pid)
    process.kill()
    process.wait(SOON)
    client.abort()
    wait_until(lambda: all(map(has_ended, parents | forked)))


@needs_proc
def test_what_a_terminal_or_a_service_manager_sends_to_all_ends_only_the_server(
    command: Callable[[], tuple[subprocess.Popen[str], str]], passage: bytes, heard: str
) -> None:
    """With grace: the stream goes on to its end, and nothing is printed that is not the server's."""
    process, url = command()
    with StreamClient(OPTIONS, url=url, reconnect=None, timeouts=PATIENT) as client:
        client.send(passage)
        wait_until(lambda: bool(working(process.pid)))
        everyone = decoders(process.pid) | working(process.pid)
        for pid in everyone:
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGINT)
        assert client.close().text == heard
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert "ERROR" not in err
    wait_until(lambda: all(map(has_ended, everyone)))
