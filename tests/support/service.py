"""A service on 127.0.0.1 that does what a test says, over a real websocket."""

import json
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from streamclient.testing.builders import metadata, results

__all__ = [
    "CLOSE_STREAM",
    "LINEAR16",
    "SOON",
    "Call",
    "Script",
    "Service",
    "final",
    "interim",
    "metadata",
    "obedient",
    "serving",
]

CLOSE_STREAM = '{"type": "CloseStream"}'
KEEP_ALIVE = '{"type": "KeepAlive"}'
LINEAR16 = {"encoding": "linear16", "sample_rate": 16000}
SOON = 60.0
"""Seconds that only elapse when a test is about to fail."""

UNHEARD = logging.getLogger("tests.service")
"""The library tells of connections that a test breaks, to whoever listens; what a script raises fails its test."""
UNHEARD.setLevel(logging.CRITICAL + 1)


def final(text: str, start: float, duration: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A final result at a pause, whose words share its span evenly."""
    return results(text, start, start + duration, **{"speech_final": True, **fields})


def interim(text: str, start: float, duration: float = 1.0) -> dict[str, Any]:
    """A preliminary result."""
    return final(text, start, duration, is_final=False, speech_final=False)


class Call:
    """One connection as the service sees it."""

    def __init__(self, ws: ServerConnection) -> None:
        self.ws = ws
        self.frames: list[bytes | str] = []
        self.ended = threading.Event()
        assert ws.request is not None
        self.path = ws.request.path
        self.headers = ws.request.headers

    @property
    def audio(self) -> bytes:
        """All audio received."""
        return b"".join(frame for frame in self.frames if isinstance(frame, bytes))

    @property
    def texts(self) -> list[str]:
        """All text messages received."""
        return [frame for frame in self.frames if isinstance(frame, str)]

    @property
    def commands(self) -> list[str]:
        """All text messages received, but for those of a client that has nothing to say."""
        return [text for text in self.texts if text != KEEP_ALIVE]

    def read(self) -> bytes | str:
        """The next frame."""
        frame = self.ws.recv()
        self.frames.append(frame)
        return frame

    def read_until(self, text: str = CLOSE_STREAM) -> None:
        """Read up to a text message."""
        while self.read() != text:
            pass

    def read_to_end(self) -> None:
        """Read until the client closes."""
        try:
            while True:
                self.read()
        except ConnectionClosed:
            pass

    def say(self, *messages: dict[str, Any] | str) -> None:
        """Send messages."""
        for message in messages:
            self.ws.send(message if isinstance(message, str) else json.dumps(message))

    def end(self, *messages: dict[str, Any] | str, code: int = 1000, reason: str = "") -> None:
        """Send messages, close, and read what a client may wrongly send after its CloseStream."""
        self.say(*messages)
        with self.ws.protocol_mutex:
            self.ws.protocol.send_close(code, reason)
            self.ws.send_data()
        self.read_to_end()

    def reset(self) -> None:
        """Break the connection without a word."""
        self.ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ws.socket.shutdown(socket.SHUT_RD)  # or the library's reader keeps the connection open
        self.ws.socket.close()


Script = Callable[[Call], None]


def obedient(*messages: dict[str, Any]) -> Script:
    """A service that hears everything, then says these messages, then closes."""

    def script(call: Call) -> None:
        call.read_until()
        call.end(*messages)

    return script


class Service:
    """The service of one test."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None) -> None:
        self.calls: list[Call] = []
        self.called = threading.Semaphore(0)
        self._was_called = threading.Event()
        self.failures: list[BaseException] = []
        self.refusal: Callable[[Request], tuple[int, dict[str, str], bytes] | None] = lambda _: None
        self._script = script
        self._server: Server = serve(
            self._handle,
            "127.0.0.1",
            0,
            ssl=tls,
            process_request=self._admit,
            process_response=self._name,
            compression=None,
            ping_interval=None,
            close_timeout=SOON,
            logger=UNHEARD,
        )
        port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}" if tls is None else f"wss://localhost:{port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def call(self) -> Call:
        """The only call; a client that has hung up at once may be gone before its call begins."""
        assert self._was_called.wait(SOON)
        (call,) = self.calls
        return call

    def wait_for_call(self) -> Call:
        """The next call, once it is there."""
        assert self.called.acquire(timeout=SOON)
        return self.calls[-1]

    def stop(self) -> None:
        """End all calls and all threads."""
        self._server.shutdown()
        self._thread.join(SOON)
        for call in self.calls:
            if not call.ended.is_set():
                try:
                    call.ws.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            assert call.ended.wait(SOON)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        refused = self.refusal(request)
        if refused is None:
            return None
        status, headers, body = refused
        response = connection.respond(status, "")
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            response.headers[name] = value
        response.body = body
        return response

    def _name(self, _connection: ServerConnection, _request: Request, response: Response) -> None:
        if "dg-request-id" not in response.headers:
            response.headers["dg-request-id"] = f"request-{len(self.calls)}"

    def _handle(self, ws: ServerConnection) -> None:
        call = Call(ws)
        self.calls.append(call)
        self.called.release()
        self._was_called.set()
        try:
            self._script(call)
        except (ConnectionClosed, ConnectionError):  # the client is gone first; what it should have waited for it lacks
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            call.ended.set()


@contextmanager
def serving(script: Script | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    """A service that lives as long as the block."""
    service = Service(script or obedient(metadata()), tls)
    try:
        yield service
    finally:
        service.stop()
    assert not service.failures, service.failures
