"""Where pocketsphinx decodes: in processes that are forked from one with the model, or else in the caller's thread.

================================  ====================================================================
who                               owns alone
================================  ====================================================================
:class:`DecoderPool`              the decoders nobody has leased, and the spare one
the thread of a stream            the decoder it has leased, with its socket
:class:`ForkServer`               the process that forks the others, and the socket that keeps it alive
================================  ====================================================================

A decoder's process lives as long as its socket is open, and as the fork server; that one as long as its own socket. So
none survives the process that uses them, however that ends.
"""

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from streamclient.server.engines.utterances import PROGRAM, Segment, UtteranceDecoder
from streamclient.server.errors import EngineError

__all__ = ["CAN_FORK", "Decoder", "DecoderPool"]

log = logging.getLogger("streamclient.server")


def can_run(executable: str | None, program: str) -> bool:
    """Whether there can be processes that decode: not on Windows, nor where Python or the program is no file itself.

    Args:
        executable: another one than Python, such as uWSGI, has Python inside and runs no program.
        program: is no file in a zip.
    """
    is_python = Path(executable or "").name.lower().startswith(("python", "pypy"))
    return hasattr(os, "fork") and is_python and Path(program).is_file() and not hasattr(sys, "frozen")


CAN_FORK = can_run(sys.executable, PROGRAM)
PATIENCE = 60.0
"""Seconds to wait for a decoder to take or to answer something, many times as long as many busy ones need."""

AHEAD = 32 << 10
"""Bytes of audio, about a second, on the way to a decoder: it decodes them even if its stream ends meanwhile."""


class Decoder(Protocol):
    """Decodes one utterance at a time (see :class:`~streamclient.server.engines.utterances.UtteranceDecoder`)."""

    def is_fit(self) -> bool:
        """Whether it can be used: nobody does at the moment."""

    def begin(self, running: str | None) -> None:
        """Begin an utterance, whatever became of the one before."""

    def feed(self, audio: bytes) -> None:
        """Take its next audio; never nothing."""

    def words(self) -> list[Segment]:
        """Return what it sounds like so far."""

    def finish(self) -> tuple[list[Segment], str]:
        """Return what it was, and the mean of the stream."""

    def close(self) -> None:
        """End for good."""


class DecoderPool:
    """Decoders: made when first needed, up to a limit, and one spare.

    The spare one is used for a whole utterance at a time and never across calls: a thread that waits for it holds
    nothing another thread waits for, except decoders that are never waited for.

    Args:
        limit: how many are leased at a time.
        processes: whether they are processes.
    """

    def __init__(self, limit: int, processes: bool) -> None:
        self.limit = limit
        self.processes = processes
        self.forget()
        _pools.add(self)

    def forget(self) -> None:
        """Have no decoders, and none leased."""
        self._lock = threading.Lock()
        self._fork_server = ForkServer() if self.processes else None
        self._free: list[Decoder] = []
        self._servers = 0
        self._closed = False
        self._leases = threading.BoundedSemaphore(self.limit)
        self._spare = threading.Lock()

    def open(self) -> None:
        """Load the model, where that does not keep the caller waiting."""
        with self._lock:
            self._servers += 1
            self._closed = False
        with contextlib.suppress(EngineError):  # a stream is going to meet it, and has somebody to tell
            if self._fork_server:
                self._fork_server.start()

    def lease(self) -> Decoder | None:
        """Take a decoder; ``None`` if all are busy."""
        if not self._leases.acquire(blocking=False):
            return None
        try:
            return self._take()
        except BaseException:
            self._leases.release()
            raise

    def give_back(self, decoder: Decoder) -> None:
        """Return a leased decoder."""
        self._put(decoder)
        self._leases.release()

    @contextlib.contextmanager
    def spare(self) -> Iterator[Decoder]:
        """Use one more decoder, for one utterance from beginning to end."""
        with self._spare:
            decoder = self._take()
            try:
                yield decoder
            finally:
                self._put(decoder)

    def close(self) -> None:
        """End all of them, also those that are used, unless another server has opened the pool, too."""
        with self._lock:
            self._servers = max(self._servers - 1, 0)
            if self._servers:
                return
            self._closed = True
            decoders, self._free = self._free, []
            fork_server, self._fork_server = self._fork_server, self._fork_server and ForkServer()
        for decoder in decoders:
            decoder.close()
        if fork_server:
            fork_server.close()

    def _take(self) -> Decoder:
        with self._lock:
            if self._closed:
                raise EngineError("The server whose recogniser this is has stopped.")
            fork_server = self._fork_server
            while self._free:
                decoder = self._free.pop()
                if decoder.is_fit():
                    return decoder
                decoder.close()
        return fork_server.fork() if fork_server else UtteranceDecoder()

    def _put(self, decoder: Decoder) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(decoder)
                return
        decoder.close()


