"""Plugins that change results and utterances before anyone sees them: in order, and exactly once."""

import contextvars
import threading

import attrs
import pytest

from streamclient import (
    Closed,
    CloseTimeout,
    LanePolicy,
    PluginError,
    Results,
    StreamClient,
    StreamClientError,
    StreamState,
    Timeouts,
    Transcript,
    TurnInfo,
    Utterance,
    hookimpl,
)
from streamclient.threads.session import Session
from tests.support.processors import RAW, SAID, WORDS, Listener, append, processor, run
from tests.support.service import SOON, Call, final, interim, metadata, obedient, serving
from tests.support.waiting import wait_until


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
        call.read()
        call.say(SAID[0])
        call.read_until()
        stop.wait(SOON)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[processor(append("!")), Watcher()])
        client.open()
        client.send(b"audio")
        assert any(isinstance(event, Utterance) for event in client.events())
        with pytest.raises(CloseTimeout):
            client.close(timeout=0.5)
        wait_until(lambda: bool(shown))
        stop.set()

    assert shown == ["word0!"]


def test_whoever_meets_the_error_is_shown_only_what_has_gone_through() -> None:
    """A thread that sends, when another one's close() has failed, gets the same transcript in its error."""
    go_on = threading.Event()

    def slow(utterance: Utterance) -> Utterance:
        assert go_on.wait(SOON)
        return append("!")(utterance)

    def script(call: Call) -> None:
        call.read()
        call.say(SAID[0])
        call.read_to_end()

    def text_of_error() -> str:
        with pytest.raises(CloseTimeout) as caught:
            client.send(b"audio")
        assert caught.value.transcript is not None
        return caught.value.transcript.text

    def close() -> None:
        with pytest.raises(CloseTimeout):
            client.close()

    policy = LanePolicy(process_timeout=SOON)
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[processor(slow, policy)], timeouts=Timeouts(close=1.0))
        client.open()
        client.send(b"audio")
        wait_until(lambda: client.stats.messages_received == 1)
        closing = threading.Thread(target=close)
        closing.start()
        wait_until(lambda: client.state is StreamState.FAILED)
        before = text_of_error()
        go_on.set()
        closing.join(SOON)
    assert not closing.is_alive()
    assert (before, text_of_error()) == ("", "word0!")


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
