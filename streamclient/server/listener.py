"""The socket that listens, and the threads that serve what comes in.

websockets has such a loop too. This one goes on when the system runs out of descriptors or threads, bears no more
connections than it is told, and its threads do not keep the interpreter from ending.
"""

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from websockets.sync.server import Server

__all__ = ["Listener", "listen_with"]

log = logging.getLogger("streamclient.server")

RETRY = 0.2
"""Seconds until the next try when the system has no room for a connection."""


class Listener:
    """Accepts connections and serves each in a thread of its own.

    Args:
        sock: listens already.
        serve: called with the socket and the address of each connection, in its own thread.
        limit: connections at a time; one more is hung up on.

    Attributes:
        sock: as given.
    """

    def __init__(self, sock: socket.socket, serve: Callable[[socket.socket, Any], None], limit: int) -> None:
        self.sock = sock
        self.sock.setblocking(False)
        self._serve = serve
        self._limit = limit
        self._owner = os.getpid()
        self._threads: set[threading.Thread] = set()
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._acceptor = threading.Thread(target=self._run, name="streamclient-server-acceptor", daemon=True)

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that listens: the connections are not its own to end."""
        return os.getpid() != self._owner

    def start(self) -> None:
        """Begin to accept."""
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening; what was accepted goes on. Returns when the address is free again."""
        self._closing.set()
        self._waker.close()
        self._acceptor.join()

    def join(self, budget: float) -> None:
        """Wait for the threads that serve, but not longer than ``budget`` seconds."""
        deadline = time.monotonic() + budget
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self.sock, self._woken:
            selector.register(self.sock, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing.is_set():
                selector.select()
                self._accept()

    def _accept(self) -> None:
        try:
            client, address = self.sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # woken to close, or the client is gone already
        except OSError as error:
            log.warning("cannot accept a connection: %s", error)
            self._closing.wait(RETRY)
            return
        client.setblocking(True)
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        if len(self._threads) >= self._limit:
            log.warning("hung up on %s: there are %d connections already", address, self._limit)
            client.close()
        else:
            self._start(client, address)

    def _start(self, client: socket.socket, address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(client, address), name="streamclient-server-handler", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("hung up on %s: %s", address, error)
            client.close()
        else:
            self._threads.add(thread)


def listen_with(server: Server, limit: int) -> Listener:
    """Use the socket and the handler of a server of websockets', and not its loop.

    Args:
        server: made, not started.
        limit: connections at a time; one more is hung up on.
    """
    for name in ("shutdown_watcher", "shutdown_notifier"):  # they would wake its loop
        end = getattr(server, name, None)  # there is none on Windows; in some versions it is a number
        if isinstance(end, int):
            os.close(end)
        elif end is not None:
            end.close()
    return Listener(server.socket, server.handler, limit)
