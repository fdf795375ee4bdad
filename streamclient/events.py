"""What a stream reports: its states, what happens to it, and what is assembled from the service's messages.

All values are frozen and can be shared between threads. Times are seconds on the stream's timeline.
"""

from enum import Enum
from typing import Any

import attrs
from attrs import frozen

from streamclient.audio import Span
from streamclient.errors import SpillError, StreamClientError
from streamclient.messages import Message, Metadata, Word

__all__ = [
    "Audio",
    "Closed",
    "Disconnected",
    "Event",
    "Failed",
    "HookStats",
    "Opened",
    "PluginFailed",
    "PluginStats",
    "Reconnected",
    "StreamState",
    "StreamStats",
    "Transcript",
    "Utterance",
]


class StreamState(Enum):
    """Where a stream is in its life.

    Attributes:
        NEW: not opened yet.
        CONNECTING: the first connection is being made.
        OPEN: connected; audio is accepted.
        RECONNECTING: the connection is lost and built again; audio is still accepted.
        CLOSING: ``close()`` was called; what was accepted is still sent, and its transcripts come.
        CLOSED: ended as asked, by ``close()`` or ``abort()``.
        FAILED: ended by an error, which ``send()`` and ``close()`` raise.
    """

    NEW = "new"
    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


@frozen
class Utterance:
    """What one speaker said on one channel between two pauses; on v2 a turn.

    Args:
        index: number of the utterance in the stream, from 0.
        start: start of its first word, in seconds.
        end: end of its last word, in seconds.
        text: as formatted by the service.
        words: its words, in order.
        channel: its channel, from 0.
        speaker: the speaker's number on this channel, or ``None`` without diarization.
        confidence: mean over its words, 0 to 1.
    """

    index: int
    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    channel: int = 0
    speaker: int | None = None
    confidence: float = 0.0


@frozen
class Transcript:
    """What is known of a stream so far.

    Args:
        utterances: in the order they were completed; while the stream goes on, those that finals have begun come last.
        duration: seconds of audio the service has decoded, as far as it said.
        metadata: the service's summary, once it came.
        request_ids: one for each connection.
        complete: everything accepted by ``send()`` was transcribed and the server ended the stream as asked.
        close_code: websocket close code, once the connection has ended.
        close_reason: the server's reason.
        gaps: spans of audio without a transcript.
    """

    utterances: tuple[Utterance, ...] = ()
    duration: float = 0.0
    metadata: Metadata | None = None
    request_ids: tuple[str, ...] = ()
    complete: bool = False
    close_code: int | None = None
    close_reason: str = ""
    gaps: tuple[Span, ...] = ()

    @property
    def text(self) -> str:
        """The texts of the utterances, joined by one space."""
        return " ".join(utterance.text for utterance in self.utterances)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all utterances."""
        return tuple(word for utterance in self.utterances for word in utterance.words)

    def to_dict(self) -> dict[str, Any]:
        """The transcript as plain values that JSON can hold."""
        return {
            "text": self.text,
            "utterances": [{**attrs.asdict(one), "words": _plain(one.words)} for one in self.utterances],
            "words": _plain(self.words),
            "duration": self.duration,
            "metadata": dict(self.metadata.raw) if self.metadata else None,
            "request_ids": list(self.request_ids),
            "complete": self.complete,
            "close_code": self.close_code,
            "close_reason": self.close_reason,
            "gaps": _plain(self.gaps),
        }


def _plain(values: tuple[Word, ...] | tuple[Span, ...]) -> list[dict[str, Any]]:
    return [attrs.asdict(value) for value in values]


@frozen(kw_only=True)
class HookStats:
    """The calls of one hook of one plugin.

    Args:
        hook: its name.
        calls: how often it has been called.
        seconds: time spent in it, all calls together.
        slowest: seconds of the longest call.
    """

    hook: str
    calls: int = 0
    seconds: float = 0.0
    slowest: float = 0.0


@frozen(kw_only=True)
class PluginStats:
    """A snapshot of one plugin's counters.

    Args:
        name: unique among the plugins of the stream.
        waiting: events that wait for it.
        interims_shed: superseded interims left out because it was slow.
        errors: exceptions raised by its hooks, and once it was stopped.
        unprocessed: results and utterances that it should have changed and did not, because it failed or was slow.
        undelivered: events that it did not get, because it was stopped or left behind at the end.
        stopped: whether it fell so far behind that it was stopped.
        busy_in: the hook it is in, or ``None``.
        busy_for: seconds since that call began.
        hooks: the calls of its hooks.
    """

    name: str
    waiting: int = 0
    interims_shed: int = 0
    errors: int = 0
    unprocessed: int = 0
    undelivered: int = 0
    stopped: bool = False
    busy_in: str | None = None
    busy_for: float = 0.0
    hooks: tuple[HookStats, ...] = ()


@frozen(kw_only=True)
class StreamStats:
    """A snapshot of a stream's counters.

    Args:
        audio_bytes: accepted by ``send()``.
        audio_seconds: the same in seconds, of a container about; 0.0 where only the server knows how long it lasts.
        frames_sent: audio frames handed to the network.
        messages_received: text messages from the server.
        keepalives_sent: KeepAlive messages.
        reconnects: connections after the first.
        interims_shed: superseded interims left out because a plugin was slow.
        plugin_errors: exceptions raised by hooks, and plugins stopped.
        lag: seconds of audio sent but not yet covered by any result
            (Deepgram: Measuring Streaming Latency).
        buffered_seconds: accepted audio that waits to be sent, in seconds.
        plugin_errors_by_name: ``plugin_errors`` of each plugin that had any.
        spill_error: why audio is not kept on disk any more, or ``None``; the stream goes on with memory alone.
        plugins: the counters of each plugin, in the order of ``plugins=[...]``.
    """

    audio_bytes: int = 0
    audio_seconds: float = 0.0
    frames_sent: int = 0
    messages_received: int = 0
    keepalives_sent: int = 0
    reconnects: int = 0
    interims_shed: int = 0
    plugin_errors: int = 0
    lag: float = 0.0
    buffered_seconds: float = 0.0
    plugin_errors_by_name: tuple[tuple[str, int], ...] = ()
    spill_error: SpillError | None = None
    plugins: tuple[PluginStats, ...] = ()


@frozen
class Opened:
    """The first connection is open.

    Args:
        request_id: the service's name for it, or ``None``.
    """

    request_id: str | None = None


@frozen
class Audio:
    """Audio that was accepted; told to plugins that hear it, and not among what ``events()`` yields.

    Args:
        audio: some chunks, joined.
    """

    audio: bytes


@frozen
class Disconnected:
    """An outage begins.

    Args:
        error: why.
        retry_in: seconds until the next attempt.
    """

    error: StreamClientError
    retry_in: float


@frozen
class Reconnected:
    """An outage has ended.

    Args:
        outage: seconds it lasted.
        request_id: the service's name for the new connection, or ``None``.
    """

    outage: float
    request_id: str | None = None


@frozen
class Failed:
    """The stream failed for good.

    Args:
        error: why.
    """

    error: StreamClientError


@frozen
class PluginFailed:
    """A hook of a plugin raised, or the plugin was stopped.

    Args:
        plugin: its name.
        hook: name of the hook.
        error: what it raised.
    """

    plugin: str
    hook: str
    error: BaseException


@frozen
class Closed:
    """The last event of every stream, exactly once, also after a failure.

    Args:
        transcript: all there is.
    """

    transcript: Transcript


Event = Opened | Message | Utterance | Disconnected | Reconnected | Failed | PluginFailed | Closed
