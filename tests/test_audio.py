"""Bytes and seconds of audio."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.audio import BYTES_PER_SAMPLE, AudioClock, sniff_container


@pytest.mark.parametrize(
    ("encoding", "sample_rate", "channels", "bytes_per_second", "frame_bytes"),
    [
        ("linear16", 16000, None, 32000, 8000),
        ("linear16", 44100, 1, 88200, 22050),
        ("linear16", 44100, 2, 176400, 44100),
        ("linear32", 16000, 2, 128000, 32000),
        ("mulaw", 8000, 1, 8000, 2000),
        ("alaw", 8000, 2, 16000, 4000),
        ("linear16", 11025, 1, 22050, 5512),
        ("linear16", 1, 1, 2, 2),
    ],
)
def test_raw_audio_has_a_clock(
    encoding: str, sample_rate: int, channels: int | None, bytes_per_second: int, frame_bytes: int
) -> None:
    """Raw encodings say how long their bytes last; a frame holds 250 ms at most and cuts no sample."""
    clock = AudioClock.of(encoding, sample_rate, channels)
    assert clock.bytes_per_second == bytes_per_second
    assert clock.frame_bytes == frame_bytes
    assert clock.seconds(bytes_per_second * 3) == 3.0


@pytest.mark.parametrize(("encoding", "sample_rate"), [(None, None), ("amr-nb", 8000), ("linear16", None)])
def test_only_the_server_knows_how_long_other_audio_lasts(encoding: str | None, sample_rate: int | None) -> None:
    """Containers and packet codecs count as no seconds, and their frames are small."""
    clock = AudioClock.of(encoding, sample_rate, None)
    assert clock.seconds(100_000) == 0.0
    assert clock.frame_bytes == 8192


@pytest.mark.parametrize("encoding", ["opus", "speex"])
def test_no_packet_is_cut(encoding: str) -> None:
    """The longest packet there can be, 48 frames of 1275 bytes and what tells them apart, has room in one frame."""
    clock = AudioClock.of(encoding, 48000, None)
    assert clock.in_packets
    assert clock.seconds(100_000) == 0.0
    assert clock.frame_bytes >= 48 * (1275 + 2) + 2


@given(st.sampled_from(sorted(BYTES_PER_SAMPLE)), st.integers(1, 200_000), st.integers(1, 20))
def test_frames_are_whole_samples_of_at_most_250_ms(encoding: str, sample_rate: int, channels: int) -> None:
    """Whatever the format, a frame holds whole samples of all channels, one at least, and no more than 250 ms."""
    clock = AudioClock.of(encoding, sample_rate, channels)
    assert clock.frame_bytes > 0
    assert clock.frame_bytes % clock.bytes_per_sample_frame == 0
    assert clock.seconds(clock.frame_bytes) <= 0.25 or clock.frame_bytes == clock.bytes_per_sample_frame


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"RIFF\x24\x00\x00\x00WAVE", "WAV"),
        (b"OggS\x00\x02", "Ogg"),
        (b"fLaC\x00\x00", "FLAC"),
        (b"\x1a\x45\xdf\xa3\x9f", "WebM or Matroska"),
        (b"ID3\x04\x00", "MP3"),
        (b"\x00\x00\x00\x20ftypM4A ", "MP4"),
        (b"\x00\x00\x01\x00\x02\x00", None),
        (b"RI", None),
        (b"", None),
    ],
)
def test_first_bytes_name_a_container(start: bytes, name: str | None) -> None:
    """A file says in its first bytes what it is; raw audio says nothing."""
    assert sniff_container(start) == name
