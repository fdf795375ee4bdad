"""Audio as a person names it."""

import io
import os
import struct
import sys
import threading
import wave
from contextlib import closing
from pathlib import Path

import pytest

from streamclient.errors import AudioRejected, OptionsError
from streamclient.sources import AudioSource, SourceError, open_source
from streamclient.sources.files import RawFormat, wait_readable


def wav_bytes(seconds: float = 1.0, *, sample_rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV file with silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(bytes(int(seconds * sample_rate) * channels * 2))
    return file.getvalue()


def write(path: Path, data: bytes) -> str:
    """Write a file and return what a person would type to name it."""
    path.write_bytes(data)
    return str(path)


def read(source: AudioSource) -> bytes:
    """All bytes of a source."""
    with closing(source):
        return b"".join(source.chunks)


def test_wav_is_described_and_given_whole(tmp_path: Path) -> None:
    """A WAV file tells its length, and its bytes come as they are, header and all."""
    data = wav_bytes(2.5, channels=2)
    source = open_source(write(tmp_path / "talk.wav", data))
    assert (source.container, source.duration, source.raw) == ("WAV", 2.5, None)
    assert (source.stem, source.bytes_per_second) == ("talk", 32000)
    assert read(source) == data


def test_wav_behind_other_chunks_is_described(tmp_path: Path) -> None:
    """Chunks before the audio, however long, do not hide it."""
    data = wav_bytes()
    data = data[:12] + b"LIST" + struct.pack("<I", 100_000) + bytes(100_000) + data[12:]
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    source = open_source(write(tmp_path / "talk.wav", data))
    assert source.duration == 1.0
    assert read(source) == data


def test_wav_with_lengths_that_contradict_is_left_to_the_service(tmp_path: Path) -> None:
    """A chunk longer than the whole says nothing of the audio; the file is given as it is."""
    data = wav_bytes()
    data = data[:12] + b"LIST" + struct.pack("<I", 100_000) + bytes(100_000) + data[12:]
    source = open_source(write(tmp_path / "talk.wav", data))
    assert (source.container, source.duration) == ("WAV", None)
    assert read(source) == data


def test_wav_that_ends_too_early_is_noticed(tmp_path: Path) -> None:
    """A WAV file that was cut off is transcribed as far as it goes, and said to be cut short."""
    data = wav_bytes(2.0)[: 44 + 16000]
    source = open_source(write(tmp_path / "talk.wav", data))
    assert source.duration == 1.0
    assert source.notice is not None
    assert "cut short: 1.0 s of the 2.0 s" in source.notice
    assert read(source) == data


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_written_into_a_pipe_is_as_long_as_the_file(tmp_path: Path, length: int) -> None:
    """A header made when the length was not known yet is no sign of damage."""
    data = wav_bytes(1.0)
    data = data[:40] + struct.pack("<I", length) + data[44:]
    source = open_source(write(tmp_path / "talk.wav", data))
    assert (source.duration, source.notice) == (1.0, None)
    source.close()


@pytest.mark.parametrize("size", [12, 20, 30, 43])
def test_wav_without_a_whole_header_is_refused(tmp_path: Path, size: int) -> None:
    """Half a header is a clear error before anything is sent."""
    with pytest.raises(AudioRejected, match=r"talk\.wav cannot be transcribed: its WAV header is damaged or cut short"):
        open_source(write(tmp_path / "talk.wav", wav_bytes()[:size]))


def test_wav_without_audio_is_refused(tmp_path: Path) -> None:
    """A header with nothing behind it is a clear error."""
    with pytest.raises(AudioRejected, match="no audio behind it"):
        open_source(write(tmp_path / "talk.wav", wav_bytes()[:44]))


def test_wav_without_a_rate_is_refused(tmp_path: Path) -> None:
    """A damaged header is an error, not a division by zero."""
    data = wav_bytes()
    with pytest.raises(AudioRejected, match="damaged"):
        open_source(write(tmp_path / "talk.wav", data[:24] + bytes(4) + data[28:]))


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"<html><head>", "a web page"),
        (b"#EXTM3U\n#EXTINF:10,", "a playlist"),
        (b"[playlist]\nFile1=", "a playlist"),
        (b'<?xml version="1.0"?><rss>', "a feed or a playlist"),
    ],
)
def test_what_is_taken_for_audio_is_named(tmp_path: Path, start: bytes, what: str) -> None:
    """A page or a playlist that was saved as audio is refused before a service has to; raw audio may begin so."""
    path = write(tmp_path / "talk.mp3", start + bytes(1000))
    with pytest.raises(SourceError, match=f"is {what}, not audio"):
        open_source(path)
    assert read(open_source(path, RawFormat("linear16", 16000, 1)))


