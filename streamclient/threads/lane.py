"""A lane: one plugin, its inbox, and the thread that calls it."""

import contextvars
import logging
from collections.abc import Callable
from typing import Any, Protocol

from streamclient.errors import PluginOverrun
from streamclient.events import Audio, Closed, Event, HookStats, PluginFailed, PluginStats, Utterance
from streamclient.messages import Result
from streamclient.policies import LanePolicy
from streamclient.threads.inbox import END, WAKE, Inbox
from streamclient.threads.tap import Tap
from streamclient.threads.worker import Bell, Deadline, Worker

__all__ = ["Lane", "Plugin", "Report", "Request"]

log = logging.getLogger("streamclient.plugins")

GRACE = 0.5
"""Seconds that a plugin's last event waits, at most, for the others to catch up."""

Report = Callable[[str, BaseException], None]
"""Takes the name of a hook and what it raised."""


class Plugin(Protocol):
    """What a lane needs of a plugin. All but ``notify`` and ``process`` may be asked by any thread."""

    @property
    def name(self) -> str:
        """Unique among the plugins of the stream."""

    @property
    def policy(self) -> LanePolicy:
        """How its lane is to treat it."""

    @property
    def hears(self) -> bool:
        """Whether it is to be given the accepted audio."""

    @property
    def is_processor(self) -> bool:
        """Whether it may change any event."""

    @property
    def hook_stats(self) -> tuple[HookStats, ...]:
        """The calls of its hooks until now."""

    @property
    def busy(self) -> tuple[str, float] | None:
        """The hook it is in and for how many seconds, or ``None``."""

    def wants(self, event: Event) -> bool:
        """Whether it has a hook for the event."""

    def notify(self, stream: Any, event: Event | Audio, report: Report) -> None:
        """Call its hooks for the event."""

    def processor_of(self, event: Event) -> str | None:
        """The hook by which it may change the event before anyone sees it."""

    def process(self, stream: Any, event: Result | Utterance) -> Result | Utterance:
        """What it makes of the event; raises what the hook raised."""


class Request:
    """An event that a plugin is asked to change. Made by the processing thread, answered by the lane.

    Args:
        event: as it is.
        answered: rung when there is an answer.
    """

    def __init__(self, event: Result | Utterance, answered: Bell) -> None:
        self.event = event
        self.answer: Result | Utterance | None = None
        self.is_done = False
        self.is_abandoned = False
        self._answered = answered

    def end(self, answer: Result | Utterance | None = None) -> None:
        """Give the answer, or that there will be none."""
        self.answer = answer
        self.is_done = True
        self._answered.ring()


