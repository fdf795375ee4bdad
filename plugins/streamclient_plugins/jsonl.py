"""The plugin ``jsonl``: every event of a stream as one line of JSON, safe to follow while it is written."""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import attrs
from attrs import define, field

from streamclient import (
    Message,
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
from streamclient_plugins.jsonl_schema import VERSION
from streamclient_plugins.writer import LineWriter, path_field

__all__ = ["JsonLines"]


@define(eq=False, kw_only=True)
class JsonLines(LineWriter):
    """Write each event as a line of JSON, as it comes."""

    path: str = path_field("{stream_id}.jsonl")
    interims: bool = field(default=True, metadata={"help": "Write interim results too."})

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Open the file and write ``open``."""
        self.open(stream)
        self._write(stream, "open", {"request_id": stream.request_id, "model": stream.options.model})

    @hookimpl
    def on_message(self, stream: StreamView, message: Message) -> None:
        """Write ``message``; results have events of their own."""
        if not isinstance(message, Results):
            self._write(stream, "message", _message(message))

    @hookimpl
    def on_interim(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Write ``interim``."""
        if self.interims:
            self._write(stream, "interim", _result(result))

    @hookimpl
    def on_final(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Write ``final``."""
        self._write(stream, "final", _result(result))

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Write ``utterance``."""
        self._write(stream, "utterance", _utterance(utterance))

    @hookimpl
    def on_disconnect(self, stream: StreamView, error: StreamClientError, retry_in: float) -> None:
        """Write ``disconnect``."""
        self._write(stream, "disconnect", {"error": _error(error), "retry_in": retry_in})

    @hookimpl
    def on_reconnect(self, stream: StreamView, outage: float) -> None:
        """Write ``reconnect``."""
        self._write(stream, "reconnect", {"outage": outage, "request_id": stream.request_id})

    @hookimpl
    def on_error(self, stream: StreamView, error: StreamClientError) -> None:
        """Write ``error``."""
        self._write(stream, "error", {"error": _error(error)})

    @hookimpl
    def on_plugin_error(self, stream: StreamView, plugin: str, hook: str, error: BaseException) -> None:
        """Write ``plugin_error``."""
        self._write(stream, "plugin_error", {"plugin": plugin, "hook": hook, "error": _error(error)})

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Write ``close`` and close the file."""
        try:
            self._write(stream, "close", _transcript(transcript))
        finally:
            self.close()

    def _write(self, stream: StreamView, event: str, facts: Mapping[str, Any]) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"v": VERSION, "stream": stream.id, "time": now, "event": event, **facts}
        self.write_line(_json(line))


def _json(line: Mapping[str, Any]) -> str:
    """One line of strict JSON; what a service sent as ``NaN`` or ``Infinity`` becomes ``null``."""
    try:
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return _json(json.loads(json.dumps(line), parse_constant=lambda _: None))


def _word(word: Word) -> dict[str, Any]:
    facts = attrs.asdict(word, filter=lambda _, value: value is not None)
    return {"text": word.text, **facts}


def _words(words: tuple[Word, ...]) -> list[dict[str, Any]]:
    return [_word(word) for word in words]


def _result(result: Results | TurnInfo) -> dict[str, Any]:
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


def _message(message: Message) -> dict[str, Any]:
    """Its fields on the stream's timeline, and the message as the service sent it."""
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
