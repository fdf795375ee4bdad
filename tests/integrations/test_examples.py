"""The applications of the manual, as printed, behind a real server."""

import json
import os
import threading

import pytest

from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from tests.integrations.conftest import Messages, Start, messages, post

pytestmark = pytest.mark.skipif(os.name != "posix", reason="gunicorn runs on POSIX")


@pytest.mark.parametrize("app", ["flask_live:app", "django_live:app"])
def test_an_application_behind_a_real_server(app: str, gunicorn: Start) -> None:
    """Uploads become transcripts and events, several at a time; a refusal becomes a status."""
    with LocalServer(ScriptedEngine([("good", 0.2, 0.5), ("morning", 0.6, 1.1)])) as server:
        port = gunicorn(app, server.url)
        status, body = post(port, "/transcripts")
        assert (status, json.loads(body)["text"]) == (200, "good morning")

        told: list[Messages] = []
        threads = [threading.Thread(target=lambda: told.append(messages(post(port, "/captions")[1]))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert [events[-1][1]["text"] for events in told] == ["good morning"] * 3
        assert all(events[0][0] == "open" and events[-1][1]["complete"] for events in told)

    status, body = post(port, "/captions")
    assert status == 503
    assert "refused" in json.loads(body)["error"]
