"""Compressed audio, decoded by PyAV."""

import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamclient.errors import AudioRejected
from streamclient.sources import MissingExtra, SourceError, open_source
from streamclient.sources.decode import decoded

av: Any = pytest.importorskip("av")

SECONDS = 2
FLAC_HEADER = 8192
"""About so long is the room that the header of such a file leaves for titles."""


def encode(path: Path, codec: str, container: str, *, channels: int, title: str = "") -> Path:
    """Write a tone of two seconds."""
    import numpy as np

    rate = 48000 if codec == "libopus" else 16000
    layout = "mono" if channels == 1 else "stereo"
    tone = (np.sin(np.arange(rate * SECONDS) * 2 * np.pi * 440 / rate) * 10000).astype(np.int16)
    with av.open(str(path), "w", format=container) as file:
        file.metadata["title"] = title
        stream = file.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, channels)[None, :], format="s16", layout=layout)
        frame.rate = rate
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size or 1024
        )
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            file.mux(stream.encode(part))
    return path


@pytest.mark.parametrize(
    ("codec", "container", "channels"),
    [("libmp3lame", "mp3", 1), ("flac", "flac", 2), ("libopus", "webm", 1), ("libopus", "ogg", 2), ("aac", "mp4", 2)],
)
def test_container_becomes_linear16(tmp_path: Path, codec: str, container: str, channels: int) -> None:
    """A file is decoded at its own rate and channels, to its whole length; MP4 with its index at the end too."""
    path = encode(tmp_path / f"talk.{container}", codec, container, channels=channels)
    with closing(decoded(open_source(str(path)))) as source:
        assert source.raw is not None
        assert (source.raw.encoding, source.raw.channels) == ("linear16", channels)
        assert source.duration == pytest.approx(SECONDS, abs=0.15)
        samples = b"".join(source.chunks)
        assert len(samples) / (source.bytes_per_second or 1) == pytest.approx(SECONDS, abs=0.15)
        assert max(memoryview(samples).cast("h")) == pytest.approx(10000, rel=0.2)


def test_title_in_an_old_encoding_costs_nothing(tmp_path: Path) -> None:
    """Metadata that is not UTF-8 is no reason to refuse the audio."""
    path = encode(tmp_path / "talk.flac", "flac", "flac", channels=1, title="Xmas")
    data = path.read_bytes()
    assert b"Xmas" in data
    path.write_bytes(data.replace(b"Xmas", b"X\xe4\xffs"))
    with closing(decoded(open_source(str(path)))) as source:
        assert sum(map(len, source.chunks)) / (source.bytes_per_second or 1) == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_pipe_is_decoded(tmp_path: Path) -> None:
    """Audio that can be read only once is decoded as well."""
    data = encode(tmp_path / "talk.mp3", "libmp3lame", "mp3", channels=1).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    with closing(decoded(open_source(str(tmp_path / "pipe")))) as source:
        seconds = len(b"".join(source.chunks)) / (source.bytes_per_second or 1)
    writer.join()
    assert seconds == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_mp4_with_its_index_at_the_end_asks_for_a_file(tmp_path: Path) -> None:
    """It is fine as a file; in a pipe nobody can go to its end first, and the error says so."""
    path = encode(tmp_path / "talk.mp4", "aac", "mp4", channels=1)
    with closing(decoded(open_source(str(path)))) as source:
        assert b"".join(source.chunks)

    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(path.read_bytes(),))
    writer.start()
    with closing(open_source(str(tmp_path / "pipe"))) as source, pytest.raises(AudioRejected, match="save it"):
        list(decoded(source).chunks)
    writer.join()


def test_bytes_that_are_no_audio_are_rejected(tmp_path: Path) -> None:
    """What PyAV cannot make sense of is a clear error that names the file and the two ways out."""
    path = tmp_path / "talk.xyz"
    path.write_bytes(b"certainly not audio" * 50)
    with closing(open_source(str(path))) as source, pytest.raises(AudioRejected, match="cannot be decoded") as caught:
        decoded(source)
    assert "--encoding" in str(caught.value)


