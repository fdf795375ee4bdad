"""Events on their way to plugins: each plugin on its own, in order, Closed last."""

import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from streamclient.errors import PluginOverrun
from streamclient.events import Audio, Event, PluginFailed, Utterance
from streamclient.messages import Results
from streamclient.policies import LanePolicy
from streamclient.threads import lane
from streamclient.threads.dispatch import Dispatcher
from streamclient.threads.failures import Failures
from streamclient.threads.lane import Report
from streamclient.threads.worker import Deadline
from tests.support.events import CLOSED, OPENED, SOON, emptied, finals, interims
from tests.support.lanes import Plugin, Stuck
from tests.support.waiting import wait_until


@contextmanager
def running(limit: int = 1000, **plugins: Plugin) -> Iterator[Dispatcher]:
    """A dispatcher with a lane for each plugin; at the end every lane must have ended."""
    dispatcher = Dispatcher(limit)
    for name, plugin in plugins.items():
        plugin.name = name
        dispatcher.add(plugin, None)
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        for plugin in plugins.values():
            if isinstance(plugin, Stuck):
                plugin.released.set()
        dispatcher.publish([CLOSED])
        assert dispatcher.wait(Deadline(SOON), SOON)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes that have caught up do not wait for those that have not."""
    monkeypatch.setattr(lane, "GRACE", 0.01)


def test_every_plugin_gets_every_event_in_order_and_closed_last() -> None:
    """Each lane brings its plugin all it wants of the stream, and so does the inbox of those who pull."""
    events = [OPENED, *interims(3), *finals(50), CLOSED]
    first, second = Plugin(), Plugin()
    with running(first=first, second=second) as dispatcher:
        dispatcher.is_pulled = True
        dispatcher.publish(events)
        assert dispatcher.wait(Deadline(SOON), SOON)
        assert dispatcher.is_drained
        assert first.events == second.events == emptied(dispatcher.pulled) == events


def test_plugin_gets_only_what_it_wants() -> None:
    """Events without a hook for them take no room in a lane."""
    plugin = Plugin()
    with running(1, plugin=plugin) as dispatcher:
        dispatcher.publish([Utterance(number, 0.0, 1.0, "no") for number in range(5)])
        dispatcher.publish([CLOSED])
    assert plugin.events == [CLOSED]
    assert dispatcher.plugin_errors == {}


def test_exception_is_counted_logged_and_shown_to_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that raises costs its plugin and the others nothing, and does not go unnoticed."""
    bug = ValueError("a bug")
    reported = threading.Event()

    def fail(event: Event | Audio, report: Report) -> None:
        if event is OPENED:
            report("on_open", bug)
            reported.set()

    failing, other = Plugin(fail), Plugin()
    with running(failing=failing, other=other) as dispatcher, caplog.at_level(logging.ERROR, "streamclient.plugins"):
        dispatcher.publish([OPENED, *finals(1)])
        assert reported.wait(SOON)
        dispatcher.publish([CLOSED])
    failure = PluginFailed("failing", "on_open", bug)
    assert failing.events == [OPENED, *finals(1), CLOSED]
    assert failure in other.events
    assert other.events[-1] == CLOSED
    assert failure in emptied(dispatcher.pulled)
    assert dispatcher.plugin_errors == {"failing": 1}
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [bug]
    assert "failing" in caplog.text
    assert "on_open" in caplog.text


