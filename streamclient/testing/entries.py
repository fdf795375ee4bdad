"""What happens on connections, one thing at a time: what a relay sees, what a call remembers, what a cassette keeps."""

from collections.abc import Mapping

import attrs

__all__ = ["Accepted", "Audio", "Closed", "Control", "Ended", "Entry", "Happening", "Refused", "Requested", "Said"]


@attrs.frozen
class Requested:
    """The client asks for a connection.

    Args:
        path: with the query.
        headers: names in lower case.
    """

    path: str
    headers: Mapping[str, str]


@attrs.frozen
class Accepted:
    """The connection stands.

    Args:
        headers: of the response, names in lower case.
    """

    headers: Mapping[str, str]


@attrs.frozen
class Refused:
    """The handshake failed.

    Args:
        status: of the response.
        headers: of the response, names in lower case.
        body: of the response.
    """

    status: int
    headers: Mapping[str, str]
    body: str = ""


@attrs.frozen
class Audio:
    """A binary frame from the client."""

    data: bytes


@attrs.frozen
class Control:
    """A text frame from the client."""

    text: str


@attrs.frozen
class Said:
    """A text frame to the client."""

    text: str


@attrs.frozen
class Closed:
    """A close frame.

    Args:
        by: ``"server"`` or ``"client"``.
        code: 1005 for a frame without one.
        reason: may be empty.
    """

    by: str
    code: int
    reason: str = ""


@attrs.frozen
class Ended:
    """The connection is gone.

    Args:
        how: ``"closed"`` after a close frame, ``"refused"``, ``"dropped"`` without one, or the name of the fault that
            ended it.
    """

    how: str


Happening = Requested | Accepted | Refused | Audio | Control | Said | Closed | Ended


@attrs.frozen
class Entry:
    """Something that happened on one of the connections.

    Args:
        connection: its number, from 0.
        at: seconds since the first connection was asked for.
        what: happened.
    """

    connection: int
    at: float
    what: Happening
