"""US English by pocketsphinx, whose wheel carries its model: works anywhere, far from Deepgram's accuracy.

What makes it usable live is the cepstral mean: batch decoding normalises an utterance with its own mean, a live
decoder starts with one that fits nobody. So the beginning of each utterance is held back, its mean estimated on a
small decoder in batch mode, mixed with the running mean of the stream, and set before live decoding begins. An interim
that is wanted earlier has an estimate of its own, and what it is made from is decoded again.
"""

import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder  # type: ignore[import-untyped]

from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
from streamclient.server.engines.voice import VoiceActivity

__all__ = ["PocketsphinxEngine"]

HELD_BACK = 3 * SAMPLE_RATE
"""Samples at the beginning of an utterance that its mean is estimated from."""
EARLY = 3 * SAMPLE_RATE // 2
"""Samples from which on an interim is worth an estimate of its own."""
RUNNING_WEIGHT = 0.3
"""Share of the stream's running mean in the mean an utterance starts with."""
BLOCK = SAMPLE_RATE // 10
"""Samples decoded at a time."""
FRAMES_PER_SECOND = 100
KNOBS = {"fwdflat": False, "bestpath": True, "maxhmmpf": 5000, "wip": 0.2, "pip": 0.8}
"""No second pass (time at the end of each utterance for little accuracy), and a beam that costs no accuracy."""
INTERIM_CONFIDENCE = 0.5
"""Probabilities mean something only after the last pass."""
Mean = tuple[float, ...]


class PocketsphinxEngine(Engine):
    """Recognises US English.

    Args:
        decoders: how many utterances are recognised while they are spoken; others are when they are over, one after
            the other. Each takes 95 MB and a quarter of a second to make. Default: the number of processors.
    """

    name = "pocketsphinx"

    def __init__(self, decoders: int | None = None) -> None:
        self.pool = DecoderPool(decoders or os.cpu_count() or 1)

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


class PocketsphinxRecogniser(Recogniser):
    """One channel: voice activity, the running mean, and the decoder of the open utterance."""

    def __init__(self, pool: "DecoderPool") -> None:
        self.pool = pool
        self.voice = VoiceActivity()
        self.decoder: Decoder | None = None  # leased while an utterance is decoded
        self.heard: list[Samples] = []  # decoded, and may have to be again
        self.waiting: list[Samples] = []  # not decoded yet
        self.length = 0  # samples of the open utterance
        self.estimated = 0  # of these, those the mean was estimated from
        self.start = 0.0
        self.mean: Mean | None = None  # of the utterances so far

    def is_speech(self, frame: Samples) -> bool:
        """Ask the voice activity detector."""
        return self.voice.is_speech(frame)

    def begin(self, start: float) -> None:
        """Open an utterance."""
        self.start = start
        self.heard, self.waiting = [], []
        self.length = self.estimated = 0

    def feed(self, samples: Samples) -> None:
        """Hold back the beginning, then decode as soon as a decoder is free."""
        self.waiting.append(samples)
        self.length += len(samples)
        if self.estimated < HELD_BACK <= self.length:
            self._start_decoding(self.decoder or self.pool.lease())
        elif self.decoder and sum(map(len, self.waiting)) >= BLOCK:
            self._decode()

    def words(self) -> list[Word]:
        """Return what the decoder has so far; begin to decode if nothing has begun."""
        if self.decoder is None and self.length >= EARLY:
            self._start_decoding(self.pool.lease())
        if self.decoder is None:
            return []
        return [self._word(*segment[:3], INTERIM_CONFIDENCE) for segment in _segments(self.decoder)]

    def finish(self) -> list[Word]:
        """Decode what waits, and read the words."""
        try:
            with self._some_decoder() as decoder:
                if self.estimated < min(self.length, HELD_BACK):
                    self._start_decoding(decoder)
                self._decode()
                decoder.end_utt()
                self.mean = _read_mean(decoder, update=True)
                return [self._word(*segment) for segment in _segments(decoder)]
        finally:
            self.heard, self.waiting = [], []

    def close(self) -> None:
        """Give the decoder back."""
        decoder, self.decoder, self.waiting = self.decoder, None, []
        if decoder:
            decoder.end_utt()
            self.pool.give_back(decoder)

    @contextlib.contextmanager
    def _some_decoder(self) -> Iterator[Decoder]:
        """The leased decoder, or for an utterance that is short or got none, the pool's spare one."""
        if self.decoder is not None:
            yield self.decoder
            decoder, self.decoder = self.decoder, None
            self.pool.give_back(decoder)
            return
        with self.pool.spare() as decoder:
            yield decoder
            self.decoder = None

    def _start_decoding(self, decoder: Decoder | None) -> None:
        """Decode all there is of the utterance, on a decoder that may have begun with it already."""
        if decoder is None:
            return
        if self.decoder:
            self.decoder.end_utt()
        self.decoder = decoder
        _start_utterance(decoder)
        begun = np.concatenate([*self.heard, *self.waiting])
        self.heard, self.waiting = [], [begun]
        self.estimated = min(self.length, HELD_BACK)
        own = self.pool.estimate(begun[: self.estimated])
        decoder.set_cmn(",".join(map(str, _mixed(own, self.mean))))
        self._decode()

    def _decode(self) -> None:
        assert self.decoder
        if self.waiting:
            self.decoder.process_raw(np.concatenate(self.waiting).tobytes())
            self.heard += self.waiting if self.estimated < HELD_BACK else []
            self.waiting = []

    def _word(self, text: str, first: int, last: int, confidence: float) -> Word:
        start = self.start + first / FRAMES_PER_SECOND
        return Word(text, start, self.start + (last + 1) / FRAMES_PER_SECOND, confidence)


