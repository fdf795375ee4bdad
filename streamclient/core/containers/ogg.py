"""Ogg (RFC 3533): pages with packets of Opus (RFC 7845), FLAC, Vorbis or Speex."""

import struct

from attrs import frozen

from streamclient.core.containers.flac import read_streaminfo
from streamclient.core.containers.opus import RATE, packet_samples
from streamclient.core.containers.walk import PREROLL, Unreadable, Walk

__all__ = ["Ogg"]

PAGE_HEADER = 27
CONTINUED, FIRST, LAST = 1, 2, 4
NO_POSITION = (0, 0xFFFFFFFFFFFFFFFF)
LONGEST_FIRST_PAGE = 10.0
"""Seconds; a first page that ends later belongs to a stream that was joined in its middle."""


@frozen
class Codec:
    """What is in the pages.

    Args:
        rate: positions per second.
        primes: positions that a decoder swallows whenever it begins.
        lead: the position of the first sample that is heard.
        is_opus: whether packets say themselves how long they are.
    """

    rate: int
    primes: int = 0
    lead: int = 0
    is_opus: bool = False


class Ogg(Walk):
    """An Ogg stream, or several in a chain; every page that begins with a new packet is a place."""

    preroll = PREROLL

    def __init__(self) -> None:
        super().__init__()
        self._serials: set[bytes] = set()
        self._serial = b""
        self._codec = Codec(1)
        self._goes_on = False
        self._in_header = True
        self._head = bytearray()
        self._before = 0.0
        self._heard = 0

    def unit(self, window: bytearray, at: int) -> int:
        """One page, which has to be whole."""
        if len(window) < at + PAGE_HEADER:
            return 0
        if window[at : at + 4] != b"OggS":
            raise Unreadable
        first_packet = at + PAGE_HEADER + window[at + 26]
        lacing = bytes(window[at + PAGE_HEADER : first_packet])
        end = first_packet + sum(lacing)
        if len(lacing) < window[at + 26] or len(window) < end:
            return 0
        flags, position = struct.unpack_from("<BQ", window, at + 5)
        serial = bytes(window[at + 14 : at + 18])
        if flags & FIRST:
            self._begin_stream(serial, bytes(window[first_packet:end]))
        elif not self._serial or serial not in self._serials:  # all streams begin before the first one goes on
            raise Unreadable
        else:
            self._goes_on = True
        if serial == self._serial:
            self._page(window, at, end, flags, position, _new_packets(window, first_packet, lacing, flags))
        return end - at

    def _begin_stream(self, serial: bytes, packet: bytes) -> None:
        """The first page of a stream; in a chain the next one begins where the last one ended."""
        if self._goes_on:
            self._goes_on, self._serial = False, b""
            self._serials.clear()
        self._serials.add(serial)
        codec = _codec(packet)
        if codec is None:  # no audio: a skeleton, a picture
            return
        self._serial, self._codec = serial, codec
        self._before, self._heard = self.seconds, 0
        self._in_header, self._head = True, bytearray()

    def _page(self, window: bytearray, at: int, end: int, flags: int, position: int, packets: list[bytes]) -> None:
        if self._in_header and position in NO_POSITION:
            self._head += window[at:end]
            return
        codec = self._codec
        if self._in_header and position > LONGEST_FIRST_PAGE * codec.rate and not codec.is_opus:
            raise Unreadable
        if self._in_header:
            self._in_header, self.header = False, bytes(self._head)
        if not flags & CONTINUED:
            self.mark(at, self._before + (self._heard - codec.lead + codec.primes) / codec.rate)
        if codec.is_opus:
            self._heard += sum(map(packet_samples, packets))
        if position not in NO_POSITION and (not codec.is_opus or (flags & LAST and position < self._heard)):
            self._heard = position  # the last page says how much of its last packet is meant
        self.seconds = self._before + max(self._heard - codec.lead, 0) / codec.rate


def _new_packets(window: bytearray, start: int, lacing: bytes, flags: int) -> list[bytes]:
    """The first bytes of each packet that begins in a page; one that goes on from the page before was counted there."""
    packets = []
    begins = not flags & CONTINUED
    for size in lacing:
        if begins:
            packets.append(bytes(window[start : start + 2]))
        start += size
        begins = size < 255
    return packets


def _codec(packet: bytes) -> Codec | None:
    """The codec that the first packet of a stream names."""
    if packet.startswith(b"OpusHead") and len(packet) >= 19:
        skipped = int.from_bytes(packet[10:12], "little")
        return Codec(RATE, primes=skipped, lead=skipped, is_opus=True)
    if packet.startswith(b"\x7fFLAC"):
        return Codec(read_streaminfo(packet[17:])[0])
    if packet.startswith(b"\x01vorbis") and len(packet) >= 30:
        # The first packet only prepares for the second one; blocks are long ones in most audio.
        return Codec(int.from_bytes(packet[12:16], "little") or 1, primes=(1 << (packet[28] >> 4)) // 2)
    if packet.startswith(b"Speex   ") and len(packet) >= 40:
        return Codec(int.from_bytes(packet[36:40], "little") or 1)
    return None
