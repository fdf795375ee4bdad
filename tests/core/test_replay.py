"""Guarantee 2 without sockets: whatever breaks whenever, the state machine gets every word once, at its place."""

from functools import cache
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclient.core.actions import Connect, Finish, FrameKind, HangUp, Release, Wait, Write
from streamclient.core.journal import Room
from streamclient.core.protocol import Protocol
from streamclient.errors import ConnectError, ConnectionLost
from streamclient.events import Closed, Disconnected, Event, Opened, Reconnected, Utterance
from streamclient.messages import Results
from streamclient.options import ListenOptions
from streamclient.policies import BufferPolicy, ReconnectPolicy, Timeouts
from tests.support.containers import LOSSLESS, ContainerRecogniser, encode
from tests.support.messages import final, parsed
from tests.support.positions import BLOCK, RATE, TOLERANCE, Recogniser, assert_spoken, audio, spoken

CLOSE_STREAM = '{"type": "CloseStream"}'
NET_0001 = (1011, "NET-0001")
NET_0001_SENTENCE = (1011, "Deepgram did not receive audio data or a text message. See https://dpgr.am/net0001")
ENDS = [None, None, NET_0001, NET_0001_SENTENCE, (1001, ""), (1000, ""), (1005, ""), (1011, ""), (1012, "")]
NEVER = Timeouts(close=1e6, keepalive=3.0, ping=1e6, pong=1e6)
PATIENT = ReconnectPolicy(max_outage=1e9)
MEMORY = 20_000


def options(channels: int) -> ListenOptions:
    """Options for the audio that encodes its position."""
    more = {"channels": 2, "multichannel": True} if channels == 2 else {}
    return ListenOptions(encoding="linear16", sample_rate=RATE, **more)  # type: ignore[arg-type]


@cache
def contained(blocks: int, kind: str) -> bytes:
    """The same audio in a container."""
    return encode(np.frombuffer(audio(blocks), np.int16), RATE, kind)