class Lane:
    """One plugin's inbox and the thread that calls it.

    Args:
        plugin: whom it serves.
        stream: what the plugin's hooks see of the stream.
        limit: events that may wait, where the plugin's policy does not say it.
        failed: told of every failure of the plugin.
        caught_up: told when the plugin has had everything but its last event.

    Attributes:
        tap: the accepted audio that waits for the plugin. It is handed over before each event, so that audio comes
            before what was made of it.
    """

    def __init__(
        self,
        plugin: Plugin,
        stream: object,
        limit: int,
        failed: Callable[[PluginFailed], None],
        caught_up: Callable[["Lane"], None],
    ) -> None:
        self.name = plugin.name
        self.policy = plugin.policy
        self.inbox = Inbox(plugin.policy.max_events or limit)
        self.tap = Tap(self.inbox.wake, self._stop)
        self.delivered = 0
        self.unprocessed = 0
        self._plugin = plugin
        self._stream = stream
        self._left_behind = 0
        self._warned = False
        self._request: Request | None = None
        self._failed = failed
        self._caught_up = caught_up
        self._closed: Closed | None = None
        self._context = contextvars.Context()
        self._worker = Worker(f"streamclient-plugin-{plugin.name}", self._run)

    def start(self) -> None:
        """Start the lane's thread, in the thread that opens the stream: hooks see its context variables."""
        self._context = contextvars.copy_context()
        self._worker.start()

    @property
    def has_ended(self) -> bool:
        """Whether the plugin has had its last event, or will have none."""
        return not self._worker.is_running

    @property
    def is_current(self) -> bool:
        """Whether the lane's thread asks."""
        return self._worker.is_current

    def give_turn(self, event: Event) -> None:
        """Before offering an event, in a thread that is no lane's: let a full lane run for a moment."""
        if self._plugin.wants(event):
            self.inbox.give_turn(event)

    def offer(self, event: Event) -> None:
        """Give the lane an event, without ever waiting."""
        if not self._plugin.wants(event):
            return
        if not self.inbox.put(event):
            self._stopped("fell too far behind")
        elif self.inbox.is_half_full and not self._warned:
            self._warned = True
            log.warning("The plugin %s is slow: %d events wait for it%s", self.name, len(self.inbox), self._doing)

    def processor_of(self, event: Event) -> str | None:
        """The plugin's hook that may change an event."""
        return self._plugin.processor_of(event)

    def ask(self, event: Result | Utterance, answered: Bell) -> Request | None:
        """Ask the plugin to change an event, without waiting; ``None`` while it owes an earlier answer, or was stopped.

        Called by the processing thread.
        """
        if self._request is not None and not self._request.is_done:
            return None
        request = self._request = Request(event, answered)
        self.inbox.wake()
        # The plugin may have been stopped just before, when there was no request to end.
        return None if self.inbox.overrun else request

    def report(self, hook: str, error: BaseException) -> None:
        """A hook of the plugin has failed."""
        self._failed(PluginFailed(self.name, hook, error))

    def wait(self, deadline: Deadline, patience: float) -> bool:
        """Wait until the plugin has had its last event, as long as it gets on; whether it has.

        One that was stopped has had its time since its hook began.
        """
        busy = self._plugin.busy
        if self.inbox.overrun and busy:
            patience = max(patience - busy[1], 0.0)
        while True:
            before = self.delivered
            if self._worker.wait(deadline.sooner(patience)):
                return True
            if self.delivered == before or deadline.left() == 0:
                return False

    def stats(self, errors: int) -> PluginStats:
        """Its counters now."""
        busy = self._plugin.busy
        return PluginStats(
            name=self.name,
            waiting=self._waiting,
            interims_shed=self.inbox.shed,
            errors=errors,
            unprocessed=self.unprocessed,
            undelivered=self.inbox.dropped + self._left_behind,
            stopped=self.inbox.overrun,
            busy_in=busy[0] if busy else None,
            busy_for=busy[1] if busy else 0.0,
            hooks=self._plugin.hook_stats,
        )

    @property
    def _doing(self) -> str:
        """What keeps the plugin busy, as the end of a sentence."""
        busy = self._plugin.busy
        return f" (it is in {busy[0]}, since {busy[1]:.1f} s)" if busy else ""

    @property
    def _waiting(self) -> int:
        """Events that wait; the last one only where the plugin has a hook for it."""
        closed = self._closed
        return self.inbox.count(None if closed is None or self._plugin.wants(closed) else closed)

    def unfinished(self) -> PluginOverrun:
        """The error for a plugin that is left behind at the end."""
        self._left_behind = self._waiting
        lost = self.inbox.dropped + self._left_behind
        return PluginOverrun(
            f"The plugin {self.name} is still busy{self._doing}; {lost} of its events are not delivered",
            undelivered=lost,
        )

    def end(self, closed: Closed) -> None:
        """The stream has ended: serve the plugin what waits, and ``closed`` once `finish` is called, or soon after."""
        self._closed = closed
        # A plugin that was stopped does not get it either, and that is counted.
        self.inbox.put(closed if self.inbox.overrun and self._plugin.wants(closed) else END)

    def finish(self) -> None:
        """Nothing but the last event will come any more."""
        if self._closed is not None and not self.inbox.overrun:
            self.inbox.put(self._closed)

    def _run(self) -> None:
        patience: float | None = None
        while not self.inbox.is_drained:
            event = self.inbox.get(patience)
            if audio := self.tap.take():
                self._call(Audio(audio))
            self._answer()
            if event is END:
                patience = GRACE
                self._caught_up(self)
            elif event is None:
                self.finish()
            elif event is not WAKE:
                self._call(event)
            self.delivered += 1

    def _call(self, event: Event | Audio) -> None:
        self._context.run(self._plugin.notify, self._stream, event, self.report)
        self.tap.get_on()

    def _answer(self) -> None:
        """Before any event, because everybody waits for it; after the audio, which comes before all results of it."""
        request = self._request
        if request is None or request.is_done:
            return
        answer = None
        if not request.is_abandoned:
            try:
                answer = self._context.run(self._plugin.process, self._stream, request.event)
            except BaseException as error:  # noqa: BLE001 - not even SystemExit may end the lane
                self.report(self._plugin.processor_of(request.event) or "", error)
        request.end(answer)
        self.tap.get_on()

    def _stop(self) -> None:
        """Callers cannot wait for the plugin any longer."""
        if self.inbox.stop():
            self._stopped("took no audio for too long")

    def _stopped(self, why: str) -> None:
        self.tap.shut()
        if (request := self._request) is not None:
            request.end()
        lost = self.inbox.dropped
        end = f"The plugin {self.name} {why} and was stopped{self._doing}; {lost} of its events are not delivered"
        self.report("", PluginOverrun(end, undelivered=lost))
        self._caught_up(self)
