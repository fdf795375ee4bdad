"""Plugins that change utterances and fail, hang or dawdle: nothing is lost, nothing is shown that must not be."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from streamclient import (
    BufferPolicy,
    Closed,
    Event,
    LanePolicy,
    Opened,
    PluginOverrun,
    PluginStats,
    Results,
    StreamClient,
    Transcript,
    TurnInfo,
    Utterance,
    hookimpl,
)
from streamclient.events import Audio
from streamclient.messages import Entity, Result
from streamclient.threads import dispatch
from streamclient.threads.dispatch import Dispatcher
from streamclient.threads.lane import Lane, Report
from streamclient.threads.processing import WITHHELD, withheld
from streamclient.threads.worker import Bell, Deadline
from tests.support.lanes import Stuck
from tests.support.processors import RAW, SAID, WORDS, Listener, append, processor, run, take
from tests.support.service import SOON, Call, final, metadata, obedient, serving


@pytest.mark.parametrize("fails", [lambda _: 1 / 0, lambda _: "a text", lambda _: (_ for _ in ()).throw(SystemExit)])
@pytest.mark.parametrize("required", [False, True])
def test_a_failing_processor_is_named_and_passed_over(fails: Callable[[Utterance], Any], *, required: bool) -> None:
    """Its utterances go on as they were; of one that is required without their words."""
    listener = Listener()
    client = run(processor(fails, LanePolicy(required=required)), listener, processor(append("!")))

    expected = [f"{WITHHELD}!"] * 5 if required else [f"{word}!" for word in WORDS]
    assert listener.texts == expected
    assert client.transcript.text == " ".join(expected)
    assert [(plugin, hook) for plugin, hook, _ in listener.failures] == [("Processor", "process_utterance")] * 5
    assert client.stats.plugins[0].unprocessed == 5
    assert "word" not in client.transcript.text if required else client.transcript.words


@pytest.mark.parametrize("required", [False, True])
def test_a_hanging_processor_costs_one_wait(*, required: bool) -> None:
    """After its time the utterance goes on without it, and so do those that come while it still hangs."""
    release = threading.Event()
    found: list[PluginStats] = []

    class Ear(Listener):
        @hookimpl
        def on_close(self, transcript: Transcript) -> None:
            super().on_close(transcript)
            found.append(client.stats.plugins[0])
            release.set()

    listener = Ear()
    policy = LanePolicy(required=required, process_timeout=0.2)
    with serving(obedient(*SAID, metadata())) as service:
        hanging = processor(lambda _: release.wait(SOON) and None, policy)
        client = StreamClient(RAW, url=service.url, plugins=[hanging, listener])
        client.open()
        client.send(b"audio")
        started = time.monotonic()
        transcript = client.close()
        took = time.monotonic() - started

    (stats,) = found
    assert took < SOON / 2
    assert listener.texts == ([WITHHELD] * 5 if required else WORDS)
    assert transcript == listener.transcripts[0]
    assert ("word0" in transcript.text) is not required
    assert [(hook, type(error)) for _, hook, error in listener.failures] == [("process_utterance", PluginOverrun)]
    assert (stats.unprocessed, stats.busy_in) == (5, "process_utterance")


def test_a_processor_that_has_hung_is_asked_again_when_it_is_back() -> None:
    """Nothing is given up for good."""
    entered, release, back = threading.Event(), threading.Event(), threading.Event()

    def process(utterance: Utterance) -> Utterance:
        if utterance.index == 0:
            entered.set()
            assert release.wait(SOON)
        return attrs.evolve(utterance, text=f"{utterance.text}!")

    class Ear(Listener):
        @hookimpl
        def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
            release.set()

    def script(call: Call) -> None:
        call.say(SAID[0])
        assert release.wait(SOON)
        while client.stats.plugins[0].busy_in:
            back.wait(0.001)
        call.say(*SAID[1:])
        call.read_until()
        call.end(metadata())

    ear = Ear()
    with serving(script) as service:
        slow = processor(process, LanePolicy(process_timeout=3.0))
        client = StreamClient(RAW, url=service.url, plugins=[slow, ear])
        with client:
            client.send(b"audio")

    assert entered.is_set()
    assert ear.texts == ["word0", "word1!", "word2!", "word3!", "word4!"]


def test_what_a_processor_was_not_asked_in_time_it_is_not_asked_later() -> None:
    """Its answer would have no use: the words have gone on."""
    asked: list[str] = []
    busy, release, back = threading.Event(), threading.Event(), threading.Event()

    class Busy:
        lane_policy = LanePolicy(process_timeout=3.0)

        @hookimpl
        def on_open(self) -> None:
            busy.set()
            assert release.wait(SOON)

        @hookimpl
        def on_message(self) -> None:
            back.set()

        @hookimpl
        def process_utterance(self, utterance: Utterance) -> None:
            asked.append(utterance.text)

    class Ear(Listener):
        @hookimpl
        def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
            release.set()

    def script(call: Call) -> None:
        assert busy.wait(SOON)
        call.say(SAID[0])
        assert back.wait(SOON)
        call.say(*SAID[1:])
        call.read_until()
        call.end(metadata())

    ear = Ear()
    with serving(script) as service, StreamClient(RAW, url=service.url, plugins=[Busy(), ear]) as client:
        client.send(b"audio")

    assert ear.texts == WORDS
    assert asked == WORDS[1:]


def test_a_processor_that_is_stopped_keeps_nobody_waiting() -> None:
    """Neither with the answer it owes, nor with any other."""
    stuck = Stuck()
    lane = Lane(stuck, None, 10, lambda failure: None, lambda lane: None)
    lane.start()
    try:
        lane.offer(Opened())
        assert stuck.entered.wait(SOON)
        answered = Bell()
        request = lane.ask(Utterance(0, 0.0, 1.0, "word"), answered)
        assert request is not None
        lane._stop()
        assert answered.wait(0)
        assert request.answer is None
        assert lane.ask(Utterance(1, 1.0, 2.0, "word"), Bell()) is None
    finally:
        stuck.released.set()
        assert lane.wait(Deadline(SOON), SOON)


def test_close_keeps_its_budget_with_a_hanging_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits goes through without it, withheld where it is required, and the others have time to be served."""
    monkeypatch.setattr(dispatch, "HASTE", 0.01)

    class Slow(Listener):
        @hookimpl
        def on_utterance(self, utterance: Utterance) -> None:
            threading.Event().wait(0.05)
            super().on_utterance(utterance)

        @hookimpl
        def on_close(self, transcript: Transcript) -> None:
            super().on_close(transcript)
            release.set()

    release, listener = threading.Event(), Slow()
    with serving(obedient(*SAID, metadata())) as service:
        hanging = processor(lambda _: release.wait(SOON) and None, LanePolicy(required=True, process_timeout=600))
        client = StreamClient(RAW, url=service.url, plugins=[hanging, listener])
        client.open()
        client.send(b"audio")
        started = time.monotonic()
        transcript = client.close(timeout=8.0)
        took = time.monotonic() - started
        errors = client.stats.plugins[1].errors

    assert took < SOON / 2
    assert errors == 0
    assert transcript.text == " ".join([WITHHELD] * 5)
    assert listener.texts == [WITHHELD] * 5
    assert len(listener.transcripts) == 1


