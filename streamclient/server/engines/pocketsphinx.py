"""US English by pocketsphinx, whose wheel carries its model: works anywhere, far from Deepgram's accuracy."""

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import version

from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
from streamclient.server.engines.decoders import CAN_FORK, Decoder, DecoderPool
from streamclient.server.engines.utterances import FRAMES_PER_SECOND, Segment
from streamclient.server.engines.voice import VoiceActivity
from streamclient.server.errors import EngineError

__all__ = ["PocketsphinxEngine"]

BLOCK = SAMPLE_RATE // 10 * 2
"""Bytes decoded at a time."""
INTERIM_CONFIDENCE = 0.5
"""Probabilities mean something only after the last pass."""


class PocketsphinxEngine(Engine):
    """Recognises US English.

    Args:
        decoders: how many utterances are recognised while they are spoken; others are when they are over, one after
            the other. Default: two for each processor; without processes, where each takes 95 MB, one.
        processes: whether each decoder is a process of its own, so that all processors are used, and a crash costs one
            stream; together they take 100 MB, and 30 MB each. Default: wherever a process can fork, so not on Windows.

    Raises:
        EngineError: there would be no decoder.
    """

    name = "pocketsphinx"

    def __init__(self, decoders: int | None = None, processes: bool = CAN_FORK) -> None:
        if decoders is not None and decoders < 1:
            raise EngineError(f"pocketsphinx needs 1 decoder or more, and was given {decoders}.")
        processors = os.cpu_count() or 1
        self.pool = DecoderPool(decoders or (2 * processors if processes else processors), processes)

    @property
    def model(self) -> Model:
        """The model of pocketsphinx's wheel."""
        return Model(name="en-us", version=version("pocketsphinx"), arch="pocketsphinx")

    def understands(self, language: str) -> bool:
        """Only English, or whatever may turn out to be English."""
        return language.lower().partition("-")[0] in ("en", "multi")

    def recogniser(self, language: str) -> Recogniser:  # noqa: ARG002 - there is one language
        """Make the recogniser of a channel."""
        return PocketsphinxRecogniser(self.pool)

    def open(self) -> None:
        """Load the model, in the process that has it."""
        self.pool.open()

    def close(self) -> None:
        """End the processes."""
        self.pool.close()


class PocketsphinxRecogniser(Recogniser):
    """One channel: voice activity, the running mean, and the decoder of the open utterance."""

    def __init__(self, pool: DecoderPool) -> None:
        self.pool = pool
        self.voice = VoiceActivity()
        self.decoder: Decoder | None = None  # leased while an utterance is open
        self.waiting = bytearray()  # of the utterance, and not with the decoder yet
        self.start = 0.0
        self.mean: str | None = None  # of the utterances so far

    def is_speech(self, frame: Samples) -> bool:
        """Ask the voice activity detector."""
        return self.voice.is_speech(frame)

    def begin(self, start: float) -> None:
        """Open an utterance."""
        self.start = start
        self.waiting.clear()

    def feed(self, samples: Samples) -> None:
        """Decode it as soon as a decoder is free."""
        self.waiting += samples.tobytes()
        if len(self.waiting) >= BLOCK:
            self._decode(self.decoder or self._lease())

    def words(self) -> list[Word]:
        """Return what the decoder has so far."""
        return self._words(self.decoder.words(), INTERIM_CONFIDENCE) if self.decoder else []

    def finish(self) -> list[Word]:
        """Decode what waits, and read the words."""
        with self._some_decoder() as decoder:
            self._decode(decoder)
            segments, self.mean = decoder.finish()
        return self._words(segments)

    def close(self) -> None:
        """Give the decoder back."""
        decoder, self.decoder = self.decoder, None
        if decoder:
            self.pool.give_back(decoder)

    def _lease(self) -> Decoder | None:
        self.decoder = self.pool.lease()
        if self.decoder:
            self.decoder.begin(self.mean)
        return self.decoder

    @contextlib.contextmanager
    def _some_decoder(self) -> Iterator[Decoder]:
        """The leased decoder, or for an utterance that got none, the pool's spare one."""
        if self.decoder:
            yield self.decoder
            self.close()
            return
        with self.pool.spare() as decoder:
            decoder.begin(self.mean)
            yield decoder

    def _decode(self, decoder: Decoder | None) -> None:
        if decoder and self.waiting:
            decoder.feed(bytes(self.waiting))
            self.waiting.clear()

    def _words(self, segments: list[Segment], confidence: float | None = None) -> list[Word]:
        return [
            Word(
                text,
                self.start + first / FRAMES_PER_SECOND,
                self.start + (last + 1) / FRAMES_PER_SECOND,
                probability if confidence is None else confidence,
            )
            for text, first, last, probability in segments
        ]
