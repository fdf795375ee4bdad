"""Applications of the manual behind gunicorn, and what they answer."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"

Messages = list[tuple[str, Any]]
Start = Callable[[str, str], int]
"""Starts an application that uses a service, and returns its port."""


def messages(body: bytes) -> Messages:
    """The server-sent events of a body: name and facts."""
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", body.decode())
    return [(name, json.loads(data)) for name, data in found]


@pytest.fixture
def gunicorn() -> Iterator[Start]:
    """Start an example of the manual as it says."""
    servers: list[subprocess.Popen[str]] = []

    def start(app: str, url: str) -> int:
        workers = ["--worker-class", "gthread", "--threads", "4"]
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *workers, "--bind", "127.0.0.1:0", app],
            cwd=EXAMPLES,
            env={**os.environ, "STREAMCLIENT_URL": url},
            stderr=subprocess.PIPE,
            text=True,
        )
        servers.append(server)
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"Listening at: http://127.0.0.1:(\d+)", line):
                return int(found[1])
        raise AssertionError("gunicorn does not start")

    yield start
    for server in servers:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
        assert server.returncode == 0


def post(port: int, path: str) -> tuple[int, bytes]:
    """Post the beginning of the sample; status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, SAMPLE.read_bytes()[:100_000])
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