def test_wav_of_another_kind_is_given_as_it_is(tmp_path: Path) -> None:
    """A kind of WAV the standard library does not know is left to the service."""
    data = wav_bytes()
    data = data[:20] + struct.pack("<H", 7) + data[22:]
    source = open_source(write(tmp_path / "talk.wav", data))
    assert (source.container, source.duration) == ("WAV", None)
    assert read(source) == data


@pytest.mark.parametrize(
    ("start", "container"),
    [
        (b"OggS", "Ogg"),
        (b"fLaC", "FLAC"),
        (b"ID3\4", "MP3"),
        (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
        (b"RIFF....AVI ", "AVI"),
        (b"RIFF....WAVEfmt ....\x03\0", "WAV"),
        (b"RIFF....WAVEfmt ....\x11\0", "WAV of kind 17"),
    ],
)
def test_container_is_named(tmp_path: Path, start: bytes, container: str) -> None:
    """A container is known by its first bytes."""
    source = open_source(write(tmp_path / "talk", start + bytes(100)))
    assert source.container == container
    source.close()


def test_raw_audio_tells_its_length_by_its_format(tmp_path: Path) -> None:
    """With its format known, raw audio has a length."""
    source = open_source(write(tmp_path / "talk.raw", bytes(32000)), RawFormat("linear16", 8000, 2))
    assert source.duration == 1.0
    assert read(source) == bytes(32000)


def test_format_of_raw_audio_for_a_container_is_refused(tmp_path: Path) -> None:
    """An encoding for audio that begins like a container would give a transcript of noise."""
    with pytest.raises(OptionsError, match="is WAV audio, so an encoding must not be given"):
        open_source(write(tmp_path / "talk.wav", wav_bytes()), RawFormat("linear16", 8000))


def test_empty_file_is_refused(tmp_path: Path) -> None:
    """An empty file is a clear error."""
    with pytest.raises(AudioRejected, match="is empty"):
        open_source(write(tmp_path / "talk.wav", b""))


@pytest.mark.parametrize("spec", ["nope.wav", "gopher://example.com/a.wav"])
def test_source_that_cannot_be_opened_is_refused(spec: str) -> None:
    """A missing file and an address of an unknown kind are clear errors with a next step."""
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert caught.value.hint


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_named_pipe_is_read_once_and_whole(tmp_path: Path) -> None:
    """Audio that can be read only once loses nothing to the look at its first bytes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = wav_bytes()
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    source = open_source(str(path))
    assert (source.container, source.size) == ("WAV", None)
    assert read(source) == data
    writer.join()


def test_source_can_be_told_to_end(tmp_path: Path) -> None:
    """Whoever waits for the bytes can end them."""
    answers = iter([True, True, False])
    spec = write(tmp_path / "talk.raw", bytes(50_000))
    assert len(read(open_source(spec, readable=lambda _: next(answers)))) == 16384


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a FIFO without a writer seems to be empty")
def test_the_wait_for_the_writer_of_a_fifo_can_be_ended(tmp_path: Path) -> None:
    """It waits where it can be interrupted, and what a writer brings later is read to its end."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    raw = RawFormat("linear16", 16000, 1)
    with closing(open_source(str(path), raw, readable=lambda _: False)) as source:
        assert list(source.chunks) == []
    writer = threading.Thread(target=path.write_bytes, args=(bytes(range(200)) * 1000,))
    asked: list[int] = []

    def readable(descriptor: int) -> bool:
        if not asked:
            writer.start()
        asked.append(descriptor)
        return wait_readable(descriptor)

    with closing(open_source(str(path), raw, readable=readable)) as source:
        assert b"".join(source.chunks) == bytes(range(200)) * 1000
    writer.join()
