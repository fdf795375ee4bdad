"""Guarantee 2: a broken connection loses nothing. Over real sockets, with a service that breaks on purpose."""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from streamclient import (
    AudioRejected,
    AuthenticationError,
    BufferPolicy,
    ConnectionLost,
    ListenOptions,
    ReconnectPolicy,
    Results,
    Span,
    StreamClient,
    StreamState,
    Timeouts,
    Transcript,
    Utterance,
    hookimpl,
)
from streamclient.testing.builders import SHA256_OF_NOTHING
from tests.support.containers import LOSSLESS, ContainerRecogniser, encode
from tests.support.positions import BLOCK, RATE, Recogniser, assert_spoken, audio, spoken
from tests.support.service import (
    CLOSE_STREAM,
    LINEAR16,
    SOON,
    Call,
    Service,
    final,
    interim,
    metadata,
    obedient,
    serving,
)

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
SECOND = bytes(32000)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
SLOW = ReconnectPolicy(initial_delay=60.0, max_delay=60.0)
FAREWELLS = [
    (1011, "NET-0001"),
    (1011, "Deepgram did not receive audio data or a text message. See https://dpgr.am/net0001"),
    (1001, ""),
    (1011, ""),
]


class Recorder:
    """Keeps what its hooks are told."""

    def __init__(self) -> None:
        self.finals: list[Results] = []
        self.utterances: list[Utterance] = []
        self.outages: list[str] = []
        self.errors: list[Exception] = []
        self.closed: list[Transcript] = []
        self.disconnected = threading.Event()
        self.reconnected = threading.Event()

    @hookimpl
    def on_final(self, result: Results) -> None:
        self.finals.append(result)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        self.utterances.append(utterance)

    @hookimpl
    def on_disconnect(self, error: Exception, retry_in: float) -> None:
        assert isinstance(error, ConnectionLost)
        assert retry_in >= 0
        self.outages.append("lost")
        self.disconnected.set()

    @hookimpl
    def on_reconnect(self, outage: float) -> None:
        assert outage >= 0
        self.outages.append("back")
        self.reconnected.set()

    @hookimpl
    def on_error(self, error: Exception) -> None:
        self.errors.append(error)

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        self.closed.append(transcript)


class Unreliable:
    """A service that hears where audio is from, and breaks as a seed decides, until it has broken often enough."""

    def __init__(self, seed: int, channels: int, kind: str | None) -> None:
        self.random = Random(seed)
        self.channels = channels
        self.kind = kind
        self.breaks = self.random.randint(1, 4)
        self.refusals = 0
        self.frames: list[list[bytes | str]] = []

    def refuse(self, _request: object) -> tuple[int, dict[str, str], bytes] | None:
        """Now and then the handshake of a later connection."""
        if not self.frames or self.refusals >= 2 or self.random.random() < 0.7:
            return None
        self.refusals += 1
        return self.random.choice([(503, {}, b""), (429, {"Retry-After": "0"}, b"")])

    def __call__(self, call: Call) -> None:
        self.frames.append(call.frames)
        recogniser = self.recogniser()
        try:
            self.hear(call, recogniser)
        finally:
            recogniser.close()

    def recogniser(self) -> Recogniser:
        """What hears a new connection."""
        if self.kind is not None:
            return ContainerRecogniser(self.random, self.kind)
        return Recogniser(self.random, self.channels)

    def hear(self, call: Call, recogniser: Recogniser) -> None:
        """Hear the connection until it ends or breaks."""
        patience = self.random.randint(0, 8) if self.breaks > 0 else 1_000_000
        self.breaks -= 1
        while (frame := call.read()) != CLOSE_STREAM:
            if isinstance(frame, bytes):
                recogniser.hear(frame)
            call.say(*self.random.choice([recogniser.finals, recogniser.interims, list])())
            if not patience:
                return self.leave(call)
            patience -= 1
        if patience > 1000:
            return call.end(*recogniser.finish())
        call.say(*self.random.choice([recogniser.finals, recogniser.interims, list])())
        return self.leave(call)

    def leave(self, call: Call) -> None:
        """Break. Not with 1000: where it crosses a CloseStream it would be a promise that all was said."""
        kind = self.random.choice(["reset", "fin", "close", "close"])
        if kind == "reset":
            return call.reset()
        if kind == "fin":
            return call.ws.socket.shutdown(socket.SHUT_RDWR)
        code, reason = self.random.choice(FAREWELLS)
        return call.end(code=code, reason=reason)


