"""What can go wrong, one class for each thing a caller would do differently.

::

    StreamClientError
    ├── OptionsError              a wrong option, found before any connection (also a ValueError)
    ├── ConnectError              the connection was refused or never came about
    │   ├── AuthenticationError       401
    │   ├── PaymentRequiredError      402
    │   ├── PermissionDeniedError     403
    │   ├── BadRequestError           400
    │   ├── RateLimitedError          429
    │   ├── ServiceUnavailableError   5xx
    │   └── ConnectTimeout
    ├── ConnectionLost            it was open, and ended unasked
    ├── AudioRejected             the service could not decode the audio
    ├── SendTimeout               the audio could not be accepted in time; it was not
    ├── SpillError                audio cannot be kept on disk
    ├── CloseTimeout              the server did not finish in time
    ├── InvalidState              local misuse: send after close, use after fork
    └── PluginError               a plugin cannot be found, loaded, configured
        └── PluginOverrun             or did not keep up and was stopped

Every error can be pickled, says in ``hint`` what to do next, and never holds a key or token.
"""

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from streamclient.audio import Span

if TYPE_CHECKING:
    from streamclient.events import Transcript

__all__ = [
    "AudioRejected",
    "AuthenticationError",
    "BadRequestError",
    "CloseTimeout",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "InvalidState",
    "OptionsError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "PluginError",
    "PluginOverrun",
    "RateLimitedError",
    "SendTimeout",
    "ServiceUnavailableError",
    "SpillError",
    "StreamClientError",
]


T = TypeVar("T", bound="StreamClientError")
Given = ParamSpec("Given")
Made = TypeVar("Made")


class StreamClientError(Exception):
    """The base of all errors of streamclient.

    Args:
        message: what happened, one sentence.

    Attributes:
        message: what happened.
        hint: what to do next, or ``None``.
        detail: the service's own words, or ``None``.
        request_id: the service's name for the connection, for its support, or ``None``.
        retryable: whether doing the same again may help.
    """

    default_hint: str | None = None
    default_retryable = False

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        detail: str | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.detail = detail
        self.request_id = request_id
        self.retryable = self.default_retryable if retryable is None else retryable

    def again(self: T) -> T:
        """A copy to raise, so that several callers do not share one traceback."""
        other = copy(self)
        other.__cause__ = self.__cause__
        return other

    def __str__(self) -> str:
        parts = [self.message]
        if self.detail and self.detail not in self.message:
            parts.append(f"The service says: {self.detail}")
        if self.request_id:
            parts.append(f"Request id {self.request_id}")
        if self.hint:
            parts.append(self.hint)
        return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)


class OptionsError(StreamClientError, ValueError):
    """A wrong option; the message names the field, the value and what is allowed."""


