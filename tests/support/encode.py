"""Audio in the containers people stream, made by PyAV in memory."""

import io
from fractions import Fraction
from typing import Any

import attrs
import av
import numpy as np
import numpy.typing as npt

RATE = 16_000


@attrs.frozen
class Kind:
    """A container with a codec in it.

    Attributes:
        container: FFmpeg's name of the format that is written.
        codec: and of the encoder.
        rate: the codec's sample rate.
        exact: whether a decoder gives exactly as much audio as went in; others pad.
    """

    container: str
    codec: str
    rate: int = RATE
    exact: bool = True
    options: dict[str, str] = attrs.field(factory=dict)


ALL = {
    "ogg": Kind("ogg", "libopus", 48_000),
    "webm": Kind("webm", "libopus", 48_000, options={"live": "1"}),
    "flac": Kind("flac", "flac"),
    "mp3": Kind("mp3", "libmp3lame", exact=False),
    "aac": Kind("adts", "aac", exact=False),
    "mp4": Kind("mp4", "aac", exact=False, options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "amr": Kind("amr", "libopencore_amrnb", 8_000, exact=False),
}
"""By the ending of a file's name."""


def _can_write(kind: Kind) -> bool:
    """Not every build of PyAV has every encoder."""
    try:
        av.Codec(kind.codec, "w")
    except ValueError:
        return False
    return True


KINDS = {name: kind for name, kind in ALL.items() if _can_write(kind)}
"""Those that can be made here."""


class Stream:
    """What a muxer writes to when it cannot go back."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        return self.data.write(data)


def encode(kind: str, samples: npt.NDArray[np.int16], rate: int = RATE) -> bytes:
    """Samples of the shape (channels, n), or mono of the shape (n,), as a stream of that kind."""
    wanted, stream = KINDS[kind], Stream()
    with av.open(stream, "w", format=wanted.container, options=wanted.options) as container:
        track: Any = container.add_stream(wanted.codec, rate=wanted.rate, layout=_layout(samples))
        for frame in _frames(samples, rate, track.codec_context):
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.data.getvalue()


def packets(samples: npt.NDArray[np.int16], rate: int = RATE) -> list[bytes]:
    """The samples as packets of Opus in no container."""
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format, codec.time_base = (
        48_000,
        _layout(samples),
        "s16",
        Fraction(1, 48_000),
    )
    frames = [*_frames(samples, rate, codec), None]
    made = [packet for frame in frames for packet in codec.encode(frame)]
    return [bytes(packet) for packet in made]


def _frames(samples: npt.NDArray[np.int16], rate: int, codec: Any) -> list[Any]:
    whole: Any = av.AudioFrame.from_ndarray(np.atleast_2d(samples).T.reshape(1, -1), "s16", _layout(samples))
    whole.sample_rate = rate
    resampler = av.AudioResampler(codec.format.name, codec.layout.name, codec.sample_rate)
    fifo: Any = av.AudioFifo()
    for frame in [*resampler.resample(whole), *resampler.resample(None)]:
        frame.pts = None
        fifo.write(frame)
    codec.open()
    size = codec.frame_size or 4096
    return [frame for _ in range(fifo.samples // size + 1) if (frame := fifo.read(size, partial=True))]


def _layout(samples: npt.NDArray[np.int16]) -> str:
    return {1: "mono", 2: "stereo", 8: "7.1"}[len(np.atleast_2d(samples))]
