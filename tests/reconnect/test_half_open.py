"""Guarantee 2: a connection that is dead without saying so is noticed; one that is merely slow is left alone."""

import threading
import time
from collections.abc import Callable
from math import inf
from random import Random

import pytest
from attrs import evolve

from streamclient import (
    BufferPolicy,
    CloseTimeout,
    ConnectionLost,
    Disconnected,
    ListenOptions,
    Reconnected,
    ReconnectPolicy,
    StreamClient,
    Timeouts,
)
from tests.support.positions import RATE, Recogniser, assert_spoken, audio, spoken
from tests.support.relay import Line, relaying
from tests.support.service import CLOSE_STREAM, LINEAR16, SOON, Call, Script, final, metadata, obedient, serving
from tests.support.waiting import wait_until

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
TENTH = bytes(3200)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
SMALL = BufferPolicy(max_memory=1_000_000, max_disk=0)
MUCH = 4_000_000
"""Bytes, more than the system keeps for a connection that takes nothing."""

EAGER = Timeouts(ping=0.1, pong=2.0, send=2.0, keepalive=0.05)


def attentive(call: Call) -> None:
    """Say of each frame what it was, and of everything at the end."""
    while (frame := call.read()) != CLOSE_STREAM:
        if isinstance(frame, bytes):
            start = (len(call.audio) - len(frame)) / 32000
            call.say(final("word", start, len(frame) / 32000))
    call.end(metadata(len(call.audio) / 32000))


def outages(client: StreamClient) -> list[ConnectionLost | float]:
    """What began and ended each outage of a stream that has ended."""
    told: list[ConnectionLost | float] = []
    for event in client.events():
        if isinstance(event, Disconnected):
            assert isinstance(event.error, ConnectionLost)
            told.append(event.error)
        elif isinstance(event, Reconnected):
            told.append(event.outage)
    return told


def send_until(client: StreamClient, done: Callable[[], bool]) -> int:
    """Send audio at the speed of speech, ten times as fast, until something has happened; how many bytes."""
    end = time.monotonic() + SOON
    sent = 0
    while not done():
        assert time.monotonic() < end
        client.send(TENTH)
        sent += len(TENTH)
        time.sleep(0.01)  # the pace of the audio
    return sent


def test_silence_on_an_idle_connection_is_noticed_by_its_pings() -> None:
    """Nothing comes back, not even a pong: another connection takes over."""
    with serving(attentive) as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=EAGER)
        client.open()
        service.wait_for_call()
        relay.lines[0].swallow()
        service.wait_for_call()
        client.send(TENTH)
        assert client.close(timeout=SOON).complete
        assert service.calls[-1].audio == TENTH
    lost, outage, *_ = outages(client)
    assert isinstance(lost, ConnectionLost)
    assert "does not answer pings" in str(lost)
    assert lost.retryable
    assert outage


def test_a_live_stream_into_the_void_is_noticed() -> None:
    """Audio goes out as it comes and nobody hears it: that is noticed too, and everything is heard in the end."""
    with serving(attentive) as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=EAGER)
        client.open()
        service.wait_for_call()
        sent = send_until(client, lambda: client.stats.lag < client.stats.audio_seconds)
        relay.lines[0].swallow()
        sent += send_until(client, lambda: client.stats.reconnects > 0)
        transcript = client.close(timeout=SOON)
    assert transcript.complete
    assert abs(transcript.duration - sent / 32000) < 0.002
    assert len(transcript.words) >= sent / len(TENTH) / 3
    assert "does not answer pings" in str(outages(client)[0])


def test_a_write_that_is_stuck_is_noticed() -> None:
    """Where the network takes no more, the deadline of writes holds; what was stuck is sent again."""
    with serving(obedient(metadata(MUCH / 32000))) as service, relaying(service.url) as relay:
        timeouts = Timeouts(ping=inf, send=0.3)
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=timeouts)
        client.open()
        service.wait_for_call()
        relay.lines[0].stall()
        sent = bytes(range(250)) * (MUCH // 250)
        for start in range(0, len(sent), 32000):
            client.send(sent[start : start + 32000])
        assert client.close(timeout=SOON).complete
        assert service.calls[-1].audio == sent
    assert "takes no data" in str(outages(client)[0])


def test_a_write_that_is_stuck_ends_a_stream_that_does_not_reconnect() -> None:
    """The error says what happened; a caller who waits for room is woken with it."""
    with serving() as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=None, timeouts=Timeouts(send=0.3), buffer=SMALL)
        client.open()
        service.wait_for_call()
        relay.lines[0].stall()
        with pytest.raises(ConnectionLost, match="takes no data") as caught:
            while True:
                client.send(bytes(100_000))
        client.abort()
    assert caught.value.retryable
    assert caught.value.unconfirmed


