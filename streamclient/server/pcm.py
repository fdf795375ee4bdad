"""Raw samples, and WAV, which is raw samples with a header: bytes in any pieces, floats out.

``linear16``, ``linear32``, ``mulaw`` and ``alaw`` by what the request says, WAV by its header. Half samples and half
headers wait for the rest.
"""

import struct
from collections.abc import Callable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

__all__ = [
    "FULL_SCALE", "MAX_CHANNELS", "MAX_RATE", "MIN_RATE", "RAW_ENCODINGS", "Floats", "RawReader", "SampleFormat",
    "Undecodable", "WavHeader", "raw_format", "read_wav_header",
]  # fmt: skip

Floats = npt.NDArray[np.float32]
"""Samples between -1 and 1."""
UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
EXTENSIBLE = 0xFFFE
MAX_CHANNELS = 20
MIN_RATE, MAX_RATE = 1_000, 384_000
MAX_HEADER = 1 << 20
"""Bytes of other chunks accepted before the audio of a WAV file."""
MAX_CHUNKS = 100
"""Of them; they are read again with every frame until the audio begins."""
FULL_SCALE = 32768.0


class Undecodable(Exception):
    """The bytes are not audio that can be decoded here."""


@attrs.frozen
class SampleFormat:
    """How raw samples are written.

    Attributes:
        width: bytes of one sample of one channel.
        decode: bytes to samples between -1 and 1.
        rate: samples per second.
        channels: interleaved.
    """

    width: int
    decode: Callable[[bytes], Floats]
    rate: int
    channels: int

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.width * self.channels


def _mulaw_table() -> Floats:
    """ITU-T G.711: 8 bits, inverted; sign, exponent, mantissa; a bias of 33 in 14 bits."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = ((((code & 0x0F).astype(np.int32) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / FULL_SCALE).astype(np.float32)


def _alaw_table() -> Floats:
    """ITU-T G.711: 8 bits, every second one inverted; a set sign bit means positive."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (code & 0x70).astype(np.int32) >> 4
    step = ((code & 0x0F).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, step, (step + 0x100) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) / FULL_SCALE).astype(np.float32)


MULAW = _mulaw_table()
ALAW = _alaw_table()


def _integers(kind: str) -> Callable[[bytes], Floats]:
    dtype = np.dtype(kind)
    scale = np.float32(2.0 ** (8 * dtype.itemsize - 1))

    def decode(data: bytes) -> Floats:
        samples: Floats = np.frombuffer(data, dtype).astype(np.float32)
        samples /= scale
        return samples

    return decode


def _floats(kind: str) -> Callable[[bytes], Floats]:
    def decode(data: bytes) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):  # any bits are a float, also ones too large for fewer bits
            samples: Floats = np.nan_to_num(np.frombuffer(data, kind).astype(np.float32))
        return samples.clip(-1, 1)

    return decode


def _bytes8(data: bytes) -> Floats:
    samples: Floats = np.frombuffer(data, np.uint8).astype(np.float32)
    return (samples - np.float32(128)) / np.float32(128)


def _integers24(data: bytes) -> Floats:
    triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
    words = np.zeros((len(triples), 4), np.uint8)
    words[:, 1:] = triples
    return words.view("<i4")[:, 0].astype(np.float32) / np.float32(2.0**31)


CODECS: dict[str, tuple[int, Callable[[bytes], Floats]]] = {
    "linear16": (2, _integers("<i2")),
    "linear32": (4, _floats("<f4")),
    "mulaw": (1, lambda data: MULAW[np.frombuffer(data, np.uint8)]),
    "alaw": (1, lambda data: ALAW[np.frombuffer(data, np.uint8)]),
}
RAW_ENCODINGS = tuple(CODECS)
WAV_CODECS: dict[tuple[int, int], tuple[int, Callable[[bytes], Floats]]] = {
    (1, 8): (1, _bytes8),
    (1, 16): CODECS["linear16"],
    (1, 24): (3, _integers24),
    (1, 32): (4, _integers("<i4")),
    (3, 32): CODECS["linear32"],
    (3, 64): (8, _floats("<f8")),
    (6, 8): CODECS["alaw"],
    (7, 8): CODECS["mulaw"],
}
"""By WAV's format tag and bits per sample."""


