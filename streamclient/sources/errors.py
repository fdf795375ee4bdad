"""What can go wrong before the first byte of audio is there."""

from typing import Any

from streamclient.errors import StreamClientError

__all__ = ["MissingExtra", "SourceError"]


class SourceError(StreamClientError, OSError):
    """The audio cannot be opened or read (also an ``OSError``)."""


class MissingExtra(StreamClientError):
    """A part of streamclient is not installed.

    Args:
        purpose: what needs it, the subject of the sentence.
        extra: name of the extra that brings it.

    Attributes:
        extra: name of the extra.
    """

    def __init__(self, purpose: str, extra: str = "", **facts: Any) -> None:
        super().__init__(
            purpose if not extra else f"{purpose} needs the extra {extra!r}, which is not installed",
            **({"hint": f"Install it with: pip install 'streamclient[{extra}]'"} | facts),
        )
        self.extra = extra
