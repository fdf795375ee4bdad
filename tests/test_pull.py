"""Pulling: events(), and the one-liners transcribe() and stream()."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamclient import (
    BufferPolicy,
    Closed,
    ConnectError,
    ConnectionLost,
    Event,
    Failed,
    ListenOptions,
    Opened,
    PluginOverrun,
    StreamClient,
    Utterance,
    stream,
    transcribe,
)
from streamclient.shortcuts import _Feeder
from streamclient.threads.inbox import Inbox
from tests.support.service import LINEAR16, SOON, Call, final, interim, metadata, obedient, serving
from tests.support.waiting import wait_until

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]


def kinds(events: list[Event]) -> list[str]:
    """The names of the events' classes."""
    return [type(event).__name__ for event in events]


def test_events_tell_the_whole_stream_in_order() -> None:
    """From Opened to Closed, each message before the utterance it completes."""
    said = [interim("hel", 0.0), final("hello", 0.0), final("world", 1.0), metadata(2.0)]
    with serving(obedient(*said)) as service:
        client = StreamClient(RAW, url=service.url)
        client.open()
        client.send(b"audio")
        transcript = client.close()
        events = list(client.events())

    expected = ["Opened", "Results", "Utterance", "Results", "Utterance", "Metadata", "Closed"]
    assert kinds(events) == expected
    assert events[0] == Opened("request-0")
    assert events[-1] == Closed(transcript)
    assert tuple(event for event in events if isinstance(event, Utterance)) == transcript.utterances


def test_events_can_be_pulled_while_audio_is_sent() -> None:
    """A thread that sends and a thread that pulls need nothing else between them."""

    def script(call: Call) -> None:
        for number in range(3):
            call.read()
            call.say(final(f"word{number}", float(number)))
        call.read_until()
        call.end(metadata())

    texts = []
    with serving(script) as service, StreamClient(RAW, url=service.url) as client:
        client.send(bytes(8000))
        for event in client.events():
            if isinstance(event, Utterance):
                texts.append(event.text)
                if len(texts) == 3:
                    break
                client.send(bytes(8000))
        client.close()
        rest = list(client.events())

    assert texts == ["word0", "word1", "word2"]
    assert kinds(rest) == ["Metadata", "Closed"]


def test_events_end_after_a_failure_and_close_raises_it() -> None:
    """Failed and Closed are the last events; the failure itself comes out of close()."""

    def script(call: Call) -> None:
        call.read()
        call.reset()

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=None)
        client.open()
        client.send(b"audio")
        events = list(client.events())
        with pytest.raises(ConnectionLost):
            client.close()

    assert kinds(events) == ["Opened", "Failed", "Closed"]
    assert isinstance(events[1], Failed)


def test_events_that_nobody_takes_do_not_fill_the_memory() -> None:
    """More events than may wait end the pulling with a named error, and hurt nothing else."""
    with serving(obedient(*(final(f"w{n}", float(n)) for n in range(50)), metadata())) as service:
        client = StreamClient(RAW, url=service.url, buffer=BufferPolicy(max_events=20))
        client.open()
        client.send(b"audio")
        transcript = client.close()
        with pytest.raises(PluginOverrun):
            list(client.events())

    assert len(transcript.utterances) == 50


@pytest.mark.parametrize("form", ["path", "str", "bytes", "file", "iterable"])
def test_transcribe_takes_audio_in_every_form(form: str, tmp_path: Path) -> None:
    """A path, the bytes, an open file, or anything that yields bytes."""
    audio = bytes(range(256)) * 200
    path = tmp_path / "audio.raw"
    path.write_bytes(audio)
    source = {
        "path": path,
        "str": str(path),
        "bytes": audio,
        "file": io.BytesIO(audio),
        "iterable": (audio[start : start + 1000] for start in range(0, len(audio), 1000)),
    }[form]
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        transcript = transcribe(source, RAW, url=service.url)  # type: ignore[arg-type]

    assert transcript.text == "hello"
    assert service.call.audio == audio


def test_an_error_in_the_source_comes_out_and_hangs_up() -> None:
    """What reading the audio raises is raised to the caller, and no stream stays open."""

    def broken() -> Iterator[bytes]:
        yield b"audio"
        raise LookupError("the microphone is gone")

    with serving(lambda call: call.read_to_end()) as service:
        with pytest.raises(LookupError):
            transcribe(broken(), RAW, url=service.url)
        with pytest.raises(LookupError):
            list(stream(broken(), RAW, url=service.url))


def test_stream_yields_events_while_the_source_goes_on() -> None:
    """An event is there before the source has given its next chunk."""
    heard = threading.Event()

    def source() -> Iterator[bytes]:
        yield bytes(8000)
        assert heard.wait(SOON)
        yield bytes(8000)

    def script(call: Call) -> None:
        call.read()
        call.say(final("first", 0.0))
        call.read_until()
        call.end(final("second", 1.0), metadata())

    texts = []
    with serving(script) as service:
        for event in stream(source(), RAW, url=service.url):
            if isinstance(event, Utterance):
                texts.append(event.text)
                heard.set()

    assert texts == ["first", "second"]


def test_stream_leaves_out_nothing_for_a_late_taker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also an interim that is superseded before the first event is taken."""
    start = _Feeder.start

    def start_and_wait(feeder: _Feeder) -> None:
        start(feeder)
        wait_until(lambda: feeder._client.stats.messages_received >= 2)

    def script(call: Call) -> None:
        call.read()
        call.say(interim("hel", 0.0), final("hello", 0.0))
        call.read_until()
        call.end(metadata())

    monkeypatch.setattr(_Feeder, "start", start_and_wait)
    with serving(script) as service:
        events = list(stream(bytes(8000), RAW, url=service.url))

    assert kinds(events) == ["Opened", "Results", "Results", "Utterance", "Metadata", "Closed"]


def test_the_source_waits_for_a_slow_taker() -> None:
    """No more audio is read while more than half of the events that may wait are waiting."""
    inbox = Inbox(limit=4)
    for event in (Opened(), Opened(), Opened()):
        inbox.put(event)
    went_on = threading.Event()

    def feed() -> None:
        inbox.wait_until_half_empty()
        went_on.set()

    feeder = threading.Thread(target=feed)
    feeder.start()

    assert not went_on.is_set()
    inbox.get(0)
    assert went_on.wait(SOON)
    feeder.join(SOON)


def test_leaving_the_loop_hangs_up() -> None:
    """A loop that is left early leaves no stream and no thread."""
    with serving(lambda call: call.read_to_end()) as service:
        endless = (bytes(640) for _ in iter(int, 1))
        events = stream(endless, RAW, url=service.url)
        assert isinstance(next(events), Opened)
        events.close()  # type: ignore[attr-defined]


def test_stream_raises_what_keeps_it_from_opening() -> None:
    """A refusal comes out of the first step."""
    with pytest.raises(ConnectError):
        next(stream(b"audio", RAW, url="ws://127.0.0.1:9"))


def test_container_audio_needs_no_options() -> None:
    """Without options the audio is taken to say itself what it is."""
    with serving(obedient(metadata())) as service:
        transcribe(b"RIFF....WAVE", url=service.url)

    assert service.call.path == "/v1/listen?model=nova-3"
