"""``plugins``, ``--help`` and what is asked for wrongly."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamclient import __version__
from tests.cli.conftest import invoke

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def _broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin whose module cannot be imported."""
    dist = tmp_path / "broken-1.2.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.2\n")
    (dist / "entry_points.txt").write_text("[streamclient.plugins]\nbroken = broken_module:Plugin\n")
    (tmp_path / "broken_module.py").write_text("raise ImportError('no such\\x1b[2J library')\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("_broken_plugin")
def test_plugins_are_listed_with_a_broken_one(capsys: Capture) -> None:
    """Each plugin has version, origin, options and hooks; a broken one has its error, and harms nobody."""
    code, out, err = invoke(capsys, ["plugins"])
    assert (code, err) == (0, "")
    assert f"streamclient {__version__}  (streamclient_plugins.jsonl:JsonLines)" in out
    assert "option path: a text; default" in out
    assert "hooks: on_open" in out
    assert "broken 1.2" in out
    assert "error: Plugin 'broken' cannot be imported: ImportError: no such[2J library" in out


@pytest.mark.usefixtures("_broken_plugin")
def test_plugins_are_listed_as_json(capsys: Capture) -> None:
    """The same for programs."""
    code, out, _ = invoke(capsys, ["plugins", "--json"])
    found: dict[str, Any] = {plugin["name"]: plugin for plugin in json.loads(out)}
    assert code == 0
    assert found["log"]["error"] is None
    assert "on_utterance" in found["log"]["hooks"]
    assert {"name", "type", "default", "help"} == set(found["log"]["options"][0])
    assert found["broken"]["version"] == "1.2"
    assert "ImportError" in found["broken"]["error"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--help"], "Exit codes:"),
        (["transcribe", "--help"], "Examples:"),
        (["serve", "--help"], "STREAMCLIENT_SERVER_KEYS"),
        (["plugins", "-h"], "--plugin ./my_plugin.py"),
        (["--version"], __version__),
    ],
)
def test_help_helps(capsys: Capture, arguments: list[str], says: str) -> None:
    """Every command explains itself on standard output."""
    code, out, err = invoke(capsys, arguments)
    assert (code, err) == (0, "")
    assert says in out


@pytest.mark.parametrize(
    ("word", "says"),
    [("transcrib", "Did you mean 'transcribe'?"), ("talk.wav", "streamclient transcribe talk.wav"), ("x", "There are")],
)
def test_wrong_command_is_answered(tmp_path: Path, capsys: Capture, word: str, says: str) -> None:
    """A slip is guessed; a file instead of a command is told how."""
    (tmp_path / "talk.wav").touch()
    code, out, err = invoke(capsys, [word])
    assert (code, out) == (2, "")
    assert says in err


def test_every_option_of_transcribe_stands_under_a_heading(capsys: Capture) -> None:
    """The help is sorted by what a person wants to do."""
    _, out, _ = invoke(capsys, ["transcribe", "--help"])
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Audio:", "Service:", "Output:", "Work:"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--engine", "nope"], "There is no recognition engine 'nope'"),
        (["serve", "--host", "not a host", "--engine", "scripted"], "not a host"),
        (["serve", "--api-key-file", "empty.txt"], "holds no key"),
    ],
)
def test_server_that_cannot_start_says_why(tmp_path: Path, capsys: Capture, arguments: list[str], says: str) -> None:
    """One sentence, no traceback."""
    (tmp_path / "empty.txt").touch()
    code, _, err = invoke(capsys, arguments)
    assert code in (1, 2)
    assert says in err
    assert err.count("\n") == 1


def test_settings_give_the_server_its_defaults(tmp_path: Path, capsys: Capture) -> None:
    """The table [serve] sets options by name, and a slip in it is named."""
    (tmp_path / "streamclient.toml").write_text('[serve]\nengine = "nope"\n')
    assert "There is no recognition engine 'nope'" in invoke(capsys, ["serve"])[2]
    (tmp_path / "streamclient.toml").write_text("[serve]\nprot = 1\n")
    assert "did you mean 'port'" in invoke(capsys, ["serve"])[2]
