"""Whatever callers, server, network and clock do: what the state machine promises holds."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamclient.core.actions import Connect, Frame, FrameKind, HangUp, Release, Wait, Write
from streamclient.core.journal import Room, Spilled
from streamclient.core.protocol import TRANSITIONS
from streamclient.errors import (
    AuthenticationError,
)
from streamclient.events import Closed, Failed, Opened, StreamState, Utterance
from streamclient.policies import Timeouts
from tests.support.messages import EMPTY_SUMMARY, final, gap, interim, summary
from tests.support.stream import BROKEN, CLOSE_STREAM, KEEP_ALIVE, Stream

SHORT = Timeouts(close=7.0, keepalive=2.0, ping=3.0, pong=4.0)
MESSAGES = [
    final("one two", 0.0, 1.0),
    final("three", 1.0, 2.0, speech_final=True),
    final("", 2.0, 3.0, from_finalize=True),
    interim("three four", 1.0, 2.5),
    gap(1.0),
    gap(-1),
    summary(3.0),
    EMPTY_SUMMARY,
]
CLOSES = [(1000, ""), (1005, ""), (1001, ""), (1006, ""), (1008, "DATA-0000"), (1011, "NET-0001"), (4000, "?"), None]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 100_000)),
        st.tuples(st.sampled_from(["finalize", "ping", "pong", "act", "act", "act"]), st.none()),
        st.tuples(st.just("wait"), st.floats(0.0, 5.0)),
        st.tuples(st.just("hear"), st.sampled_from(MESSAGES)),
    ),
    max_size=40,
)
TURNS = st.one_of(
    st.tuples(st.sampled_from(["close", "close", "abort", "write fails", "connect fails"]), st.none()),
    st.tuples(st.just("end"), st.sampled_from(CLOSES)),
)


class Player(Stream):
    """Plays any schedule against a protocol as threads would, and checks what must always hold."""

    def __init__(self) -> None:
        super().__init__(timeouts=SHORT)
        self.accepted: list[bytes | str] = []
        self.frames: list[Frame] = []
        self.connecting = False
        self.reading = False
        self.writing = False
        self.hung_up = False
        self.finished = False
        self.last_said = self.now
        self.closes: list[tuple[int, str] | None] = []
        self.protocol.open(self.now)
        self.states = [self.state]

    def play(self, step: str, what: Any) -> None:
        """One thing that happens, if it can happen now."""
        protocol = self.protocol
        if step == "send" and protocol.accepts_audio and protocol.room(what) is Room.MEMORY:
            protocol.accept(bytes(what))
            self.accepted.append(bytes(what))
        elif step == "finalize" and protocol.accepts_audio:
            protocol.send_control(protocol.finalize_message(None))
            self.accepted.append(protocol.finalize_message(None))
        elif step == "close":
            protocol.request_close(self.now)
        elif step == "abort":
            protocol.abort()
        elif step == "wait":
            self.now += what
        elif step == "act":
            self.do_next()
        elif self.connecting and step == "connect fails":
            self.connecting = False
            protocol.connect_failed(AuthenticationError("refused"), self.now)
        elif self.writing and step == "write fails":
            self.writing = False
            protocol.write_failed(BROKEN, self.now)
        elif self.reading:
            self.read(step, what)
        self.states.append(self.state)

    def read(self, step: str, what: Any) -> None:
        """Something the reader sees."""
        if step == "hear":
            self.hear(what)
        elif step == "ping":
            self.protocol.receive_ping(b"", self.now)
        elif step == "pong":
            self.protocol.receive_pong(self.now)
        elif step == "end":
            self.reading = False
            self.closes.append(what)
            self.protocol.receive_end(what, None if what else BROKEN)

    def do_next(self) -> None:
        """One turn of the writer."""
        if self.finished:
            return
        if self.connecting:
            self.connecting, self.reading, self.last_said = False, True, self.now
            self.connected()
            return
        self.writing = False
        action = self.act()
        self.states.append(self.state)
        if isinstance(action, Connect):
            assert not self.reading
            self.connecting = True
        elif isinstance(action, Write):
            assert action.frames
            self.writing = True
            self.note(action.frames)
        elif isinstance(action, Wait):
            assert action.until is None or action.until > self.now
        elif isinstance(action, HangUp):
            assert self.reading
            self.hung_up = True
        elif isinstance(action, Release):
            assert not self.reading
        else:
            assert not self.reading
            self.finished = True
            self.events += self.protocol.finish()

    def note(self, frames: tuple[Frame, ...]) -> None:
        """Frames that are being written."""
        for frame in frames:
            if frame == KEEP_ALIVE:
                assert self.now >= self.last_said + SHORT.keepalive
            if frame.kind is FrameKind.AUDIO:
                assert 0 < len(frame.payload) <= 8000
        if any(frame.kind in (FrameKind.AUDIO, FrameKind.TEXT) for frame in frames):
            self.last_said = self.now
        self.frames += frames

    def play_out(self) -> None:
        """The stream ends one way or another: the writer and a server that closes when asked see to it."""
        for _ in range(200):
            if self.finished:
                return
            self.play("close", None)
            self.play("act", None)
            if self.reading and (CLOSE_STREAM in self.frames or self.hung_up):
                self.play("end", None if self.hung_up else (1000, ""))
            self.play("wait", 1.0)
        raise AssertionError("the stream does not end")

    def check(self) -> None:
        """What holds at the end of every stream."""
        for before, after in pairwise(self.states):
            assert before is after or after in TRANSITIONS[before].values(), (before, after)
        self.check_frames()
        transcript = self.protocol.transcript()
        error = self.protocol.error
        assert self.events[-1] == Closed(transcript)
        assert sum(isinstance(event, Closed) for event in self.events) == 1
        assert [event.error for event in self.events if isinstance(event, Failed)] == ([error] if error else [])
        assert sum(isinstance(event, Opened) for event in self.events) <= 1
        said = tuple(event for event in self.events if isinstance(event, Utterance))
        assert said == transcript.utterances
        assert (self.state is StreamState.FAILED) == (error is not None)
        if transcript.complete:
            self.check_complete(transcript.close_code)

    def check_frames(self) -> None:
        """One CloseStream, no message after it, and what was accepted before it, in order, once."""
        assert self.frames.count(CLOSE_STREAM) <= 1
        if CLOSE_STREAM in self.frames:
            rest = self.frames[self.frames.index(CLOSE_STREAM) + 1 :]
            assert {frame.kind for frame in rest} <= {FrameKind.PONG, FrameKind.PING}
            assert flat(self.sent) == flat(self.accepted)
        whole = flat(self.accepted)
        assert whole.startswith(flat(self.sent))

    @property
    def sent(self) -> list[bytes | str]:
        """What was written of what was accepted."""
        own = (KEEP_ALIVE, CLOSE_STREAM)
        kinds = (FrameKind.AUDIO, FrameKind.TEXT)
        accepted = [frame.payload for frame in self.frames if frame.kind in kinds and frame not in own]
        return [payload for payload in accepted if not isinstance(payload, Spilled)]

    def check_complete(self, close_code: int | None) -> None:
        """Complete is what ended normally after everything had been sent and CloseStream with it."""
        assert self.protocol.error is None
        assert self.state is StreamState.CLOSED
        assert CLOSE_STREAM in self.frames
        assert close_code in (1000, 1005, 1001, 1006)
        assert self.protocol.transcript().gaps == ()


def flat(entries: list[bytes | str]) -> str:
    """Audio and messages as one text in which boundaries of frames do not show."""
    return "".join(entry if isinstance(entry, str) else "." * len(entry) for entry in entries)


@given(before=STEPS, turn=TURNS, between=STEPS, second=TURNS, after=STEPS)
def test_any_schedule_ends_well_or_by_name(
    before: list[tuple[str, Any]],
    turn: tuple[str, Any],
    between: list[tuple[str, Any]],
    second: tuple[str, Any],
    after: list[tuple[str, Any]],
) -> None:
    """Whatever callers, server, network and clock do, and in whatever order, every promise of the protocol holds."""
    player = Player()
    for step, what in (*before, turn, *between, second, *after):
        player.play(step, what)
    player.play_out()
    player.check()
