"""An engine that says given words at given times, whatever the audio is: for tests, exact to the sample."""

from collections.abc import Iterable

from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word

__all__ = ["ScriptedEngine"]

DEFAULT_TEXT = "this is a test of the emergency broadcast system"


class ScriptedEngine(Engine):
    """Says the same words at the same times on every channel of every stream.

    Args:
        script: the words as ``(word, start, end)`` in seconds, in order and without overlap; or a text, whose words
            are spaced evenly.
        spacing: for a text: seconds from the start of one word to the start of the next; a word takes 80 % of it.
        confidence: of every word.

    Raises:
        ValueError: the words are not in order, or a word ends before it begins.
    """

    name = "scripted"

    def __init__(
        self,
        script: str | Iterable[tuple[str, float, float]] = DEFAULT_TEXT,
        *,
        spacing: float = 0.5,
        confidence: float = 0.99,
    ) -> None:
        timed = _spaced(script, spacing) if isinstance(script, str) else script
        self.script = tuple(Word(text, float(start), float(end), confidence) for text, start, end in timed)
        edges = [edge for word in self.script for edge in (word.start, word.end)]
        if edges != sorted(edges):
            raise ValueError(f"the words of a script follow one another in time: {self.script}")

    @property
    def model(self) -> Model:
        """A model that claims nothing."""
        return Model(name="scripted", version="1", arch="scripted")

    def recogniser(self, language: str) -> Recogniser:  # noqa: ARG002 - a script is in no language
        """Make a recogniser that starts the script at the beginning of its audio."""
        return ScriptedRecogniser(self.script)


class ScriptedRecogniser(Recogniser):
    """Hears a word as soon as its last sample is there; in an utterance cut in mid-word, the next one has it."""

    attack = 0.02

    def __init__(self, script: tuple[Word, ...]) -> None:
        self.pending = list(script)
        self.position = 0.0
        self.frames = 0

    def is_speech(self, frame: Samples) -> bool:
        """Speech is where a word of the script lies."""
        start = self.frames / SAMPLE_RATE
        self.frames += len(frame)
        end = self.frames / SAMPLE_RATE
        return any(word.start < end and word.end > start for word in self.pending)

    def begin(self, start: float) -> None:
        """Open an utterance."""
        self.position = start

    def feed(self, samples: Samples) -> None:
        """Move on in the script."""
        self.position += len(samples) / SAMPLE_RATE

    def words(self) -> list[Word]:
        """Return the words whose end has been reached."""
        return [word for word in self.pending if word.end <= self.position + 1e-9]

    def finish(self) -> list[Word]:
        """Return the words whose end has been reached, once."""
        words = self.words()
        self.pending = self.pending[len(words) :]
        return words


def _spaced(text: str, spacing: float) -> Iterable[tuple[str, float, float]]:
    for index, word in enumerate(text.split()):
        yield word, index * spacing, (index + 0.8) * spacing
