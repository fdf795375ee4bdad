"""Events on their way to those who want them: a lane with a thread for each plugin, an inbox for those who pull.

========== ============================== ===================================
thread      owns alone                     never does
========== ============================== ===================================
publisher   the order of events            wait for a plugin, but to let a
                                           full lane run (``Inbox.give_turn``)
processing  the order of events after it,  wait longer than a plugin may take
            where plugins change them
a lane      calling its plugin             touch the socket, wait for a lane
========== ============================== ===================================

One lock guards an inbox; nothing is called and nothing waits under it.
"""

import threading
from collections.abc import Iterable

from streamclient.events import Closed, Event, PluginFailed, PluginStats, Transcript
from streamclient.threads.failures import Failures
from streamclient.threads.inbox import Inbox
from streamclient.threads.lane import Lane, Plugin
from streamclient.threads.processing import Processing
from streamclient.threads.tap import Taps
from streamclient.threads.worker import Deadline

__all__ = ["Dispatcher"]

HASTE = 0.5
"""Seconds for plugins that get on, after the time of those that do not has run out."""


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
        self._processing = Processing(limit, self.deliver)
        self._lanes: list[Lane] = []
        self._left: list[Lane] = []
        self._failures = Failures()
        self._behind: set[Lane] = set()
        self._lock = threading.Lock()

    def add(self, plugin: Plugin, stream: object) -> None:
        """Add a lane for a plugin, before `start`."""
        lane = Lane(plugin, stream, self._limit, self._plugin_failed, self._caught_up)
        self._lanes.append(lane)
        self._behind.add(lane)
        if plugin.hears:
            self.taps.append(lane.tap)
        if plugin.is_processor:
            self._processing.add(lane)

    def start(self) -> None:
        """Start the lanes, and what brings events to them."""
        self._processing.start()
        for lane in self._lanes:
            lane.start()

    def publish(self, events: Iterable[Event]) -> None:
        """Give events to all, in order, without waiting for any plugin to get on. Called by one thread at a time."""
        take = self._processing.put if self._processing.is_needed else self.deliver
        for event in events:
            take(event)

    def transcript(self, transcript: Transcript) -> Transcript:
        """A transcript as the plugins have changed it."""
        return self._processing.transcript(transcript)

    def deliver(self, event: Event) -> None:
        """Give an event to all as it is; for a stream that never began, which has no threads."""
        if isinstance(event, Closed):
            self._end(event)
        else:
            for lane in self._lanes:
                lane.give_turn(event)
                lane.offer(event)
            if self.is_pulled:
                self.pulled.give_turn(event)
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
        return self._processing.interims_shed + sum(lane.inbox.shed for lane in self._lanes)

    @property
    def plugin_stats(self) -> tuple[PluginStats, ...]:
        """The counters of each plugin, in the order of the stream's plugins."""
        errors = self.plugin_errors
        return tuple(lane.stats(errors.get(lane.name, 0)) for lane in self._lanes)

    @property
    def plugin_errors(self) -> dict[str, int]:
        """Failures of each plugin that had any."""
        return self._failures.by_plugin

    @property
    def is_drained(self) -> bool:
        """Whether every plugin has had its last event, but for those that were left behind."""
        served = all(lane.has_ended for lane in self._lanes if lane not in self._left)
        return served and self._processing.has_ended

    def wait(self, deadline: Deadline, patience: float) -> bool:
        """Wait until every plugin has had its last event; one that does not get on for ``patience`` seconds is left."""
        self._wait_for_processing(deadline)
        late = [lane for lane in self._lanes if lane not in self._left and not lane.wait(deadline, patience)]
        for lane in late:
            lane.finish()  # there is no time left in which to wait for the others
        haste = Deadline(HASTE)
        late = [lane for lane in late if not lane.wait(haste, HASTE)]
        late = self._leave(late)
        for lane in late:
            self._failures.add(PluginFailed(lane.name, "", lane.unfinished()))
        self._failures.sum_up()
        return not late

    def _leave(self, late: list[Lane]) -> list[Lane]:
        """Wait for these no more; those of them that nobody has left before. Several threads may close at once."""
        with self._lock:
            newly = [lane for lane in late if lane not in self._left]
            self._left += newly
        return newly

    def _wait_for_processing(self, deadline: Deadline) -> None:
        """Plugins that change events may take half of the time; then what waits goes through without them."""
        left = deadline.left()
        if not self._processing.wait(Deadline(None if left is None else left / 2)):
            self._processing.hurry()
            self._processing.wait(Deadline(HASTE))

    def after_fork(self) -> None:
        """In a forked child: the lanes' threads are gone, and may have held the locks."""
        self._lock = threading.Lock()
        self._failures.after_fork()
        for lane in self._lanes:
            lane.inbox.after_fork()

    def _plugin_failed(self, failure: PluginFailed) -> None:
        """Log, count, and show to the other plugins; a failure to bear the sight of one is not shown again."""
        self._failures.add(failure)
        if failure.hook == "on_plugin_error":
            return
        for lane in self._lanes:
            if lane.name != failure.plugin:
                lane.offer(failure)
        self._offer_pulled(failure)
