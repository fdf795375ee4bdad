"""One stream's events on their way into the outbox, and the courier that takes them from there."""

import logging
import time
import uuid
import weakref
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from streamclient_plugins.facts import to_json
from streamclient_plugins.webhook.courier import Courier
from streamclient_plugins.webhook.outbox import Letter, Outbox, OutboxFull

__all__ = ["Sender"]

log = logging.getLogger("streamclient.webhook")


class Sender:
    """Belongs to the thread in which the stream's hooks are called.

    Args:
        path: of the outbox.
        endpoint: what the receiver is called there.
        stream: id of the stream.
        courier: delivers; it is started here.
        max_waiting: how many letters may wait for the receiver.
    """

    def __init__(self, path: Path, endpoint: str, stream: str, courier: Courier, max_waiting: int) -> None:
        self._path = path
        self._endpoint = endpoint
        self._stream = stream
        self._courier = courier
        self._max_waiting = max_waiting
        self._outbox: Outbox | None = None
        self._sequence = 0
        self._unkept: deque[Letter] = deque()
        # A stream that is stopped or forgotten says no `on_close`. The courier does not know its sender.
        weakref.finalize(self, courier.stop).atexit = False
        courier.start()

    def open(self) -> Outbox:
        """Open the outbox, if it is not open yet.

        Raises:
            OSError: it cannot be made or opened.
            ValueError: it is none.
        """
        if self._outbox is None:
            self._outbox = Outbox(self._path)
        return self._outbox

    def add(self, event: str, facts: Mapping[str, Any]) -> None:
        """Something has happened that the receiver is to know. It waits for `keep`.

        Raises:
            Exception: as `keep`, where too much waits for that already; this one is not kept.
        """
        if len(self._unkept) >= self._max_waiting:
            self.keep()
        self._unkept.append(self._letter(event, facts))
        self._sequence += 1

    def keep(self) -> None:
        """Put what waits into the outbox, in order.

        Raises:
            OutboxFull: the oldest of it is given up, because so many letters wait for the receiver.
            OSError: the outbox cannot be opened; all of it waits for the next call.
            ValueError: it is none.
            sqlite3.Error: it fails, on a full disk for example.
        """
        while self._unkept:
            try:
                self.open().put(self._unkept[0], self._max_waiting)
            except OutboxFull:
                self._unkept.popleft()
                raise
            self._unkept.popleft()
            self._courier.notice()

    def finish(self, seconds: float) -> None:
        """Deliver what can be delivered in that time, and say what is left."""
        if self._unkept:
            log.error(
                "%d event(s) of stream %s are lost, because %s has not taken them",
                len(self._unkept), self._stream, self._path,
            )  # fmt: skip
        self._courier.finish(seconds)
        with self.open() as outbox:
            left = outbox.count(self._endpoint, self._stream)
        if left:
            log.warning(
                "%d event(s) of stream %s wait in %s; the next stream to the same receiver delivers them, "
                "or `streamclient outbox deliver`",
                left, self._stream, self._path,
            )  # fmt: skip

    def _letter(self, event: str, facts: Mapping[str, Any]) -> Letter:
        now = time.time()
        timestamp = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        content = {
            "type": f"stream.{event}",
            "timestamp": timestamp,
            "data": {"stream": self._stream, "sequence": self._sequence, **facts},
        }
        return Letter(
            number=0,
            id=f"msg_{uuid.uuid4().hex}",
            endpoint=self._endpoint,
            stream=self._stream,
            event=event,
            body=to_json(content).encode("utf-8", "backslashreplace"),
            created=now,
            next_at=now,
        )
