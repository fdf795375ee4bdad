"""Guarantee 6: whatever answers instead of the service, or does not, has a name."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest

from streamclient import ConnectError, ConnectTimeout, ListenOptions, StreamClient, Timeouts
from tests.support.bare import bare_server
from tests.support.failures import Failure, Scene, check, fails_to_open, nothing_listens
from tests.support.service import SOON


@contextmanager
def no_such_name() -> Iterator[dict[str, Any]]:
    """A name that is reserved for not being there (RFC 6761)."""
    yield {"url": "ws://no-such-host.invalid", "timeouts": Timeouts(connect=SOON)}


@contextmanager
def no_name_at_all() -> Iterator[dict[str, Any]]:
    """A label that is longer than labels may be."""
    yield {"url": f"ws://{'a' * 70}.example"}


@contextmanager
def full_queue() -> Iterator[dict[str, Any]]:
    """A server that accepts nobody: the system answers no further connection."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield {"url": f"ws://127.0.0.1:{listener.getsockname()[1]}", "timeouts": Timeouts(connect=1.0)}


@contextmanager
def silent(scheme: str) -> Iterator[dict[str, Any]]:
    """A server that takes what it is sent and says nothing."""
    stop = threading.Event()
    with bare_server(lambda _: (stop.wait(SOON), None)[1]) as port:
        yield {"url": f"{scheme}://127.0.0.1:{port}", "timeouts": Timeouts(connect=1.0)}
        stop.set()


@contextmanager
def answering(answer: bytes, scheme: str = "ws") -> Iterator[dict[str, Any]]:
    """A server that answers with these bytes, whatever it is asked, and leaves."""

    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        with suppress(OSError):
            connection.sendall(answer)

    with bare_server(speak) as port:
        yield {"url": f"{scheme}://127.0.0.1:{port}"}


@contextmanager
def echoing() -> Iterator[dict[str, Any]]:
    """A server that repeats the handshake, with the key, in a header that cannot be read."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 X\r\nX: \xff" + connection.recv(4096).replace(b"\r\n", b" ") + b"\r\n\r\n")

    with bare_server(speak) as port:
        yield {"url": f"ws://127.0.0.1:{port}"}


GARBAGE = "does not speak websocket"
UNREACHABLE: dict[str, tuple[Scene, Failure]] = {
    "no such name": (
        no_such_name,
        Failure(kind=ConnectError, says=("no-such-host.invalid",), hint="Check the host", retryable=True),
    ),
    "no name at all": (
        no_name_at_all,
        Failure(kind=ConnectError, says=("no name of a host",), hint="Check the host", retryable=True),
    ),
    "refused": (
        nothing_listens,
        Failure(kind=ConnectError, says=("Connection refused",), hint="host and port", retryable=True),
    ),
    "nobody accepts": (
        full_queue,
        Failure(kind=ConnectTimeout, says=("1 s", "connecting to"), hint="Timeouts(connect=", retryable=True),
    ),
    "no handshake": (
        lambda: silent("ws"),
        Failure(kind=ConnectTimeout, says=("1 s", "websocket handshake"), hint="Timeouts(connect=", retryable=True),
    ),
    "no TLS handshake": (
        lambda: silent("wss"),
        Failure(kind=ConnectTimeout, says=("1 s", "TLS"), hint="Timeouts(connect=", retryable=True),
    ),
    "another protocol": (
        lambda: answering(b"SSH-2.0-OpenSSH_9.2\r\n"),
        Failure(kind=ConnectError, says=("SSH-2.0",), hint=GARBAGE, retryable=True),
    ),
    "a web page": (
        lambda: answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        Failure(kind=ConnectError, says=("HTTP 200",), hint=GARBAGE, retryable=False, facts={"status": 200}),
    ),
    "a handshake without its answer": (
        lambda: answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Failure(kind=ConnectError, says=("Invalid WebSocket Header",), hint=GARBAGE, retryable=True),
    ),
    "no status line": (
        lambda: answering(b"\r\n\r\n"),
        Failure(kind=ConnectError, says=("no status line",), hint=GARBAGE, retryable=True),
    ),
    "a wrong length": (
        lambda: answering(b"HTTP/1.1 401 X\r\nContent-Length: abc\r\n\r\n"),
        Failure(kind=ConnectError, hint=GARBAGE, retryable=True),
    ),
    "binary": (lambda: answering(b"\x00\xff" * 5000), Failure(kind=ConnectError, hint=GARBAGE, retryable=True)),
    "nothing": (lambda: answering(b""), Failure(kind=ConnectError, says=("lost",), hint=GARBAGE, retryable=True)),
    "an endless header": (
        lambda: answering(b"HTTP/1.1 101 X\r\nX-Long: " + b"a" * 2_000_000),
        Failure(kind=ConnectError, says=("too large",), hint="Check", retryable=True),
    ),
    "an endless body": (
        lambda: answering(b"HTTP/1.1 500 X\r\nContent-Length: 99999999999\r\n\r\n" + b"a" * 2_000_000),
        Failure(kind=ConnectError, says=("too large",), hint="Check", retryable=True),
    ),
    "an echo": (echoing, Failure(kind=ConnectError, says=("***",), hint=GARBAGE, retryable=True)),
    "a plain server at wss": (
        lambda: answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", "wss"),
        Failure(kind=ConnectError, says=("TLS",), hint="ws:// url", retryable=False),
    ),
    "TLS that ends at once": (
        lambda: answering(b"", "wss"),
        Failure(kind=ConnectError, says=("TLS",), hint="try again", retryable=True),
    ),
    "a redirect": (
        lambda: answering(b"HTTP/1.1 302 Found\r\nLocation: wss://elsewhere.example/v1\r\ndg-request-id: r-1\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=("wss://elsewhere.example/v1",),
            hint="not followed",
            retryable=False,
            facts={"status": 302, "request_id": "r-1"},
        ),
    ),
    "a redirect to nowhere": (
        lambda: answering(b"HTTP/1.1 301 Moved\r\n\r\n"),
        Failure(kind=ConnectError, says=("nowhere",), hint="not followed", retryable=False, facts={"status": 301}),
    ),
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_whatever_answers_instead_of_the_service_has_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No service, no TLS, no HTTP, no websocket: each is one of our errors, and memory stays bounded."""
    scene, expected = UNREACHABLE[name]
    with scene() as arguments:
        error = fails_to_open(arguments)

    check(error, expected, caplog)


@pytest.mark.parametrize("defect", [LookupError("none"), SystemExit(3)])
def test_defect_of_ours_ends_the_stream_with_a_name(defect: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes out of the sender, nobody waits for its stream any more, and every thread ends."""

    def fail(*_: object) -> None:
        raise defect

    monkeypatch.setattr("streamclient.client.connect", fail)
    client = StreamClient(ListenOptions(), url="ws://127.0.0.1:1", timeouts=Timeouts(connect=SOON))
    with pytest.raises(ConnectError, match=f"failed inside streamclient: {type(defect).__name__}"):
        client.open()
    with pytest.raises(ConnectError, match="failed inside streamclient"):
        client.close()
