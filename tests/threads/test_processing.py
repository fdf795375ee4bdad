"""Plugins that change results and utterances before anyone sees them: in order, exactly once, and harmless."""

import contextvars
import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from streamclient import (
    BufferPolicy,
    Closed,
    CloseTimeout,
    Event,
    LanePolicy,
    ListenOptions,
    Message,
    PluginError,
    PluginOverrun,
    Results,
    StreamClient,
    StreamClientError,
    Timeouts,
    Transcript,
    TurnInfo,
    Utterance,
    hookimpl,
)
from streamclient.events import Audio
from streamclient.messages import Result
from streamclient.threads.dispatch import Dispatcher
from streamclient.threads.lane import Report
from streamclient.threads.processing import WITHHELD, withheld
from streamclient.threads.session import Session
from streamclient.threads.worker import Deadline
from tests.support.service import LINEAR16, SOON, Call, final, interim, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
SAID = [final(f"word{number}", float(number)) for number in range(5)]
WORDS = [f"word{number}" for number in range(5)]


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []
        self.messages: list[Message] = []
        self.failures: list[tuple[str, str, BaseException]] = []
        self.transcripts: list[Transcript] = []

    @hookimpl
    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        self.utterances.append(utterance)

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        self.failures.append((plugin, hook, error))

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        self.transcripts.append(transcript)

    @property
    def texts(self) -> list[str]:
        return [utterance.text for utterance in self.utterances]


def processor(process: Callable[[Utterance], Any], policy: LanePolicy | None = None, name: str = "Processor") -> object:
    """A plugin whose process_utterance does this."""

    class Processor:
        lane_policy = policy

        @hookimpl
        def process_utterance(self, utterance: Utterance) -> Any:
            return process(utterance)

    Processor.__name__ = name
    return Processor()


def take(seconds: float) -> Callable[[Utterance], None]:
    """Be slow."""

    def process(_: Utterance) -> None:
        threading.Event().wait(seconds)

    return process


def append(text: str) -> Callable[[Utterance], Utterance]:
    """A change that can be seen."""
    return lambda utterance: attrs.evolve(utterance, text=utterance.text + text)