class Play:
    """A caller, a server that hears, and a network that breaks, around one state machine."""

    def __init__(self, seed: int, channels: int, blocks: int, memory: int = MEMORY, kind: str | None = None) -> None:
        self.random = Random(seed)
        self.channels = channels
        self.kind = kind
        self.blocks = blocks
        self.memory = memory
        self.now = 0.0
        asked = options(channels) if kind is None else ListenOptions()
        buffer = BufferPolicy(max_memory=memory, max_disk=0)
        self.protocol = Protocol(asked, NEVER, buffer, PATIENT, self.random.random)
        self.events: list[Event] = []
        self.rest = audio(blocks, channels) if kind is None else contained(blocks, kind)
        self.server: Recogniser | None = None
        self.asked = False
        self.taken_up = 0
        self.connecting = False
        self.ended = False
        self.finished = False
        self.protocol.open(self.now)

    def recogniser(self) -> Recogniser:
        """What hears a new connection."""
        if self.kind is not None:
            return ContainerRecogniser(self.random, self.kind)
        return Recogniser(self.random, self.channels)

    def send(self, size: int) -> None:
        """Offer audio, if there is room for it."""
        size = min(size, len(self.rest))
        if size and self.protocol.accepts_audio and self.protocol.room(size) is Room.MEMORY:
            self.protocol.accept(self.rest[:size])
            self.rest = self.rest[size:]

    def act(self) -> bool:
        """Do what the protocol says; whether there was something to do."""
        if self.connecting or self.finished:
            return False
        action = self.protocol.next_action(self.now)
        if isinstance(action, Connect):
            self.connecting = True
        elif isinstance(action, Write):
            self.write(action)
        elif isinstance(action, HangUp):
            self.end(None)
        elif isinstance(action, Release):
            self.events += action.events
        elif isinstance(action, Finish):
            self.events += self.protocol.finish()
            self.finished = True
        elif isinstance(action, Wait) and self.server is None and action.until is not None:
            self.now = max(self.now, action.until)
        else:
            return False
        return True

    def write(self, action: Write) -> None:
        """Frames reach the server while it lives."""
        for frame in action.frames:
            assert not self.asked, f"{frame} after CloseStream"
            if self.server is None:
                continue
            if frame.kind is FrameKind.AUDIO:
                assert isinstance(frame.payload, bytes)
                self.server.hear(frame.payload)
            self.asked = frame.payload == CLOSE_STREAM

    def say(self, messages: list[dict[str, object]]) -> None:
        """The server says this."""
        for message in messages:
            self.events += self.protocol.receive_message(parsed(message), self.now)

    def end(self, close: tuple[int, str] | None) -> None:
        """The connection ends."""
        if self.server is not None:
            self.server.close()
            self.server = None
            self.asked = False
            self.protocol.receive_end(close, None if close else ConnectionLost("Connection lost: reset", code=1006))

    def step(self, what: str, number: int) -> None:
        """One thing that happens, where it can."""
        if what == "send":
            self.send(number)
        elif what == "act":
            self.act()
        elif what == "connect" and self.connecting:
            self.connecting = False
            self.server = self.recogniser()
            self.taken_up += self.protocol._upload.place.offset > 0
            self.events += self.protocol.connected("id", self.now)
        elif what == "refuse" and self.connecting and self.events:
            self.connecting = False
            self.protocol.connect_failed(ConnectError("refused", retryable=True), self.now)
        elif what == "write fails" and self.server is not None:
            self.protocol.write_failed(ConnectionLost("Connection lost: it broke", code=1006), self.now)
        elif what == "break":
            self.break_with(ENDS[number % len(ENDS)])
        elif self.server is not None and what in ("interims", "finals"):
            self.say(getattr(self.server, what)())
        elif what == "wait":
            self.now += number / 10_000
        elif what == "close" and not self.rest:
            self.protocol.request_close(self.now)

    def break_with(self, close: tuple[int, str] | None) -> None:
        """The server goes away; once asked to, a normal end would be a promise that all was said."""
        self.end(None if self.asked and close in ((1000, ""), (1005, "")) else close)

    def to_the_end(self) -> None:
        """The faults are over: send the rest, close, let the server finish."""
        for _ in range(2000):
            if self.finished:
                return
            if self.connecting:
                self.step("connect", 0)
            self.send(3000)
            if not self.rest:
                self.protocol.request_close(self.now)
            if self.server is not None and self.asked:
                self.say(self.server.finish())
                self.end((1000, ""))
            elif not self.act() and self.server is not None:
                self.say(self.server.finals())
                self.now += 1.0
        raise AssertionError("the stream does not end")

    def check(self) -> None:
        """Every word once, in order, at its place; hooks and transcript agree; outages come in pairs."""
        closed = self.events[-1]
        assert isinstance(closed, Closed)
        transcript = closed.transcript
        assert transcript.complete
        assert not transcript.gaps
        finals = [event for event in self.events if isinstance(event, Results) and event.is_final]
        utterances = [event for event in self.events if isinstance(event, Utterance)]
        assert tuple(utterances) == transcript.utterances
        for channel in range(self.channels):
            expected = spoken(self.blocks, channel)
            tiles = [result for result in finals if result.channel == channel]
            assert_spoken([word for result in tiles for word in result.words], expected)
            assert [word for result in tiles for word in result.transcript.split()] == [word[0] for word in expected]
            for before, after in pairwise(tiles):
                assert abs(before.end - after.start) < TOLERANCE
            pieces = [utterance for utterance in utterances if utterance.channel == channel]
            assert_spoken([word for utterance in pieces for word in utterance.words], expected)
        outages = [type(event) for event in self.events if isinstance(event, Opened | Disconnected | Reconnected)]
        assert outages == [Opened, *[Disconnected, Reconnected] * self.protocol.stats().reconnects]
        assert abs(transcript.duration - self.blocks * BLOCK / RATE) < 1e-6


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["send"] * 4
            + ["act"] * 8
            + ["connect"] * 3
            + ["finals", "finals", "interims", "break", "refuse", "write fails", "wait", "close"]
        ),
        st.integers(1, 4000),
    ),
    max_size=120,
)


