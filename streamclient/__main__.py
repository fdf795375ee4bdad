"""The command ``streamclient``, also ``python -m streamclient``."""

import os
import sys

__all__ = ["main"]

CLOSED = (("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_RDWR))
"""What takes the place of a closed standard stream: reading and writing fail there, errors are said to nobody."""


def main() -> int:
    """Run the command line.

    Returns:
        The exit code.
    """
    fill_closed_streams()
    try:
        import click  # noqa: F401 - the command line is an extra
    except ImportError:
        sys.stderr.write(
            "streamclient: error: The command line needs the extra 'cli', which is not installed. "
            "Install it with: pip install 'streamclient[cli]'\n"
        )
        return 1
    from streamclient.cli import run

    return run(sys.argv[1:])


def fill_closed_streams() -> None:
    """Take the descriptors 0, 1 and 2 where they are closed: a socket of ours must not be mistaken for one of them."""
    for number, (name, flags) in enumerate(CLOSED):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # it gets the lowest number that is free
            if number:
                setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


if __name__ == "__main__":
    sys.exit(main())