def run(*plugins: object, said: list[dict[str, Any]] = SAID, **client_arguments: Any) -> StreamClient:
    """A whole stream with these plugins."""
    with serving(obedient(*said, metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=plugins, **client_arguments)
        with client:
            client.send(b"audio")
    return client


def test_everybody_sees_what_processors_made_of_it() -> None:
    """All plugins wherever they stand, the processor itself, those who pull, and the transcript in all its forms."""

    class Both(Listener):
        @hookimpl
        def process_utterance(self, utterance: Utterance) -> Utterance | None:
            return None if utterance.text == "word3" else attrs.evolve(utterance, text=utterance.text.upper(), words=())

    first, both, last = Listener(), Both(), Listener()
    client = run(first, both, last)
    pulled = [event for event in client.events() if isinstance(event, Utterance)]

    expected = ["WORD0", "WORD1", "WORD2", "word3", "WORD4"]
    for listener in (first, both, last):
        assert listener.texts == expected
        assert listener.transcripts[0].text == " ".join(expected)
    assert [utterance.text for utterance in pulled] == expected
    assert client.transcript == first.transcripts[0]
    assert client.transcript.complete
    assert [word.word for word in client.transcript.words] == ["word3"]


def test_processors_work_in_the_order_of_the_plugins() -> None:
    """Each gets what the one before has made of it."""
    assert (
        run(processor(append("-a")), Listener(), processor(append("-b"))).transcript.utterances[0].text == "word0-a-b"
    )


def test_results_are_processed_too() -> None:
    """Interims and finals, for the general hook as for the special ones; utterances come from the service's own."""

    class Shout:
        @hookimpl
        def process_result(self, result: Results | TurnInfo) -> Results | TurnInfo:
            assert isinstance(result, Results)
            spoken = tuple(attrs.evolve(one, transcript=one.transcript.upper()) for one in result.alternatives)
            return attrs.evolve(result, alternatives=spoken, raw={})

    class Ear(Listener):
        def __init__(self) -> None:
            super().__init__()
            self.heard: list[str] = []

        @hookimpl
        def on_interim(self, result: Results) -> None:
            self.heard.append(result.transcript)

        @hookimpl
        def on_final(self, result: Results) -> None:
            self.heard.append(result.transcript)

    ear = Ear()
    run(ear, Shout(), said=[interim("goo", 0.0), final("good", 0.0)])

    assert ear.heard == ["GOO", "GOOD"]
    assert [message.raw for message in ear.messages if isinstance(message, Results)] == [{}, {}]
    assert ear.texts == ["good"]


def test_the_order_of_events_is_that_of_a_stream_without_processors() -> None:
    """Nothing overtakes, nothing comes twice, nothing is missing."""
    said = [message for number in range(20) for message in (interim("so far", number), final("done", float(number)))]
    plain, processed = Listener(), Listener()

    run(plain, said=said)
    run(processed, processor(append("")), said=said)

    assert processed.messages == plain.messages
    assert processed.utterances == plain.utterances
    assert processed.transcripts == [attrs.evolve(plain.transcripts[0], request_ids=("request-0",))]


def test_a_plugin_is_called_by_one_thread() -> None:
    """Its process hooks run where its other hooks run, so it needs no lock."""
    threads: set[str] = set()

    class Curious:
        @hookimpl
        def process_utterance(self) -> None:
            threads.add(threading.current_thread().name)

        @hookimpl
        def on_utterance(self) -> None:
            threads.add(threading.current_thread().name)

    run(Curious())

    assert threads == {"streamclient-plugin-Curious"}


def test_processors_run_in_the_context_that_opened_the_stream() -> None:
    """As all hooks do."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    token = request.set("mine")
    try:
        client = run(processor(lambda utterance: append(request.get())(utterance)))
    finally:
        request.reset(token)

    assert client.transcript.utterances[0].text == "word0mine"


def test_a_processor_hears_the_audio_before_it_is_asked_of_results() -> None:
    """As every plugin that hears audio does."""
    order: list[str] = []
    opened = threading.Event()

    class Ear:
        client: StreamClient

        @hookimpl
        def on_open(self) -> None:
            opened.set()
            while not self.client.stats.messages_received:
                threading.Event().wait(0.001)
            threading.Event().wait(0.02)  # by now the question waits beside the audio, as a rule

        @hookimpl
        def on_audio(self, audio: bytes) -> None:
            order.append("audio")

        @hookimpl
        def process_utterance(self, utterance: Utterance) -> None:
            order.append(utterance.text)

    def script(call: Call) -> None:
        call.read()
        call.say(SAID[0])
        call.read_until()
        call.end(metadata())

    ear = Ear()
    with serving(script) as service:
        client = ear.client = StreamClient(RAW, url=service.url, plugins=[ear])
        with client:
            assert opened.wait(SOON)
            client.send(b"audio")

    assert order == ["audio", "word0"]


def test_the_place_in_the_stream_cannot_be_changed() -> None:
    """The index stays, whatever the hook says."""
    client = run(processor(lambda utterance: attrs.evolve(utterance, index=7)))

    assert [utterance.index for utterance in client.transcript.utterances] == [0, 1, 2, 3, 4]


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
    release, listener = threading.Event(), Listener()
    policy = LanePolicy(required=required, process_timeout=0.2)
    with serving(obedient(*SAID, metadata())) as service:
        hanging = processor(lambda _: release.wait(SOON) and None, policy)
        client = StreamClient(RAW, url=service.url, plugins=[hanging, listener], timeouts=Timeouts(close=0.2))
        client.open()
        client.send(b"audio")
        started = time.monotonic()
        transcript = client.close()
        took = time.monotonic() - started
        stats = client.stats.plugins[0]
        release.set()
        assert client._stream.dispatcher._lanes[0]._worker.wait(Deadline(SOON))

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
        slow = processor(process, LanePolicy(process_timeout=0.05))
        client = StreamClient(RAW, url=service.url, plugins=[slow, ear])
        with client:
            client.send(b"audio")

    assert entered.is_set()
    assert ear.texts == ["word0", "word1!", "word2!", "word3!", "word4!"]


def test_close_keeps_its_budget_with_a_hanging_processor() -> None:
    """What waits goes through without it, withheld where it is required, and the others are served."""
    release, listener = threading.Event(), Listener()
    with serving(obedient(*SAID, metadata())) as service:
        hanging = processor(lambda _: release.wait(SOON) and None, LanePolicy(required=True, process_timeout=600))
        client = StreamClient(RAW, url=service.url, plugins=[hanging, listener])
        client.open()
        client.send(b"audio")
        started = time.monotonic()
        transcript = client.close(timeout=1.0)
        took = time.monotonic() - started
        release.set()
        assert client._stream.dispatcher._lanes[0]._worker.wait(Deadline(SOON))

    assert took < 3.0
    assert transcript.text == " ".join([WITHHELD] * 5)
    assert listener.texts == [WITHHELD] * 5
    assert len(listener.transcripts) == 1


def test_nothing_is_lost_when_more_waits_than_may() -> None:
    """A processor that does not keep up is passed over before anything is left out."""
    listener = Listener()
    said = [final(f"word{number}", float(number)) for number in range(40)]
    slow = processor(take(0.3), LanePolicy(process_timeout=0.3, max_events=1000))

    listener.lane_policy = LanePolicy(max_events=1000)  # type: ignore[attr-defined]
    client = run(slow, listener, said=said, buffer=BufferPolicy(max_events=5))

    assert listener.texts == [f"word{number}" for number in range(40)]
    assert client.transcript.text == " ".join(listener.texts)
    assert client.stats.plugins[0].unprocessed > 0


def test_words_that_wait_for_a_processor_are_not_known_yet() -> None:
    """The transcript of a running stream shows nothing that has not gone through."""
    entered, release = threading.Event(), threading.Event()

    def process(utterance: Utterance) -> Utterance:
        entered.set()
        assert release.wait(SOON)
        return append("!")(utterance)

    def script(call: Call) -> None:
        call.say(SAID[0])
        call.read_until()
        call.end(metadata())

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[processor(process)])
        with client:
            client.send(b"audio")
            assert entered.wait(SOON)
            assert client.transcript.utterances == ()
            release.set()

    assert client.transcript.text == "word0!"


def test_an_error_holds_only_what_has_gone_through() -> None:
    """A stream that is not ended in time shows its hooks no words from before the processors."""
    shown: list[str] = []
    stop = threading.Event()

    class Watcher:
        @hookimpl
        def on_error(self, error: StreamClientError) -> None:
            assert isinstance(error, CloseTimeout)
            assert error.transcript is not None
            shown.append(error.transcript.text)

    def script(call: Call) -> None:
        call.read_until()
        call.say(SAID[0])
        stop.wait(SOON)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[processor(append("!")), Watcher()])
        client.open()
        client.send(b"audio")
        with pytest.raises(CloseTimeout):
            client.close(timeout=0.5)
        stop.set()

    assert shown == ["word0!"]


def test_a_handler_of_a_signal_is_shown_only_what_has_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where close() only asks, because it has interrupted a call into the stream, too."""
    client = run(processor(append("!")), said=SAID)
    monkeypatch.setattr(Session, "is_interrupted", property(lambda _: True))

    assert client.close() == client.transcript
    assert client.transcript.text == " ".join(f"{word}!" for word in WORDS)


def test_a_processor_may_close_its_stream_and_run_another() -> None:
    """As any hook may: close() only asks, another client works."""
    inner: list[str] = []

    class Nested:
        client: StreamClient

        @hookimpl
        def process_utterance(self, utterance: Utterance) -> None:
            self.client.close()
            with StreamClient(RAW, url=service.url) as other:
                other.send(b"audio")
                inner.append(other.close().text)

    nested = Nested()
    with serving(obedient(SAID[0], metadata())) as service:
        client = nested.client = StreamClient(RAW, url=service.url, plugins=[nested])
        with client:
            client.send(b"audio")

    assert inner == ["word0"]
    assert client.transcript.text == "word0"


def test_a_client_that_was_never_opened_closes() -> None:
    """There is no thread that anything could go through."""
    client = StreamClient(RAW, url="ws://127.0.0.1:1", plugins=[processor(append("!"))])

    assert client.close() == Transcript()
    assert list(client.events()) == [Closed(Transcript())]


def test_a_wrong_policy_is_found_before_anything_is_connected() -> None:
    """Like everything else that is wrong with a plugin."""
    with pytest.raises(PluginError, match="lane_policy must be a LanePolicy, not str"):
        StreamClient(RAW, plugins=[processor(append("!"), "quick")])  # type: ignore[arg-type]


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
        (Results(1.0, 2.0, is_final=True, raw={"a": "secret"}), ""),
        (TurnInfo("Update", 0, 0.0, 1.0, "secret", raw={"a": "secret"}), WITHHELD),
    ],
)
def test_withheld_words_leave_no_trace(event: Event, text: str) -> None:
    """The place and the time stay, the words are gone, also those of the raw message."""
    assert isinstance(event, Utterance | Results | TurnInfo)
    cleaned = withheld(event)

    assert "secret" not in repr(cleaned)
    assert (cleaned.start, cleaned.end) == (event.start, event.end)
    assert (cleaned.text if isinstance(cleaned, Utterance) else cleaned.transcript) == text