def contained(blocks: int, kind: str) -> bytes:
    """Audio that encodes its position, in a container."""
    return encode(np.frombuffer(audio(blocks), np.int16), RATE, kind)


def play(seed: int, channels: int, kind: str | None = None) -> None:
    """One schedule of faults."""
    blocks = 30 if kind is None else 60
    more: dict[str, Any] = {"channels": 2, "multichannel": True} if channels == 2 else {}
    raw = ListenOptions(encoding="linear16", sample_rate=RATE, **more)
    options, rest = (raw, audio(blocks, channels)) if kind is None else (ListenOptions(), contained(blocks, kind))
    unreliable, recorder, random = Unreliable(seed, channels, kind), Recorder(), Random(seed)
    with serving(unreliable) as service:
        service.refusal = unreliable.refuse
        client = StreamClient(options, url=service.url, plugins=[recorder], reconnect=QUICK)
        client.open()
        while rest:
            size = random.randint(1, 2000)
            client.send(rest[:size])
            rest = rest[size:]
        transcript = client.close(timeout=SOON)
    assert transcript.complete
    assert not transcript.gaps
    assert not recorder.errors
    assert recorder.closed == [transcript]
    assert recorder.outages == ["lost", "back"] * client.stats.reconnects
    assert tuple(recorder.utterances) == transcript.utterances
    for channel in range(channels):
        expected = spoken(blocks, channel)
        assert_spoken([w for result in recorder.finals if result.channel == channel for w in result.words], expected)
        pieces = [utterance for utterance in transcript.utterances if utterance.channel == channel]
        assert_spoken([w for utterance in pieces for w in utterance.words], expected)
    for frames in unreliable.frames:
        assert CLOSE_STREAM not in frames[:-1]


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_two_hundred_schedules_of_faults_lose_and_double_nothing(start: int) -> None:
    """Resets, closes and refusals at any moment: each word is final once, in order, within 2 ms of its place."""
    for seed in range(start, start + 20):
        try:
            play(seed, channels=1 + seed % 2)
        except BaseException as error:
            raise AssertionError(f"schedule {seed}") from error


@pytest.mark.parametrize("kind", LOSSLESS)
def test_schedules_of_faults_lose_and_double_nothing_in_containers(kind: str) -> None:
    """The same with audio in a container, whose header is sent again."""
    for seed in range(6):
        try:
            play(seed, channels=1, kind=kind)
        except BaseException as error:
            raise AssertionError(f"schedule {seed}") from error


def breaking(*scripts: Callable[[Call], None]) -> Callable[[Call], None]:
    """A service that follows one script on each connection, the last one on all further ones."""
    remaining = list(scripts)

    def script(call: Call) -> None:
        (remaining.pop(0) if len(remaining) > 1 else remaining[0])(call)

    return script


def drop(call: Call) -> None:
    """Break at once."""
    call.reset()


def drop_after_audio(call: Call) -> None:
    """Break at the first frame."""
    call.read()
    call.reset()


def finish(call: Call) -> None:
    """Hear everything, say that it was two words a second, close."""
    call.read_until()
    seconds = len(call.audio) / 32000
    call.end(final("word", 0.0, seconds), metadata(seconds))


def refuse_later(service: Service, status: int, headers: dict[str, str] | None = None, times: int = 1_000_000) -> None:
    """Refuse connections after the first."""
    left = [times]

    def refusal(_request: object) -> tuple[int, dict[str, str], bytes] | None:
        if not service.calls or not left[0]:
            return None
        left[0] -= 1
        return status, headers or {}, b""

    service.refusal = refusal


def test_a_fatal_refusal_ends_the_outage_and_keeps_what_came() -> None:
    """A 401 on reconnecting is not tried again: ConnectionLost names the span, its cause is the refusal."""

    def script(call: Call) -> None:
        call.read()
        call.say(final("hello there", 0.0, 0.25))
        call.read()
        call.reset()

    recorder = Recorder()
    with serving(script) as service:
        refuse_later(service, 401)
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, plugins=[recorder])
        client.open()
        client.send(SECOND)
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close(timeout=SOON)
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert caught.value.unconfirmed == Span(0.25, 2.0)
    assert not caught.value.retryable
    assert client.transcript.gaps == (Span(0.25, 2.0),)
    assert client.transcript.text == "hello there"
    assert not client.transcript.complete
    assert client.state is StreamState.FAILED
    assert recorder.outages == ["lost"]
    assert len(recorder.errors) == len(recorder.closed) == 1