def test_a_plugin_that_fails_at_every_event_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure has its traceback, then how often it is, and the total; each is counted, shown, and kept."""

    def fail(event: Event | Audio, report: Report) -> None:
        if isinstance(event, Results):
            report("on_final", LookupError() if event.transcript == "word7" else ValueError("a bug"))

    failing, other = Plugin(fail), Plugin()
    with running(failing=failing, other=other) as dispatcher, caplog.at_level(logging.DEBUG, "streamclient.plugins"):
        dispatcher.publish(finals(238))
        assert other.has(2 * 238)
        dispatcher.publish([CLOSED])
        assert dispatcher.wait(Deadline(SOON), SOON)

    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [(record.getMessage(), bool(record.exc_info)) for record in errors] == [
        ("The plugin failing failed in on_final", True),
        ("The plugin failing failed in on_final", True),
        ("The plugin failing has failed in on_final with ValueError 10 times", False),
        ("The plugin failing has failed in on_final with ValueError 100 times", False),
        ("The plugin failing has failed in on_final with ValueError 237 times", False),
    ]
    assert sum(bool(record.exc_info) for record in caplog.records) == 238
    assert sum(isinstance(event, PluginFailed) for event in other.events) == 238
    assert dispatcher.plugin_errors == {"failing": 238}


def test_a_plugin_that_is_always_late_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, then how often it is; that a plugin is stopped or left behind is said each time."""
    failures, late, stopped = Failures(), PluginOverrun("slow is late"), PluginOverrun("slow is stopped")
    with caplog.at_level(logging.INFO, "streamclient.plugins"):
        for _ in range(12):
            failures.add(PluginFailed("slow", "process_result", late))
        for _ in range(2):
            failures.add(PluginFailed("slow", "", stopped))
        failures.sum_up()

    times = "The plugin slow has failed in process_result with PluginOverrun {} times"
    expected = [str(late), times.format(10), str(stopped), str(stopped), times.format(12)]
    assert [record.getMessage() for record in caplog.records] == expected


