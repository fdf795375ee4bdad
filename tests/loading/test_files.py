"""A file of one's own as a plugin."""

import sys
from pathlib import Path

import attrs
import pytest

import streamclient
from streamclient import Opened, StreamView
from streamclient.events import Event
from streamclient.plugins import ConfiguredPlugin, load_plugins, parse_plugin
from tests.support.plugins import only, refusal, write


class TestFiles:
    def test_the_functions_of_a_file_are_a_plugin(self, tmp_path: Path) -> None:
        """A file with hooks is a plugin named after the file."""
        loaded = only(write(tmp_path, "@hookimpl\ndef on_final(result): ..."))

        assert (loaded.name, loaded.hooks) == ("my_plugin", frozenset({"on_final"}))

    def test_a_relative_path_and_a_path_object_work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both name the same file."""
        write(tmp_path, "@hookimpl\ndef on_final(result): ...")
        monkeypatch.chdir(tmp_path)

        assert [p.name for p in load_plugins(["./my_plugin.py", Path("my_plugin.py")])] == ["my_plugin", "my_plugin-2"]

    @pytest.mark.parametrize("path", ["mine.py", "./a=b/mine.py", "/a/mine.py", "C:\\plugins\\mine.py", "D:/mine.py"])
    def test_a_path_ends_where_its_options_begin(self, path: str) -> None:
        """The colon of a Windows drive is part of it."""
        assert parse_plugin(path) == ConfiguredPlugin(path, {})
        assert parse_plugin(f"{path}:place=C:\\x,n=5") == ConfiguredPlugin(path, {"place": "C:\\x", "n": "5"})

    def test_each_stream_runs_the_file_anew(self, tmp_path: Path) -> None:
        """Globals of the file belong to one stream, and no module is left behind."""
        path = write(tmp_path, "seen = []\n@hookimpl\ndef on_open(): seen.append(1)")
        before = set(sys.modules)

        first, second = only(path), only(path)
        first.notify(View(), Opened(), fail)

        assert (vars(first.plugin)["seen"], vars(second.plugin)["seen"]) == ([1], [])
        assert {name for name in set(sys.modules) - before if "plugin" in name} == set()

    def test_the_class_of_a_file_takes_options(self, tmp_path: Path) -> None:
        """A file with one class with hooks is that class, also with postponed annotations."""
        path = tmp_path / "my_plugin.py"
        path.write_text(
            "from __future__ import annotations\n"
            "import attrs\nfrom pathlib import Path\nfrom streamclient import hookimpl\n"
            "@attrs.define\nclass Mine:\n    place: Path | None = None\n    @hookimpl\n    def on_open(self): ...\n"
        )

        assert repr(only(f"{path}:place=here").plugin) == "Mine(place=PosixPath('here'))".replace(
            "PosixPath", type(Path()).__name__
        )

    def test_several_classes_are_refused(self, tmp_path: Path) -> None:
        """Which of them is meant is not guessed."""
        one = "class {}:\n    @hookimpl\n    def on_open(self): ...\n"
        path = write(tmp_path, one.format("A") + one.format("B"))

        assert "several classes with hooks (A, B). Keep one plugin per file." in refusal(path)

    def test_functions_beside_a_class_are_refused(self, tmp_path: Path) -> None:
        """Neither is silently left out."""
        path = write(tmp_path, "class A:\n    @hookimpl\n    def on_open(self): ...\n@hookimpl\ndef on_close(): ...\n")

        assert "hooks of its own and a class with hooks (A). Keep one plugin per file." in refusal(path)

    def test_a_class_may_have_a_base_in_its_file(self, tmp_path: Path) -> None:
        """The one that is no base of another is the plugin."""
        base = "class Base:\n    @hookimpl\n    def on_open(self): ...\n"
        path = write(tmp_path, base + "class Mine(Base):\n    @hookimpl\n    def on_close(self): ...\n")

        assert only(path).hooks == {"on_open", "on_close"}

    def test_a_file_without_hooks_is_refused(self, tmp_path: Path) -> None:
        """It says what is missing."""
        assert "implements no hook" in refusal(write(tmp_path, ""))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """No traceback of an import, but the path."""
        assert refusal(str(tmp_path / "none.py")) == f"There is no plugin file {tmp_path / 'none.py'}."

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("x = 1\nnonsense", "line 3: NameError: name 'nonsense' is not defined"),
            ("def :", "SyntaxError"),
            ("raise SystemExit(4)", "line 2: SystemExit: 4"),
            ("open('/no/such/file')", "line 2: FileNotFoundError"),
        ],
    )
    def test_a_broken_file_is_named_with_the_line(self, tmp_path: Path, text: str, reason: str) -> None:
        """The error says where in the file it is broken."""
        path = write(tmp_path, text)

        assert f"Plugin file {path} cannot be loaded: {reason}" in refusal(path)


@attrs.frozen
class View:
    """A stream as hooks see it."""

    id: str = "stream-1"
    options: streamclient.ListenOptions = attrs.field(factory=streamclient.ListenOptions)
    request_id: str | None = None
    stats: streamclient.StreamStats = attrs.field(factory=streamclient.StreamStats)


def fail(hook: str, error: BaseException) -> None:
    """No hook of these tests may raise."""
    raise AssertionError(hook) from error


def check_view(view: View, event: Event) -> StreamView:
    """For the type checker alone: the view of these tests is one."""
    return view
