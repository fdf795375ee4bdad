"""Brings letters from the outbox to their endpoint.

============ ============================================ ===================================
thread        owns alone                                   never does
============ ============================================ ===================================
a hook        its connection to the outbox: puts letters   wait for a receiver, but at close
a courier     its own connection to the outbox, the wire   call a plugin
a look-up     nothing: asks for the receiver's addresses   keep the courier longer than a post
============ ============================================ ===================================

A hook says `Courier.notice` and `Courier.finish`; the one wait at close has a deadline, after which the post that is
under way is cut. Its letter stays in the outbox, as all that could not be delivered.
"""

import logging
import random
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Protocol

from streamclient_plugins.webhook.outbox import Letter, Outbox
from streamclient_plugins.webhook.rules import Answer, Fate, judge

__all__ = ["Courier", "Delivery"]

log = logging.getLogger("streamclient.webhook")

LOOK = 5.0
"""Seconds after which a courier looks for letters that somebody else has left behind, and whether it is wanted."""

LEFT_BEHIND = 10.0
"""Seconds after which a letter is taken for one that its own stream does not deliver."""

MOMENT = 0.05
"""Seconds between looks whether somebody else has finished with a letter."""

REST = 5.0
"""Seconds to wait after the outbox itself has failed."""

FAREWELL = 1.0
"""Seconds for a courier whose post was cut to let go of what it has."""


class Post(Protocol):
    """Posts letters to one endpoint."""

    def post(self, letter: Letter, now: float) -> Answer:
        """Post a letter and wait for what comes of it."""

    def cut(self) -> None:
        """End a post that is under way; any thread may call this."""

    def close(self) -> None:
        """Let go of the connection."""


class Delivery:
    """Delivers what is due, one letter after the other.

    Args:
        outbox: where the letters are.
        endpoint: whose letters these are.
        post: posts them.
        lease: seconds for which a letter belongs to who has taken it; more than a post can last.
        clock: the time, in seconds since 1970.
    """

    def __init__(
        self, outbox: Outbox, endpoint: str, post: Post, lease: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.owner = uuid.uuid4().hex
        self._outbox = outbox
        self._endpoint = endpoint
        self._post = post
        self._lease = lease
        self._clock = clock

    def deliver_one(
        self, stream: str | None = None, grace: float = 0.0, *, is_cut: Callable[[], bool] = lambda: False
    ) -> Fate | None:
        """Try a letter that is due, the oldest of its stream.

        Args:
            stream: only of this stream.
            grace: only one that is so many seconds old.
            is_cut: whether a post that has failed was cut by us, and so does not count.

        Returns:
            What became of it; ``None`` where none was due.
        """
        letter = self._outbox.take(self._endpoint, self.owner, self._clock(), self._lease, stream, grace)
        if letter is None:
            return None
        answer = self._post.post(letter, self._clock())
        if not answer.is_success and is_cut():
            self._outbox.give_back(letter, self.owner)
            return Fate.WAITING
        verdict = judge(answer, letter.tries + 1, self._clock(), random.random())  # noqa: S311 - spreads load only
        self._outbox.settle(letter, self.owner, verdict, str(answer))
        _tell(letter, answer, verdict.fate)
        return verdict.fate

    def wait_time(self, stream: str | None = None, grace: float = 0.0) -> float:
        """Seconds until there may be something to do: of a stream, and with a grace of any."""
        own = self._outbox.next_due(self._endpoint, stream)
        any_ = self._outbox.next_due(self._endpoint, grace=grace)
        due = min((one for one in (own, any_) if one is not None), default=inf)
        return min(max(due - self._clock(), 0.0), LOOK)


def _tell(letter: Letter, answer: Answer, fate: Fate) -> None:
    if fate is Fate.DEAD:
        log.error(
            "Event %s (%s of stream %s) could not be delivered to %s in %d attempts, the last: %s. "
            "`streamclient outbox retry %d` tries again",
            letter.id, letter.event, letter.stream, letter.endpoint, letter.tries + 1, answer, letter.number,
        )  # fmt: skip
    elif fate is Fate.STOPPED:
        log.error(
            "%s has answered 410 Gone: events are kept, and none is sent to it until `streamclient outbox retry --all`",
            letter.endpoint,
        )
    elif fate is Fate.WAITING:
        log.warning(
            "Event %s was not delivered to %s, attempt %d: %s",
            letter.id, letter.endpoint, letter.tries + 1, answer,
        )  # fmt: skip


class Courier:
    """The thread of one stream that delivers: first what the stream has to say, then what others have left behind.

    Args:
        path: of the outbox.
        endpoint: whose letters it delivers.
        post: posts them; it is the courier's from now on.
        stream: id of the stream.
        lease: as in `Delivery`.
    """

    def __init__(self, path: Path, endpoint: str, post: Post, stream: str, lease: float) -> None:
        self._path = path
        self._endpoint = endpoint
        self._post = post
        self._stream = stream
        self._lease = lease
        self._bell = threading.Event()
        self._is_finishing = False
        self._is_cut = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"streamclient-webhook-{stream[:8]}", daemon=True)

    def start(self) -> None:
        """Start the thread. Where the interpreter is exiting already there is none, and letters stay."""
        try:
            self._thread.start()
        except RuntimeError:
            self._ended.set()

    def notice(self) -> None:
        """There is a new letter."""
        self._bell.set()

    def stop(self) -> None:
        """End soon; takes no lock, because the garbage collector may call this anywhere."""
        self._is_finishing = True

    def finish(self, seconds: float) -> None:
        """Deliver what can be delivered of the stream in that time, and end. What is left stays in the outbox."""
        self._is_finishing = True
        self._bell.set()
        if not self._ended.wait(seconds):
            self._is_cut = True
            self._post.cut()
            self._ended.wait(FAREWELL)

    def _run(self) -> None:
        try:
            while not (self._work() or self._is_finishing):
                self._bell.wait(REST)
                self._bell.clear()
        finally:
            self._post.close()
            self._ended.set()

    def _work(self) -> bool:
        """Deliver until the stream has ended; ``False`` where the outbox has failed."""
        try:
            with Outbox(self._path) as outbox:
                self._deliver(outbox, Delivery(outbox, self._endpoint, self._post, self._lease))
        except (sqlite3.Error, OSError, ValueError) as error:
            log.error("Events cannot be delivered now, because the outbox %s fails: %s", self._path, error)
            return False
        return True

    def _deliver(self, outbox: Outbox, delivery: Delivery) -> None:
        if any(one.is_stopped for one in outbox.endpoints() if one.name == self._endpoint):
            log.warning(
                "%s has answered 410 Gone before: events are kept, and sent after `streamclient outbox retry --all`",
                self._endpoint,
            )
        while not self._is_cut:
            self._bell.clear()
            is_finishing = self._is_finishing
            # Asked before: somebody who finishes in between leaves us the next letter.
            is_others = is_finishing and outbox.is_sending(self._endpoint, self._stream, time.time())
            if delivery.deliver_one(self._stream, is_cut=lambda: self._is_cut):
                continue
            if is_finishing:
                if not is_others:
                    return
                self._bell.wait(MOMENT)
            elif not delivery.deliver_one(grace=LEFT_BEHIND, is_cut=lambda: self._is_cut):
                self._bell.wait(delivery.wait_time(self._stream, LEFT_BEHIND))
