"""The Django integration, each test in a process of its own: Django has one configuration for each."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.conftest import EXAMPLES, SAMPLE, messages
from tests.support.service import final, metadata, obedient, serving

SETUP = """
import json, sys
import django
from django.conf import settings
from django.core.management import call_command, CommandError

settings.configure(
    INSTALLED_APPS=["streamclient.integrations.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite", "CONN_MAX_AGE": None}},
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    SECRET_KEY="of Django",
    STREAMCLIENT=json.loads(sys.argv[1]),
)
django.setup()
from streamclient import hookimpl
from streamclient.integrations.django import connect, sse

urlpatterns = []
"""
RAW = {"encoding": "linear16", "sample_rate": 16000}


def run(program: str, folder: Path, *arguments: str, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program in a project with these settings."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SETUP + program, json.dumps(settings), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=150,
    )


class TestClient:
    def test_hooks_give_their_database_connections_back(self, tmp_path: Path) -> None:
        """Each call, also where connections are persistent: a lane's thread is no request."""
        program = """
from django.db import connection

seen = []

class Plugin:
    @hookimpl
    def on_final(self, result):
        self.write(result.transcript)

    @hookimpl
    def on_close(self):
        self.write("end")

    def write(self, text):
        assert connection.connection is None
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS said (text)")
            cursor.execute("INSERT INTO said VALUES (%s)", [text])
        seen.append(connection.connection)

with connect(plugins=[Plugin()]) as client:
    client.send(bytes(32000))
with connection.cursor() as cursor:
    print([row[0] for row in cursor.execute("SELECT text FROM said")])
for raw in seen:
    try:
        raw.execute("SELECT 1")
    except Exception as error:
        print(error)
"""
        with serving(obedient(final("hello", 0.0), metadata())) as service:
            done = run(program, tmp_path, URL=service.url, OPTIONS=RAW)

        assert done.stderr == ""
        assert done.stdout.splitlines() == ["['hello', 'end']", *["Cannot operate on a closed database."] * 2]

    def test_events_are_streamed(self, tmp_path: Path) -> None:
        """And the stream is cut when nobody listens any more, also where not a line was read."""
        program = """
import threading
from django.test import Client
from django.urls import path

gone = threading.Event()

def endless():
    while not gone.wait(0.01):
        yield bytes(320)

urlpatterns += [path("good", lambda request: sse(bytes(32000))), path("endless", lambda request: sse(endless()))]
response = Client().get("/good")
sys.stdout.write(b"".join(response.streaming_content).decode())
print(response["Content-Type"], response["Cache-Control"], response["X-Accel-Buffering"])
for read in (0, 1):
    response = Client().get("/endless")
    for _ in range(read):
        next(response.streaming_content)
    response.close()
gone.set()
"""
        with serving(obedient(final("hello", 0.0), metadata())) as service:
            done = run(program, tmp_path, URL=service.url, OPTIONS=RAW)
            assert all(call.ended.wait(30) for call in service.calls)

        assert done.stderr == ""
        assert [name for name, _ in messages(done.stdout.encode())] == ["open", "final", "utterance", "close"]
        assert done.stdout.splitlines()[-1] == "text/event-stream no-store no"
        assert len(service.calls) == 3

    def test_the_error_page_does_not_show_the_key(self, tmp_path: Path) -> None:
        """With ``DEBUG`` it shows what every frame holds, whatever is wrong: the settings, or the key itself."""
        program = """
from django.test import Client, override_settings
from django.urls import path

def connecting(request):
    with connect():
        pass

urlpatterns += [path("connect", connecting), path("sse", lambda request: sse(bytes(32000)))]
good = settings.STREAMCLIENT
key = good["API_KEY"].encode()
for wrong in ({}, {"OPTION": 1}, {"OPTIONS": {"modell": 1}}, {"TIMEOUTS": 3}, {"PLUGINS": ["nothing"]}):
    with override_settings(DEBUG=True, STREAMCLIENT={**good, **wrong}):
        for page in ("/connect", "/sse"):
            answer = Client(raise_request_exception=False).get(page)
            print(answer.status_code, b"Traceback" in answer.content, key in answer.content)
"""
        done = run(program, tmp_path, URL="ws://127.0.0.1:1", OPTIONS=RAW, API_KEY="the-key")
        assert done.stdout.splitlines() == ["500 True False"] * 10, done.stderr


