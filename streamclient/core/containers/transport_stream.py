"""MPEG transport stream (ISO 13818-1): packets of 188 bytes, now and then with the tables that say what they hold."""

from streamclient.core.containers.walk import PREROLL, Unreadable, Walk

__all__ = ["TransportStream", "is_transport_stream"]

PACKET = 188
SYNC = 0x47
TABLES = 0
TICKS = 90000
WRAP = 1 << 33
AUDIO = (0xBD, *range(0xC0, 0xE0))
"""Kinds of elementary streams that hold audio."""


class TransportStream(Walk):
    """A transport stream; every table of programs is a place, for the audio that begins after it."""

    preroll = PREROLL

    def __init__(self) -> None:
        super().__init__()
        self._tables_at: int | None = None
        self._audio = -1
        self._origin: int | None = None
        self._last = 0

    def unit(self, window: bytearray, at: int) -> int:
        """One packet, which has to be whole."""
        if len(window) < at + PACKET:
            return 0
        if window[at] != SYNC:
            raise Unreadable
        begins = window[at + 1] & 0x40
        kind = (window[at + 1] & 0x1F) << 8 | window[at + 2]
        if begins and kind == TABLES:
            self._tables_at = self._position + at
        elif begins and (kind == self._audio or self._audio < 0):
            self._begin_audio(bytes(window[at : at + PACKET]), kind)
        return PACKET

    def _begin_audio(self, packet: bytes, kind: int) -> None:
        """A packet in which a piece of audio begins, with the time at which it is heard."""
        start = 4 + (packet[4] + 1 if packet[3] & 0x20 else 0)
        piece = packet[start : start + 14]
        if len(piece) < 14 or piece[:3] != b"\0\0\1" or piece[3] not in AUDIO or not piece[7] & 0x80:
            return
        self._audio = kind
        ticks = (piece[9] >> 1 & 7) << 30 | piece[10] << 22 | piece[11] >> 1 << 15 | piece[12] << 7 | piece[13] >> 1
        if self._origin is None:
            self._origin = ticks
        step = (ticks - self._origin - self._last + WRAP // 2) % WRAP - WRAP // 2
        self.hear_until((self._last + step) / TICKS)
        self._last += max(step, 0)
        if self._tables_at is not None:
            self.mark(self._tables_at - self._position, self.seconds)
            self._tables_at = None


def is_transport_stream(start: bytes) -> bool:
    """Whether these first bytes, more than a packet, are of a transport stream."""
    return len(start) > PACKET and start[0] == start[PACKET] == SYNC
