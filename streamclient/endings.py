"""How a connection ended, and what that means: one table, decided without I/O.

Sources: Deepgram's pages on errors, on closing streams, and on troubleshooting websockets.
"""

import re

from attrs import frozen

from streamclient.audio import Span
from streamclient.errors import AudioRejected, ConnectionLost, StreamClientError
from streamclient.messages import Metadata

__all__ = ["Ending", "explain", "reason_id"]

ABNORMAL = 1006
"""Stands for a connection that broke without a close frame; never on the wire."""

REASON_ID = re.compile(r"(?i)\b(NET|DATA|BIG|MESSAGE)-?(\d{4})\b")
"""The service writes either the bare code or a sentence with a link to its page; both name it."""

MEANINGS = {
    1000: "the server ended the stream without being asked to",
    1001: "the server went away",
    1005: "the server ended the stream without being asked to",
    1006: "the connection broke",
    1011: "the server met an internal error",
}

HINTS = {
    "NET-0000": "The server had nothing to say for too long: is there speech in the audio, does it match its encoding?",
    "NET-0001": "The server received nothing for about ten seconds.",
}

NOT_RETRYABLE = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


@frozen(kw_only=True)
class Ending:
    """The facts about the end of a connection.

    Args:
        code: websocket close code, `ABNORMAL` where there was no close frame.
        reason: the server's reason.
        asked: ``CloseStream`` had been sent.
        normal_ends: the close codes that end a stream well once asked.
        metadata: the summary, where it came.
        summarised: it came after ``CloseStream``, as the last word on all the audio.
        audio_sent: bytes of audio sent on this connection.
        transcribed: some result had words.
        request_id: the service's name for the connection.
        unconfirmed: span of audio without a final transcript.
    """

    code: int
    reason: str = ""
    asked: bool = False
    normal_ends: tuple[int, ...] = (1000, 1005)
    metadata: Metadata | None = None
    summarised: bool = False
    audio_sent: int = 0
    transcribed: bool = False
    request_id: str | None = None
    unconfirmed: Span | None = None

    @property
    def reason_id(self) -> str | None:
        """The service's name for the cause, like ``NET-0001``."""
        return reason_id(self.reason)

    @property
    def _ended_well(self) -> bool:
        """The summary comes after the last result, so nothing can be missing once it is there."""
        if not self.asked:
            return False
        return self.code in self.normal_ends or (self.summarised and self.code in (1001, ABNORMAL))

    @property
    def _decoded_nothing(self) -> bool:
        """The service was sent bytes and found no audio in them. A summary without the fields does not say so."""
        if self.metadata is None or not self.audio_sent or self.transcribed:
            return False
        raw = self.metadata.raw
        return raw.get("duration") == 0 and raw.get("channels") == 0


def reason_id(reason: str) -> str | None:
    """The service's name for a cause, out of either spelling of its reason."""
    found = REASON_ID.search(reason)
    return f"{found[1].upper()}-{found[2]}" if found else None


def explain(ending: Ending) -> StreamClientError | None:
    """The error that an ending is, or ``None`` where the stream ended as asked."""
    undecodable = (ending.reason_id or "").startswith("DATA") or (ending.code == 1008 and not ending.reason)
    if undecodable or ending._decoded_nothing:  # noqa: SLF001 - of this module
        return AudioRejected(
            "The service could not decode the audio",
            code=ending.code,
            reason=ending.reason,
            detail=ending.reason or None,
            request_id=ending.request_id,
        )
    if ending._ended_well:  # noqa: SLF001 - of this module
        return None
    return _lost(ending)


def _lost(ending: Ending) -> ConnectionLost:
    meaning = MEANINGS.get(ending.code, "the server ended the connection")
    return ConnectionLost(
        f"Connection lost: {meaning} (code {ending.code})",
        code=ending.code,
        reason=ending.reason,
        detail=ending.reason or None,
        unconfirmed=ending.unconfirmed,
        request_id=ending.request_id,
        hint=HINTS.get(ending.reason_id or ""),
        retryable=ending.code not in NOT_RETRYABLE and not 4000 <= ending.code < 5000,
    )
