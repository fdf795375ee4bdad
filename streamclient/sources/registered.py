"""Audio that an extension knows how to fetch: addresses like ``s3://bucket/talk.wav``."""

import os
import re
from collections.abc import Callable
from typing import Any

from streamclient.errors import StreamClientError
from streamclient.extensions import registered
from streamclient.sources.errors import SourceError

__all__ = ["opened_by_extension"]

SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):", re.ASCII)
"""Two characters at least: one is a drive of Windows."""


def opened_by_extension(address: str) -> Any | None:
    """What the extension for this kind of address makes of it; ``None`` for a file, or where there is none.

    Raises:
        SourceError: the extension failed, or the address begins like one on a network and nobody knows its kind.
    """
    match = SCHEME.match(address)
    if match is None or os.path.exists(address):  # noqa: PTH110 - the path's method raises for some names
        return None
    openers = registered("register_sources")
    opener = openers.get(match["scheme"].lower())
    if opener is not None:
        return _opened(address, opener)
    if address[match.end() :].startswith("//"):
        raise SourceError(
            f"{address} cannot be opened: nothing here reads {match['scheme']}: addresses",
            hint=f"Known are {', '.join(f'{name}:' for name in ('http', 'https', *sorted(openers)))}. "
            "Or download it first: curl -sL ADDRESS | streamclient transcribe -",
        )
    return None


def _opened(address: str, opener: Callable[[str], Any]) -> Any:
    try:
        return opener(address)
    except StreamClientError:
        raise
    except Exception as error:
        raise SourceError(f"{address} cannot be opened: {type(error).__name__}: {error}") from error
