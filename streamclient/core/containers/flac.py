"""FLAC (RFC 9639): a description of the stream, then frames that say which sample they begin with."""

from streamclient.core.containers.walk import Unreadable, Walk

__all__ = ["Flac", "read_streaminfo"]

STREAMINFO_BYTES = 34
MARK = b"\xff"
LONGEST_HEADER = 16
SHORTEST_FRAME = 10
"""Bytes; digital silence of any length takes no more than its header, one sample and checksums."""
LONGEST_OVERHEAD = 1024
"""Bytes of a frame besides its samples, amply; encoders make no frame longer than its samples are as they are."""
BLOCK_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def _checksums() -> bytes:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1 (RFC 9639, 9.1.8)."""
    table = bytearray(range(256))
    for _ in range(8):
        table = bytearray((value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF for value in table)
    return bytes(table)


CHECKSUMS = _checksums()


def read_streaminfo(streaminfo: bytes) -> tuple[int, int]:
    """Samples per second, and samples in each frame of a stream whose frames are alike."""
    rate = int.from_bytes(streaminfo[10:13], "big") >> 4
    if len(streaminfo) < STREAMINFO_BYTES or not rate:
        raise Unreadable
    return rate, int.from_bytes(streaminfo[2:4], "big")


def _longest_frame(streaminfo: bytes) -> int:
    """Bytes; a difference of two channels takes one bit more than each of them."""
    channels = (streaminfo[12] >> 1 & 7) + 1
    bits = ((streaminfo[12] & 1) << 4 | streaminfo[13] >> 4) + 1
    return int.from_bytes(streaminfo[2:4], "big") * channels * (bits + 1) // 8 + LONGEST_OVERHEAD


class Flac(Walk):
    """A FLAC stream. Of its description only the first block is needed to decode what follows."""

    def __init__(self) -> None:
        super().__init__()
        self._rate = 0
        self._frame_samples = 0
        self._next = 0
        self._in_frames = False

    def unit(self, window: bytearray, at: int) -> int:
        """The mark at the start, a metadata block, or a frame."""
        if self._in_frames:
            return self._frame(window, at)
        if not self._position + at:
            return 4 if len(window) >= 4 else 0
        if len(window) < at + 4 + STREAMINFO_BYTES:
            return 0
        is_last, size = window[at] & 0x80, int.from_bytes(window[at + 1 : at + 4], "big")
        if not self._rate:
            streaminfo = bytes(window[at + 4 : at + 4 + STREAMINFO_BYTES])
            self._rate, self._frame_samples = read_streaminfo(streaminfo)
            self.most_passed_over = _longest_frame(streaminfo)
            self.header = b"fLaC\x80" + STREAMINFO_BYTES.to_bytes(3, "big") + streaminfo
        self._in_frames = bool(is_last)
        return 4 + size

    def _frame(self, window: bytearray, at: int) -> int:
        """A frame's header; or, after it, bytes that are none."""
        if window[at] == MARK[0] and len(window) < at + LONGEST_HEADER:
            return 0
        samples = self._samples_of(window, at) if window[at] == MARK[0] else 0
        if not samples:
            return self.pass_over(window, at, MARK)
        self.mark(at, self._next / self._rate)
        self._next += samples
        self.seconds = self._next / self._rate
        return SHORTEST_FRAME

    def _samples_of(self, window: bytearray, at: int) -> int:
        """The samples of the frame that begins here with the sample that is due, or 0."""
        if window[at + 1] & 0xFE != 0xF8 or window[at + 3] & 1:
            return 0
        size_code, rate_code = window[at + 2] >> 4, window[at + 2] & 15
        number, after = _coded_number(window, at + 4)
        samples = BLOCK_SIZES[size_code]
        if size_code in (6, 7):
            samples = int.from_bytes(window[after : after + size_code - 5], "big") + 1
            after += size_code - 5
        after += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
        due = self._next if window[at + 1] & 1 else self._next // (self._frame_samples or 1)
        return samples if number == due and _checksum(window[at:after]) == window[after] else 0


def _coded_number(window: bytearray, at: int) -> tuple[int, int]:
    """A number as UTF-8 would write it, up to 36 bits, and where it ends; -1 for none."""
    first = window[at]
    if first < 0x80:
        return first, at + 1
    more = 8 - (first ^ 0xFF).bit_length() - 1
    if not 1 <= more <= 6:
        return -1, at + 1
    number = first & (0x3F >> more)
    for byte in window[at + 1 : at + 1 + more]:
        number = number << 6 | byte & 0x3F
    return number, at + 1 + more


def _checksum(data: bytearray) -> int:
    value = 0
    for byte in data:
        value = CHECKSUMS[value ^ byte]
    return value
