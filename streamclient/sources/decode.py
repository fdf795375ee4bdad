"""Compressed audio to linear16, by PyAV (extra ``audio``), for a service that does not decode it itself."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import attrs

from streamclient.errors import AudioRejected
from streamclient.sources.errors import MissingExtra, SourceError
from streamclient.sources.files import AudioSource, RawFormat

__all__ = ["decoded", "lenient"]

CONVERT = "For raw audio give --encoding, --sample-rate and --channels; else convert it: ffmpeg -i FILE f.wav"
NEEDS_A_FILE = "An MP4 with its index at the end can only be read as a file: save it, and give its name"
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""With these begin titles and pictures, which files put one behind the other have between their audio."""


def decoded(source: AudioSource) -> AudioSource:
    """The same audio as linear16, at its own sample rate and with its own channels.

    Args:
        source: audio in a container. It is read, and closed together with what is returned.

    Raises:
        MissingExtra: PyAV is not installed.
        AudioRejected: there is no audio in it that PyAV can decode.

    Its chunks raise ``SourceError`` at their end where some of it was damaged.
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
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.codec_context is None or not (stream.rate and stream.channels):
        raise _undecodable(source, "there is no audio in it")
    return stream


def _samples(av: Any, source: AudioSource, container: Any, stream: Any) -> Iterator[bytes]:
    """All that can be decoded. What is damaged is left out, and said at the end."""
    damage: list[Exception] = []
    is_silent = True
    for block in _resampled(av, _frames(av, container, stream, damage), stream):
        is_silent = False
        yield block
    if damage and is_silent:
        raise _undecodable(source, damage[0]) from damage[0]
    if damage:
        raise SourceError(
            f"{source.name} is damaged: {len(damage)} of its packets cannot be decoded",
            hint="The transcript is of all the others; copy or record the file again.",
        ) from damage[0]


def _frames(av: Any, container: Any, stream: Any, damage: list[Exception]) -> Iterator[Any]:
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.FFmpegError as error:
                if not bytes(packet).startswith(TAGS):
                    damage.append(error)
    except av.error.FFmpegError as error:
        damage.append(error)


def _resampled(av: Any, frames: Iterator[Any], stream: Any) -> Iterator[bytes]:
    """In the format the service is told, also where the audio goes on in another one."""
    kind = attrgetter("format.name", "layout.name", "sample_rate")
    layout, rate = stream.layout.name, stream.rate
    for _, alike in groupby(frames, kind):
        resampler = av.AudioResampler(format="s16", layout=layout, rate=rate)
        for frame in chain(alike, [None]):
            yield from map(_packed, resampler.resample(frame))


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
