"""The one-liners: a whole stream in one call, or in one loop."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from streamclient.client import FAREWELL, StreamClient, as_bytes
from streamclient.events import Event, StreamState, Transcript
from streamclient.hookspecs import source_stem
from streamclient.options import FluxOptions, ListenOptions
from streamclient.threads.worker import Deadline, Worker

__all__ = ["AudioInput", "stream", "transcribe"]

AudioInput = str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Iterable[bytes]
"""Where audio comes from: the path of a file, the bytes of one, a binary file, or anything that yields bytes."""


def _chunks(source: AudioInput) -> Iterator[bytes]:
    from streamclient.sources import audio_chunks  # the formats it knows cost those who only send

    return audio_chunks(source)


def _stem(name: str | PathLike[str]) -> str:
    if isinstance(name, str) and "://" in name:
        from streamclient.sources.web import web_path

        return web_path(name).stem
    return Path(name).stem


@contextmanager
def _named(source: AudioInput) -> Iterator[None]:
    """Let the hooks of a stream that is opened meanwhile know what its audio is called."""
    name = source if isinstance(source, str | PathLike) else getattr(source, "name", None)
    if not isinstance(name, str | PathLike):
        yield
        return
    token = source_stem.set(_stem(name))
    try:
        yield
    finally:
        source_stem.reset(token)


def transcribe(source: AudioInput, options: ListenOptions | FluxOptions | None = None, **client: Any) -> Transcript:
    """Transcribe audio from its start to its end.

    Args:
        source: the path of a file, an address of the web or one that an extension knows, the bytes of a file, a
            binary file, or anything that yields bytes.
        options: what to ask of the service; for raw audio they must say its encoding and sample rate.
        **client: further arguments of `StreamClient`.

    Returns:
        The complete transcript.

    Raises:
        StreamClientError: the stream failed; the error says how.
        Exception: whatever reading the source raised.
    """
    chunks = _chunks(source)
    with _named(source), _made(options, client) as opened:
        for chunk in chunks:
            opened.send(chunk)
        return opened.close()


def stream(source: AudioInput, options: ListenOptions | FluxOptions | None = None, **client: Any) -> Iterator[Event]:
    """Transcribe audio and yield what happens while it happens.

    The source is read in a thread of its own, no faster than the events are taken. Leaving the loop early hangs up.

    Args:
        source: the path of a file, an address of the web or one that an extension knows, the bytes of a file, a
            binary file, or anything that yields bytes.
        options: what to ask of the service; for raw audio they must say its encoding and sample rate.
        **client: further arguments of `StreamClient`.

    Yields:
        Every event of the stream; the last is `Closed`.

    Raises:
        StreamClientError: the stream failed; the error says how.
        Exception: whatever reading the source raised.
    """
    opened = _made(options, client)
    events = opened.events()  # from now on nothing is left out
    feeder = _Feeder(opened, source)
    try:
        with _named(source):
            opened.open()
        feeder.start()
        yield from events
        feeder.finish()
    finally:
        if opened.state not in (StreamState.CLOSED, StreamState.FAILED):
            opened.abort()


def _made(options: ListenOptions | FluxOptions | None, arguments: dict[str, Any]) -> StreamClient:
    """A client of these arguments, of which nothing is left: error pages show what frames hold, and one is the key."""
    try:
        return StreamClient(options or ListenOptions(), **arguments)
    finally:
        arguments.clear()


class _Feeder:
    """Reads a source in a thread of its own and sends it."""

    def __init__(self, client: StreamClient, source: AudioInput) -> None:
        self._client = client
        self._source = source
        self._error: BaseException | None = None
        self._worker = Worker(f"streamclient-source-{client.id[:8]}", self._feed)

    def start(self) -> None:
        self._worker.start()

    def finish(self) -> None:
        """After the last event: raise what reading the source or the stream raised."""
        self._worker.wait(Deadline(FAREWELL))
        if self._error is not None:
            raise self._error
        self._client.close()

    def _feed(self) -> None:
        opened = self._client._stream  # noqa: SLF001 - of this package
        try:
            for chunk in _chunks(self._source):
                opened.dispatcher.pulled.wait_until_half_empty()
                # Past the client, for which whoever takes the events stays the one who feeds.
                opened.session.send(as_bytes(chunk), None)
            opened.request_close()
        except BaseException as error:  # noqa: BLE001 - raised again for whoever takes the events
            self._error = error
            if not opened.is_draining:
                opened.abort()
