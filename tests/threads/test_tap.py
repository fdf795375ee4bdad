"""Accepted audio on its way to one plugin: all of it, in order, bounded."""

import threading
from collections.abc import Callable

import pytest

from streamclient.errors import SendTimeout
from streamclient.threads import tap as module
from streamclient.threads.tap import MOST_BYTES, Tap, Taps
from streamclient.threads.worker import Deadline

SOON = 60.0
"""Seconds that only elapse when a test is about to fail."""


class FakeTime:
    """A clock that says what a test says."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic


def unused() -> None:
    """What must not be called."""
    raise AssertionError


def tap() -> Tap:
    """A tap whose plugin must not be stopped."""
    return Tap(unused, unused)


def test_what_waits_is_taken_at_once_and_in_order() -> None:
    """Chunks that wait are joined; then nothing waits."""
    one = tap()
    for chunk in (b"a", b"bc", b"d"):
        one.add(chunk)
    assert [one.take(), one.take()] == [b"abcd", b""]
    one.add(b"e")
    assert one.take() == b"e"


def test_there_is_room_until_the_bound() -> None:
    """Nobody waits while less than the bound waits, whatever the size of the next chunk."""
    one = tap()
    one.wait_for_room(Deadline(0))
    one.add(bytes(3 * MOST_BYTES))
    with pytest.raises(SendTimeout, match="not accepted"):
        one.wait_for_room(Deadline(0))
    one.take()
    one.wait_for_room(Deadline(0))


def test_very_small_chunks_are_bounded_too() -> None:
    """A chunk costs more than its bytes."""
    one = tap()
    for _ in range(MOST_BYTES // 49 + 1):
        one.add(b"a")
    with pytest.raises(SendTimeout):
        one.wait_for_room(Deadline(0))


def test_callers_go_on_when_the_plugin_takes() -> None:
    """Taking makes room for all who wait."""
    one = tap()
    one.add(bytes(MOST_BYTES))
    threads = [threading.Thread(target=one.wait_for_room, args=(Deadline(SOON),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    one.take()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()


def test_plugin_that_does_not_get_on_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so long without a return from a hook callers no longer wait, and the lane is told to end."""
    stopped = threading.Event()
    one = Tap(unused, stopped.set)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    one.add(bytes(MOST_BYTES))
    one.wait_for_room(Deadline(SOON))
    assert stopped.is_set()


def test_plugin_that_gets_on_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one call that may not last too long, not all of them together."""
    one = tap()
    one.add(bytes(MOST_BYTES))
    now = 100.0
    monkeypatch.setattr(module, "time", FakeTime(lambda: now))
    one.get_on()
    for _ in range(3):
        now += 4.0
        with pytest.raises(SendTimeout):
            one.wait_for_room(Deadline(0))
        one.get_on()


def test_shut_tap_holds_nothing_and_holds_up_nobody() -> None:
    """After the end of its plugin audio neither waits nor makes wait."""
    one = tap()
    one.add(bytes(MOST_BYTES))
    one.shut()
    one.add(bytes(MOST_BYTES))
    one.wait_for_room(Deadline(0))
    assert one.take() == b""


def test_taps_of_a_stream_all_get_everything() -> None:
    """Each plugin takes in its own time; the slowest decides when there is room."""
    woken: list[str] = []
    first, second = Tap(lambda: woken.append("first"), unused), Tap(lambda: woken.append("second"), unused)
    taps = Taps()
    assert not taps
    taps.append(first)
    taps.append(second)
    assert taps
    taps.add(bytes(MOST_BYTES))
    taps.wake()
    assert woken == ["first", "second"]
    assert len(first.take()) == MOST_BYTES
    with pytest.raises(SendTimeout):
        taps.wait_for_room(Deadline(0))
    assert len(second.take()) == MOST_BYTES
    taps.wait_for_room(Deadline(0))