class DecoderPool:
    """Decoders with the full model: made when first needed, up to a limit, and one spare.

    The spare one is used for a whole utterance at a time and never across calls: a thread that waits for it holds
    nothing another thread waits for, except decoders that are never waited for.

    Args:
        limit: how many are leased at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._free: list[Decoder] = []
        self._leased = 0
        self._spare_lock = threading.Lock()
        self._spare: Decoder | None = None
        self._estimator_lock = threading.Lock()
        self._estimator: Decoder | None = None

    def lease(self) -> Decoder | None:
        """Take a decoder, between utterances; ``None`` if all are busy."""
        with self._lock:
            if self._leased >= self.limit:
                return None
            self._leased += 1
            decoder = self._free.pop() if self._free else None
        return decoder or _make_decoder()

    def give_back(self, decoder: Decoder) -> None:
        """Return a leased decoder, between utterances."""
        with self._lock:
            self._leased -= 1
            self._free.append(decoder)

    @contextlib.contextmanager
    def spare(self) -> Iterator[Decoder]:
        """Use the spare decoder for one utterance, beginning to end."""
        with self._spare_lock:
            self._spare = self._spare or _make_decoder()
            yield self._spare

    def estimate(self, samples: Samples) -> Mean:
        """Estimate the cepstral mean of some audio."""
        with self._estimator_lock:
            self._estimator = self._estimator or _make_estimator()
            _start_utterance(self._estimator)
            self._estimator.process_raw(samples.tobytes(), full_utt=True)
            self._estimator.end_utt()
            return _read_mean(self._estimator, update=False)


def _segments(decoder: Decoder) -> list[tuple[str, int, int, float]]:
    """Words with their first and last frame and probability, read at once: they dangle when the decoder moves on."""
    if decoder.hyp() is None:
        return []
    return [
        (
            segment.word.partition("(")[0],
            segment.start_frame,
            segment.end_frame,
            min(max(float(segment.prob), 0.0), 1.0),
        )
        for segment in decoder.seg()
        if not segment.word.startswith(("<", "["))
    ]


def _mixed(own: Mean, running: Mean | None) -> Mean:
    if running is None:
        return own
    return tuple(
        (1 - RUNNING_WEIGHT) * a + RUNNING_WEIGHT * b for a, b in itertools.zip_longest(own, running, fillvalue=0)
    )


def _read_mean(decoder: Decoder, *, update: bool) -> Mean:
    """Read the cepstral mean; a live decoder works its last frames in only when told to ``update``."""
    return tuple(float(value) for value in decoder.get_cmn(update).split(","))


def _start_utterance(decoder: Decoder) -> None:
    """Begin with nothing of the utterance before: it may have been another stream's.

    Making the features anew is the way to reset noise statistics and mean; ``start_stream`` is deprecated.
    """
    decoder.reinit_feat()
    decoder.start_utt()


def _make_decoder() -> Decoder:
    """Make a decoder and use it once: the first utterance is scored a little differently from all others."""
    decoder = Decoder(samprate=float(SAMPLE_RATE), loglevel="FATAL", **KNOBS)
    _start_utterance(decoder)
    decoder.process_raw(bytes(BLOCK * 2))
    decoder.end_utt()
    return decoder


def _make_estimator() -> Decoder:
    """A decoder that knows one word: small, quick to make, and always in batch mode."""
    with tempfile.TemporaryDirectory() as directory:
        dictionary = Path(directory) / "one.dict"
        dictionary.write_text("a AH\n", encoding="ascii")
        return Decoder(lm=None, dict=str(dictionary), keyphrase="a", samprate=float(SAMPLE_RATE), loglevel="FATAL")