def test_attempts_are_bounded() -> None:
    """With max_attempts=3 a service that is gone is asked three times more."""
    asked = []
    with serving(drop_after_audio) as service:
        refuse_later(service, 503)
        refuse = service.refusal

        def count(request: Any) -> Any:
            asked.append(request.path)
            return refuse(request)

        service.refusal = count
        policy = ReconnectPolicy(initial_delay=0.0, max_attempts=3)
        client = StreamClient(RAW, url=service.url, reconnect=policy)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
    assert len(asked) == 4


def test_a_connection_that_never_works_counts_as_an_attempt() -> None:
    """A service that accepts and breaks without a word is not asked for ever."""
    with serving(drop_after_audio) as service:
        policy = ReconnectPolicy(initial_delay=0.0, max_attempts=3)
        client = StreamClient(RAW, url=service.url, reconnect=policy)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
        assert len(service.calls) == 4


def test_the_time_of_an_outage_is_bounded() -> None:
    """An outage longer than max_outage ends the stream."""
    with serving(drop_after_audio) as service:
        refuse_later(service, 503)
        policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.01, max_outage=0.1)
        client = StreamClient(RAW, url=service.url, reconnect=policy)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close(timeout=SOON)
    assert caught.value.unconfirmed == Span(0.0, 1.0)


def test_retry_after_is_honoured() -> None:
    """A service that asks for a second of peace gets it, even from a client that is closing."""
    with serving(breaking(drop_after_audio, finish)) as service:
        refuse_later(service, 429, {"Retry-After": "1"}, times=1)
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        began = time.monotonic()
        assert client.close(timeout=SOON).complete
        assert time.monotonic() - began >= 1.0


