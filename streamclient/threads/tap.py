"""Accepted audio on its way to the plugins that hear it.

Callers add it, under the lock of the state machine and so in the order of acceptance; each lane takes it for its own
plugin. Nothing of it is ever left out: where a plugin does not keep up, callers wait before more is accepted, and one
that does not get on at all is stopped.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from streamclient.errors import SendTimeout
from streamclient.threads.worker import SLICE, Deadline

__all__ = ["Tap", "Taps"]

MOST_BYTES = 2 * 1024 * 1024
"""Audio that may wait for one plugin; more than a minute of speech."""

BYTES_OF_A_CHUNK = 48
"""What a chunk costs beside its bytes, about."""

PATIENCE = 5.0
"""Seconds one hook may take while callers wait for it."""


class Tap:
    """The audio that waits for one plugin.

    Args:
        wake: lets the plugin's lane know that audio waits.
        stop: the plugin does not get on: end its lane. Called by callers, without a lock.
    """

    def __init__(self, wake: Callable[[], None], stop: Callable[[], None]) -> None:
        self.wake = wake
        self._stop = stop
        self._chunks: deque[bytes] = deque()
        self._added = 0
        self._removed = 0
        self._since = 0.0
        self._shut = False
        self._waiting = 0
        self._taken = threading.Condition()

    def add(self, audio: bytes) -> None:
        """Remember a chunk; takes no lock and never waits. Called by one thread at a time."""
        if self._shut or not audio:
            return
        if not self._chunks:
            self._since = time.monotonic()
        # Each of the two counts has one writer.
        self._added += len(audio) + BYTES_OF_A_CHUNK
        self._chunks.append(audio)

    def take(self) -> bytes:
        """All that waits, joined. Called by the lane."""
        waiting = self._chunks
        chunks = [waiting.popleft() for _ in range(len(waiting))]
        audio = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._removed += len(audio) + len(chunks) * BYTES_OF_A_CHUNK
        self._let_callers_go_on()
        return audio

    def get_on(self) -> None:
        """The plugin has returned from a hook. Called by the lane."""
        self._since = time.monotonic()

    def shut(self) -> None:
        """The plugin gets nothing more. From any thread."""
        self._shut = True
        self._chunks = deque()
        self._let_callers_go_on()

    def wait_for_room(self, deadline: Deadline) -> None:
        """Wait until more audio may be added; stop the plugin if it does not get on. Called by callers.

        Raises:
            SendTimeout: no room in time.
        """
        if self._is_full and not self._wait(deadline):
            self._stop()

    @property
    def _is_full(self) -> bool:
        return self._added - self._removed >= MOST_BYTES and not self._shut

    def _wait(self, deadline: Deadline) -> bool:
        """Whether the plugin got on."""
        with self._taken:
            self._waiting += 1
            try:
                while self._is_full:
                    patience = self._since + PATIENCE - time.monotonic()
                    if patience <= 0:
                        return False
                    left = deadline.left()
                    if left == 0:
                        raise SendTimeout("A plugin that hears the audio took none in time; it was not accepted")
                    self._taken.wait(min(patience, SLICE if left is None else left))
            finally:
                self._waiting -= 1
        return True

    def _let_callers_go_on(self) -> None:
        if self._waiting:
            with self._taken:
                self._taken.notify_all()


class Taps:
    """The taps of one stream; false where no plugin hears its audio."""

    def __init__(self) -> None:
        self._taps: list[Tap] = []

    def __bool__(self) -> bool:
        return bool(self._taps)

    def append(self, tap: Tap) -> None:
        """One more; before any audio is accepted."""
        self._taps.append(tap)

    def wait_for_room(self, deadline: Deadline) -> None:
        """Wait until every plugin has room for more audio. Called by callers, before audio is accepted.

        Raises:
            SendTimeout: no room in time.
        """
        for tap in self._taps:
            tap.wait_for_room(deadline)

    def add(self, audio: bytes) -> None:
        """Audio was accepted. Called under the lock that gives accepted audio its order."""
        for tap in self._taps:
            tap.add(audio)

    def wake(self) -> None:
        """Let the lanes know of what was added."""
        for tap in self._taps:
            tap.wake()