def test_failure_at_the_last_event_is_seen_before_the_others_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that fails at the very end is shown to the others all the same."""
    monkeypatch.setattr(lane, "GRACE", SOON)
    bug = ValueError("a bug")
    (last,) = finals(1)
    held = threading.Event()

    def fail_late(event: Event | Audio, report: Report) -> None:
        if event == last:
            assert held.wait(SOON)
            report("on_final", bug)

    failing, other = Plugin(fail_late), Plugin()
    with running(failing=failing, other=other) as dispatcher:
        dispatcher.publish([last, CLOSED])
        held.set()
    assert other.events == [last, PluginFailed("failing", "on_final", bug), CLOSED]


def test_failure_to_bear_a_failure_is_not_shown_again() -> None:
    """Two plugins whose on_plugin_error raises do not keep one another busy for ever."""

    def fail(event: Event | Audio, report: Report) -> None:
        if event is OPENED:
            report("on_open", ValueError("a bug"))
        elif isinstance(event, PluginFailed):
            report("on_plugin_error", ValueError("another"))
            shown.release()

    shown = threading.Semaphore(0)
    first, second = Plugin(fail), Plugin(fail)
    with running(first=first, second=second) as dispatcher:
        dispatcher.publish([OPENED])
        assert shown.acquire(timeout=SOON)
        assert shown.acquire(timeout=SOON)
    assert len(first.events) == len(second.events) == 3
    assert dispatcher.plugin_errors == {"first": 2, "second": 2}


@pytest.mark.usefixtures("no_grace")
def test_hanging_plugin_delays_only_itself() -> None:
    """While one plugin does not return, another has had everything, the last event too."""
    stuck = Stuck()
    other = Plugin()
    events = [OPENED, *finals(20), CLOSED]
    with running(stuck=stuck, other=other) as dispatcher:
        dispatcher.publish(events)
        assert other.has(len(events))
        assert other.events == events
        assert len(stuck.events) <= 1
    assert stuck.events == events


def test_slow_plugin_loses_only_superseded_interims() -> None:
    """When a plugin catches up, it has every final in order; what it missed is counted."""
    stuck = Stuck()
    said = finals(4)
    with running(5, stuck=stuck) as dispatcher:
        dispatcher.publish([OPENED])
        assert stuck.entered.wait(SOON)
        for event in said:
            dispatcher.publish([*interims(10), event])
        shed = dispatcher.interims_shed
    assert [event for event in stuck.events if event in said] == said
    assert stuck.events[-1] is CLOSED
    assert shed == 40 - sum(isinstance(event, Results) and not event.is_final for event in stuck.events)


def test_plugin_that_is_hopelessly_behind_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """A lane full of what must not be shed ends with a named error; the others go on."""
    stuck, other = Stuck(), Plugin()
    events, later = [OPENED, *finals(3)], [*interims(1), *finals(2)]
    with running(2, stuck=stuck, other=other) as dispatcher:
        for count, event in enumerate(events, 1):
            dispatcher.publish([event])
            assert other.has(count)
            assert stuck.entered.wait(SOON)
        assert other.has(len(events) + 1)
        assert dispatcher.plugin_errors == {"stuck": 1}
        for count, event in enumerate(later, len(events) + 2):
            dispatcher.publish([event])
            assert other.has(count)
        assert dispatcher.plugin_stats[0].undelivered == 5
    (failure,) = [event for event in other.events if isinstance(event, PluginFailed)]
    assert (failure.plugin, failure.hook) == ("stuck", "")
    assert isinstance(failure.error, PluginOverrun)
    assert failure.error.undelivered == 3
    told = [event for event in other.events if not isinstance(event, PluginFailed)]
    assert told == [*events, *later, CLOSED]
    assert stuck.events == [OPENED]
    assert dispatcher.plugin_stats[0].undelivered == 6
    assert "stuck fell too far behind" in caplog.text


def test_slow_plugin_is_warned_of_before_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """Once, when half of its lane is full, with what keeps it busy; its counters say the same."""
    stuck = Stuck()
    stuck.busy = ("on_final", 2.0)
    with running(10, stuck=stuck) as dispatcher, caplog.at_level(logging.WARNING, "streamclient.plugins"):
        dispatcher.publish([OPENED])
        assert stuck.entered.wait(SOON)
        dispatcher.publish(finals(5))
        assert caplog.records == []
        dispatcher.publish(finals(4))
        (stats,) = dispatcher.plugin_stats
    assert [record.getMessage() for record in caplog.records] == [
        "The plugin stuck is slow: 6 events wait for it (it is in on_final, since 2.0 s)"
    ]
    assert (stats.name, stats.waiting, stats.stopped, stats.busy_in, stats.busy_for) == (
        "stuck", 9, False, "on_final", 2.0
    )  # fmt: skip


def test_a_plugin_may_have_a_bound_of_its_own() -> None:
    """Wider or narrower than that of the stream."""
    stuck, other = Stuck(), Plugin()
    stuck.policy = LanePolicy(max_events=5)
    with running(1, stuck=stuck, other=other) as dispatcher:
        dispatcher.publish([OPENED])
        assert stuck.entered.wait(SOON)
        assert other.has(1)
        for count, event in enumerate(finals(5), 2):
            dispatcher.publish([event])
            assert other.has(count)
        assert dispatcher.plugin_errors == {}
    assert stuck.events == [OPENED, *finals(5), CLOSED]


def test_full_lane_is_not_stopped_by_the_end_of_the_stream() -> None:
    """A plugin with as much waiting as may wait gets all of it, and its last event."""
    stuck = Stuck()
    events = finals(3)
    with running(3, stuck=stuck) as dispatcher:
        dispatcher.publish([OPENED])
        assert stuck.entered.wait(SOON)
        dispatcher.publish([*events, CLOSED])
    assert stuck.events == [OPENED, *events, CLOSED]
    assert dispatcher.plugin_errors == {}


@pytest.mark.usefixtures("no_grace")
def test_plugin_that_does_not_get_on_is_left_behind() -> None:
    """Closing waits for a plugin as long as it gets on; one that is stuck is named, counted, and left."""
    stuck, other = Stuck(), Plugin()
    with running(stuck=stuck, other=other) as dispatcher:
        dispatcher.publish([OPENED, *finals(2)])
        assert stuck.entered.wait(SOON)
        dispatcher.publish([CLOSED])
        assert other.has(4)
        assert other.events[-1] is CLOSED
        wait_until(lambda: dispatcher._lanes[1].has_ended)
        assert not dispatcher.wait(Deadline(SOON), 0.05)
        assert dispatcher.wait(Deadline(SOON), SOON)
        assert dispatcher.plugin_errors == {"stuck": 1}
        assert dispatcher.plugin_stats[0].undelivered == 3


@pytest.mark.usefixtures("no_grace")
def test_plugin_that_was_stopped_is_not_waited_for_once_more() -> None:
    """Who is in one hook for as long as closing waits for one, and gets no events any more, is left at once."""
    stuck = Stuck()
    with running(2, stuck=stuck) as dispatcher:
        dispatcher.publish([OPENED])
        assert stuck.entered.wait(SOON)
        dispatcher.publish([*finals(3), CLOSED])
        stuck.busy = ("on_final", SOON)
        began = time.monotonic()
        assert not dispatcher.wait(Deadline(None), SOON)
        assert time.monotonic() - began < SOON
        assert [stats.stopped for stats in dispatcher.plugin_stats] == [True]
        assert dispatcher.plugin_errors == {"stuck": 2}


@pytest.mark.usefixtures("no_grace")
def test_plugin_that_is_left_by_several_who_close_is_counted_once() -> None:
    """Each of them waits, and the first to give up names the plugin."""
    stuck = Stuck()
    with running(stuck=stuck) as dispatcher:
        dispatcher.publish([OPENED])
        assert stuck.entered.wait(SOON)
        dispatcher.publish([CLOSED])
        with ThreadPoolExecutor(8) as closers:
            list(closers.map(lambda _: dispatcher.wait(Deadline(SOON), 0.05), range(8)))
        assert dispatcher.plugin_errors == {"stuck": 1}


@pytest.mark.usefixtures("no_grace")
def test_the_end_is_not_missed_by_a_plugin_without_a_hook_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what it would have been given counts as not delivered."""
    stuck = Stuck()
    monkeypatch.setattr(stuck, "wants", lambda event: event is not CLOSED)
    with running(stuck=stuck) as dispatcher:
        dispatcher.publish([OPENED, *finals(1)])
        assert stuck.entered.wait(SOON)
        dispatcher.publish([CLOSED])
        assert not dispatcher.wait(Deadline(SOON), 0.05)
        (stats,) = dispatcher.plugin_stats
    assert (stats.waiting, stats.undelivered) == (1, 1)


