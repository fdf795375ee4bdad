"""The audio clock: how bytes become seconds, where frames are cut, and what a file's first bytes say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.audio import BYTES_PER_SAMPLE, AudioClock, sniff_container


@pytest.mark.parametrize(
    ("encoding", "rate", "channels", "bytes_per_second", "sample_frame"),
    [
        ("linear16", 16000, None, 32000, 2),
        ("linear16", 44100, 2, 176400, 4),
        ("linear32", 8000, 1, 32000, 4),
        ("mulaw", 8000, 1, 8000, 1),
        ("alaw", 8000, 2, 16000, 2),
        ("opus", 48000, 1, None, 1),
        ("flac", 16000, 1, None, 1),
        (None, None, None, None, 1),
    ],
)
def test_raw_encodings_have_a_clock(
    encoding: str | None, rate: int | None, channels: int | None, bytes_per_second: int | None, sample_frame: int
) -> None:
    """Packet codecs and containers do not: only the server knows how long their bytes last."""
    assert AudioClock.of(encoding, rate, channels) == AudioClock(bytes_per_second, sample_frame)


@given(st.sampled_from(sorted(BYTES_PER_SAMPLE)), st.integers(1, 192_000), st.integers(1, 20))
def test_a_frame_is_a_whole_number_of_samples_of_at_most_250_ms(encoding: str, rate: int, channels: int) -> None:
    """At least one sample, however slow the audio."""
    clock = AudioClock.of(encoding, rate, channels)

    assert clock.frame_bytes % clock.bytes_per_sample_frame == 0
    assert clock.frame_bytes >= clock.bytes_per_sample_frame
    assert clock.seconds(clock.frame_bytes) <= 0.25 or clock.frame_bytes == clock.bytes_per_sample_frame


def test_bytes_are_seconds_where_that_is_known() -> None:
    """Elsewhere there is an upper bound, for deadlines."""
    raw, unknown = AudioClock.of("linear16", 16000, 1), AudioClock()

    assert (raw.seconds(48000), raw.most_seconds(48000)) == (1.5, 1.5)
    assert (unknown.seconds(48000), unknown.most_seconds(48000)) == (0.0, 24.0)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"RIFF\x00\x00\x00\x00WAVE", "WAV"),
        (b"OggS\x00", "Ogg"),
        (b"fLaC", "FLAC"),
        (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
        (b"ID3\x04", "MP3"),
        (b"\x00\x00\x00\x20ftypM4A ", "MP4"),
        (b"\x00\x01\x02\x03", None),
        (b"", None),
    ],
)
def test_a_container_is_known_by_its_first_bytes(start: bytes, name: str | None) -> None:
    """Anything else may be raw audio."""
    assert sniff_container(start) == name
