"""A handshake that was refused: the HTTP answer, turned into the error that it is.

Sources: Deepgram's pages on errors and on troubleshooting websocket connections.
"""

import json
import re
from collections.abc import Mapping

from streamclient.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
)

__all__ = ["MOST_WORDS", "NO_WEBSOCKET", "redirected", "refused", "request_id_of", "tunnel_refused"]

REFUSALS: dict[int, type[ConnectError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    429: RateLimitedError,
}
RETRYABLE_STATUSES = frozenset({408, 429})

HINTS = {
    404: "Check url: there is no live transcription at this place.",
    405: "Check model: some models have no live transcription.",
    407: "Check the login of the proxy: TransportOptions(proxy='http://user:password@host:port').",
    408: "Try again in a moment.",
    413: "Ask for less: long lists of keyterms make the request too large.",
    414: "Ask for less: long lists of keyterms make the url too long.",
}
"""What to do about a status that has no class of its own."""

OTHERWISE = "Check url and the options; the service's words may say more."
NO_WEBSOCKET = "Check host and port of url: what answers there does not speak websocket."
PROXY_HINT = "Ask who runs the proxy whether it lets this host and port through; proxy='' goes without."

MOST_WORDS = 500
"""Characters of a text of the other side that are shown; a hostile one is as long as it likes."""


def refused(place: str, status: int, headers: Mapping[str, str], body: bytes | None, now: float) -> ConnectError:
    """The error that a status is.

    Args:
        place: host and port.
        status: of the HTTP answer.
        headers: of the answer, names in lower case.
        body: of the answer, where there was one.
        now: seconds since the epoch, for a ``Retry-After`` that is a date.
    """
    code, detail, request_id = _words_of(headers, body)
    kind = REFUSALS.get(status, ServiceUnavailableError if status >= 500 else ConnectError)
    return kind(
        f"{place} refused the stream with HTTP {status}" + (f" {code}" if code else ""),
        status=status,
        detail=detail and detail[:MOST_WORDS],
        request_id=request_id or request_id_of(headers),
        retry_after=_retry_after(headers.get("retry-after"), now),
        retryable=_may_pass(status),
        hint=HINTS.get(status) or kind.default_hint or (OTHERWISE if status >= 400 else NO_WEBSOCKET),
    )


def tunnel_refused(proxy: str, place: str, line: str) -> ConnectError:
    """The error that a proxy's answer is.

    Args:
        proxy: host and port of the proxy.
        place: host and port it was asked for.
        line: the first of its answer; empty where it ended the connection.
    """
    status = re.match(r"HTTP/1\.[01] (\d{3})\b", line)
    if status is None:
        said = f"it said {line[:MOST_WORDS]!r}" if line else "it ended the connection"
        return ConnectError(
            f"The proxy {proxy} gave no tunnel to {place}: {said}",
            hint="Check the proxy's address: what answers there is no HTTP proxy, or not a sound one.",
            retryable=not line,
        )
    number = int(status[1])
    return ConnectError(
        f"The proxy {proxy} refused the tunnel to {place}: {line[:MOST_WORDS]}",
        status=number,
        hint=HINTS[407] if number == 407 else PROXY_HINT,
        retryable=_may_pass(number),
    )


def _may_pass(status: int) -> bool:
    return status in RETRYABLE_STATUSES or status >= 500


def redirected(place: str, status: int, headers: Mapping[str, str]) -> ConnectError:
    """The error that a redirect is; names of headers are in lower case."""
    return ConnectError(
        f"{place} redirects to {(headers.get('location') or 'nowhere')[:MOST_WORDS]}",
        status=status,
        request_id=request_id_of(headers),
        hint="Redirects are not followed, because they would carry the key along; give the right url.",
    )


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The service's name for the connection."""
    return headers.get("dg-request-id") or headers.get("x-dg-request-id")


def _words_of(headers: Mapping[str, str], body: bytes | None) -> tuple[str | None, str | None, str | None]:
    """The service's code, its words and the request id; bodies come in several shapes."""
    text = (body or b"").decode("utf-8", "replace")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        return None, headers.get("dg-error") or text or None, None

    def first(*names: str) -> str | None:
        return next((facts[name] for name in names if isinstance(facts.get(name), str)), None)

    words = first("err_msg", "message", "description") or headers.get("dg-error")
    return first("err_code", "error_code", "code", "category"), words, first("request_id")


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait; the header holds seconds or a date."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    from email.utils import parsedate_to_datetime  # costs more to import than the rest of this module

    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None
