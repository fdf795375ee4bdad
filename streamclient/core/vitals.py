"""Signs of life: those we owe the server, those it owes us, and until when."""

from collections.abc import Callable
from math import inf

from streamclient.core.actions import Frame, FrameKind
from streamclient.core.endings import ABNORMAL, NETWORK
from streamclient.core.link import Link
from streamclient.errors import CloseTimeout, ConnectionLost, StreamClientError
from streamclient.policies import Timeouts

__all__ = ["Vitals"]

PATIENCE = 2.0
"""Seconds to wait for finals that make room; to ask for them cuts the audio, perhaps in a word."""


class Vitals:
    """The deadlines of a stream's connections. ``close_asked`` is when `close()` was called, infinite before.

    Args:
        timeouts: how long.
        keep_alive: what tells the service that the stream lives on; ``None`` where pings do.
    """

    def __init__(self, timeouts: Timeouts, keep_alive: str | None) -> None:
        self.keepalives_sent = 0
        self._timeouts = timeouts
        self._keep_alive = keep_alive

    def due(self, link: Link, lag: Callable[[], float], now: float) -> list[Frame]:
        """What is to be sent now.

        Args:
            link: the connection.
            lag: seconds of audio that the server has not answered yet; a ping waits behind them.
            now: the time.
        """
        frames: list[Frame] = []
        if now >= self._until_keep_alive(link):
            assert self._keep_alive is not None
            self.keepalives_sent += 1
            frames.append(Frame(FrameKind.TEXT, self._keep_alive))
        if now >= self._until_ping(link):
            link.last_ping = now
            if link.unanswered_ping == inf:
                link.unanswered_ping, link.lag_at_ping = now, lag()
            frames.append(Frame(FrameKind.PING))
        return frames

    def is_stuck(self, link: Link, now: float) -> bool:
        """Whether both sides wait: a caller for room that only finals make, a service for more audio."""
        return not link.close_stream_sent and now >= self._until_stuck(link)

    def next_deadline(self, link: Link, close_asked: float, *, needs_finals: bool = False) -> float | None:
        """When to look again; ``None`` for never. ``needs_finals`` while a caller waits for room that they make."""
        deadline = min(self._until_close(link, close_asked), self._until_pong(link), link.drain_until)
        if link.drain_until == inf:
            deadline = min(deadline, self._until_ping(link), self._until_keep_alive(link))
            if needs_finals and not link.close_stream_sent:
                deadline = min(deadline, self._until_stuck(link))
        return None if deadline == inf else deadline

    def is_overdue(self, link: Link, close_asked: float, now: float) -> bool:
        """Whether the connection is to be given up; why is in ``link.reason``, unless there was a reason before."""
        reason: StreamClientError | None = None
        gives_up = now >= self._until_close(link, close_asked)
        if now >= self._until_pong(link) or (gives_up and now >= link.unanswered_ping + self._timeouts.pong):
            silence = "Connection lost: the server does not answer pings"
            reason = ConnectionLost(silence, code=ABNORMAL, hint=NETWORK)
        elif gives_up:
            reason = CloseTimeout(f"The server said nothing for {self._timeouts.close:g} s while closing")
        elif now < link.drain_until:
            return False
        link.reason = link.reason or reason
        return True

    def _until_keep_alive(self, link: Link) -> float:
        """After CloseStream no more messages are sent."""
        if self._keep_alive is None or link.close_stream_sent:
            return inf
        return link.last_write + self._timeouts.keepalive

    def _until_ping(self, link: Link) -> float:
        """After CloseStream only a server that has long been silent is asked whether it is there."""
        if link.close_stream_sent:
            return max(link.last_ping, link.last_write, link.last_message) + self._timeouts.ping
        return link.last_ping + self._timeouts.ping

    def _until_pong(self, link: Link) -> float:
        return link.unanswered_ping + self._timeouts.pong + link.lag_at_ping

    def _until_close(self, link: Link, close_asked: float) -> float:
        """While closing, a server that says nothing for too long is given up; what still goes out is progress.

        One that answers no ping either is gone, however much audio a ping had in front of it.
        """
        return max(close_asked, link.last_message, link.last_write) + self._timeouts.close

    def _until_stuck(self, link: Link) -> float:
        """A service that has said nothing for a while has nothing to say; it is asked for finals once."""
        return inf if link.asked_for_finals else link.last_message + PATIENCE
