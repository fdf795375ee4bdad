"""Characters that an output cannot hold are escaped: a transcript is never lost to a locale."""

import codecs
import io
import sys

__all__ = ["ESCAPE", "escape_on_stdout"]

ESCAPE = "streamclient.escape"
"""Name of the error handler, for ``open(..., errors=ESCAPE)``."""


def escape_on_stdout() -> None:
    """Let standard output take every text, whatever its encoding is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPE)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""``\uXXXX``, in UTF-16: the one way to write a character that JSON reads as well."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(ESCAPE, _escaped)
