"""Exit codes: one row of the table, one test."""

import inspect

import pytest

from streamclient import errors
from streamclient.cli.exits import EXIT_CODES, Verbosity, exit_code, report
from streamclient.cli.job import combined_exit_code
from streamclient.sources import MissingExtra, SourceError

ROWS = {
    errors.OptionsError: 2,
    errors.AuthenticationError: 3,
    errors.PaymentRequiredError: 3,
    errors.PermissionDeniedError: 3,
    errors.BadRequestError: 1,
    errors.RateLimitedError: 4,
    errors.ServiceUnavailableError: 5,
    errors.ConnectTimeout: 4,
    errors.ConnectError: 4,
    errors.ConnectionLost: 4,
    errors.AudioRejected: 5,
    errors.SendTimeout: 4,
    errors.SpillError: 1,
    errors.CloseTimeout: 4,
    errors.InvalidState: 1,
    errors.PluginError: 2,
    errors.PluginOverrun: 1,
    errors.StreamClientError: 1,
    SourceError: 1,
}


@pytest.mark.parametrize(("error", "code"), ROWS.items())
def test_error_has_its_exit_code(error: type[errors.StreamClientError], code: int) -> None:
    """Each kind of error ends with the code the manual gives it."""
    assert exit_code(error("it went wrong")) == code


def test_every_error_has_a_row() -> None:
    """A new error cannot be forgotten here."""
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.StreamClientError)
    ]
    assert set(kinds) <= set(ROWS)
    assert {kind for kind, _ in EXIT_CODES} <= set(ROWS)


def test_missing_extra_is_an_ordinary_error() -> None:
    """What is not installed is neither wrong use nor the network's fault."""
    assert exit_code(MissingExtra("Decoding", "audio")) == 1


def test_lost_connection_counts_as_what_refused_the_next_one() -> None:
    """A key that was revoked in mid-stream ends as a refusal, not as a network that failed."""
    error = errors.ConnectionLost("lost")
    error.__cause__ = errors.AuthenticationError("no")
    assert exit_code(error) == 3


@pytest.mark.parametrize(("code", "expected"), [(1011, 5), (1008, 5), (1006, 4), (None, 4)])
def test_close_code_tells_service_from_network(code: int | None, expected: int) -> None:
    """A close code of the service's own makes it the service's failure."""
    assert exit_code(errors.ConnectionLost("lost", code=code)) == expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([4, 4], 4), ([0, 1], 6), ([5, 0, 1], 6), ([6, 0], 6), ([1, 5], 1), ([3, 1], 3)],
)
def test_several_sources_have_one_code(codes: list[int], expected: int) -> None:
    """Some done and some not is "partly done"; where none is done, the first failure tells."""
    assert combined_exit_code(codes) == expected


def test_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """However an error is written, a person gets one line."""
    error = errors.ConnectError("not\nconnected", hint="Try\tagain.")
    report(str(error), error, Verbosity())
    assert capsys.readouterr().err == "streamclient: error: not connected. Try again.\n"


def test_traceback_comes_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``-vv`` the place is shown above the line."""
    try:
        raise errors.ConnectError("not connected")
    except errors.ConnectError as error:
        report(str(error), error, Verbosity(2))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "streamclient: error: not connected."
