"""What the header of a WAV file says, read by the standard library."""

import wave
from typing import BinaryIO

from attrs import frozen

from streamclient.errors import AudioRejected

__all__ = ["WavFormat", "is_wav", "read_wav_format", "wav_name"]

LENGTH_UNKNOWN = 0x7FFFFF00
"""Headers written into a pipe declare about 2 or 4 GiB, because the length was not known yet."""

USUAL_KINDS = {1, 3, 6, 7, 0xFFFE}
"""PCM, float, A-law, mu-law, and what describes itself as one of them."""


@frozen
class WavFormat:
    """Format and length of a WAV file.

    Args:
        sample_rate: samples per second of one channel, in Hz.
        channels: interleaved channels.
        sample_bytes: bytes of one sample of one channel.
        declared_bytes: length of the audio according to the header; ``None`` where it was not known.
        actual_bytes: length of what follows the header.
    """

    sample_rate: int
    channels: int
    sample_bytes: int
    declared_bytes: int | None
    actual_bytes: int

    @property
    def bytes_per_second(self) -> int:
        """Bytes in one second of all channels."""
        return self.sample_rate * self.channels * self.sample_bytes

    @property
    def duration(self) -> float:
        """Seconds of audio in the file."""
        declared = self.actual_bytes if self.declared_bytes is None else self.declared_bytes
        return min(declared, self.actual_bytes) / self.bytes_per_second

    @property
    def missing(self) -> float:
        """Seconds of audio that the header promises and the file does not hold."""
        return max((self.declared_bytes or 0) - self.actual_bytes, 0) / self.bytes_per_second


def is_wav(start: bytes) -> bool:
    """Whether a file with these first twelve bytes is a WAV file."""
    return start[:4] == b"RIFF" and start[8:12] == b"WAVE"


def wav_name(start: bytes) -> str:
    """``WAV``, or the name of a kind that takes a decoder (ADPCM), as far as the first bytes tell."""
    kind = int.from_bytes(start[20:22], "little")
    return "WAV" if start[12:16] != b"fmt " or len(start) < 22 or kind in USUAL_KINDS else f"WAV of kind {kind}"


def read_wav_format(file: BinaryIO, size: int) -> WavFormat | None:
    """Read the header at the start of ``file``, which is ``size`` bytes long; leaves the file just after it.

    Returns:
        The format, or ``None`` for a file that the standard library cannot read (mu-law, float, extensible).

    Raises:
        AudioRejected: the header is damaged or cut short, or no audio follows it.
    """
    try:
        header = wave.open(file)  # noqa: SIM115 - closing it would close the file
    except RuntimeError:  # lengths that contradict one another; whoever walks the header otherwise may read it
        return None
    except (wave.Error, EOFError) as error:
        if str(error).startswith("unknown format"):
            return None
        raise AudioRejected(
            f"its WAV header is damaged or cut short ({str(error) or 'it ends too early'})",
            hint="Record or copy the file again.",
        ) from error
    if not header.getframerate():
        raise AudioRejected("its WAV header is damaged (the sample rate is 0)", hint="Record or copy the file again.")
    actual = size - file.tell()
    if actual <= 0:
        raise AudioRejected("it is a WAV header with no audio behind it", hint="Record or copy the file again.")
    declared = header.getnframes() * header.getnchannels() * header.getsampwidth()
    return WavFormat(
        header.getframerate(),
        header.getnchannels(),
        header.getsampwidth(),
        declared if 0 < declared < LENGTH_UNKNOWN else None,
        actual,
    )
