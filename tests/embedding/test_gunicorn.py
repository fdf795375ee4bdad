"""Streams inside gunicorn's workers: one for each request, at import, drained, and left by the browser."""

import http.client
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.program import ROOT
from tests.support.service import CLOSE_STREAM, SOON, Call, Service, final, metadata, obedient, serving

for needed in ("flask", "gevent", "gunicorn"):
    pytest.importorskip(needed)

APP = """
from flask import Flask, request
from streamclient import InvalidState, ListenOptions, StreamClient, Utterance

app = Flask(__name__)
options = ListenOptions(encoding="linear16", sample_rate=16000)

@app.post("/transcribe")
def transcribe():
    with StreamClient(options) as client:
        while chunk := request.stream.read(3200):
            client.send(chunk)
    return client.transcript.text

@app.post("/live")
def live():
    client = StreamClient(options)
    client.open()
    client.send(request.get_data())
    def utterances():
        try:
            yield "listening\\n"
            for event in client.events():
                if isinstance(event, Utterance):
                    yield event.text + "\\n"
        finally:
            client.close()
    return utterances()
"""

SHARED = """
shared = StreamClient(options)
@app.post("/shared")
def use_shared():
    try:
        shared.send(request.get_data())
        return shared.close().text
    except InvalidState as error:
        return str(error), 503
"""

WORKERS = ["gthread", "gevent"]


class Gunicorn:
    """A gunicorn that serves an app with one worker.

    One that has answered has also come to hear signals; gunicorn forgets those that come before.

    Args:
        folder: for the app.
        url: the service's.
        app: text of the app's module.
        *arguments: of gunicorn.
    """

    def __init__(self, folder: Path, url: str, app: str, *arguments: str) -> None:
        (folder / "app.py").write_text(app)
        command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "8", "--no-control-socket"]
        self._process = subprocess.Popen(
            [*command, *arguments, "--pythonpath", f"{ROOT},{folder}", "app:app"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={"STREAMCLIENT_URL": url, "PATH": "", "PYTHONPATH": str(ROOT)},
        )
        self._log: list[str] = []
        self._listens = threading.Event()
        self._port = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listens.wait(SOON), self.log

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line)
            if found := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line):
                self._port = int(found[1])
                self._listens.set()

    @property
    def log(self) -> str:
        """What it has logged."""
        return "".join(self._log)

    def post(self, path: str, body: bytes = bytes(16000)) -> http.client.HTTPResponse:
        """Ask the app."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SOON * 2)
        connection.request("POST", path, body, {"Connection": "close"})
        return connection.getresponse()

    def terminate(self) -> None:
        """What a supervisor does first."""
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Wait for its end, which comes well before gunicorn's own patience ends; the exit code."""
        try:
            return self._process.wait(SOON * 2)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"gunicorn does not end; it logged\n{self.log}") from None
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(SOON)
            assert self._process.stderr is not None
            self._process.stderr.close()


@contextmanager
def gunicorn(folder: Path, url: str, app: str, *arguments: str) -> Iterator[Gunicorn]:
    """A gunicorn that ends with the block, well and with nothing to complain of."""
    running = Gunicorn(folder, url, app, *arguments)
    try:
        yield running
    finally:
        running.terminate()
        code = running.end()
    assert code == 0, running.log
    assert "Traceback" not in running.log, running.log
    assert "SIGKILL" not in running.log, running.log


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that says one final at the end."""
    with serving(obedient(final("hello", 0.0), metadata())) as served:
        yield served


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["late", "preload"])
@pytest.mark.parametrize("worker", WORKERS)
def test_a_client_for_each_request(service: Service, tmp_path: Path, worker: str, preload: list[str]) -> None:
    """Requests in parallel each get their own transcript, however the app was loaded."""
    arguments = ["-k", worker, *preload]
    with gunicorn(tmp_path, service.url, APP, *arguments) as running, ThreadPoolExecutor(8) as browsers:
        answers = list(browsers.map(lambda _: running.post("/transcribe").read(), range(16)))

    assert answers == [b"hello"] * 16
    assert [call.commands for call in service.calls] == [[CLOSE_STREAM]] * 16
    assert {len(call.audio) for call in service.calls} == {16000}


@pytest.mark.parametrize("worker", WORKERS)
def test_a_stream_that_was_opened_at_import(service: Service, tmp_path: Path, worker: str) -> None:
    """It belongs to the master: workers are told so, and the master still stops, and closes it."""
    app = APP + SHARED + "shared.open()\n"
    with gunicorn(tmp_path, service.url, app, "-k", worker, "--preload") as running:
        answer = running.post("/shared")
        assert answer.status == 503
        assert b"belongs to the parent process" in answer.read()

    assert "still open at exit" in running.log
    assert service.call.commands == [CLOSE_STREAM]
    assert service.call.audio == b""


def test_a_client_that_was_made_at_import_and_opened_by_a_request(service: Service, tmp_path: Path) -> None:
    """Making a client opens nothing, so it does not belong to the master."""
    app = APP + SHARED.replace("    try:", "    try:\n        shared.open()")
    with gunicorn(tmp_path, service.url, app, "-k", "gthread", "--preload") as running:
        assert running.post("/shared").read() == b"hello"


def test_gevent_is_too_late_for_a_client_that_was_made_at_import(service: Service, tmp_path: Path) -> None:
    """With --preload gevent patches after the import; the client says so instead of stopping the worker."""
    app = APP + SHARED.replace("    try:", "    try:\n        shared.open()")
    with gunicorn(tmp_path, service.url, app, "-k", "gevent", "--preload") as running:
        assert b"before gevent" in running.post("/shared").read()
        assert running.post("/transcribe").read() == b"hello"


def test_a_browser_that_leaves(tmp_path: Path) -> None:
    """The stream of a page that is gone is closed as soon as the worker notices: at the next words."""
    gone = threading.Event()

    def script(call: Call) -> None:
        call.read()
        assert gone.wait(SOON)
        for number in range(100):
            call.say(final("hello", float(number)))
        call.read_until()
        call.end(metadata())

    with serving(script) as service, gunicorn(tmp_path, service.url, APP, "-k", "gthread") as running:
        answer = running.post("/live")
        assert answer.readline() == b"listening\n"
        answer.close()
        gone.set()
        assert service.wait_for_call().ended.wait(SOON)

    assert service.call.commands == [CLOSE_STREAM]


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_that_drains(service: Service, tmp_path: Path, worker: str) -> None:
    """With the manual's recipe SIGTERM ends live streams well, within seconds, and the browser gets the last words."""
    manual = (ROOT / "docs" / "howto" / "servers.md").read_text()
    recipe = next(
        block for block in re.findall(r"```python\n(.*?)```", manual, re.DOTALL) if "post_worker_init" in block
    )
    (tmp_path / "gunicorn.conf.py").write_text(recipe)
    with gunicorn(tmp_path, service.url, APP, "-k", worker) as running:
        answer = running.post("/live")
        assert answer.readline() == b"listening\n"
        running.terminate()
        assert answer.read() == b"hello\n"

    assert service.call.commands == [CLOSE_STREAM]
    assert len(service.call.audio) == 16000
