"""Messages as the service sends them, as the values they become."""

import json
from typing import Any

from streamclient.core.parsing import parse_message
from streamclient.messages import Message, Metadata, Results, UtteranceEnd
from streamclient.testing.builders import metadata, results, utterance_end


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
