"""Audio as a person names it: a file, a named pipe, standard input, a microphone, an address."""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from streamclient.audio import AudioClock, sniff_container
from streamclient.errors import AudioRejected, OptionsError, StreamClientError
from streamclient.sources.chunks import BLOCK_BYTES, audio_chunks, cannot_read, checked_path
from streamclient.sources.errors import SourceError
from streamclient.sources.microphone import Microphone
from streamclient.sources.registered import opened_by_extension
from streamclient.sources.wav import WavFormat, is_wav, read_wav_format, wav_name
from streamclient.sources.web import WebPipe, is_web_address, require_audio_start, shown, web_path

__all__ = ["MICROPHONE", "STDIN", "AudioSource", "RawFormat", "open_source", "wait_readable"]

STDIN = "-"
MICROPHONE = "mic:"
"""What the name of a microphone begins with; nothing more is the default one."""
SNIFF_BYTES = 12
"""The longest signature of a container."""

Readable = Callable[[int], bool]


@frozen
class RawFormat:
    """The format of raw audio, which its bytes do not tell.

    Args:
        encoding: as in ``ListenOptions``.
        sample_rate: samples per second, in Hz.
        channels: interleaved channels.
    """

    encoding: str
    sample_rate: int | None = None
    channels: int | None = None

    @property
    def bytes_per_second(self) -> int | None:
        """Bytes of one second, or ``None`` where only a decoder can tell."""
        return AudioClock.of(self.encoding, self.sample_rate, self.channels).bytes_per_second


@frozen(kw_only=True)
class AudioSource:
    """One stream of audio, and what is known of it before the first byte is sent; close it in the end.

    Args:
        name: what to call it in messages.
        stem: what to call files made from it, without a suffix.
        chunks: its bytes; read once, by one thread.
        raw: the format to tell the service, or ``None`` for audio in a container, which says it itself.
        container: the container's name, or ``None`` where there is none or it is not known.
        wav: what its header says, for a WAV file of a kind the standard library knows.
        path: a file that can be read again from its start, else ``None``.
        duration: seconds of audio, or ``None``.
        size: bytes of audio, or ``None``.
        notice: a sentence the user should read, or ``None``.
        close: gives the file back.
    """

    name: str
    stem: str
    chunks: Iterator[bytes]
    raw: RawFormat | None = None
    container: str | None = None
    wav: WavFormat | None = None
    path: Path | None = None
    duration: float | None = None
    size: int | None = None
    notice: str | None = None
    close: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[bytes]:
        """Its bytes."""
        return self.chunks

    @property
    def bytes_per_second(self) -> float | None:
        """How fast its bytes are spoken, or ``None`` where that is not known."""
        if self.raw is not None:
            return self.raw.bytes_per_second
        if self.wav is not None:
            return self.wav.bytes_per_second
        return self.size / self.duration if self.size and self.duration else None


def wait_readable(descriptor: int) -> bool:
    """Wait until a read would not block; always ``True``."""
    if os.name != "nt":  # Windows can only wait for sockets
        select.select([descriptor], [], [])
    return True


def open_source(spec: str, raw: RawFormat | None = None, *, readable: Readable = wait_readable) -> AudioSource:
    """Open a file, a named pipe, standard input, a microphone or an address.

    Args:
        spec: the path; ``-``; ``mic:`` or ``mic:DEVICE``; an address of the web, or one that an extension knows.
        raw: the format of raw audio; ``None`` for audio in a container.
        readable: is asked before each read of the descriptor it is given; waits until there is something to read,
            or answers ``False`` to end the audio here.

    Raises:
        SourceError: it cannot be opened.
        AudioRejected: it is empty, or a damaged WAV file.
        OptionsError: ``raw`` is given for audio in a container.
    """
    if spec.startswith(MICROPHONE):
        return _describe_microphone(spec.removeprefix(MICROPHONE), raw, readable)
    if is_web_address(spec):
        return _describe_web(spec, WebPipe(spec), raw, readable)
    fetched = opened_by_extension(spec)
    if fetched is not None:
        return fetched if isinstance(fetched, AudioSource) else _describe_fetched(spec, fetched, raw)
    file = _open(spec)
    try:
        return _describe(spec, file, raw, readable)
    except BaseException:
        file.close()
        raise


def _open(spec: str) -> FileIO:
    if spec == STDIN:
        return _open_stdin()
    path = checked_path(spec)
    try:
        return FileIO(path, opener=_open_at_once if sys.platform == "linux" else None)
    except OSError as error:
        raise cannot_read(spec, error) from error


