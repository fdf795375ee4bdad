"""Audio on disk: what does not fit into memory while it waits or may have to be sent again.

Written by callers, read by the sender, never under the lock of the state machine.
"""

import errno
import os
import tempfile
import threading
from io import FileIO

from streamclient.core.journal import Spilled
from streamclient.errors import SendTimeout, SpillError, words_of

__all__ = ["Spill", "load"]

SEGMENT_BYTES = 16 * 1024 * 1024
"""A file is given back when nothing in it is needed any more, so files are small."""


class _Segment:
    """One temporary file; it vanishes with the last `Spilled` that names it."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile(buffering=0, prefix="streamclient-") as file:
            self._descriptor = os.dup(file.fileno())
        # Whatever the garbage collector ends first, the descriptor is closed once, and without a ResourceWarning.
        self._file = FileIO(self._descriptor, "r+b", closefd=False)
        self._lock = threading.Lock()
        self.size = 0

    def append(self, audio: bytes) -> Spilled:
        """Write at the end; what a full disk took of a chunk before is written over."""
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
            if size:
                raise OSError(errno.EIO, "it is not there any more")
            return b"".join(parts)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


class Spill:
    """Temporary files of one stream; made when they are first needed.

    Attributes:
        error: why the disk is not used any more.
    """

    def __init__(self) -> None:
        self.error: SpillError | None = None
        self._segment: _Segment | None = None

    def write(self, audio: bytes) -> Spilled:
        """Put audio on disk. Called by callers, from any thread.

        Raises:
            SpillError: the disk takes no more; nothing of the audio counts.
        """
        try:
            return self._last_segment().append(audio)
        except OSError as error:
            raise _as_spill_error("Audio cannot be kept on disk", error) from error.with_traceback(None)

    def _last_segment(self) -> _Segment:
        segment = self._segment
        if segment is None or segment.size >= SEGMENT_BYTES:
            segment = self._segment = _Segment()
        return segment

    def forget(self) -> None:
        """Let go of the file that is being written; it vanishes once no audio in it is needed. From any thread."""
        self._segment = None

    def no_room(self) -> SendTimeout:
        """The error for a caller whose audio has found room neither in memory nor here."""
        why = f" ({self.error.message})" if self.error else ""
        timeout = SendTimeout(f"There was no room for the audio in time; it was not accepted{why}")
        timeout.__cause__ = self.error
        return timeout


def load(payload: bytes | Spilled | str) -> bytes | str:
    """What a payload holds, read from disk where it lies there. Called by the sender.

    Raises:
        SpillError: it cannot be read.
    """
    if not isinstance(payload, Spilled):
        return payload
    assert isinstance(payload.place, _Segment)
    try:
        return payload.place.read(payload.offset, payload.size)
    except OSError as error:
        raise _as_spill_error("Audio that was kept on disk cannot be read again", error) from error.with_traceback(None)


def _as_spill_error(what: str, error: OSError) -> SpillError:
    path = tempfile.tempdir  # none as long as no directory could be used
    place = f" in {path}" if path else ""
    return SpillError(f"{what}{place}: {words_of(error)}", path=path, errno=error.errno)
