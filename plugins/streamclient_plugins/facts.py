"""What happens to a stream as facts that JSON can hold: what the plugins that tell it to other programs share."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import define

from streamclient import (
    Closed,
    Disconnected,
    Failed,
    Message,
    Opened,
    PluginFailed,
    Reconnected,
    Results,
    Span,
    StreamClientError,
    StreamView,
    Transcript,
    TurnInfo,
    Utterance,
    Word,
    hookimpl,
)

Told = Results | TurnInfo | Utterance | Opened | Disconnected | Reconnected | Failed | PluginFailed | Closed
"""Every event but the service's messages other than results."""

__all__ = ["EventReporter", "Told", "event_facts", "message_facts", "result_facts", "to_json"]


@define(eq=False, kw_only=True)
class EventReporter:
    """A plugin that reports what lasts: everything but interim results and the service's own messages."""

    def report(self, stream: StreamView, event: str, facts: Mapping[str, Any]) -> None:
        """Tell of an event.

        Args:
            stream: whose event it is.
            event: what happened, in one word.
            facts: the details, as plain values.
        """
        raise NotImplementedError

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Report ``open``."""
        name, facts = event_facts(Opened(stream.request_id))
        self.report(stream, name, {**facts, "model": stream.options.model})

    @hookimpl
    def on_final(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Report ``final``."""
        self._tell(stream, result)

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Report ``utterance``."""
        self._tell(stream, utterance)

    @hookimpl
    def on_disconnect(self, stream: StreamView, error: StreamClientError, retry_in: float) -> None:
        """Report ``disconnect``."""
        self._tell(stream, Disconnected(error, retry_in))

    @hookimpl
    def on_reconnect(self, stream: StreamView, outage: float) -> None:
        """Report ``reconnect``."""
        self._tell(stream, Reconnected(outage, stream.request_id))

    @hookimpl
    def on_error(self, stream: StreamView, error: StreamClientError) -> None:
        """Report ``error``."""
        self._tell(stream, Failed(error))

    @hookimpl
    def on_plugin_error(self, stream: StreamView, plugin: str, hook: str, error: BaseException) -> None:
        """Report ``plugin_error``."""
        self._tell(stream, PluginFailed(plugin, hook, error))

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Report ``close``."""
        self._tell(stream, Closed(transcript))

    def _tell(self, stream: StreamView, event: Told) -> None:
        self.report(stream, *event_facts(event))


def event_facts(event: Told) -> tuple[str, dict[str, Any]]:
    """What an event is called, in one word, and what it says."""
    match event:
        case Results() | TurnInfo():
            return "final" if event.is_final else "interim", result_facts(event)
        case Utterance():
            return "utterance", _utterance(event)
        case Opened():
            return "open", {"request_id": event.request_id}
        case Disconnected():
            return "disconnect", {"error": _error(event.error), "retry_in": event.retry_in}
        case Reconnected():
            return "reconnect", {"outage": event.outage, "request_id": event.request_id}
        case Failed():
            return "error", {"error": _error(event.error)}
        case PluginFailed():
            return "plugin_error", {"plugin": event.plugin, "hook": event.hook, "error": _error(event.error)}
        case Closed():
            return "close", _transcript(event.transcript)


def to_json(line: Mapping[str, Any]) -> str:
    """One line of strict JSON; what a service sent as ``NaN`` or ``Infinity`` becomes ``null``."""
    try:
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return to_json(json.loads(json.dumps(line), parse_constant=lambda _: None))


def _word(word: Word) -> dict[str, Any]:
    facts = attrs.asdict(word, filter=lambda _, value: value is not None)
    return {"text": word.text, **facts}


def _words(words: tuple[Word, ...]) -> list[dict[str, Any]]:
    return [_word(word) for word in words]


def result_facts(result: Results | TurnInfo) -> dict[str, Any]:
    """What a result says."""
    return {
        "text": result.transcript,
        "start": result.start,
        "end": result.end,
        "channel": result.channel,
        **(_only_turn(result) if isinstance(result, TurnInfo) else _only_results(result)),
        "words": _words(result.words),
    }


def _only_turn(turn: TurnInfo) -> dict[str, Any]:
    return {"turn": turn.turn_index, "turn_event": turn.event, "end_of_turn_confidence": turn.end_of_turn_confidence}


def _only_results(result: Results) -> dict[str, Any]:
    return {
        "confidence": result.confidence,
        "speech_final": result.speech_final,
        "from_finalize": result.from_finalize,
    }


def _utterance(utterance: Utterance) -> dict[str, Any]:
    return {
        "index": utterance.index,
        "text": utterance.text,
        "start": utterance.start,
        "end": utterance.end,
        "channel": utterance.channel,
        "speaker": utterance.speaker,
        "confidence": utterance.confidence,
        "words": _words(utterance.words),
    }


def message_facts(message: Message) -> dict[str, Any]:
    """A message's fields on the stream's timeline, and the message as the service sent it."""
    fields = attrs.asdict(message, filter=lambda attribute, _: attribute.name != "raw")
    return {"type": type(message).__name__, "message": fields, "raw": message.raw}


def _error(error: BaseException) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": str(error)}


def _span(span: Span) -> dict[str, Any]:
    return {"start": span.start, "end": span.end}


def _transcript(transcript: Transcript) -> dict[str, Any]:
    return {
        "text": transcript.text,
        "utterances": len(transcript.utterances),
        "duration": transcript.duration,
        "complete": transcript.complete,
        "request_ids": list(transcript.request_ids),
        "close_code": transcript.close_code,
        "close_reason": transcript.close_reason,
        "gaps": [_span(gap) for gap in transcript.gaps],
    }
