"""Messages as the service sends them, and the values they become."""

import json
from collections.abc import Iterable
from typing import Any

from streamclient.messages import Message, Metadata, Results, UtteranceEnd
from streamclient.parsing import parse_message

SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SOME_SHA256 = "9f2b6d0c4b7e1a5f8c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b"
REQUEST_ID = "0b6c7c3e-50c9-4d0e-9d0f-5a2a6a6f5a11"

SpokenWord = tuple[str, float, float] | tuple[str, float, float, int]
"""A word, its start and end in seconds, and perhaps its speaker."""


def spread(text: str, start: float, end: float, speaker: int | None = None) -> list[SpokenWord]:
    """The words of a text, evenly over a span."""
    words = text.split()
    step = (end - start) / max(len(words), 1)
    spans = [(word, start + step * index, start + step * (index + 1)) for index, word in enumerate(words)]
    return [span if speaker is None else (*span, speaker) for span in spans]


def word(spoken: SpokenWord, confidence: float = 0.9) -> dict[str, Any]:
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
) -> dict[str, Any]:
    """A final of a span; ``is_final`` and its kin can be overridden."""
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
        "metadata": {"request_id": REQUEST_ID},
        **fields,
    }


def metadata(duration: float = 1.0, channels: int = 1, sha256: str = SOME_SHA256, **fields: Any) -> dict[str, Any]:
    """The summary at the end of a connection."""
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


def utterance_end(last_word_end: float, channel: int = 0, channels: int = 1) -> dict[str, Any]:
    """A gap after the last word; -1 where the message says nothing new."""
    return {"type": "UtteranceEnd", "channel": [channel, channels], "last_word_end": last_word_end}


def parsed(message: dict[str, Any]) -> Message:
    """The value a message becomes on its way over the wire."""
    return parse_message(json.dumps(message))


def final(text: str, start: float, end: float, **fields: Any) -> Results:
    """A final result."""
    message = parsed(results(text, start, end, **fields))
    assert isinstance(message, Results)
    return message


def interim(text: str, start: float, end: float, **fields: Any) -> Results:
    """A preliminary result."""
    return final(text, start, end, is_final=False, **fields)


def gap(last_word_end: float, channel: int = 0) -> UtteranceEnd:
    """A gap of the length asked for, after a word."""
    message = parsed(utterance_end(last_word_end, channel))
    assert isinstance(message, UtteranceEnd)
    return message


def summary(duration: float = 1.0, channels: int = 1, **fields: Any) -> Metadata:
    """The summary, as a value."""
    message = parsed(metadata(duration, channels, **fields))
    assert isinstance(message, Metadata)
    return message


EMPTY_SUMMARY = summary(0.0, 0)
"""Bytes came, and no audio was found in them."""
