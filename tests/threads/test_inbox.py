"""Events that wait for their taker: bounded, in order, and only superseded interims are ever left out."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.events import Event, Opened
from streamclient.messages import Results, TurnInfo
from streamclient.threads.inbox import Inbox
from streamclient.threads.worker import Bell
from tests.support.events import CLOSED, OPENED, SOON, emptied, filled, finals, interims
from tests.support.messages import final, interim


def test_events_come_out_in_order() -> None:
    """What goes in comes out, once, in order; then nothing."""
    events = [OPENED, *interims(2), *finals(2)]
    inbox = filled(10, *events)
    assert len(inbox) == 5
    assert emptied(inbox) == events
    assert inbox.get(0) is None
    assert not inbox.is_drained


def test_closed_is_the_last_event() -> None:
    """Nothing gets in after Closed, and once it is taken the inbox is drained."""
    inbox = filled(10, OPENED, CLOSED, OPENED)
    assert [inbox.is_drained, emptied(inbox), inbox.is_drained] == [False, [OPENED, CLOSED], True]
    assert inbox.get(SOON) is None


def test_full_inbox_sheds_superseded_interims() -> None:
    """Interims that a newer result makes worthless go, and are counted."""
    (final_one,) = finals(1)
    inbox = filled(3, *interims(3), final_one)
    assert emptied(inbox) == [final_one]
    assert inbox.shed == 3


def test_newest_interim_is_kept_when_older_ones_go() -> None:
    """A slow taker still sees how things stand."""
    oldest, older, newest = interims(3)
    inbox = filled(2, oldest, older, newest)
    assert emptied(inbox) == [newest]
    assert inbox.shed == 2


def test_nothing_is_shed_while_there_is_room() -> None:
    """A taker that keeps up gets every interim."""
    events = [*interims(5), *finals(5)]
    inbox = filled(10, *events)
    assert emptied(inbox) == events
    assert inbox.shed == 0


def test_interims_of_another_channel_are_not_superseded() -> None:
    """Each channel's newest interim counts on its own."""
    (left,) = interims(1, 0)
    (right,) = interims(1, 1)
    newer = final("left", 0.0, 2.0, channel=0, channels=2)
    inbox = filled(2, left, right, newer)
    assert emptied(inbox) == [right, newer]
    assert inbox.shed == 1


def test_updates_of_a_turn_are_shed_like_interims() -> None:
    """Only the start and the end of a turn must not be shed."""
    turns = [TurnInfo(event, 0, 0.0, 1.0) for event in ("StartOfTurn", "Update", "Update", "EndOfTurn")]
    inbox = filled(2, *turns)
    assert emptied(inbox) == [turns[0], turns[3]]
    assert inbox.shed == 2


def test_interim_goes_before_the_taker_is_given_up() -> None:
    """In an inbox full of finals and one interim that nothing supersedes, it is the interim that goes."""
    (right,) = interims(1, 1)
    first, second = finals(2)
    inbox = filled(2, first, right, second)
    assert emptied(inbox) == [first, second]
    assert (inbox.shed, inbox.overrun) == (1, False)


def test_interim_that_finds_no_room_is_shed() -> None:
    """An interim never pushes out what must not be shed."""
    first, second = finals(2)
    inbox = filled(2, first, second)
    assert inbox.put(interims(1)[0])
    assert emptied(inbox) == [first, second]
    assert (inbox.shed, inbox.overrun) == (1, False)


def test_a_burst_does_not_end_a_taker_that_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fills an inbox faster than its taker is let run gives it a turn, and nothing is lost."""
    monkeypatch.setattr("streamclient.threads.inbox.TURN", SOON)
    inbox, taken = Inbox(2), []

    def take() -> None:
        while event := inbox.get(SOON):
            taken.append(event)

    taker = threading.Thread(target=take)
    taker.start()
    events = [*finals(50), CLOSED]
    for event in events:
        inbox.give_turn(event)
        inbox.put(event)
    taker.join(SOON)
    assert (taken, inbox.overrun) == (events, False)


def test_a_taker_that_hangs_has_its_turn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs its turn in all, not for every event; one that has caught up may be given another."""
    monkeypatch.setattr("streamclient.threads.inbox.TURN", 0.01)
    waits: list[float] = []
    monkeypatch.setattr(Bell, "wait", lambda _, seconds: waits.append(seconds))
    inbox = filled(1, *finals(1))
    inbox.give_turn(OPENED)
    used = len(waits)
    inbox.give_turn(OPENED)
    assert (used > 0, len(waits)) == (True, used)
    assert emptied(inbox) == finals(1)
    inbox.put(OPENED)
    inbox.give_turn(CLOSED)
    assert len(waits) > used


