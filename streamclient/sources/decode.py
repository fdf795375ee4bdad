"""Compressed audio to linear16, by PyAV (extra ``audio``), for a service that does not decode it itself."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import attrs

from streamclient.errors import AudioRejected
from streamclient.sources.errors import MissingExtra
from streamclient.sources.files import AudioSource, RawFormat

__all__ = ["decoded", "lenient"]

CONVERT = "For raw audio give --encoding, --sample-rate and --channels; else convert it: ffmpeg -i FILE f.wav"
NEEDS_A_FILE = "An MP4 with its index at the end can only be read as a file: save it, and give its name"


def decoded(source: AudioSource) -> AudioSource:
    """The same audio as linear16, at its own sample rate and with its own channels.

    Args:
        source: audio in a container. It is read, and closed together with what is returned.

    Raises:
        MissingExtra: PyAV is not installed.
        AudioRejected: there is no audio in it that PyAV can decode.
    """
    av = _import_av(source)
    with ExitStack() as stack:
        container = _open(av, source, stack)
        stream = _audio_stream(source, container)
        raw = RawFormat("linear16", stream.rate, stream.channels)
        stack.callback(source.close)
        return attrs.evolve(
            source,
            raw=raw,
            wav=None,
            size=None,
            path=None,
            duration=container.duration / av.time_base if container.duration else source.duration,
            chunks=_samples(av, source, container, stream),
            close=stack.pop_all().close,
        )


def _import_av(source: AudioSource) -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtra(f"{source.name} ({source.container or 'not WAV'}): decoding it here", "audio") from error
    return av


def _open(av: Any, source: AudioSource, stack: ExitStack) -> Any:
    """A file is opened again, because some containers have their index at the end."""
    file = stack.enter_context(source.path.open("rb")) if source.path else _ChunkReader(source.chunks)
    try:
        return stack.enter_context(av.open(file, **lenient(av)))
    except (av.error.FFmpegError, ValueError) as error:
        raise _undecodable(source, error) from error


def lenient(av: Any) -> dict[str, str]:
    """Titles in an old encoding must not cost the audio; from 19 on PyAV has no such option, and needs none."""
    return {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}


def _audio_stream(source: AudioSource, container: Any) -> Any:
    if not container.streams.audio:
        raise _undecodable(source, "there is no audio in it")
    return container.streams.audio[0]


def _samples(av: Any, source: AudioSource, container: Any, stream: Any) -> Iterator[bytes]:
    resampler = av.AudioResampler(format="s16", layout=stream.layout.name, rate=stream.rate)
    try:
        for frame in container.decode(stream):
            yield from map(_packed, resampler.resample(frame))
        yield from map(_packed, resampler.resample(None))
    except av.error.FFmpegError as error:
        raise _undecodable(source, error) from error


def _packed(frame: Any) -> bytes:
    """The samples of a frame; its buffer may be longer than they are."""
    return bytes(frame.planes[0])[: frame.samples * frame.layout.nb_channels * 2]


def _undecodable(source: AudioSource, error: Exception | str) -> AudioRejected:
    reason = getattr(error, "strerror", None) or str(error)
    is_piped_mp4 = source.path is None and source.container == "MP4"
    return AudioRejected(f"{source.name} cannot be decoded: {reason}", hint=NEEDS_A_FILE if is_piped_mp4 else CONVERT)


class _ChunkReader:
    """A file to read from, made of blocks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, ``b""`` at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        block, self._rest = self._rest[:size], self._rest[size:]
        return block
