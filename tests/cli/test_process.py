"""The command as a process: pipes, signals, exit codes."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path
from typing import IO, Any
from unittest.mock import ANY

import jiwer
import pytest
import websocket

from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.sources.web import SILENCE
from tests.cli.conftest import Start, write_wav
from tests.support.service import CLOSE_STREAM, SOON, Call, final, interim, metadata, obedient, serving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
RAW = ("--encoding", "linear16", "--sample-rate", "16000")
BLOCK = bytes(3200)


def echoing(call: Call) -> None:
    """A service that answers every frame of audio with a word, until CloseStream."""
    heard = 0
    while (frame := call.read()) != CLOSE_STREAM:
        if isinstance(frame, bytes):
            call.say(final(f"word{heard}", heard * 0.1, 0.1))
            heard += 1
    call.end(metadata(heard * 0.1))


def deaf(call: Call) -> None:
    """A service that hears a word and never ends a stream by itself."""
    call.read()
    call.say(final("word", 0.0))
    call.read_to_end()


def pipe_of(process: "subprocess.Popen[str]") -> IO[str]:
    """Its standard input."""
    assert process.stdin is not None
    return process.stdin


def feed(process: "subprocess.Popen[str]", audio: bytes) -> None:
    """Write audio into its standard input."""
    pipe_of(process).buffer.write(audio)  # type: ignore[attr-defined]
    pipe_of(process).flush()


def line_of(stream: IO[str] | None) -> str:
    """The next line, as soon as it is there."""
    assert stream is not None
    return stream.readline()


def test_pipe_is_transcribed_while_it_is_open(start: Start) -> None:
    """An utterance is printed as soon as the service has it, while the audio still comes."""
    with serving(echoing) as service:
        process = start("transcribe", "-", *RAW, "--url", service.url)
        feed(process, BLOCK)
        assert line_of(process.stdout) == "word0\n"
        feed(process, BLOCK)
        assert line_of(process.stdout) == "word1\n"
        out, err = process.communicate(timeout=SOON)
    assert (process.returncode, out, err) == (0, "", "")
    assert service.call.audio == BLOCK * 2
    assert service.call.commands == [CLOSE_STREAM]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_finishes_well(start: Start, number: int, code: int) -> None:
    """The first signal stops the reading; what was sent is transcribed, the stream is closed as it should be."""
    with serving(echoing) as service:
        process = start("transcribe", "-", *RAW, "--json", "--url", service.url)
        feed(process, BLOCK)
        while json.loads(line_of(process.stdout))["event"] != "utterance":
            pass
        process.send_signal(number)
        rest = [json.loads(line) for line in process.stdout or ()]
        err = process.stderr.read() if process.stderr else ""
        assert process.wait(SOON) == code
    assert rest[-1]["event"] == "close"
    assert rest[-1]["complete"]
    assert err == "streamclient: finishing what was sent; press Ctrl-C again to end at once\n"
    assert service.call.commands == [CLOSE_STREAM]


def test_second_signal_ends_at_once(start: Start) -> None:
    """The second signal waits for nobody."""
    with serving(deaf) as service:
        process = start("transcribe", "-", *RAW, "--url", service.url)
        feed(process, BLOCK)
        assert line_of(process.stdout) == "word\n"
        process.send_signal(signal.SIGINT)
        assert "finishing" in line_of(process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON) == 130


def test_signal_while_connecting_does_not_wait(start: Start) -> None:
    """A service that does not answer the handshake does not hold up a Ctrl-C."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = start("transcribe", "-", *RAW, "--timeout", "60", "--url", f"ws://127.0.0.1:{port}")
        feed(process, BLOCK)
        with listener.accept()[0] as silent:
            assert silent.recv(4) == b"GET "
            process.send_signal(signal.SIGINT)
            assert process.wait(SOON) == 130
        assert "error" not in (process.stderr.read() if process.stderr else "")


def test_signal_while_the_web_says_nothing_does_not_wait(start: Start) -> None:
    """A server that takes the connection and no more is not waited for, as long as a first byte may take."""
    with LocalServer(ScriptedEngine("never heard")) as server, socket.create_server(("127.0.0.1", 0)) as web:
        address = f"http://127.0.0.1:{web.getsockname()[1]}/talk.mp3"
        process = start("transcribe", address, "--url", server.url, stdin=subprocess.DEVNULL, DEEPGRAM_API_KEY="any")
        asked, _ = web.accept()
        with asked:
            assert asked.recv(4096).startswith(b"GET /talk.mp3")
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SOON)
    assert (process.returncode, out) == (130, "")
    assert err == "streamclient: stopping; press Ctrl-C again to end at once\n"
    assert time.monotonic() - begin < SILENCE / 2


def test_signal_before_any_audio_is_no_error(start: Start) -> None:
    """A pipe whose audio has not begun is not blamed for it when Ctrl-C comes."""
    process = start("transcribe", "-")
    feed(process, bytes(300_000))  # more than a pipe holds: it is being read when this returns
    process.send_signal(signal.SIGINT)
    assert process.wait(SOON) == 130
    assert "error" not in (process.stderr.read() if process.stderr else "")


