"""What arrived: one connection as the server's side remembers it."""

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from streamclient.core.parsing import parse_message
from streamclient.messages import Results
from streamclient.testing.entries import Accepted, Audio, Closed, Control, Ended, Happening, Refused, Requested, Said
from streamclient.testing.mishaps import control_type, parse

__all__ = ["Call"]

PATIENCE = 30.0
"""Seconds that only elapse when a test is about to fail."""


class Call:
    """One connection of a client: what it asked for, what it sent, what it was told.

    Any thread may read it at any time; the lists grow while the connection lives.

    Args:
        request: what the client asked for.

    Attributes:
        path: of the request, with its query.
        headers: of the request, names in lower case.
        frames: what the client sent, binary frames as bytes and text frames as strings.
        messages: what the client was told; what is no JSON object is left out.
        refused: the status the handshake was refused with, if it was.
        closed: the close frame that ended the connection, if one did.
    """

    def __init__(self, request: Requested) -> None:
        self.path = request.path
        self.headers = request.headers
        self.frames: list[bytes | str] = []
        self.messages: list[dict[str, Any]] = []
        self.accepted: Accepted | None = None
        self.refused: int | None = None
        self.closed: Closed | None = None
        self._ended: str | None = None
        self._changed = threading.Condition()

    @property
    def ended(self) -> str | None:
        """How the connection ended, ``None`` while it lives; of one whose end was said, as soon as that has come."""
        with self._changed:
            if self.closed or self.refused:
                self._changed.wait_for(lambda: self._ended, PATIENCE)
            return self._ended

    @property
    def options(self) -> dict[str, list[str]]:
        """The query of the request."""
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def audio(self) -> bytes:
        """All audio the client sent."""
        return b"".join(frame for frame in self.frames if isinstance(frame, bytes))

    @property
    def texts(self) -> list[str]:
        """All text frames the client sent."""
        return [frame for frame in self.frames if isinstance(frame, str)]

    @property
    def controls(self) -> list[dict[str, Any]]:
        """All control messages the client sent; a text that is no JSON object is only in `texts`."""
        return [message for text in self.texts if isinstance(message := parse(text), dict)]

    @property
    def transcript(self) -> str:
        """The text of the finals the client was told."""
        told = [parse_message(json.dumps(message)) for message in self.messages]
        finals = [one for one in told if isinstance(one, Results) and one.is_final]
        return " ".join(final.transcript for final in finals if final.transcript)

    @property
    def request_id(self) -> str | None:
        """The service's name for the connection."""
        return self.accepted.headers.get("dg-request-id") if self.accepted else None

    def wait_until(self, holds: "Callable[[Call], object]", timeout: float = PATIENCE) -> None:
        """Wait until something holds of this call.

        Raises:
            AssertionError: it does not hold in time.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: holds(self), timeout)
        assert in_time, f"it does not hold after {timeout:g} s: {self!r}"

    def wait_for_end(self, timeout: float = PATIENCE) -> None:
        """Wait until the connection has ended.

        Raises:
            AssertionError: it still lives.
        """
        assert self.has_ended(timeout), f"it still lives after {timeout:g} s: {self!r}"

    def has_ended(self, timeout: float = PATIENCE) -> bool:
        """Whether the connection ends in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, timeout) is not None

    def assert_closed_well(self) -> None:
        """Check that the stream ended the one way that loses nothing.

        Raises:
            AssertionError: the client sent something after ``CloseStream``, or none, or did not wait for the server's
                close frame.
        """
        self.wait_for_end()
        closing = [index for index, frame in enumerate(self.frames) if _asks_to_close(frame)]
        assert closing, f"the client sent no CloseStream: {self!r}"
        after = self.frames[closing[0] + 1 :]
        assert not after, f"the client sent more after its CloseStream: {after!r:.80}"
        assert self.closed == Closed("server", 1000), f"the server did not close the connection: {self!r}"

    def add(self, what: Happening) -> None:
        """Remember something; called by the thread that serves the connection."""
        with self._changed:
            self._add(what)
            self._changed.notify_all()

    def _add(self, what: Happening) -> None:
        if isinstance(what, Audio):
            self.frames.append(what.data)
        elif isinstance(what, Control):
            self.frames.append(what.text)
        elif isinstance(what, Said):
            message = parse(what.text)
            self.messages += [message] if isinstance(message, dict) else []
        elif isinstance(what, Accepted):
            self.accepted = what
        elif isinstance(what, Refused):
            self.refused = what.status
        elif isinstance(what, Closed):
            self.closed = self.closed or what
        elif isinstance(what, Ended):
            self._ended = what.how

    def __repr__(self) -> str:
        end = self._ended or "alive"
        sent = f"{len(self.audio)} bytes of audio, texts {self.texts}"
        return f"<Call {self.path}: {sent}, {len(self.messages)} messages, {end}, {self.closed}>"


def _asks_to_close(frame: bytes | str) -> bool:
    return isinstance(frame, str) and control_type(frame) == "CloseStream"
