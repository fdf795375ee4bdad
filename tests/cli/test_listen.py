"""The command ``listen``, with a microphone that hears the sample."""

import signal
from pathlib import Path

import pytest

from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from tests.cli.conftest import invoke
from tests.support.microphone import needs_sound, speaking_into


@needs_sound
def test_what_is_said_is_written_until_ctrl_c(tmp_path: Path) -> None:
    """Each utterance when it ends; Ctrl-C ends the stream properly."""
    script = [("good", 0.5, 1.0), ("morning", 1.0, 1.5), ("good", 4.0, 4.5), ("bye", 4.5, 5.0)]
    with LocalServer(ScriptedEngine(script)) as server:
        arguments = ["-m", "streamclient", "listen", "--url", server.url, "--plugin", "captions"]
        with speaking_into(tmp_path, arguments, b"") as process:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            process.send_signal(signal.SIGINT)
            rest, said = process.communicate(timeout=150)

    assert process.returncode == 128 + signal.SIGINT
    assert [*lines, rest] == ["good morning\n", "good bye\n", ""]
    assert "finishing what was sent" in said
    captions = (tmp_path / "microphone.vtt").read_text()
    assert captions.startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.500\ngood morning\n\n")


@needs_sound
def test_devices_are_listed(tmp_path: Path) -> None:
    """With their numbers, for --device."""
    with speaking_into(tmp_path, ["-m", "streamclient", "listen", "--list"], b"") as process:
        assert "default" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


@needs_sound
def test_a_microphone_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With the way to find those that are."""
    code, out, err = invoke(capsys, ["listen", "--device", "no such thing", "--url", "ws://127.0.0.1:1"])
    assert (code, out) == (1, "")
    assert "The microphone 'no such thing' cannot be used" in err
    assert "streamclient listen --list" in err
