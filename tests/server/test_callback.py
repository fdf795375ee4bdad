"""Results that go elsewhere."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from websockets.sync.server import ServerConnection, serve

from streamclient.server import Behaviour, LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from tests.support.wire import CLOSE, RAW, converse, refusal

SECOND = bytes(32_000)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that may connect elsewhere."""
    engine = ScriptedEngine([("one", 0.5, 0.9)])
    with LocalServer(engine, behaviour=Behaviour(callbacks=True)) as server:
        yield server


@contextmanager
def http_service(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An address, and the methods and types of what comes to it."""
    received: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.command, json.loads(body)["type"]))
            self.send_response(status)
            self.end_headers()

        do_PUT = do_POST  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{service.server_port}/results", received
    service.shutdown()
    thread.join()
    service.server_close()


def listen(url: str, rest: str = "") -> str:
    """A query with a callback."""
    return f"{RAW}&callback={quote(url, safe='')}{rest}"


@pytest.mark.parametrize(("rest", "method"), [("", "POST"), ("&callback_method=put", "PUT")])
def test_results_go_to_an_address_instead(server: LocalServer, rest: str, method: str) -> None:
    """Each as a request of its own; the websocket hears only the close."""
    with http_service() as (url, received):
        heard = converse(server, listen(url, rest), [SECOND, CLOSE])
    assert received == [(method, "Results"), (method, "Metadata")]
    assert (heard.messages, heard.code) == ([], 1000)


def test_results_can_go_to_both(server: LocalServer) -> None:
    """With ``inspect_response``."""
    with http_service() as (url, received):
        heard = converse(server, listen(url, "&inspect_response=true"), [SECOND, CLOSE])
    assert [m["type"] for m in heard.messages] == [kind for _, kind in received] == ["Results", "Metadata"]


def test_an_address_that_does_not_want_them_loses_them(server: LocalServer) -> None:
    """The stream ends as it would."""
    with http_service(status=500) as (url, _):
        assert converse(server, listen(url), [SECOND, CLOSE]).code == 1000
    assert converse(server, listen(url), [SECOND, CLOSE]).code == 1000


def test_an_address_that_speaks_no_http_loses_them(server: LocalServer) -> None:
    """Whatever it answers: the stream goes on, and ends as it would."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):
                client, _address = listener.accept()
                with client:
                    client.recv(100_000)
                    client.sendall(b"220 mail.example.org ready\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert converse(server, listen(url), [SECOND, CLOSE]).code == 1000
        thread.join()
    assert converse(server, listen("http://127.0.0.1:1/a b"), [SECOND, CLOSE]).code == 1000


def test_results_can_go_to_a_websocket(server: LocalServer) -> None:
    """As texts, one after the other."""
    received: list[str] = []

    def collect(ws: ServerConnection) -> None:
        received.extend(json.loads(text)["type"] for text in ws)

    with serve(collect, "127.0.0.1", 0) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{service.socket.getsockname()[1]}"
        assert converse(server, listen(url), [SECOND, CLOSE]).code == 1000
        service.shutdown()
        thread.join()
    assert received == ["Results", "Metadata"]
    assert converse(server, listen(url), [SECOND, CLOSE]).code == 1011


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "nonsense", "ftp://example.org/x", "http://[::1", "ws://x:99999/"]
)
def test_only_http_and_websockets_are_called(server: LocalServer, url: str) -> None:
    """Another address is refused, and so is what is none."""
    assert b"`callback` must be a URL that begins with" in (refusal(server, listen(url)).resp_body or b"")


def test_callbacks_need_leave() -> None:
    """A server that was not told so lets nobody make it connect anywhere."""
    with LocalServer(ScriptedEngine()) as server:
        refused = refusal(server, listen("http://127.0.0.1:1/"))
    assert refused.status_code == 400
    assert b"allows no `callback`" in (refused.resp_body or b"")
