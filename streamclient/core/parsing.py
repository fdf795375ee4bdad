"""Text as it came over the wire, turned into messages.

Parsing never fails: what is unknown, or known but of an unexpected shape, becomes an `UnknownMessage`.
"""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeVar

from streamclient.messages import (
    Alternative,
    ConfigureFailure,
    ConfigureSuccess,
    Connected,
    Entity,
    Message,
    Metadata,
    Raw,
    Results,
    SearchHit,
    SearchResult,
    ServerError,
    ServerWarning,
    SpeechStarted,
    TurnInfo,
    UnknownMessage,
    UtteranceEnd,
    Word,
)

__all__ = ["parse_message"]

T = TypeVar("T")


def parse_message(text: str | bytes) -> Message:
    """Turn a text frame into a value; what cannot be understood becomes an `UnknownMessage`."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return UnknownMessage(raw=text)
    if not isinstance(raw, dict):
        return UnknownMessage(raw=raw)
    kind = raw.get("type")
    kind = kind if isinstance(kind, str) else None
    try:
        return PARSERS.get(kind, _unknown)(raw)
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return UnknownMessage(type=kind, raw=raw)


def _unknown(raw: Raw) -> UnknownMessage:
    kind = raw.get("type")
    return UnknownMessage(type=kind if isinstance(kind, str) else None, raw=raw)


def _seconds(value: Any) -> float:
    """A required number. ``ValueError`` for what JSON allows and time does not (NaN, infinity, no number)."""
    if type(value) is float and isfinite(value):
        return value  # nearly all are this, and a message has dozens
    number = float(value)
    if isinstance(value, bool | str) or not isfinite(number):
        raise ValueError(value)
    return number


def _seconds_or_zero(value: Any) -> float:
    return _seconds(value) if value is not None else 0.0


def _ratio(value: Any) -> float:
    """A confidence; 0.0 for what is none, since it must not cost the words it belongs to."""
    try:
        return _seconds_or_zero(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _count(value: Any) -> int:
    return int(_seconds(value))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _channel(value: Any) -> tuple[int, int]:
    """``[index, total]``; one reference sample has the index alone."""
    if not value:
        return 0, 1
    index = _count(value[0])
    return index, _count(value[1]) if len(value) > 1 else index + 1


def _required_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _words(value: Any) -> tuple[Word, ...]:
    """The words that can be understood: an odd one must not cost the text it belongs to."""
    words = []
    for raw in value or ():
        try:
            words.append(_word(raw))
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
            continue
    return tuple(words)


def _word(raw: Raw) -> Word:
    return Word(
        _required_text(raw["word"]),
        _seconds_or_zero(raw.get("start")),
        _seconds_or_zero(raw.get("end")),
        _ratio(raw.get("confidence")),
        _text(raw.get("punctuated_word")),
        _speaker(raw.get("speaker")),
        _text(raw.get("language")),
    )


def _speaker(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return _count(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _alternative(raw: Raw) -> Alternative:
    return Alternative(
        _required_text(raw.get("transcript") or ""),
        _ratio(raw.get("confidence")),
        _words(raw.get("words")),
        _texts(raw.get("languages")),
    )


def _entity(raw: Raw) -> Entity:
    return Entity(
        _required_text(raw["label"]),
        _required_text(raw["value"]),
        _text(raw.get("raw_value")),
        _ratio(raw.get("confidence")),
        _count(raw["start_word"]),
        _count(raw["end_word"]),
    )


def _search_result(raw: Raw) -> SearchResult:
    return SearchResult(_required_text(raw["query"]), tuple(map(_search_hit, raw.get("hits") or ())))


def _search_hit(raw: Raw) -> SearchHit:
    snippet = _text(raw.get("snippet")) or ""
    return SearchHit(_ratio(raw.get("confidence")), _seconds(raw["start"]), _seconds(raw["end"]), snippet)


def _extras(parse: Callable[[Raw], T], value: Any) -> tuple[T, ...]:
    """Entities and search are a bonus: odd ones must not cost the words they come with."""
    try:
        return tuple(map(parse, value or ()))
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return ()


def _results(raw: Raw) -> Results:
    channel, channels = _channel(raw.get("channel_index"))
    speech_final = raw.get("speech_final") is True
    metadata = raw.get("metadata")
    heard = raw.get("channel") or {}
    return Results(
        start=_seconds(raw["start"]),
        duration=_seconds(raw["duration"]),
        is_final=raw.get("is_final") is True or speech_final,
        speech_final=speech_final,
        from_finalize=raw.get("from_finalize") is True,
        channel=channel,
        channels=channels,
        alternatives=tuple(map(_alternative, heard.get("alternatives") or ())),
        entities=_extras(_entity, raw.get("entities")),
        search=_extras(_search_result, heard.get("search")),
        request_id=_text(metadata.get("request_id")) if isinstance(metadata, dict) else None,
        raw=raw,
    )


def _speech_started(raw: Raw) -> SpeechStarted:
    return SpeechStarted(_seconds(raw["timestamp"]), *_channel(raw.get("channel")), raw)


def _utterance_end(raw: Raw) -> UtteranceEnd:
    return UtteranceEnd(_seconds(raw["last_word_end"]), *_channel(raw.get("channel")), raw)


def _metadata(raw: Raw) -> Metadata:
    return Metadata(
        request_id=_text(raw.get("request_id")),
        duration=_seconds_or_zero(raw.get("duration")),
        channels=_count(raw.get("channels") or 0),
        sha256=_text(raw.get("sha256")),
        created=_text(raw.get("created")),
        models=_texts(raw.get("models")),
        raw=raw,
    )


def _error(raw: Raw) -> ServerError:
    return ServerError(
        _text(raw.get("description")) or "",
        _text(raw.get("variant")),
        _text(raw.get("code")),
        _text(raw.get("message")),
        raw,
    )


def _configure_success(raw: Raw) -> ConfigureSuccess:
    return ConfigureSuccess(_text(raw.get("request_id")), raw)


def _configure_failure(raw: Raw) -> ConfigureFailure:
    code = _text(raw.get("code")) or _text(raw.get("error_code"))
    return ConfigureFailure(_text(raw.get("request_id")), code, _text(raw.get("description")), raw)


def _connected(raw: Raw) -> Connected:
    return Connected(_text(raw.get("request_id")), _count(raw.get("sequence_id") or 0), raw)


def _turn_info(raw: Raw) -> TurnInfo:
    return TurnInfo(
        event=str(raw["event"]),
        turn_index=_count(raw["turn_index"]),
        audio_window_start=_seconds(raw["audio_window_start"]),
        audio_window_end=_seconds(raw["audio_window_end"]),
        transcript=_required_text(raw.get("transcript") or ""),
        words=_words(raw.get("words")),
        end_of_turn_confidence=_ratio(raw.get("end_of_turn_confidence")),
        trigger=_text(raw.get("trigger")),
        sequence_id=_count(raw.get("sequence_id") or 0),
        languages=_texts(raw.get("languages")),
        languages_hinted=_texts(raw.get("languages_hinted")),
        request_id=_text(raw.get("request_id")),
        raw=raw,
    )


def _warning(raw: Raw) -> ServerWarning:
    return ServerWarning(
        _text(raw.get("code")),
        _text(raw.get("description")),
        _count(raw.get("sequence_id") or 0),
        _text(raw.get("request_id")),
        raw,
    )


PARSERS: Mapping[str | None, Callable[[Raw], Message]] = {
    "Results": _results,
    "SpeechStarted": _speech_started,
    "UtteranceEnd": _utterance_end,
    "Metadata": _metadata,
    "Error": _error,
    "ConfigureSuccess": _configure_success,
    "ConfigureFailure": _configure_failure,
    "Connected": _connected,
    "TurnInfo": _turn_info,
    "Warning": _warning,
}
