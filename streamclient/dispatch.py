"""Events on their way to those who want them: bounded inboxes, and a lane with a thread for each plugin.

========== ============================== ===================================
thread      owns alone                     never does
========== ============================== ===================================
publisher   the order of events            wait for a plugin
a lane      calling its plugin             touch the socket, wait for a lane
========== ============================== ===================================

One lock guards an inbox; nothing is called and nothing waits under it.
"""

import contextvars
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable

from streamclient.errors import PluginOverrun
from streamclient.events import Audio, Closed, Event, Opened, PluginFailed
from streamclient.messages import Results, TurnInfo
from streamclient.tap import Tap, Taps
from streamclient.worker import SLICE, Bell, Deadline, Worker

__all__ = ["Dispatcher", "Inbox", "Lane"]

log = logging.getLogger("streamclient.plugins")

GRACE = 0.5
"""Seconds that a plugin's last event waits, at most, for the others to catch up."""

END = Opened("")
"""Marks in a lane that the stream has ended; compared by identity, never delivered."""

WAKE = Opened("")
"""Taken from an inbox when its taker was woken for something else; compared by identity, never delivered."""

Report = Callable[[str, BaseException], None]
Deliver = Callable[[Event | Audio, Report], None]


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
    """

    def __init__(self, limit: int) -> None:
        self.shed = 0
        self.overrun = False
        self._limit = limit
        self._lock = threading.Lock()
        self._bell = Bell()
        self._taken = Bell()
        self._events: deque[Event] = deque()
        self._finished = False
        self._woken = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> bool:
        """Add an event; ``False`` once when there is no room for what must not be shed. After that nothing is added."""
        with self._lock:
            if self._finished:
                return True
            fits = event is END or isinstance(event, Closed) or self._make_room(event)
            if fits:
                self._events.append(event)
                self._finished = isinstance(event, Closed)
            elif _interim_key(event) is not None:
                self.shed += 1
                return True
            else:
                self._end()
        self._bell.ring()
        return fits

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
                    return self._events.popleft()
                if self._finished:
                    self._bell.ring()
                    return None
            if not self._bell.wait(seconds):
                return None

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        return self._finished and not self._events

    def wait_until_half_empty(self) -> None:
        """Wait until there is room for more, or nothing more will come; for one thread that causes events."""
        while len(self._events) > self._limit // 2 and not self._finished:
            self._taken.wait(SLICE)

    def _end(self) -> None:
        self.overrun = self._finished = True
        self._events.clear()

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


class Lane:
    """One plugin's inbox and the thread that calls it.

    Args:
        name: of the plugin.
        wants: whether the plugin has a hook for an event.
        deliver: calls the plugin's hooks for an event.
        limit: events that may wait.
        failed: told of every failure of the plugin.
        caught_up: told when the plugin has had everything but its last event.

    Attributes:
        tap: the accepted audio that waits for the plugin. It is handed over before each event, so that audio comes
            before what was made of it.
    """

    def __init__(
        self,
        name: str,
        wants: Callable[[Event], bool],
        deliver: Deliver,
        limit: int,
        failed: Callable[[PluginFailed], None],
        caught_up: Callable[["Lane"], None],
    ) -> None:
        self.name = name
        self.inbox = Inbox(limit)
        self.tap = Tap(self.inbox.wake, self._stop)
        self.delivered = 0
        self._wants = wants
        self._deliver = deliver
        self._failed = failed
        self._caught_up = caught_up
        self._closed: Closed | None = None
        self._context = contextvars.Context()
        self._worker = Worker(f"streamclient-plugin-{name}", self._run)

    def start(self) -> None:
        """Start the lane's thread, in the thread that opens the stream: hooks see its context variables."""
        self._context = contextvars.copy_context()
        self._worker.start()

    @property
    def has_ended(self) -> bool:
        """Whether the plugin has had its last event."""
        return self._worker.ended.is_set()

    @property
    def is_current(self) -> bool:
        """Whether the lane's thread asks."""
        return self._worker.is_current

    def offer(self, event: Event) -> None:
        """Give the lane an event, without ever waiting."""
        if self._wants(event) and not self.inbox.put(event):
            self._stopped("fell too far behind")

    def wait(self, deadline: Deadline, patience: float) -> bool:
        """Wait until the plugin has had its last event, as long as it gets on; whether it has."""
        while True:
            before = self.delivered
            if self._worker.wait(deadline.sooner(patience)):
                return True
            if self.delivered == before or deadline.left() == 0:
                return False

    def end(self, closed: Closed) -> None:
        """The stream has ended: serve the plugin what waits, and ``closed`` once `finish` is called, or soon after."""
        self._closed = closed
        self.inbox.put(END)

    def finish(self) -> None:
        """Nothing but the last event will come any more."""
        if self._closed is not None:
            self.inbox.put(self._closed)

    def _run(self) -> None:
        patience: float | None = None
        while not self.inbox.is_drained:
            event = self.inbox.get(patience)
            if audio := self.tap.take():
                self._call(Audio(audio))
            if event is END:
                patience = GRACE
                self._caught_up(self)
            elif event is None:
                self.finish()
            elif event is not WAKE:
                self._call(event)
            self.delivered += 1

    def _call(self, event: Event | Audio) -> None:
        self._context.run(self._deliver, event, self._report)
        self.tap.get_on()

    def _stop(self) -> None:
        """Callers cannot wait for the plugin any longer."""
        if self.inbox.stop():
            self._stopped("took no audio for too long")

    def _stopped(self, why: str) -> None:
        self.tap.shut()
        error = PluginOverrun(f"The plugin {self.name} {why} and was stopped")
        self._failed(PluginFailed(self.name, "", error))
        self._caught_up(self)

    def _report(self, hook: str, error: BaseException) -> None:
        self._failed(PluginFailed(self.name, hook, error))


