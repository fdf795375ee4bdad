"""Audio for tests, made of nothing: silence, tones, and speech that carries its own words.

All is ``linear16``: signed 16-bit little-endian samples.
"""

import io
import math
import sys
import wave
from array import array
from collections.abc import Iterable

__all__ = ["RATE", "numbered", "silence", "spoken", "tone", "wav"]

RATE = 16000
"""Samples per second, where nothing else is said."""


def silence(seconds: float, *, rate: int = RATE, channels: int = 1) -> bytes:
    """So many seconds without a sound."""
    return bytes(2 * channels * round(seconds * rate))


def tone(seconds: float, frequency: float = 440.0, *, rate: int = RATE, loudness: float = 0.5) -> bytes:
    """A sine tone, mono.

    Args:
        seconds: how long.
        frequency: in Hz.
        rate: samples per second.
        loudness: from 0 to 1.
    """
    step, peak = 2 * math.pi * frequency / rate, loudness * 0x7FFF
    return _bytes(round(peak * math.sin(step * index)) for index in range(round(seconds * rate)))


def spoken(*utterances: str, pause: float = 0.6) -> bytes:
    """Speech that only the kit's server understands, and understands exactly: mono, 16 kHz.

    The words are written in tones, which survive other sample rates and codecs. So the transcript is right only if
    every byte of the audio arrived, once and in order, over however many connections; who breaks a word in two hears
    neither half. Needs numpy, which comes with the extra ``testing``.

    Args:
        utterances: of words.
        pause: seconds of silence after each.
    """
    from streamclient.server.engines.echo import tones

    return tones("\n".join(utterances), pause=pause).astype("<i2").tobytes()


def numbered(words: int, *, together: int = 4) -> bytes:
    """Speech that says where it is from: the words ``w0``, ``w1``, ``w2`` and so on, as :func:`spoken` says them.

    Args:
        words: how many.
        together: words of an utterance.
    """
    names = [f"w{index}" for index in range(words)]
    return spoken(*(" ".join(names[start : start + together]) for start in range(0, words, together)))


def wav(pcm: bytes, *, rate: int = RATE, channels: int = 1) -> bytes:
    """Linear16 audio as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def _bytes(samples: Iterable[int]) -> bytes:
    values = array("h", samples)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
