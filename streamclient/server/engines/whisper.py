"""Whisper models by faster-whisper (extra ``whisper``): punctuated text in many languages, on a machine with power.

Nothing is downloaded: the model has to be on this machine, in a directory or in the cache of Hugging Face.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel, available_models

from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
from streamclient.server.engines.voice import VoiceActivity
from streamclient.server.errors import EngineError

__all__ = ["WhisperEngine"]

MODEL = "STREAMCLIENT_WHISPER_MODEL"
"""Variable with the model to use where none is given."""
MARKS = re.compile(r"^\W+|\W+$")
LONGEST_SILENT = 0.6
"""Probability of no speech from which on words are taken for imagined."""


class WhisperEngine(Engine):
    """Recognises what its model does.

    Args:
        model: directory of a CTranslate2 model, or the name of one in the cache, such as ``base.en``. Default:
            ``$STREAMCLIENT_WHISPER_MODEL``.
        device: ``cpu``, ``cuda`` or ``auto``.
        compute_type: of the numbers; ``int8`` is fast on a processor.
        threads: processors for one utterance; 0 for as many as CTranslate2 takes by itself.
        workers: utterances at a time; others wait.
        beam: hypotheses followed at a time; more are slower and a little better.

    Raises:
        EngineError: there is no such model on this machine.
    """

    name = "whisper"
    punctuates = True

    def __init__(
        self,
        model: str = "",
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 0,
        workers: int = 1,
        beam: int = 1,
    ) -> None:
        self.path = model or os.environ.get(MODEL, "")
        self.beam = beam
        self.whisper = _load(
            self.path, device=device, compute_type=compute_type, cpu_threads=threads, num_workers=workers
        )

    @property
    def model(self) -> Model:
        """The directory's name is all that is known of a model."""
        return Model(name=Path(self.path).name, version="whisper", arch="whisper")

    def understands(self, language: str) -> bool:
        """English, or what a multilingual model was trained on."""
        code = _code(language)
        return code is None or code in self.whisper.supported_languages

    def recogniser(self, language: str) -> Recogniser:
        """Make the recogniser of a channel; ``multi`` lets the model find out the language of each utterance."""
        return WhisperRecogniser(self, _code(language))


class WhisperRecogniser(Recogniser):
    """Keeps the open utterance, and hears it anew as often as there is time for."""

    def __init__(self, engine: WhisperEngine, language: str | None) -> None:
        self.engine = engine
        self.language = language
        self.voice = VoiceActivity()
        self.terms = ""
        self.start = 0.0
        self.samples: list[Samples] = []
        self.last: list[Word] = []
        self.rested_at = 0.0  # when as much time as the last interim took has passed since

    def is_speech(self, frame: Samples) -> bool:
        """Ask the voice activity detector."""
        return self.voice.is_speech(frame)

    def expect(self, terms: Sequence[str]) -> bool:
        """Whisper takes them as a hint."""
        self.terms = ", ".join(terms)
        return True

    def begin(self, start: float) -> None:
        """Open an utterance."""
        self.start, self.samples, self.last = start, [], []

    def feed(self, samples: Samples) -> None:
        """Keep its audio."""
        self.samples.append(samples)

    def words(self) -> list[Word]:
        """Hear it, unless that would take more than half of the time; then what was heard last."""
        if time.monotonic() >= self.rested_at:
            began = time.monotonic()
            self.last = list(self._hear())
            self.rested_at = 2 * time.monotonic() - began
        return self.last

    def finish(self) -> list[Word]:
        """Hear it for the last time."""
        words = list(self._hear())
        self.samples, self.last = [], []
        return words

    def _hear(self) -> Iterator[Word]:
        if not self.samples:
            return
        audio = np.concatenate(self.samples)
        segments, info = self.engine.whisper.transcribe(
            audio.astype(np.float32) / 32768,
            language=self.language,
            beam_size=self.engine.beam,
            word_timestamps=True,
            condition_on_previous_text=False,
            temperature=0.0,  # a second and third try would come too late
            no_speech_threshold=LONGEST_SILENT,
            hotwords=self.terms or None,
        )
        heard = [word for segment in segments for word in segment.words or ()]
        yield from self._words(heard, len(audio) / SAMPLE_RATE, info.language)

    def _words(self, heard: Sequence[Any], duration: float, language: str) -> Iterator[Word]:
        """In order and inside the utterance, which times at the end of silence are not always."""
        latest = 0.0
        for word in heard:
            text = MARKS.sub("", word.word.lower())
            if not text or word.start >= duration:  # a mark alone, or imagined behind the end
                continue
            begin = max(float(word.start), latest)
            latest = min(max(float(word.end), begin), duration)
            yield Word(
                text,
                self.start + begin,
                self.start + latest,
                min(max(float(word.probability), 0.0), 1.0),
                word.word.strip(),
                language,
            )


def _load(model: str, **options: Any) -> Any:
    if not model:
        raise EngineError(
            "The engine 'whisper' needs a model.",
            hint=f"Give its directory: whisper:model=DIRECTORY, or set ${MODEL}.",
        )
    try:
        return WhisperModel(model, local_files_only=True, **options)
    except Exception as error:  # CTranslate2 and Hugging Face raise what they like for a file that is not there
        raise EngineError(
            f"The Whisper model {model!r} cannot be loaded: {str(error).splitlines()[0]}",
            hint="It is a directory with model.bin, config.json, tokenizer.json and a vocabulary, in CTranslate2's"
            f" format; fetch one with: huggingface-cli download Systran/faster-whisper-{_model_name(model)}",
        ) from error


def _model_name(model: str) -> str:
    return model if model in available_models() else "base.en"


def _code(language: str) -> str | None:
    """Whisper's name of a language, or ``None`` to find out."""
    code = language.lower().partition("-")[0]
    return None if code == "multi" else code
