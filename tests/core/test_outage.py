"""When a lost connection is tried again: pure numbers."""

import pytest

from streamclient.core.outage import STABLE, Outage
from streamclient.policies import ReconnectPolicy


def outage(random: float = 1.0, **policy: float) -> Outage:
    """An outage with a fixed random number, begun at 100 s."""
    begun = Outage(ReconnectPolicy(**policy), lambda: random)  # type: ignore[arg-type]
    begun.begin(100.0)
    return begun


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_delays_grow_to_their_bound_with_full_jitter(random: float, factor: float) -> None:
    """Each delay is anywhere between nothing and a bound that grows from initial_delay to max_delay."""
    lost = outage(random, initial_delay=1.0, max_delay=5.0, multiplier=2.0)
    assert [lost.next_delay(100.0) for _ in range(5)] == [factor * bound for bound in (1.0, 2.0, 4.0, 5.0, 5.0)]


def test_attempts_are_counted() -> None:
    """After max_attempts there is none any more."""
    lost = outage(max_attempts=2)
    assert [lost.next_delay(100.0) is None for _ in range(3)] == [False, False, True]


def test_an_outage_has_a_bound() -> None:
    """No attempt is made after max_outage seconds; the last is made then."""
    lost = outage(initial_delay=1.0, max_delay=1.0, max_outage=10.0)
    assert lost.next_delay(109.0) == 1.0
    assert lost.next_delay(109.75) == 0.25
    assert lost.next_delay(110.0) is None


def test_even_a_short_outage_has_an_attempt() -> None:
    """A delay longer than the outage may last is shortened."""
    assert outage(initial_delay=30.0, max_delay=30.0, max_outage=2.0).next_delay(100.0) == 2.0


def test_the_service_may_ask_for_a_longer_delay() -> None:
    """Retry-After is the least that is waited, within the bound of the outage."""
    assert outage(initial_delay=1.0).next_delay(100.0, at_least=7.0) == 7.0
    assert outage(initial_delay=1.0, max_outage=5.0).next_delay(100.0, at_least=7.0) is None


def test_a_connection_that_says_nothing_new_belongs_to_the_outage() -> None:
    """A connection that breaks soon, without progress, neither resets the delays nor the bound."""
    lost = outage(initial_delay=1.0, max_delay=8.0, max_outage=20.0)
    assert lost.next_delay(100.0) == 1.0
    assert lost.connected(101.0) == 1.0
    lost.begin(102.0)
    assert lost.next_delay(102.0) == 2.0
    lost.connected(118.0)
    lost.begin(119.0)
    assert lost.next_delay(119.0) == 1.0  # not 4.0: the outage began at 100.0
    lost.connected(120.0)
    lost.begin(121.0)
    assert lost.next_delay(121.0) is None


def test_progress_ends_the_outage() -> None:
    """After progress the next outage begins with the first delay and its whole time."""
    lost = outage(initial_delay=1.0, max_outage=20.0)
    lost.next_delay(100.0)
    lost.connected(101.0)
    lost.works()
    lost.begin(500.0)
    assert lost.next_delay(500.0) == 1.0


def test_a_connection_that_stands_for_long_ends_the_outage() -> None:
    """A paused stream hears nothing from the server; the time its connection stood is no outage."""
    lost = outage(initial_delay=1.0, max_outage=5.0)
    lost.next_delay(100.0)
    lost.connected(101.0)
    lost.begin(101.0 + STABLE)
    assert lost.next_delay(101.0 + STABLE) == 1.0


def test_a_connection_that_was_silent_did_not_stand_for_so_long() -> None:
    """One that swallows everything from the start is noticed late, and does not count as one that works."""
    lost = outage(initial_delay=1.0, max_outage=5.0)
    lost.next_delay(100.0)
    lost.connected(101.0)
    lost.begin(101.0 + STABLE, silence=STABLE)
    assert lost.next_delay(101.0 + STABLE) is None


def test_delays_may_grow_as_fast_as_they_like() -> None:
    """After many attempts of a steep policy the delay is the longest one, and no number is too large."""
    outage = Outage(ReconnectPolicy(initial_delay=1.0, multiplier=1e300, max_delay=5.0), lambda: 1.0)
    outage.begin(0.0)

    assert [outage.next_delay(0.0) for _ in range(40)] == [1.0] + [5.0] * 39
