"""What becomes of a letter after an attempt to deliver it: decisions with time as an argument, without a clock.

The schedule is that of Standard Webhooks (https://www.standardwebhooks.com).
"""

from datetime import timezone
from email.utils import parsedate_to_datetime
from enum import Enum

from attrs import frozen

__all__ = ["LONGEST_WAIT", "SCHEDULE", "Answer", "Fate", "Verdict", "judge", "read_retry_after"]

MINUTE, HOUR = 60.0, 3600.0

SCHEDULE = (
    0.0,
    5.0,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""Seconds before each attempt, counted from the one before; after the last one a letter is dead."""

LONGEST_PAUSE = 24 * HOUR
"""What a receiver asks for beyond that is not believed."""

SPREAD = 0.1
"""Letters that failed together come back over this part of their delay, not all at once."""

LONGEST_WAIT = 24 * HOUR * (1 + SPREAD)
"""Seconds; nothing has to wait for longer."""

SLOW_DOWN = {429, 502, 503, 504}
"""Answers of a receiver that has too much to do."""

GONE = 410


@frozen
class Answer:
    """What came of one attempt.

    Args:
        status: of the HTTP answer, or ``None`` without a whole one.
        error: why there is none.
        retry_after: seconds for which the receiver asked to be left alone.
    """

    status: int | None = None
    error: str = ""
    retry_after: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the receiver has the letter: 2xx and nothing else. A redirect could carry it to somebody else."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}"


class Fate(Enum):
    """What becomes of a letter."""

    DELIVERED = "delivered"
    WAITING = "waiting"
    DEAD = "dead"
    STOPPED = "stopped"
    """The receiver wants no more letters, so this one stays, and nothing is sent to it any longer."""


@frozen
class Verdict:
    """A letter's fate, and when its receiver may be asked again.

    Args:
        fate: what becomes of it.
        next_at: when its next attempt is due.
        pause_until: until when its receiver is sent nothing at all.
    """

    fate: Fate
    next_at: float = 0.0
    pause_until: float = 0.0


def judge(answer: Answer, tries: int, now: float, spread: float = 0.0) -> Verdict:
    """Decide after an attempt.

    Args:
        answer: what came of it.
        tries: attempts so far, this one included.
        now: when the answer came.
        spread: 0 to 1, by chance: how much later than necessary the next attempt is.
    """
    if answer.is_success:
        return Verdict(Fate.DELIVERED)
    if answer.status == GONE:
        return Verdict(Fate.STOPPED, now)
    pause_until = now + _pause(answer)
    if tries >= len(SCHEDULE):
        return Verdict(Fate.DEAD, pause_until=pause_until)
    delay = SCHEDULE[tries] * (1 + SPREAD * spread)
    return Verdict(Fate.WAITING, max(now + delay, pause_until), pause_until)


def _pause(answer: Answer) -> float:
    if answer.retry_after > 0:
        return min(answer.retry_after, LONGEST_PAUSE)
    return SCHEDULE[1] if answer.status in SLOW_DOWN else 0.0


def read_retry_after(value: str | None, now: float) -> float:
    """The seconds that a ``Retry-After`` asks for, as a number or as a date; 0 where it cannot be understood."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:  # "-0000" says that the zone is not known; HTTP dates are always UTC
        date = date.replace(tzinfo=timezone.utc)
    return max(date.timestamp() - now, 0.0)
