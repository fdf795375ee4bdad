"""Ctrl-C and SIGTERM: the first one asks the work to finish, the second one ends the process.

The handler takes no lock and writes one byte into a socket pair. Whoever waits also waits for that byte; it stays
there unread, so everybody sees it.
"""

import os
import select
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

__all__ = ["SLICE", "Interrupt"]

SLICE = 0.5
"""Seconds the main thread waits at a time: a signal that comes just before a wait does not end it, and its handler runs
only between two waits."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """The wish to stop early. Handles the signals while its ``with`` block runs in the main thread."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    @property
    def exit_code(self) -> int | None:
        """128 plus the number of the signal that came, else ``None``."""
        return None if self.signal is None else 128 + self.signal

    @property
    def requested(self) -> bool:
        """Whether to stop, because of a signal or of `stop`."""
        return self.wait(0)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the wish to stop comes, and stays so."""
        return self._reader.fileno()

    def stop(self) -> None:
        """Ask to stop; any thread may call it."""
        with suppress(BlockingIOError):  # it is full of earlier wishes
            self._writer.send(b"\0")

    def wait(self, seconds: float | None) -> bool:
        """Wait for the wish to stop, at most so long; tells whether it came."""
        while seconds is None:
            if select.select([self._reader], [], [], SLICE)[0]:
                return True
        return bool(select.select([self._reader], [], [], seconds)[0])

    def readable(self, descriptor: int) -> bool:
        """Wait until ``descriptor`` can be read; ``False`` when the wish to stop comes first."""
        if os.name == "nt":  # only sockets can be waited for there
            return not self.requested
        ready, _, _ = select.select([self.fileno(), descriptor], [], [])
        return self.fileno() not in ready

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if self.signal is not None:
            _leave(128 + number)
        self.signal = number
        self.stop()


def _leave(code: int) -> None:
    """End the process now, with the shell's next line below what is on the terminal."""
    if os.isatty(2):
        os.write(2, b"\n")
    os._exit(code)