def test_nothing_is_lost_when_more_waits_than_may() -> None:
    """A processor that does not keep up is passed over before anything is left out."""
    listener = Listener()
    said = [final(f"word{number}", float(number)) for number in range(40)]
    slow = processor(take(0.3), LanePolicy(process_timeout=SOON, max_events=1000))

    listener.lane_policy = LanePolicy(max_events=1000)  # type: ignore[attr-defined]
    client = run(slow, listener, said=said, buffer=BufferPolicy(max_events=5))

    assert listener.texts == [f"word{number}" for number in range(40)]
    assert client.transcript.text == " ".join(listener.texts)
    assert client.stats.plugins[0].unprocessed > 0


class Careless:
    """A plugin as a lane sees it, that answers, raises or dawdles as chance has it, and keeps what it is told."""

    hears = False
    hook_stats = ()
    busy = None

    def __init__(self, name: str, seed: int, policy: LanePolicy, *, is_processor: bool) -> None:
        self.name = name
        self.policy = policy
        self.is_processor = is_processor
        self.told: list[Event | Audio] = []
        self._chance = random.Random(seed)

    def wants(self, event: Event) -> bool:
        return isinstance(event, Utterance | Results | Closed)

    def notify(self, stream: object, event: Event | Audio, report: Report) -> None:
        self.told.append(event)

    def processor_of(self, event: Event) -> str | None:
        return "process_utterance" if self.is_processor and isinstance(event, Utterance) else None

    def process(self, stream: object, event: Result | Utterance) -> Result | Utterance:
        assert isinstance(event, Utterance)
        chance = self._chance.random()
        if chance < 0.2:
            raise ValueError("chance")
        if chance < 0.3:
            threading.Event().wait(self.policy.process_timeout * 2)
        return attrs.evolve(event, text=event.text.replace("secret", "#"))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_processors_do_each_event_arrives_once_in_order(seed: int) -> None:
    """With failing and dawdling processors and short queues; what a required one has not seen shows no words."""
    chance = random.Random(seed)
    policies = [LanePolicy(process_timeout=0.002, required=True), LanePolicy(process_timeout=0.002)]
    chance.shuffle(policies)
    processors = [Careless(f"p{n}", seed + n, policy, is_processor=True) for n, policy in enumerate(policies)]
    listener = Careless("listener", seed, LanePolicy(max_events=1000), is_processor=False)
    dispatcher = Dispatcher(chance.choice([3, 50]))
    for plugin in (processors[0], listener, processors[1]):
        dispatcher.add(plugin, None)
    dispatcher.start()
    utterances = [Utterance(number, float(number), number + 1.0, f"secret {number}") for number in range(60)]
    finals = [Results(float(number), 1.0, is_final=True) for number in range(60)]
    for utterance, result in zip(utterances, finals, strict=True):
        dispatcher.publish([result, utterance])
        if chance.random() < 0.3:
            threading.Event().wait(0.001)
    dispatcher.publish([Closed(Transcript(tuple(utterances)))])
    assert dispatcher.wait(Deadline(SOON), SOON)

    *told, closed = listener.told
    assert [event for event in told if isinstance(event, Results)] == finals
    heard = [event for event in told if isinstance(event, Utterance)]
    assert [utterance.index for utterance in heard] == list(range(60))
    assert told[::2] == finals
    assert {utterance.text for utterance in heard} <= {WITHHELD, *(f"# {number}" for number in range(60))}
    assert isinstance(closed, Closed)
    assert closed.transcript.utterances == tuple(heard)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Utterance(3, 1.0, 2.0, "secret", speaker=2), WITHHELD),
        (
            Results(
                1.0, 2.0, is_final=True, entities=(Entity("NAME", "secret", "secret", 1.0, 0, 1),), raw={"a": "secret"}
            ),
            "",
        ),
        (TurnInfo("Update", 0, 0.0, 1.0, "secret", raw={"a": "secret"}), WITHHELD),
    ],
)
def test_withheld_words_leave_no_trace(event: Event, text: str) -> None:
    """The place and the time stay, the words are gone, also those of the raw message."""
    assert isinstance(event, Utterance | Results | TurnInfo)
    cleaned = withheld(event)

    assert "secret" not in repr(cleaned)
    assert (cleaned.start, cleaned.end) == (event.start, event.end)
    if isinstance(cleaned, Utterance):
        assert cleaned.text == text
    else:
        assert (cleaned.transcript, cleaned.raw) == (text, {})
