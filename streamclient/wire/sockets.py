"""A socket for one reading and one writing thread that is sound under TLS.

OpenSSL does not allow two threads inside one TLS object. websocket-client reads and writes under two different locks,
so with two threads it does just that, and healthy connections drop. Here every call into the socket is non-blocking
and made under one lock; waiting for readiness happens outside of it. websocket-client is handed this object as its
socket.
"""

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Cancelled", "SoundSocket", "TooMuchData"]

READING = False
WRITING = True
READ_BYTES = 65536
SLICE = 1.0
"""Seconds a wait lasts at most before it looks whether it was cancelled; `SoundSocket.hang_up` wakes it anyway."""

SLICE_WHILE_CONNECTING = 0.1
"""The same while nobody can hang up yet."""

WANTS_TO_READ = (BlockingIOError, ssl.SSLWantReadError)


class Cancelled(ConnectionAbortedError):
    """`SoundSocket.hang_up` was called."""


class TooMuchData(OSError):
    """The peer sent more than was allowed before the reader had a whole message."""


class SoundSocket:
    """Looks to websocket-client like a blocking socket.

    Args:
        raw: a TCP socket, or an `ssl.SSLSocket` over one; it is made non-blocking.
        cancelled: whether to give up; asked while waiting.

    Attributes:
        deadline: monotonic time by which reads and writes must be done, ``None`` for no such time.
        write_timeout: seconds one write may make no progress.
        allowance: bytes that may still be read; the reader sets it before each message.
        reader_ended: set when nobody reads any more; a write that cannot go on is then given up.
    """

    def __init__(self, raw: socket.socket, cancelled: Callable[[], bool]) -> None:
        raw.setblocking(False)
        self.deadline: float | None = None
        self.write_timeout: float | None = None
        self.allowance = READ_BYTES
        self.reader_ended = False
        self._raw = raw
        self._tls = raw if isinstance(raw, ssl.SSLSocket) else None
        self._cancelled = cancelled
        self._lock = threading.Lock()
        # The threads of a connection that is older than gevent's patches must stay out of gevent: those that come into
        # it at the same moment, each importing what it needs, can wait for each other for ever.
        self._poll = _poll()
        self._received = memoryview(b"")

    @property
    def tls(self) -> ssl.SSLSocket | None:
        """The TLS object, for questions while no other thread uses the socket; ``None`` without TLS."""
        return self._tls

    # What websocket-client calls.

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes, waiting for the first; ``b""`` at the end. Called by the reading thread only."""
        if not self._received:
            data = self._read()
            if len(data) <= size:
                self._spend(len(data))
                return data
            self._received = memoryview(data)
        data, self._received = bytes(self._received[:size]), self._received[size:]
        self._spend(len(data))
        return data

    def send(self, data: bytes) -> int:
        """Write all of ``data``. Called by the writing thread only.

        Raises:
            TimeoutError: no progress; part of the data may be out, so the connection cannot be used any more.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._write(rest) :]
        return len(data)

    sendall = send

    def gettimeout(self) -> float | None:
        """The socket looks blocking; its deadlines are its own."""
        return None

    def settimeout(self, _timeout: float | None) -> None:
        """Ignored: the two threads need deadlines of their own."""

    def fileno(self) -> int:
        """The descriptor."""
        return self._raw.fileno()

    def shutdown(self, _how: int) -> None:
        """The same as `hang_up`."""
        self.hang_up()

    def close(self) -> None:
        """Free the descriptor; only once no thread is reading or writing."""
        self._raw.close()

    # The rest.

    def handshake(self) -> None:
        """Do the TLS handshake within the deadline."""
        tls = self._tls
        while tls is not None:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(READING, self.deadline)
            except ssl.SSLWantWriteError:
                self._wait(WRITING, self.deadline)
            else:
                return

    def hang_up(self) -> None:
        """Cut the connection from any thread: both waiting threads wake up.

        The TLS object is left alone, since another thread may be inside it; its own ``shutdown`` would not do that.
        """
        try:
            socket.socket.shutdown(self._raw, socket.SHUT_RDWR)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EBADF):
                raise

    def abandon(self) -> None:
        """In a forked child: close the copy of the descriptor without a word on the wire."""
        socket.close(self._raw.detach())

    def _spend(self, size: int) -> None:
        self.allowance -= size
        if self.allowance < 0:
            raise TooMuchData(errno.EMSGSIZE, "the message is too large")

    def _read(self) -> bytes:
        if self._tls is None:
            # Nothing can be pending outside the kernel, so waiting first saves a call that would find nothing.
            self._wait(READING, self.deadline)
        while True:
            try:
                with self._lock:
                    return self._raw.recv(READ_BYTES)
            except ssl.SSLWantWriteError:
                self._wait(WRITING, self.deadline)
            except WANTS_TO_READ:
                self._wait(READING, self.deadline)
            except ssl.SSLEOFError:
                return b""

    def _write(self, data: memoryview) -> int:
        deadline = self.deadline
        if deadline is None and self.write_timeout is not None:
            deadline = time.monotonic() + self.write_timeout
        while True:
            try:
                with self._lock:
                    return self._raw.send(data)
            except ssl.SSLWantReadError:
                self._wait(READING, deadline)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(WRITING, deadline)

    def _wait(self, writing: bool, deadline: float | None) -> None:
        """Wait outside the lock until the socket is ready.

        Under TLS this returns now and then without that: the writing thread may have taken what the reading thread
        waits for out of the kernel, and only another try finds it.
        """
        longest = SLICE if self.deadline is None else SLICE_WHILE_CONNECTING
        while True:
            if self._cancelled() or (writing and self.reader_ended):
                raise Cancelled(errno.ECONNABORTED, "the connection was cut")
            left = SLICE if deadline is None else min(deadline - time.monotonic(), longest)
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            if wait_ready(self._raw, writing, left, self._poll) or self._tls is not None:
                return


def wait_ready(waited: socket.socket, writing: bool, seconds: float, poll: Callable[[], Any] | None = None) -> bool:
    """Whether the socket becomes ready, or fails, within that time; ``poll`` as it was when the socket was made."""
    poll = poll or _poll()
    if poll is None:
        want = ([], [waited], [waited]) if writing else ([waited], [], [waited])
        return any(select.select(*want, seconds))
    polled = poll()
    polled.register(waited, select.POLLOUT if writing else select.POLLIN)
    return bool(polled.poll(seconds * 1000))


def _poll() -> Callable[[], Any] | None:
    """The system's ``poll``, where it has one, or what gevent made of it."""
    return getattr(select, "poll", None)
