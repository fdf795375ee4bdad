"""A stranger's plugins, as the type checker sees them.

The lines with ``type: ignore`` must stay errors: an ignore that is no longer needed is an error too.
"""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs
import click

from streamclient import (
    AudioInput,
    FluxOptions,
    LanePolicy,
    ListenOptions,
    Message,
    Metadata,
    PluginOverrun,
    Results,
    StreamClientError,
    StreamView,
    Transcript,
    TurnInfo,
    UnknownMessage,
    Utterance,
    Word,
    hookimpl,
)

# A module is a plugin: functions with the mark.

seen: Counter[str] = Counter()


@hookimpl
def on_open(stream: StreamView) -> None:
    """Take the stream alone."""
    name: str = stream.id
    options: ListenOptions | FluxOptions = stream.options
    support: str | None = stream.request_id
    late: float = stream.stats.lag
    print(name, options.model, support, late)
    stream.id = "mine"  # type: ignore[misc]
    stream.send(b"")  # type: ignore[attr-defined]


@hookimpl
def on_message(message: Message) -> None:
    """Tell messages apart by their type."""
    seen[type(message).__name__] += 1
    if isinstance(message, Metadata):
        print(message.duration, message.models)
    elif isinstance(message, UnknownMessage):
        print(message.type, message.raw)
    print(message.transcript)  # type: ignore[union-attr]


@hookimpl
def on_audio(audio: bytes) -> None:
    """Audio is bytes that cannot change."""
    size: int = len(audio)
    print(size)
    audio[0] = 0  # type: ignore[index]


@hookimpl(trylast=True)
def on_final(stream: StreamView, result: Results | TurnInfo) -> None:
    """What both dialects have needs no distinction."""
    text: str = result.transcript
    span: tuple[float, float] = (result.start, result.end)
    words: tuple[Word, ...] = result.words
    final: bool = result.is_final
    print(stream.id, text, span, [word.text for word in words], final, result.channel)
    print(result.speech_final)  # type: ignore[union-attr]
    result.transcript = "mine"  # type: ignore[misc]


# A class is a plugin: its fields are its options.


@attrs.define
class Subtitles:
    """Collect subtitles."""

    path: Path = attrs.field(default=Path("subtitles.txt"), metadata={"help": "Where to write."})
    case: Literal["upper", "as_spoken"] = "as_spoken"
    _lines: list[str] = attrs.field(factory=list, init=False)
    _done: threading.Event = attrs.field(factory=threading.Event, init=False)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        """Take the utterance alone."""
        text = utterance.text.upper() if self.case == "upper" else utterance.text
        self._lines.append(f"{utterance.start:.1f} {utterance.speaker} {text}")
        utterance.speaker + 1  # type: ignore[operator]

    @hookimpl
    def on_disconnect(self, error: StreamClientError, retry_in: float) -> None:
        """Take some arguments, in any order."""
        print(error.hint, error.retryable, retry_in + 1)

    @hookimpl
    def on_reconnect(self, outage: float) -> None:
        """Measure an outage."""
        print(f"{outage:.1f}")

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        """Tell one error from another."""
        print(plugin.upper(), hook.upper(), isinstance(error, PluginOverrun))

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Finish."""
        if transcript.complete:
            self.path.write_text("\n".join(self._lines), encoding="utf-8")
        self._done.set()
        print(stream.id, transcript.text, transcript.to_dict()["gaps"])


class Spelling:
    """Change what everyone sees."""

    lane_policy = LanePolicy(required=True, process_timeout=2.0)

    @hookimpl
    def process_utterance(self, stream: StreamView, utterance: Utterance) -> Utterance | None:
        """Return another one, or nothing."""
        return attrs.evolve(utterance, text=utterance.text.title()) if utterance.words else None

    @hookimpl
    def process_result(self, result: Results | TurnInfo) -> Results | TurnInfo:
        """Return one of the same type."""
        if isinstance(result, TurnInfo):
            return attrs.evolve(result, transcript="")
        return attrs.evolve(result, alternatives=())

    @hookimpl
    def on_close(self, stream: StreamView) -> None:
        """Read what it has cost."""
        for plugin in stream.stats.plugins:
            seconds: float = sum(hook.seconds for hook in plugin.hooks)
            print(plugin.name, plugin.busy_in, seconds)
        LanePolicy(max_event=5)  # type: ignore[call-arg]


# A module in the group of extensions has hooks of its own.


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add a command."""

    @cli.command()
    def hello() -> int:
        """Say hello."""
        return 0


@hookimpl
def register_sources(register: Callable[[str, Callable[[str], AudioInput]], None]) -> None:
    """Add a kind of audio."""
    register("silence", lambda address: bytes(32000 * int(address.partition(":")[2])))
    register("silence", lambda: b"")  # type: ignore[misc,arg-type]


@hookimpl
def on_error(error: StreamClientError) -> int:
    """Return what it likes; nobody uses it."""
    return len(str(error))


def use() -> int:
    """The mark keeps the type of what it marks."""
    Subtitles().on_reconnect(1.5)
    Subtitles().on_reconnect("1.5")  # type: ignore[arg-type]
    Subtitles(case="lower")  # type: ignore[arg-type]
    return on_error(StreamClientError("x"))
