"""Plugins as a lane sees them."""

import threading
from collections.abc import Callable

from streamclient.events import Audio, Event, Utterance
from streamclient.messages import Result
from streamclient.policies import LanePolicy
from streamclient.threads.lane import Report
from tests.support.events import SOON


class Plugin:
    """A plugin as a lane sees it: records what it is told, and does what a test says."""

    name = ""
    hears = False
    is_processor = False
    hook_stats = ()
    busy: tuple[str, float] | None = None

    def __init__(
        self,
        act: Callable[[Event | Audio, Report], None] = lambda event, report: None,
        policy: LanePolicy = LanePolicy(),  # noqa: B008 - frozen
    ) -> None:
        self.policy = policy
        self.events: list[Event | Audio] = []
        self._act = act
        self._told = threading.Condition()

    def wants(self, event: Event) -> bool:
        return not isinstance(event, Utterance)

    def processor_of(self, event: Event) -> str | None:
        return None

    def process(self, stream: object, event: Result | Utterance) -> Result | Utterance:
        raise NotImplementedError

    def notify(self, stream: object, event: Event | Audio, report: Report) -> None:
        with self._told:
            self.events.append(event)
            self._told.notify_all()
        self._act(event, report)

    def has(self, count: int) -> bool:
        """Wait until the plugin has been told so many events."""
        with self._told:
            return self._told.wait_for(lambda: len(self.events) >= count, SOON)


class Stuck(Plugin):
    """A plugin that does not get on with the first event until it is released."""

    def __init__(self) -> None:
        super().__init__(self._wait)
        self.entered = threading.Event()
        self.released = threading.Event()

    def _wait(self, event: Event | Audio, report: Report) -> None:
        self.entered.set()
        assert self.released.wait(SOON)