class Dispatcher:
    """Brings every event of one stream to every lane and to the pull inbox.

    Args:
        limit: events that may wait for one taker.
    """

    def __init__(self, limit: int) -> None:
        self.pulled = Inbox(limit)
        self.is_pulled = False
        self.taps = Taps()
        self._limit = limit
        self._lanes: list[Lane] = []
        self._left: list[Lane] = []
        self._errors: Counter[str] = Counter()
        self._behind: set[Lane] = set()
        self._lock = threading.Lock()

    def add(self, name: str, wants: Callable[[Event], bool], deliver: Deliver, *, hears: bool = False) -> None:
        """Add a lane before `start`; whether its plugin hears the audio too."""
        lane = Lane(name, wants, deliver, self._limit, self._plugin_failed, self._caught_up)
        self._lanes.append(lane)
        self._behind.add(lane)
        if hears:
            self.taps.append(lane.tap)

    def start(self) -> None:
        """Start the lanes."""
        for lane in self._lanes:
            lane.start()

    def publish(self, events: Iterable[Event]) -> None:
        """Give events to all, in order, without ever waiting. Called by one thread at a time."""
        for event in events:
            if isinstance(event, Closed):
                self._end(event)
            else:
                for lane in self._lanes:
                    lane.offer(event)
            self._offer_pulled(event)

    def _offer_pulled(self, event: Event) -> None:
        if not self.is_pulled:
            # Nobody has asked for events yet, so what is superseded need not be kept for them.
            self.pulled.drop_trailing_interim(event)
        self.pulled.put(event)

    def _end(self, closed: Closed) -> None:
        """A plugin that fails at its last events is to be shown to the others before they close.

        So lanes close together; one that is slow keeps the others from closing for a moment only.
        """
        for lane in self._lanes:
            lane.end(closed)
        self._close_together()

    def _caught_up(self, lane: Lane) -> None:
        with self._lock:
            self._behind.discard(lane)
        self._close_together()

    def _close_together(self) -> None:
        with self._lock:
            together = not self._behind
        if together:
            for lane in self._lanes:
                lane.finish()

    @property
    def is_current(self) -> bool:
        """Whether one of the lanes' threads asks."""
        return any(lane.is_current for lane in self._lanes)

    @property
    def interims_shed(self) -> int:
        """Interims left out because a plugin was slow."""
        return sum(lane.inbox.shed for lane in self._lanes)

    @property
    def plugin_errors(self) -> dict[str, int]:
        """Failures of each plugin that had any."""
        with self._lock:
            return dict(self._errors)

    @property
    def is_drained(self) -> bool:
        """Whether every plugin has had its last event, but for those that were left behind."""
        return all(lane.has_ended for lane in self._lanes if lane not in self._left)

    def wait(self, deadline: Deadline, patience: float) -> bool:
        """Wait until every plugin has had its last event; one that does not get on for ``patience`` seconds is left."""
        late = [lane for lane in self._lanes if lane not in self._left and not lane.wait(deadline, patience)]
        self._left += late
        for lane in late:
            error = PluginOverrun(
                f"The plugin {lane.name} is still busy; {len(lane.inbox) + 1} of its events are not handled"
            )
            self._count(PluginFailed(lane.name, "", error))
        return not late

    def after_fork(self) -> None:
        """In a forked child: the lanes' threads are gone, and may have held the lock."""
        self._lock = threading.Lock()

    def _plugin_failed(self, failure: PluginFailed) -> None:
        """Log, count, and show to the other plugins; a failure to bear the sight of one is not shown again."""
        self._count(failure)
        if failure.hook == "on_plugin_error":
            return
        for lane in self._lanes:
            if lane.name != failure.plugin:
                lane.offer(failure)
        self._offer_pulled(failure)

    def _count(self, failure: PluginFailed) -> None:
        with self._lock:
            self._errors[failure.plugin] += 1
        if isinstance(failure.error, PluginOverrun):
            log.error("%s", failure.error)
        else:
            log.error("The plugin %s failed in %s", failure.plugin, failure.hook, exc_info=failure.error)
