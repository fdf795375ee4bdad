"""``plugins``, ``--help`` and what is asked for wrongly."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamclient import __version__
from streamclient.cli import COMMANDS
from tests.cli.conftest import invoke
from tests.support.plugins import install, write

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def _broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin whose module cannot be imported."""
    install(tmp_path, "broken", "1.2", {"broken": "broken_module:Plugin"})
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


def test_a_plugin_is_explained(capsys: Capture) -> None:
    """How it is switched on, what its options take and do, and when its hooks are called; the others are left out."""
    code, out, err = invoke(capsys, ["plugins", "command", "sqlite"])
    assert (code, err) == (0, "")
    assert "--plugin command:run=...\n" in out
    assert "timeout  a number; default 10.0. Seconds after which" in out
    assert "on_close      The last event, exactly once, also after a failure." in out
    assert "--plugin sqlite:path=transcripts.db\n" in out
    assert "register_commands  Add commands to the command line" in out
    assert "captions" not in out


@pytest.mark.parametrize("columns", [1, 40, 80])
def test_an_explanation_fits_the_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """All that has room to be broken; for a terminal without any, forty columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = invoke(capsys, ["plugins", "webhook"])
    title, *about = out[: out.index("\n\n")].splitlines()
    lines = [*about, *out[out.index("Options:") :].splitlines()]
    assert title.startswith("webhook  streamclient ")
    assert " ".join(map(str.strip, about)).startswith("Post events as JSON to a URL, signed as")
    assert max(map(len, lines)) <= max(columns, 40)


@pytest.mark.parametrize(("no_color", "is_plain"), [("", False), ("1", True)])
def test_names_are_bold_unless_no_color_is_set(no_color: str, *, is_plain: bool) -> None:
    """On a terminal; in a pipe they never are."""
    screen, terminal = os.openpty()
    command = [sys.executable, "-m", "streamclient", "plugins", "log"]
    with os.fdopen(screen, "rb", buffering=0) as shown, os.fdopen(terminal, "wb") as output:
        subprocess.run(command, stdout=output, env={**os.environ, "NO_COLOR": no_color}, check=True, timeout=60)
        assert (b"\x1b" not in shown.read(64)) is is_plain


def test_a_file_is_explained(tmp_path: Path, capsys: Capture) -> None:
    """As an installed plugin is; its annotations may be postponed."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom pathlib import Path\nfrom streamclient import hookimpl\n"
        "class Mine:\n    'Do ``much``.'\n    def __init__(self, place: Path, much: int = 3): ...\n"
        "    @hookimpl\n    def on_final(self, result): ...\n"
    )
    code, out, err = invoke(capsys, ["plugins", str(path)])
    assert (code, err) == (0, "")
    assert out.startswith(f"mine  ({path})\n  Do much.\n")
    assert f"--plugin {path}:place=...\n" in out
    assert "much   a whole number; default 3" in out
    path.write_text("nonsense\n")
    code, out, err = invoke(capsys, ["plugins", str(path)])
    assert (code, out) == (2, "")
    assert "line 1: NameError" in err


@pytest.mark.usefixtures("_broken_plugin")
@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("captoins", 2, "There is no plugin 'captoins'; did you mean 'captions'? Installed are broken, captions,"),
        ("broken", 1, "error: Plugin 'broken' cannot be imported: ImportError"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_no_success(capsys: Capture, name: str, code: int, says: str) -> None:
    """Its author's checks fail."""
    answered, out, err = invoke(capsys, ["plugins", name])
    assert answered == code
    assert says in out + err


def test_what_a_plugin_prints_is_no_part_of_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A program can read the list, whatever a stranger's module does when it is imported."""
    install(tmp_path, "chatty", "1.0", {"chatty": "chatty_module:Plugin"})
    write(tmp_path, "print('hello')\nclass Plugin:\n    @hookimpl\n    def on_final(self): ...", "chatty_module.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, err = invoke(capsys, ["plugins", "--json"])
    assert (code, err) == (0, "hello\n")
    assert "chatty" in [plugin["name"] for plugin in json.loads(out)]


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


@pytest.mark.parametrize("command", [*COMMANDS, "search", "outbox"])
def test_help_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: Capture, command: str) -> None:
    """Examples are not wrapped by click, so they have to be short enough."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = invoke(capsys, [command, "--help"])
    assert [line for line in out.splitlines() if len(line) > 80] == []


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
