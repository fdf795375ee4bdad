"""When the faults of one connection are due: counts, without sockets or clocks."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from streamclient.testing.faults import Alter, Fault

__all__ = ["Mishaps", "alter", "control_type"]


class Mishaps:
    """The faults of one connection that are still to come.

    Args:
        faults: of the connection.
        bytes_per_second: of its raw audio; ``None`` where bytes have no duration.

    Raises:
        ValueError: a fault counts seconds of audio whose bytes have no duration.
    """

    def __init__(self, faults: Iterable[Fault], bytes_per_second: int | None = None) -> None:
        self._pending = list(faults)
        self._counts: Counter[str] = Counter()
        self._bytes_per_second = bytes_per_second
        self._closing = False
        if bytes_per_second is None and any(fault.after.what == "seconds" for fault in self._pending):
            raise ValueError("only raw audio can be counted in seconds; count bytes instead: after=audio_bytes(...)")

    def in_handshake(self) -> list[Fault]:
        """The faults that meet the request."""
        return self._take("handshake")

    def opened(self) -> list[Fault]:
        """The connection stands; the faults that meet it there."""
        return self._take("bytes", "seconds", "messages", "finals")

    def heard(self, audio: bytes) -> Iterator[tuple[bytes, list[Fault]]]:
        """Audio from the client, cut where faults are due: what is to be forwarded, and the faults that follow."""
        while audio:
            size = min([len(audio), *self._left()])
            piece, audio = audio[:size], audio[size:]
            self._counts["bytes"] += len(piece)
            yield piece, self._take("bytes", "seconds")

    def asked_to_close(self) -> list[Fault]:
        """``CloseStream`` has been forwarded; the faults that follow."""
        self._closing = True
        return self._take("close_stream")

    def said(self, message: object) -> list[Fault]:
        """A message has been forwarded to the client; the faults that follow."""
        self._counts["messages"] += 1
        self._counts["finals"] += isinstance(message, dict) and message.get("is_final") is True
        self._counts["close_stream"] += self._closing
        return self._take("messages", "finals", "close_stream")

    def _left(self) -> Iterator[int]:
        """Bytes until each fault that counts audio; never none, since those that are due have been taken."""
        for fault in self._pending:
            if fault.after.what in ("bytes", "seconds"):
                yield self._wanted(fault) - self._counts["bytes"]

    def _wanted(self, fault: Fault) -> int:
        if fault.after.what == "seconds":
            assert self._bytes_per_second
            return round(fault.after.count * self._bytes_per_second)
        return int(fault.after.count)

    def _take(self, *units: str) -> list[Fault]:
        due = [fault for fault in self._pending if fault.after.what in units and self._is_due(fault)]
        self._pending = [fault for fault in self._pending if fault not in due]
        return due

    def _is_due(self, fault: Fault) -> bool:
        unit = fault.after.what
        if unit in ("bytes", "seconds"):
            return self._counts["bytes"] >= self._wanted(fault)
        if unit == "close_stream" and not self._closing:
            return False
        return unit == "handshake" or self._counts[unit] >= fault.after.count


def control_type(text: str) -> str | None:
    """The type of a text frame from a client, ``None`` for what is no control message."""
    message = parse(text)
    kind = message.get("type") if isinstance(message, dict) else None
    return kind if isinstance(kind, str) else None


def parse(text: str) -> Any:
    """What a text frame says, or ``None``."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def alter(text: str, alterations: Iterable[Alter]) -> list[str]:
    """What comes in place of a message of the server."""
    texts = [text]
    for alteration in alterations:
        texts = [altered for text in texts for altered in _alter(text, alteration)]
    return texts


def _alter(text: str, alteration: Alter) -> list[str]:
    message = parse(text)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return [text]
    return [json.dumps(altered) for altered in ALTERATIONS[alteration.how](message)]


def _double_finals(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [message] * (2 if message.get("is_final") else 1)


def _no_alternatives(message: dict[str, Any]) -> list[dict[str, Any]]:
    if message["type"] == "Results" and not (message.get("is_final") and _is_worded(message)):
        message = {**message, "channel": {"alternatives": []}}
    return [message]


def _is_worded(message: dict[str, Any]) -> bool:
    return any(alternative.get("transcript") for alternative in message["channel"]["alternatives"])


OPTIONAL = {
    "channel_index": ("from_finalize", "entities"),
    "alternatives": ("search",),
    "transcript": ("languages",),
    "word": ("punctuated_word", "speaker", "language"),
    "model_uuid": ("extra", "diarize_info"),
    "transaction_key": ("models", "model_info", "extra"),
    "variant": ("code", "message"),
    "turn_index": ("trigger", "languages_hinted"),
}
"""What may be missing in a message or a part of one, by a field that it always has."""


def _null_optionals(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [_everywhere(message, _with_null_optionals)]


def _with_null_optionals(value: dict[str, Any]) -> dict[str, Any]:
    optional = [name for mark, names in OPTIONAL.items() if mark in value for name in names]
    return {**value, **dict.fromkeys(optional)}


def _unknown_fields(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [_everywhere(message, lambda value: {**value, "news": {"since": [2027, None]}})]


def _everywhere(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return change({name: _everywhere(inner, change) for name, inner in value.items()})
    return [_everywhere(inner, change) for inner in value] if isinstance(value, list) else value


def _type_is_a_number(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**message, "type": 7}, message]


def _no_from_finalize(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in message.items() if name != "from_finalize"}]


ALTERATIONS = {
    "double finals": _double_finals,
    "no alternatives": _no_alternatives,
    "null optionals": _null_optionals,
    "unknown fields": _unknown_fields,
    "type is a number": _type_is_a_number,
    "no from_finalize": _no_from_finalize,
}