class ConnectError(StreamClientError):
    """The connection was refused or never came about.

    Attributes:
        status: the HTTP status of the refusal, or ``None`` when there was no HTTP answer.
        retry_after: seconds the service asked to wait (``Retry-After``), or ``None``.
    """

    def __init__(
        self, message: str = "", *, status: int | None = None, retry_after: float | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.status = status
        self.retry_after = retry_after


class AuthenticationError(ConnectError):
    """401: the key or token is missing, wrong or expired."""

    default_hint = "Check DEEPGRAM_API_KEY; a temporary token goes into access_token, not into api_key."


class PaymentRequiredError(ConnectError):
    """402: the account has no credit."""

    default_hint = "Add credit to the Deepgram project of this key."


class PermissionDeniedError(ConnectError):
    """403: the project has no access to the model (a misspelt model is answered the same way)."""

    default_hint = "Check the spelling of model, and that the project of this key has access to it."


class BadRequestError(ConnectError):
    """400: the service does not accept the options."""

    default_hint = "Check the options: a wrong value, or a combination the model does not support."


class RateLimitedError(ConnectError):
    """429: too many streams of this project are open at once."""

    default_hint = "Close other streams of this project, or try again when one has ended."
    default_retryable = True


class ServiceUnavailableError(ConnectError):
    """5xx: the service has a problem of its own."""

    default_hint = "Try again in a moment."
    default_retryable = True


class ConnectTimeout(ConnectError):
    """The connection was not open within ``Timeouts.connect`` seconds."""

    default_hint = "Check the network and the address, or allow more time with Timeouts(connect=...)."
    default_retryable = True


class ConnectionLost(StreamClientError):
    """An open connection ended unasked, even with code 1000.

    Raised, it says that the connection was not or could not be built again. In ``on_disconnect`` and `Disconnected` it
    says why an outage begins.

    Attributes:
        code: the websocket close code, 1006 where the connection just broke.
        reason: the server's reason, as sent.
        unconfirmed: the span of audio that has no final transcript, or ``None`` where none was sent.
    """

    default_retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = None,
        reason: str = "",
        unconfirmed: Span | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.code = code
        self.reason = reason
        self.unconfirmed = unconfirmed


class AudioRejected(StreamClientError):
    """The service could not decode the audio; the same bytes would fail again.

    Attributes:
        code: the websocket close code.
        reason: the server's reason, as sent.
    """

    default_hint = (
        "Raw audio needs encoding, sample_rate and channels that match it; "
        "audio in a container (WAV, Ogg, WebM, MP3) needs none of them, but all of it from its first byte. "
        "What the service does not know can be converted: ffmpeg -i FILE file.wav."
    )

    def __init__(self, message: str = "", *, code: int | None = None, reason: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.code = code
        self.reason = reason


class SendTimeout(StreamClientError):
    """There was no room for the audio within the timeout; the chunk was *not* accepted."""

    default_hint = "Send it again later: the network or the service takes audio more slowly than it comes."
    default_retryable = True


class SpillError(StreamClientError):
    """Audio cannot be kept on disk: it is full, or the directory for temporary files cannot be used.

    The stream goes on with memory alone, so this is not raised: it is in ``stats.spill_error``, in the log, and the
    cause of a `SendTimeout` that follows from it. Only audio that was on disk and cannot be read again ends a stream.

    Attributes:
        path: the directory, or ``None`` where none can be used.
        errno: the system's number of the problem.
    """

    default_hint = (
        "Make room there, name another directory in TMPDIR, allow more memory with BufferPolicy(max_memory=...), "
        "or do without a disk: BufferPolicy(max_disk=0)."
    )

    def __init__(self, message: str = "", *, path: str | None = None, errno: int | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path
        self.errno = errno


class CloseTimeout(StreamClientError):
    """The server did not finish in time; the connection was cut.

    Attributes:
        transcript: all that came until then, or ``None`` where the error was made without one.
    """

    default_hint = "What came is in .transcript; allow more time with close(timeout=...) or Timeouts(close=...)."

    def __init__(self, message: str = "", *, transcript: "Transcript | None" = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.transcript = transcript


class InvalidState(StreamClientError):
    """The client cannot do this now: send after close, a second open, use after a fork."""


class PluginError(StreamClientError):
    """A plugin cannot be found, loaded or configured."""


class PluginOverrun(PluginError):
    """A plugin fell so far behind that it was stopped or passed over; the stream and the other plugins go on.

    Args:
        undelivered: events that it will not get.
    """

    default_hint = "Make its hooks faster, or allow more waiting events with BufferPolicy(max_events=...)."

    def __init__(self, message: str, *, undelivered: int = 0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.undelivered = undelivered


def words_of(error: Exception) -> str:
    """What the system says of an error, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def hides_arguments(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Let the errors of a function that is given a key begin where it was called.

    Error pages and error trackers show what the frames of a traceback hold, which here includes the key.
    """

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return function(*args, **kwargs)
        except (StreamClientError, TypeError) as error:
            del args, kwargs
            raise error.with_traceback(None)  # noqa: B904 - the same error, without the frames

    return called
