"""The failures of a stream's plugins: all counted, and logged so that one which fails at every event fills no log."""

import logging
import threading
from collections import Counter
from contextlib import suppress

from streamclient.errors import PluginOverrun
from streamclient.events import PluginFailed

__all__ = ["Failures"]

log = logging.getLogger("streamclient.plugins")

Kind = tuple[str, str, type[BaseException]]
"""Plugin, hook, and what it raises."""


class Failures:
    """The failures of one stream's plugins. Any thread."""

    def __init__(self) -> None:
        self._by_plugin: Counter[str] = Counter()
        self._by_kind: Counter[Kind] = Counter()
        self._logged: Counter[Kind] = Counter()
        self._lock = threading.Lock()

    def add(self, failure: PluginFailed) -> None:
        """One more. The first of its kind is logged with its traceback, then the 10th, the 100th and so on.

        A plugin that is late leaves no traceback; one that is stopped, which is the fault of no hook, is always logged.
        """
        kind = (failure.plugin, failure.hook, type(failure.error))
        with self._lock:
            self._by_plugin[failure.plugin] += 1
            self._by_kind[kind] += 1
            times = self._by_kind[kind]
        if not failure.hook or (times == 1 and isinstance(failure.error, PluginOverrun)):
            _log(logging.ERROR, "%s", failure.error)
        elif times == 1:
            _log(logging.ERROR, "The plugin %s failed in %s", *kind[:2], error=failure.error)
        else:
            _log(logging.DEBUG, "The plugin %s failed in %s again", *kind[:2], error=failure.error)
            if _is_power_of_ten(times):
                self._log_times(kind, times)

    def sum_up(self) -> None:
        """Log how often each plugin failed that did so more than once, where that has not been said yet."""
        with self._lock:
            counts = dict(self._by_kind)
        for kind, times in counts.items():
            _, hook, _ = kind
            if hook and times > max(self._logged[kind], 1):
                self._log_times(kind, times)

    @property
    def by_plugin(self) -> dict[str, int]:
        """How many each plugin has that has any."""
        with self._lock:
            return dict(self._by_plugin)

    def after_fork(self) -> None:
        """In a forked child: the threads are gone, and may have held the lock."""
        self._lock = threading.Lock()

    def _log_times(self, kind: Kind, times: int) -> None:
        self._logged[kind] = times
        plugin, hook, error = kind
        _log(logging.ERROR, "The plugin %s has failed in %s with %s %d times", plugin, hook, error.__name__, times)


def _log(level: int, text: str, *values: object, error: BaseException | None = None) -> None:
    """Log; a handler that cannot show a stranger's exception must not end the thread that tells of it."""
    with suppress(Exception):
        log.log(level, text, *values, exc_info=error)


def _is_power_of_ten(number: int) -> bool:
    return str(number).rstrip("0") == "1"
