"""Threads of ours, the bell that wakes them, and deadlines."""

import logging
import threading
from math import inf

import pytest

from streamclient.errors import InvalidState
from streamclient.threads.worker import Bell, Deadline, Worker, wait_for

SOON = 60.0
"""Seconds that only elapse when a test is about to fail."""


def test_bell_is_not_lost_before_the_wait() -> None:
    """A ring before the wait ends it at once, and is used up by it."""
    bell = Bell()
    bell.ring()
    assert bell.wait(SOON)
    assert not bell.wait(0)


def test_bell_rung_twice_rings_once() -> None:
    """It says that there is something to do, not how much."""
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0)


@pytest.mark.parametrize("seconds", [0, -1.0, 0.001])
def test_bell_that_is_not_rung_is_waited_for_no_longer(seconds: float) -> None:
    """A wait has its bound, and one in the past is none."""
    assert not Bell().wait(seconds)


@pytest.mark.parametrize("seconds", [None, inf, SOON, 1e12])
def test_bell_wakes_a_thread(seconds: float | None) -> None:
    """A ring ends a wait of any length."""
    bell = Bell()
    woken = threading.Event()

    def wait() -> None:
        if bell.wait(seconds):
            woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    bell.ring()
    assert woken.wait(SOON)
    thread.join(SOON)


def test_deadline_counts_down() -> None:
    """What is left shrinks and is never negative."""
    assert Deadline(0).left() == 0
    assert Deadline(-1).left() == 0
    left = Deadline(100.0).left()
    assert left is not None
    assert 0 < left <= 100.0


def test_deadline_without_a_bound() -> None:
    """``None`` stands for no bound, infinity for one that never comes."""
    assert Deadline(None).left() is None
    assert Deadline(inf).left() == inf


@pytest.mark.parametrize(
    ("seconds", "sooner", "most"), [(None, 5.0, 5.0), (inf, 5.0, 5.0), (100.0, 5.0, 5.0), (1.0, 5.0, 1.0), (0, inf, 0)]
)
def test_sooner_of_two_deadlines(seconds: float | None, sooner: float, most: float) -> None:
    """A step may have its own bound within the whole."""
    left = Deadline(seconds).sooner(sooner).left()
    assert left is not None
    assert left <= most
    assert left > 0 or most == 0


@pytest.mark.parametrize("seconds", [None, inf, 2 * SOON, 0])
def test_event_that_came_is_waited_for(seconds: float | None) -> None:
    """An event that is set counts even when no time is left."""
    event = threading.Event()
    event.set()
    assert wait_for(event, Deadline(seconds))


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_event_that_does_not_come_is_given_up(seconds: float) -> None:
    """A wait ends with its deadline."""
    assert not wait_for(threading.Event(), Deadline(seconds))


def test_worker_runs_once_in_a_daemon_thread_of_its_name() -> None:
    """Its thread is recognisable, and never keeps the interpreter alive."""
    seen: list[threading.Thread] = []
    worker = Worker("streamclient-test", lambda: seen.append(threading.current_thread()))
    worker.start()
    assert worker.wait(Deadline(SOON))
    assert worker.ended.is_set()
    assert [(thread.name, thread.daemon, thread.is_alive()) for thread in seen] == [("streamclient-test", True, False)]


def test_worker_knows_its_own_thread() -> None:
    """A thread of ours can be told not to wait for itself."""
    answers: list[bool] = []
    worker = Worker("streamclient-test", lambda: answers.append(worker.is_current))
    worker.start()
    assert worker.wait(Deadline(SOON))
    assert answers == [True]
    assert not worker.is_current


def test_worker_that_goes_on_is_not_waited_for_beyond_the_deadline() -> None:
    """Waiting is bounded, and can be taken up again."""
    release = threading.Event()
    worker = Worker("streamclient-test", lambda: assert_released(release))
    worker.start()
    assert not worker.wait(Deadline(0))
    assert not worker.ended.is_set()
    release.set()
    assert worker.wait(Deadline(SOON))


def assert_released(release: threading.Event) -> None:
    """Stay until the test says so."""
    assert release.wait(SOON)


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3), KeyboardInterrupt()])
def test_worker_that_fails_is_logged_and_ends(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing a thread raises is lost, and nobody waits for it in vain."""

    def fail() -> None:
        raise error

    worker = Worker("streamclient-test", fail)
    with caplog.at_level(logging.ERROR, "streamclient.worker"):
        worker.start()
        assert worker.wait(Deadline(SOON))
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]
    assert "streamclient-test" in caplog.text


def test_worker_never_started_is_not_waited_for() -> None:
    """There is nothing to wait for."""
    assert Worker("streamclient-test", lambda: None).wait(Deadline(None))


def test_thread_that_cannot_start_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system has no more threads the caller hears of it, and nobody waits for the one that is not there."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    worker = Worker("streamclient-test", lambda: None)
    with pytest.raises(InvalidState, match="can't start new thread"):
        worker.start()
    assert worker.wait(Deadline(None))
    assert worker.ended.is_set()
