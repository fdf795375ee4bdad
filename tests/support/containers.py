"""Audio in containers: written by FFmpeg, and heard by the local server's decoders at its own rate."""

from collections.abc import Iterator
from random import Random
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from streamclient.server.containers import CompressedReader
from streamclient.server.pcm import RawReader, read_wav_header
from tests.support.positions import RATE, Recogniser, audio

__all__ = ["KINDS", "LOSSLESS", "ContainerRecogniser", "contained", "decode", "encode"]

Samples = npt.NDArray[np.int16]

KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "wav": ("wav", "pcm_s16le", {}),
    "flac": ("flac", "flac", {}),
    "ogg flac": ("ogg", "flac", {"page_duration": "100000"}),
    "matroska pcm": ("matroska", "pcm_s16le", {"cluster_time_limit": "100", "live": "1"}),
    "matroska flac": ("matroska", "flac", {"cluster_time_limit": "100"}),
    "ogg opus": ("ogg", "libopus", {"page_duration": "200000"}),
    "ogg opus, long pages": ("ogg", "libopus", {}),
    "webm opus": ("webm", "libopus", {"cluster_time_limit": "500", "live": "1"}),
    "ogg vorbis": ("ogg", "vorbis", {"page_duration": "300000"}),
    "webm vorbis": ("webm", "vorbis", {"cluster_time_limit": "500", "live": "1"}),
    "mp3": ("mp3", "libmp3lame", {}),
    "mp3 without facts": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "aac in adts": ("adts", "aac", {}),
    "aac in ts": ("mpegts", "aac", {}),
    "mp3 in ts": ("mpegts", "libmp3lame", {}),
}
"""FFmpeg's names of container and codec, and options of the container."""

LOSSLESS = ("wav", "flac", "ogg flac", "matroska pcm", "matroska flac")


class _Pipe:
    """A file that cannot be sought in, as a live stream is none."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def encode(samples: Samples, rate: int, kind: str, piece: int = 400) -> bytes:
    """One channel of samples in a container; ``piece`` samples at a time, where the codec leaves the choice."""
    container, codec, options = KINDS[kind]
    pipe = _Pipe()
    with av.open(pipe, "w", format=container, options=options) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        if codec == "vorbis":
            stream.codec_context.options = {"strict": "-2"}
        stream.layout = "stereo" if codec == "vorbis" else "mono"
        size = stream.codec_context.frame_size or {"vorbis": 64}.get(codec, piece)
        resampler = av.AudioResampler(stream.format, stream.layout, rate, size)
        for start in range(0, len(samples), 1000):
            frame: Any = av.AudioFrame.from_ndarray(samples[None, start : start + 1000], format="s16", layout="mono")
            frame.rate, frame.pts = rate, start
            for whole in resampler.resample(frame):
                output.mux(stream.encode(whole))
        for whole in resampler.resample(None) if codec != "vorbis" else ():
            output.mux(stream.encode(whole))
        output.mux(stream.encode(None))
    return bytes(pipe.data)


def contained(blocks: int, kind: str) -> bytes:
    """Audio that encodes its position, in a container."""
    return encode(np.frombuffer(audio(blocks), np.int16), RATE, kind)


def decode(data: bytes, kind: str) -> Samples:
    """The samples of the first channel that a service hears in these bytes."""
    reader = _reader(kind)
    try:
        pieces = [*reader.feed(data), *reader.finish()]
    finally:
        reader.close()
    return np.concatenate([_integers(piece) for piece in pieces] or [np.zeros(0, np.int16)])


class _WavReader:
    """Samples of a WAV stream as soon as they are there; FFmpeg waits for many."""

    def __init__(self) -> None:
        self._head = b""
        self._samples: RawReader | None = None

    def feed(self, data: bytes) -> Iterator[npt.NDArray[np.float32]]:
        """Decode the next bytes."""
        if self._samples is None:
            self._head += data
            header = read_wav_header(self._head)
            if header is None:
                return iter(())
            self._samples, data = RawReader(header.format, header.length), self._head[header.size :]
        return self._samples.feed(data)

    def finish(self) -> Iterator[npt.NDArray[np.float32]]:
        """Nothing is held back."""
        return iter(())

    def close(self) -> None:
        """There is nothing to give back."""


def _reader(kind: str) -> CompressedReader | _WavReader:
    container = KINDS[kind][0]
    if container == "wav":
        return _WavReader()
    return CompressedReader({"adts": "aac", "webm": "matroska"}.get(container, container))


def _integers(piece: npt.NDArray[np.float32]) -> Samples:
    return np.rint(piece[:, 0] * 32768).clip(-32768, 32767).astype(np.int16)


class ContainerRecogniser(Recogniser):
    """Hears one connection whose audio is in a container.

    Args:
        random: decides where results end.
        kind: of the container, one of `LOSSLESS`.
    """

    def __init__(self, random: Random, kind: str) -> None:
        super().__init__(random)
        self._reader = _reader(kind)

    def hear(self, frame: bytes) -> None:
        """More of the container, cut anywhere."""
        for piece in self._reader.feed(frame):
            super().hear(_integers(piece).tobytes())

    def finish(self) -> list[dict[str, Any]]:
        """Finals of all the rest, and the summary."""
        for piece in self._reader.finish():
            super().hear(_integers(piece).tobytes())
        self.close()
        return super().finish()

    def close(self) -> None:
        """Let go of the decoder."""
        self._reader.close()
