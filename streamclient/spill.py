"""Audio on disk: what does not fit into memory while it waits or may have to be sent again.

Written by callers, read by the sender, never under the lock of the state machine.
"""

import tempfile
import threading
from typing import IO

from streamclient.journal import Spilled

__all__ = ["Spill", "load"]

SEGMENT_BYTES = 16 * 1024 * 1024
"""A file is given back when nothing in it is needed any more, so files are small."""


class _Segment:
    """One temporary file; it vanishes with the last `Spilled` that names it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.size = 0

    def append(self, audio: bytes) -> Spilled:
        with self._lock:
            self._file.seek(self.size)
            rest = memoryview(audio)
            while rest:
                rest = rest[self._file.write(rest) :]
            self.size += len(audio)
            return Spilled(self, self.size - len(audio), len(audio))

    def read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            parts = []
            while size and (part := self._file.read(size)):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def __del__(self) -> None:
        self._file.close()


class Spill:
    """Temporary files of one stream; made when they are first needed."""

    def __init__(self) -> None:
        self._segment: _Segment | None = None

    def write(self, audio: bytes) -> Spilled:
        """Put audio on disk. Called by callers, from any thread.

        Raises:
            OSError: the disk takes no more; nothing of the audio counts.
        """
        segment = self._segment
        if segment is None or segment.size >= SEGMENT_BYTES:
            file = tempfile.TemporaryFile(buffering=0, prefix="streamclient-")  # noqa: SIM115 - lives on
            segment = self._segment = _Segment(file)
        return segment.append(audio)

    def forget(self) -> None:
        """Let go of the file that is being written; it vanishes once no audio in it is needed. From any thread."""
        self._segment = None


def load(payload: bytes | Spilled | str) -> bytes | str:
    """What a payload holds, read from disk where it lies there. Called by the sender."""
    if not isinstance(payload, Spilled):
        return payload
    assert isinstance(payload.place, _Segment)
    return payload.place.read(payload.offset, payload.size)
