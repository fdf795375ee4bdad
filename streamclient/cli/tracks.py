"""The audio of a recording, as samples that can be played from anywhere."""

import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from attrs import frozen

from streamclient.audio import BYTES_PER_SAMPLE, Span
from streamclient.errors import AudioRejected, StreamClientError
from streamclient.sources import AudioSource, open_source
from streamclient.sources.chunks import cannot_read, checked_path
from streamclient.sources.decode import decoded
from streamclient.sources.errors import MissingExtra, SourceError
from streamclient.sources.files import RawFormat
from streamclient_plugins.audio_file import container_suffix

__all__ = ["Track", "open_track"]

BLOCK_BYTES = 8192
SIGNATURE_BYTES = 64
LENGTH_UNKNOWN = 0x7FFFFF00
"""A header that was written before its audio declares about 2 or 4 GiB."""

WAV_FORMAT = struct.Struct("<HHIIHH")
WAV_FORMATS = {(1, 16): "linear16", (3, 32): "linear32", (6, 8): "alaw", (7, 8): "mulaw"}
"""By format tag and bits of a sample."""


@frozen
class Track:
    """Raw audio in a file.

    Args:
        file: opened in binary mode; whoever opened the track closes it.
        raw: its format, with a rate.
        offset: where the audio begins in the file.
        size: bytes of audio.
    """

    file: IO[bytes]
    raw: RawFormat
    offset: int
    size: int

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return self.size // self._frame / self._rate

    def start_of(self, span: Span) -> float:
        """Where the first whole sample of a span begins, in seconds."""
        return self._sample(span.start) / self._rate

    def chunks(self, span: Span) -> Iterator[bytes]:
        """The audio of a span, in whole samples."""
        self.file.seek(self.offset + self._sample(span.start) * self._frame)
        left = (self._sample(span.end) - self._sample(span.start)) * self._frame
        while left and (block := self.file.read(min(left, BLOCK_BYTES))):
            left -= len(block)
            yield block

    def _sample(self, seconds: float) -> int:
        return min(round(seconds * self._rate), self.size // self._frame)

    @property
    def _rate(self) -> int:
        return self.raw.sample_rate or 1

    @property
    def _frame(self) -> int:
        return BYTES_PER_SAMPLE[self.raw.encoding] * (self.raw.channels or 1)


def open_track(path: Path, notice: Callable[[str], None]) -> Track | None:
    """The audio of a file; ``None`` where it can only be played as a whole.

    Args:
        path: the file.
        notice: is told what the user should know.

    Raises:
        SourceError: there is no such file, or it cannot be read, or is empty, or its header is damaged.
    """
    checked_path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise cannot_read(str(path), error) from error
    track = _wav_track(file)
    if track is not None:
        return track
    with file:
        file.seek(0)
        start = file.read(SIGNATURE_BYTES)
    reason = "it is in no container that is known here"
    # What is no container looks like one to FFmpeg sometimes.
    if not start or container_suffix(start) == path.suffix:
        source = open_source(str(path))  # which says what is wrong with its first bytes
        try:
            return _decoded_track(source, path, notice)
        except (MissingExtra, AudioRejected) as error:
            reason = error.message
    notice(f"{path.name} is sent as a whole, because it cannot be cut: {reason}")
    return None


def _wav_track(file: IO[bytes]) -> Track | None:
    """The audio of a WAV file of a kind that needs no decoder; ``None`` for any other file."""
    if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
        return None
    raw: RawFormat | None = None
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            raw = _wav_format(file.read(size + size % 2))
        elif name == b"data":
            offset = file.tell()
            there = os.fstat(file.fileno()).st_size - offset
            return Track(file, raw, offset, there if size >= LENGTH_UNKNOWN else min(size, there)) if raw else None
        else:
            file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _wav_format(chunk: bytes) -> RawFormat | None:
    if len(chunk) < WAV_FORMAT.size:  # a full disk or a crash cut it short
        return None
    tag, channels, rate, _, _, bits = WAV_FORMAT.unpack_from(chunk)
    encoding = WAV_FORMATS.get((tag, bits))
    return RawFormat(encoding, rate, channels) if encoding and rate and channels else None


def _decoded_track(audio: AudioSource, path: Path, notice: Callable[[str], None]) -> Track:
    """Decode all of it into a temporary file; of one that was cut short or damaged, what is there."""
    with closing(audio), closing(decoded(audio)) as source:
        assert source.raw is not None
        file = tempfile.TemporaryFile(prefix="streamclient-")  # noqa: SIM115 - the track's
        try:
            for block in source.chunks:
                file.write(block)
        except AudioRejected:
            file.close()
            raise
        except SourceError as error:
            notice(f"{error.message}; what can be decoded is used")
        except OSError as error:
            file.close()
            raise StreamClientError(f"{path.name} cannot be decoded into a temporary file: {error.strerror}") from error
        return Track(file, source.raw, 0, file.tell())
