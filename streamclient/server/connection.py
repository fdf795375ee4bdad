"""One connection's threads: frames from the socket into the protocol, its answers out.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
handler (websockets')     the :class:`ListenProtocol` and its recognisers, every send, the close
reader (one of ours)      receiving: it moves frames to the backlog, so that pings are answered and a
                          fast upload is taken in while the handler recognises
========================  ==========================================================================

The backlog between them is bounded in bytes. When it is full the reader stops receiving, and TCP slows the client
down; nothing is dropped. The reader ends when the connection does, which the handler brings about.
"""

import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import attrs
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from streamclient.server.callback import CallbackLost, open_callback
from streamclient.server.errors import EngineError
from streamclient.server.protocol import Close, ListenProtocol, Output

__all__ = ["Backlog", "serve_connection"]

log = logging.getLogger("streamclient.server")

THROTTLED_BACKLOG = 32 << 10
"""Bytes that may wait where the client is held to a pace: a second of 16 kHz ``linear16``."""
LONGEST_REASON = 123
"""Bytes of a close frame that can say why."""
FRAME_OVERHEAD = 128
"""Bytes a waiting frame costs besides its content, so that a flood of tiny frames is bounded too."""


@attrs.frozen
class Frame:
    """A received frame: text or binary, and when it came."""

    data: str | bytes
    at: float

    @property
    def cost(self) -> int:
        """Bytes of memory."""
        return len(self.data) + FRAME_OVERHEAD


class Backlog:
    """Frames on their way from the reader to the handler, bounded in bytes; then the end of the connection.

    Args:
        limit: bytes that may wait; the frame that exceeds them still does.

    Attributes:
        ended: the connection is over, and nobody is there for what was not recognised yet.
        leaving: the server wants to go: what waits is still taken, and what comes is not.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.frames: deque[Frame] = deque()
        self.size = 0
        self.ended = False
        self.leaving = False
        self.ignoring = False
        self.changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Add a frame; wait while there is no room, unless frames are ignored."""
        with self.changed:
            self.changed.wait_for(lambda: self.size < self.limit or self.ignoring or self.leaving)
            if self.ignoring or self.leaving:
                return
            self.frames.append(frame)
            self.size += frame.cost
            self.changed.notify_all()

    def get(self, timeout: float) -> Frame | None:
        """Take the next frame; ``None`` if there is none within ``timeout`` seconds, or there will be none."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self.frames) or self.ended or self.leaving, max(timeout, 0))
            if not self.frames:
                return None
            frame = self.frames.popleft()
            self.size -= frame.cost
            self.changed.notify_all()
            return frame

    def pause(self, seconds: float) -> None:
        """Wait, unless the end comes before."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.leaving, max(seconds, 0))

    def leave(self) -> None:
        """Take nothing more, and have the handler come to an end."""
        with self.changed:
            self.leaving = True
            self.changed.notify_all()

    def end(self) -> None:
        """The connection is over: nothing more will come, and nobody is there for what was not recognised yet."""
        with self.changed:
            self.ended = True
            self.frames.clear()
            self.changed.notify_all()

    def ignore(self) -> None:
        """Forget what is there and what still comes."""
        with self.changed:
            self.ignoring = True
            self.frames.clear()
            self.changed.notify_all()


def serve_connection(connection: ServerConnection, protocol: ListenProtocol, backlog: Backlog) -> None:
    """Serve one stream to its end; returns when the connection is over and the reader has ended."""
    if protocol.behaviour.throttle:
        backlog.limit = min(backlog.limit, THROTTLED_BACKLOG)
    reader = threading.Thread(target=_read, args=(connection, backlog), name="streamclient-server-reader", daemon=True)
    reader.start()
    try:
        with contextlib.ExitStack() as stack:
            _serve(protocol, backlog, _sender(connection, protocol, stack))
    except ConnectionClosed:
        log.debug("%s: the client has gone", protocol.request_id)
    except CallbackLost as error:
        log.warning("%s: %s", protocol.request_id, error)
        _break_off(connection, backlog)
    except EngineError as error:
        log.log(logging.INFO if backlog.leaving else logging.ERROR, "%s: %s", protocol.request_id, error)
        _break_off(connection, backlog, error.message)
    except Exception:
        log.exception("%s: the stream failed", protocol.request_id)
        _break_off(connection, backlog)
    finally:
        protocol.abandon()
        backlog.ignore()
        connection.close()
        reader.join()  # the connection is closed, so it ends


def _break_off(connection: ServerConnection, backlog: Backlog, reason: str = "") -> None:
    backlog.ignore()  # or the reader may wait for room, and the client's answer is never read
    connection.close(1011, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))


def _read(connection: ServerConnection, backlog: Backlog) -> None:
    try:
        while True:
            backlog.put(Frame(connection.recv(), time.monotonic()))
    except ConnectionClosed:
        pass  # the end of every connection
    finally:
        backlog.end()


def _serve(protocol: ListenProtocol, backlog: Backlog, send: Callable[[Output], None]) -> None:
    while not protocol.closed and not backlog.ended:
        backlog.pause(protocol.paused_until - time.monotonic())
        frame = backlog.get(protocol.deadline - time.monotonic())
        for output in _next(protocol, backlog, frame):
            send(output)
        if frame:
            protocol.catch_up(time.monotonic())


def _next(protocol: ListenProtocol, backlog: Backlog, frame: Frame | None) -> Iterator[Output]:
    if frame is None:
        return protocol.leave() if backlog.leaving else protocol.tick(time.monotonic())
    if isinstance(frame.data, str):
        return protocol.receive_text(frame.data, frame.at)
    return protocol.receive_audio(frame.data, frame.at)


def _sender(
    connection: ServerConnection, protocol: ListenProtocol, stack: contextlib.ExitStack
) -> Callable[[Output], None]:
    """What is done with each output: it goes to the client, to a callback, or to both."""
    callback = protocol.request.callback
    deliver = stack.enter_context(open_callback(callback)) if callback else None

    def send(output: Output) -> None:
        if isinstance(output, Close):
            connection.close(output.code, output.reason)
            return
        text = json.dumps(output)
        if deliver:
            deliver(text)
        if deliver is None or (callback and callback.inspect):
            connection.send(text)

    return send
