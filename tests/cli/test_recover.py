"""The command recover: what a recording lacks is transcribed, and nothing else."""

import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import attrs
import jiwer
import pytest

from streamclient import ConnectionLost, FluxOptions, ListenOptions, ReconnectPolicy, StreamClient
from streamclient.cli import run
from streamclient.cli.query import parse_parameters
from streamclient.cli.recording import read_recording
from streamclient.cli.recovery import Recovery
from tests.cli.conftest import Start
from tests.support.positions import RATE, Recogniser, audio, spoken
from tests.support.recorder import hearing, options, recorded_bytes, recording
from tests.support.recovering import (
    BLOCKS,
    GAP_FROM,
    SECONDS,
    Capture,
    assert_complete,
    events,
    record,
    recovered,
    words_of,
)
from tests.support.service import CLOSE_STREAM, SOON, Call, serving

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"


@pytest.mark.parametrize("channels", [1, 2])
def test_kill_loses_nothing_and_recover_finds_every_word(tmp_path: Path, capsys: Capture, channels: int) -> None:
    """After a kill -9 all audio accepted a second before is on disk, and is transcribed exactly once."""
    random = Random(channels)
    with serving(hearing(random, channels)) as service:
        with recording(tmp_path, service.url, channels=channels) as recorder:
            recorder.run_for(random.uniform(1.1, 1.4))
            killed = recorder.kill()
        size = recorded_bytes(tmp_path, channels=channels)
        assert size >= recorder.accepted_before(killed - 1.0) > 0

        calls = len(service.calls)
        document = recovered(tmp_path, service, capsys)
        seconds = size // (2 * channels) / RATE
        assert_complete(document, seconds, channels)
        assert len(service.calls) == calls + 1

        assert recovered(tmp_path, service, capsys) == document
        assert len(service.calls) == calls + 1


def test_outage_beyond_the_policy_is_recovered(tmp_path: Path, capsys: Capture) -> None:
    """The stream failed, the recording went on while audio was accepted; later all of it gets its transcript."""
    samples = audio(BLOCKS)

    def breaking(call: Call) -> None:
        recogniser = Recogniser(Random(1))
        recogniser.hear(bytes(call.read()))  # type: ignore[arg-type]
        call.say(*recogniser.finals())
        call.reset()

    with serving(breaking) as service:
        plugins = [f"record:path={tmp_path / 'call'}"]
        client = StreamClient(options(), url=service.url, plugins=plugins, reconnect=ReconnectPolicy(max_outage=2.0))
        client.open()
        with pytest.raises(ConnectionLost):
            for place in range(0, len(samples), 1600):
                client.send(samples[place : place + 1600])
                service.refusal = lambda _: (503, {}, b"")
            client.close()
    seconds = recorded_bytes(tmp_path) / 2 / RATE
    assert seconds > 0.1
    with serving(hearing(Random(2))) as service:
        assert_complete(recovered(tmp_path, service, capsys), seconds)


def test_only_what_is_missing_is_sent(tmp_path: Path, capsys: Capture) -> None:
    """From a pause a little before it, with the parameters of the recording, and nothing that was known changes."""
    asked = attrs.evolve(options(), keyterm=["Dashwood"], callback="https://example.com/hush")
    record(tmp_path, audio(BLOCKS), asked=asked)
    before = (tmp_path / "call.jsonl").read_bytes()
    with serving(hearing(Random(3))) as service:
        document = recovered(tmp_path, service, capsys)
    assert_complete(document, SECONDS)
    sent = service.call.audio
    assert audio(BLOCKS).endswith(sent)
    assert SECONDS - GAP_FROM < len(sent) / 2 / RATE < SECONDS - GAP_FROM + 1.1
    assert "keyterm=Dashwood" in service.call.path
    assert "callback" not in service.call.path
    assert "smart_format" not in service.call.path
    assert (tmp_path / "call.jsonl").read_bytes().startswith(before)
    assert [line["event"] for line in events(tmp_path)][-1] == "recovered"


