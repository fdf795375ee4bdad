"""Every call of a plugin's hook goes through here: measured, and shown where ``STREAMCLIENT_TRACE_PLUGINS`` is set."""

import logging
import os
import reprlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

from streamclient.events import HookStats

__all__ = ["TRACE", "HookCalls", "hook_scope"]

log = logging.getLogger("streamclient.plugins")

TRACE = "STREAMCLIENT_TRACE_PLUGINS"
"""The environment variable that lets every call be printed to standard error."""

hook_scope: ContextVar[Callable[[], AbstractContextManager[object]]] = ContextVar(
    "streamclient.hook_scope", default=nullcontext
)
"""What every call of a hook is wrapped in, for frameworks whose code needs one of their own contexts around it.

Hooks see the value that stood when their stream was opened. What it raises counts as raised by the hook.
"""

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 120


class HookCalls:
    """The calls of one plugin's hooks. They are made by one thread; any thread may look at the counters.

    Args:
        plugin: its name.
        slow_after: seconds in one hook after which a warning is logged.
    """

    def __init__(self, plugin: str, slow_after: float) -> None:
        self._plugin = plugin
        self._slow_after = slow_after
        self._counters: dict[str, _Counter] = {}
        self._current: tuple[str, float] | None = None
        self._traced = os.environ.get(TRACE, "") not in ("", "0")

    def call(
        self, hook: str, caller: Callable[..., object], arguments: Mapping[str, object], stream: object = None
    ) -> object:
        """Call a hook, and return or raise what it does. ``stream`` is its first argument, where there is one."""
        given = arguments if stream is None else {"stream": stream, **arguments}
        if not self._traced:
            return self._measured(hook, caller, given)
        shown = ", ".join(f"{name}={SHORT.repr(value)}" for name, value in arguments.items())
        head = f"{_name_of(stream)}{self._plugin}.{hook}"
        # Before it is called, so that one that never returns is seen.
        trace(f"{head}({shown})")
        started = time.perf_counter()
        end = "took"
        try:
            answer = self._measured(hook, caller, given)
            end = "took" if answer in (None, []) else f"returned {SHORT.repr(answer)} after"
            return answer
        except BaseException as error:
            end = f"raised {type(error).__name__} after"
            raise
        finally:
            trace(f"{head} {end} {(time.perf_counter() - started) * 1000:.1f} ms")

    @property
    def stats(self) -> tuple[HookStats, ...]:
        """The counters of each hook that was called, in the order of first calls."""
        return tuple(
            HookStats(hook=hook, calls=counter.calls, seconds=counter.seconds, slowest=counter.slowest)
            for hook, counter in self._counters.copy().items()
        )

    @property
    def busy(self) -> tuple[str, float] | None:
        """The hook that runs now and for how many seconds it has, or ``None``."""
        current = self._current
        return (current[0], time.perf_counter() - current[1]) if current else None

    def _measured(self, hook: str, caller: Callable[..., object], arguments: Mapping[str, object]) -> object:
        process = os.getpid()
        started = time.perf_counter()
        self._current = (hook, started)
        try:
            with hook_scope.get()():
                return caller(**arguments)
        finally:
            if os.getpid() != process:
                _end_child(sys.exc_info()[1])
            self._current = None
            self._count(hook, time.perf_counter() - started)

    def _count(self, hook: str, seconds: float) -> None:
        counter = self._counters.get(hook)
        if counter is None:
            counter = self._counters[hook] = _Counter()
        counter.calls += 1
        counter.seconds += seconds
        if seconds > counter.slowest:
            if seconds > self._slow_after >= counter.slowest:
                log.warning("The plugin %s is slow: it took %.2f s in %s", self._plugin, seconds, hook)
            counter.slowest = seconds


def _end_child(error: BaseException | None) -> None:
    """End a process that a hook has forked and not ended itself, with the exit code of a program.

    It has this thread alone, and nothing to go on with; but while it lives, so do its copies of the sockets, and who
    waits for their end waits for ever. What its parent had not flushed yet is not written once more.
    """
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        os._exit(error.code or 0)
    if error is not None:
        traceback.print_exception(error)
    os._exit(0 if error is None else 1)


class _Counter:
    """The calls of one hook. Not a frozen value: it counts every event of every stream."""

    __slots__ = ("calls", "seconds", "slowest")

    def __init__(self) -> None:
        self.calls = 0
        self.seconds = self.slowest = 0.0


def _name_of(stream: object) -> str:
    return "" if stream is None else f"[{getattr(stream, 'id', '')[:8]}] "


def trace(text: str) -> None:
    """Print a line at once, whole; a program without a standard error has none."""
    if sys.stderr is not None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {threading.current_thread().name} {text}\n")
