"""What a line of the plugins ``jsonl`` and ``record`` looks like, as a JSON schema."""

from typing import Any

__all__ = ["RECORDING_SCHEMA", "SCHEMA", "VERSION"]

VERSION = 1
"""It changes when a reader of the old lines would misunderstand the new ones; a new field is no such change."""

NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
TEXT_OR_NULL = {"type": ["string", "null"]}
ANY: dict[str, Any] = {}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


WORD = _object(text=TEXT, word=TEXT, start=NUMBER, end=NUMBER, confidence=NUMBER)
WORD["properties"] |= {"punctuated_word": TEXT, "speaker": COUNT, "language": TEXT}
ERROR = _object(type=TEXT, message=TEXT)
RESULT = _object(text=TEXT, start=NUMBER, end=NUMBER, channel=COUNT, words=_list(WORD))
RESULT["properties"] |= {
    "confidence": NUMBER,
    "speech_final": FLAG,
    "from_finalize": FLAG,
    "turn": COUNT,
    "turn_event": TEXT,
    "end_of_turn_confidence": NUMBER,
}

EVENTS = {
    "open": _object(request_id=TEXT_OR_NULL, model=TEXT),
    "message": _object(type=TEXT, message={"type": "object"}, raw=ANY),
    "interim": RESULT,
    "final": RESULT,
    "utterance": _object(
        index=COUNT,
        text=TEXT,
        start=NUMBER,
        end=NUMBER,
        channel=COUNT,
        speaker={"type": ["integer", "null"]},
        confidence=NUMBER,
        words=_list(WORD),
    ),
    "disconnect": _object(error=ERROR, retry_in=NUMBER),
    "reconnect": _object(outage=NUMBER, request_id=TEXT_OR_NULL),
    "error": _object(error=ERROR),
    "plugin_error": _object(plugin=TEXT, hook=TEXT, error=ERROR),
    "close": _object(
        text=TEXT,
        utterances=COUNT,
        duration=NUMBER,
        complete=FLAG,
        request_ids=_list(TEXT),
        close_code={"type": ["integer", "null"]},
        close_reason=TEXT,
        gaps=_list(_object(start=NUMBER, end=NUMBER)),
    ),
}
"""What each event adds to a line."""

RECORDING_EVENTS = {
    **EVENTS,
    "recording": _object(audio=TEXT, path=TEXT, parameters=_list(_list(TEXT)), streamclient=TEXT),
    "recovered": _object(start=NUMBER, end={"type": ["number", "null"]}, request_ids=_list(TEXT)),
}
"""What ``record`` writes too: where the audio is and what was asked for; and which span was transcribed later,
where no end is that of the audio."""


def _schema(title: str, events: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_object(
            v={"const": VERSION},
            stream=TEXT,
            time={"type": "string", "format": "date-time"},
            event={"enum": list(events)},
        ),
        "allOf": [
            {"if": {"properties": {"event": {"const": event}}}, "then": facts} for event, facts in events.items()
        ],
    }


SCHEMA = _schema("A line of the plugin jsonl", EVENTS)
"""The schema of one line. Times are seconds of the stream, except ``time``, which is UTC."""

RECORDING_SCHEMA = _schema("A line of the plugin record", RECORDING_EVENTS)
"""The same for the plugin ``record``."""
