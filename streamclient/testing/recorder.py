"""A plugin that remembers what it was told."""

import threading
from collections.abc import Callable
from typing import TypeVar

from streamclient.events import Transcript, Utterance
from streamclient.hookspecs import hookimpl
from streamclient.messages import Message, Results
from streamclient.testing.calls import PATIENCE

__all__ = ["StreamRecorder"]

T = TypeVar("T")


class StreamRecorder:
    """Remembers what a stream tells its plugins.

    ::

        recorder = StreamRecorder()
        transcribe("talk.wav", plugins=[recorder])
        assert recorder.finals[0].transcript == "good morning"

    Any thread may read it at any time.

    Attributes:
        opened: how often ``on_open`` was called.
        messages: all of the server's messages.
        interims: results that were not final.
        finals: results that were.
        utterances: whole utterances.
        disconnects: the error that began each outage, and the seconds until the first attempt to end it.
        reconnects: the seconds each outage took.
        plugin_errors: plugin, hook and error of hooks that raised.
        errors: why the stream failed.
        transcripts: what ``on_close`` was given; one when all is well.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.opened = 0
        self.messages: list[Message] = []
        self.interims: list[Results] = []
        self.finals: list[Results] = []
        self.utterances: list[Utterance] = []
        self.disconnects: list[tuple[Exception, float]] = []
        self.reconnects: list[float] = []
        self.plugin_errors: list[tuple[str, str, BaseException]] = []
        self.errors: list[Exception] = []
        self.transcripts: list[Transcript] = []

    @property
    def text(self) -> str:
        """The finals so far."""
        return " ".join(final.transcript for final in self.finals if final.transcript)

    def wait_until(self, holds: "Callable[[StreamRecorder], object]", timeout: float = PATIENCE) -> None:
        """Wait until something holds of what was heard.

        Raises:
            AssertionError: it does not hold in time.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: holds(self), timeout)
        assert in_time, f"it does not hold after {timeout:g} s; heard so far: {self.text!r}"

    @hookimpl
    def on_open(self) -> None:
        """Count."""
        with self._changed:
            self.opened += 1
            self._changed.notify_all()

    @hookimpl
    def on_message(self, message: Message) -> None:
        """Remember."""
        self._remember(self.messages, message)

    @hookimpl
    def on_interim(self, result: Results) -> None:
        """Remember."""
        self._remember(self.interims, result)

    @hookimpl
    def on_final(self, result: Results) -> None:
        """Remember."""
        self._remember(self.finals, result)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        """Remember."""
        self._remember(self.utterances, utterance)

    @hookimpl
    def on_disconnect(self, error: Exception, retry_in: float) -> None:
        """Remember."""
        self._remember(self.disconnects, (error, retry_in))

    @hookimpl
    def on_reconnect(self, outage: float) -> None:
        """Remember."""
        self._remember(self.reconnects, outage)

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        """Remember."""
        self._remember(self.plugin_errors, (plugin, hook, error))

    @hookimpl
    def on_error(self, error: Exception) -> None:
        """Remember."""
        self._remember(self.errors, error)

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        """Remember."""
        self._remember(self.transcripts, transcript)

    def _remember(self, where: list[T], what: T) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()
