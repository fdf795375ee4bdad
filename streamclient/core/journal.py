"""The journal: audio and control messages accepted from the caller, in their order, until nobody can need them again.

Audio is kept after it was taken until a final result covers it, so that a new connection can be sent it once more.
No threads, no clock, no files: the owner holds its own lock, and what lies on disk is only named here.
"""

from collections import deque
from enum import Enum, auto

from attrs import evolve, frozen

__all__ = ["Journal", "Room", "Spilled"]

BYTES_OF_AN_ENTRY = 48
"""What an entry costs beside its bytes, about."""


class Room(Enum):
    """Where there is room for more audio."""

    MEMORY = auto()
    DISK = auto()
    NONE = auto()


@frozen
class Spilled:
    """Audio that lies on disk.

    Args:
        place: the file, as its owner knows it; it lives as long as something names it.
        offset: in the file, in bytes.
        size: in bytes.
    """

    place: object
    offset: int
    size: int

    def __len__(self) -> int:
        return self.size


Audio = bytes | Spilled


class Journal:
    """A bounded queue of what is to be sent, cut into frames as it is taken.

    Args:
        max_memory: bytes of audio kept in memory. Once nothing waits and no more than half of that is kept, a chunk of
            any size is taken: what is kept then may get no final until more audio comes. Very many tiny ones are not
            all taken, since each costs more than its bytes.
        max_disk: bytes of audio kept on disk.
        frame_bytes: of audio in one frame, at most.
        keeps: whether audio that was taken is kept until it is confirmed.
        joins: whether small chunks may share a frame.
        sample_bytes: of the least audio that finals can cover; less than that counts as nothing.
    """

    def __init__(
        self,
        max_memory: int,
        max_disk: int,
        frame_bytes: int,
        *,
        keeps: bool,
        joins: bool = True,
        sample_bytes: int = 1,
    ) -> None:
        self.audio_accepted = 0
        self.audio_taken = 0
        self.audio_confirmed = 0
        self._max_memory = max_memory
        self._max_disk = max_disk
        self._max_entries = max(max_memory // BYTES_OF_AN_ENTRY, 64)
        self.frame_bytes = frame_bytes
        self._keeps = keeps
        self._joins = joins
        self._sample_bytes = sample_bytes
        self._waiting: deque[Audio | str] = deque()
        self._head_taken = 0
        self._kept: deque[Audio | str] = deque()
        self._in_memory = 0
        self._on_disk = 0

    @property
    def audio_waiting(self) -> int:
        """Bytes of audio accepted and not yet taken."""
        return self.audio_accepted - self.audio_taken

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def room(self, size: int) -> Room:
        """Where ``size`` more bytes may be added now."""
        few = len(self._waiting) + len(self._kept) <= self._max_entries
        if self._in_memory < self._sample_bytes or (self._in_memory + size <= self._max_memory and few):
            return Room.MEMORY
        if self._on_disk + size <= self._max_disk:
            return Room.DISK
        all_gone = few and not self._waiting and self._in_memory <= self._max_memory // 2
        return Room.MEMORY if all_gone else Room.NONE

    def refuse_disk(self) -> None:
        """The disk takes no more: go on with memory alone."""
        self._max_disk = 0

    def stop_keeping(self) -> None:
        """Give up sending again what was taken."""
        self._keeps = False
        self.confirm(self.audio_taken)

    def add_audio(self, audio: Audio) -> None:
        """Append a chunk; the caller has asked `room`."""
        self.audio_accepted += len(audio)
        if isinstance(audio, bytes):
            self._in_memory += len(audio)
            self._waiting.append(audio)
            return
        self._on_disk += len(audio)
        last = self._waiting[-1] if len(self._waiting) > 1 else None  # the first may be taken in part
        if isinstance(last, Spilled) and self._follows(last, audio):
            self._waiting[-1] = evolve(last, size=last.size + audio.size)
        else:
            self._waiting.append(audio)

    def add_control(self, text: str) -> None:
        """Append a text message, which keeps its place among the audio."""
        self._waiting.append(text)
        self._count(text, 1)

    def take(self) -> Audio | str:
        """The next frame: a control message, or audio that waits, joined up to a frame's size.

        Raises:
            IndexError: nothing waits.
        """
        head = self._waiting[0]
        if isinstance(head, str):
            self._waiting.popleft()
            frame: Audio | str = head
        else:
            frame = self._take_spilled(head) if isinstance(head, Spilled) else self._take_bytes()
            self.audio_taken += len(frame)
        self._kept.append(frame)
        if not self._keeps:
            self.confirm(self.audio_taken)
        return frame

    def confirm(self, position: int) -> None:
        """The first ``position`` bytes of the stream will not be needed again."""
        done = max(min(position, self.audio_taken) - self.audio_confirmed, 0)
        self.audio_confirmed += done
        while self._kept:
            head = self._kept.popleft()
            self._count(head, -1)
            size = 0 if isinstance(head, str) else len(head)
            if size > done:
                rest = _rest(head, done)
                self._kept.appendleft(rest)
                self._count(rest, 1)
                return
            done -= size

    def discard(self) -> None:
        """The stream has ended: nothing will be taken any more. The counts stay."""
        self._waiting.clear()
        self._kept.clear()
        self._head_taken = self._in_memory = self._on_disk = 0

    def rewind(self) -> None:
        """Everything after the confirmed audio is to be taken again."""
        if self._head_taken:
            self._waiting[0] = _rest(self._waiting[0], self._head_taken)
            self._head_taken = 0
        self._waiting.extendleft(reversed(self._kept))
        self._kept.clear()
        self.audio_taken = self.audio_confirmed

    def _take_spilled(self, head: Spilled) -> Spilled:
        start, size = self._head_taken, min(len(head) - self._head_taken, self.frame_bytes)
        if start + size == len(head):
            self._waiting.popleft()
            self._head_taken = 0
        else:
            self._head_taken += size
        return Spilled(head.place, head.offset + start, size)

    def _take_bytes(self) -> bytes:
        parts: list[bytes | memoryview] = []
        room = self.frame_bytes
        while room and self._waiting and isinstance(head := self._waiting[0], bytes) and (self._joins or not parts):
            start = self._head_taken
            if len(head) - start <= room:
                parts.append(memoryview(head)[start:] if start else head)
                self._waiting.popleft()
                self._head_taken = 0
                room -= len(head) - start
            else:
                parts.append(memoryview(head)[start : start + room])
                self._head_taken += room
                room = 0
        return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)

    def _follows(self, last: Spilled, audio: Spilled) -> bool:
        in_place = last.place is audio.place and last.offset + last.size == audio.offset
        return self._joins and in_place and last.size + audio.size <= self.frame_bytes

    def _count(self, entry: Audio | str, sign: int) -> None:
        if isinstance(entry, Spilled):
            self._on_disk += sign * len(entry)
        else:
            self._in_memory += sign * len(entry)


def _rest(entry: Audio | str, start: int) -> Audio:
    assert not isinstance(entry, str)
    if isinstance(entry, Spilled):
        return Spilled(entry.place, entry.offset + start, entry.size - start)
    return entry[start:]
