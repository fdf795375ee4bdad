"""The standard log, on the screen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from streamclient.cli.screen import Screen

__all__ = ["log_to"]


class _ScreenHandler(logging.Handler):
    """Log records as notices, with tracebacks only where they were asked for."""

    def __init__(self, screen: Screen, *, tracebacks: bool) -> None:
        super().__init__()
        self._screen = screen
        self._tracebacks = tracebacks

    def emit(self, record: logging.LogRecord) -> None:
        """Show it."""
        error = record.exc_info[1] if record.exc_info else None
        where = "" if self._tracebacks else "; -vv shows where"
        reason = f" ({_shown(error)}{where})" if error is not None else ""
        self._screen.notice(f"{record.levelname.lower()}: {record.getMessage()}{reason}")
        if self._tracebacks and record.exc_info:
            for line in logging.Formatter().formatException(record.exc_info).splitlines():
                self._screen.notice(line)


def _shown(error: BaseException) -> str:
    """Class and text, of which a stranger's exception may have none that can be asked for."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whatever it does instead
        return type(error).__name__


@contextmanager
def log_to(screen: Screen, verbose: int) -> Iterator[None]:
    """Show the log: warnings; with ``-v`` more; what the plugin ``log`` writes in any case."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    levels = {"streamclient": level, "streamclient.transcript": logging.DEBUG}
    if not verbose:
        levels["streamclient.server"] = logging.CRITICAL  # the client tells the same
    handler = _ScreenHandler(screen, tracebacks=verbose >= 2)
    before = {name: logging.getLogger(name).level for name in levels}
    logging.getLogger().addHandler(handler)
    for name, wanted in levels.items():
        logging.getLogger(name).setLevel(wanted)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        for name, earlier in before.items():
            logging.getLogger(name).setLevel(earlier)
