"""WebM and Matroska (RFC 9559): a description, then clusters of blocks."""

import re
import struct

from streamclient.core.containers.opus import RATE, packet_samples
from streamclient.core.containers.walk import PREROLL, HeaderWalk, Unreadable

__all__ = ["Matroska"]

SEGMENT, INFO, CLUSTER, BLOCK_GROUP = 0x18538067, 0x1549A966, 0x1F43B675, 0xA0
ENTERED = (SEGMENT, INFO, CLUSTER, BLOCK_GROUP)
"""Elements that hold what is looked at. They end where the next one begins, so their own sizes do not matter."""
TICK, TIMESTAMP, SIMPLE_BLOCK, BLOCK = 0x2AD7B1, 0xE7, 0xA3, 0xA1
LOOKED_AT = {TICK: 8, TIMESTAMP: 8, SIMPLE_BLOCK: 6, BLOCK: 6}
"""Bytes of these elements that are looked at, at most; all other elements are skipped unseen."""
VIDEO = re.compile(rb"\x86.V_", re.DOTALL)
"""The name of a codec, where it is one of pictures."""
LACED = 0x06
"""Flags of a block that has several packets; browsers and FFmpeg write none."""
LONGEST_HEAD = 12
"""Bytes of an element's name and size."""


class Matroska(HeaderWalk):
    """A WebM stream; every cluster is a place.

    Blocks of Opus are counted, because a service counts the audio that it decodes; of other codecs the blocks' own
    times are believed.
    """

    preroll = PREROLL

    def __init__(self) -> None:
        super().__init__()
        self._tick = 0.001
        self._timestamp = 0
        self._origin: float | None = None
        self._waiting: int | None = None
        self._counts = False
        self._heard = 0

    def unit(self, window: bytearray, at: int) -> int:
        """One element, or the head of one that is entered."""
        if len(window) < at + LONGEST_HEAD:
            return 0
        name, size, head = _element(window, at)
        if name in ENTERED:
            if name == CLUSTER:
                self._begin_cluster(at)
            return head
        if size is None:
            raise Unreadable
        there = min(size, LOOKED_AT.get(name, 0))
        if len(window) < at + head + there:
            return 0
        self._look(name, size, bytes(window[at + head : at + head + there]))
        return head + size

    def _look(self, name: int, size: int, content: bytes) -> None:
        if name == TICK:
            self._tick = int.from_bytes(content, "big") / 1e9
        elif name == TIMESTAMP:
            self._timestamp = int.from_bytes(content, "big")
        elif name in (SIMPLE_BLOCK, BLOCK) and size >= 4:
            self._block(content)

    def _begin_cluster(self, at: int) -> None:
        if self._head is not None:
            self.end_header(at)
            self._counts = b"A_OPUS" in self.header and not VIDEO.search(self.header)
        self._waiting = self._position + at

    def _block(self, content: bytes) -> None:
        """A block: track, time since the cluster's, flags, the first bytes of the packet."""
        (since,) = struct.unpack_from(">h", content, 1)
        time = (self._timestamp + since) * self._tick
        if self._origin is None:
            self._origin = time
        begins = self.seconds if self._counts else time - self._origin
        if self._waiting is not None:
            self.mark(self._waiting - self._position, begins)
            self._waiting = None
        if self._counts:
            if content[3] & LACED:  # how long its packets are is said by bytes further on
                raise Unreadable
            self._heard += packet_samples(content[4:])
            self.seconds = self._heard / RATE
        else:
            self.hear_until(begins)


def _element(window: bytearray, at: int) -> tuple[int, int | None, int]:
    """Name, size and length of both; a size of all ones means that it is not known."""
    name_bytes = 9 - window[at].bit_length()
    size_at = at + name_bytes
    size_bytes = 9 - window[size_at].bit_length()
    if name_bytes > 4 or size_bytes > 8:
        raise Unreadable
    name = int.from_bytes(window[at:size_at], "big")
    unknown = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(window[size_at : size_at + size_bytes], "big") & unknown
    return name, None if size == unknown else size, name_bytes + size_bytes
