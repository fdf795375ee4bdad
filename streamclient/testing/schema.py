"""The messages of the service as JSON schemas, and a check against them.

They are strict: a field that the service does not send is an error. So they are for what a server emits; a client has
to bear more.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

__all__ = ["SCHEMAS", "UnfaithfulMessage", "check_message"]

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0}
RATIO: Schema = {"type": "number", "minimum": 0, "maximum": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
CHANNEL: Schema = {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


MODEL_INFO = _object({"name": STRING, "version": STRING, "arch": STRING})
WORD = _object(
    {"word": TEXT, "start": SECONDS, "end": SECONDS, "confidence": RATIO},
    punctuated_word=TEXT,
    speaker=COUNT,
    language=TEXT,
)
ALTERNATIVE = _object(
    {"transcript": STRING, "confidence": RATIO, "words": _list(WORD)},
    languages=_list(TEXT),
)
HIT = _object({"confidence": RATIO, "start": SECONDS, "end": SECONDS, "snippet": STRING})
ENTITY = _object(
    {"label": TEXT, "value": TEXT, "confidence": RATIO, "start_word": COUNT, "end_word": COUNT}, raw_value=STRING
)
EXTRA: Schema = {"type": "object", "additionalProperties": STRING}
THRESHOLDS = _object({}, eot_threshold=RATIO, eager_eot_threshold=RATIO, eot_timeout_ms=COUNT)
TURN_WORD = _object({"word": TEXT, "confidence": RATIO}, start=SECONDS, end=SECONDS)
EVENTS = ["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]


def _message(kind: str, required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return _object({"type": {"const": kind}, **required}, **optional)


SCHEMAS: dict[str, dict[str, Schema]] = {
    "v1": {
        "Results": _message(
            "Results",
            {
                "channel_index": CHANNEL,
                "start": SECONDS,
                "duration": SECONDS,
                "channel": _object(
                    {"alternatives": {**_list(ALTERNATIVE), "minItems": 1}},
                    search=_list(_object({"query": TEXT, "hits": _list(HIT)})),
                ),
                "metadata": _object(
                    {"request_id": UUID, "model_info": MODEL_INFO, "model_uuid": UUID},
                    extra=EXTRA,
                    diarize_info=_object({"model_uuid": UUID, "arch": STRING}),
                ),
                "is_final": FLAG,
                "speech_final": FLAG,
                "from_finalize": FLAG,
            },
            entities=_list(ENTITY),
        ),
        "Metadata": _message(
            "Metadata",
            {
                "transaction_key": {"const": "deprecated"},
                "request_id": UUID,
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "created": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
                "duration": SECONDS,
                "channels": COUNT,
            },
            models=_list(UUID),
            model_info={"type": "object", "propertyNames": UUID, "additionalProperties": MODEL_INFO},
            extra=EXTRA,
        ),
        "UtteranceEnd": _message(
            "UtteranceEnd", {"channel": CHANNEL, "last_word_end": {"type": "number", "minimum": -1}}
        ),
        "SpeechStarted": _message("SpeechStarted", {"channel": CHANNEL, "timestamp": SECONDS}),
        "Error": _message("Error", {"variant": TEXT, "description": TEXT}, code=TEXT, message=STRING),
        "ConfigureSuccess": _message("ConfigureSuccess", {"request_id": UUID}, keyterms=_list(TEXT)),
        "ConfigureFailure": _message("ConfigureFailure", {"request_id": UUID}, code=TEXT, description=TEXT),
    },
    "v2": {
        "Connected": _message("Connected", {"request_id": UUID, "sequence_id": COUNT}),
        "TurnInfo": _message(
            "TurnInfo",
            {
                "request_id": UUID,
                "sequence_id": COUNT,
                "event": {"enum": EVENTS},
                "turn_index": COUNT,
                "audio_window_start": SECONDS,
                "audio_window_end": SECONDS,
                "transcript": STRING,
                "words": _list(TURN_WORD),
                "end_of_turn_confidence": RATIO,
            },
            trigger={"enum": ["model", "manual", "timeout"]},
            languages=_list(TEXT),
            languages_hinted=_list(TEXT),
        ),
        "ConfigureSuccess": _message(
            "ConfigureSuccess",
            {"request_id": UUID, "sequence_id": COUNT, "thresholds": THRESHOLDS, "keyterms": _list(TEXT)},
            language_hints=_list(TEXT),
            numerals=FLAG,
            profanity_filter=FLAG,
        ),
        "ConfigureFailure": _message(
            "ConfigureFailure", {"request_id": UUID, "sequence_id": COUNT}, code=TEXT, description=TEXT
        ),
        "Warning": _message("Warning", {"request_id": UUID, "sequence_id": COUNT, "code": TEXT, "description": TEXT}),
        "Error": _message("Error", {"sequence_id": COUNT, "code": TEXT, "description": TEXT}),
    },
}
"""The schema of every message, by version of the endpoint and type."""


class UnfaithfulMessage(AssertionError):
    """A message that the service would not send."""


def check_message(message: Mapping[str, Any], version: str = "v1") -> None:
    """Check that the service could have sent a message. Needs jsonschema, which comes with the extra ``testing``.

    Beyond the schema: ``speech_final`` implies ``is_final``, silence has no confidence, words lie in order within
    their span, and nothing was decoded where there are no channels.

    Args:
        message: as it would be made JSON.
        version: of the endpoint, ``"v1"`` or ``"v2"``.

    Raises:
        UnfaithfulMessage: with the first thing that is wrong.
    """
    kind = message.get("type") if isinstance(message, Mapping) else None
    if not isinstance(kind, str) or kind not in SCHEMAS[version]:
        raise UnfaithfulMessage(f"{version} has no message of type {kind!r}: {message!r}")
    wrong = next(iter(_validator(version, kind).iter_errors(dict(message))), None)
    if wrong is not None:
        raise UnfaithfulMessage(f"{kind}: {wrong.json_path}: {wrong.message}: {message}")
    for complaint in CHECKS.get(kind, _no_complaint)(message):
        raise UnfaithfulMessage(f"{kind}: {complaint}: {message}")


@cache
def _validator(version: str, kind: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(SCHEMAS[version][kind])


TOLERANCE = 1e-4


def _no_complaint(_: Mapping[str, Any]) -> list[str]:
    return []


def _complaints_about_results(message: Mapping[str, Any]) -> list[str]:
    start, end = message["start"], message["start"] + message["duration"]
    index, total = message["channel_index"]
    complaints = []
    if message["speech_final"] and not message["is_final"]:
        complaints.append("speech_final implies is_final")
    if index >= total:
        complaints.append("there is no such channel")
    for alternative in message["channel"]["alternatives"]:
        edges = [edge for word in alternative["words"] for edge in (word["start"], word["end"])]
        if not alternative["transcript"] and alternative["confidence"]:
            complaints.append("silence has no confidence")
        if edges != sorted(edges):
            complaints.append("the words are not in order")
        if edges and not start - TOLERANCE <= edges[0] <= edges[-1] <= end + TOLERANCE:
            complaints.append("the words lie outside of their span")
    return complaints


def _complaints_about_metadata(message: Mapping[str, Any]) -> list[str]:
    return [] if bool(message["channels"]) == bool(message["duration"]) else ["no channels go with no duration"]


CHECKS = {"Results": _complaints_about_results, "Metadata": _complaints_about_metadata}
