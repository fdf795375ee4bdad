"""The receivers of the manual, as printed, behind a real server."""

import importlib.util
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from streamclient import Closed, Opened, Transcript, plugin_settings
from streamclient_plugins.webhook.plugin import Webhook
from streamclient_plugins.webhook.signing import Signer
from tests.plugins.conftest import UTTERANCE, Play
from tests.support.receiver import receiving

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENTS = (Opened(), UTTERANCE, Closed(Transcript((UTTERANCE,), 2.0, complete=True)))


class Silent(WSGIRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def running(app: Any) -> Iterator[str]:
    """The URL of a receiver that runs."""
    with make_server("127.0.0.1", 0, app, handler_class=Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/transcripts"
        finally:
            server.shutdown()
            thread.join()


@cache  # Django is set up once in a process
def load(name: str) -> ModuleType:
    """A file of the manual as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["webhook_flask", "webhook_django"])
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A receiver of the manual that has received nothing yet."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    module = load(request.param)
    module.events.clear()
    return module


def test_it_takes_what_the_plugin_sends(example: ModuleType, play: Play, tmp_path: Path) -> None:
    """All of it."""
    with running(example.app) as url:
        assert play(Webhook(url=url, secret=(SECRET,), outbox=tmp_path / "box", drain=30.0), EVENTS) == []

    assert [event["type"] for event in example.events.values()] == ["stream.utterance", "stream.close"]


def test_it_takes_an_event_once(example: ModuleType) -> None:
    """And refuses what another secret has signed, or none."""
    headers = Signer([SECRET]).headers("msg_1", int(time.time()), b"{}")
    with running(example.app) as url:
        for _ in range(2):
            assert post(url, headers) == 204
        assert post(url, headers | {"webhook-id": "msg_2"}) == 401
        assert post(url, {}) == 401

    assert list(example.events) == ["msg_1"]


def post(url: str, headers: dict[str, str]) -> int:
    """The status of the answer."""
    try:
        with urlopen(Request(url, b"{}", headers)) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


def test_the_event_of_the_manual_is_what_is_posted(play: Play, tmp_path: Path) -> None:
    """Field by field."""
    with receiving() as receiver:
        play(Webhook(url=receiver.url, outbox=tmp_path / "box", drain=30.0), EVENTS)

    assert shape(receiver.posts[0].event) == shape(json.loads((EXAMPLES / "webhook_event.json").read_text()))


def shape(value: Any) -> Any:
    """Names and types without values."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value)


def test_the_settings_of_the_manual_make_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With secrets from elsewhere."""
    (tmp_path / "streamclient.toml").write_text((EXAMPLES / "webhook.toml").read_text())
    (tmp_path / "webhook-secret.txt").write_text(f"{SECRET}\n")
    monkeypatch.setenv("TRANSCRIPTS_URL", "https://example.org/transcripts")
    monkeypatch.chdir(tmp_path)

    plugin = Webhook(**plugin_settings("webhook"), outbox=tmp_path / "box")

    assert plugin.endpoint.startswith("https://example.org#")
    assert plugin.events == ("utterance", "error", "close")
