"""MPEG audio: MP3 (ISO 11172-3, 13818-3) and AAC in ADTS (ISO 13818-7). Frames with a header each, and nothing else."""

from abc import abstractmethod

from attrs import frozen

from streamclient.core.containers.walk import PREROLL, Walk

__all__ = ["Adts", "Mp3", "is_adts_frame", "is_mp3_frame"]

SYNC = b"\xff"
LONGEST_HEAD = 10
"""Bytes of the head of a tag; heads of frames are shorter."""
LAYER = {1: 3, 2: 2, 3: 1}
BITRATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits per second, by version (2 stands for 2 and 2.5) and layer."""
RATES = (44100, 48000, 32000)
ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
ADTS_SAMPLES = 1024
OPTIONAL_FACTS = ((1, 4), (2, 4), (4, 100), (8, 4))
"""Flags in the frame of facts, and the bytes that each brings: frames, bytes, table of contents, quality."""
DECODER_DELAY = 529
"""Samples by which every MP3 decoder is late; a tag of the encoder makes it leave them out."""


@frozen
class Frame:
    """One frame.

    Args:
        size: in bytes.
        samples: of each channel.
        rate: samples per second.
    """

    size: int
    samples: int
    rate: int


class Frames(Walk):
    """A row of frames; each is a place. Bytes that are no frame are passed over, as decoders do."""

    preroll = PREROLL

    @abstractmethod
    def frame(self, window: bytearray, at: int) -> Frame | None:
        """The frame that begins here, or ``None``."""

    def unit(self, window: bytearray, at: int) -> int:
        """A tag, a frame, or bytes that are neither."""
        if len(window) < at + LONGEST_HEAD:
            return 0
        if window[at : at + 3] == b"ID3":
            return 10 + _syncsafe(window[at + 6 : at + 10])
        frame = self.frame(window, at)
        if frame is None:
            return self.pass_over(window, at, SYNC)
        self.mark(at, self.seconds)
        self.seconds += frame.samples / frame.rate
        return frame.size


class Adts(Frames):
    """AAC in ADTS."""

    def frame(self, window: bytearray, at: int) -> Frame | None:
        """The frame that begins here."""
        return _adts_frame(window, at)


class Mp3(Frames):
    """MP3. Its first frame may hold facts instead of audio; what they say of silence at the start is left out."""

    def __init__(self) -> None:
        super().__init__()
        self._like: Frame | None = None

    def frame(self, window: bytearray, at: int) -> Frame | None:
        """The frame that begins here, if it is like those before."""
        frame = _mp3_frame(window, at)
        like = self._like
        if frame is None or (like is not None and (frame.rate, frame.samples) != (like.rate, like.samples)):
            return None
        return frame

    def unit(self, window: bytearray, at: int) -> int:
        """A tag, the frame of facts, a frame, or bytes that are none of these."""
        first = self.frame(window, at) if self._like is None and len(window) >= at + LONGEST_HEAD else None
        if first is None:
            return super().unit(window, at)
        if len(window) < at + first.size:
            return 0
        self._like = first
        silence = _facts(bytes(window[at : at + first.size]))
        if silence is None:
            return super().unit(window, at)
        self.seconds = -silence / first.rate
        return first.size


def is_mp3_frame(start: bytes) -> bool:
    """Whether an MP3 frame begins here."""
    return len(start) >= 4 and _mp3_frame(bytearray(start), 0) is not None


def is_adts_frame(start: bytes) -> bool:
    """Whether an ADTS frame begins here."""
    return len(start) >= 7 and _adts_frame(bytearray(start), 0) is not None


def _mp3_frame(window: bytearray, at: int) -> Frame | None:
    first, second, third = window[at], window[at + 1], window[at + 2]
    version_code, layer_code = second >> 3 & 3, second >> 1 & 3
    bitrate_code, rate_code, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if first != 0xFF or second & 0xE0 != 0xE0 or version_code == 1 or layer_code == 0:
        return None
    if bitrate_code in (0, 15) or rate_code == 3:
        return None
    layer = LAYER[layer_code]
    version = 1 if version_code == 3 else 2
    rate = RATES[rate_code] >> {3: 0, 2: 1, 0: 2}[version_code]
    bitrate = BITRATES[version, layer][bitrate_code] * 1000
    if layer == 1:
        return Frame((12 * bitrate // rate + padding) * 4, 384, rate)
    samples = 576 if layer == 3 and version == 2 else 1152
    return Frame(samples // 8 * bitrate // rate + padding, samples, rate)


def _adts_frame(window: bytearray, at: int) -> Frame | None:
    if window[at] != 0xFF or window[at + 1] & 0xF6 != 0xF0:
        return None
    rate_code = window[at + 2] >> 2 & 15
    size = (window[at + 3] & 3) << 11 | window[at + 4] << 3 | window[at + 5] >> 5
    if rate_code >= len(ADTS_RATES) or size < 7:
        return None
    return Frame(size, ADTS_SAMPLES * ((window[at + 6] & 3) + 1), ADTS_RATES[rate_code])


def _facts(frame: bytes) -> int | None:
    """Samples to leave out at the start, where this frame holds facts (Xing, LAME); ``None`` where it is audio."""
    at = max(frame.find(b"Xing", 4, 44), frame.find(b"Info", 4, 44))
    if at < 0:
        return 0 if frame[36:40] == b"VBRI" else None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    encoder = at + 8 + sum(size for flag, size in OPTIONAL_FACTS if flags & flag)
    if frame[encoder : encoder + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return 0
    return (int.from_bytes(frame[encoder + 21 : encoder + 24], "big") >> 12) + DECODER_DELAY


def _syncsafe(number: bytearray) -> int:
    value = 0
    for byte in number:
        value = value << 7 | byte & 0x7F
    return value
