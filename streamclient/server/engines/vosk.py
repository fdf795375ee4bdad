"""Kaldi models by vosk (extra ``vosk``): small and quick, with interims that cost nothing, for many languages.

Nothing is downloaded: the model has to be on this machine.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vosk import KaldiRecognizer, SetLogLevel
from vosk import Model as KaldiModel

from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
from streamclient.server.engines.voice import VoiceActivity
from streamclient.server.errors import EngineError

__all__ = ["VoskEngine"]

MODEL = "STREAMCLIENT_VOSK_MODEL"
"""Variable with the directory of the model to use where none is given."""
INTERIM_CONFIDENCE = 0.5
NOT_WORDS = ("[unk]", "<unk>", "<eps>")


class VoskEngine(Engine):
    """Recognises what its model does.

    Args:
        model: its directory. Default: ``$STREAMCLIENT_VOSK_MODEL``.
        language: of the model, which does not say it; a stream in another language is refused. Default: any.

    Raises:
        EngineError: there is no such model on this machine.
    """

    name = "vosk"

    def __init__(self, model: str = "", language: str = "") -> None:
        self.path = Path(model or os.environ.get(MODEL, ""))
        self.language = language.lower()
        self.kaldi = _load(self.path)

    @property
    def model(self) -> Model:
        """The directory's name is all that is known of a model."""
        return Model(name=self.path.resolve().name, version="vosk", arch="kaldi")

    def understands(self, language: str) -> bool:
        """Only the language of the model, if it was told."""
        return not self.language or language.lower().partition("-")[0] in (self.language.partition("-")[0], "multi")

    def recogniser(self, language: str) -> Recogniser:  # noqa: ARG002 - the model is in one language
        """Make the recogniser of a channel."""
        return VoskRecogniser(self.kaldi)


class VoskRecogniser(Recogniser):
    """A recogniser of Kaldi's for each utterance: they are cheap, and begin to count at nought."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.voice = VoiceActivity()
        self.kaldi: Any = None
        self.start = 0.0
        self.done: list[Word] = []  # of the open utterance: Kaldi cuts too

    def is_speech(self, frame: Samples) -> bool:
        """Ask the voice activity detector."""
        return self.voice.is_speech(frame)

    def begin(self, start: float) -> None:
        """Open an utterance."""
        self.start, self.done = start, []
        self.kaldi = KaldiRecognizer(self.model, float(SAMPLE_RATE))
        self.kaldi.SetWords(True)
        self.kaldi.SetPartialWords(True)

    def feed(self, samples: Samples) -> None:
        """Decode its audio."""
        if self.kaldi.AcceptWaveform(samples.tobytes()):
            self.done += self._words(json.loads(self.kaldi.Result()).get("result", ()))

    def words(self) -> list[Word]:
        """Return what is decoded so far."""
        return [*self.done, *self._words(json.loads(self.kaldi.PartialResult()).get("partial_result", ()))]

    def finish(self) -> list[Word]:
        """Return its words."""
        words = [*self.done, *self._words(json.loads(self.kaldi.FinalResult()).get("result", ()))]
        self.kaldi, self.done = None, []
        return words

    def close(self) -> None:
        """Give the recogniser back."""
        self.kaldi = None

    def _words(self, heard: Iterable[dict[str, Any]]) -> list[Word]:
        return [
            Word(
                word["word"],
                self.start + word["start"],
                self.start + word["end"],
                min(max(word.get("conf", INTERIM_CONFIDENCE), 0.0), 1.0),
            )
            for word in heard
            if word["word"] not in NOT_WORDS
        ]


def _load(path: Path) -> Any:
    if path == Path():
        raise EngineError(
            "The engine 'vosk' needs a model.",
            hint=f"Give its directory: vosk:model=DIRECTORY, or set ${MODEL}; https://alphacephei.com/vosk/models"
            " lists models.",
        )
    SetLogLevel(-1)
    try:
        return KaldiModel(str(path))
    except Exception as error:  # vosk raises nothing more exact, and says why on standard error at best
        raise EngineError(
            f"There is no vosk model in {path}.",
            hint="It is a directory that holds the directories am, conf and graph.",
        ) from error
