"""Bounded queues of events: interims are shed first, anything else never is."""

import threading
import time
from collections import deque

from streamclient.events import Closed, Event, Opened
from streamclient.messages import Results, TurnInfo
from streamclient.threads.worker import SLICE, Bell

__all__ = ["END", "WAKE", "Inbox"]

END = Opened("")
"""Marks in a lane that the stream has ended; compared by identity, never delivered."""

WAKE = Opened("")
"""Taken from an inbox when its taker was woken for something else; compared by identity, never delivered."""

TURN = 0.5
"""Seconds that the taker of a full inbox is given, in all until it has caught up, before it is ended."""


def _interim_key(event: Event) -> int | None:
    """What a newer interim of the same key supersedes; ``None`` for what must not be shed."""
    if isinstance(event, Results):
        return None if event.is_final else event.channel
    if isinstance(event, TurnInfo):
        return None if event.event in ("StartOfTurn", "EndOfTurn") else 0
    return None


def _superseded_by(event: Event) -> int | None:
    """The key of the interims that this event makes worthless."""
    return event.channel if isinstance(event, Results) else 0 if isinstance(event, TurnInfo) else None


class Inbox:
    """A bounded queue of events, emptied by one thread.

    When it is full, interims are shed and counted, those that a later result has superseded first; anything else
    never is.

    Args:
        limit: events that may wait.
        ends: whether it ends when it is full of what must not be shed; else it takes that all the same.

    Attributes:
        shed: interims that were left out.
        overrun: whether it has ended because it was full, or its taker was stopped.
        dropped: events that waited when that happened, and others than interims that came later.
    """

    def __init__(self, limit: int, *, ends: bool = True) -> None:
        self.shed = 0
        self.dropped = 0
        self.overrun = False
        self._ends = ends
        self._limit = limit
        self._lock = threading.Lock()
        self._bell = Bell()
        self._taken = Bell()
        self._got_on = Bell()
        self._turn = TURN
        self._events: deque[Event] = deque()
        self._finished = False
        self._woken = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> bool:
        """Add an event; ``False`` once when there is no room for what must not be shed. After that nothing is added."""
        with self._lock:
            if self._finished:
                self.dropped += self.overrun and event is not END and _interim_key(event) is None
                return True
            if not self._events:
                self._turn = TURN
            fits = event is END or isinstance(event, Closed) or self._make_room(event) or self._takes_anyway(event)
            if fits:
                self._events.append(event)
                self._finished = isinstance(event, Closed)
            elif _interim_key(event) is not None:
                self.shed += 1
                return True
            else:
                self.dropped = 1
                self._end()
        self._bell.ring()
        return fits

    def give_turn(self, event: Event) -> None:
        """Before adding an event that would end the taker: let the taker run for a moment.

        A burst would else end one that is fast and was merely never let run; one that hangs costs `TURN` seconds,
        once. For one thread, which must not be a taker itself.
        """
        if not self._would_end_at(event):
            return
        began = time.monotonic()
        end = began + self._turn
        while len(self._events) > self._limit // 2 and (left := end - time.monotonic()) > 0:
            self._got_on.wait(left)
        self._turn -= time.monotonic() - began

    def stop(self) -> bool:
        """Nothing more is taken or added; ``False`` if that is so already."""
        with self._lock:
            stops = not self._finished
            if stops:
                self._end()
        self._bell.ring()
        return stops

    def wake(self) -> None:
        """Let the taker look elsewhere: its next `get` brings `WAKE`. Takes no lock."""
        self._woken = True
        self._bell.ring()

    def drop_trailing_interim(self, event: Event) -> None:
        """Before adding ``event``: forget the interim just before it that it supersedes."""
        with self._lock:
            if self._events:
                key = _interim_key(self._events[-1])
                if key is not None and key == _superseded_by(event):
                    self._events.pop()

    def get(self, seconds: float | None) -> Event | None:
        """The next event, waiting for it at most that long; ``None`` if none came or none will."""
        while True:
            with self._lock:
                if self._woken:
                    self._woken = False
                    return WAKE
                if self._events:
                    self._taken.ring()
                    self._got_on.ring()
                    return self._events.popleft()
                if self._finished:
                    self._bell.ring()
                    return None
            if not self._bell.wait(seconds):
                return None

    def count(self, but: Event | None = None) -> int:
        """How many events wait, without marks and one that is not to be counted."""
        with self._lock:
            return sum(event is not END and event is not but for event in self._events)

    def after_fork(self) -> None:
        """In a forked child: the threads are gone, and may have held the lock."""
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether as many events wait as may."""
        return len(self._events) >= self._limit

    @property
    def is_half_full(self) -> bool:
        """Whether half as many events wait as may."""
        return len(self._events) * 2 > self._limit

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        return self._finished and not self._events

    def wait_until_half_empty(self) -> None:
        """Wait until there is room for more, or nothing more will come; for one thread that causes events."""
        while len(self._events) > self._limit // 2 and not self._finished:
            self._taken.wait(SLICE)

    def _would_end_at(self, event: Event) -> bool:
        if not self._ends or not self.is_full or _interim_key(event) is not None:
            return False
        with self._lock:
            return not self._finished and not self._make_room(event)

    def _end(self) -> None:
        self.overrun = self._finished = True
        self.dropped += len(self._events)
        self._events.clear()

    def _takes_anyway(self, event: Event) -> bool:
        return not self._ends and _interim_key(event) is None

    def _make_room(self, event: Event) -> bool:
        """Shed what is superseded, then, for what must not be shed, an interim that is not; whether there is room."""
        if len(self._events) >= self._limit:
            self._shed_superseded(_superseded_by(event))
        if len(self._events) >= self._limit and _interim_key(event) is None:
            self._shed_an_interim()
        return len(self._events) < self._limit

    def _shed_an_interim(self) -> None:
        for place, event in enumerate(self._events):
            if _interim_key(event) is not None:
                del self._events[place]
                self.shed += 1
                return

    def _shed_superseded(self, newest: int | None) -> None:
        superseded = set() if newest is None else {newest}
        kept: deque[Event] = deque()
        for event in reversed(self._events):
            key = _interim_key(event)
            if key is not None and key in superseded:
                self.shed += 1
            else:
                kept.appendleft(event)
            newer = _superseded_by(event)
            superseded |= set() if newer is None else {newer}
        self._events = kept