def raw_format(encoding: str, rate: int, channels: int) -> SampleFormat:
    """The format of raw audio (Deepgram: "Encoding")."""
    width, decode = CODECS[encoding]
    return SampleFormat(width, decode, rate, channels)


class RawReader:
    """Raw samples, at most a second of them at a time, so that a large frame never becomes large arrays.

    Args:
        sample_format: how they are written.
        length: bytes up to the declared end, or ``None`` where only the client knows.

    Attributes:
        rate: samples per second.
        channels: in each array, whose shape is (samples, channels).
        ended: whether the declared end has been reached; what follows is ignored.
    """

    def __init__(self, sample_format: SampleFormat, length: int | None = None) -> None:
        self.format = sample_format
        self.remaining = length
        self.pending = b""  # part of a sample
        self.rate = sample_format.rate
        self.channels = sample_format.channels
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Floats]:
        """Decode the next bytes."""
        data = self.pending + self._up_to_the_end(data)
        whole = len(data) - len(data) % self.format.frame
        self.pending = data[whole:]
        step = self.format.rate * self.format.frame
        for begin in range(0, whole, step):
            piece = data[begin : min(begin + step, whole)]
            yield self.format.decode(piece).reshape(-1, self.channels)

    def finish(self) -> Iterator[Floats]:
        """Half a sample that never became whole is dropped."""
        return iter(())

    def close(self) -> None:
        """There is nothing to give back."""

    def _up_to_the_end(self, data: bytes) -> bytes:
        if self.remaining is None:
            return data
        data = data[: self.remaining]
        self.remaining -= len(data)
        self.ended = self.remaining == 0
        return data


@attrs.frozen
class WavHeader:
    """What the header of a WAV file says.

    Attributes:
        format: of the samples.
        length: bytes of samples that follow, or ``None`` when the writer did not know.
        size: bytes of the header itself.
    """

    format: SampleFormat
    length: int | None
    size: int


def read_wav_header(data: bytes) -> WavHeader | None:
    """Read the header a WAV stream begins with; ``None`` while it is not whole.

    Raises:
        Undecodable: this is no WAV stream, or one with samples of an unknown kind.
    """
    if not (b"RIFF".startswith(data[:4]) and b"WAVE".startswith(data[8:12])):
        raise Undecodable("the audio is in no container that is decoded here, and no `encoding` says how to read it")
    sample_format, offset, chunks = None, 12, 0
    while len(data) >= offset + 8:
        name, length = struct.unpack_from("<4sI", data, offset)
        offset, chunks = offset + 8, chunks + 1
        if name == b"data":
            if sample_format is None:
                raise Undecodable("a WAV header without a format")
            return WavHeader(sample_format, None if length in UNKNOWN_LENGTHS else length, offset)
        if max(length, offset) > MAX_HEADER or chunks > MAX_CHUNKS:
            raise Undecodable("a WAV header that never ends")
        if name == b"fmt " and len(data) >= offset + length:
            sample_format = _wav_format(data[offset : offset + length])
        offset += length + length % 2
    return None


def _wav_format(chunk: bytes) -> SampleFormat:
    if len(chunk) < 16:
        raise Undecodable("a WAV header with a broken format")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    if (tag, bits) not in WAV_CODECS or not 1 <= channels <= MAX_CHANNELS or not MIN_RATE <= rate <= MAX_RATE:
        raise Undecodable(f"a WAV file of format {tag} with {channels} channels of {bits} bits at {rate} Hz")
    width, decode = WAV_CODECS[tag, bits]
    return SampleFormat(width, decode, rate, channels)