def test_closing_wakes_a_client_that_waits_to_try_again() -> None:
    """close() during the wait of an outage tries at once; nothing that was accepted in the outage is missing."""
    recorder = Recorder()
    with serving(breaking(drop, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=SLOW, plugins=[recorder])
        client.open()
        assert recorder.disconnected.wait(SOON)
        assert client.state is StreamState.RECONNECTING
        client.send(SECOND)
        transcript = client.close(timeout=SOON)
        assert len(service.calls[-1].audio) == len(SECOND)
    assert transcript.complete
    assert transcript.text == "word"


def test_aborting_wakes_a_client_that_waits_to_try_again() -> None:
    """abort() during the wait of an outage ends the stream at once."""
    recorder = Recorder()
    with serving(drop) as service:
        client = StreamClient(RAW, url=service.url, reconnect=SLOW, plugins=[recorder])
        client.open()
        assert recorder.disconnected.wait(SOON)
        began = time.monotonic()
        client.abort()
        assert time.monotonic() - began < 1.5
        assert len(service.calls) == 1
    assert client.state is StreamState.CLOSED


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
def test_an_end_that_nobody_asked_for_is_an_outage(code: int) -> None:
    """A close frame before CloseStream, even a normal one, leads to another connection and the whole transcript."""
    recorder = Recorder()
    with serving(breaking(lambda call: call.end(code=code), finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, plugins=[recorder])
        client.open()
        client.send(SECOND)
        assert recorder.reconnected.wait(SOON)
        transcript = client.close(timeout=SOON)
        assert service.calls[-1].audio == SECOND
    assert transcript.complete
    assert transcript.text == "word"
    assert recorder.outages == ["lost", "back"]


def test_the_plugins_log_and_jsonl_show_outages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each tells when the connection was lost and why, and when it was there again, between what was said."""
    caplog.set_level("INFO")
    path = tmp_path / "call.jsonl"

    def heard_and_broken(call: Call) -> None:
        call.read()
        call.say(final("before", 0.0, 0.25))
        call.end(code=1011, reason="NET-0001")

    with serving(breaking(heard_and_broken, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, plugins=["log", f"jsonl:path={path}"])
        client.open()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete

    events = [json.loads(line) for line in path.read_text().splitlines()]
    told = ("open", "final", "disconnect", "reconnect", "close")
    assert [event["event"] for event in events if event["event"] in told] == [
        "open", "final", "disconnect", "reconnect", "final", "close",
    ]  # fmt: skip
    assert all("NET-0001" in event["error"]["message"] for event in events if event["event"] == "disconnect")
    lines = [record.getMessage() for record in caplog.records if record.name == "streamclient.transcript"]
    assert [line for line in lines if "lost its connection" in line and "NET-0001" in line]
    assert [line for line in lines if "connected again" in line]


def test_none_never_reconnects() -> None:
    """With reconnect=None a broken connection ends the stream."""
    with serving(drop_after_audio) as service:
        client = StreamClient(RAW, url=service.url, reconnect=None)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
        assert len(service.calls) == 1


def test_rejected_audio_is_never_sent_again() -> None:
    """Undecodable audio ends the stream, whatever the policy."""

    def script(call: Call) -> None:
        call.read()
        call.end(code=1008, reason="DATA-0000")

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(AudioRejected):
            client.close(timeout=SOON)
        assert len(service.calls) == 1


@pytest.mark.parametrize("reason", ["NET-0000", "Deepgram sent no text. See https://dpgr.am/net0000"])
def test_two_silent_servers_in_a_row_end_the_stream(reason: str) -> None:
    """Two NET-0000 without any result are a problem of the audio, and the error says so."""

    def script(call: Call) -> None:
        call.read()
        call.end(code=1011, reason=reason)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close(timeout=SOON)
        assert len(service.calls) == 2
    assert "audio" in (caught.value.hint or "")


def test_a_server_that_leaves_before_it_heard_anything_has_not_rejected_it() -> None:
    """Its summary is empty because it leaves, not because of the audio: another connection hears all of it."""
    of_nothing = metadata(0.0, 0, SHA256_OF_NOTHING)

    def leave(call: Call) -> None:
        call.read()
        call.end(of_nothing, code=1001)

    with serving(breaking(leave, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete
        assert service.calls[-1].audio == SECOND


def test_a_server_that_hears_nothing_twice_ends_the_stream() -> None:
    """A service that says each time that no byte arrived is not asked for ever, even if it ends as it should."""
    with serving(obedient(metadata(0.0, 0, SHA256_OF_NOTHING))) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost, match="none of 32000 bytes"):
            client.close(timeout=SOON)
        assert len(service.calls) == 2
    assert client.transcript.gaps == (Span(0.0, 1.0),)


def test_each_connection_asks_for_a_token_of_its_own() -> None:
    """A callable access_token is asked before every connection."""
    tokens = iter(["first", "second"])
    with serving(breaking(drop_after_audio, finish)) as service:
        client = StreamClient(RAW, url=service.url, access_token=lambda: next(tokens), reconnect=QUICK)
        client.open()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete
        assert [call.headers["Authorization"] for call in service.calls] == ["Bearer first", "Bearer second"]


def test_settings_are_applied_again_before_any_audio() -> None:
    """What configure() changed is the first thing a new connection hears."""

    def heard_and_broken(call: Call) -> None:
        while not call.texts:
            call.read()
        call.say(final("word", 0.0, 1.0))
        call.reset()

    with serving(breaking(heard_and_broken, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        client.configure(keyterms=["fjord"])
        assert service.wait_for_call()
        assert service.wait_for_call()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete
        first, second = service.calls
    assert second.frames[0] == first.texts[0] == '{"type": "Configure", "keyterms": ["fjord"]}'


def test_a_new_connection_gets_signs_of_life() -> None:
    """KeepAlive goes on after an outage."""
    alive = threading.Event()

    def wait_for_keep_alive(call: Call) -> None:
        call.read_until('{"type": "KeepAlive"}')
        alive.set()
        finish(call)

    with serving(breaking(drop, wait_for_keep_alive)) as service:
        timeouts = Timeouts(keepalive=0.05)
        with StreamClient(RAW, url=service.url, reconnect=QUICK, timeouts=timeouts) as client:
            assert alive.wait(SOON)
            client.send(SECOND)
    assert client.transcript.complete


def test_a_half_open_connection_is_noticed_and_replaced() -> None:
    """A server that answers no ping counts as broken, and another connection takes over."""
    freed = threading.Event()

    def deaf(call: Call) -> None:
        with call.ws.protocol_mutex:  # the library answers no ping as long as this is held
            freed.wait(SOON)

    with serving(breaking(deaf, finish)) as service:
        timeouts = Timeouts(ping=0.05, pong=0.05)
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, timeouts=timeouts)
        client.open()
        assert service.called.acquire(timeout=SOON)
        assert service.called.acquire(timeout=SOON)
        freed.set()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete


def test_an_interim_of_a_stream_that_is_given_up_is_still_there() -> None:
    """What was heard preliminarily before an outage that outlasts the policy counts as received."""

    def script(call: Call) -> None:
        call.read()
        call.say(interim("almost said", 0.0, 0.25))
        call.reset()

    with serving(script) as service:
        refuse_later(service, 403)
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
    assert client.transcript.text == "almost said"


def test_audio_of_an_outage_goes_to_disk_and_comes_back_in_order() -> None:
    """What is sent while the server is gone, beyond memory, arrives later, whole and in order."""
    recorder = Recorder()
    sent = Random(1).randbytes(400_000)
    with serving(breaking(drop, finish)) as service:
        buffer = BufferPolicy(max_memory=20_000, max_disk=1_000_000)
        client = StreamClient(RAW, url=service.url, reconnect=SLOW, buffer=buffer, plugins=[recorder])
        client.open()
        assert recorder.disconnected.wait(SOON)
        for start in range(0, len(sent), 1234):
            client.send(sent[start : start + 1234], timeout=0)
        assert client.close(timeout=SOON).complete
        assert service.calls[-1].audio == sent


def test_the_header_goes_before_the_rest_of_a_container() -> None:
    """A WAV stream is taken up at the sample after the last final, behind a copy of its header."""
    wav = contained(200, "wav")
    header = len(wav) - 200 * 2 * BLOCK

    def first(call: Call) -> None:
        call.read()
        call.say(final("hello", 0.0, 0.4))
        call.read()
        call.reset()

    def second(call: Call) -> None:
        call.read_until()
        call.end(final("there", 0.0, 1.0), metadata(3.6))

    with serving(breaking(first, second)) as service:
        client = StreamClient(ListenOptions(), url=service.url, reconnect=QUICK)
        client.open()
        client.send(wav)
        transcript = client.close(timeout=SOON)
    assert service.calls[1].audio == wav[:header] + wav[header + int(0.4 * RATE) * 2 :]
    assert transcript.text == "hello there"
    assert [word.start for word in transcript.words] == [0.0, 0.4]
    assert transcript.duration == 4.0
    assert transcript.complete


def test_what_cannot_be_taken_up_is_sent_again_from_its_start() -> None:
    """Of an unknown container nothing is lost either: all of it is sent again, and known words are not repeated."""
    audio_of_mp4 = b"\0\0\0\x20ftypM4A " + bytes(range(256)) * 100

    def first(call: Call) -> None:
        call.read()
        call.say(final("hello", 0.0, 1.0))
        call.read()
        call.reset()

    def second(call: Call) -> None:
        call.read_until()
        call.end(final("hello", 0.0, 1.0), final("there", 1.0, 1.0), metadata(2.0))

    with serving(breaking(first, second)) as service:
        client = StreamClient(ListenOptions(), url=service.url, reconnect=QUICK)
        client.open()
        client.send(audio_of_mp4)
        transcript = client.close(timeout=SOON)
    assert service.calls[1].audio == audio_of_mp4
    assert transcript.text == "hello there"
    assert transcript.complete


def test_what_is_too_long_to_be_sent_again_is_not_held_up() -> None:
    """When the buffer is full of a container nobody can take up, the stream goes on, and a break then names the gap."""
    chunk = b"\0\0\0\x20ftypM4A " + bytes(10_000)
    broken = threading.Event()

    def script(call: Call) -> None:
        call.read()
        call.say(final("hello", 0.0, 1.0))
        while not broken.is_set():
            call.read()
        call.reset()

    with serving(script) as service:
        buffer = BufferPolicy(max_memory=50_000, max_disk=0)
        client = StreamClient(ListenOptions(), url=service.url, reconnect=QUICK, buffer=buffer)
        client.open()
        for _ in range(30):
            client.send(chunk, timeout=SOON)
        broken.set()
        with pytest.raises(ConnectionLost) as caught:
            client.send(chunk, timeout=SOON)
            client.close(timeout=SOON)
    assert caught.value.code == 1006
    assert len(service.calls) == 1
    assert client.transcript.text == "hello"
    assert not client.transcript.complete
