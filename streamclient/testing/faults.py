"""What can go wrong with a connection, as data.

A fault says what happens and when; a schedule says which faults meet which connection, in the order in which clients
connect. Both are plain values: they can be compared, drawn from a seed, and written to JSON::

    [
        [Reset(after=audio_seconds(1.5))],
        [Refuse(503)],
        [Stall(0.2, after=finals(1)), Close(1011, "NET-0001", after=close_stream())],
    ]

is a first connection that is reset after a second and a half of audio, a second one that is refused, and a third one
that stops for a while and is closed after ``CloseStream``. Further connections meet no faults.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from sys import maxsize
from typing import Any, Literal, get_args

import attrs
from attrs.validators import and_, ge, gt, le

__all__ = [
    "After",
    "Alter",
    "Close",
    "DelayMetadata",
    "Dribble",
    "Fault",
    "Fin",
    "Fragment",
    "Garbage",
    "HalfOpen",
    "NoClose",
    "Ping",
    "Refuse",
    "Reset",
    "Say",
    "Schedule",
    "SlowHandshake",
    "StaleCredential",
    "Stall",
    "audio_bytes",
    "audio_seconds",
    "close_stream",
    "finals",
    "from_json",
    "handshake",
    "messages",
    "random_schedule",
    "to_json",
]

Unit = Literal["handshake", "bytes", "seconds", "messages", "finals", "close_stream"]
Direction = Literal["both", "reads", "writes"]
Alteration = Literal[
    "double finals", "no alternatives", "null optionals", "unknown fields", "type is a number", "no from_finalize"
]
LARGEST_CODE = 0xFFFF
LONGEST_REASON = 123
"""Bytes."""


def _one_of(allowed: object) -> Callable[[object, "attrs.Attribute[Any]", object], None]:
    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in get_args(allowed):
            raise ValueError(f"{attribute.name} is one of {', '.join(map(repr, get_args(allowed)))}, not {value!r}")

    return check


def _fits_into_a_close_frame(_: object, attribute: "attrs.Attribute[Any]", value: int | str | None) -> None:
    if isinstance(value, int) and not 0 <= value <= LARGEST_CODE:
        raise ValueError(f"{attribute.name} is {value}; a close frame has room for numbers up to {LARGEST_CODE}")
    if isinstance(value, str) and len(value.encode()) > LONGEST_REASON:
        raise ValueError(
            f"{attribute.name} has {len(value.encode())} bytes; a close frame has room for {LONGEST_REASON}"
        )


@attrs.frozen
class After:
    """A moment in the life of one connection.

    Args:
        what: is counted. Audio is counted as the client sent it, messages and finals as the server sent them;
            ``close_stream`` counts the messages since ``CloseStream``.
        count: how many of it must have passed.
    """

    what: Unit = attrs.field(validator=_one_of(Unit))
    count: float = attrs.field(default=0, validator=and_(ge(0), le(maxsize)))


def handshake() -> After:
    """The request has come, and was not answered."""
    return After("handshake")


def audio_bytes(count: int) -> After:
    """So many bytes of audio have gone to the server, and not one more."""
    return After("bytes", count)


def audio_seconds(seconds: float) -> After:
    """So much audio has gone to the server; only for raw encodings, whose bytes have a duration."""
    return After("seconds", seconds)


def messages(count: int) -> After:
    """So many messages have gone to the client."""
    return After("messages", count)


def finals(count: int) -> After:
    """So many final results have gone to the client."""
    return After("finals", count)


def close_stream(messages: int = 0) -> After:
    """The client has sent ``CloseStream``, and so many messages have gone to it since."""
    return After("close_stream", messages)


OPEN = audio_bytes(0)


@attrs.frozen
class Fault:
    """Something that goes wrong.

    Args:
        after: the moment it happens, or from which on it holds; the default is as soon as the connection stands.
    """

    after: After = attrs.field(default=OPEN, kw_only=True)


# Before the connection stands.


@attrs.frozen
class Refuse(Fault):
    """The handshake is answered with an HTTP status.

    Args:
        status: of the response.
        message: in ``err_msg`` and the header ``dg-error``.
        code: ``err_code``; ``None`` for the one the service uses with this status.
        headers: more headers, such as ``{"Retry-After": "1"}``.
        body: instead of the JSON the service sends; ``""`` for none.
    """

    status: int = attrs.field(validator=and_(ge(200), le(599)))
    message: str = "Refused by a test."
    code: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: str | None = None
    after: After = attrs.field(default=handshake(), kw_only=True)


@attrs.frozen
class StaleCredential(Fault):
    """A credential that an earlier connection came with is refused with 401: tokens are good for one handshake."""

    after: After = attrs.field(default=handshake(), kw_only=True)


@attrs.frozen
class SlowHandshake(Fault):
    """The handshake is answered late; ``inf`` for never.

    Args:
        seconds: how late.
    """

    seconds: float = attrs.field(validator=ge(0))
    after: After = attrs.field(default=handshake(), kw_only=True)


@attrs.frozen
class Garbage(Fault):
    """The handshake is answered with something that is not HTTP.

    Args:
        text: is sent.
    """

    text: str = "SSH-2.0-OpenSSH_9.6\r\n"
    after: After = attrs.field(default=handshake(), kw_only=True)


# The end of a connection. ``after=handshake()`` makes each of them come before the answer.


@attrs.frozen
class Reset(Fault):
    """The connection is reset (TCP RST)."""


@attrs.frozen
class Fin(Fault):
    """The connection ends without a close frame (TCP FIN); a client sees code 1006."""


@attrs.frozen
class HalfOpen(Fault):
    """The other end is gone without a word: nothing is read, nothing is written, no ping is answered."""


@attrs.frozen
class Close(Fault):
    """A close frame.

    Args:
        code: ``None`` for a frame without one.
        reason: as the service words it, or not; 123 bytes at most.
    """

    code: int | None = attrs.field(default=1011, validator=_fits_into_a_close_frame)
    reason: str = attrs.field(default="", validator=_fits_into_a_close_frame)


# What goes on, but badly.


@attrs.frozen
class Stall(Fault):
    """For a while nothing is read from the client and nothing written to it, or only one of the two.

    Args:
        seconds: how long; ``inf`` for ever.
        what: ``"reads"`` leaves the client unread, ``"writes"`` tells it nothing, ``"both"`` does both.
    """

    seconds: float = attrs.field(validator=ge(0))
    what: Direction = attrs.field(default="both", validator=_one_of(Direction))


@attrs.frozen
class Say(Fault):
    """A text frame that the server did not send: garbage, an unknown message, a warning.

    Args:
        text: of the frame.
    """

    text: str = '{"type": "Surprise", "news": true}'


@attrs.frozen
class Ping(Fault):
    """A websocket ping."""


@attrs.frozen
class Dribble(Fault):
    """What goes to the client goes in small pieces.

    Args:
        size: bytes of a piece.
        seconds: between two pieces.
    """

    size: int = attrs.field(default=1, validator=gt(0))
    seconds: float = attrs.field(default=0.001, validator=ge(0))


@attrs.frozen
class Fragment(Fault):
    """Every message comes as several websocket frames.

    Args:
        size: bytes of each.
    """

    size: int = attrs.field(default=10, validator=gt(0))


@attrs.frozen
class DelayMetadata(Fault):
    """``Metadata`` and all that follows come late.

    Args:
        seconds: how late.
    """

    seconds: float = attrs.field(validator=ge(0))


@attrs.frozen
class NoClose(Fault):
    """The server's close frame, and the end of its connection, never reach the client."""


