"""Messages as the service sends them, ready to be made JSON; every field can be overridden."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from streamclient.core.parsing import parse_message

__all__ = [
    "REQUEST_ID",
    "SHA256_OF_NOTHING",
    "SpokenWord",
    "configure_failure",
    "configure_success",
    "connected",
    "error",
    "interim",
    "metadata",
    "parsed",
    "results",
    "speech_started",
    "spread",
    "turn_info",
    "utterance_end",
    "warning",
    "word",
]

Message = dict[str, Any]
T = TypeVar("T")

SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SOME_SHA256 = "9f2b6d0c4b7e1a5f8c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b"
REQUEST_ID = "0b6c7c3e-50c9-4d0e-9d0f-5a2a6a6f5a11"
MODEL_UUID = "7f0d2c6a-3a0e-4f0c-8f61-0b0a6b8f9c22"
MODEL_INFO = {"name": "general-nova-3", "version": "2026-01-01.0", "arch": "nova-3"}

SpokenWord = tuple[str, float, float] | tuple[str, float, float, int]
"""A word, its start and end in seconds, and perhaps its speaker."""


def spread(text: str, start: float, end: float, speaker: int | None = None) -> list[SpokenWord]:
    """The words of a text, evenly over a span."""
    words = text.split()
    step = (end - start) / max(len(words), 1)
    spans = [(word, start + step * index, start + step * (index + 1)) for index, word in enumerate(words)]
    return [span if speaker is None else (*span, speaker) for span in spans]


def word(spoken: SpokenWord, confidence: float = 0.9) -> Message:
    """One word of a result."""
    text, start, end, *speaker = spoken
    fields = {"word": text, "start": start, "end": end, "confidence": confidence}
    return {**fields, "speaker": speaker[0]} if speaker else fields


def results(
    text: str,
    start: float,
    end: float,
    *,
    words: Iterable[SpokenWord] | None = None,
    channel: int = 0,
    channels: int = 1,
    confidence: float = 0.9,
    **fields: Any,
) -> Message:
    """A final of a span.

    Args:
        text: of the best reading, ``""`` for silence.
        start: of the span, in seconds.
        end: of the span, in seconds.
        words: where they differ from those of the text, spread evenly.
        channel: from 0.
        channels: number of channels.
        confidence: of every word.
        fields: override any field of the message, such as ``is_final`` and ``speech_final``.
    """
    spoken = spread(text, start, end) if words is None else words
    return {
        "type": "Results",
        "channel_index": [channel, channels],
        "start": start,
        "duration": end - start,
        "is_final": True,
        "speech_final": False,
        "from_finalize": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": text,
                    "confidence": confidence if text else 0.0,
                    "words": [word(one, confidence) for one in spoken],
                }
            ]
        },
        "metadata": {"request_id": REQUEST_ID, "model_info": MODEL_INFO, "model_uuid": MODEL_UUID},
        **fields,
    }


def interim(text: str, start: float, end: float, **fields: Any) -> Message:
    """A preliminary result; the arguments of :func:`results`."""
    return results(text, start, end, **{"is_final": False, **fields})


def metadata(duration: float = 1.0, channels: int = 1, sha256: str = SOME_SHA256, **fields: Any) -> Message:
    """The summary at the end of a connection; ``duration`` 0 and ``channels`` 0 where no audio was decoded."""
    return {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": REQUEST_ID,
        "sha256": sha256,
        "created": "2026-03-04T10:11:12.345Z",
        "duration": duration,
        "channels": channels,
        **fields,
    }


def utterance_end(last_word_end: float, channel: int = 0, channels: int = 1) -> Message:
    """A gap after the last word; -1 where the message says nothing new."""
    return {"type": "UtteranceEnd", "channel": [channel, channels], "last_word_end": last_word_end}


def speech_started(timestamp: float, channel: int = 0, channels: int = 1) -> Message:
    """The voice activity detector heard speech."""
    return {"type": "SpeechStarted", "channel": [channel, channels], "timestamp": timestamp}


def error(description: str, variant: str = "SchemaError", **fields: Any) -> Message:
    """A complaint about a control message; the stream goes on."""
    return {"type": "Error", "variant": variant, "description": description, **fields}


def configure_success(**fields: Any) -> Message:
    """The answer to a ``Configure`` that was accepted."""
    return {"type": "ConfigureSuccess", "request_id": REQUEST_ID, **fields}


def configure_failure(code: str, description: str, **fields: Any) -> Message:
    """The answer to a ``Configure`` that changed nothing; on ``/v2/listen`` with a ``sequence_id``."""
    return {
        "type": "ConfigureFailure",
        "request_id": REQUEST_ID,
        "code": code,
        "description": description,
        **fields,
    }


def connected(sequence_id: int = 0, **fields: Any) -> Message:
    """The first message on ``/v2/listen``."""
    return {"type": "Connected", "request_id": REQUEST_ID, "sequence_id": sequence_id, **fields}


def warning(code: str, description: str, sequence_id: int = 1, **fields: Any) -> Message:
    """Something on ``/v2/listen`` that ends nothing."""
    return {
        "type": "Warning",
        "request_id": REQUEST_ID,
        "sequence_id": sequence_id,
        "code": code,
        "description": description,
        **fields,
    }


def turn_info(text: str, start: float, end: float, event: str = "Update", **fields: Any) -> Message:
    """What a turn on ``/v2/listen`` sounds like so far; the words are spread evenly over its span."""
    words = [
        {"word": name, "confidence": 0.9, "start": begin, "end": end}
        for name, begin, end, *_ in spread(text, start, end)
    ]
    return {
        "type": "TurnInfo",
        "request_id": REQUEST_ID,
        "event": event,
        "turn_index": 0,
        "audio_window_start": start,
        "audio_window_end": end,
        "transcript": text,
        "words": words,
        "end_of_turn_confidence": 0.5,
        "sequence_id": 1,
        **fields,
    }


def parsed(message: Message, kind: type[T]) -> T:
    """A message as hooks are given it, such as ``parsed(results("good morning", 0, 1), Results)``.

    Args:
        message: made here, or by hand.
        kind: what it is to become, one of the messages of ``streamclient``.

    Raises:
        TypeError: it becomes something else.
    """
    value = parse_message(json.dumps(message))
    if not isinstance(value, kind):
        raise TypeError(f"this becomes a {type(value).__name__}, not a {kind.__name__}: {message!r:.200}")
    return value