def test_nobody_waits_where_there_is_room_or_something_to_shed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is only given before what would end the taker."""
    monkeypatch.setattr(Bell, "wait", lambda *_: pytest.fail("waited"))
    newest = interims(2)[1]
    for inbox, event in [
        (filled(2, OPENED), OPENED),
        (filled(1, OPENED), newest),
        (filled(1, newest), OPENED),
        (filled(1, CLOSED), OPENED),
    ]:
        inbox.give_turn(event)


def test_overrun_is_said_once() -> None:
    """When there is no room for what must not be shed, the inbox ends; memory is bounded."""
    inbox = filled(2, *finals(2))
    assert [inbox.put(OPENED), inbox.overrun] == [False, True]
    assert inbox.is_drained
    assert inbox.put(OPENED)
    assert inbox.put(CLOSED)
    assert len(inbox) == 0


def test_closed_always_fits() -> None:
    """The last event is never what stops a plugin, and sheds nothing."""
    events = [*finals(1), *interims(1)]
    inbox = filled(2, *events, CLOSED)
    assert emptied(inbox) == [*events, CLOSED]
    assert (inbox.shed, inbox.overrun) == (0, False)


def test_interim_that_nobody_asked_for_makes_way() -> None:
    """Before anyone takes, a superseded interim at the end is forgotten, and nothing else."""
    first, second = interims(2)
    (other,) = interims(1, 1)
    inbox = filled(9, first)
    inbox.drop_trailing_interim(second)
    assert emptied(inbox) == []
    for kept, event in ((first, OPENED), (first, other), (OPENED, first), (finals(1)[0], first)):
        inbox = filled(9, kept)
        inbox.drop_trailing_interim(event)
        assert emptied(inbox) == [kept]
    Inbox(1).drop_trailing_interim(OPENED)


def test_waiting_taker_is_woken() -> None:
    """A thread that waits for an event gets it when it comes."""
    inbox = Inbox(10)
    taken: list[Event | None] = []
    thread = threading.Thread(target=lambda: taken.append(inbox.get(None)))
    thread.start()
    inbox.put(OPENED)
    thread.join(SOON)
    assert taken == [OPENED]


def test_cause_of_events_waits_for_their_taker() -> None:
    """Whoever causes events can wait until half of the room is free, and never for an inbox that has ended."""
    inbox = filled(4, *finals(4))
    free = threading.Event()

    def wait() -> None:
        inbox.wait_until_half_empty()
        free.set()

    thread = threading.Thread(target=wait)
    thread.start()
    inbox.get(0)
    assert not free.is_set()
    inbox.get(0)
    assert free.wait(SOON)
    thread.join(SOON)
    filled(1, *finals(1), CLOSED).wait_until_half_empty()


def numbered(number: int, kind: str) -> Event:
    """An event of a kind that says its number."""
    if kind == "opened":
        return Opened(str(number))
    make = final if kind == "final" else interim
    return make(str(number), 0.0, 1.0, channel=int(kind[-1]) if kind[-1].isdigit() else 0, channels=2)


def number_of(event: Event) -> int:
    """The number of a numbered event."""
    assert isinstance(event, Opened | Results)
    return int((event.request_id if isinstance(event, Opened) else event.transcript) or 0)


@given(
    kinds=st.lists(st.sampled_from(["final", "opened", "interim0", "interim1", "interim0", "take"]), max_size=40),
    limit=st.integers(1, 6),
)
def test_inbox_loses_only_interims(kinds: list[str], limit: int) -> None:
    """Whatever comes and however it is taken: bounded, in order, none twice, and only interims are ever left out."""
    inbox = Inbox(limit)
    put: list[Event] = []
    got: list[Event] = []
    for number, kind in enumerate(kinds):
        if kind == "take":
            event = inbox.get(0)
            got += [event] if event else []
            continue
        put.append(numbered(number, kind))
        if not inbox.put(put[-1]):
            assert inbox.overrun
            return
        assert len(inbox) <= limit
    got += emptied(inbox)
    numbers = [number_of(event) for event in got]
    assert numbers == sorted(set(numbers))
    lost = [event for event in put if number_of(event) not in numbers]
    assert all(isinstance(event, Results) and not event.is_final for event in lost)
    assert inbox.shed == len(lost)
