"""What is true of one connection only, and begins anew with the next."""

from enum import Enum, auto
from math import inf

from attrs import define

from streamclient.core.actions import Frame
from streamclient.core.containers import Place
from streamclient.errors import StreamClientError
from streamclient.messages import Message, Metadata, Results

__all__ = ["Link", "Phase"]


class Phase(Enum):
    """Where a connection is in its life."""

    NONE = auto()
    CONNECTING = auto()
    UP = auto()
    HANGING_UP = auto()
    CUT = auto()
    ENDED = auto()


@define(eq=False)
class Link:
    """One connection, as the state machine sees it; times are of its clock.

    Args:
        phase: where it is in its life.
        base: the place in the stream where it began.
    """

    phase: Phase = Phase.NONE
    base: Place = Place()
    greeting: tuple[Frame, ...] = ()
    pong: Frame | None = None
    close_stream_sent: bool = False
    close_stream_in_flight: bool = False
    reason: StreamClientError | None = None
    settled: bool = False
    drain_until: float = inf
    writing: bool = False
    last_write: float = 0.0
    last_message: float = 0.0
    last_sign: float = 0.0
    last_ping: float = 0.0
    unanswered_ping: float = inf
    lag_at_ping: float = 0.0
    close_frame: tuple[int, str] | None = None
    metadata: Metadata | None = None
    summarised: bool = False
    transcribed: bool = False
    has_results: bool = False
    asked_for_finals: bool = False

    @classmethod
    def up(cls, now: float, base: Place, greeting: tuple[Frame, ...]) -> "Link":
        """A connection that has just been built; ``greeting`` goes before all else."""
        return cls(Phase.UP, base, greeting, last_write=now, last_message=now, last_sign=now, last_ping=now)

    def heard(self, now: float) -> None:
        """The server has shown that it lives; whether it gets on, only its messages show."""
        self.last_sign = now
        self.unanswered_ping = inf

    def silence(self, now: float) -> float:
        """Seconds for which it may have been dead without saying so; a server that was not asked is not silent.

        A write that failed may have waited for it, and no ping goes out meanwhile.
        """
        was_asked = self.unanswered_ping < inf or self.drain_until < inf
        return now - self.last_sign if was_asked else 0.0

    def take_note(self, message: Message, now: float) -> None:
        """What a message says of the connection itself."""
        self.heard(now)
        self.last_message = now
        if isinstance(message, Results):
            self.has_results = True
            self.transcribed = self.transcribed or bool(message.transcript)
        elif isinstance(message, Metadata):
            self.metadata = message
            self.summarised = self.close_stream_sent
