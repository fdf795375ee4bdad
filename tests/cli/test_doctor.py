"""``streamclient doctor``: it checks what ``transcribe`` would use, and says what is in the way."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from streamclient import __version__
from streamclient.cli import checkup
from streamclient.cli.checkup import clock_error
from streamclient.wire.sockets import SoundSocket
from tests.cli.conftest import invoke
from tests.support.bare import bare_server
from tests.support.ports import reserved_port
from tests.support.service import SOON, metadata, obedient, serving

Capture = pytest.CaptureFixture[str]
KEY = "sup3r-s3cret-k3y"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that must not be seen, and no proxy; and a busy machine may be slow to tell the time."""
    monkeypatch.setattr(checkup, "SECONDS_FOR_THE_TIME", SOON)
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEY)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def check(capsys: Capture, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code and findings by name; nothing is on standard error, and the key nowhere."""
    code, out, err = invoke(capsys, ["doctor", "--json", *arguments])
    assert err == ""
    assert KEY not in out
    return code, {finding["name"]: finding for finding in json.loads(out)}


def states(findings: dict[str, dict[str, str]]) -> dict[str, str]:
    """State by name, of the way to the service."""
    way = ("key", "address", "proxy", "name", "TCP", "TLS", "clock", "service")
    return {name: findings[name]["state"] for name in way if name in findings}


def test_a_service_that_works_is_well(capsys: Capture) -> None:
    """Every step is ok, the stream is opened with the key and closed as it should be, and the code is 0."""
    with serving(obedient(metadata(0.0, 0))) as service:
        code, findings = check(capsys, "--url", service.url)

        assert service.call.headers["Authorization"] == f"Token {KEY}"
        assert service.call.commands == ['{"type": "CloseStream"}']
    assert code == 0
    assert set(states(findings).values()) == {"ok"}
    assert len(states(findings)) == 8
    assert "$DEEPGRAM_API_KEY" in findings["key"]["text"]
    assert findings["address"]["text"] == f"{service.url}/v1/listen"
    assert "request-0" in findings["service"]["text"]
    assert f"streamclient {__version__}" in findings["versions"]["text"]
    assert "jsonl" in findings["plugins"]["text"]


def test_the_text_says_the_same_to_people(capsys: Capture) -> None:
    """A line for each check, and a last one with the sum; nothing but printable text without a terminal."""
    with serving(obedient(metadata(0.0, 0))) as service:
        code, out, err = invoke(capsys, ["doctor", "--url", service.url])

    assert (code, err) == (0, "")
    assert "  ok  key           an API key from $DEEPGRAM_API_KEY\n" in out
    assert out.endswith("\nAll is well.\n")
    assert "\x1b" not in out


@pytest.mark.parametrize(("status", "code"), [(401, 3), (403, 3), (503, 5), (400, 1)])
def test_a_refusal_is_the_last_step(capsys: Capture, status: int, code: int) -> None:
    """The way is fine, the service says no: its words and the next step are there, and the code is the refusal's."""
    with serving() as service:
        service.refusal = lambda _: (status, {"dg-error": f"Words about {KEY}."}, b"")
        found, findings = check(capsys, "--url", service.url)

    assert found == code
    assert states(findings)["service"] == "fail"
    assert [name for name, state in states(findings).items() if state == "fail"] == ["service"]
    assert "Words about ***." in findings["service"]["text"]
    assert findings["service"]["hint"]
    assert "disk" in findings


def test_what_is_in_the_way_is_where_the_way_ends(capsys: Capture) -> None:
    """Nobody listens: the steps after that are not tried, the rest is."""
    with reserved_port() as port:
        code, findings = check(capsys, "--url", f"ws://127.0.0.1:{port}")

    assert code == 4
    assert list(states(findings)) == ["key", "address", "proxy", "name", "TCP"]
    assert states(findings)["TCP"] == "fail"
    assert "refused" in findings["TCP"]["text"]
    assert "plugins" in findings


def test_a_name_that_is_not_there_is_told(capsys: Capture) -> None:
    """So is what to check."""
    code, findings = check(capsys, "--url", "wss://no-such-host.invalid")

    assert code == 4
    assert states(findings)["name"] == "fail"
    assert "host" in findings["name"]["hint"]


def test_a_silent_server_takes_no_longer_than_allowed(capsys: Capture) -> None:
    """Each step has ``--timeout`` seconds."""
    stop = threading.Event()
    with bare_server(lambda _: (stop.wait(SOON), None)[1]) as port:
        code, findings = check(capsys, "--url", f"wss://127.0.0.1:{port}", "--timeout", "2")
        stop.set()

    assert code == 4
    assert states(findings)["TLS"] == "fail"
    assert "2 s" in findings["TLS"]["text"]


def test_tls_tells_whose_certificate_it_is(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusted: by whom; not trusted: what is. A process of its own, which reads the authorities anew."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path / "trusted.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with serving(obedient(metadata(0.0, 0)), context) as service:
        code, findings = check(capsys, "--url", service.url)
        assert code == 4
        assert states(findings)["TLS"] == "fail"
        assert "ca_file" in findings["TLS"]["hint"]

        doctor = [sys.executable, "-m", "streamclient", "doctor", "--json", "--url", service.url]
        done = subprocess.run(
            doctor, check=True, capture_output=True, text=True, env={**os.environ, "SSL_CERT_FILE": str(trusted)}
        )
    text = next(finding["text"] for finding in json.loads(done.stdout) if finding["name"] == "TLS")
    assert "TLSv1.3" in text
    assert "trustme" in text
    assert str(trusted) in text


def test_a_proxy_that_refuses_is_told_without_its_password(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is from the environment, and in the way."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with bare_server(refuse) as port:
        monkeypatch.setenv("http_proxy", f"http://user:pa55word@127.0.0.1:{port}")
        code, findings = check(capsys, "--url", "ws://service.example")

    assert code == 4
    assert f"http://127.0.0.1:{port} with a login" in findings["proxy"]["text"]
    assert "407" in findings["TCP"]["text"]
    assert "pa55word" not in str(findings)


def test_without_a_key_the_recogniser_here_is_checked(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what transcribe would use; nothing is asked of the network."""
    monkeypatch.delenv("DEEPGRAM_API_KEY")
    code, findings = check(capsys)

    assert code == 0
    assert states(findings) == {"key": "note", "service": "ok"}
    assert "pocketsphinx" in findings["service"]["text"]


def test_what_is_not_installed_is_worth_a_note(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", "")
    with serving(obedient(metadata(0.0, 0))) as service:
        code, findings = check(capsys, "--url", service.url)

    assert code == 0
    assert findings["av"]["state"] == findings["ffmpeg"]["state"] == "note"
    assert "streamclient[audio]" in findings["av"]["hint"]


def test_a_plugin_that_does_not_load_is_in_the_way(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with its error; the service is fine."""
    dist = tmp_path / "broken-1.2.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.2\n")
    (dist / "entry_points.txt").write_text("[streamclient.plugins]\nbroken = no_such_module:Plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with serving(obedient(metadata(0.0, 0))) as service:
        code, findings = check(capsys, "--url", service.url)

    assert code == 1
    assert findings["service"]["state"] == "ok"
    assert findings["plugin"]["state"] == "fail"
    assert "broken" in findings["plugin"]["text"]
    assert "Reinstall or remove broken 1.2" in findings["plugin"]["hint"]


def test_settings_are_those_of_transcribe(capsys: Capture) -> None:
    """Its URL, and the key of the project."""
    with serving(obedient(metadata(0.0, 0))) as service:
        Path("streamclient.toml").write_text(f'[transcribe]\nurl = "{service.url}"\n')
        code, findings = check(capsys)

    assert code == 0
    assert "streamclient.toml" in findings["settings"]["text"]
    assert service.url in findings["address"]["text"]


@pytest.mark.parametrize(("header", "expected"), [("Date: {}", 3600.0), ("X: {}", None), ("Date: never {}", None)])
def test_the_clock_is_compared_with_the_servers(header: str, expected: float | None) -> None:
    """By the date of any answer; a server that tells none, or nonsense, leaves it unknown."""
    past = format_datetime(datetime.now(timezone.utc) - timedelta(hours=1), usegmt=True)

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 404 Not Found\r\n{header.format(past)}\r\n\r\n".encode())

    with bare_server(answer) as port:
        sound = SoundSocket(socket.create_connection(("127.0.0.1", port)), lambda: False)
        sound.deadline = time.monotonic() + SOON
        error = clock_error(sound, "127.0.0.1", "/")
        sound.close()

    assert error == expected if expected is None else error is not None and abs(error - expected) < SOON
