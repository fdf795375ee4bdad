"""Plugins that change results and utterances before anyone sees them: redaction, spelling.

Where a stream has such plugins, every event goes through one thread, which keeps the order. It hands what may be
changed to each of these plugins in turn, in the order of ``plugins=[...]``, and gives each a bounded time to answer in
its own lane. A plugin that raises, hangs or is too slow is passed over: what it should have changed goes on as it was,
or, where the plugin is ``required``, with its words withheld.
"""

from collections.abc import Callable

import attrs

from streamclient.errors import CloseTimeout, InvalidState, PluginOverrun
from streamclient.events import Closed, Event, Failed, Transcript, Utterance
from streamclient.messages import Alternative, Result, Results, TurnInfo
from streamclient.threads.inbox import Inbox
from streamclient.threads.lane import Lane, Request
from streamclient.threads.worker import Bell, Deadline, Worker

__all__ = ["WITHHELD", "Processing", "withheld"]

IN_A_HURRY = 0.1
"""Seconds that a plugin may take at most while more events wait than may."""

WITHHELD = "[withheld]"
"""What stands where words were withheld."""


class Processing:
    """The way of all events of a stream through the plugins that may change them.

    Args:
        limit: events that may wait; with more, plugins are no longer waited for.
        forward: takes the events, in order; called by the processing thread.
    """

    def __init__(self, limit: int, forward: Callable[[Event], None]) -> None:
        self._inbox = Inbox(limit, ends=False)
        self._forward = forward
        self._lanes: list[Lane] = []
        self._answered = Bell()
        self._hurried = False
        self._utterances: dict[int, Utterance] = {}
        self._worker = Worker("streamclient-processing", self._run)

    def add(self, lane: Lane) -> None:
        """One more plugin; before `start`."""
        self._lanes.append(lane)

    @property
    def is_needed(self) -> bool:
        """Whether any plugin may change events."""
        return bool(self._lanes)

    def start(self) -> None:
        """Start the thread, where there is anything to do.

        Raises:
            InvalidState: no thread can be started; the stream cannot begin, and its end goes past the plugins.
        """
        if not self.is_needed:
            return
        try:
            self._worker.start()
        except InvalidState:
            self._lanes.clear()
            raise

    def put(self, event: Event) -> None:
        """Take an event, without ever waiting. Called by one thread at a time, perhaps before `start`."""
        self._inbox.put(event)
        if self._inbox.is_full:
            self._answered.ring()

    def hurry(self) -> None:
        """Wait for no plugin any more."""
        self._hurried = True
        self._answered.ring()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the last event has gone through; whether it has."""
        return self._worker.wait(deadline)

    @property
    def has_ended(self) -> bool:
        """Whether the last event has gone through."""
        return not self._worker.is_running

    @property
    def interims_shed(self) -> int:
        """Interims left out before they went through."""
        return self._inbox.shed

    def transcript(self, transcript: Transcript) -> Transcript:
        """A transcript as the plugins have changed it: with the utterances that have gone through."""
        if not self.is_needed:
            return transcript
        changed = (self._utterances.get(utterance.index) for utterance in transcript.utterances)
        return attrs.evolve(transcript, utterances=tuple(utterance for utterance in changed if utterance))

    def _run(self) -> None:
        while not self._inbox.is_drained:
            event = self._inbox.get(None)
            if event is not None:
                self._forward(self._processed(event))

    def _processed(self, event: Event) -> Event:
        if isinstance(event, Closed):
            return Closed(self.transcript(event.transcript))
        if isinstance(event, Failed) and isinstance(event.error, CloseTimeout) and event.error.transcript:
            event.error.transcript = self.transcript(event.error.transcript)
        if not isinstance(event, Results | TurnInfo | Utterance):
            return event
        for lane in self._lanes:
            if hook := lane.processor_of(event):
                event = self._changed_by(lane, hook, event)
        if isinstance(event, Utterance):
            self._utterances[event.index] = event
        return event

    def _changed_by(self, lane: Lane, hook: str, event: Result | Utterance) -> Result | Utterance:
        request = lane.ask(event, self._answered)
        if request is not None:
            self._wait_for(request, lane.policy.process_timeout)
            if request.answer is not None:
                return request.answer
            if not request.is_done:
                request.is_abandoned = True
                lane.report(hook, _unanswered(lane, hook))
        lane.unprocessed += 1
        return withheld(event) if lane.policy.required else event

    def _wait_for(self, request: Request, seconds: float) -> None:
        patient, hasty = Deadline(seconds), Deadline(min(seconds, IN_A_HURRY))
        while not (request.is_done or self._hurried):
            left = (hasty if self._inbox.is_full else patient).left()
            if left == 0:
                return
            self._answered.wait(left)


def _unanswered(lane: Lane, hook: str) -> PluginOverrun:
    fate = "are withheld" if lane.policy.required else "go on as they were"
    return PluginOverrun(
        f"The plugin {lane.name} has not answered {hook} in time; until it has, words {fate}",
        hint="Make the hook faster, or allow more time with LanePolicy(process_timeout=...).",
    )


def withheld(event: Result | Utterance) -> Result | Utterance:
    """The same event without any of its words."""
    if isinstance(event, Utterance):
        return attrs.evolve(event, text=WITHHELD, words=())
    text = WITHHELD if event.transcript else ""
    if isinstance(event, TurnInfo):
        return attrs.evolve(event, transcript=text, words=(), raw={})
    return attrs.evolve(event, alternatives=(Alternative(text),), entities=(), raw={})