def test_parameters_can_be_changed(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """By options of the command; what the environment says for other commands does not change a recording's."""
    record(tmp_path, audio(BLOCKS))
    monkeypatch.setenv("STREAMCLIENT_LANGUAGE", "de")
    with serving(hearing(Random(3))) as service:
        recovered(tmp_path, service, capsys, "-m", "nova-2", "-o", "keyterm=x", "-o", "model=nova-3")
    assert "model=nova-3" in service.call.path
    assert "keyterm=x" in service.call.path
    assert "language" not in service.call.path


def test_plugins_may_change_what_is_recovered(tmp_path: Path, capsys: Capture, home: Path) -> None:
    """Those that are named; what the settings switch on for new streams, such as another recording, stays off."""
    record(tmp_path, audio(BLOCKS))
    (home / "streamclient.toml").write_text("[plugins.record]\npath = 'other'\n")
    with serving(hearing(Random(3))) as service:
        document = recovered(tmp_path, service, capsys, "--plugin", "redact:word=w150")
    words = [word.word for word in words_of(document)]
    assert "w149" in words
    assert "w150" not in words
    assert "w150" not in (tmp_path / "call.jsonl").read_text()
    assert not (home / "other.jsonl").exists()


@pytest.mark.parametrize(
    "asked",
    [
        ListenOptions(),
        ListenOptions(encoding="mulaw", sample_rate=8000, channels=2, multichannel=True, alternatives=2),
        ListenOptions(endpointing=False, interim_results=True, utterance_end_ms=1000, redact=["pci", "ssn"]),
        ListenOptions(endpointing=300, redact=True, keyterm=["a b", "c=d"], smart_format=False, replace=["a:b"]),
        ListenOptions(model="nova-2", keywords=["snuffle:10"], extra_query={"x": ["1", "2"], "n": 5, "yes": True}),
    ],
)
def test_recorded_parameters_are_asked_for_again(asked: ListenOptions, tmp_path: Path) -> None:
    """All of them, in their own types, and none besides."""
    recording = read_recording(record(tmp_path, b"RIFF", asked=asked, known=0.0))
    again = Recovery(recording, None, parse_parameters(recording.parameters)).options
    assert sorted(again.query_pairs()) == sorted(asked.query_pairs())


def test_line_that_was_cut_short_is_left_out(tmp_path: Path, capsys: Capture) -> None:
    """The one that was being written when the process was killed; lines that are added begin anew."""
    lines = record(tmp_path, audio(BLOCKS), ends=False)
    torn = lines.read_bytes()
    with serving(hearing(Random(4))) as service:
        assert run(["recover", str(lines), "--url", service.url]) == 0
        assert "left out: 1" in capsys.readouterr().err
        assert_complete(recovered(tmp_path, service, capsys), SECONDS)
    assert lines.read_bytes().startswith(torn + b"\n{")
    assert len(service.calls) == 1


def test_complete_recording_needs_no_service(tmp_path: Path, capsys: Capture) -> None:
    """Nothing is sent, and the transcript is what it was. Either file names the recording."""
    lines = record(tmp_path, audio(BLOCKS), known=SECONDS)
    for path in (lines, tmp_path / "call.wav"):
        assert run(["recover", str(path), "--url", "ws://127.0.0.1:1"]) == 0
        captured = capsys.readouterr()
        assert captured.out.split() == [word for word, *_ in spoken(BLOCKS)]
        assert captured.err == "streamclient: nothing is missing in call.jsonl\n"


def test_lines_that_are_gone_are_missed(tmp_path: Path, capsys: Capture) -> None:
    """Although the stream was complete: its end tells what there should be, and a full disk can cost lines."""
    lines = record(tmp_path, audio(BLOCKS), known=SECONDS, complete=" ".join(word for word, *_ in spoken(BLOCKS)))
    assert run(["recover", str(lines), "--url", "ws://127.0.0.1:1"]) == 0
    capsys.readouterr()
    kept = [line for line in lines.read_bytes().splitlines(keepends=True) if b'"event":"final"' not in line]
    lines.write_bytes(b"".join(kept))
    with serving(hearing(Random(11))) as service:
        assert_complete(recovered(tmp_path, service, capsys), SECONDS)


def test_complete_stream_needs_no_finals_for_silence_at_its_end(tmp_path: Path, capsys: Capture) -> None:
    """The service has said that it is done."""
    known = " ".join(word for word, _, end, *_ in spoken(BLOCKS) if end <= GAP_FROM)
    lines = record(tmp_path, audio(BLOCKS), complete=known)
    assert run(["recover", str(lines), "--url", "ws://127.0.0.1:1"]) == 0
    assert capsys.readouterr().out.split() == known.split()


def test_recording_of_turns_is_refused(tmp_path: Path, capsys: Capture) -> None:
    """Until this version speaks that protocol."""
    asked = FluxOptions(model="flux-general-en", encoding="linear16", sample_rate=RATE)
    lines = record(tmp_path, audio(BLOCKS), asked=asked, known=0.0)
    assert run(["recover", str(lines)]) == 1
    assert "/v2/listen" in capsys.readouterr().err


def test_refused_key_changes_nothing(tmp_path: Path, capsys: Capture) -> None:
    """The exit code says why; what is known is still printed, and what is missing is named."""
    lines = record(tmp_path, audio(BLOCKS))
    before = lines.read_bytes()
    with serving() as service:
        service.refusal = lambda _: (401, {}, b'{"err_code": "INVALID_AUTH"}')
        assert run(["recover", str(lines), "--url", service.url]) == 3
    captured = capsys.readouterr()
    assert captured.out.split() == [word for word, _, end, *_ in spoken(BLOCKS) if end <= GAP_FROM]
    assert "still missing: 2.0 to 4.0 s" in captured.err
    assert lines.read_bytes() == before


def test_what_came_before_a_failure_is_kept(tmp_path: Path, capsys: Capture) -> None:
    """A second run goes on where the first one was stopped."""
    lines = record(tmp_path, audio(BLOCKS), known=0.0)

    def failing(call: Call) -> None:
        recogniser = Recogniser(Random(5))
        while recogniser.seconds < SECONDS / 2:
            recogniser.hear(bytes(call.read()))  # type: ignore[arg-type]
        call.say(*recogniser.finals())
        call.end(code=1008, reason="DATA-0000")

    with serving(failing) as service:
        assert run(["recover", str(lines), "--url", service.url]) == 5
    captured = capsys.readouterr()
    assert captured.out.split()[:1] == ["w0"]
    assert "still missing" in captured.err
    with serving(hearing(Random(6))) as service:
        assert_complete(recovered(tmp_path, service, capsys), SECONDS)
    assert len(service.call.audio) < 2 * RATE * SECONDS * 0.95


def test_kill_of_recover_harms_nothing(tmp_path: Path, start: Start, capsys: Capture) -> None:
    """Killed at any moment, it goes on later, and every word comes once."""
    random = Random(7)
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        lines = record(folder, audio(BLOCKS), known=0.0)
        enough = threading.Event()
        limit = random.randint(1, 10)

        def slow(call: Call, enough: threading.Event = enough, limit: int = limit) -> None:
            recogniser = Recogniser(random)
            for number in itertools.count():
                frame = call.read()
                if frame == CLOSE_STREAM:
                    break
                recogniser.hear(bytes(frame))  # type: ignore[arg-type]
                call.say(*recogniser.finals())
                if number == limit:
                    enough.set()
                    call.read_to_end()
            call.end(*recogniser.finish())

        with serving(slow) as service:
            process = start("recover", str(lines), "--url", service.url)
            assert enough.wait(SOON)
            process.kill()
            process.wait()
        with serving(hearing(random)) as service:
            assert_complete(recovered(folder, service, capsys), SECONDS)


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_what_cannot_be_added_is_printed_all_the_same(tmp_path: Path) -> None:
    """A full disk costs the recording its completion, not the user the words."""
    lines = record(tmp_path, audio(BLOCKS))
    before = lines.read_bytes()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)}, {len(before)}))"
    program = f"{limited}; from streamclient.cli import run; import sys; sys.exit(run(sys.argv[1:]))"
    with serving(hearing(Random(12))) as service:
        done = subprocess.run(
            [sys.executable, "-c", program, "recover", str(lines), "--url", service.url],
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "also in" not in done.stderr
    assert done.stdout.split() == [word for word, *_ in spoken(BLOCKS)]
    assert lines.read_bytes() == before


def test_killed_transcription_of_speech_is_completed(tmp_path: Path, start: Start, capsys: Capture) -> None:
    """With the real recogniser on this machine: a killed command, recovered, has the words of an undisturbed one."""
    process = start("transcribe", str(SAMPLE), "--json", "--plugin", f"record:path={tmp_path / 'call'}")
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "final":
        pass
    process.kill()
    process.wait()
    assert run(["recover", str(tmp_path / "call.wav")]) == 0
    captured = capsys.readouterr()
    assert "complete now" in captured.err
    assert jiwer.wer(SAMPLE.with_suffix(".txt").read_text(), captured.out) < 0.4
