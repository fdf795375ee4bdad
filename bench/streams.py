"""The streams that are compared: streamclient's, and what one writes with websocket-client and two threads."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import websocket
from attrs import define, field

from streamclient import BufferPolicy, ListenOptions, StreamClient, hookimpl
from streamclient.messages import Message, Results

__all__ = ["Heard", "MakeStream", "OurStream", "PlainStream", "Stream", "UncheckedStream"]

SOON = 60.0
"""Seconds that only elapse when something is broken."""


@define(eq=False)
class Heard:
    """What has come down one stream.

    Args:
        expected: how many results are to come.
        results: how many have come.
        characters: of their texts.
        delays: seconds that each was on its way.
        complete: set when all have come.
    """

    expected: int
    results: int = 0
    characters: int = 0
    delays: list[float] = field(factory=list)
    complete: threading.Event = field(factory=threading.Event)

    def add(self, transcript: str, delay: float) -> None:
        """One more result."""
        self.results += 1
        self.characters += len(transcript)
        self.delays.append(delay)
        if self.results == self.expected:
            self.complete.set()

    def wait(self) -> None:
        """Wait until all have come."""
        if self.results < self.expected and not self.complete.wait(SOON):
            raise SystemExit(f"Only {self.results} of {self.expected} results came; the figures would mean nothing.")


class Stream(Protocol):
    """A stream that is open."""

    def send(self, audio: bytes) -> None:
        """Send a chunk."""

    def close(self) -> int:
        """End the stream well; the bytes of audio that the server has counted."""


MakeStream = Callable[[str, ListenOptions, Heard], Stream]
"""Opens a stream to the server at a URL."""


class PlainStream:
    """What one writes with websocket-client and its default settings: the caller sends, a thread reads."""

    skip_utf8_validation = False

    def __init__(self, url: str, options: ListenOptions, heard: Heard) -> None:
        self._heard = heard
        self._audio_bytes = 0
        self._ws = websocket.create_connection(
            f"{url}{options.path}?{options.query_string()}", skip_utf8_validation=self.skip_utf8_validation
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, audio: bytes) -> None:
        """Send a chunk."""
        self._ws.send_binary(audio)

    def close(self) -> int:
        """End the stream well."""
        self._ws.send('{"type": "CloseStream"}')
        self._reader.join(SOON)
        self._ws.close()
        return self._audio_bytes

    def _read(self) -> None:
        while text := self._ws.recv():
            message: dict[str, Any] = json.loads(text)
            if message["type"] == "Results":
                transcript = message["channel"]["alternatives"][0]["transcript"]
                self._heard.add(transcript, time.monotonic() - message["sent"])
            elif message["type"] == "Metadata":
                self._audio_bytes = message["bytes"]


class UncheckedStream(PlainStream):
    """The same with the one setting that makes it fast: the check of the text's encoding is off."""

    skip_utf8_validation = True


class OurStream:
    """The same with streamclient and one plugin, and with further ones if they are named."""

    def __init__(self, url: str, options: ListenOptions, heard: Heard, plugins: Sequence[str] = ()) -> None:
        self._heard = heard
        # All results may come at once, and not one may be left out.
        buffer = BufferPolicy(max_events=max(2 * heard.expected, 1000))
        self._client = StreamClient(options, url=url, plugins=[self, *plugins], buffer=buffer, api_key="none")
        self._client.open()

    def send(self, audio: bytes) -> None:
        """Send a chunk."""
        self._client.send(audio)

    @hookimpl
    def on_message(self, message: Message) -> None:
        """Take a result."""
        if isinstance(message, Results):
            self._heard.add(message.transcript, time.monotonic() - message.raw["sent"])

    def close(self) -> int:
        """End the stream well."""
        metadata = self._client.close().metadata
        if failed := self._client.stats.plugin_errors_by_name:
            raise SystemExit(f"Plugins have failed ({failed}); the figures would mean nothing.")
        assert metadata is not None
        return int(metadata.raw["bytes"])
