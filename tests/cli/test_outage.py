"""An outage in mid-transcription: it is said on standard error, and the transcript is whole."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import jiwer
import pytest

from streamclient.server import LocalServer
from streamclient.server.engines import load_engine
from tests.cli.conftest import Start, invoke
from tests.support.ports import reserved_port
from tests.support.service import SOON, Call, final, metadata, serving

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
RAW = ("--encoding", "linear16", "--sample-rate", "16000")
LOST = r"streamclient: connection lost: .+; trying again (now|in \d\.\d s), the audio is kept\n"
BACK = r"streamclient: connected again after \d+\.\d s; sending again what has no transcript yet\n"


def breaking(*ends: Callable[[Call], None]) -> Callable[[Call], None]:
    """A service that hears a quarter of a second, says a word, and then does this on each connection in turn."""
    remaining = list(ends)

    def script(call: Call) -> None:
        call.read()
        call.say(final(f"word{len(remaining)}", 0.0, 0.25))
        remaining.pop(0)(call)

    return script


def finish(call: Call) -> None:
    """Hear the rest."""
    call.read_until()
    call.end(metadata(1.0))


@pytest.fixture
def raw(tmp_path: Path) -> str:
    """A second of silence without a header."""
    path = tmp_path / "talk.raw"
    path.write_bytes(bytes(32000))
    return str(path)


def test_outages_are_said_and_the_transcript_is_whole(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line when the connection breaks and one when it is back, for each break; the code is that of success."""
    with serving(breaking(Call.reset, lambda call: call.end(code=1011, reason="NET-0001"), finish)) as service:
        code, out, err = invoke(capsys, ["transcribe", raw, *RAW, "--url", service.url])

    assert (code, out) == (0, "word3\nword2\nword1\n")
    assert re.fullmatch((LOST + BACK) * 2, err), err
    assert "received nothing for about ten seconds (code 1011) (NET-0001)" in err


def test_outages_are_among_the_events(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--json`` they are lines of their own in their place; standard error tells them as well."""
    with serving(breaking(Call.reset, finish)) as service:
        code, out, err = invoke(capsys, ["transcribe", raw, *RAW, "--url", service.url, "--json"])

    events = [json.loads(line) for line in out.splitlines()]
    names = [event["event"] for event in events if event["event"] in ("final", "disconnect", "reconnect", "close")]
    (lost,) = (event for event in events if event["event"] == "disconnect")
    assert code == 0
    assert names == ["final", "disconnect", "reconnect", "final", "close"]
    assert lost["error"]["type"] == "ConnectionLost"
    assert lost["retry_in"] >= 0
    assert re.fullmatch(LOST + BACK, err), err


def test_quiet_says_nothing_of_an_outage_that_ends(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What went well in the end is no error."""
    with serving(breaking(Call.reset, finish)) as service:
        assert invoke(capsys, ["transcribe", raw, *RAW, "--url", service.url, "-q"]) == (0, "word2\nword1\n", "")


def test_an_outage_names_its_file_among_several(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With several files the lines say whose connection it is."""
    with serving(breaking(Call.reset, finish, finish)) as service:
        code, _, err = invoke(capsys, ["transcribe", raw, raw, *RAW, "--url", service.url])

    assert code == 0
    assert err.count(f"streamclient: {raw}: conne") == 2


def test_an_outage_that_ends_in_a_refusal_keeps_what_came(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says what broke and what refused; the code is the refusal's."""
    with serving(breaking(Call.reset)) as service:
        service.refusal = lambda _: (402, {"dg-error": "No credit."}, b"") if service.calls else None
        code, out, err = invoke(capsys, ["transcribe", raw, *RAW, "--url", service.url])

    assert (code, out) == (3, "word1\n")
    assert re.fullmatch(LOST + r"streamclient: error: .*could not be built again: .*402.*Add credit.*\n", err), err


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
def test_a_terminal_shows_the_outage_beside_the_bar(raw: str) -> None:
    """While there is no connection the bar says why it does not move; the lines stay."""
    terminal, end = pty.openpty()
    with serving(breaking(Call.reset, finish)) as service, os.fdopen(terminal, "rb", buffering=0) as screen:
        with subprocess.Popen(
            [sys.executable, "-m", "streamclient", "transcribe", raw, *RAW, "--url", service.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=end,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "150"},
        ) as process:
            os.close(end)
            assert process.stdout is not None
            assert process.stdout.read() == b"word2\nword1\n"
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that the other end is closed
            while block := screen.read(4096):
                seen += block
    assert process.returncode == 0
    assert b"no connection" in seen
    assert b"trying again" in seen
    assert b"connected again after" in seen


def test_a_server_that_is_stopped_and_started_again_costs_no_words(start: Start) -> None:
    """A real recogniser, a real process: the server goes away in mid-sentence, and comes back at the same place."""
    engine = load_engine("pocketsphinx")
    with wave.open(str(SAMPLE)) as file:
        audio = file.readframes(file.getnframes())
    with reserved_port() as port, LocalServer(engine, port=port) as first:
        process = start("transcribe", "-", *RAW, "--url", first.url, "--json")
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        feed = process.stdin.buffer  # type: ignore[attr-defined]
        feed.write(audio[: 9 * 32000])
        feed.flush()
        lines = [process.stdout.readline()]
        while '"event":"final"' not in lines[-1]:
            lines.append(process.stdout.readline())
    with LocalServer(engine, port=port):
        feed.write(audio[9 * 32000 :])
        process.stdin.close()
        lines += process.stdout.readlines()
        err = process.stderr.read()
        process.wait(SOON)

    events = [json.loads(line) for line in lines]
    text = " ".join(event["text"] for event in events if event["event"] == "utterance")
    assert process.returncode == 0, err
    assert jiwer.wer(SAMPLE.with_suffix(".txt").read_text(), text) < 0.4
    assert re.fullmatch(LOST + BACK, err), err
