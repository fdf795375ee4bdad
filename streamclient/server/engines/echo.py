"""An engine that hears words written in tones, and gives them back exactly: for tests of the whole way of the audio.

:func:`tones` writes a text as audio. Its words survive what audio goes through on its way: other sample rates,
telephone encodings, Opus, MP3, AAC. So a transcript tells whether all of the audio arrived, once and in order.
"""

import binascii
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word

__all__ = ["EchoEngine", "tones"]

SYMBOL = SAMPLE_RATE // 50
"""Samples of one tone, which is half a byte: 20 ms."""
FREQUENCIES = 600 + 160 * np.arange(16)
"""Hz; all of them pass through a telephone."""
LOUDNESS = 8000
QUIET = 600
"""Samples below this are silence, whatever a codec makes of it."""
BLOCK = SAMPLE_RATE // 200
"""Samples of one decision about sound or silence: 5 ms."""
SILENCE = 8
"""Blocks of silence that end a word: 40 ms."""
BETWEEN = 0.08
"""Seconds of silence between two words."""
PURITY = 0.4
"""Share of a tone's power in its loudest frequency; speech and music have less."""


def tones(text: str, *, pause: float = 0.6) -> Samples:
    """Write a text in tones, as 16 kHz mono samples.

    Args:
        text: each line is an utterance.
        pause: seconds of silence after each line.
    """
    lines = [_line(line.split(), pause) for line in text.splitlines()]
    return np.concatenate([np.zeros(round(0.1 * SAMPLE_RATE), np.int16), *lines])


class EchoEngine(Engine):
    """Hears what :func:`tones` writes, and nothing else."""

    name = "echo"
    punctuates = True

    @property
    def model(self) -> Model:
        """A model that claims nothing."""
        return Model(name="echo", version="1", arch="echo")

    def recogniser(self, language: str) -> Recogniser:  # noqa: ARG002 - tones are in no language
        """Make the recogniser of a channel."""
        return EchoRecogniser()


class EchoRecogniser(Recogniser):
    """Keeps the open utterance; a word that an utterance is cut in belongs to the next one."""

    attack = 0.02

    def __init__(self) -> None:
        self.start = 0.0
        self.samples = np.zeros(0, np.int16)
        self.carried = np.zeros(0, np.int16)

    def is_speech(self, frame: Samples) -> bool:
        """Loud is speech."""
        return bool(_loudness(frame).max(initial=0) > QUIET)

    def begin(self, start: float) -> None:
        """Open an utterance."""
        self.start = start - len(self.carried) / SAMPLE_RATE
        self.samples, self.carried = self.carried, np.zeros(0, np.int16)

    def feed(self, samples: Samples) -> None:
        """Keep its audio."""
        self.samples = np.concatenate((self.samples, samples))

    def words(self) -> list[Word]:
        """Return the words that are over."""
        return list(self._heard(self._whole()))

    def finish(self) -> list[Word]:
        """Return its words."""
        whole = self._whole()
        self.carried = self.samples[whole:]
        words = list(self._heard(whole))
        self.samples = np.zeros(0, np.int16)
        return words

    def _whole(self) -> int:
        """Samples up to the beginning of a word that is not over."""
        sounds = _sounds(self.samples)
        if sounds and sounds[-1][1] > len(self.samples) - SILENCE * BLOCK:
            return sounds[-1][0]
        return len(self.samples)

    def _heard(self, whole: int) -> Iterator[Word]:
        for begin, end in _sounds(self.samples[:whole]):
            word = _read(self.samples[begin:end])
            if word:
                start = self.start + begin / SAMPLE_RATE
                yield Word(word.lower().strip(".,;:!?"), start, self.start + end / SAMPLE_RATE, 0.99, word)


def _line(words: list[str], pause: float) -> Samples:
    between = np.zeros(round(BETWEEN * SAMPLE_RATE), np.int16)
    parts = [part for word in words for part in (_written(word), between)]
    return np.concatenate([*parts, np.zeros(round(pause * SAMPLE_RATE), np.int16)])


def _written(word: str) -> Samples:
    data = word.encode()
    data += _check(data)
    halves = np.array([half for byte in data for half in (byte >> 4, byte & 15)])
    phase = 2 * np.pi * np.cumsum(np.repeat(FREQUENCIES[halves], SYMBOL)) / SAMPLE_RATE
    return (LOUDNESS * np.sin(phase)).astype(np.int16)


def _check(data: bytes) -> bytes:
    """What shows that a word is whole."""
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def _loudness(samples: Samples) -> npt.NDArray[np.float64]:
    blocks = samples[: len(samples) - len(samples) % BLOCK].reshape(-1, BLOCK)
    loudness: npt.NDArray[np.float64] = np.sqrt(np.mean(np.square(blocks, dtype=np.float64), axis=1))
    return loudness


def _sounds(samples: Samples) -> list[tuple[int, int]]:
    """Spans of sound with silence between them, in samples."""
    loud = np.flatnonzero(_loudness(samples) > QUIET)
    if not len(loud):
        return []
    gaps = np.flatnonzero(np.diff(loud) > SILENCE)
    begins = loud[np.concatenate(([0], gaps + 1))]
    ends = loud[np.concatenate((gaps, [len(loud) - 1]))] + 1
    return [(int(begin) * BLOCK, int(end) * BLOCK) for begin, end in zip(begins, ends, strict=True)]


def _read(samples: Samples) -> str:
    """The word in a span of sound; empty if it is none, or not whole.

    A codec may smear the edges of a sound, so several places for its first tone are tried.
    """
    words = (_read_from(samples[offset:]) for offset in range(0, SYMBOL, BLOCK // 2))
    return next((word for word in words if word), "")


def _read_from(samples: Samples) -> str:
    count = (len(samples) + SYMBOL // 4) // SYMBOL
    halves = [half for index in range(count) if (half := _tone(samples, index)) is not None]
    data = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=False))
    word, check = data[: -len(_check(b""))], data[-len(_check(b"")) :]
    return word.decode(errors="replace") if word and _check(word) == check else ""


MIDDLE = SYMBOL // 2
WAVES = np.exp(-2j * np.pi * np.outer(FREQUENCIES, np.arange(MIDDLE)) / SAMPLE_RATE) * np.hanning(MIDDLE)


def _tone(samples: Samples, index: int) -> int | None:
    """Which tone the middle of a symbol is."""
    begin = index * SYMBOL + SYMBOL // 4
    middle = samples[begin : begin + MIDDLE].astype(np.float64)
    if len(middle) < MIDDLE:
        return None
    power = np.abs(WAVES @ middle) ** 2
    loudest = int(power.argmax())
    return loudest if power[loudest] > PURITY * power.sum() else None