@attrs.frozen
class Alter(Fault):
    """Messages are not what they were.

    Args:
        how: ``double finals`` says each final twice, ``no alternatives`` empties those of interims and of silence,
            ``null optionals`` puts ``null`` in place of what may be missing, ``unknown fields`` adds some at every
            level, ``type is a number`` sends a message without a proper type before each one, ``no from_finalize``
            takes the marker of a flush away.
    """

    how: Alteration = attrs.field(validator=_one_of(Alteration))


FAULTS: Mapping[str | None, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Refuse, StaleCredential, SlowHandshake, Garbage, Reset, Fin, HalfOpen, Close, Stall, Say, Ping, Dribble,
        Fragment, DelayMetadata, NoClose, Alter,
    )
}  # fmt: skip

Schedule = Sequence[Sequence[Fault]]
"""The faults of the first connection, of the second, and so on."""


def to_json(schedule: Schedule) -> list[list[dict[str, Any]]]:
    """A schedule as plain lists and dictionaries."""
    return [[_to_json(fault) for fault in faults] for faults in schedule]


def _to_json(fault: Fault) -> dict[str, Any]:
    return {"fault": type(fault).__name__, **attrs.asdict(fault)}


def from_json(schedule: object) -> list[list[Fault]]:
    """A schedule from what :func:`to_json` made; ``after`` may be missing where it is the default.

    Raises:
        ValueError: it is no list of lists of faults, there is no such fault, or it has no such field.
    """
    return [[_from_json(fault) for fault in _list(faults)] for faults in _list(schedule)]


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"a schedule is a list of connections, each a list of faults, not {value!r:.60}")
    return value


