"""The command ``streamclient``, also ``python -m streamclient``."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line.

    Returns:
        The exit code.
    """
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


if __name__ == "__main__":
    sys.exit(main())
