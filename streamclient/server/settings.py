"""What can be set about the server beside what recognises: how long it waits, how much it bears, how it behaves."""

from typing import Literal

import attrs
from attrs.validators import ge, gt, optional

__all__ = ["Behaviour", "Limits", "Timeouts"]


@attrs.frozen
class Timeouts:
    """How long the server waits, in seconds; the defaults are those of the service.

    Attributes:
        inactivity: without any message from the client, after the last one was dealt with, until it is closed with
            NET-0001.
        no_response: without anything to tell a client that sends no audio, until it is closed with NET-0000.
        container_end: for ``CloseStream`` after the declared end of a WAV stream, until the server ends it itself.
    """

    inactivity: float = attrs.field(default=10.0, validator=gt(0))
    no_response: float = attrs.field(default=30.0, validator=gt(0))
    container_end: float = attrs.field(default=1.0, validator=ge(0))


@attrs.frozen
class Limits:
    """How much the server bears.

    Attributes:
        connections: streams at a time; one more is refused with 429. As many again may be about to connect, and some
            more; what comes beyond that is hung up on.
        frame: bytes of one message; a larger one is answered with close code 1009.
        backlog: bytes received and not recognised yet, for each stream; when there are more, the server stops reading
            and TCP slows the client down.
        handshake: seconds a client may take to say what it wants; then it is hung up on.
        unread: seconds a client may leave its answers unread while every buffer on the way is full; then it is hung
            up on.
    """

    connections: int = attrs.field(default=100, validator=gt(0))
    frame: int = attrs.field(default=4 << 20, validator=gt(0))
    backlog: int = attrs.field(default=8 << 20, validator=gt(0))
    handshake: float = attrs.field(default=10.0, validator=gt(0))
    unread: float = attrs.field(default=30.0, validator=gt(0))


@attrs.frozen
class Behaviour:
    """How the server behaves where the service was seen to behave in more than one way, or where tests want a choice.

    Attributes:
        throttle: seconds of audio it takes in a second, at most; the service takes 1.25. ``None``: as many as it can.
            Like the service it does not refuse what comes faster, it stops reading.
        acknowledges_configure: answer each ``Configure`` with ``ConfigureSuccess`` or ``ConfigureFailure``; without,
            as before October 2026, nothing is said of success, and a failure is an ``Error``.
        undecodable: what ends a stream of bytes that are no audio: ``"close"``, code 1008 with DATA-0000, or
            ``"metadata"``, an empty ``Metadata`` and code 1000.
        late_utterance_end: every ``UtteranceEnd`` says ``last_word_end: -1``, as when its words had become final
            before the gap was long enough.
        callbacks: allow ``callback``, with which a client makes the server connect to any address.
    """

    throttle: float | None = attrs.field(default=None, validator=optional(gt(0)))
    acknowledges_configure: bool = True
    undecodable: Literal["close", "metadata"] = "close"
    late_utterance_end: bool = False
    callbacks: bool = False