def test_damaged_packets_cost_only_themselves(tmp_path: Path) -> None:
    """What can be decoded is given, before and after the damage; the error comes at the end."""
    path = encode(tmp_path / "talk.mp4", "aac", "mp4", channels=1)
    with av.open(str(path)) as file:
        packet = list(file.demux(audio=0))[SECONDS * 16000 // 1024 // 2]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    got: list[bytes] = []
    with closing(decoded(open_source(str(path)))) as source, pytest.raises(SourceError, match="is damaged: 1 of its"):
        got.extend(source.chunks)
    assert sum(map(len, got)) / 32000 == pytest.approx(SECONDS, abs=0.5)


def test_file_that_ends_too_early_is_decoded_as_far_as_it_goes(tmp_path: Path) -> None:
    """Half of a recording is better than nothing."""
    path = encode(tmp_path / "talk.flac", "flac", "flac", channels=1)
    path.write_bytes(path.read_bytes()[: (FLAC_HEADER + path.stat().st_size) // 2])
    got: list[bytes] = []
    with closing(decoded(open_source(str(path)))) as source, pytest.raises(SourceError, match="is damaged"):
        got.extend(source.chunks)
    assert sum(map(len, got)) / 32000 == pytest.approx(SECONDS / 2, abs=0.5)


def test_audio_that_goes_on_in_another_format_is_decoded_whole(tmp_path: Path) -> None:
    """Files put one behind the other: all of it comes in the format of the first."""
    first = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", channels=1)
    second = encode(tmp_path / "b.mp3", "libmp3lame", "mp3", channels=2)
    path = tmp_path / "talk.mp3"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    got: list[bytes] = []
    with closing(decoded(open_source(str(path)))) as source:
        assert source.raw is not None
        assert source.raw.channels == 1
        got.extend(source.chunks)
    assert sum(map(len, got)) / 32000 == pytest.approx(SECONDS * 2, abs=0.3)


ID3 = b"ID3\3\0\0\0\0\x07\x68" + bytes(1000)
APE = b"APETAGEX" + bytes(24)


@pytest.mark.parametrize(
    "tag",
    [ID3, b"TAG" + bytes(125), APE, APE + b"TAG" + bytes(125), b"LYRICSBEGIN" + bytes(99)],
    ids=["ID3v2", "ID3v1", "APE", "APE and ID3v1", "Lyrics3"],
)
def test_tags_between_files_put_one_behind_the_other_are_no_damage(tmp_path: Path, tag: bytes) -> None:
    """Titles and pictures are passed over; all of the audio counts as decoded."""
    data = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", channels=1).read_bytes()
    bare = data[data.index(b"\xff\xf3") :]
    path = tmp_path / "talk.mp3"
    path.write_bytes(data + tag + bare)
    with closing(decoded(open_source(str(path)))) as source:
        samples = b"".join(source.chunks)
    assert len(samples) / 32000 == pytest.approx(SECONDS * 2, abs=0.3)


def test_bytes_between_frames_that_are_no_tag_are_damage(tmp_path: Path) -> None:
    """What lies between the audio and is nothing known may have been audio."""
    data = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", channels=1).read_bytes()
    path = tmp_path / "talk.mp3"
    path.write_bytes(data + b"nothing known" * 20 + data)
    with closing(decoded(open_source(str(path)))) as source, pytest.raises(SourceError, match="is damaged"):
        list(source.chunks)


@pytest.mark.parametrize(
    "data", [b"\xff\xfb" + bytes(range(256)) * 40, b"RIFF\xff\0\0\0WAVEfmt \x10\0\0\0\x99\x99" + bytes(400)]
)
def test_container_without_a_codec_is_rejected(tmp_path: Path, data: bytes) -> None:
    """Bytes that only begin like audio have neither a rate nor channels, and are no wrong use."""
    path = tmp_path / "talk"
    path.write_bytes(data)
    with closing(open_source(str(path))) as source, pytest.raises(AudioRejected, match="cannot be decoded"):
        list(decoded(source).chunks)


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV the error says what to install."""
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"ID3\4" + bytes(100))
    with closing(open_source(str(path))) as source, pytest.raises(MissingExtra, match=r"streamclient\[audio\]"):
        decoded(source)
