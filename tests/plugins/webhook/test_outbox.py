"""The outbox: letters survive, and those of a stream are taken one after the other, whoever takes them."""

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamclient_plugins.webhook.outbox import Letter, Outbox, OutboxFull
from streamclient_plugins.webhook.rules import Fate, Verdict

NOW = 1_800_000_000.0
LEASE = 30.0
DELIVERED = Verdict(Fate.DELIVERED)


def letter(name: str, stream: str = "a", endpoint: str = "here", next_at: float = NOW) -> Letter:
    """A letter that is due now."""
    return Letter(0, name, endpoint, stream, "utterance", b"{}", NOW, next_at=next_at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of an outbox that is not there yet."""
    return tmp_path / "new" / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    """An empty outbox."""
    with Outbox(path) as outbox:
        yield outbox


def put(outbox: Outbox, *letters: Letter) -> None:
    """Put letters."""
    for one in letters:
        outbox.put(one, limit=100)


def take(outbox: Outbox, now: float = NOW, owner: str = "me", stream: str | None = None) -> str | None:
    """The id of the letter that is taken."""
    taken = outbox.take("here", owner, now, LEASE, stream)
    return taken.id if taken else None


def find(outbox: Outbox, name: str) -> Letter:
    """A letter as it is now."""
    return next(one for one in outbox.letters() if one.id == name)


class TestOrder:
    def test_a_letter_waits_for_the_one_before_it(self, outbox: Outbox) -> None:
        """Those of other streams do not."""
        put(outbox, letter("a1"), letter("a2"), letter("b1", "b"))

        assert [take(outbox), take(outbox), take(outbox)] == ["a1", "b1", None]

        outbox.settle(find(outbox, "a1"), "me", DELIVERED)
        assert take(outbox) == "a2"

    def test_it_waits_for_one_that_is_not_due(self, outbox: Outbox) -> None:
        """A failed letter holds back its stream until it arrives or dies."""
        put(outbox, letter("a1", next_at=NOW + 300), letter("a2"))

        assert take(outbox) is None
        assert take(outbox, NOW + 300) == "a1"

    def test_a_dead_letter_holds_back_nobody(self, outbox: Outbox) -> None:
        """The next one gets its attempts."""
        put(outbox, letter("a1"), letter("a2"))
        assert take(outbox) == "a1"

        outbox.settle(find(outbox, "a1"), "me", Verdict(Fate.DEAD), "HTTP 500")

        assert take(outbox) == "a2"
        assert (find(outbox, "a1").is_dead, find(outbox, "a1").error) == (True, "HTTP 500")

    def test_one_stream_can_be_asked_for(self, outbox: Outbox) -> None:
        """What is new comes before what was left behind."""
        put(outbox, letter("a1"), letter("b1", "b"))

        assert take(outbox, stream="b") == "b1"

    def test_a_new_letter_is_left_to_its_own_stream(self, outbox: Outbox) -> None:
        """For as long as was asked."""
        put(outbox, letter("a1"))

        assert outbox.take("here", "me", NOW + 9, LEASE, grace=10.0) is None
        assert (outbox.next_due("here"), outbox.next_due("here", grace=10.0)) == (NOW, NOW + 10)
        assert outbox.take("here", "me", NOW + 10, LEASE, grace=10.0) is not None

    def test_endpoints_are_apart(self, outbox: Outbox) -> None:
        """The same stream may go to two places."""
        put(outbox, letter("a1", endpoint="there"), letter("a2"))

        assert take(outbox) == "a2"


class TestLeases:
    def test_a_taken_letter_is_nobody_elses(self, outbox: Outbox, path: Path) -> None:
        """Until the lease ends: then whoever took it has died."""
        put(outbox, letter("a1"), letter("a2"))
        assert take(outbox) == "a1"

        with Outbox(path) as other:
            assert take(other, NOW + LEASE - 1, "you") is None
            assert take(other, NOW + LEASE, "you") == "a1"

    def test_a_letter_that_is_being_sent_is_known(self, outbox: Outbox) -> None:
        """Of each stream, as long as the lease lasts."""
        put(outbox, letter("a1"), letter("b1", "b"))
        assert take(outbox, stream="a") == "a1"

        assert outbox.is_sending("here", "a", NOW)
        assert not outbox.is_sending("here", "b", NOW)
        assert not outbox.is_sending("here", "a", NOW + LEASE)

    def test_a_failure_of_who_has_lost_the_lease_changes_nothing(self, outbox: Outbox) -> None:
        """The attempts of the new owner count."""
        put(outbox, letter("a1"))
        assert take(outbox) == "a1"
        assert take(outbox, NOW + LEASE, "you") == "a1"

        outbox.settle(find(outbox, "a1"), "me", Verdict(Fate.DEAD))
        outbox.give_back(find(outbox, "a1"), "me")

        assert (find(outbox, "a1").tries, find(outbox, "a1").is_dead) == (0, False)
        assert find(outbox, "a1").leased_until == NOW + 2 * LEASE

    def test_a_delivery_counts_whoever_made_it(self, outbox: Outbox) -> None:
        """It has arrived."""
        put(outbox, letter("a1"))
        assert take(outbox) == "a1"
        assert take(outbox, NOW + LEASE, "you") == "a1"

        outbox.settle(find(outbox, "a1"), "me", DELIVERED)

        assert list(outbox.letters()) == []

    def test_a_letter_can_be_given_back(self, outbox: Outbox) -> None:
        """Without an attempt that counts."""
        put(outbox, letter("a1"))
        assert take(outbox) == "a1"

        outbox.give_back(find(outbox, "a1"), "me")

        assert take(outbox) == "a1"
        assert find(outbox, "a1").tries == 0


class TestClock:
    @pytest.mark.parametrize("before", ["put", "taken", "failed"])
    def test_a_clock_that_was_years_ahead_holds_nothing_back(self, outbox: Outbox, path: Path, before: str) -> None:
        """Once it is right again: letters written, taken or tried by the wrong clock are due, for any stream."""
        ahead = NOW + 1e8
        outbox.put(Letter(0, "a1", "here", "a", "utterance", b"{}", ahead, next_at=ahead), limit=100)
        if before != "put":
            assert take(outbox, ahead, "one that died") == "a1"
        if before == "failed":
            verdict = Verdict(Fate.WAITING, ahead + 300, pause_until=ahead + 300)
            outbox.settle(find(outbox, "a1"), "one that died", verdict)

        taken = outbox.take("here", "me", NOW, LEASE, grace=10.0)

        assert taken is not None
        assert take(outbox) is None


class TestEndpoints:
    def test_a_pause_holds_back_everything(self, outbox: Outbox) -> None:
        """Also what is due."""
        put(outbox, letter("a1"), letter("b1", "b"))
        assert take(outbox) == "a1"

        outbox.settle(find(outbox, "a1"), "me", Verdict(Fate.WAITING, NOW + 5, NOW + 60))

        assert take(outbox, NOW + 59) is None
        assert outbox.next_due("here") == NOW + 60
        assert take(outbox, NOW + 60) == "a1"

    def test_a_stop_lasts_until_somebody_retries(self, outbox: Outbox) -> None:
        """All letters stay."""
        put(outbox, letter("a1"), letter("b1", "b"))
        assert take(outbox) == "a1"

        outbox.settle(find(outbox, "a1"), "me", Verdict(Fate.STOPPED), "HTTP 410")

        assert (take(outbox, NOW + 1e6), outbox.next_due("here"), outbox.count("here")) == (None, None, 2)
        assert [one.is_stopped for one in outbox.endpoints()] == [True]

        outbox.retry([find(outbox, "a1").number], NOW)
        assert take(outbox) == "a1"

    def test_next_due_is_when_a_head_is(self, outbox: Outbox) -> None:
        """Not when a letter is that has to wait for another one."""
        assert outbox.next_due("here") is None

        put(outbox, letter("a1", next_at=NOW + 300), letter("a2"), letter("b1", "b", next_at=NOW + 400))

        assert outbox.next_due("here") == NOW + 300
        assert outbox.next_due("here", "b") == NOW + 400
        assert take(outbox, NOW + 300) == "a1"
        assert outbox.next_due("here", "a") == NOW + 300 + LEASE


class TestLetters:
    def test_retry_gives_a_dead_letter_all_its_attempts(self, outbox: Outbox) -> None:
        """Before those of its stream that came after it."""
        put(outbox, letter("a1"), letter("a2"))
        assert take(outbox) == "a1"
        outbox.settle(find(outbox, "a1"), "me", Verdict(Fate.DEAD))

        outbox.retry([find(outbox, "a1").number], NOW + 9)

        assert (find(outbox, "a1").tries, find(outbox, "a1").next_at) == (0, NOW + 9)
        assert take(outbox, NOW + 9) == "a1"

    def test_drop_throws_away(self, outbox: Outbox) -> None:
        """The next one is free."""
        put(outbox, letter("a1"), letter("a2"))

        outbox.drop([find(outbox, "a1").number])

        assert take(outbox) == "a2"

    def test_the_outbox_is_bounded(self, outbox: Outbox) -> None:
        """What is refused is said; another endpoint has room."""
        outbox.put(letter("a1"), limit=1)

        with pytest.raises(OutboxFull, match="1 events wait for here already, so this utterance is not kept"):
            outbox.put(letter("a2"), limit=1)
        outbox.put(letter("a3", endpoint="there"), limit=1)

        assert [one.id for one in outbox.letters()] == ["a1", "a3"]

    def test_a_letter_is_there_for_every_process_at_once(self, outbox: Outbox, path: Path) -> None:
        """As it was put."""
        put(outbox, letter("a1"))

        with Outbox(path) as other:
            (one,) = other.letters()

        assert one == Letter(1, "a1", "here", "a", "utterance", b"{}", NOW, next_at=NOW)


class TestMany:
    @pytest.mark.parametrize("stream", ["s0", None])
    @pytest.mark.parametrize("streams", [1, 200])
    def test_taking_one_costs_the_same_however_many_wait(
        self, outbox: Outbox, streams: int, stream: str | None
    ) -> None:
        """Of one stream or of many; counted in steps of SQLite, because a receiver that was down finds very many."""
        few = self.steps_to_take(outbox, 2, 1, stream)
        many = self.steps_to_take(outbox, 400, streams, stream)

        assert many < 2 * few

    def steps_to_take(self, outbox: Outbox, letters: int, streams: int, stream: str | None) -> int:
        """Put letters, and count the steps of taking and delivering one."""
        outbox._database.executemany(
            "INSERT INTO letters (id, endpoint, stream, event, body, created, next_at)"
            f" VALUES (?, 'here', ?, 'utterance', '{{}}', {NOW}, {NOW})",
            [(f"{letters}-{number}", f"s{number % streams}") for number in range(letters)],
        )
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        outbox._database.set_progress_handler(step, 1)
        taken = outbox.take("here", "me", NOW, LEASE, stream)
        assert taken is not None
        outbox.settle(taken, "me", DELIVERED)
        outbox.next_due("here", "s0")
        outbox._database.set_progress_handler(None, 1)
        return steps


class TestFile:
    @pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
    def test_it_is_for_its_owner_only(self, outbox: Outbox, path: Path) -> None:
        """With everything SQLite puts beside it."""
        put(outbox, letter("a1"))

        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    @pytest.mark.parametrize("version", [0, 1])
    def test_another_database_is_left_alone(self, tmp_path: Path, version: int) -> None:
        """Nothing is added to it, however its owner counts its versions."""
        database = sqlite3.connect(tmp_path / "mine.sqlite")
        database.execute("CREATE TABLE precious (thing)")
        database.execute(f"PRAGMA user_version = {version}")
        database.close()
        before = (tmp_path / "mine.sqlite").read_bytes()

        with pytest.raises(ValueError, match="is not an outbox of this version of streamclient"):
            Outbox(tmp_path / "mine.sqlite")

        assert (tmp_path / "mine.sqlite").read_bytes() == before

    def test_no_database_is_refused(self, tmp_path: Path) -> None:
        """Whatever it is."""
        (tmp_path / "letter.txt").write_text("Dear reader, this is more than a hundred bytes " * 9)

        with pytest.raises(ValueError, match="is not an outbox: file is not a database"):
            Outbox(tmp_path / "letter.txt")
        with pytest.raises(OSError, match="cannot be opened"):
            Outbox(tmp_path)

    def test_processes_that_make_it_at_once_share_it(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No letter goes to a file that another process has replaced."""
        monkeypatch.syspath_prepend(Path(__file__).parents[3])  # a new process imports this module by its name
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(4)
        processes = [context.Process(target=_put_one, args=(path, barrier, number)) for number in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)

        assert [process.exitcode for process in processes] == [0] * 4
        with Outbox(path) as outbox:
            assert sorted(one.id for one in outbox.letters()) == ["0", "1", "2", "3"]


def _put_one(path: Path, barrier: Barrier, number: int) -> None:
    barrier.wait(30)
    with Outbox(path) as outbox:
        put(outbox, letter(str(number)))


class Senders(RuleBasedStateMachine):
    """Several senders that take, succeed, fail and die, in any order; what arrives is compared with what was put."""

    owners = st.sampled_from(["me", "you", "they"])
    streams = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.outbox = Outbox(Path(self.folder.name, "outbox.sqlite"))
        self.now = NOW
        self.number = 0
        self.arrived: list[Letter] = []
        self.held: dict[str, tuple[Letter, float]] = {}

    def teardown(self) -> None:
        """In the end everything can be delivered, each letter once by then."""
        self.held.clear()
        self.now += LEASE + 1000
        while taken := self.outbox.take("here", "me", self.now, LEASE):
            self.arrived.append(taken)
            self.outbox.settle(taken, "me", DELIVERED)
        assert {one.number for one in self.arrived} == set(range(1, self.number + 1))
        self.outbox.close()
        self.folder.cleanup()

    @rule(stream=streams)
    def put_one(self, stream: str) -> None:
        """A stream has something to say."""
        self.number += 1
        put(self.outbox, letter(str(self.number), stream, next_at=self.now))

    @rule(owner=owners)
    def take_one(self, owner: str) -> None:
        """A sender asks for work; what it held it has lost."""
        taken = self.outbox.take("here", owner, self.now, LEASE)
        if taken is not None:
            holders = {
                other for other, (one, until) in self.held.items() if one.number == taken.number and until > self.now
            }
            assert not holders - {owner}
            self.held[owner] = taken, self.now + LEASE

    @rule(owner=owners)
    def succeed(self, owner: str) -> None:
        """Within its lease."""
        held, until = self.held.pop(owner, (None, 0.0))
        if held is not None and self.now < until:
            self.arrived.append(held)
            self.outbox.settle(held, owner, DELIVERED)

    @rule(owner=owners, delay=st.sampled_from([5.0, 300.0]))
    def fail(self, owner: str, delay: float) -> None:
        """At any time, also after its lease."""
        held, _ = self.held.pop(owner, (None, 0.0))
        if held is not None:
            self.outbox.settle(held, owner, Verdict(Fate.WAITING, self.now + delay), "broken")

    @rule(seconds=st.sampled_from([1.0, 10.0, 400.0]))
    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds

    @invariant()
    def letters_arrive_in_order(self) -> None:
        """Those of each stream."""
        for stream in ("a", "b"):
            numbers = [one.number for one in self.arrived if one.stream == stream]
            assert numbers == sorted(set(numbers))


TestSenders = Senders.TestCase
TestSenders.settings = settings(max_examples=15, stateful_step_count=30)