def test_signal_interrupts_the_pace(start: Start, wav: str) -> None:
    """A Ctrl-C does not wait for the next word of a recording sent at the speed of speech."""
    with wave.open(wav, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(16000 * 2 * 600))
    with serving(echoing) as service:
        process = start("transcribe", wav, "--realtime", "--url", service.url)
        assert line_of(process.stdout) == "word0\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON) == 130
    assert service.call.commands == [CLOSE_STREAM]
    assert len(service.call.audio) < 16000 * 2 * 300


def test_reader_that_leaves_is_no_drama(start: Start) -> None:
    """``| head -1`` leaves no message and no traceback, and the stream is closed well."""
    with serving(echoing) as service:
        process = start("transcribe", "-", *RAW, "--url", service.url)
        feed(process, BLOCK)
        line_of(process.stdout)
        assert process.stdout is not None
        process.stdout.close()
        feed(process, BLOCK)
        err = process.stderr.read() if process.stderr else ""
        assert process.wait(SOON) == 1
    assert err == ""
    assert service.call.commands == [CLOSE_STREAM]


def test_full_disk_is_an_error(start: Start, wav: str) -> None:
    """A standard output that takes nothing is said, not ignored."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with serving(obedient(final("word", 0.0), metadata())) as service, Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "streamclient", "transcribe", wav, "--url", service.url],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SOON,
        )
    assert process.returncode == 1
    assert "Standard output cannot be written: No space left" in process.stderr
    assert "Traceback" not in process.stderr


def test_empty_and_closed_standard_input_are_named(start: Start) -> None:
    """No audio at all is a sentence."""
    process = start("transcribe", "-", stdin=subprocess.DEVNULL)
    assert process.wait(SOON) == 5
    assert "standard input is empty" in line_of(process.stderr)


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("transcribe - <&-", 1, "Standard input is closed. Name a file, or pipe audio in.\n"),
        ("transcribe - <&- >&-", 1, "Standard input is closed. Name a file, or pipe audio in.\n"),
        ("--version >&-", 1, "error: Bad file descriptor.\n"),
        ("--version >/dev/full", 1, "error: No space left on device.\n"),
        ("plugins 2>&-", 0, ""),
    ],
)
def test_closed_and_full_standard_streams_are_a_sentence(command: str, code: int, says: str) -> None:
    """A descriptor that is closed is not mistaken for what is opened next, and is no defect."""
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    process = subprocess.run(
        f"{sys.executable} -m streamclient {command}", shell=True, capture_output=True, text=True, timeout=SOON
    )
    assert process.returncode == code
    assert process.stderr.endswith(says)
    assert "Traceback" not in process.stderr
    assert "ignored" not in process.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_transcript_is_lost_to_no_encoding(tmp_path: Path, encoding: str) -> None:
    """What standard output cannot hold is escaped, so that JSON is still JSON; so are bytes in the name of a file."""
    said = "grüße 你好 \N{WAVING HAND SIGN}"
    name = b"talk\xff.wav" if sys.platform == "linux" else b"talk.wav"
    audio = write_wav(tmp_path / os.fsdecode(name), 1.0)

    def printed(*arguments: str) -> str:
        command = [sys.executable, "-m", "streamclient", "transcribe", str(audio), "--url", service.url, *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(command, capture_output=True, encoding=encoding, env=environment, timeout=SOON)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with serving(obedient(final(said, 0.0), metadata())) as service:
        assert json.loads(f'"{printed().strip()}"') == said
        document = json.loads(printed("-f", "json"))
        assert (document["source"], document["text"]) == (str(audio), said)
        assert json.loads(printed("--json").splitlines()[-1])["text"] == said
        assert printed("-f", "json", "--output-dir", "out") == ""
    (written,) = (tmp_path / "out").iterdir()
    assert json.loads(written.read_text(encoding="utf-8")) == document | {"request_ids": ANY, "metadata": ANY}


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_files_are_written_whatever_is_closed(wav: str, closed: str, tmp_path: Path) -> None:
    """A job without standard streams, as a service starts it, writes its files."""
    with serving(obedient(final("hello there", 0.0), metadata())) as service:
        command = f"{sys.executable} -m streamclient transcribe {wav} --out talk.txt --url {service.url} {closed}"
        process = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=SOON)
    assert process.returncode == 0
    assert (tmp_path / "talk.txt").read_text() == "hello there\n"


def test_version_is_quick_and_imports_little() -> None:
    """``--version`` does not load what only the work needs."""
    code = (
        "import sys; from streamclient.cli import run; run(['--version']); "
        "heavy = 'websocket', 'rich', 'numpy', 'websockets', 'av', 'platformdirs'; "
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=SOON)
    assert out.startswith("streamclient ")
    assert out.endswith("[]\n")


def test_missing_click_is_named() -> None:
    """Without the extra ``cli`` the command says what to install."""
    code = "import sys; sys.modules['click'] = None; from streamclient.__main__ import main; sys.exit(main())"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SOON)
    assert process.returncode == 1
    assert "pip install 'streamclient[cli]'" in process.stderr


def test_serve_tells_where_and_stops_when_told(start: Start, wav: str) -> None:
    """A server says its address, logs each stream, serves a client, and ends on a signal with its code."""
    process = start("serve", "--engine", "scripted", "--port", "0")
    url = line_of(process.stderr).split(" at ")[1].strip()
    assert url in line_of(process.stderr)
    client = start("transcribe", wav, "--url", url)
    assert client.communicate(timeout=SOON)[0].split() == ["this", "is", "a", "test"]
    while "ended with 1000" not in (line := line_of(process.stderr)):
        assert line.startswith("streamclient: info: ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 143


def test_serve_takes_keys_from_environment_and_file(start: Start, tmp_path: Path, wav: str) -> None:
    """Keys are never an option; a client with one of them is served, others are not."""
    (tmp_path / "keys.txt").write_text("# ours\nkey-one\n")
    arguments = ("serve", "--engine", "scripted", "--port", "0", "--api-key-file", "keys.txt")
    process = start(*arguments, STREAMCLIENT_SERVER_KEYS="key-two,key-three")
    url = line_of(process.stderr).split(" at ")[1].split()[0]
    codes = []
    for key in ("key-one", "key-three", "key-four"):
        client = start("transcribe", wav, "--url", url, DEEPGRAM_API_KEY=key)
        client.communicate(timeout=SOON)
        codes.append(client.returncode)
    assert codes == [0, 0, 3]
    process.send_signal(signal.SIGINT)
    assert process.wait(SOON) == 130


def can_connect(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was just going
        return False
    return True


def test_serve_lets_streams_finish(start: Start, wav: str) -> None:
    """After SIGTERM nobody new is let in, a stream that is open ends in its own time, and then the server does."""
    process = start("serve", "--engine", "scripted", "--port", "0", "--page", "--grace", "30", "--throttle", "50")
    url = line_of(process.stderr).split(" at ")[1].strip()
    assert f"open http{url.removeprefix('ws')}/ in a browser" in line_of(process.stderr)
    ws: Any = websocket.create_connection(f"{url}/v1/listen?encoding=linear16&sample_rate=16000", timeout=SOON)
    ws.send_binary(bytes(64_000))
    process.send_signal(signal.SIGTERM)
    end = time.monotonic() + SOON
    while can_connect(int(url.rpartition(":")[2])):
        assert time.monotonic() < end
    ws.send(CLOSE_STREAM)
    messages = [json.loads(text) for text in iter(ws.recv, "")]
    ws.shutdown()
    assert messages[-1]["type"] == "Metadata"
    assert process.wait(SOON) == 143


def test_serve_on_a_taken_port_is_one_sentence(start: Start) -> None:
    """A port that somebody else has is said, with what to do."""
    with LocalServer(engine="scripted") as server:
        process = start("serve", "--engine", "scripted", "--port", str(server.port))
        assert process.wait(SOON) == 1
        err = process.stderr.read() if process.stderr else ""
    assert err.startswith("streamclient: error: ")
    assert str(server.port) in err
    assert err.count("\n") == 1


def test_sample_is_transcribed_without_a_key(start: Start) -> None:
    """With neither key nor URL a recogniser on this machine does it, over a real websocket, and says so in a line."""
    process = start("transcribe", str(SAMPLE))
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0
    assert jiwer.wer(SAMPLE.with_suffix(".txt").read_text(), out) < 0.4
    assert err.count("\n") == 1
    assert "its quality is not Deepgram's" in err


def test_waiting_for_the_end_takes_no_thread_along(start: Start) -> None:
    """The process ends by itself when the work is done, whatever threads there were."""
    with serving(echoing) as service:
        process = start("transcribe", "-", *RAW, "--url", service.url)
        watcher = threading.Thread(target=process.wait)
        watcher.start()
        feed(process, BLOCK)
        pipe_of(process).close()
        watcher.join(SOON)
        assert not watcher.is_alive()


@pytest.mark.parametrize(
    ("arguments", "captions", "no_color"),
    [((), True, ""), ((), True, "1"), (("--json",), False, ""), (("-q",), False, "")],
)
def test_terminal_gets_captions_and_the_pipe_stays_clean(
    wav: str, arguments: tuple[str, ...], captions: bool, no_color: str
) -> None:
    """Captions and progress are for a terminal on standard error; standard output has none of their control codes."""
    terminal, end = pty.openpty()
    service_says = obedient(interim("hel", 0.0), final("hello there", 0.0), metadata())
    with serving(service_says) as service, os.fdopen(terminal, "rb", buffering=0) as screen:
        with subprocess.Popen(
            [sys.executable, "-m", "streamclient", "transcribe", wav, *arguments, "--url", service.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=end,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": no_color},
        ) as process:
            os.close(end)
            assert process.stdout is not None
            out = process.stdout.read()
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that the other end is closed
            while block := screen.read(4096):
                seen += block
    assert process.returncode == 0
    assert b"\x1b" not in out
    assert (b"hello there" in seen) is captions
    assert (b"talk.wav" in seen) is captions
    assert bool(re.search(rb"\x1b\[[\d;]*m", seen)) is (captions and not no_color)
    assert "interim_results=true" in service.call.path or not captions
