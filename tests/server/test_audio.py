"""Bytes to 16 kHz samples."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclient.server.audio import AudioDecoder, AudioFormat
from streamclient.server.pcm import Undecodable

TONE = (10_000 * np.sin(np.arange(8_000) * 2 * np.pi * 440 / 16_000)).astype("<i2")


def wav(
    samples: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16, tag: int = 1, length: int | None = None
) -> bytes:
    """A WAV file with a chunk before the audio that has to be skipped."""
    block = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * block, block, bits)
    other = struct.pack("<4sI", b"LIST", 3) + b"abc\0"
    data = struct.pack("<4sI", b"data", len(samples) if length is None else length) + samples
    body = b"WAVE" + fmt + other + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def decode(decoder: AudioDecoder, data: bytes, sizes: list[int]) -> list[np.ndarray]:
    """Feed the bytes in pieces of the given sizes, and return all samples of each channel."""
    pieces, offset = list[list[np.ndarray]](), 0
    for size in [*sizes, len(data)]:
        pieces += decoder.feed(data[offset : offset + size])
        offset += size
    pieces += decoder.finish()
    return [np.concatenate(channel) for channel in zip(*pieces, strict=True)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=30))
def test_frame_boundaries_mean_nothing(sizes: list[int]) -> None:
    """However a WAV stream is cut into frames, in mid-header or mid-sample, the samples are the same."""
    decoder = AudioDecoder(AudioFormat(), separate=False)
    (samples,) = decode(decoder, wav(TONE.tobytes()), sizes)
    assert np.array_equal(samples, TONE)
    assert decoder.duration == 0.5
    assert decoder.ended


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_wav_stream_of_unknown_length_goes_on(length: int) -> None:
    """A header that declares no length leaves the end to the client."""
    decoder = AudioDecoder(AudioFormat(), separate=False)
    decode(decoder, wav(TONE.tobytes(), length=length), [])
    assert (decoder.duration, decoder.ended) == (0.5, False)


def test_what_follows_the_declared_end_is_ignored() -> None:
    """A second file on the same stream adds nothing."""
    decoder = AudioDecoder(AudioFormat(), separate=False)
    decode(decoder, wav(TONE.tobytes()) * 2, [])
    assert decoder.duration == 0.5


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("linear16", struct.pack("<4h", 0, 1, -1, -32768), [0, 1, -1, -32768]),
        ("linear32", struct.pack("<4f", 0, 0.5, -1, float("nan")), [0, 16384, -32768, 0]),
        ("mulaw", bytes([0xFF, 0x7F, 0x00, 0x80, 0x9A]), [0, 0, -32124, 32124, 10876]),
        ("alaw", bytes([0xD5, 0x55, 0x2A, 0xAA, 0x80]), [8, -8, -32256, 32256, 5504]),
    ],
)
def test_raw_encodings(encoding: str, data: bytes, expected: list[int]) -> None:
    """Each raw encoding gives the values of its definition (G.711 for mulaw and alaw)."""
    (samples,) = decode(AudioDecoder(AudioFormat(encoding, 16_000, 1), separate=False), data, [])
    assert samples.tolist() == expected


@pytest.mark.parametrize(("tag", "bits", "data"), [
    (1, 8, bytes([128, 192])), (1, 24, b"\0\0\0\0\0\x40"), (1, 32, struct.pack("<2i", 0, 1 << 30)),
    (3, 32, struct.pack("<2f", 0, 0.5)), (3, 64, struct.pack("<2d", 0, 0.5)),
])  # fmt: skip
def test_wav_sample_formats(tag: int, bits: int, data: bytes) -> None:
    """Integer and float samples of every width mean the same."""
    (samples,) = decode(AudioDecoder(AudioFormat(), separate=False), wav(data, tag=tag, bits=bits), [])
    assert samples.tolist() == [0, 16384]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_every_rate_becomes_16_khz(rate: int) -> None:
    """A tone keeps its pitch and its length, and the duration is exact whatever the resampler holds."""
    tone = (10_000 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate)).astype("<i2").tobytes()
    decoder = AudioDecoder(AudioFormat("linear16", rate, 1), separate=False)
    (samples,) = decode(decoder, tone, [1001] * 8)
    assert decoder.duration == 1.0
    assert abs(len(samples) - 16_000) <= 1
    assert np.argmax(np.abs(np.fft.rfft(samples[:16_000], 16_000))) == 440


def test_channels_are_separated_or_mixed() -> None:
    """Interleaved channels come out each for itself with ``multichannel``, else as their mean."""
    data = struct.pack("<6h", 100, 200, 300, 400, 500, 600)
    left, right = decode(AudioDecoder(AudioFormat("linear16", 16_000, 2), separate=True), data, [3, 2])
    (mixed,) = decode(AudioDecoder(AudioFormat("linear16", 16_000, 2), separate=False), data, [])
    assert (left.tolist(), right.tolist(), mixed.tolist()) == ([100, 300, 500], [200, 400, 600], [150, 350, 550])


@pytest.mark.parametrize(
    "data",
    [
        b"neither of them",
        b"\0" * 64,
        b"RIFF\0\0\0\0AVI data",
        wav(b"", bits=12),
        wav(b"", channels=99),
        wav(b"", rate=1),
    ],
)
def test_what_cannot_be_decoded_is_refused(data: bytes) -> None:
    """Bytes in no known container, and WAV of an unknown kind, are a verdict and not garbage."""
    with pytest.raises(Undecodable):
        list(AudioDecoder(AudioFormat(), separate=False).feed(data))
