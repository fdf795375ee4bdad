"""Guarantee 6: a proxy that does not help is named, and its password is not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from streamclient import ConnectError, ConnectTimeout, Timeouts, TransportOptions
from tests.support.bare import bare_server
from tests.support.failures import PASSWORD, Failure, Scene, check, fails_to_open, nothing_listens
from tests.support.service import SOON


@contextmanager
def proxy_answering(answer: bytes, *, patient: bool = False) -> Iterator[dict[str, Any]]:
    """A proxy that answers with these bytes and leaves, or stays silent."""
    stop = threading.Event()

    def speak(connection: socket.socket) -> None:
        request = connection.recv(4096)
        login = next(line for line in request.splitlines() if line.startswith(b"Proxy-Authorization"))
        with suppress(OSError):
            connection.sendall(answer.replace(b"LOGIN", login))
        if patient:
            stop.wait(SOON)

    with bare_server(speak) as port:
        proxy = f"http://user:{PASSWORD}@127.0.0.1:{port}"
        yield proxied(proxy, 1.0 if patient else SOON)
        stop.set()


@contextmanager
def no_proxy_there() -> Iterator[dict[str, Any]]:
    """A proxy that is not there."""
    with nothing_listens() as there:
        yield proxied(there["url"].replace("ws://", f"http://user:{PASSWORD}@"))


def proxied(proxy: str, timeout: float = SOON) -> dict[str, Any]:
    """Arguments of a client behind a proxy."""
    transport = TransportOptions(proxy=proxy)
    assert PASSWORD not in repr(transport)
    return {"url": "ws://service.example:80", "transport": transport, "timeouts": Timeouts(connect=timeout)}


TUNNEL = "tunnel to service.example:80"
PROXIES: dict[str, tuple[Scene, Failure]] = {
    "407": (
        lambda: proxy_answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=(TUNNEL, "407 Proxy Authentication Required"),
            hint="login of the proxy",
            retryable=False,
            facts={"status": 407},
        ),
    ),
    "403": (
        lambda: proxy_answering(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=(TUNNEL, "403 Forbidden"),
            hint="who runs the proxy",
            retryable=False,
            facts={"status": 403},
        ),
    ),
    "502": (
        lambda: proxy_answering(b"HTTP/1.0 502 Bad Gateway\r\n\r\n"),
        Failure(
            kind=ConnectError,
            says=(TUNNEL, "502"),
            hint="who runs the proxy",
            retryable=True,
            facts={"status": 502},
        ),
    ),
    "garbage": (
        lambda: proxy_answering(b"\x05\x00garbage\x1b[31m\r\n\r\n"),
        Failure(kind=ConnectError, says=(TUNNEL, r"garbage\x1b"), hint="no HTTP proxy", retryable=False),
    ),
    "endless garbage": (
        lambda: proxy_answering(b"x" * 1_000_000),
        Failure(kind=ConnectError, says=("proxy 127.0.0.1", "too large"), hint="Check", retryable=True),
    ),
    "an echo": (
        lambda: proxy_answering(b"HTTP/1.1 400 LOGIN\r\n\r\n"),
        Failure(kind=ConnectError, says=("***",), hint="who runs the proxy", retryable=False),
    ),
    "a hang-up": (
        lambda: proxy_answering(b""),
        Failure(kind=ConnectError, says=(TUNNEL, "ended the connection"), hint="proxy's address", retryable=True),
    ),
    "silence": (
        lambda: proxy_answering(b"", patient=True),
        Failure(kind=ConnectTimeout, says=("asking the proxy",), hint="Timeouts(connect=", retryable=True),
    ),
    "nobody there": (
        no_proxy_there,
        Failure(
            kind=ConnectError,
            says=("connecting to the proxy", "Connection refused"),
            hint="HTTPS_PROXY",
            retryable=True,
        ),
    ),
}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_that_does_not_help_is_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error is about the proxy, holds its answer and not its password, and is not taken for the service's."""
    scene, expected = PROXIES[name]
    with scene() as arguments:
        error = fails_to_open(arguments)

    assert "127.0.0.1:" in str(error)
    check(error, expected, caplog)
