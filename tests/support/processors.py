"""Plugins that change what is said, and a stream with them."""

import threading
from collections.abc import Callable
from typing import Any

import attrs

from streamclient import LanePolicy, ListenOptions, Message, StreamClient, Transcript, Utterance, hookimpl
from tests.support.service import LINEAR16, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
SAID = [final(f"word{number}", float(number)) for number in range(5)]
WORDS = [f"word{number}" for number in range(5)]


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []
        self.messages: list[Message] = []
        self.failures: list[tuple[str, str, BaseException]] = []
        self.transcripts: list[Transcript] = []

    @hookimpl
    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        self.utterances.append(utterance)

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        self.failures.append((plugin, hook, error))

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        self.transcripts.append(transcript)

    @property
    def texts(self) -> list[str]:
        return [utterance.text for utterance in self.utterances]


def processor(process: Callable[[Utterance], Any], policy: LanePolicy | None = None, name: str = "Processor") -> object:
    """A plugin whose process_utterance does this."""

    class Processor:
        lane_policy = policy

        @hookimpl
        def process_utterance(self, utterance: Utterance) -> Any:
            return process(utterance)

    Processor.__name__ = name
    return Processor()


def take(seconds: float) -> Callable[[Utterance], None]:
    """Be slow."""

    def process(_: Utterance) -> None:
        threading.Event().wait(seconds)

    return process


def append(text: str) -> Callable[[Utterance], Utterance]:
    """A change that can be seen."""
    return lambda utterance: attrs.evolve(utterance, text=utterance.text + text)


def run(*plugins: object, said: list[dict[str, Any]] = SAID, **client_arguments: Any) -> StreamClient:
    """A whole stream with these plugins."""
    with serving(obedient(*said, metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=plugins, **client_arguments)
        with client:
            client.send(b"audio")
    return client
