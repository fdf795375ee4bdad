"""Every failure has a name, its facts as attributes, and says what to do next."""

import copy
import inspect
import pickle

import pytest

import streamclient
from streamclient import (
    AudioRejected,
    AuthenticationError,
    BadRequestError,
    CloseTimeout,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    InvalidState,
    OptionsError,
    PaymentRequiredError,
    PermissionDeniedError,
    PluginError,
    PluginOverrun,
    RateLimitedError,
    SendTimeout,
    ServiceUnavailableError,
    Span,
    SpillError,
    StreamClientError,
    Transcript,
    errors,
)

TREE = {
    StreamClientError: Exception,
    OptionsError: StreamClientError,
    ConnectError: StreamClientError,
    AuthenticationError: ConnectError,
    PaymentRequiredError: ConnectError,
    PermissionDeniedError: ConnectError,
    BadRequestError: ConnectError,
    RateLimitedError: ConnectError,
    ServiceUnavailableError: ConnectError,
    ConnectTimeout: ConnectError,
    ConnectionLost: StreamClientError,
    AudioRejected: StreamClientError,
    SendTimeout: StreamClientError,
    SpillError: StreamClientError,
    CloseTimeout: StreamClientError,
    InvalidState: StreamClientError,
    PluginError: StreamClientError,
    PluginOverrun: PluginError,
}
RETRYABLE = {RateLimitedError, ServiceUnavailableError, ConnectTimeout, ConnectionLost, SendTimeout}


def test_the_tree_is_the_contracts() -> None:
    """Programs catch by these names."""
    assert {error: error.__base__ for error in TREE} == TREE
    assert issubclass(OptionsError, ValueError)


def test_no_error_is_missing_from_the_tree_or_the_package() -> None:
    """Every error of the module is exported and tested here."""
    defined = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, BaseException)}

    assert defined == set(TREE)
    assert {error.__name__ for error in TREE} == set(errors.__all__)
    assert set(errors.__all__) <= set(streamclient.__all__)


@pytest.mark.parametrize("error", TREE)
def test_retrying_makes_sense_where_waiting_helps(error: type[StreamClientError]) -> None:
    """A wrong key stays wrong; a busy service does not stay busy."""
    assert error("x").retryable is (error in RETRYABLE)
    assert error("x", retryable=True).retryable is True


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StreamClientError("It broke"), "It broke."),
        (StreamClientError("Did it break?"), "Did it break?"),
        (StreamClientError(), ""),
        (StreamClientError("It broke", hint="Mend it."), "It broke. Mend it."),
        (StreamClientError("It broke", detail="oops"), "It broke. The service says: oops."),
        (StreamClientError("The service said oops", detail="oops"), "The service said oops."),
        (StreamClientError("It broke", request_id="r1"), "It broke. Request id r1."),
        (
            RateLimitedError("Refused", status=429, detail="too many", request_id="r1"),
            (
                "Refused. The service says: too many. Request id r1. "
                "Close other streams of this project, or try again when one has ended."
            ),
        ),
    ],
)
def test_the_text_tells_what_happened_and_what_to_do(error: StreamClientError, text: str) -> None:
    """One sentence each: the fact, the service's words, the request id, the next step."""
    assert str(error) == text


def test_facts_are_attributes() -> None:
    """A program does not have to read texts."""
    refused = BadRequestError("x", status=400, retry_after=2.5, detail="d", hint="h", request_id="r")
    lost = ConnectionLost("x", code=1011, reason="NET-0001", unconfirmed=Span(1.0, 2.0))
    late = CloseTimeout("x", transcript=Transcript(close_code=1006))
    rejected = AudioRejected("x", code=1008, reason="DATA-0000")
    full = SpillError("x", path="/tmp", errno=28)

    assert (refused.status, refused.retry_after, refused.detail) == (400, 2.5, "d")
    assert (refused.hint, refused.request_id, refused.retryable) == ("h", "r", False)
    assert (lost.code, lost.reason, lost.unconfirmed) == (1011, "NET-0001", Span(1.0, 2.0))
    assert late.transcript == Transcript(close_code=1006)
    assert (rejected.code, rejected.reason) == (1008, "DATA-0000")
    assert (full.path, full.errno) == ("/tmp", 28)


@pytest.mark.parametrize("error", TREE)
def test_an_error_survives_pickling_and_copying(error: type[StreamClientError]) -> None:
    """Worker processes and test runners hand exceptions on."""
    first = error("x", hint="h", detail="d", request_id="r", retryable=True)

    for second in (pickle.loads(pickle.dumps(first)), copy.copy(first)):
        assert type(second) is error
        assert (str(second), vars(second)) == (str(first), vars(first))


@pytest.mark.parametrize("error", TREE)
def test_an_error_raised_again_shares_no_traceback(error: type[StreamClientError]) -> None:
    """Several callers can be told of one failure, each with its facts and its cause."""
    cause = OSError("gone")
    try:
        raise error("x", hint="h") from cause
    except StreamClientError as caught:
        first = caught

    second = first.again()

    assert type(second) is error
    assert (vars(second), second.__cause__, second.__traceback__) == (vars(first), cause, None)


def test_every_error_is_documented() -> None:
    """The reference is made from the docstrings."""
    assert [error for error in TREE if not inspect.getdoc(error)] == []
