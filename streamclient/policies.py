"""How a stream behaves under stress: reconnecting, deadlines, buffers, the way to the server.

All times are in seconds, all sizes in bytes. Every field has a sound default.
"""

import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from math import isfinite, isnan
from typing import Any

import attrs
from attrs import field, frozen

from streamclient.errors import OptionsError

__all__ = ["BufferPolicy", "LanePolicy", "ReconnectPolicy", "Timeouts", "TransportOptions"]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _number(
    *, least: float, inclusive: bool = True, finite: bool = False, whole: bool = False, optional: bool = False
) -> Any:
    kind = "a whole number" if whole else "a number"
    allowed = f"{kind} {'at least' if inclusive else 'above'} {least:g}" + (", or None" if optional else "")

    def fits(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or isnan(value):
            return False
        return (value > least or (inclusive and value == least)) and (isfinite(value) or not finite)

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not (fits(value) or (optional and value is None)):
            name = f"{type(instance).__name__}.{attribute.name}"
            raise OptionsError(f"{name}={value!r} is not allowed; allowed is {allowed}")

    return check


def _seconds(default: float) -> Any:
    return field(default=default, validator=_number(least=0, inclusive=False))


def _bytes(default: int, *, least: int) -> Any:
    return field(default=default, validator=_number(least=least, whole=True))


@frozen(kw_only=True)
class ReconnectPolicy:
    """When and how often a lost connection is built again.

    Args:
        initial_delay: seconds before the first attempt, at most (full jitter).
        max_delay: seconds between two attempts, at most.
        multiplier: growth of the delay from one attempt to the next.
        max_attempts: attempts within one outage; ``None`` for as many as ``max_outage`` allows.
        max_outage: seconds one outage may last before the stream fails.
    """

    initial_delay: float = field(default=0.5, validator=_number(least=0, finite=True))
    max_delay: float = field(default=10.0, validator=_number(least=0, finite=True))
    multiplier: float = field(default=2.0, validator=_number(least=1, finite=True))
    max_attempts: int | None = field(default=None, validator=_number(least=1, whole=True, optional=True))
    max_outage: float = _seconds(300.0)


@frozen(kw_only=True)
class Timeouts:
    """Deadlines, in seconds. ``float("inf")`` switches one off.

    Args:
        connect: one connection attempt: name look-up, TCP, TLS and the websocket handshake together.
        send: one write that makes no progress; the connection then counts as broken.
        close: no message from the server while closing; pings and pongs are none.
        keepalive: time without audio before a KeepAlive (the service gives up after 10 s).
        ping: interval of websocket pings; after CloseStream, how long the server may be silent before one is sent.
        pong: wait for the answer to a ping; the connection then counts as broken.
        exit: budget for closing open streams when the interpreter exits.
    """

    connect: float = _seconds(10.0)
    send: float = _seconds(30.0)
    close: float = _seconds(30.0)
    keepalive: float = _seconds(4.0)
    ping: float = _seconds(10.0)
    pong: float = _seconds(10.0)
    exit: float = _seconds(5.0)


@frozen(kw_only=True)
class BufferPolicy:
    """Bounds of what waits.

    Args:
        max_memory: bytes of audio kept in memory. A chunk that fits neither there nor on disk, whatever its size, is
            taken once all before it was sent and no more than half of that is kept.
        max_disk: bytes of audio spilled to a temporary file; 0 for none.
        max_events: events waiting for one plugin.
    """

    max_memory: int = _bytes(8 * 1024 * 1024, least=1)
    max_disk: int = _bytes(1024 * 1024 * 1024, least=0)
    max_events: int = _bytes(1000, least=1)


@frozen(kw_only=True)
class LanePolicy:
    """How a plugin is treated; it says so in an attribute ``lane_policy``.

    Args:
        max_events: events that may wait for it; ``None`` for ``BufferPolicy.max_events``.
        slow_after: seconds in one hook after which a warning is logged, once for each hook.
        process_timeout: seconds that ``process_utterance`` or ``process_result`` may take; everybody else waits.
        required: whether words that it should have changed and did not are withheld from all others. Else they go on
            as they were.
    """

    max_events: int | None = field(default=None, validator=_number(least=1, whole=True, optional=True))
    slow_after: float = _seconds(1.0)
    process_timeout: float = _seconds(5.0)
    required: bool = False


def _instance(fits: Callable[[Any], bool], allowed: str) -> Any:
    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and not fits(value):
            name = f"{type(instance).__name__}.{attribute.name}"
            raise OptionsError(f"{name} is of the type {type(value).__name__}; allowed is {allowed}, or None")

    return check


def _path(value: str | os.PathLike[str] | None) -> str | None:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _headers(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = value.items() if hasattr(value, "items") else value
    try:
        return tuple((str(name), str(content)) for name, content in pairs)
    except (TypeError, ValueError):
        raise OptionsError("TransportOptions.headers must be pairs of a name and a value") from None


@frozen(kw_only=True)
class TransportOptions:
    """The way to the server.

    Args:
        proxy: URL of an HTTP proxy, ``http://[user:password@]host:port``; ``None`` for what the environment
            says (``HTTPS_PROXY``, ``HTTP_PROXY``, ``NO_PROXY``), ``""`` for none.
        ca_file: path of a PEM file with the certificate authorities to trust instead of the system's.
        ssl_context: a context of your own; it wins over ``ca_file``.
        headers: further HTTP headers of the handshake, pairs of name and value or a mapping.
    """

    proxy: str | None = field(
        default=None, repr=False, validator=_instance(lambda value: isinstance(value, str), "a text")
    )
    ca_file: str | None = field(
        default=None, converter=_path, validator=_instance(lambda value: isinstance(value, str), "a path")
    )
    ssl_context: ssl.SSLContext | None = field(
        default=None, validator=_instance(lambda value: hasattr(value, "wrap_socket"), "an ssl.SSLContext")
    )
    headers: tuple[tuple[str, str], ...] = field(default=(), converter=_headers, repr=False)

    @headers.validator
    def _refuse_line_breaks(self, _: "attrs.Attribute[Any]", value: tuple[tuple[str, str], ...]) -> None:
        for name, content in value:
            if not HEADER_NAME.fullmatch(name) or any(mark in content for mark in "\r\n\0"):
                raise OptionsError(f"TransportOptions.headers: {name!r} is not a header of one line")
