"""Speech or not, for engines that have no opinion of their own."""

import numpy as np
from pocketsphinx import Vad  # type: ignore[import-untyped]

from streamclient.server.engines.base import SAMPLE_RATE, Samples

__all__ = ["VoiceActivity"]


class VoiceActivity:
    """Speech or not, by pocketsphinx's detector and a floor of energy below which nothing is speech.

    The floor falls at once to the energy of the quietest audio, and rises slowly, so that it follows the background
    noise and not the speaker.
    """

    RISE = 1.7 / 50
    """Decibels the floor rises per 20 ms."""
    MARGIN = 6.0
    """Decibels speech has to be above the floor."""
    LOWEST = 20.0
    """Decibels over one unit of 16 bits below which everything is silence."""

    def __init__(self) -> None:
        self.vad = Vad(Vad.MEDIUM_STRICT, SAMPLE_RATE, 0.02)
        self.floor = 90.0

    def is_speech(self, frame: Samples) -> bool:
        """Decide on 20 ms."""
        level = 10 * float(np.log10(np.mean(np.square(frame, dtype=np.float32)) + 1e-3))
        self.floor = min(self.floor + self.RISE, max(level, self.LOWEST))
        is_voice: bool = self.vad.is_speech(frame.tobytes())
        return is_voice and level > self.floor + self.MARGIN