class RemoteDecoder:
    """A decoder in a process of its own, at the other end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)
        self._connection = connection
        self._answers = connection.makefile("rb")

    def is_fit(self) -> bool:
        """Whether it says nothing: that would be its end, or an answer to somebody who has not waited for it."""
        if self._connection.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def begin(self, running: str | None) -> None:
        """Tell it."""
        self._tell("begin", running)

    def feed(self, audio: bytes) -> None:
        """Send the audio; waits while there is more on the way than the socket holds."""
        self._tell("feed", len(audio), audio)

    def words(self) -> list[Segment]:
        """Ask for them."""
        self._tell("words")
        words: list[Segment] = self._answer()
        return words

    def finish(self) -> tuple[list[Segment], str]:
        """Ask for them."""
        self._tell("finish")
        words, mean = self._answer()
        return words, mean

    def close(self) -> None:
        """End the process."""
        self._answers.close()
        self._connection.close()

    def _tell(self, call: str, argument: object = None, audio: bytes = b"") -> None:
        try:
            self._connection.sendall(json.dumps([call, argument]).encode() + b"\n" + audio)
        except OSError as error:
            raise self._failure() from error

    def _answer(self) -> Any:
        try:
            line = self._answers.readline()
        except OSError as error:
            raise self._failure() from error
        if not line.endswith(b"\n"):
            raise self._failure()
        return json.loads(line)

    def _failure(self) -> EngineError:
        self.close()
        return EngineError("The process that recognised this stream has failed.")


class ForkServer:
    """Runs the program :mod:`~streamclient.server.engines.utterances`, from its first use until it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one at a time starts it or asks it, which takes some milliseconds
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket
        self._end: weakref.finalize[..., ForkServer]

    def start(self) -> None:
        """Have it running; it loads its model meanwhile.

        Raises:
            EngineError: it cannot be run.
        """
        with self._lock, _no_os_error():
            self._started()

    def fork(self) -> RemoteDecoder:
        """Make a decoder; it answers when the model is loaded.

        Raises:
            EngineError: the program cannot be run.
        """
        with self._lock, _no_os_error(), _pair() as (ours, theirs):
            try:
                socket.send_fds(self._started(), [b"\0"], [theirs.fileno()])
            except ConnectionError:
                log.warning("the process with the model of pocketsphinx has ended; another one is started")
                self._forget()
                socket.send_fds(self._started(), [b"\0"], [theirs.fileno()])
            return RemoteDecoder(ours)

    def close(self) -> None:
        """End it and all its decoders."""
        if self._process:
            self._end()

    def _started(self) -> socket.socket:
        if self._process is None:
            with _pair() as (self._control, theirs):
                self._process = subprocess.Popen(  # noqa: S603 - this Python, and a file of ours
                    [sys.executable, "-I", PROGRAM, *sys.path],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # what a terminal sends when Ctrl-C is pressed is not for it
                )
            self._control.settimeout(PATIENCE)
            self._end = weakref.finalize(self, _end, self._process, self._control, os.getpid())
        return self._control

    def _forget(self) -> None:
        """Another one is needed; streams that have a decoder of this one keep it."""
        assert self._process
        self._end.detach()
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._process = None


def _end(process: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
    control.close()
    if os.getpid() == owner:  # not in a fork of this process
        with contextlib.suppress(ProcessLookupError, PermissionError):  # which is what macOS says when all have ended
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()  # in a fork, which has no such child, it returns at once


@contextlib.contextmanager
def _no_os_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"The process that recognises cannot be run: {error}", hint="It can do without: pocketsphinx:processes=no"
        ) from error


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection: ours stays open unless something fails, theirs is going to be another process's."""
    ours, theirs = socket.socketpair()
    _connections.add(ours)
    with theirs:
        try:
            yield ours, theirs
        except BaseException:
            ours.close()
            raise


# Forks of this process.

_pools: weakref.WeakSet[DecoderPool] = weakref.WeakSet()
_connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _begin_anew() -> None:
    """A fork has none of its parent's decoders: with one for both, each would be told what the other one hears.

    Nor does it keep them alive. What reads from a connection may be locked by a thread that is not in the fork; only
    the descriptor can be closed.
    """
    for connection in _connections:
        if connection.fileno() >= 0:
            os.close(connection.detach())
    for pool in _pools:
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