def _from_json(fault: object) -> Fault:
    if not isinstance(fault, dict) or not isinstance(fault.get("after", {}), dict):
        raise ValueError(f"a fault is an object such as {_to_json(Reset())}, not {fault!r:.60}")
    fields = dict(fault)
    name = fields.pop("fault", None)
    try:
        if "after" in fields:
            fields["after"] = After(**fields["after"])
        made: Fault = FAULTS[name](**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"there is no fault {name!r} with the fields {sorted(fields)}") from error
    return made


FAREWELLS = (
    Close(1011, "NET-0000"),
    Close(1011, "NET-0001"),
    Close(
        1011,
        "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001",
    ),
    Close(1011),
    Close(1001),
    Close(1012),
)
"""Ends that are no fault of the audio. 1000, and a close without a code, are not among them: after ``CloseStream``
they are a promise that all was said."""


def random_schedule(
    seed: int, seconds: float, breaks: int = 4, *, bytes_per_second: int | None = None
) -> list[list[Fault]]:
    """Faults that no transcript may suffer from, drawn from a seed.

    Connections are reset, ended, closed, stalled and refused at random moments of the audio, after a random result,
    or after ``CloseStream``.

    Args:
        seed: decides.
        seconds: length of the audio.
        breaks: the most connections that are broken.
        bytes_per_second: of audio in a container, whose moments are counted in bytes.
    """
    draw = random.Random(seed)  # noqa: S311 - chance, no secret

    def anywhere() -> After:
        at = draw.uniform(0, seconds)
        return audio_seconds(round(at, 4)) if bytes_per_second is None else audio_bytes(int(at * bytes_per_second))

    schedule: list[list[Fault]] = []
    for _ in range(draw.randint(1, breaks)):
        moment = draw.choice(
            [anywhere(), finals(draw.randint(1, 4)), messages(draw.randint(1, 4)), close_stream(draw.randint(0, 2))]
        )
        schedule.append([*_nuisances(draw, anywhere()), _end(draw, moment)])
        if draw.random() < 0.2:
            schedule.append([_refusal(draw)])
    return schedule


def _end(draw: random.Random, after: After) -> Fault:
    return draw.choice([Reset(after=after), Fin(after=after), attrs.evolve(draw.choice(FAREWELLS), after=after)])


def _refusal(draw: random.Random) -> Fault:
    return draw.choice([Refuse(503), Refuse(429, headers={"Retry-After": "0"}), Fin(after=handshake())])


def _nuisances(draw: random.Random, after: After) -> list[Fault]:
    chosen: list[Fault] = [
        Say(after=after),
        Ping(after=after),
        Stall(0.02, after=after),
        Fragment(),
        Say("{", after=after),
    ]
    return draw.sample(chosen, draw.randint(0, 2))
