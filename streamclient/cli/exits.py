"""Exit codes, and how an error is said: the one place where both are decided."""

import sys
import traceback
from collections.abc import Callable

from attrs import define

from streamclient.errors import (
    AudioRejected,
    AuthenticationError,
    BadRequestError,
    CloseTimeout,
    ConnectError,
    ConnectionLost,
    OptionsError,
    PaymentRequiredError,
    PermissionDeniedError,
    PluginError,
    PluginOverrun,
    SendTimeout,
    ServiceUnavailableError,
    StreamClientError,
)

__all__ = [
    "CONNECTION",
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "PARTLY",
    "REFUSED",
    "UNEXPECTED",
    "USAGE",
    "Verbosity",
    "exit_code",
    "report",
]

DONE = 0
UNEXPECTED = 1
USAGE = 2
REFUSED = 3
CONNECTION = 4
FAILED = 5
PARTLY = 6
INTERRUPTED = 130
"""128 + SIGINT; after SIGTERM it is 143."""

EXIT_CODES: tuple[tuple[type[StreamClientError], int], ...] = (
    (OptionsError, USAGE),
    (AuthenticationError, REFUSED),
    (PaymentRequiredError, REFUSED),
    (PermissionDeniedError, REFUSED),
    (BadRequestError, UNEXPECTED),
    (ServiceUnavailableError, FAILED),
    (ConnectError, CONNECTION),
    (ConnectionLost, CONNECTION),
    (AudioRejected, FAILED),
    (SendTimeout, CONNECTION),
    (CloseTimeout, CONNECTION),
    (PluginOverrun, UNEXPECTED),
    (PluginError, USAGE),
    (StreamClientError, UNEXPECTED),
)
"""The first class that fits decides."""

SERVICE_CLOSE_CODES = (1008, 1011)
"""Close codes with which the service says that it, or the audio, is at fault; others are the network's."""


def exit_code(error: BaseException) -> int:
    """The exit code for an error. A connection that could not be built again counts as what refused it."""
    if isinstance(error, ConnectionLost):
        if isinstance(error.__cause__, ConnectError):
            return exit_code(error.__cause__)
        if error.code in SERVICE_CLOSE_CODES:
            return FAILED
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), UNEXPECTED)


@define
class Verbosity:
    """How much to say, as the command line asked for.

    Args:
        level: 0, or the number of ``-v``; tracebacks come with the second.
    """

    level: int = 0


def report(text: str, error: BaseException, verbosity: Verbosity, *, say: Callable[[str], None] | None = None) -> None:
    """Say an error on stderr: one line, and the traceback where it was asked for.

    Args:
        text: what happened and what to do next.
        error: where its traceback comes from.
        verbosity: whether to show that.
        say: writes a line, where something else is on the terminal too.
    """
    lines = traceback.format_exception(error) if verbosity.level >= 2 else []
    lines.append(f"streamclient: error: {' '.join(text.split())}")
    for line in "".join(lines[:-1]).splitlines() + lines[-1:]:
        (say or _say)(line)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
