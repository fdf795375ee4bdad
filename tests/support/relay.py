"""A network between client and service that can go dead without a word."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.service import SOON


class Line:
    """One connection through the relay, both ways.

    Attributes:
        slowness: seconds that a few kilobytes take.
    """

    def __init__(self, client: socket.socket, service: socket.socket) -> None:
        self._ends = (client, service)
        self._flows = threading.Event()
        self._flows.set()
        self._swallows = False
        self.slowness = 0.0
        self._cut = False
        self._threads = [
            threading.Thread(target=self._copy, args=ends) for ends in ((client, service), (service, client))
        ]

    def start(self) -> None:
        """Let it flow."""
        for thread in self._threads:
            thread.start()

    def swallow(self) -> None:
        """From now on take everything, and pass nothing on: a peer that is gone, for those who write little."""
        self._swallows = True

    def stall(self) -> None:
        """From now on take nothing: a peer that is gone, or busy, for those who write much."""
        self._flows.clear()

    def flow(self) -> None:
        """Go on."""
        self._flows.set()

    def cut(self) -> None:
        """End it."""
        self._cut = True
        self._flows.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SOON)
        for end in self._ends:
            end.close()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                self._flows.wait()
                if not self._swallows and not self._cut:
                    time.sleep(self.slowness)
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class Relay:
    """Passes connections on to a service.

    Args:
        url: of the service.
    """

    def __init__(self, url: str) -> None:
        self.lines: list[Line] = []
        self._target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a stall is to be felt soon
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                line = Line(client, socket.create_connection(self._target))
                self.lines.append(line)
                line.start()

    def stop(self) -> None:
        """Cut everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(SOON)
        self._listener.close()
        for line in self.lines:
            line.cut()


@contextmanager
def relaying(url: str) -> Iterator[Relay]:
    """A relay that lives as long as the block."""
    relay = Relay(url)
    try:
        yield relay
    finally:
        relay.stop()
