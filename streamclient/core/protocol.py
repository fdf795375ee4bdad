"""The stream as a state machine: one object for the whole stream, across its connections.

It knows no threads, sockets or clocks. Time comes in as an argument, in seconds of any monotonic clock; what is to be
done goes out as an answer of `Protocol.next_action`. Whoever owns a `Protocol` guards it with one lock and calls its
verbs:

* the caller's: `open`, `send_audio`, `send_control`, `request_close`, `abort`;
* the connection's: `connected`, `connect_failed`, `receive_message`, `receive_ping`, `receive_pong`, `receive_end`,
  `write_failed`;
* the writer's: `next_action`, again and again, doing each time what it says, until it says `Finish`; then `finish`.
"""

from collections.abc import Callable
from math import inf
from random import random as uniform

from streamclient.audio import Span
from streamclient.core.actions import Action, Connect, Finish, Frame, FrameKind, HangUp, Release, Wait, Write
from streamclient.core.dialect import dialect_for
from streamclient.core.endings import ABNORMAL, Ending, explain, heard_nothing, reason_id
from streamclient.core.heard import Heard
from streamclient.core.journal import Room, Spilled
from streamclient.core.link import Link, Phase
from streamclient.core.outage import Outage
from streamclient.core.timeline import TOLERANCE
from streamclient.core.upload import Upload
from streamclient.core.vitals import Vitals
from streamclient.errors import CloseTimeout, ConnectError, ConnectionLost, StreamClientError
from streamclient.events import (
    Closed,
    Disconnected,
    Event,
    Failed,
    Opened,
    Reconnected,
    StreamState,
    StreamStats,
    Transcript,
)
from streamclient.messages import Message
from streamclient.options import FluxOptions, ListenOptions
from streamclient.policies import BufferPolicy, ReconnectPolicy, Timeouts

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
        "connection lost": StreamState.RECONNECTING,
        "rejected, or not to be reconnected": StreamState.FAILED,
        "abort()": StreamState.CLOSED,
    },
    StreamState.RECONNECTING: {
        "connected": StreamState.OPEN,
        "close()": StreamState.CLOSING,
        "refused, or out for too long": StreamState.FAILED,
        "abort()": StreamState.CLOSED,
    },
    StreamState.CLOSING: {
        "the server has closed": StreamState.CLOSED,
        "lost for good, or close() timed out": StreamState.FAILED,
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

LAG_WHEN_UNKNOWN = 30.0
"""Seconds a server may lag where only it knows how long the audio lasts; any message of its shows that it lives."""

LAST_WORDS = 2.0
"""Seconds to go on reading after a write failed: the server's reason may still be on its way."""


class Protocol:
    """The state machine of one stream.

    Args:
        options: what the service is asked for.
        timeouts: deadlines.
        buffer: bounds.
        reconnect: when to build a lost connection again; ``None`` for never.
        random: a number from 0 to 1, anew at each call.
    """

    def __init__(
        self,
        options: ListenOptions | FluxOptions,
        timeouts: Timeouts,
        buffer: BufferPolicy,
        reconnect: ReconnectPolicy | None = None,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.state = StreamState.NEW
        self.error: StreamClientError | None = None
        self._dialect = dialect_for(options)
        self._vitals = Vitals(timeouts, self._dialect.keep_alive)
        self._outage = None if reconnect is None else Outage(reconnect, random)
        self._upload = Upload(self._dialect, options.clock, buffer, keeps=reconnect is not None)
        self._is_raw = options.clock.bytes_per_second is not None
        self._heard = Heard(self._dialect)
        self._link = Link()
        self._lost: ConnectionLost | None = None
        self._connect_at: float | None = None
        self._not_before = 0.0
        self._mute_ends = 0
        self._close_asked = inf
        self._aborted = False
        self._complete = False
        self._was_connected = False
        self._last_close: tuple[int, str] | None = None
        self._request_ids: list[str] = []
        self._reconnects = 0

    # The caller's verbs.

    def open(self, now: float) -> None:
        """The stream is to begin."""
        self.state = StreamState.CONNECTING
        self._connect_at = now

    @property
    def accepts_audio(self) -> bool:
        """Whether audio and control messages may be added."""
        return self.state in ACCEPTING

    def room(self, size: int) -> Room:
        """Where ``size`` more bytes may be added now."""
        if self._upload.room(size) is Room.NONE and self._link.phase is Phase.UP:
            self._upload.make_room()
        return self._upload.room(size)

    def refuse_disk(self) -> None:
        """The disk takes no more audio: go on with memory alone."""
        self._upload.refuse_disk()

    def accept(self, audio: bytes) -> bool:
        """Accept a chunk at once if the stream takes audio and memory has room for it; the usual case."""
        return self.state in ACCEPTING and bool(audio) and self._upload.accept(audio)

    def accept_spilled(self, audio: bytes, where: Spilled) -> None:
        """Accept a chunk that lies on disk, and for which there is room."""
        self._upload.accept_spilled(audio, where)

    def send_control(self, text: str) -> None:
        """Accept a control message for which there is room; it keeps its place among the audio."""
        self._upload.accept_control(text)

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
            self._close_asked = now
            self._connect_at = max(now, self._not_before)

    def abort(self, error: StreamClientError | None = None) -> None:
        """End now; with an error the stream counts as failed."""
        if self._has_ended:
            return
        self._aborted = True
        if self._link.phase is Phase.UP:
            self._link.phase = Phase.HANGING_UP
        self._end(error)

    # The connection's verbs.

    def connected(self, request_id: str | None, now: float) -> list[Event]:
        """The connection stands."""
        if request_id:
            self._request_ids.append(request_id)
        again, self._was_connected = self._was_connected, True
        self._link = Link.up(now, self._upload.place, self._upload.begin())
        if self._aborted:
            self._link.phase = Phase.HANGING_UP
            return []
        if self.state is not StreamState.CLOSING:
            self.state = StreamState.OPEN
        return self._reconnected(request_id, now) if again else [Opened(request_id)]

    def connect_failed(self, error: StreamClientError, now: float) -> None:
        """The connection did not come about."""
        self._link = Link()
        if self._lost is None:
            self._end(error)
        elif not self._has_ended:
            self._try_again(now, error)

    def receive_message(self, message: Message, now: float) -> list[Event]:
        """A message of the server; what it means for hooks, in order."""
        link = self._link
        link.take_note(message, now)
        most, again = self._upload.most_seconds, self._reconnects > 0
        events, progress = self._heard.receive(message, link.base.seconds, most, again=again)
        if progress:
            self._upload.confirm(self._heard.confirmed)
            if self._outage is not None:
                self._outage.works()
        return events

    def receive_ping(self, payload: bytes, now: float) -> None:
        """A ping of the server; only the newest needs an answer."""
        self._link.heard(now)
        self._link.pong = Frame(FrameKind.PONG, payload)

    def receive_pong(self, now: float) -> None:
        """An answer to a ping."""
        self._link.heard(now)

    def receive_end(self, close: tuple[int, str] | None, error: StreamClientError | None = None) -> None:
        """The reader's last word: the server's close frame, or the error that ended the reading."""
        link = self._link
        link.phase = Phase.ENDED
        link.close_frame = close
        link.reason = link.reason or error
        if not link.close_stream_in_flight:  # else the write's outcome says whether the server could hear it
            self._settle()

    def write_failed(self, error: StreamClientError, now: float) -> None:
        """A write failed; nothing more is written, but what the server still says is read for a moment."""
        link = self._link
        if link.close_stream_in_flight:
            link.close_stream_sent = False
        if link.phase is Phase.UP:
            link.reason = link.reason or error
            link.drain_until = now + LAST_WORDS

    # The writer's verbs.

    def next_action(self, now: float, *, is_pressed: bool = False) -> Action:
        """What to do now; ``is_pressed`` while a caller waits for room."""
        link = self._link
        link.close_stream_in_flight = False
        if link.writing:
            link.writing = False
            link.last_write = now
        if link.phase is Phase.UP and self._vitals.is_overdue(link, self._close_asked, now):
            link.phase = Phase.HANGING_UP
        if link.phase is Phase.UP:
            needs_finals = is_pressed and not self._upload.waits
            frames = self._take_frames(now, needs_finals=needs_finals)
            if frames:
                return Write(frames)
            deadline = self._vitals.next_deadline(link, self._close_asked, needs_finals=needs_finals)
            return Wait(deadline)
        if link.phase is Phase.HANGING_UP:
            link.phase = Phase.CUT
            return HangUp()
        if link.phase is Phase.ENDED:
            return self._release(now)
        return self._next_connection(now) if link.phase is Phase.NONE else Wait(None)

    def _release(self, now: float) -> Action:
        """The reader of a connection has ended: go on without it."""
        ended, self._link = self._link, Link()
        if not ended.settled:
            self._link = ended
            self._settle()
            self._link = Link()
        self._last_close = ended.close_frame
        events = self._begin_outage(now, ended) if self._lost is not None and not self._has_ended else ()
        return Release(answer_close=ended.close_frame is not None, events=events)

    def _next_connection(self, now: float) -> Action:
        if self._has_ended:
            return Finish()
        if self._connect_at is not None and now < self._connect_at:
            return Wait(self._connect_at)
        self._link = Link(phase=Phase.CONNECTING)
        return Connect()

    def finish(self) -> list[Event]:
        """The last events of the stream."""
        self._upload.discard()
        events: list[Event] = [*self._heard.finish()]
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
        unconfirmed = self._unconfirmed() if ended and not self._complete else None
        code, reason = self._last_close or (ABNORMAL if ended and self._was_connected else None, "")
        return Transcript(
            utterances=self._heard.utterances,
            duration=self._heard.duration,
            metadata=self._heard.metadata,
            request_ids=self.request_ids,
            complete=self._complete,
            close_code=code,
            close_reason=reason,
            gaps=(unconfirmed,) if unconfirmed else (),
        )

    def stats(self) -> StreamStats:
        """The counters; what the plugins' lanes count is not among them."""
        return StreamStats(
            audio_bytes=self._upload.bytes_accepted,
            audio_seconds=self._upload.seconds_accepted,
            frames_sent=self._upload.frames,
            messages_received=self._heard.messages,
            keepalives_sent=self._vitals.keepalives_sent,
            reconnects=self._reconnects,
            lag=self._lag,
            buffered_seconds=self._upload.seconds_accepted - self._upload.seconds_taken,
        )

    @property
    def _has_ended(self) -> bool:
        return self.state in (StreamState.CLOSED, StreamState.FAILED)

    # Inside: what is sent.

    def _take_frames(self, now: float, *, needs_finals: bool) -> tuple[Frame, ...]:
        """The next frames, in order: answers, then what was accepted, then the end, or signs of life."""
        link = self._link
        if link.drain_until != inf:
            return ()
        frames = [*link.greeting] if link.pong is None else [link.pong, *link.greeting]
        link.pong, link.greeting = None, ()
        frames += self._upload.take()
        link.asked_for_finals &= not frames
        if self._close_asked < inf and not link.close_stream_sent and not self._upload.waits:
            link.close_stream_sent = link.close_stream_in_flight = True
            frames.append(Frame(FrameKind.TEXT, self._dialect.close_stream))
        if not frames and needs_finals and self._vitals.is_stuck(link, now):
            link.asked_for_finals = True
            frames.append(Frame(FrameKind.TEXT, self._dialect.finalize(None)))
        if not frames:
            frames += self._vitals.due(link, self._longest_lag, now)
        for frame in frames:
            link.writing |= frame.kind in SIGNS_OF_LIFE
        return tuple(frames)

    @property
    def _lag(self) -> float:
        """Seconds of audio sent but not yet covered by any result (Deepgram: Measuring Streaming Latency)."""
        return max(self._upload.seconds_taken - self._heard.furthest, 0.0)

    def _longest_lag(self) -> float:
        return self._lag if self._is_raw else LAG_WHEN_UNKNOWN

    # Inside: endings.

    @property
    def _request_id(self) -> str | None:
        return self._request_ids[-1] if self._request_ids else None

    def _unconfirmed(self) -> Span | None:
        return self._heard.unconfirmed(self._upload.seconds_accepted)

    def _settle(self) -> None:
        """A connection has ended: the stream ends with it, or goes on with another one."""
        self._link.settled = True
        if self._has_ended:
            return
        error = self._decide()
        if isinstance(error, ConnectionLost) and self._may_reconnect(error):
            self._lost, self._connect_at = error, None
            self.state = StreamState.RECONNECTING if self.state is StreamState.OPEN else self.state
        else:
            self._complete = error is None
            self._end(error)

    def _may_reconnect(self, error: ConnectionLost) -> bool:
        if not self._upload.keeps or not error.retryable:
            return False
        deaf = heard_nothing(self._link.metadata) and error.code in self._dialect.normal_ends
        mute = (deaf or reason_id(error.reason) == "NET-0000") and not self._link.has_results
        self._mute_ends = self._mute_ends + 1 if mute else 0
        if self._mute_ends >= 2:
            error.hint = "It happened twice in a row without any result: the audio seems to be the problem."
            error.retryable = False
        return error.retryable

    def _begin_outage(self, now: float, ended: Link) -> tuple[Event, ...]:
        """What is to be told of a lost connection; nothing when the stream ends with it."""
        assert self._outage is not None
        assert self._lost is not None
        self._outage.begin(now, silence=ended.silence(now))
        delay = self._outage.next_delay(now)
        if delay is None:
            self._give_up(self._lost, None)
            return ()
        if self._connect_at is None:  # or close() was called after the loss, and waits for no delay
            self._connect_at = now + delay
        return (Disconnected(self._lost, max(self._connect_at - now, 0.0)),)

    def _try_again(self, now: float, refusal: StreamClientError) -> None:
        assert self._outage is not None
        assert self._lost is not None
        at_least = refusal.retry_after if isinstance(refusal, ConnectError) else None
        # A connection stood before: what stopped this one short of an answer, like a portal's certificate, may pass.
        may_pass = refusal.retryable or (isinstance(refusal, ConnectError) and refusal.status is None)
        delay = self._outage.next_delay(now, at_least) if may_pass else None
        if delay is None:
            self._give_up(self._lost, refusal)
        else:
            self._connect_at = now + delay
            self._not_before = now + (at_least or 0.0)

    def _give_up(self, lost: ConnectionLost, refusal: StreamClientError | None) -> None:
        is_fatal = refusal is not None and not refusal.retryable
        words, request_id = (refusal.detail, refusal.request_id) if refusal else (None, None)
        error = ConnectionLost(
            f"{lost.message}, and it could not be built again" + (f": {refusal.message}" if refusal else ""),
            code=lost.code,
            reason=lost.reason,
            detail=words or lost.detail,
            request_id=request_id or lost.request_id,
            hint=refusal.hint if refusal and is_fatal else "ReconnectPolicy can allow a longer outage.",
            retryable=not is_fatal,
            unconfirmed=self._unconfirmed(),
        )
        error.__cause__ = refusal
        self._end(error)

    def _reconnected(self, request_id: str | None, now: float) -> list[Event]:
        assert self._outage is not None
        self._lost = None
        self._reconnects += 1
        return [Reconnected(self._outage.connected(now), request_id)]

    def _decide(self) -> StreamClientError | None:
        """The error that the end of the connection is; the first reason wins, but for the server's own."""
        link = self._link
        if isinstance(link.reason, CloseTimeout):
            return link.reason
        code, reason = link.close_frame or (ABNORMAL, "")
        error = explain(
            Ending(
                code=code,
                reason=reason,
                asked=link.close_stream_sent,
                normal_ends=self._dialect.normal_ends,
                metadata=link.metadata,
                summarised=link.summarised or (link.close_stream_sent and self._is_all_final),
                audio_sent=self._upload.bytes_taken - link.base.offset,
                begins_again=self._upload.begins_again,
                transcribed=link.transcribed,
                request_id=self._request_id,
                unconfirmed=self._unconfirmed(),
            )
        )
        if not isinstance(error, ConnectionLost) or link.close_frame is not None or link.reason is None:
            return error
        if isinstance(link.reason, ConnectionLost):
            link.reason.unconfirmed = self._unconfirmed()
            link.reason.request_id = self._request_id
        return link.reason

    @property
    def _is_all_final(self) -> bool:
        """Whether finals cover for certain every byte that was taken; how long a container's last packet is, is not."""
        most = self._upload.most_seconds
        return most > 0 and self._heard.confirmed >= most - TOLERANCE

    def _end(self, error: StreamClientError | None) -> None:
        if self._has_ended:
            return
        if error is not None:
            error.request_id = error.request_id or self._request_id
        self.error = error
        self.state = StreamState.CLOSED if error is None else StreamState.FAILED
