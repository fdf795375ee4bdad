"""When to try again: exponential backoff with full jitter, within the bounds of a `ReconnectPolicy`."""

from collections.abc import Callable

from streamclient.policies import ReconnectPolicy

__all__ = ["Outage"]

STABLE = 10.0
"""Seconds a connection stands until it counts as one that works, even where the server has nothing to say."""


class Outage:
    """The time without a connection that works; one object for the whole stream.

    Args:
        policy: the bounds.
        random: a number from 0 to 1, anew at each call.
    """

    def __init__(self, policy: ReconnectPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._attempts = 0
        self._longest = policy.initial_delay
        self._began: float | None = None
        self._disconnected = 0.0
        self._connected: float | None = None

    def begin(self, now: float, *, silence: float = 0.0) -> None:
        """The connection is lost, after so many seconds of silence; those it may have been dead already.

        One that never worked belongs to the outage before it.
        """
        if self._connected is not None and now - silence - self._connected >= STABLE:
            self.works()
        self._disconnected = now
        if self._began is None:
            self._began = now

    def next_delay(self, now: float, at_least: float | None = None) -> float | None:
        """Seconds until the next attempt, ``None`` when there is to be none."""
        policy = self._policy
        if policy.max_attempts is not None and self._attempts >= policy.max_attempts:
            return None
        longest = min(self._longest, policy.max_delay)
        self._longest = longest * policy.multiplier
        self._attempts += 1
        left = policy.max_outage - (0.0 if self._began is None else now - self._began)
        # The last attempt is at the bound, not wherever the longer and longer delays happen to fall before it.
        delay = max(min(self._random() * longest, left), at_least or 0.0)
        return delay if 0 < left >= delay else None

    def connected(self, now: float) -> float:
        """A connection stands again; seconds since the last one was lost."""
        self._connected = now
        return now - self._disconnected

    def works(self) -> None:
        """The transcript has grown: the outage is over for good.

        Not any message will do: audio that fells the server each time would be sent to it for ever.
        """
        self._attempts = 0
        self._longest = self._policy.initial_delay
        self._began = None