def test_hooks_see_the_context_of_the_code_that_opened_the_stream() -> None:
    """Context variables set before the lanes were made are seen in them, and changes stay in the lane."""
    request = contextvars.ContextVar("request", default="none")
    seen: list[str] = []

    def look(event: Event | Audio, report: Report) -> None:
        seen.append(request.get())
        request.set("lane")

    token = request.set("mine")
    try:
        with running(plugin=Plugin(look)) as dispatcher:
            request.set("later")
            dispatcher.publish([OPENED, CLOSED])
        assert request.get() == "later"
    finally:
        request.reset(token)
    assert seen == ["mine", "lane"]


def test_lane_knows_its_own_thread() -> None:
    """A hook that asks to close can be told not to wait for itself."""
    answers: list[bool] = []
    dispatchers: list[Dispatcher] = []
    plugin = Plugin(lambda event, report: answers.append(dispatchers[0].is_current))
    with running(plugin=plugin) as dispatcher:
        dispatchers.append(dispatcher)
        dispatcher.publish([OPENED])
        assert not dispatcher.is_current
    assert answers == [True, True]


def test_pulled_events_are_bounded_and_keep_no_superseded_interims() -> None:
    """Nobody has to pull; whoever starts late finds what still counts, and no interim counts as shed."""
    with running(5) as dispatcher:
        dispatcher.publish([OPENED, *interims(100), *finals(1), *interims(50), CLOSED])
        assert emptied(dispatcher.pulled) == [OPENED, *finals(1), interims(50)[-1], CLOSED]
        assert dispatcher.interims_shed == 0
