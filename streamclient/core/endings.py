"""How a connection ended, and what that means: one table, decided without I/O.

Sources: Deepgram's pages on errors, on closing streams, and on troubleshooting websockets.
"""

import re

from attrs import frozen

from streamclient.audio import Span
from streamclient.errors import AudioRejected, ConnectionLost, StreamClientError
from streamclient.messages import Metadata

__all__ = ["ABNORMAL", "DEFECT", "NETWORK", "Ending", "explain", "heard_nothing", "reason_id"]

ABNORMAL = 1006
"""Stands for a connection that broke without a close frame; never on the wire."""

REASON_ID = re.compile(r"(?i)\b(NET|DATA|BIG|MESSAGE)-?(\d{4})\b")
"""The service writes either the bare code or a sentence with a link to its page; both name it."""

AGAIN = "Try again in a moment; if it happens again, the service's support can look the request id up."
WORDS = "The service does not take this stream: its words say why."
DEFECT = "This looks like a defect, of the service or of what is between; the request id helps to find it."
NETWORK = "Check the network, and try again."
UNASKED = (
    "Open a new stream. A file that says itself how long it is (WAV) ends the stream when that much was heard; "
    "live audio needs a header without a length, or none."
)

ONE_FILE = (
    "Open a new stream for each file. Or send what their headers describe, without the headers, and say what it is: "
    "encoding, sample_rate, channels."
)

MEANINGS = {
    1000: ("the server ended the stream without being asked to", UNASKED),
    1001: ("the server went away", AGAIN),
    1002: ("the server found a breach of the websocket protocol", DEFECT),
    1003: ("the server does not take this kind of message", DEFECT),
    1005: ("the server ended the stream without being asked to", UNASKED),
    1006: ("the connection broke", NETWORK),
    1007: ("the server could not read a message", DEFECT),
    1008: ("the server refused the stream", WORDS),
    1009: ("a message was too big for the server", DEFECT),
    1010: ("the server misses a websocket extension", DEFECT),
    1011: ("the server met an internal error", AGAIN),
    1012: ("the server restarts", AGAIN),
    1013: ("the server is overloaded", AGAIN),
    1014: ("a gateway got no answer from the server", AGAIN),
}
"""By close code: what it means, and what to do."""

OTHERWISE = ("the server ended the connection", WORDS)

CAUSES = {
    "NET-0000": (
        "the server had nothing to say for too long",
        "Is there speech in the audio, and does it match its encoding?",
    ),
    "NET-0001": (
        "the server received nothing for about ten seconds",
        "Was this process stopped, or is the network stuck?",
    ),
}
"""The same by the service's own name for the cause, which tells more than the code."""

SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

LEAVING = frozenset({1001, 1011, 1012, 1013, 1014})
"""Codes of a server that ends for reasons of its own; that it had heard nothing yet says nothing about the audio."""

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
        begins_again: what was accepted goes on with another file, which no service hears.
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
    begins_again: bool = False
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
    def _has_empty_summary(self) -> bool:
        """The service was sent bytes and found no audio in them. A summary without the fields does not say so."""
        if self.metadata is None or not self.audio_sent or self.transcribed:
            return False
        raw = self.metadata.raw
        return raw.get("duration") == 0 and raw.get("channels") == 0


def heard_nothing(metadata: Metadata | None) -> bool:
    """Whether a summary says that no byte of audio came; its hash tells that from bytes that are no audio."""
    return metadata is not None and metadata.sha256 == SHA256_OF_NOTHING


def reason_id(reason: str) -> str | None:
    """The service's name for a cause, out of either spelling of its reason."""
    found = REASON_ID.search(reason)
    return f"{found[1].upper()}-{found[2]}" if found else None


def explain(ending: Ending) -> StreamClientError | None:
    """The error that an ending is, or ``None`` where the stream ended as asked."""
    undecodable = (ending.reason_id or "").startswith("DATA") or (ending.code == 1008 and not ending.reason)
    if undecodable:
        return _rejected(ending, "The service could not decode the audio")
    if ending._has_empty_summary:  # noqa: SLF001 - of this module
        return _lost(ending) if ending.code in LEAVING else _unheard(ending)
    if ending.begins_again and (ending._ended_well or ending.code in ending.normal_ends):  # noqa: SLF001 - of this module
        return _rejected(ending, "The service hears one WAV file, and the audio goes on with another", hint=ONE_FILE)
    if ending._ended_well:  # noqa: SLF001 - of this module
        return None
    return _lost(ending)


def _unheard(ending: Ending) -> StreamClientError:
    """A summary of nothing, where audio was sent."""
    if heard_nothing(ending.metadata):
        return _lost(ending, f"the service says that none of {ending.audio_sent} bytes of audio arrived")
    return _rejected(
        ending, f"The service found no audio in {ending.audio_sent} bytes (its summary: 0 seconds, 0 channels)"
    )


def _rejected(ending: Ending, message: str, hint: str | None = None) -> AudioRejected:
    return AudioRejected(
        message,
        hint=hint,
        code=ending.code,
        reason=ending.reason,
        detail=ending.reason or None,
        request_id=ending.request_id,
    )


def _lost(ending: Ending, what: str | None = None) -> ConnectionLost:
    meaning, hint = CAUSES.get(ending.reason_id or "") or MEANINGS.get(ending.code, OTHERWISE)
    if what is not None:
        meaning, hint = what, AGAIN
    return ConnectionLost(
        f"Connection lost: {meaning} (code {ending.code})",
        code=ending.code,
        reason=ending.reason,
        detail=ending.reason or None,
        unconfirmed=ending.unconfirmed,
        request_id=ending.request_id,
        hint=hint,
        retryable=ending.code not in NOT_RETRYABLE and not 4000 <= ending.code < 5000,
    )
