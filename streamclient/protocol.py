"""The stream as a state machine: one object for the whole stream, across its connections.

It knows no threads, sockets or clocks. Time comes in as an argument, in seconds of any monotonic clock; what is to be
done goes out as an answer of `Protocol.next_action`. Whoever owns a `Protocol` guards it with one lock and calls its
verbs:

* the caller's: `open`, `send_audio`, `send_control`, `request_close`, `abort`;
* the connection's: `connected`, `connect_failed`, `receive_message`, `receive_ping`, `receive_pong`, `receive_end`,
  `write_failed`;
* the writer's: `next_action`, again and again, doing each time what it says, until it says `Finish`; then `finish`.
"""

from collections import deque
from enum import Enum, auto
from math import inf

from streamclient.actions import Action, Connect, Finish, Frame, FrameKind, HangUp, Release, Wait, Write
from streamclient.audio import Span
from streamclient.dialect import dialect_for
from streamclient.endings import ABNORMAL, Ending, explain
from streamclient.errors import CloseTimeout, ConnectionLost, StreamClientError
from streamclient.events import (
    Closed,
    Event,
    Failed,
    Opened,
    StreamState,
    StreamStats,
    Transcript,
)
from streamclient.journal import Journal
from streamclient.messages import Message, Metadata, Results
from streamclient.options import FluxOptions, ListenOptions
from streamclient.policies import BufferPolicy, Timeouts

__all__ = ["TRANSITIONS", "Protocol"]

TRANSITIONS: dict[StreamState, dict[str, StreamState]] = {
    StreamState.NEW: {"open()": StreamState.CONNECTING, "close() or abort()": StreamState.CLOSED},
    StreamState.CONNECTING: {
        "connected": StreamState.OPEN,
        "close()": StreamState.CLOSING,
        "refused or unreachable": StreamState.FAILED,
        "abort()": StreamState.CLOSED,
    },
    StreamState.OPEN: {
        "close()": StreamState.CLOSING,
        "connection lost": StreamState.FAILED,
        "abort()": StreamState.CLOSED,
    },
    StreamState.CLOSING: {
        "the server has closed": StreamState.CLOSED,
        "connection lost or close() timed out": StreamState.FAILED,
        "abort()": StreamState.CLOSED,
    },
    StreamState.CLOSED: {},
    StreamState.FAILED: {},
}
"""What leads from one state to another. The manual draws its diagram from this table."""

# Looked up once: before Python 3.12 an enum's member costs as much as a call, and these are asked for with every chunk.
ACCEPTING = (StreamState.OPEN, StreamState.CONNECTING, StreamState.RECONNECTING)
"""States in which audio is accepted."""

SIGNS_OF_LIFE = (FrameKind.AUDIO, FrameKind.TEXT)
"""Frames that tell the service that the stream lives on; pings and pongs do not."""

BATCH_BYTES = 65536
"""Audio taken at a time, so that an answer to a ping never waits behind more than this."""

LAG_WHEN_UNKNOWN = 30.0
"""Seconds a server may lag where only it knows how long the audio lasts; any message of its shows that it lives."""

LAST_WORDS = 2.0
"""Seconds to go on reading after a write failed: the server's reason may still be on its way."""


class _Link(Enum):
    """Where the current connection is in its life."""

    NONE = auto()
    CONNECTING = auto()
    UP = auto()
    HANGING_UP = auto()
    CUT = auto()
    ENDED = auto()


