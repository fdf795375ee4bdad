"""A protocol driven by hand: the test is the caller, the server and the clock."""

from collections.abc import Callable
from math import inf
from random import random as uniform

from streamclient.core.actions import Action, Connect, Finish, Frame, FrameKind, Release, Wait, Write
from streamclient.core.protocol import Protocol
from streamclient.errors import ConnectionLost
from streamclient.events import Event, StreamState
from streamclient.messages import Message
from streamclient.options import ListenOptions
from streamclient.policies import BufferPolicy, ReconnectPolicy, Timeouts

RAW = ListenOptions(encoding="linear16", sample_rate=16000)
CONTAINER = ListenOptions()
SECOND = bytes(32000)
FRAME = bytes(8000)
TIMEOUTS = Timeouts(close=30.0, keepalive=4.0, ping=10.0, pong=5.0)
CLOSE_STREAM = Frame(FrameKind.TEXT, '{"type": "CloseStream"}')
KEEP_ALIVE = Frame(FrameKind.TEXT, '{"type": "KeepAlive"}')
PING = Frame(FrameKind.PING)
BROKEN = ConnectionLost("Connection lost: it broke", code=1006)


class Stream:
    """A protocol and those around it: the writer does what the protocol says, the test is caller and server."""

    def __init__(
        self,
        options: ListenOptions = RAW,
        timeouts: Timeouts = TIMEOUTS,
        reconnect: ReconnectPolicy | None = None,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.now = 1000.0
        self.protocol = Protocol(options, timeouts, BufferPolicy(), reconnect, random)
        self.events: list[Event] = []

    def open(self) -> "Stream":
        """Connect."""
        self.protocol.open(self.now)
        assert self.act() == Connect()
        self.connected()
        return self

    def connected(self) -> None:
        """The connection stands."""
        self.events += self.protocol.connected("id", self.now)

    def act(self) -> Action:
        """What is to be done now."""
        return self.protocol.next_action(self.now)

    def written(self, *, after: float = 0.0) -> list[Frame]:
        """All frames that are to be written, so many seconds later, until there is something else to do."""
        self.now += after
        frames: list[Frame] = []
        while isinstance(action := self.act(), Write):
            frames += action.frames
        assert isinstance(action, Wait), action
        return frames

    def wakes_in(self) -> float:
        """Seconds the writer may sleep."""
        action = self.act()
        assert isinstance(action, Wait)
        return inf if action.until is None else action.until - self.now

    def hear(self, *messages: Message) -> None:
        """The server says this."""
        for message in messages:
            self.events += self.protocol.receive_message(message, self.now)

    def close(self) -> list[Frame]:
        """Close, and write what is to be written for that."""
        self.protocol.request_close(self.now)
        return self.written()

    def end(self, close: tuple[int, str] | None = (1000, "")) -> None:
        """The server's close frame, or a break without one; then the end of the stream."""
        self.protocol.receive_end(close, None if close else BROKEN)
        assert self.act() == Release(answer_close=close is not None)
        self.finish()

    def reconnect(self) -> None:
        """The connection breaks without a close frame, and another one stands at once."""
        self.protocol.receive_end(None, BROKEN)
        self.release()
        assert self.act() == Connect()
        self.connected()

    def release(self) -> None:
        """The writer lets go of a connection that has broken."""
        action = self.act()
        assert isinstance(action, Release)
        self.events += action.events

    def finish(self) -> None:
        """The end of the stream."""
        assert self.act() == Finish()
        self.events += self.protocol.finish()

    @property
    def state(self) -> StreamState:
        """Where the stream is."""
        return self.protocol.state