def _open_at_once(path: str, flags: int) -> int:
    """Open a FIFO before it has a writer, so that the wait for one can be ended. Elsewhere it would seem empty."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _open_stdin() -> FileIO:
    """Standard input without Python's buffer: a thread inside that buffer's lock at exit aborts the process."""
    closed = SourceError("Standard input is closed", hint="Name a file, or pipe audio in.")
    if sys.stdin is None:  # it was closed when Python began; descriptor 0 may be anybody's since
        raise closed
    try:
        file = FileIO(0, closefd=False)
    except OSError as error:
        raise closed from error
    if file.isatty():
        raise SourceError(
            "Standard input is the keyboard, not audio",
            hint="Name a file, or pipe audio in (ffmpeg -i FILE -f wav - | streamclient transcribe -).",
        )
    return file


def _describe(spec: str, file: FileIO, raw: RawFormat | None, readable: Readable) -> AudioSource:
    name = "standard input" if spec == STDIN else spec
    status = os.fstat(file.fileno())
    again = stat.S_ISREG(status.st_mode)
    position = file.tell() if again else 0
    start = _start(name, file, readable)
    container = _container_of(name, start, raw)
    source = AudioSource(
        name=name,
        stem="stdin" if spec == STDIN else Path(spec).stem,
        chunks=_blocks(name, file, start, readable),
        raw=raw,
        container=container,
        close=file.close,
    )
    if not again:
        return source
    size = status.st_size - position
    source = attrs.evolve(source, size=size, path=None if spec == STDIN else Path(spec))
    return _timed(source, file, position, start) if raw is None else _timed_raw(source, size)


def _describe_microphone(device: str, raw: RawFormat | None, readable: Readable) -> AudioSource:
    raw = raw or RawFormat("linear16", 16000, 1)
    if raw.encoding != "linear16":
        raise OptionsError("A microphone gives linear16", hint="Leave out --encoding.")
    number_or_name = int(device) if device.isdecimal() else device or None
    microphone = Microphone(number_or_name, sample_rate=raw.sample_rate or 16000, channels=raw.channels or 1)
    return AudioSource(
        name="microphone", stem="microphone", chunks=microphone.blocks(readable), raw=raw, close=microphone.close
    )


def _describe_web(address: str, pipe: WebPipe, raw: RawFormat | None, readable: Readable) -> AudioSource:
    try:
        source = _describe(shown(address), pipe.file, raw, readable)
    except BaseException:
        pipe.close()
        pipe.check()
        raise
    return attrs.evolve(source, stem=web_path(address).stem, chunks=_checked(source.chunks, pipe), close=pipe.close)


def _checked(chunks: Iterator[bytes], pipe: WebPipe) -> Iterator[bytes]:
    """The end of the pipe is the end of the audio, or an error."""
    yield from chunks
    pipe.check()


def _describe_fetched(spec: str, audio: Any, raw: RawFormat | None) -> AudioSource:
    close = getattr(audio, "close", lambda: None)
    try:
        chunks = audio_chunks(audio)
        start = b"".join(_until_known(chunks))
        container = _container_of(spec, start, raw)
    except BaseException:
        close()
        raise
    return AudioSource(
        name=spec,
        stem=web_path(spec).stem,
        chunks=chain([start], chunks),
        raw=raw,
        container=container,
        close=close,
    )


def _until_known(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """As many of the first blocks as name a container."""
    known = 0
    while known < SNIFF_BYTES and (chunk := next(chunks, None)) is not None:
        known += len(chunk)
        yield chunk


def _container_of(name: str, start: bytes, raw: RawFormat | None) -> str | None:
    if raw is None:
        require_audio_start(name, start)
    container = "AVI" if start[8:12] == b"AVI " else sniff_container(start)
    container = wav_name(start) if container == "WAV" else container
    if raw is not None and container is not None:
        raise OptionsError(
            f"{name} is {container} audio, so an encoding must not be given: its bytes say it themselves",
            hint="Leave out --encoding, --sample-rate and --channels.",
        )
    return container


def _start(name: str, file: FileIO, readable: Readable) -> bytes:
    """The first bytes, as few as name a container; none where ``readable`` ended the audio."""
    start = b""
    while len(start) < SNIFF_BYTES:
        if not readable(file.fileno()):
            return start
        block = _read(name, file)
        if block == b"":
            break
        start += block or b""
    if not start:
        raise AudioRejected(f"{name} is empty", hint="Check the program that wrote it.")
    return start


def _read(name: str, file: FileIO) -> bytes | None:
    """What is there, ``None`` where a non-blocking descriptor has nothing yet."""
    try:
        return file.read(BLOCK_BYTES)
    except OSError as error:
        raise cannot_read(name, error) from error


def _blocks(name: str, file: FileIO, start: bytes, readable: Readable) -> Iterator[bytes]:
    if start:
        yield start
    while readable(file.fileno()):
        block = _read(name, file)
        if block == b"":
            return
        if block:
            yield block


def _timed(source: AudioSource, file: FileIO, position: int, start: bytes) -> AudioSource:
    """Look into the header of a WAV file, and put the file back to where it stood."""
    if position or not is_wav(start):
        return source
    here = file.tell()
    try:
        file.seek(0)
        wav = read_wav_format(file, source.size or 0)
    except StreamClientError as error:
        raise AudioRejected(f"{source.name} cannot be transcribed: {error.message}", hint=error.hint) from error
    finally:
        file.seek(here)
    if wav is None:
        return source
    return attrs.evolve(source, wav=wav, duration=wav.duration, notice=_cut_short(source.name, wav))


def _cut_short(name: str, wav: WavFormat) -> str | None:
    if not wav.missing:
        return None
    return (
        f"{name} is cut short: {wav.missing:.1f} s of the {wav.missing + wav.duration:.1f} s its header declares "
        "are missing; transcribing what is there"
    )


def _timed_raw(source: AudioSource, size: int) -> AudioSource:
    speed = source.bytes_per_second
    return attrs.evolve(source, duration=size / speed) if speed else source