def test_a_slow_hook_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the plugin's name and the hook's; its time is in the counters."""
    caplog.set_level(logging.WARNING, "streamclient.plugins")
    client = run(processor(take(0.03), LanePolicy(slow_after=0.02), "Sleepy"))

    (record,) = caplog.records
    assert re.fullmatch(r"The plugin Sleepy is slow: it took \d+\.\d\d s in process_utterance", record.getMessage())
    (stats,) = client.stats.plugins
    (hook,) = stats.hooks
    assert (stats.name, hook.hook, hook.calls) == ("Sleepy", "process_utterance", 5)
    assert 0.03 <= hook.slowest <= hook.seconds


def test_every_call_is_traced_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it and after it, with shortened arguments, what was raised, and the time; and without the key."""
    monkeypatch.setenv("STREAMCLIENT_TRACE_PLUGINS", "1")
    long = final(" ".join(["word"] * 100), 0.0)
    run(Listener(), processor(lambda _: 1 / 0, name="Broken"), said=[long], api_key="secret-key")

    lines = capsys.readouterr().err.splitlines()
    assert all(len(line) < 400 for line in lines)
    assert sum("Listener.on_message(message=Results(" in line for line in lines) == 1
    assert any("Broken.process_utterance(utterance=Utterance(" in line for line in lines)
    assert any("Broken.process_utterance raised ZeroDivisionError after " in line for line in lines)
    assert any("Listener.on_close(transcript=Transcript(" in line for line in lines)
    assert any("Listener.on_close took " in line and line.endswith(" ms") for line in lines)
    assert "secret-key" not in "\n".join(lines)
