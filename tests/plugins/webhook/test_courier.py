"""Delivery: each event at least once, with one id, in order, whatever the receiver and the processes go through."""

import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import pytest
import standardwebhooks
import trustme

from streamclient_plugins.webhook.courier import Courier, Delivery
from streamclient_plugins.webhook.outbox import Letter, Outbox
from streamclient_plugins.webhook.post import Poster
from streamclient_plugins.webhook.rules import SCHEDULE, Answer, Fate
from streamclient_plugins.webhook.signing import Signer
from streamclient_plugins.webhook.target import Target
from tests.plugins.webhook.test_post import OLD
from tests.support import receiver as answers
from tests.support.ports import reserved_port
from tests.support.receiver import Answerer, Receiver, receiving, server_context, status
from tests.support.senders import ENDPOINT, LEASE, letter

START = 1_800_000_000.0
Read = Callable[[answers.Post], tuple[str, int]]
"""Finds stream and number of the event in a post."""

HOUR = 3600.0
DAY = 24 * HOUR
KILLS = 5
"""Of the suite; with 50 it takes a quarter of a minute."""


class Days:
    """A sender whose time the test makes; the HTTP is real."""

    def __init__(self, path: Path, target: Target) -> None:
        self.now = START
        self.attempts: dict[str, list[float]] = {}
        self.outbox = Outbox(path)
        self._poster = Poster(target)
        self._target = target
        self._delivery = Delivery(self.outbox, target.name, self, 60.0, lambda: self.now)

    def put(self, stream: str, number: int) -> None:
        """An event happens now."""
        id_ = f"{stream}-{number}"
        self.outbox.put(
            Letter(0, id_, self._target.name, stream, "utterance", f'"{id_}"'.encode(), self.now, next_at=self.now),
            1000,
        )

    def pass_time(self, seconds: float = 30 * DAY) -> list[Fate]:
        """Deliver what comes due in that time; what became of each attempt."""
        end = self.now + seconds
        fates = []
        while (due := self.outbox.next_due(self._target.name)) is not None and due <= end:
            self.now = max(self.now, due)
            fate = self._delivery.deliver_one()
            assert fate is not None
            fates.append(fate)
        self.now = end
        return fates

    def post(self, letter: Letter, now: float) -> Answer:
        """Note the time of an attempt."""
        self.attempts.setdefault(letter.id, []).append(now)
        return self._poster.post(letter, now)

    def cut(self) -> None:
        """Never."""

    def close(self) -> None:
        """End."""
        self._poster.close()
        self.outbox.close()


def check_order(
    receiver: Receiver, stream: str, numbers: list[int], read: Callable[[answers.Post], tuple[str, int]]
) -> None:
    """All events of a stream arrived, in order, each with one id and one body."""
    arrived = [read(post)[1] for post in receiver.accepted if read(post)[0] == stream]
    assert list(dict.fromkeys(arrived)) == numbers
    tried = [read(post)[1] for post in receiver.posts if read(post)[0] == stream]
    assert list(dict.fromkeys(tried)) == numbers
    assert len({(read(post), post.id, post.body) for post in receiver.posts if read(post)[0] == stream}) == len(numbers)


