"""The audio clock: how bytes of audio become seconds, and what the first bytes say of a container."""

from attrs import frozen

__all__ = ["CONTAINERS", "AudioClock", "Span", "sniff_container"]

BYTES_PER_SAMPLE = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
"""Encodings whose bytes have a fixed duration; all others are decoded by the server alone."""

PACKET_CODECS = ("opus", "speex")
"""Encodings that come in no container: where a packet ends is where its websocket frame ends, and nowhere else."""

FRAME_SECONDS = 0.25
"""The longest frame the service advises (Deepgram: Measuring Streaming Latency)."""

FRAME_BYTES_WHEN_UNKNOWN = 8192

LONGEST_PACKET = 65536
"""Bytes; Opus has packets of up to 48 frames of 1275 bytes (RFC 6716), which last no longer than 120 ms."""

CONTAINERS = {
    b"RIFF": "WAV",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"\x1a\x45\xdf\xa3": "WebM or Matroska",
    b"ID3": "MP3",
}
"""First bytes of a file, and the container they name. MP4 says ``ftyp`` at its fifth byte."""


@frozen
class Span:
    """A span of audio, in seconds on the stream's timeline.

    Args:
        start: where it begins.
        end: where it ends.
    """

    start: float
    end: float


@frozen
class AudioClock:
    """Turns counts of bytes into seconds of audio.

    Args:
        bytes_per_second: of the raw audio over all its channels, or ``None`` where only the server can tell
            (containers, packet codecs).
        bytes_per_sample_frame: bytes of one sample over all channels, 1 where unknown. Frames are cut there.
        in_packets: whether each chunk is a packet, which must be neither cut nor joined with another.
    """

    bytes_per_second: int | None = None
    bytes_per_sample_frame: int = 1
    in_packets: bool = False

    @classmethod
    def of(cls, encoding: str | None, sample_rate: int | None, channels: int | None) -> "AudioClock":
        """The clock of a raw encoding; for anything else a clock that knows no seconds."""
        if encoding not in BYTES_PER_SAMPLE or sample_rate is None:
            return cls(in_packets=encoding in PACKET_CODECS)
        sample_frame = BYTES_PER_SAMPLE[encoding] * (channels or 1)
        return cls(sample_frame * sample_rate, sample_frame)

    @property
    def frame_bytes(self) -> int:
        """The most bytes one websocket frame may carry, a whole number of samples."""
        if self.bytes_per_second is None:
            return LONGEST_PACKET if self.in_packets else FRAME_BYTES_WHEN_UNKNOWN
        wanted = int(self.bytes_per_second * FRAME_SECONDS)
        return max(wanted - wanted % self.bytes_per_sample_frame, self.bytes_per_sample_frame)

    def seconds(self, size: int) -> float:
        """Seconds of audio in ``size`` bytes; 0.0 where only the server can tell."""
        return size / self.bytes_per_second if self.bytes_per_second else 0.0


def sniff_container(start: bytes) -> str | None:
    """Name the container that a file with these first bytes is, or ``None`` for raw audio."""
    for magic, name in CONTAINERS.items():
        if start.startswith(magic):
            return name
    return "MP4" if start[4:8] == b"ftyp" else None
