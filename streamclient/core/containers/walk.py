"""Walking through a container as its bytes come, unit by unit, and noting where it can be taken up again.

Nothing is decoded and little is kept: a unit (a page, a frame, an element) is looked at and skipped.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque

from attrs import frozen

__all__ = ["PREROLL", "HeaderWalk", "Place", "Unreadable", "Walk"]

SPACING = 0.25
"""Seconds between two places, at least; they cost memory until the audio before them is confirmed."""

MOST_WAITING = 1 << 20
"""Bytes of a header, or of any unit that has to be whole."""

MOST_WITHOUT_A_PLACE = 8 << 20
"""Bytes after which nothing is expected any more; audio would wait for ever to be confirmed."""

LONGEST_STEP_BACK, LONGEST_STEP = 1.0, 10.0
"""Seconds from one piece of audio to the next, where the container says when each is heard. More means that its clock
was set anew; a service hears on, as if nothing had been."""

PREROLL = 0.1
"""Seconds a lossy decoder needs until what it says of the audio is right."""


class Unreadable(Exception):
    """The bytes are not what the container's description says."""


@frozen
class Place:
    """A place in the stream where a new connection can begin.

    Args:
        offset: the first byte to send.
        seconds: when the service will begin to count, on the stream's timeline.
        header: what to send before it, so that the bytes can be decoded.
    """

    offset: int = 0
    seconds: float = 0.0
    header: bytes = b""


class Walk(ABC):
    """The base of the walks.

    Attributes:
        seconds: audio seen so far.
        follows: whether more places will be found.
        header: what every decoder needs first.
        longest_piece: seconds from one piece of audio to the next, at most so far; the last one may be as long.
        begins_again: whether another file follows, which no service hears.
        frame_bytes: how much may go into one websocket frame, or ``None`` where bytes last as long as they like.
        most_passed_over: bytes between two units. After more the audio goes on in another way than it began; the walk
            does not see it any more, and must not say that nobody can have heard it.
    """

    preroll = 0.0
    most_passed_over = 1 << 16

    def __init__(self) -> None:
        self.seconds = 0.0
        self.follows = True
        self.header = b""
        self.longest_piece = 0.0
        self.begins_again = False
        self.frame_bytes: int | None = None
        self._begin = Place()
        self._places: deque[Place] = deque()
        self._window = bytearray()
        self._position = 0
        self._skip = 0
        self._marked = 0
        self._passed_over = 0

    @abstractmethod
    def unit(self, window: bytearray, at: int) -> int:
        """Look at the unit that begins at ``at``: how many bytes it has, or 0 where more are needed to tell.

        Raises:
            Unreadable: it is none.
        """

    def receive(self, audio: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        if not self.follows:
            return
        if self._skip >= len(audio):
            self._skip -= len(audio)
            return
        window = self._window
        window += memoryview(audio)[self._skip :]
        at = 0
        try:
            while at < len(window) and (size := self.unit(window, at)):
                at += size
        except Unreadable:
            self.give_up()
            return
        self._skip = max(at - len(window), 0)
        self._position += at
        del window[:at]
        if len(window) > MOST_WAITING or self._position - self._marked > MOST_WITHOUT_A_PLACE:
            self.give_up()

    def give_up(self) -> None:
        """Follow no further; the places found stay."""
        self.follows = False
        self._window = bytearray()

    def mark(self, at: int, seconds: float) -> None:
        """A place: so many bytes into the window, this moment of the audio."""
        self._passed_over = 0
        last = self._places[-1] if self._places else self._begin
        if seconds >= last.seconds + SPACING:
            self._marked = self._position + at
            self._places.append(Place(self._marked, seconds, self.header))

    def hear_until(self, seconds: float) -> None:
        """The container says that a piece of audio is heard at this moment.

        Raises:
            Unreadable: its clock was set anew.
        """
        if not self.seconds - LONGEST_STEP_BACK <= seconds <= self.seconds + LONGEST_STEP:
            raise Unreadable
        self.longest_piece = max(self.longest_piece, seconds - self.seconds)
        self.seconds = max(self.seconds, seconds)

    def pass_over(self, window: bytearray, at: int, mark: bytes) -> int:
        """No unit begins here: bytes until the next mark of one.

        Raises:
            Unreadable: there was none for too long.
        """
        found = window.find(mark, at + 1)
        size = (found if found > 0 else len(window)) - at
        self._passed_over += size
        if self._passed_over > self.most_passed_over:
            raise Unreadable
        return size

    def seconds_at(self, offset: int) -> float:
        """When this byte is heard, about."""
        if offset >= self._position:
            return self.seconds
        found = bisect_right(self._places, offset, key=lambda place: place.offset)
        return (self._places[found - 1] if found else self._begin).seconds

    def place_for(self, confirmed: float, sent: int) -> Place:
        """Where to begin again when everything before ``confirmed`` seconds is known and ``sent`` bytes were sent."""
        places = self._places
        while places and places[0].seconds <= confirmed - self.preroll and places[0].offset <= sent:
            self._begin = places.popleft()
        return self._begin


class HeaderWalk(Walk):
    """A walk through a container whose header is all that comes before its first audio."""

    def __init__(self) -> None:
        super().__init__()
        self._head: bytearray | None = bytearray()

    def receive(self, audio: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        if self._head is not None:
            self._head += audio
        super().receive(audio)
        if self._head is not None and len(self._head) > MOST_WAITING:
            self.give_up()

    def give_up(self) -> None:
        """Follow no further; the places found stay."""
        super().give_up()
        self._head = None

    def end_header(self, at: int) -> None:
        """So many bytes into the window the audio begins."""
        assert self._head is not None
        # What came last may be longer than the header and wait to be walked through.
        self.header = bytes(self._head[: self._position + at])
        self._head = None
