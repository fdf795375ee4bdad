"""Guarantee 6: each refusal of the service has a name, the service's own words, and what to do next."""

import json

import pytest

from streamclient import (
    AuthenticationError,
    BadRequestError,
    ConnectError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
)
from tests.support.failures import KEY, WORDS, Failure, check, fails_to_open
from tests.support.service import serving

REFUSALS = [
    (400, BadRequestError, False, "Check the options"),
    (401, AuthenticationError, False, "DEEPGRAM_API_KEY"),
    (402, PaymentRequiredError, False, "Add credit"),
    (403, PermissionDeniedError, False, "spelling of model"),
    (404, ConnectError, False, "Check url"),
    (405, ConnectError, False, "Check model"),
    (408, ConnectError, True, "Try again"),
    (413, ConnectError, False, "keyterms"),
    (414, ConnectError, False, "keyterms"),
    (429, RateLimitedError, True, "Close other streams"),
    (500, ServiceUnavailableError, True, "Try again"),
    (502, ServiceUnavailableError, True, "Try again"),
    (503, ServiceUnavailableError, True, "Try again"),
    (504, ServiceUnavailableError, True, "Try again"),
]


@pytest.mark.parametrize(("status", "kind", "retryable", "hint"), REFUSALS)
def test_each_refusal_has_a_name(
    status: int, kind: type[ConnectError], retryable: bool, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused handshake says which, why in the service's words, and what to do; a key that it repeats is hidden."""
    body = json.dumps({"err_code": "A_CODE", "err_msg": f"{WORDS} {KEY}", "request_id": "r-1"}).encode()
    with serving() as service:
        service.refusal = lambda _: (status, {"Retry-After": "7"}, body)
        error = fails_to_open({"url": service.url})

    facts = {"status": status, "request_id": "r-1", "retry_after": 7.0, "detail": f"{WORDS} ***"}
    says = (f"HTTP {status}", "A_CODE", WORDS, "r-1")
    check(error, Failure(kind=kind, says=says, hint=hint, retryable=retryable, facts=facts), caplog)
