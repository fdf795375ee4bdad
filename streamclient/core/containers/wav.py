"""WAV (RIFF): a header, then raw samples."""

import struct

from streamclient.audio import AudioClock
from streamclient.core.containers.walk import HeaderWalk, Place, Unreadable

__all__ = ["Wav"]

RAW_FORMATS = {1, 3, 6, 7}
"""PCM, float, A-law, mu-law: every block of samples has the same duration."""
EXTENSIBLE = 0xFFFE
UNKNOWN_LENGTH = 0x7FFFFF00
"""Lengths from here on, and 0, mean that the writer did not know."""
MOST_FRAME_BYTES = 65536
"""A header can claim any rate."""
PADDED_NAME = 5
"""Bytes of the next chunk's name, and one that makes an odd length even, where the writer remembered it."""


class Wav(HeaderWalk):
    """A WAV stream; every sample of its declared audio is a place.

    A service hears no more than was declared: what follows is a chunk of facts, or another file.
    """

    def __init__(self) -> None:
        super().__init__()
        self._block = 0
        self._rate = 0
        self._first = 0
        self._declared: int | None = None
        self._there = 0

    def unit(self, window: bytearray, at: int) -> int:
        """A chunk of the header, samples, or what comes after them."""
        if self._first:
            return self._samples(len(window) - at) or self._rest(window, at)
        if not self._position + at:
            return 12  # RIFF, a length, WAVE
        if len(window) < at + 8:
            return 0
        name, size = struct.unpack_from("<4sI", window, at)
        if name == b"data":
            self._begin_samples(at + 8, size)
            return 8
        size += 8 + size % 2
        if name == b"fmt ":
            if len(window) < at + size:
                return 0
            self._read_format(bytes(window[at + 8 : at + size]))
        return int(size)

    def _read_format(self, chunk: bytes) -> None:
        if len(chunk) < 16:
            raise Unreadable
        kind, _, self._rate, _, self._block, _ = struct.unpack_from("<HHIIHH", chunk)
        if kind == EXTENSIBLE and len(chunk) >= 26:
            (kind,) = struct.unpack_from("<H", chunk, 24)
        if kind not in RAW_FORMATS or not self._rate or not self._block:
            raise Unreadable
        self.frame_bytes = min(AudioClock(self._rate * self._block, self._block).frame_bytes, MOST_FRAME_BYTES)

    def _begin_samples(self, at: int, size: int) -> None:
        if not self._block:
            raise Unreadable
        self.end_header(at)
        self._first = self._position + at
        self._declared = size if 0 < size < UNKNOWN_LENGTH else None

    def _samples(self, there: int) -> int:
        taken = there if self._declared is None else min(there, self._declared - self._there)
        self._marked = self._position + there
        self._there += taken
        self.seconds = self._there // self._block / self._rate
        return taken

    def _rest(self, window: bytearray, at: int) -> int:
        if len(window) < at + PADDED_NAME:
            return 0
        self.begins_again = b"RIFF" in window[at : at + PADDED_NAME]
        self.follows = False
        return len(window) - at

    def seconds_at(self, offset: int) -> float:
        """When the sample of this byte is heard."""
        if not self._first:
            return 0.0
        return min(max(offset - self._first, 0) // self._block / self._rate, self.seconds)

    def place_for(self, confirmed: float, sent: int) -> Place:
        """The whole sample there, behind a header that declares what is left: or what follows it would be heard."""
        samples = round(min(confirmed, self.seconds_at(sent)) * self._rate)
        if not samples:
            return Place()
        done, seconds = samples * self._block, samples / self._rate
        if self._declared is None:
            return Place(self._first + done, seconds, self.header)
        left = self._declared - done
        if left < self._block:
            return Place(sent, seconds, self.header)
        return Place(self._first + done, seconds, self.header[:-4] + struct.pack("<I", left))
