"""Who transcribes, and how long it may take."""

import io
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import run

import pytest
from attrs import frozen

from streamclient.cli.screen import Screen
from streamclient.cli.services import choose_service
from streamclient.settings import Settings

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"


@frozen
class Choice:
    """What a command was told of the service."""

    url: str | None = None
    local: bool = False
    timeout: float | None = None
    settings: Settings = Settings()


def test_without_key_and_recogniser_the_extra_is_named() -> None:
    """The first thing that somebody meets who has installed the command line alone."""
    program = "import sys; sys.modules['websockets'] = None; from streamclient.__main__ import main; sys.exit(main())"
    words = [sys.executable, "-c", program, "transcribe", "--local", str(SAMPLE)]
    done = run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Transcribing without an API key needs the extra 'server'" in done.stderr
    assert "pip install 'streamclient[server]'" in done.stderr


@pytest.mark.parametrize(
    ("choice", "patience"),
    [
        (Choice(), 600.0),
        (Choice(local=True), 600.0),
        (Choice(local=True, timeout=5.0), 5.0),
        (Choice(url="ws://127.0.0.1:1"), 30.0),
        (Choice(url="ws://127.0.0.1:1", timeout=5.0), 5.0),
    ],
)
def test_a_recogniser_on_this_machine_may_take_its_time(choice: Choice, patience: float) -> None:
    """A slow machine is no server that is gone; what the command line says holds in any case."""
    with ExitStack() as stack:
        service = choose_service(choice, "transcribe", Screen(io.StringIO()), stack)

    assert (service.timeouts.send, service.timeouts.close) == (patience, patience)