class TestDays:
    @pytest.mark.parametrize("seed", range(2))
    def test_a_receiver_that_fails_in_every_way(self, tmp_path: Path, seed: int) -> None:
        """Each event arrives, in order, never before its time, and signed anew at each attempt."""
        chance = random.Random(seed)
        days: Days

        def busy_until_a_date(handler: BaseHTTPRequestHandler) -> bool:
            date = datetime.fromtimestamp(days.now + 90, timezone.utc)
            return status(429, Retry_After=format_datetime(date, usegmt=True))(handler)

        failures: list[Answerer] = [
            status(500), status(503), status(404), status(302, Location="/elsewhere"), status(429, Retry_After="700"),
            busy_until_a_date, answers.reset, answers.silence, answers.half_head, answers.half_body, answers.garbage,
            answers.hang,
        ]  # fmt: skip
        plan = [chance.choice(failures) if chance.random() < 0.5 else status(200) for _ in range(60)]
        with receiving([*failures, *plan]) as receiver:
            days = Days(tmp_path / "outbox", Target(receiver.url, Signer([OLD]), timeout=0.5))
            for number in range(8):
                for stream in ("a", "b", "c"):
                    days.put(stream, number)
                days.pass_time(chance.choice([1.0, 60.0, 2 * HOUR]))
            days.pass_time()
            assert list(days.outbox.letters()) == []
            days.close()

        for stream in ("a", "b", "c"):
            check_order(receiver, stream, list(range(8)), lambda post: (post.event[0], int(post.event[2:])))
        for times in days.attempts.values():
            waits = [later - earlier for earlier, later in pairwise(times)]
            assert all(wait >= least for wait, least in zip(waits, SCHEDULE[1:], strict=False))
        signer = standardwebhooks.Webhook(OLD)
        for post in receiver.posts:
            sent_at = datetime.fromtimestamp(int(post.headers["webhook-timestamp"]), timezone.utc)
            assert signer.sign(post.id, sent_at, post.body.decode()) == post.headers["webhook-signature"]

    def test_a_receiver_that_is_down_for_an_hour(self, tmp_path: Path) -> None:
        """Nothing is lost; it all arrives at the next attempt."""
        with reserved_port() as port:
            with receiving(port=port) as receiver:
                days = Days(tmp_path / "outbox", Target(receiver.url))
            for number in range(5):
                days.put("a", number)
            assert set(days.pass_time(HOUR)) == {Fate.WAITING}

            with receiving(port=port) as receiver:
                assert days.pass_time(2 * HOUR) == [Fate.DELIVERED] * 5
                days.close()

        assert [post.event for post in receiver.accepted] == [f"a-{number}" for number in range(5)]

    def test_a_certificate_that_is_wrong_for_a_while(self, tmp_path: Path) -> None:
        """Nothing is sent to whoever that is; when it is right again it all arrives."""
        ours, theirs = trustme.CA(), trustme.CA()
        with reserved_port() as port:
            with receiving(tls=server_context(theirs), port=port) as impostor, ours.cert_pem.tempfile() as file:
                days = Days(tmp_path / "outbox", Target(impostor.url, ca_file=file))
                days.put("a", 0)
                assert set(days.pass_time(HOUR)) == {Fate.WAITING}
            with receiving(tls=server_context(ours), port=port) as receiver:
                assert days.pass_time(DAY) == [Fate.DELIVERED]
                days.close()

        assert (impostor.posts, [post.event for post in receiver.accepted]) == ([], ["a-0"])

    def test_a_receiver_that_is_gone(self, tmp_path: Path) -> None:
        """After 410 nothing is sent to it; what waits stays, until somebody says retry."""
        with receiving([status(200), status(410)]) as receiver:
            days = Days(tmp_path / "outbox", Target(receiver.url))
            for number in range(3):
                days.put("a", number)
            days.put("b", 0)

            assert days.pass_time() == [Fate.DELIVERED, Fate.STOPPED]
            assert [letter.id for letter in days.outbox.letters()] == ["a-1", "a-2", "b-0"]

            days.outbox.retry([letter.number for letter in days.outbox.letters()], days.now)
            assert days.pass_time() == [Fate.DELIVERED] * 3
            days.close()

    def test_a_letter_that_nobody_wants_dies_after_three_days(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is kept, said in the log with the way back, and the next one gets its turn."""
        with receiving([status(500)] * len(SCHEDULE)) as receiver:
            days = Days(tmp_path / "outbox", Target(receiver.url))
            days.put("a", 0)
            days.put("a", 1)

            fates = days.pass_time()

            assert fates == [Fate.WAITING] * 9 + [Fate.DEAD, Fate.DELIVERED]
            assert 75 * HOUR < days.attempts["a-1"][0] - START < 84 * HOUR
            (dead,) = days.outbox.letters()
            assert (dead.id, dead.is_dead, dead.tries, dead.error) == ("a-0", True, 10, "HTTP 500")
            days.close()

        assert "could not be delivered" in caplog.records[-1].message
        assert f"`streamclient outbox retry {dead.number}` tries again" in caplog.records[-1].message

    def test_a_busy_receiver_is_left_alone(self, tmp_path: Path) -> None:
        """By the letters of all streams."""
        with receiving([status(429, Retry_After="600")]) as receiver:
            days = Days(tmp_path / "outbox", Target(receiver.url))
            days.put("a", 0)
            days.put("b", 0)
            days.pass_time()
            days.close()

        assert sorted(time - START for times in days.attempts.values() for time in times) == [0, 600, 600]


class Nothing:
    """Posts nothing."""

    def post(self, letter: Letter, now: float) -> Answer:
        """Never."""
        raise AssertionError

    def cut(self) -> None:
        """Nothing to cut."""

    def close(self) -> None:
        """Nothing to close."""


class TestOutboxThatFails:
    def test_it_is_not_tried_without_rest(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Once for each event, and else after a while."""
        monkeypatch.setattr("streamclient_plugins.webhook.courier.REST", 60.0)
        said = threading.Semaphore(0)

        class Said(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                said.release()

        handler = Said()
        logging.getLogger("streamclient.webhook").addHandler(handler)
        courier = Courier(tmp_path, "here", Nothing(), "stream-1", 30.0)  # a folder is no outbox
        courier.start()
        assert said.acquire(timeout=30)
        courier.notice()
        assert said.acquire(timeout=30)
        assert not said.acquire(timeout=0.2)
        courier.finish(30)
        logging.getLogger("streamclient.webhook").removeHandler(handler)

        assert all("because the outbox" in message for message in caplog.messages)


def start(*arguments: object) -> "subprocess.Popen[bytes]":
    """A sender in a process of its own."""
    command = [sys.executable, "-m", "tests.support.senders", *map(str, arguments)]
    return subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )


def place(post: answers.Post) -> tuple[str, int]:
    """Stream and number of an event."""
    return post.event["stream"], post.event["number"]


class TestProcesses:
    def test_kill_9_loses_nothing(self, tmp_path: Path) -> None:
        """What was kept arrives, in order and with one id, however often the senders are killed in their work."""
        chance = random.Random()
        kept: dict[str, list[int]] = {}
        with receiving() as receiver:
            for kill in range(KILLS):
                process = start("put", tmp_path / "outbox", receiver.url, f"s{kill}")
                assert process.stdout is not None
                first = process.stdout.readline()
                assert first == b"0\n"
                time.sleep(chance.uniform(0, 0.1))  # a random moment
                process.kill()
                rest, _ = process.communicate()
                assert process.returncode == -signal.SIGKILL, "it ended by itself"
                kept[f"s{kill}"] = [int(line) for line in (first + rest).split(b"\n")[:-1]]
            self.deliver_rest(tmp_path / "outbox", receiver.url)

        for stream, numbers in kept.items():
            arrived = sorted({place(post)[1] for post in receiver.accepted if place(post)[0] == stream})
            # The last one may have been kept without having been said.
            assert arrived in (numbers, [*numbers, len(numbers)])
            check_order(receiver, stream, arrived, place)

    def deliver_rest(self, path: Path, url: str) -> None:
        """Deliver all that is left."""
        with Outbox(path) as outbox, closing(Poster(Target(url))) as poster:
            delivery = Delivery(outbox, ENDPOINT, poster, LEASE)
            end = time.monotonic() + 60
            while outbox.count(ENDPOINT):
                assert time.monotonic() < end
                if delivery.deliver_one() is None:
                    time.sleep(delivery.wait_time())  # until a lease of a dead process ends

    def test_several_senders_keep_the_order(self, tmp_path: Path) -> None:
        """Of every stream, with a receiver that often fails."""
        chance = random.Random(4)
        plan = [chance.choice([status(500), answers.silence, *[status(200)] * 4]) for _ in range(150)]
        with Outbox(tmp_path / "outbox") as outbox:
            for number in range(12):
                for stream in "abcd":
                    outbox.put(letter(stream, number), 1000)
        with receiving(plan) as receiver:
            senders = [start("deliver", tmp_path / "outbox", receiver.url, "-") for _ in range(3)]
            assert [sender.communicate(timeout=100)[0] for sender in senders] == [b""] * 3

        assert [sender.returncode for sender in senders] == [0] * 3
        for stream in "abcd":
            check_order(receiver, stream, list(range(12)), place)
        assert set(Counter(post.id for post in receiver.accepted).values()) == {1}
