"""Guarantee 2: a broken connection loses nothing. Faults at any moment, over real sockets."""

import socket
from random import Random
from typing import Any

import pytest

from streamclient import ListenOptions, StreamClient
from tests.support.containers import LOSSLESS, ContainerRecogniser, contained
from tests.support.outages import QUICK, Witness
from tests.support.positions import RATE, Recogniser, assert_spoken, audio, spoken
from tests.support.service import CLOSE_STREAM, SOON, Call, serving

FAREWELLS = [
    (1011, "NET-0001"),
    (1011, "Deepgram did not receive audio data or a text message. See https://dpgr.am/net0001"),
    (1001, ""),
    (1011, ""),
]


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


def play(seed: int, channels: int, kind: str | None = None) -> None:
    """One schedule of faults."""
    blocks = 30 if kind is None else 60
    more: dict[str, Any] = {"channels": 2, "multichannel": True} if channels == 2 else {}
    raw = ListenOptions(encoding="linear16", sample_rate=RATE, **more)
    options, rest = (raw, audio(blocks, channels)) if kind is None else (ListenOptions(), contained(blocks, kind))
    unreliable, witness, random = Unreliable(seed, channels, kind), Witness(), Random(seed)
    with serving(unreliable) as service:
        service.refusal = unreliable.refuse
        client = StreamClient(options, url=service.url, plugins=[witness], reconnect=QUICK)
        client.open()
        while rest:
            size = random.randint(1, 2000)
            client.send(rest[:size])
            rest = rest[size:]
        transcript = client.close(timeout=SOON)
    assert transcript.complete
    assert not transcript.gaps
    assert not witness.errors
    assert witness.closed == [transcript]
    assert witness.outages == ["lost", "back"] * client.stats.reconnects
    assert tuple(witness.utterances) == transcript.utterances
    for channel in range(channels):
        expected = spoken(blocks, channel)
        assert_spoken([w for result in witness.finals if result.channel == channel for w in result.words], expected)
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
