"""A stream as the first-party plugins see it, and what can happen to it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import pytest

from streamclient import (
    Alternative,
    Closed,
    ConnectionLost,
    Disconnected,
    Event,
    Failed,
    FluxOptions,
    ListenOptions,
    Metadata,
    Opened,
    PluginFailed,
    Reconnected,
    Results,
    Span,
    SpeechStarted,
    StreamStats,
    Transcript,
    TurnInfo,
    UnknownMessage,
    Utterance,
    Word,
)
from streamclient.plugins import load_plugins


@attrs.frozen
class View:
    """A stream as hooks see it."""

    id: str = "stream-1"
    options: ListenOptions | FluxOptions = attrs.field(factory=ListenOptions)
    request_id: str | None = "request-1"
    stats: StreamStats = attrs.field(factory=StreamStats)


WORDS = (Word("two", 1.0, 1.25, 0.5, "Two", 1, "en"), Word("teas", 1.25, 2.0, 0.75))
UTTERANCE = Utterance(0, 1.0, 2.0, "Two teas.", WORDS, channel=1, speaker=1, confidence=0.625)
LOST = ConnectionLost("The connection broke", code=1006)
EVENTS: tuple[Event, ...] = (
    Opened("request-1"),
    SpeechStarted(0.9, 1, 2, {"type": "SpeechStarted", "timestamp": 0.4}),
    Results(0.5, 1.0, channel=1, alternatives=(Alternative("two", 0.5, WORDS[:1]),)),
    Results(
        0.5, 2.0, is_final=True, speech_final=True, channel=1, alternatives=(Alternative("Two teas.", 0.6, WORDS),)
    ),
    UTTERANCE,
    Results(2.5, 1.0, is_final=True),
    UnknownMessage("Tomorrow", {"type": "Tomorrow", "odd": [float("nan"), "\ud800", "\u2028"]}),
    TurnInfo("Update", 0, 0.0, 1.0, "and", end_of_turn_confidence=0.1),
    TurnInfo("EndOfTurn", 0, 0.0, 2.0, "and so", WORDS[1:], 0.9, trigger="model"),
    Disconnected(LOST, 0.5),
    Reconnected(1.5, "request-2"),
    PluginFailed("other", "on_final", ValueError("a bug")),
    Metadata("request-2", 3.5, 1, raw={"type": "Metadata", "duration": 3.5}),
    Failed(LOST),
    Closed(
        Transcript((UTTERANCE,), 3.5, request_ids=("request-1", "request-2"), close_code=1006, gaps=(Span(3.0, 3.5),))
    ),
)
"""One of everything, in an order that could be."""

Play = Callable[..., list[tuple[str, BaseException]]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Load a plugin in an empty folder, give it events, and return what its hooks raised."""
    monkeypatch.chdir(tmp_path)

    def play(
        plugin: object, events: Iterable[Event] = EVENTS, view: View | None = None
    ) -> list[tuple[str, BaseException]]:
        raised: list[tuple[str, BaseException]] = []
        (loaded,) = load_plugins([plugin])
        for event in events:
            loaded.notify(view or View(), event, lambda hook, error: raised.append((hook, error)))
        return raised

    return play
