"""The journal: audio and control messages accepted from the caller, in their order, until they are sent.

No threads, no clock: the owner holds its own lock.
"""

from collections import deque

__all__ = ["Journal"]


BYTES_OF_AN_ENTRY = 48
"""What an entry costs beside its bytes, about."""


class Journal:
    """A bounded queue of what is to be sent, cut into frames as it is taken.

    Args:
        max_bytes: of what waits. One chunk larger than that is taken when nothing waits; very many tiny ones are not
            all taken, since each costs more than its bytes.
        frame_bytes: of audio in one frame, at most.
    """

    def __init__(self, max_bytes: int, frame_bytes: int) -> None:
        self.audio_accepted = 0
        self.audio_taken = 0
        self._max_bytes = max_bytes
        self._max_entries = max(max_bytes // BYTES_OF_AN_ENTRY, 64)
        self._frame_bytes = frame_bytes
        self._entries: deque[bytes | str] = deque()
        self._head_taken = 0
        self._control_bytes = 0

    @property
    def audio_waiting(self) -> int:
        """Bytes of audio accepted and not yet taken."""
        return self.audio_accepted - self.audio_taken

    def __bool__(self) -> bool:
        return bool(self._entries)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes may be added now."""
        waiting = self.audio_accepted - self.audio_taken + self._control_bytes
        return not waiting or (waiting + size <= self._max_bytes and len(self._entries) <= self._max_entries)

    def add_audio(self, audio: bytes) -> None:
        """Append a chunk; the caller has asked `has_room`."""
        self._entries.append(audio)
        self.audio_accepted += len(audio)

    def add_control(self, text: str) -> None:
        """Append a text message, which keeps its place among the audio."""
        self._entries.append(text)
        self._control_bytes += len(text)

    def take(self) -> bytes | str:
        """Remove and return the next frame: a control message, or audio that waits joined up to a frame's size.

        Raises:
            IndexError: nothing waits.
        """
        head = self._entries[0]
        if isinstance(head, str):
            self._entries.popleft()
            self._control_bytes -= len(head)
            return head
        frame = self._take_audio()
        self.audio_taken += len(frame)
        return frame

    def _take_audio(self) -> bytes:
        parts: list[bytes | memoryview] = []
        room = self._frame_bytes
        while room and self._entries and not isinstance(self._entries[0], str):
            head = self._entries[0]
            start = self._head_taken
            if len(head) - start <= room:
                parts.append(memoryview(head)[start:] if start else head)
                self._entries.popleft()
                self._head_taken = 0
                room -= len(head) - start
            else:
                parts.append(memoryview(head)[start : start + room])
                self._head_taken += room
                room = 0
        return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)