class Protocol:
    """The state machine of one stream.

    Args:
        options: what the service is asked for.
        timeouts: deadlines.
        buffer: bounds.
    """

    def __init__(self, options: ListenOptions | FluxOptions, timeouts: Timeouts, buffer: BufferPolicy) -> None:
        self.state = StreamState.NEW
        self.error: StreamClientError | None = None
        self._dialect = dialect_for(options)
        self._clock = options.clock
        self._timeouts = timeouts
        self._journal = Journal(buffer.max_memory, self._clock.frame_bytes)
        self._assembler = self._dialect.assembler()
        self._link = _Link.NONE
        self._replies: deque[Frame] = deque()
        self._close_requested = False
        self._close_stream_sent = False
        self._close_stream_in_flight = False
        self._aborted = False
        self._reason: StreamClientError | None = None
        self._drain_until = inf
        self._writing = False
        self._last_write = 0.0
        self._last_receive = 0.0
        self._last_ping = 0.0
        self._unanswered_ping: float | None = None
        self._close_frame: tuple[int, str] | None = None
        self._close_asked = 0.0
        self._metadata: Metadata | None = None
        self._summarised = False
        self._was_connected = False
        self._request_ids: list[str] = []
        self._furthest = 0.0
        self._final_ends: dict[int, float] = {}
        self._channels = 1
        self._transcribed = False
        self._messages_received = 0
        self._frames_sent = 0
        self._keepalives_sent = 0

    # The caller's verbs.

    def open(self, now: float) -> None:
        """The stream is to begin."""
        self.state = StreamState.CONNECTING
        self._last_write = self._last_receive = now

    @property
    def accepts_audio(self) -> bool:
        """Whether audio and control messages may be added."""
        return self.state in ACCEPTING

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes may be added now."""
        return self._journal.has_room(size)

    def send_audio(self, audio: bytes) -> None:
        """Accept a chunk that is not empty and for which there is room."""
        self._journal.add_audio(audio)

    def send_control(self, text: str) -> None:
        """Accept a control message for which there is room; it keeps its place among the audio."""
        self._journal.add_control(text)

    def finalize_message(self, channel: int | None) -> str:
        """The control message that asks for everything buffered as finals."""
        return self._dialect.finalize(channel)

    def configure_message(self, changes: dict[str, object]) -> str:
        """The control message that changes settings."""
        return self._dialect.configure(changes)

    def request_close(self, now: float) -> None:
        """No more audio will come: finish what was accepted, then ask the server to end the stream."""
        if self.state is StreamState.NEW:
            self.state = StreamState.CLOSED
        if self.accepts_audio:
            self.state = StreamState.CLOSING
            self._close_requested = True
            self._close_asked = now

    def abort(self, error: StreamClientError | None = None) -> None:
        """End now; with an error the stream counts as failed."""
        if self._has_ended:
            return
        self._aborted = True
        if self._link is _Link.UP:
            self._link = _Link.HANGING_UP
        self._end(error)

    # The connection's verbs.

    def connected(self, request_id: str | None, now: float) -> list[Event]:
        """The connection stands."""
        self._link = _Link.HANGING_UP if self._aborted else _Link.UP
        if self.state is StreamState.CONNECTING:
            self.state = StreamState.OPEN
        self._was_connected = True
        if request_id:
            self._request_ids.append(request_id)
        self._last_write = self._last_receive = self._last_ping = now
        return [] if self._aborted else [Opened(request_id)]

    def connect_failed(self, error: StreamClientError) -> None:
        """The connection did not come about."""
        self._link = _Link.NONE
        self._end(error)

    def receive_message(self, message: Message, now: float) -> list[Event]:
        """A message of the server; what it means for hooks, in order."""
        self._heard(now)
        self._messages_received += 1
        if isinstance(message, Results):
            self._furthest = max(self._furthest, message.end)
            self._channels = max(self._channels, message.channels)
            self._transcribed = self._transcribed or bool(message.transcript)
        elif isinstance(message, Metadata):
            self._metadata = message
            self._summarised = self._close_stream_sent
        final = self._dialect.final_end(message)
        if final:
            channel, end = final
            self._final_ends[channel] = max(self._final_ends.get(channel, 0.0), end)
        return [message, *self._assembler.receive(message)]

    def receive_ping(self, payload: bytes, now: float) -> None:
        """A ping of the server; only the newest needs an answer."""
        self._heard(now)
        self._replies = deque([Frame(FrameKind.PONG, payload)])

    def receive_pong(self, now: float) -> None:
        """An answer to a ping."""
        self._heard(now)

    def receive_end(self, close: tuple[int, str] | None, error: StreamClientError | None = None) -> None:
        """The reader's last word: the server's close frame, or the error that ended the reading."""
        self._link = _Link.ENDED
        self._close_frame = close
        self._reason = self._reason or error
        if not self._close_stream_in_flight:  # else the write's outcome says whether the server could hear it
            self._end(self._decide())

    def write_failed(self, error: StreamClientError, now: float) -> None:
        """A write failed; nothing more is written, but what the server still says is read for a moment."""
        if self._close_stream_in_flight:
            self._close_stream_sent = False
        if self._link is _Link.UP:
            self._reason = self._reason or error
            self._drain_until = now + LAST_WORDS

    # The writer's verbs.

    def next_action(self, now: float) -> Action:
        """What to do now."""
        self._close_stream_in_flight = False
        if self._writing:
            self._writing = False
            self._last_write = now
        if self._link is _Link.UP:
            self._check_deadlines(now)
        if self._link is _Link.UP:
            frames = self._take_frames(now)
            return Write(frames) if frames else Wait(self._next_deadline())
        if self._link is _Link.HANGING_UP:
            self._link = _Link.CUT
            return HangUp()
        if self._link is _Link.ENDED:
            self._link = _Link.NONE
            self._end(self._decide())
            return Release(answer_close=self._close_frame is not None)
        if self._link is _Link.NONE and self._has_ended:
            return Finish()
        if self._link is _Link.NONE:
            self._link = _Link.CONNECTING
            return Connect()
        return Wait(None)

    def finish(self) -> list[Event]:
        """The last events of the stream."""
        events: list[Event] = [*self._assembler.finish()]
        if self.error is not None:
            events.append(Failed(self.error))
        transcript = self.transcript()
        if isinstance(self.error, CloseTimeout):
            self.error.transcript = transcript
        return [*events, Closed(transcript)]

    # What is known.

    @property
    def request_ids(self) -> tuple[str, ...]:
        """The service's names for the connections, in order."""
        return tuple(self._request_ids)

    def transcript(self) -> Transcript:
        """All that is known now."""
        ended = self._has_ended
        complete = self.state is StreamState.CLOSED and self._close_stream_sent and not self._aborted
        unconfirmed = self._unconfirmed() if ended and not complete else None
        code, reason = self._close_frame or (ABNORMAL if ended and self._was_connected else None, "")
        return Transcript(
            utterances=tuple(self._assembler.utterances),
            duration=self._metadata.duration if self._metadata else self._furthest,
            metadata=self._metadata,
            request_ids=self.request_ids,
            complete=complete,
            close_code=code,
            close_reason=reason,
            gaps=(unconfirmed,) if unconfirmed else (),
        )

    def stats(self) -> StreamStats:
        """The counters; what the plugins' lanes count is not among them."""
        return StreamStats(
            audio_bytes=self._journal.audio_accepted,
            audio_seconds=self._clock.seconds(self._journal.audio_accepted),
            frames_sent=self._frames_sent,
            messages_received=self._messages_received,
            keepalives_sent=self._keepalives_sent,
            reconnects=0,
            lag=self._lag,
            buffered_seconds=self._clock.seconds(self._journal.audio_waiting),
        )

    # Inside.

    @property
    def _has_ended(self) -> bool:
        return self.state in (StreamState.CLOSED, StreamState.FAILED)

    def _heard(self, now: float) -> None:
        self._last_receive = now
        self._unanswered_ping = None

    def _take_frames(self, now: float) -> tuple[Frame, ...]:
        """The next frames, in order: answers, then what was accepted, then the end, or signs of life."""
        if self._drain_until != inf:
            return ()
        frames = list(self._replies)
        self._replies.clear()
        frames += self._take_accepted()
        if self._close_requested and not self._close_stream_sent and not self._journal:
            self._close_stream_sent = self._close_stream_in_flight = True
            frames.append(Frame(FrameKind.TEXT, self._dialect.close_stream))
        if not frames:
            frames += self._take_signs_of_life(now)
        self._writing = any(frame.kind in SIGNS_OF_LIFE for frame in frames)
        return tuple(frames)

    def _take_accepted(self) -> list[Frame]:
        frames: list[Frame] = []
        room = BATCH_BYTES
        while room > 0 and self._journal:
            payload = self._journal.take()
            room -= len(payload)
            if isinstance(payload, str):
                frames.append(Frame(FrameKind.TEXT, payload))
            else:
                self._frames_sent += 1
                frames.append(Frame(FrameKind.AUDIO, payload))
        return frames

    def _take_signs_of_life(self, now: float) -> list[Frame]:
        """After CloseStream nothing more is sent, not even these."""
        frames: list[Frame] = []
        if self._close_stream_sent:
            return frames
        if self._dialect.keep_alive and now >= self._last_write + self._timeouts.keepalive:
            self._keepalives_sent += 1
            frames.append(Frame(FrameKind.TEXT, self._dialect.keep_alive))
        if now >= self._last_ping + self._timeouts.ping:
            self._last_ping = now
            if self._unanswered_ping is None:
                self._unanswered_ping = now
            frames.append(Frame(FrameKind.PING))
        return frames

    def _next_deadline(self) -> float | None:
        deadline = min(self._close_deadline, self._pong_deadline, self._drain_until)
        if not self._close_stream_sent and self._drain_until == inf:
            deadline = min(deadline, self._last_ping + self._timeouts.ping)
            if self._dialect.keep_alive:
                deadline = min(deadline, self._last_write + self._timeouts.keepalive)
        return None if deadline == inf else deadline

    @property
    def _close_deadline(self) -> float:
        """While closing, a server that says nothing for too long is given up; what still goes out is progress."""
        if not self._close_requested:
            return inf
        return max(self._close_asked, self._last_receive, self._last_write) + self._timeouts.close

    @property
    def _pong_deadline(self) -> float:
        """A ping waits behind the audio in front of it, so a server that lags has as much longer to answer."""
        if self._unanswered_ping is None:
            return inf
        known = self._clock.bytes_per_second is not None
        ahead = self._lag if known else LAG_WHEN_UNKNOWN
        return self._unanswered_ping + self._timeouts.pong + ahead

    @property
    def _lag(self) -> float:
        """Seconds of audio sent but not yet covered by any result (Deepgram: Measuring Streaming Latency)."""
        return max(self._clock.seconds(self._journal.audio_taken) - self._furthest, 0.0)

    def _check_deadlines(self, now: float) -> None:
        if now >= self._close_deadline:
            silence = f"The server said nothing for {self._timeouts.close:g} s while closing"
            self._reason = self._reason or CloseTimeout(silence)
            self._link = _Link.HANGING_UP
        elif now >= self._pong_deadline:
            self._reason = self._reason or ConnectionLost(
                "Connection lost: the server does not answer pings", code=ABNORMAL, request_id=self._request_id
            )
            self._link = _Link.HANGING_UP
        elif now >= self._drain_until:
            self._link = _Link.HANGING_UP

    @property
    def _request_id(self) -> str | None:
        return self._request_ids[-1] if self._request_ids else None

    def _unconfirmed(self) -> Span | None:
        """The audio after the last final, as far as its seconds are known."""
        start = min(self._final_ends.values()) if len(self._final_ends) >= self._channels else 0.0
        end = max(self._clock.seconds(self._journal.audio_accepted), self._furthest)
        return Span(start, end) if end > start else None

    def _decide(self) -> StreamClientError | None:
        """The error that the end of the connection is; the first reason wins, but for the server's own."""
        if isinstance(self._reason, CloseTimeout):
            return self._reason
        code, reason = self._close_frame or (ABNORMAL, "")
        error = explain(
            Ending(
                code=code,
                reason=reason,
                asked=self._close_stream_sent,
                normal_ends=self._dialect.normal_ends,
                metadata=self._metadata,
                summarised=self._summarised,
                audio_sent=self._journal.audio_taken,
                transcribed=self._transcribed,
                request_id=self._request_id,
                unconfirmed=self._unconfirmed(),
            )
        )
        if not isinstance(error, ConnectionLost) or self._close_frame is not None or self._reason is None:
            return error
        if isinstance(self._reason, ConnectionLost):
            self._reason.unconfirmed = self._unconfirmed()
            self._reason.request_id = self._request_id
        return self._reason

    def _end(self, error: StreamClientError | None) -> None:
        if self._has_ended:
            return
        self.error = error
        self.state = StreamState.CLOSED if error is None else StreamState.FAILED
