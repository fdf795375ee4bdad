"""What the state machine tells its writer to do, and the frames it is to write."""

from enum import Enum, auto

from attrs import frozen

from streamclient.core.journal import Spilled
from streamclient.events import Event

__all__ = ["Action", "Connect", "Finish", "Frame", "FrameKind", "HangUp", "Release", "Wait", "Write"]


class FrameKind(Enum):
    """Kinds of websocket frames that are sent."""

    AUDIO = auto()
    TEXT = auto()
    PING = auto()
    PONG = auto()


@frozen
class Frame:
    """One websocket frame to send."""

    kind: FrameKind
    payload: bytes | Spilled | str = b""


@frozen
class Connect:
    """Build a connection; answer with `Protocol.connected` or `Protocol.connect_failed`."""


@frozen
class Write:
    """Write these frames; answer with the next call of `Protocol.next_action`, or with `Protocol.write_failed`."""

    frames: tuple[Frame, ...]


@frozen
class Wait:
    """Nothing to do before this time, or before another verb is called; ``None`` for no time."""

    until: float | None


@frozen
class HangUp:
    """Cut the connection, so that its reader ends."""


@frozen
class Release:
    """The reader has ended: answer the server's close frame where there was one, free the connection, report."""

    answer_close: bool
    events: tuple[Event, ...] = ()


@frozen
class Finish:
    """The stream has ended; call `Protocol.finish`."""


Action = Connect | Write | Wait | HangUp | Release | Finish