WRONG: list[tuple[Any, str]] = [
    ({"OPTION": {}}, "streamclient.E001) The setting STREAMCLIENT has 'OPTION', which means nothing; did you mean"),
    ({"OPTIONS": {"modell": "x"}}, "by name: there is no option 'modell'; did you mean 'model'?"),
    ({"OPTIONS": {"channels": -1}}, "streamclient.E001) ListenOptions.channels=-1 is not allowed"),
    ([], "streamclient.E001) The setting STREAMCLIENT must be a mapping, not list"),
    ({"PLUGINS": "log"}, "streamclient.E002) STREAMCLIENT['PLUGINS'] must be a list"),
    ({"PLUGINS": ["log", "lgo:x=1"]}, "streamclient.E003) STREAMCLIENT['PLUGINS'] has 'lgo', which is not installed"),
]


class TestChecks:
    def test_wrong_settings_are_said(self, tmp_path: Path) -> None:
        """By ``manage.py check``, before there is a stream."""
        program = """
from django.test import override_settings

for wrong in json.loads(sys.argv[2]):
    with override_settings(STREAMCLIENT=wrong):
        try:
            call_command("check")
        except CommandError as error:
            print(" ".join(str(error).split()))
"""
        done = run(program, tmp_path, json.dumps([wrong for wrong, _ in WRONG]))

        for line, (_, said) in zip(done.stdout.splitlines(), WRONG, strict=True):
            assert said in line

    def test_right_ones_are_not(self, tmp_path: Path) -> None:
        """Those of the manual, for example. Nothing is connected for that."""
        shown = runpy.run_path(str(EXAMPLES / "django_settings.py"))
        done = run("call_command('check')", tmp_path, **shown["STREAMCLIENT"], URL="ws://x")

        assert shown["INSTALLED_APPS"] == ["streamclient.integrations.django"]
        assert (done.returncode, done.stdout) == (0, "System check identified no issues (0 silenced).\n")


class TestCommand:
    def manage(self, *arguments: str, url: str) -> "subprocess.CompletedProcess[bytes]":
        """Run a command of the example project."""
        with SAMPLE.open("rb") as audio:
            return subprocess.run(
                [sys.executable, "django_live.py", *arguments],
                check=False,
                stdin=audio,
                capture_output=True,
                cwd=EXAMPLES,
                env={**os.environ, "STREAMCLIENT_URL": url},
                timeout=150,
            )

    @pytest.mark.parametrize("source", [str(SAMPLE), "-"])
    def test_a_file_is_transcribed_with_the_settings(self, source: str) -> None:
        """Each utterance is a line; options and plugins can be given."""
        with serving(obedient(final("hello", 0.0), final("again", 1.0), metadata())) as service:
            done = self.manage("transcribe", source, "--model", "nova-2", "--plugin", "log", url=service.url)

        assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\nagain\n", b"")
        assert "model=nova-2" in service.call.path
        assert "interim_results=true" in service.call.path

    def test_a_failure_is_a_command_error(self) -> None:
        """In one line."""
        with serving() as service:
            service.refusal = lambda _: (401, {}, b"")
            done = self.manage("transcribe", str(SAMPLE), url=service.url)

        assert done.returncode == 1
        assert done.stderr.startswith(b"CommandError: ")
        assert done.stderr.count(b"\n") == 1


def test_without_django_it_says_what_to_install() -> None:
    """As an import error."""
    program = "import sys; sys.modules['django'] = None; import streamclient.integrations.django"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)

    assert "ImportError: streamclient.integrations.django needs Django. Install it with: pip install" in done.stderr
