"""The command recover and files: audio in containers, what it writes, and what is no recording."""

import io
import json
import os
import wave
from pathlib import Path
from random import Random

import jsonschema
import numpy as np
import pytest

from streamclient import ListenOptions, Transcript
from streamclient.cli import run
from streamclient.cli.output import FORMATS
from streamclient.cli.recover import alone_with
from streamclient_plugins.jsonl import JsonLines
from streamclient_plugins.jsonl_schema import SCHEMA
from streamclient_plugins.record import Record
from tests.plugins.conftest import View
from tests.support.encode import KINDS, Kind, encode
from tests.support.messages import final
from tests.support.positions import RATE, audio, spoken
from tests.support.recorder import hearing, options
from tests.support.recovering import BLOCKS, GAP_FROM, SECONDS, Capture, assert_complete, events, record, recovered
from tests.support.service import serving


class TestContainers:
    def test_a_container_is_decoded_and_cut(
        self, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FLAC gives back the very samples; only what is missing is sent, as raw audio."""
        monkeypatch.setitem(KINDS, "flac", Kind("flac", "flac", RATE))
        flac = encode("flac", np.frombuffer(audio(BLOCKS), np.int16), RATE)
        record(tmp_path, flac, asked=ListenOptions())
        assert (tmp_path / "call.flac").read_bytes() == flac
        with serving(hearing(Random(8))) as service:
            assert_complete(recovered(tmp_path, service, capsys), SECONDS)
        assert "encoding=linear16" in service.call.path
        assert f"sample_rate={RATE}" in service.call.path
        assert len(service.call.audio) / 2 / RATE < SECONDS - GAP_FROM + 1.1

    def test_a_container_that_was_cut_short_gives_what_is_there(
        self, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A killed process leaves the start of a file."""
        monkeypatch.setitem(KINDS, "flac", Kind("flac", "flac", RATE))
        flac = encode("flac", np.frombuffer(audio(BLOCKS), np.int16), RATE)
        lines = record(tmp_path, flac[: len(flac) * 9 // 10], asked=ListenOptions())
        with serving(hearing(Random(8))) as service:
            assert run(["recover", str(lines), "--url", service.url]) == 0
        out, err = capsys.readouterr()
        words = out.split()
        assert "call.flac is damaged" in err
        assert 150 < len(words) < BLOCKS
        assert words == [word for word, *_ in spoken(len(words))]

    def test_a_wav_file_that_was_sent_as_it_is_needs_no_decoder(self, tmp_path: Path, capsys: Capture) -> None:
        """Its header says where which sample is."""
        wav = io.BytesIO()
        with wave.open(wav, "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(audio(BLOCKS))
        record(tmp_path, wav.getvalue(), asked=ListenOptions())
        with serving(hearing(Random(9))) as service:
            assert_complete(recovered(tmp_path, service, capsys), SECONDS)
        assert len(service.call.audio) / 2 / RATE < SECONDS - GAP_FROM + 1.1

    def test_what_cannot_be_cut_is_heard_as_a_whole(self, tmp_path: Path, capsys: Capture) -> None:
        """And only what was missing is taken of it; a second run finds nothing to do."""
        record(tmp_path, audio(BLOCKS), asked=ListenOptions())
        with serving(hearing(Random(10))) as service:
            document = recovered(tmp_path, service, capsys)
            assert_complete(document, SECONDS)
            assert service.call.audio == audio(BLOCKS)
            assert "encoding" not in service.call.path
            assert recovered(tmp_path, service, capsys) == document
            assert len(service.calls) == 1
        assert events(tmp_path)[-1]["end"] is None


class TestOutputs:
    def test_all_formats_are_written(self, tmp_path: Path, capsys: Capture) -> None:
        """The whole transcript, in each; event lines too."""
        lines = record(tmp_path, audio(BLOCKS), known=SECONDS)
        formats = [word for name in FORMATS for word in ("-f", name)]

        assert run(["recover", str(lines), *formats, "--output-dir", "out"]) == 0

        assert sorted(path.name for path in Path("out").iterdir()) == sorted(f"call.{name}" for name in FORMATS)
        for line in Path("out/call.jsonl").read_text().splitlines():
            jsonschema.validate(json.loads(line), SCHEMA)
        assert "w199" in Path("out/call.srt").read_text()
        assert "wrote out/call.json\n" in capsys.readouterr().err

    def test_the_recording_itself_is_never_overwritten(self, tmp_path: Path, capsys: Capture) -> None:
        """Not even when files may be replaced."""
        lines = record(tmp_path, audio(BLOCKS), known=SECONDS)
        before = lines.read_bytes()

        assert run(["recover", str(lines), "-f", "jsonl", "-f", "txt", "--overwrite"]) == 2

        assert "part of the recording" in capsys.readouterr().err
        assert lines.read_bytes() == before

    def test_one_at_a_time(self, tmp_path: Path, capsys: Capture) -> None:
        """Two would write the same words."""
        pytest.importorskip("fcntl")
        lines = record(tmp_path, audio(BLOCKS))
        with alone_with(lines):
            assert run(["recover", str(lines)]) == 1
        assert "in use" in capsys.readouterr().err

    def test_what_is_still_recorded_is_left_alone(self, tmp_path: Path, capsys: Capture) -> None:
        """Its words are still to come."""
        pytest.importorskip("fcntl")
        plugin = Record(path=str(tmp_path / "call"))
        plugin.on_audio(View(options=options()), audio(BLOCKS))
        file = plugin._file
        assert file is not None
        in_a_child = os.dup(file.fileno())
        assert run(["recover", str(tmp_path / "call.wav")]) == 1
        assert "still being recorded" in capsys.readouterr().err
        plugin.on_close(View(options=options()), Transcript())
        assert run(["recover", str(tmp_path / "call.wav"), "--url", "ws://127.0.0.1:1"]) == 4
        os.close(in_a_child)


class TestWhatIsNoRecording:
    @pytest.mark.parametrize(
        ("files", "name", "said"),
        [
            ({}, "call.jsonl", "There is no file"),
            ({"call.wav": b"RIFF"}, "call.wav", "There is no call.jsonl beside"),
            ({"call.jsonl": b'{"event":"open"}\n'}, "call.jsonl", "says what was recorded"),
            ({"call.jsonl": b'{"event":"recording"}\n'}, "call.jsonl", "not those of a recording"),
            ({"call.jsonl": b"\x00\xff\n[]\n"}, "call.jsonl", "says what was recorded"),
        ],
    )
    def test_it_is_said(self, files: dict[str, bytes], name: str, said: str, capsys: Capture) -> None:
        """In a sentence, with what makes a recording."""
        for path, content in files.items():
            Path(path).write_bytes(content)

        assert run(["recover", name]) == 1

        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1

    def test_audio_that_is_gone_is_named(self, tmp_path: Path, capsys: Capture) -> None:
        """The lines alone are not enough."""
        lines = record(tmp_path, audio(BLOCKS))
        (tmp_path / "call.wav").unlink()

        assert run(["recover", str(lines)]) == 1

        assert "call.wav" in capsys.readouterr().err

    @pytest.mark.parametrize(("size", "said"), [(0, "call.wav is empty"), (20, "WAV header is damaged or cut short")])
    def test_audio_without_its_header_is_told(self, tmp_path: Path, capsys: Capture, size: int, said: str) -> None:
        """Nothing is sent, and nothing is said to be complete."""
        lines = record(tmp_path, audio(BLOCKS))
        os.truncate(tmp_path / "call.wav", size)
        before = lines.read_bytes()

        assert run(["recover", str(lines)]) == 5

        assert said in capsys.readouterr().err
        assert lines.read_bytes() == before

    def test_what_has_neither_audio_nor_words_stays_missing(self, tmp_path: Path, capsys: Capture) -> None:
        """A full disk has cost the audio from there on, and the line of a final; a later line was shorter."""
        lines = record(tmp_path, audio(BLOCKS))
        plugin = JsonLines(path=str(lines), existing="append")
        plugin.on_open(View(options=options()))
        plugin.on_final(View(options=options()), final("", SECONDS + 1.0, SECONDS + 2.0))
        plugin.on_close(View(options=options()), Transcript())
        with serving(hearing(Random(11))) as service:
            assert run(["recover", str(lines), "--url", service.url, "-f", "json"]) == 6
            captured = capsys.readouterr()
            assert run(["recover", str(lines), "--url", service.url, "-f", "json"]) == 6

        document = json.loads(captured.out)
        assert (document["complete"], document["duration"]) == (False, SECONDS + 2.0)
        assert document["gaps"] == [{"start": SECONDS, "end": SECONDS + 1.0}]
        assert "still missing: 4.0 to 5.0 s; there is no audio of it" in captured.err
        assert len(service.calls) == 1

    def test_lines_of_another_version_are_not_misread(self, tmp_path: Path, capsys: Capture) -> None:
        """The version counts up when a reader of older lines would misunderstand."""
        lines = record(tmp_path, audio(BLOCKS))
        lines.write_bytes(lines.read_bytes().replace(b'"v":1', b'"v":2'))

        assert run(["recover", str(lines)]) == 1

        assert "has lines of version 2" in capsys.readouterr().err
