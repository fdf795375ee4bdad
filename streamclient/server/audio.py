"""From the bytes of a stream to 16 kHz samples, whatever they are and whatever the frame boundaries are.

A reader is chosen when the request and the first bytes say what comes: :class:`~streamclient.server.pcm.RawReader`
for raw samples and WAV, :mod:`~streamclient.server.containers` for all that is compressed. Here its samples are
counted, mixed or separated, and resampled.
"""

from collections.abc import Iterator
from typing import Protocol

import attrs
import numpy as np
import soxr  # type: ignore[import-untyped]

from streamclient.server.containers import CompressedReader, PacketReader, id3_size, sniff
from streamclient.server.engines.base import SAMPLE_RATE, Samples
from streamclient.server.pcm import (
    FULL_SCALE,
    RAW_ENCODINGS,
    Floats,
    RawReader,
    raw_format,
    read_wav_header,
)

__all__ = ["ENCODINGS", "AudioDecoder", "AudioFormat"]

FORMATS = {"flac": "flac", "ogg-opus": "ogg", "amr-nb": "amr", "amr-wb": "amr", "g729": "g729"}
"""FFmpeg's name of what an encoding is written in."""
AMR_MAGIC = {"amr-nb": b"#!AMR\n", "amr-wb": b"#!AMR-WB\n"}
"""What a file begins with, and a raw stream does not."""
ENOUGH = 12
"""Bytes that tell one container from another."""
PACKETS = ("opus", "speex")
"""What comes in no container, a packet in each frame, or in Ogg."""
ENCODINGS = (*RAW_ENCODINGS, *FORMATS, *PACKETS)
"""What ``encoding`` may be here."""


@attrs.frozen
class AudioFormat:
    """What a request says of its audio.

    Attributes:
        encoding: one of :data:`ENCODINGS`, or ``None`` for audio in a container that says it itself.
        rate: samples per second; means something only with ``encoding``.
        channels: interleaved; means something only with ``encoding``.
    """

    encoding: str | None = None
    rate: int = SAMPLE_RATE
    channels: int = 1


class Reader(Protocol):
    """Bytes in any pieces to arrays of the shape (samples, channels).

    Attributes:
        rate: samples per second; 0 until it is known, at the latest with the first array.
        channels: of the arrays; 0 until it is known.
        ended: whether the declared end has been reached; what follows is ignored.
    """

    rate: int
    channels: int
    ended: bool

    def feed(self, data: bytes) -> Iterator[Floats]:
        """Decode the next bytes; raises ``Undecodable``."""

    def finish(self) -> Iterator[Floats]:
        """Decode what is held back; nothing will follow."""

    def close(self) -> None:
        """Give back what is held, at any time."""


class AudioDecoder:
    """The audio of one stream: bytes in, 16 kHz samples of each recognised channel out.

    Args:
        audio: what the request says of it.
        separate: recognise the channels separately; otherwise they are mixed down to one.

    Attributes:
        duration: seconds of audio decoded so far, exact.
        channels: channels recognised separately; 0 until the format is known.
        ended: whether the container's declared end has been reached; what follows is ignored.
    """

    def __init__(self, audio: AudioFormat, *, separate: bool) -> None:
        self.audio = audio
        self.separate = separate
        self.head = bytearray()  # until there is a reader
        self.skip = 0  # bytes of a tag before the audio
        self.reader: Reader | None = None
        self.frames = 0
        self.channels = 0
        self.resampler: soxr.ResampleStream | None = None

    @property
    def duration(self) -> float:
        """Seconds of audio decoded so far."""
        return self.frames / self.reader.rate if self.reader and self.frames else 0.0

    @property
    def ended(self) -> bool:
        """Whether the container's declared end has been reached."""
        return self.reader is not None and self.reader.ended

    def feed(self, data: bytes) -> Iterator[list[Samples]]:
        """Decode the next bytes; an array per channel, again and again.

        Raises:
            Undecodable: this is not audio that can be decoded.
        """
        if self.reader is None:
            data = self._find_reader(data)
        if self.reader:
            yield from map(self._convert, self._known(self.reader.feed(data)))

    def finish(self) -> Iterator[list[Samples]]:
        """Return what is held back; half a sample that never became whole is dropped."""
        if self.reader:
            yield from map(self._convert, self._known(self.reader.finish()))
        if self.resampler:
            yield self._split(self.resampler.resample_chunk(np.zeros((0, self.channels), np.float32), last=True))

    def close(self) -> None:
        """Give back what decoding holds; also in the middle of a stream."""
        if self.reader:
            self.reader.close()

    def _find_reader(self, data: bytes) -> bytes:
        """Choose the reader if its choice is clear by now; return what it is to be fed first."""
        skipped = min(self.skip, len(data))
        self.skip -= skipped
        self.head += data[skipped:]
        while self.audio.encoding is None and (tag := id3_size(self.head)):
            self.skip = max(tag - len(self.head), 0)
            del self.head[:tag]
        self.reader, first = choose_reader(self.audio, bytes(self.head))
        if self.reader:
            self.head.clear()
        return first

    def _known(self, pieces: Iterator[Floats]) -> Iterator[Floats]:
        """The pieces, with the format known before the first of them, even if there is none yet."""
        self._open()
        for piece in pieces:
            self._open()
            yield piece

    def _open(self) -> None:
        if self.channels or not self.reader or not self.reader.channels:
            return
        self.channels = self.reader.channels if self.separate else 1
        if self.reader.rate != SAMPLE_RATE:
            self.resampler = soxr.ResampleStream(self.reader.rate, SAMPLE_RATE, self.channels, dtype="float32")

    def _convert(self, samples: Floats) -> list[Samples]:
        self.frames += len(samples)
        if not self.separate:
            samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        return self._split(self.resampler.resample_chunk(samples) if self.resampler else samples)

    def _split(self, samples: Floats) -> list[Samples]:
        integers = np.rint(samples * FULL_SCALE).clip(-32768, 32767).astype(np.int16)
        return [np.ascontiguousarray(integers[:, channel]) for channel in range(self.channels)]


def choose_reader(audio: AudioFormat, head: bytes) -> tuple[Reader | None, bytes]:
    """Choose the reader for audio that begins with ``head``; ``None`` while there is too little of it.

    Returns:
        The reader, and the bytes to feed it first.

    Raises:
        Undecodable: this begins like nothing that is decoded here.
    """
    if audio.encoding in RAW_ENCODINGS:
        return RawReader(raw_format(audio.encoding, audio.rate, audio.channels)), head
    if audio.encoding in PACKETS and not head.startswith(b"OggS"):
        return PacketReader(audio.encoding, audio.rate, audio.channels), head
    if audio.encoding in AMR_MAGIC:
        magic = AMR_MAGIC[audio.encoding]
        return CompressedReader("amr"), head if head.startswith(b"#!AMR") else magic + head
    if audio.encoding:
        return CompressedReader(FORMATS.get(audio.encoding, "ogg")), head
    return _choose_container(head)


def _choose_container(head: bytes) -> tuple[Reader | None, bytes]:
    if len(head) < ENOUGH:
        return None, b""
    if not head.startswith(b"RIFF"):
        return CompressedReader(sniff(head)), head
    header = read_wav_header(head)
    return (RawReader(header.format, header.length), head[header.size :]) if header else (None, b"")