@settings(max_examples=400)
@given(STEPS, st.integers(0, 2**32), st.sampled_from([1, 2]))
def test_every_word_comes_once_whatever_breaks(steps: list[tuple[str, int]], seed: int, channels: int) -> None:
    """Whatever callers, server and network do in whatever order, each word is final once, in order, at its place."""
    play = Play(seed, channels, blocks=24)
    for what, number in steps:
        play.step(what, number)
        assert play.protocol._upload._journal._in_memory <= play.memory
    play.to_the_end()
    play.check()


@pytest.mark.parametrize("channels", [1, 2])
def test_hundreds_of_random_schedules_lose_and_double_nothing(channels: int) -> None:
    """In hundreds of long random schedules each word is final once, in order, at its place."""
    moves = ["send"] * 4 + ["act"] * 8 + ["connect"] * 3 + ["finals", "finals", "interims", "break", "refuse"]
    moves += ["write fails", "wait", "close"]
    for seed in range(600):
        play = Play(seed, channels, blocks=16)
        for _ in range(play.random.randrange(150)):
            play.step(play.random.choice(moves), play.random.randint(1, 4000))
        play.to_the_end()
        play.check()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_container_is_taken_up_with_its_header(kind: str) -> None:
    """Random schedules of faults over audio in a container: each word is final once, in order, at its place."""
    moves = ["send"] * 4 + ["act"] * 8 + ["connect"] * 3 + ["finals", "finals", "interims", "break", "refuse"]
    taken_up = 0
    for seed in range(40):
        play = Play(seed, 1, blocks=150, memory=1_000_000, kind=kind)
        for _ in range(play.random.randrange(200)):
            play.step(play.random.choice(moves), play.random.randint(1, 4000))
        play.to_the_end()
        play.check()
        taken_up += play.taken_up
    assert taken_up > 20


def test_a_day_with_a_break_every_few_minutes_stays_flat_and_exact() -> None:
    """After 24 hours and 480 breaks the timeline is exact to the sample, and the journal stays small."""
    protocol = Protocol(options(1), NEVER, BufferPolicy(), PATIENT)
    audio_of_4_seconds = bytes(8 * RATE)
    protocol.open(0.0)
    assert protocol.next_action(0.0) == Connect()
    protocol.connected("id", 0.0)
    base, expected, most, levels = 0, 0, 0, []
    for now in range(3, 86_400, 4):
        assert protocol.room(len(audio_of_4_seconds)) is Room.MEMORY
        protocol.accept(audio_of_4_seconds)
        assert isinstance(protocol.next_action(float(now)), Write)
        end = (now + 1) * RATE - 1777  # samples of the stream
        placed = protocol.receive_message(final("so", (expected - base) / RATE, (end - base) / RATE), float(now))[0]
        assert isinstance(placed, Results)
        assert round(placed.start * RATE) == expected
        assert abs(placed.start * RATE - expected) < 0.01
        assert abs(placed.end * RATE - end) < 0.01
        expected = end
        most = max(most, protocol._upload._journal._in_memory)
        if now % 180 == 179:
            protocol.receive_end(NET_0001)
            assert isinstance(protocol.next_action(float(now)), Release)
            assert protocol.next_action(now + 0.99) == Connect()
            protocol.connected("id", now + 0.99)
            base = expected
            levels.append(most)
            most = 0
    assert len(levels) == 480
    assert max(levels) <= 2 * len(audio_of_4_seconds)
    assert protocol.stats().reconnects == 480