def test_a_connection_that_dies_while_closing_is_built_again() -> None:
    """After CloseStream the network swallows everything: pings find out, and another connection brings the rest."""

    def deaf(call: Call) -> None:
        call.read_until()
        if call is service.calls[0]:
            call.say(final("before", 0.0, 0.05))
            wait_until(lambda: bool(client.transcript.words))
            relay.lines[0].swallow()
            call.read_to_end()
        else:
            call.end(final("after", 0.0, 0.05), metadata(0.05))

    with serving(deaf) as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=EAGER)
        client.open()
        client.send(TENTH)
        transcript = client.close(timeout=SOON)
        assert [call.audio for call in service.calls] == [TENTH, TENTH[1600:]]
    assert transcript.complete
    assert transcript.text == "before after"
    assert "does not answer pings" in str(outages(client)[0])


def test_a_connection_that_dies_after_the_last_word_costs_none() -> None:
    """The summary came, and then nothing: what is missing is the server's close frame alone."""

    def script(call: Call) -> None:
        call.read_until()
        call.say(final("all", 0.0, 0.1), metadata(0.1))
        wait_until(lambda: client.transcript.metadata is not None)
        relay.lines[0].swallow()
        call.read_to_end()

    with serving(script) as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=EAGER)
        client.open()
        client.send(TENTH)
        transcript = client.close(timeout=SOON)
        assert len(service.calls) == 1
    assert (transcript.complete, transcript.text, transcript.close_code) == (True, "all", 1006)


def test_a_server_that_answers_pings_and_says_nothing_is_given_up() -> None:
    """It is there, so another connection would not help; pings and pongs are no progress, its own neither."""

    def mute(call: Call) -> None:
        call.read_until()
        while not call.ws.protocol.close_expected():
            call.ws.ping()
            time.sleep(0.02)  # far more often than Timeouts.close

    with serving(mute) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, timeouts=evolve(EAGER, close=0.5, pong=SOON))
        client.open()
        client.send(TENTH)
        began = time.monotonic()
        with pytest.raises(CloseTimeout):
            client.close()
        assert time.monotonic() - began < SOON
        assert len(service.calls) == 1


def pausing(line: Line, seconds: float) -> threading.Thread:
    """Take nothing for a while."""
    line.stall()
    pause = threading.Timer(seconds, line.flow)
    pause.start()
    return pause


def test_a_server_that_pauses_is_not_cut() -> None:
    """It takes nothing for longer than a pong may take, while a live stream goes on: the audio in front excuses it."""
    timeouts = Timeouts(ping=0.1, pong=0.8, send=SOON)
    with serving(attentive) as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=timeouts)
        client.open()
        service.wait_for_call()
        client.send(TENTH * 20)  # two seconds in front
        pause = pausing(relay.lines[0], 1.0)
        sent = 20 * len(TENTH) + send_until(client, lambda: not pause.is_alive())
        transcript = client.close(timeout=SOON)
        assert service.call.audio == bytes(sent)
    assert transcript.complete
    assert client.stats.reconnects == 0


def test_a_server_that_takes_audio_slowly_is_not_cut() -> None:
    """Writing may be held up for much longer than Timeouts.send in all, as long as it gets on."""
    timeouts = Timeouts(ping=0.05, pong=2.0, send=2.0)
    with serving(obedient(metadata(MUCH / 32000))) as service, relaying(service.url) as relay:
        client = StreamClient(RAW, url=relay.url, reconnect=QUICK, timeouts=timeouts)
        client.open()
        service.wait_for_call()
        relay.lines[0].slowness = 0.0025
        began = time.monotonic()
        for _ in range(0, MUCH, 32000):
            client.send(bytes(32000))
        transcript = client.close(timeout=3 * SOON)
        assert time.monotonic() - began > timeouts.send
        assert len(service.call.audio) == MUCH
    assert transcript.complete
    assert client.stats.reconnects == 0


def hearing(seed: int) -> Script:
    """A service that says what it hears, in finals and interims that end anywhere."""

    def script(call: Call) -> None:
        recogniser = Recogniser(Random(seed))
        while (frame := call.read()) != CLOSE_STREAM:
            if isinstance(frame, bytes):
                recogniser.hear(frame)
            call.say(*recogniser.finals(), *recogniser.interims())
        call.end(*recogniser.finish())

    return script


@pytest.mark.parametrize("seed", range(4))
def test_black_holes_lose_and_double_nothing(seed: int) -> None:
    """Twice in a stream the network swallows everything from some moment on: each word is final once, at its place."""
    random, blocks = Random(seed), 40
    rest = audio(blocks)
    timeouts = Timeouts(ping=0.05, pong=0.2)
    options = ListenOptions(encoding="linear16", sample_rate=RATE)
    with serving(hearing(seed)) as service, relaying(service.url) as relay:
        client = StreamClient(options, url=relay.url, reconnect=QUICK, timeouts=timeouts)
        client.open()
        for _ in range(2):
            for _ in range(random.randint(1, 8)):
                size = random.randint(1, 800)
                client.send(rest[:size])
                rest = rest[size:]
            before = client.stats.reconnects
            relay.lines[-1].swallow()
            client.send(rest[:500])
            rest = rest[500:]
            wait_until(lambda before=before: client.stats.reconnects > before)  # type: ignore[misc]
        client.send(rest)
        transcript = client.close(timeout=2 * SOON)
    assert transcript.complete
    assert_spoken(transcript.words, spoken(blocks))
