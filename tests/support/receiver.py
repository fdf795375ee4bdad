"""A receiver of webhooks on 127.0.0.1 that answers as a test says, over real HTTP."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme
from attrs import define

__all__ = [
    "Answerer",
    "Receiver",
    "garbage",
    "half_body",
    "half_head",
    "hang",
    "raw",
    "receiving",
    "reset",
    "silence",
    "status",
]

Answerer = Callable[[BaseHTTPRequestHandler], bool]
"""Answers a post; returns whether that was a whole 2xx."""


@define
class Post:
    """A post as it came.

    Args:
        path: as asked for.
        headers: with their names in lower case.
        body: as sent.
        was_accepted: whether it has been answered with a whole 2xx.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    was_accepted: bool = False

    @property
    def id(self) -> str:
        """Its ``webhook-id``."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


def status(code: int, **headers: str) -> Answerer:
    """Answer with a status and headers."""

    def answer(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")
        return 200 <= code < 300

    return answer


def raw(content: bytes) -> Answerer:
    """Say this, then hang up."""

    def answer(handler: BaseHTTPRequestHandler) -> bool:
        handler.wfile.write(content)
        handler.close_connection = True
        return False

    return answer


half_head = raw(b"HTTP/1.1 200 OK\r\nContent-Le")
half_body = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
garbage = raw(b"\x00\xff what?\r\n\r\n")
silence = raw(b"")
"""Close without an answer."""


def reset(handler: BaseHTTPRequestHandler) -> bool:
    """Break the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    return False


def hang(handler: BaseHTTPRequestHandler) -> bool:
    """Say nothing until the sender has given up."""
    with suppress(OSError):
        handler.connection.recv(1)
    handler.close_connection = True
    return False


class Receiver(ThreadingHTTPServer):
    """Answers one post after the other as the plan says, and with 200 when the plan has ended."""

    daemon_threads = False  # so that the end waits for them

    def __init__(self, plan: Iterable[Answerer] = (), tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.posts: list[Post] = []
        self.connections = 0
        self.arrived = threading.Condition()
        self._plan = iter(plan)
        self._accept = status(200)
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://localhost:{self.server_port}/hook?token=hidden"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def accepted(self) -> list[Post]:
        """The posts that were answered with a whole 2xx, in order."""
        return [post for post in self.posts if post.was_accepted]

    def plan(self, *answers: Answerer) -> None:
        """Answer the next posts like this."""
        self._plan = iter(answers)

    def wait_for(self, number: int) -> None:
        """Wait until so many posts were accepted."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.accepted) >= number, 30)

    def wait_for_posts(self, number: int) -> None:
        """Wait until so many posts came, answered or not."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posts) >= number, 30)

    def receive(self, handler: BaseHTTPRequestHandler, headers: Message, body: bytes) -> None:
        """Note a post, and answer it."""
        post = Post(handler.path, {name.lower(): value for name, value in headers.items()}, body)
        with self.arrived:
            self.posts.append(post)
            self.arrived.notify_all()
            answer = next(self._plan, self._accept)
        accepted = answer(handler)
        with self.arrived:
            post.was_accepted = accepted
            self.arrived.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, which `stop` ends."""
        self.connections += 1
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; a reset one at once."""
        self._open.discard(request)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that leaves is no error of the receiver."""

    def hang_up(self) -> None:
        """End all connections."""
        for request in list(self._open):
            with suppress(OSError):
                socket.socket.shutdown(request, socket.SHUT_RDWR)

    def stop(self) -> None:
        """End all connections and threads."""
        self.shutdown()
        self._thread.join(30)
        self.hang_up()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) == int(self.headers["Content-Length"]):  # or the sender has died in the middle
            self.server.receive(self, self.headers, body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def server_context(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    """A receiver's side of TLS, with a certificate for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@contextmanager
def receiving(plan: Iterable[Answerer] = (), tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """A receiver that lives as long as the block."""
    receiver = Receiver(plan, tls, port)
    try:
        yield receiver
    finally:
        receiver.stop()
