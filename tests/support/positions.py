"""Audio that encodes its own position, and a recogniser that reads the position back.

Block ``n`` of a channel holds silence around samples of the value ``n + 1``, which are heard as the word ``w{n}``
(``x{n}`` on a second channel). Whoever hears the audio from anywhere on knows which words it holds; only when they
were spoken must be told from where the hearing began.
"""

from array import array
from collections.abc import Iterable
from random import Random
from typing import Any

from streamclient.messages import Word
from streamclient.testing.builders import SpokenWord, metadata, results

RATE = 8000
BLOCK = 160
"""Samples in 20 ms; short blocks make short tests."""

SPOKEN = ((40, 120), (20, 90))
"""First sample and sample after the last of the word in its block, for each channel."""

LETTERS = "wx"
TOLERANCE = 0.002


def audio(blocks: int, channels: int = 1) -> bytes:
    """So many blocks of linear16 audio."""
    samples = array("H", bytes(2 * blocks * BLOCK * channels))
    for block in range(blocks):
        for channel in range(channels):
            for sample in range(*SPOKEN[channel]):
                samples[(block * BLOCK + sample) * channels + channel] = block + 1
    return samples.tobytes()


def spoken(blocks: int, channel: int = 0, first: int = 0) -> list[SpokenWord]:
    """The words of these blocks where they truly are."""
    start, end = SPOKEN[channel]
    return [
        (f"{LETTERS[channel]}{block}", (block * BLOCK + start) / RATE, (block * BLOCK + end) / RATE)
        for block in range(first, blocks)
    ]


def assert_spoken(words: Iterable[Word], expected: list[SpokenWord]) -> None:
    """These words, each once, in order, each at its place."""
    heard = list(words)
    assert [word.word for word in heard] == [name for name, *_ in expected]
    for word, (_, start, end, *_) in zip(heard, expected, strict=True):
        assert abs(word.start - start) < TOLERANCE, word
        assert abs(word.end - end) < TOLERANCE, word


class Recogniser:
    """Hears one connection. Finals of a channel tile its audio and end between words; interims reach further.

    Args:
        random: decides where results end.
        channels: of the audio.
    """

    def __init__(self, random: Random, channels: int = 1) -> None:
        self._random = random
        self._channels = channels
        self._heard = array("H")
        self._odd = b""
        self._final_until = [0] * channels

    def hear(self, frame: bytes) -> None:
        """More audio, cut anywhere."""
        data = self._odd + frame
        whole = len(data) // (2 * self._channels) * 2 * self._channels
        self._heard.frombytes(data[:whole])
        self._odd = data[whole:]

    @property
    def seconds(self) -> float:
        """Length of what was heard."""
        return len(self._heard) / self._channels / RATE

    def interims(self) -> list[dict[str, Any]]:
        """What is heard so far beyond the finals; a word that is not over yet is misheard."""
        return [message for channel in range(self._channels) if (message := self._interim(channel))]

    def finals(self) -> list[dict[str, Any]]:
        """Finals that end anywhere in a pause, on each channel another, perhaps none."""
        return [message for channel in range(self._channels) if (message := self._final(channel))]

    def finish(self) -> list[dict[str, Any]]:
        """Finals of all the rest, and the summary."""
        ends = [len(self._heard) // self._channels] * self._channels
        rest = [self._result(channel, end) for channel, end in enumerate(ends) if self._final_until[channel] < end]
        return [*rest, metadata(self.seconds, self._channels)]

    def close(self) -> None:
        """The connection is over."""

    def _track(self, channel: int) -> "array[int]":
        return self._heard[channel :: self._channels]

    def _interim(self, channel: int) -> dict[str, Any] | None:
        end = len(self._heard) // self._channels
        if end == self._final_until[channel]:
            return None
        return self._result(channel, end, is_final=False)

    def _final(self, channel: int) -> dict[str, Any] | None:
        track = self._track(channel)
        start = self._final_until[channel]
        end = self._random.randint(start, len(track))
        while end > start and (track[end - 1] or (end < len(track) and track[end])):
            end -= 1
        return self._result(channel, end, speech_final=self._random.random() < 0.4) if end > start else None

    def _result(self, channel: int, end: int, *, is_final: bool = True, **fields: Any) -> dict[str, Any]:
        start = self._final_until[channel]
        if is_final:
            self._final_until[channel] = end
        words = list(self._words(channel, start, end, misheard=not is_final))
        text = " ".join(name for name, *_ in words)
        return results(
            text,
            start / RATE,
            end / RATE,
            words=words,
            channel=channel,
            channels=self._channels,
            is_final=is_final,
            **fields,
        )

    def _words(self, channel: int, start: int, end: int, *, misheard: bool) -> Iterable[SpokenWord]:
        track = self._track(channel)
        length = SPOKEN[channel][1] - SPOKEN[channel][0]
        at = start
        while at < end:
            value = track[at]
            if not value:
                at += 1
                continue
            begin = at
            while at < end and track[at] == value:
                at += 1
            whole = at - begin == length and not misheard
            yield (f"{LETTERS[channel]}{value - 1}" if whole else "hm", begin / RATE, at / RATE)
