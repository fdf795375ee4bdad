"""What is told of installed plugins, and that nothing runs for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamclient.plugins import FoundPlugin, find_plugins
from tests.support.plugins import install, only, write


class TestFindPlugins:
    def test_first_party_plugins_are_found_like_a_strangers(self, stranger: Path) -> None:
        """All come through entry points, sorted by name."""
        found = find_plugins()

        assert [plugin.name for plugin in found] == sorted(plugin.name for plugin in found)
        assert {"jsonl", "log", "text", "shout"} <= {plugin.name for plugin in found}

    def test_finding_imports_nothing(self, stranger: Path) -> None:
        """A stranger's code runs when it is asked for."""
        shout = find("shout")
        assert "stranger_plugins" not in sys.modules

        assert shout.error is None
        assert "stranger_plugins" in sys.modules

    def test_a_found_plugin_tells_all_about_itself(self, stranger: Path) -> None:
        """Name, distribution, version, origin, description, hooks and options."""
        shout = find("shout")

        assert (shout.distribution, shout.version, shout.origin) == ("stranger", "1.2", "stranger_plugins:Shout")
        assert (shout.description, shout.hooks) == ("Shout every final.", ("on_final",))
        assert [(option.name, option.type, option.default, option.help) for option in shout.options] == [
            ("mark", "a text", "!", "What to shout with."),
            ("times", "a whole number", "1", ""),
        ]

    def test_telling_about_a_plugin_makes_none(self, stranger: Path) -> None:
        """A listing has no side effects beyond the import."""
        shout = find("shout")
        assert shout.hooks
        assert shout.options

        assert sys.modules["stranger_plugins"].made == []

    def test_a_functions_hooks_come_from_its_return_annotation(self, stranger: Path) -> None:
        """Without one they are not known."""
        assert find("whisper").hooks == ("on_final",)
        assert find("bare").hooks == ()
        assert find("bare").error is None

    @pytest.mark.parametrize("name", ["gone", "exits", "missing"])
    def test_one_that_fails_to_import_shows_its_error(self, stranger: Path, name: str) -> None:
        """The others are listed all the same."""
        broken = find(name)

        assert broken.error is not None
        assert f"Plugin {name!r} cannot be imported" in broken.error
        assert (broken.options, broken.hooks, broken.description) == ((), (), "")

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            (
                "    @hookimpl\n    def on_finl(this, result): ...",
                "there is no hook 'on_finl'; did you mean 'on_final'?",
            ),
            ("    @hookimpl\n    def on_final(this, reslt): ...", "on_final has no argument 'reslt'; did you mean"),
            ("    @hookimpl\n    async def on_final(this): ...", "on_final would never run"),
            ("    def on_final(this): ...", "on_final is not marked as a hook"),
            ("    def __init__(this, x: 'Nowhere'): ...", "The options of Plugin cannot be understood: name 'Nowhere'"),
        ],
    )
    def test_one_that_could_not_be_used_shows_its_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: str
    ) -> None:
        """Its author sees what is wrong before a stream does."""
        install(tmp_path, "faulty", "1.0", {"faulty": "faulty_plugin:Plugin"})
        write(tmp_path, f"class Plugin:\n{code}", "faulty_plugin.py")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "faulty_plugin", raising=False)

        assert error in (find("faulty").error or "")

    def test_one_that_raises_when_it_is_looked_at_shows_its_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its metaclass may do anything."""
        install(tmp_path, "vicious", "1.0", {"vicious": "vicious_plugin:Plugin"})
        meta = "class Meta(type):\n    def __dir__(this): raise LookupError('nothing here')"
        write(tmp_path, f"{meta}\nclass Plugin(metaclass=Meta): ...", "vicious_plugin.py")
        monkeypatch.syspath_prepend(str(tmp_path))

        assert find("vicious").error == "Plugin 'vicious' is not valid: LookupError: nothing here"

    def test_what_only_a_type_checker_imports_is_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So a plugin can import a large library late; only the types of its options must be there."""
        install(tmp_path, "lazy", "1.0", {"field": "lazy_plugins:Field", "made": "lazy_plugins:make"})
        field = "place: 'Place' = ''\n    client: 'heavy.Client' = attrs.field(init=False)\n    Place = str"
        hook = "@hookimpl\n    def on_final(self): ..."
        function = "def make(place: str = '') -> 'heavy.Plugin': return Field(place)"
        text = f"import attrs\n@attrs.define\nclass Field:\n    {field}\n    {hook}\n{function}"
        write(tmp_path, text, "lazy_plugins.py")
        monkeypatch.syspath_prepend(str(tmp_path))

        assert (find("field").error, find("field").hooks) == (None, ("on_final",))
        assert (find("made").error, find("made").hooks) == (None, ())
        for plugin in find("field"), find("made"):
            assert [(option.name, option.type) for option in plugin.options] == [("place", "a text")]
            assert only(f"{plugin.name}:place=here").hooks == {"on_final"}

    def test_importing_streamclient_reads_no_metadata(self) -> None:
        """Looking for plugins is slow, so only a stream that names one does."""
        script = "import sys, streamclient.plugins; print('importlib.metadata' in sys.modules)"

        done = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {script}"],
            capture_output=True,
            text=True,
            check=True,
        )

        assert done.stdout == "False\n"


def find(name: str) -> FoundPlugin:
    """The installed plugin of this name."""
    return next(plugin for plugin in find_plugins() if plugin.name == name)
