"""A handshake that was refused: the HTTP answer, turned into the error that it is.

Sources: Deepgram's pages on errors and on troubleshooting websocket connections.
"""

import json
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

__all__ = ["redirected", "refused", "request_id_of"]

REFUSALS: dict[int, type[ConnectError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    429: RateLimitedError,
}
RETRYABLE_STATUSES = frozenset({408, 429})


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
        detail=detail,
        request_id=request_id or request_id_of(headers),
        retry_after=_retry_after(headers.get("retry-after"), now),
        retryable=status in RETRYABLE_STATUSES or status >= 500,
    )


def redirected(place: str, status: int, location: str | None) -> ConnectError:
    """The error that a redirect is."""
    return ConnectError(
        f"{place} redirects to {location or 'nowhere'}",
        status=status,
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
        return None, headers.get("dg-error") or text[:500] or None, None

    def first(*names: str) -> str | None:
        return next((facts[name] for name in names if isinstance(facts.get(name), str)), None)

    words = first("err_msg", "message", "description") or headers.get("dg-error")
    return first("err_code", "error_code", "code", "category"), words, first("request_id")


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait; the header holds seconds or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime  # costs more to import than the rest of this module

    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except ValueError:
        return None
