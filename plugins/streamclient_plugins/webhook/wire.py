"""The connection to a receiver: to an address that may be, and every step within the time of the post.

No HTTP library has both, so the socket is ours; what is said over it is not. See `courier` for the threads.
"""

import errno
import socket
import ssl
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from streamclient_plugins.webhook.addresses import is_public
from streamclient_plugins.webhook.target import Target

__all__ = ["Wire"]

BLOCK = 65536

IDLE = 60.0
"""Seconds after which a connection is not used again: what is between here and the receiver may have forgotten it."""


class Wire:
    """A connection that is kept from post to post. Used by one thread; `cut` may be called by any.

    Args:
        target: where to.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._begun = self._deadline = 0.0
        self._is_cut = False
        self._socket: socket.socket | None = None
        self._found: SimpleQueue[list[Any] | OSError] = SimpleQueue()

    def begin(self) -> None:
        """Start the time for a post, and connect, unless the connection of the one before is still good.

        Raises:
            OSError: as all that follows: of the network or of TLS, or `TimeoutError` when the time is over.
        """
        before, self._begun = self._begun, time.monotonic()
        self._deadline = self._begun + self._target.timeout
        if self._socket is not None and (self._begun - before > IDLE or _is_readable(self._socket)):
            self.close()
        if self._socket is None:
            self._dial()
            self._secure()

    def send(self, content: bytes) -> None:
        """Send all of it."""
        self._timed().sendall(content)

    def receive(self) -> bytes:
        """Wait for what the receiver says next; nothing is its end."""
        return self._timed().recv(BLOCK)

    def cut(self) -> None:
        """Wake the thread that waits for this connection, which then finds it broken; it is of no use any more."""
        self._is_cut = True
        self._found.put(TimeoutError())
        wire = self._socket
        if wire is not None:
            with suppress(OSError):  # not connected any more
                # Not the method of a TLS socket, whose state belongs to the other thread.
                socket.socket.shutdown(wire, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next post gets another one."""
        wire, self._socket = self._socket, None
        if wire is not None:
            wire.close()

    def _dial(self) -> None:
        """Connect to an address that was looked at, so that the name cannot mean another one a moment later."""
        allowed = [one for one in self._look_up() if self._target.allow_private or is_public(str(one[4][0]))]
        if not allowed:
            raise PermissionError(errno.EACCES, "it has no public address, and allow_private is false")
        *others, last = allowed
        for tried, (family, _, _, _, address) in enumerate(others):
            with suppress(OSError):
                # One where nobody answers leaves the next ones their time.
                return self._connect(family, address, len(allowed) - tried)
        return self._connect(last[0], last[4], 1)

    def _look_up(self) -> list[Any]:
        """The addresses of the receiver.

        A look-up has no deadline and nothing ends it, so it has a thread, which is left to itself when it is late.
        """
        found = self._found = SimpleQueue()
        asking = threading.Thread(
            target=_ask, args=(self._target, found), name="streamclient-webhook-look-up", daemon=True
        )
        try:
            asking.start()
        except RuntimeError:  # the interpreter is exiting, and starts none
            _ask(self._target, found)
        try:
            answer = found.get(timeout=self._left())
        except Empty:
            raise TimeoutError from None
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _connect(self, family: int, address: Any, share: int) -> None:
        self.close()
        wire = self._socket = socket.socket(family, socket.SOCK_STREAM)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.settimeout(self._left() / share)
        wire.connect(address)

    def _secure(self) -> None:
        if self._target.tls is not None:
            # Kept before the handshake, so that this one can be cut too.
            self._socket = secured = self._target.tls.wrap_socket(
                self._timed(), server_hostname=self._target.host, do_handshake_on_connect=False
            )
            secured.settimeout(self._left())
            secured.do_handshake()

    def _timed(self) -> socket.socket:
        """The socket, whose next step may take what time there is."""
        assert self._socket is not None
        self._socket.settimeout(self._left())
        return self._socket

    def _left(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: none.
        """
        left = self._deadline - time.monotonic()
        if left <= 0 or self._is_cut:
            raise TimeoutError
        return left


def _ask(target: Target, found: "SimpleQueue[list[Any] | OSError]") -> None:
    try:
        found.put(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
    except OSError as error:
        found.put(error)


def _is_readable(wire: socket.socket) -> bool:
    """Whether something came unasked: an end, or what can only be nonsense."""
    wire.settimeout(0)
    try:
        wire.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True
