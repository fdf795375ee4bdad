"""What becomes of a letter after an attempt: the schedule of Standard Webhooks, in numbers."""

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient_plugins.webhook.rules import SCHEDULE, Answer, Fate, Verdict, judge, read_retry_after

NOW = 1_800_000_000.0
HOURS = 3600.0
BROKEN = Answer(error="the connection broke")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_success(status: int) -> None:
    """Whichever."""
    assert judge(Answer(status), 1, NOW) == Verdict(Fate.DELIVERED)


@pytest.mark.parametrize("status", [None, 101, 199, 300, 301, 302, 307, 308, 400, 401, 404, 500, 599])
def test_nothing_else_is(status: int | None) -> None:
    """A redirect is a failure too, for it could lead anywhere."""
    assert judge(Answer(status, "x"), 1, NOW) == Verdict(Fate.WAITING, NOW + 5, NOW)


def test_attempts_follow_the_schedule() -> None:
    """At once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h; then the letter is dead."""
    now, delays = NOW, []
    for tries in range(1, 10):
        verdict = judge(BROKEN, tries, now)
        assert verdict.fate is Fate.WAITING
        delays.append(verdict.next_at - now)
        now = verdict.next_at

    assert delays == [5, 300, 1800, 2 * HOURS, 5 * HOURS, 10 * HOURS, 14 * HOURS, 20 * HOURS, 24 * HOURS]
    assert [0.0, *delays] == list(SCHEDULE)
    assert judge(BROKEN, 10, now).fate is Fate.DEAD


@pytest.mark.parametrize("tries", [1, 5, 10])
def test_410_stops_the_endpoint(tries: int) -> None:
    """And keeps the letter, even at the last attempt."""
    assert judge(Answer(410), tries, NOW).fate is Fate.STOPPED


def test_retry_after_holds_back_letter_and_endpoint() -> None:
    """It is the receiver that is busy, not the letter that is wrong."""
    assert judge(Answer(429, retry_after=120), 1, NOW) == Verdict(Fate.WAITING, NOW + 120, NOW + 120)


def test_retry_after_shortens_nothing() -> None:
    """The schedule is the least."""
    assert judge(Answer(503, retry_after=1), 2, NOW) == Verdict(Fate.WAITING, NOW + 300, NOW + 1)


def test_retry_after_of_years_is_not_believed() -> None:
    """A day is the longest."""
    assert judge(Answer(429, retry_after=1e9), 1, NOW).next_at == NOW + 24 * HOURS


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_receiver_is_left_alone_for_a_moment(status: int) -> None:
    """Letters of other streams would only add to it."""
    assert judge(Answer(status), 3, NOW).pause_until == NOW + 5


@given(st.integers(1, 9), st.floats(0, 1))
def test_letters_that_failed_together_come_back_apart(tries: int, spread: float) -> None:
    """Never before their time, and at most a tenth later."""
    delay = judge(BROKEN, tries, NOW, spread).next_at - NOW

    assert SCHEDULE[tries] - 1e-3 <= delay <= SCHEDULE[tries] * 1.1 + 1e-3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), (" 0 ", 0), ("99999999999999", 999999999), (None, 0), ("", 0), ("soon", 0), ("-5", 0), ("1.5", 0),
     ("٣", 0), ("Mon, 99 Foo 2026 00:00:00 GMT", 0), (f"Mon, 01 Jan 2027 00:00:00 +{10**18}", 0),
     (f"Mon, 01 Jan {10**20} 00:00:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_in_seconds(value: str | None, seconds: float) -> None:
    """What cannot be understood asks for nothing."""
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(("offset", "seconds"), [(90, 90), (-90, 0)])
def test_retry_after_as_a_date(offset: int, seconds: float) -> None:
    """A date in the past asks for nothing."""
    date = datetime.fromtimestamp(NOW, timezone.utc) + timedelta(seconds=offset)

    assert read_retry_after(format_datetime(date, usegmt=True), NOW) == seconds
    assert read_retry_after(format_datetime(date), NOW) == seconds
    assert read_retry_after(f"{date:%a, %d %b %Y %H:%M:%S -0000}", NOW) == seconds


@given(st.text())
def test_no_header_breaks_it(value: str) -> None:
    """Whatever a receiver says is a number of seconds that is not negative."""
    assert read_retry_after(value, NOW) >= 0
