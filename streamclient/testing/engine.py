"""What the kit's server hears: a script, or without one the words that are written in tones."""

from collections.abc import Iterable

from streamclient.server.engines import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
from streamclient.server.engines.echo import EchoEngine
from streamclient.server.engines.scripted import ScriptedEngine

__all__ = ["KitEngine", "ScriptedWord"]

ScriptedWord = tuple[str, float, float]
"""A word, its start and its end in seconds."""

PACE = 0.3
"""Seconds a word takes where only the start of a text is known."""


class KitEngine(Engine):
    """Hears what it was told to hear; what was said last holds for the streams that begin after it.

    Without a script it hears :func:`streamclient.testing.spoken` audio, and nothing in any other.
    """

    name = "kit"

    def __init__(self) -> None:
        self._text: list[str] = []
        self._words: list[ScriptedWord] = []

    @property
    def model(self) -> Model:
        """A model that claims nothing."""
        return Model(name="kit", version="1", arch="scripted")

    def recogniser(self, language: str) -> Recogniser:
        """Make the recogniser of a channel."""
        if self._words:
            return ScriptedEngine(self._words).recogniser(language)
        return TextRecogniser(self._text) if self._text else EchoEngine().recogniser(language)

    def say(self, script: str | Iterable[ScriptedWord], start: float | None = None, end: float | None = None) -> None:
        """Add to the script.

        Raises:
            ValueError: some of the script has times and some has none, or the words do not follow one another.
        """
        timed = start is not None or not isinstance(script, str)
        if (timed and self._text) or (not timed and self._words):
            raise ValueError("either every part of a script has times, or none has")
        if timed:
            words = _timed(script, start or 0.0, end) if isinstance(script, str) else script
            self._words = [*self._words, *words]
            ScriptedEngine(self._words)  # complains
        else:
            assert isinstance(script, str)
            self._text = [*self._text, *script.split()]

    def forget(self) -> None:
        """Begin a new script."""
        self._text, self._words = [], []


def _timed(text: str, start: float, end: float | None) -> list[ScriptedWord]:
    words = text.split()
    step = PACE if end is None else (end - start) / max(len(words), 1)
    return [(word, start + step * index, start + step * (index + 0.9)) for index, word in enumerate(words)]


class TextRecogniser(Recogniser):
    """Spreads a text over all the audio there is, however short: all of it is one utterance."""

    attack = 0.02

    def __init__(self, text: list[str]) -> None:
        self.text = text
        self.start = 0.0
        self.seconds = 0.0

    def is_speech(self, frame: Samples) -> bool:  # noqa: ARG002 - whatever the audio is
        """All audio is, until the text has been said."""
        return bool(self.text)

    def begin(self, start: float) -> None:
        """Open the utterance."""
        self.start, self.seconds = start, 0.0

    def feed(self, samples: Samples) -> None:
        """Move on."""
        self.seconds += len(samples) / SAMPLE_RATE

    def words(self) -> list[Word]:
        """The words so far, at a usual pace."""
        return self._spread(PACE)[: int(self.seconds / PACE)]

    def finish(self) -> list[Word]:
        """All words, over what the audio turned out to be."""
        words, self.text = self._spread(self.seconds / max(len(self.text), 1)), []
        return words

    def _spread(self, step: float) -> list[Word]:
        begins = [(word, self.start + step * index) for index, word in enumerate(self.text)]
        return [Word(word, begin, begin + 0.9 * step, 0.99) for word, begin in begins]
