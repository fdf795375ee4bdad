"""Finding, loading and configuring plugins: every way to name one, and a clear error for every way to fail."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import streamclient
from streamclient import LanePolicy, Opened, PluginError, StreamView, hookimpl
from streamclient.events import Event
from streamclient.plugins import (
    ConfiguredPlugin,
    FoundPlugin,
    LoadedPlugin,
    configure_plugin,
    find_plugins,
    load_plugins,
)

STRANGER = '''
"""A stranger's plugins."""
import attrs
from streamclient import Results, hookimpl

made = []

@attrs.define
class Shout:
    """Shout every final.

    At length.
    """

    mark: str = attrs.field(default="!", metadata={"help": "What to shout with."})
    times: int = 1

    def __attrs_post_init__(self):
        made.append(self)

    @hookimpl
    def on_final(self, result: Results) -> None:
        print(result.transcript + self.mark * self.times)

def whisper(softly: bool = True) -> Shout:
    """Make a quiet one."""
    return Shout("." if softly else "")

def bare():
    return Shout()

@hookimpl
def on_close(transcript):
    print(transcript.text)
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's installed distribution with good plugins and broken ones."""
    install(
        tmp_path,
        "stranger",
        "1.2",
        {
            "shout": "stranger_plugins:Shout",
            "whisper": "stranger_plugins:whisper",
            "bare": "stranger_plugins:bare",
            "closing": "stranger_plugins",
            "gone": "stranger_has_no_such_module:Plugin",
            "exits": "stranger_exits:Plugin",
            "missing": "stranger_plugins:Missing",
        },
    )
    (tmp_path / "stranger_plugins.py").write_text(STRANGER)
    (tmp_path / "stranger_exits.py").write_text("raise SystemExit('not today')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger_plugins", raising=False)
    return tmp_path


def install(folder: Path, name: str, version: str, plugins: dict[str, str]) -> None:
    """What an installer leaves of a distribution."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{plugin} = {origin}\n" for plugin, origin in plugins.items()]
    (info / "entry_points.txt").write_text("[streamclient.plugins]\n" + "".join(lines))


def write(folder: Path, text: str, name: str = "my_plugin.py") -> str:
    """A file with a plugin."""
    path = folder / name
    path.write_text(f"from streamclient import hookimpl\n{text}\n")
    return str(path)


def refusal(*specs: object) -> str:
    """The text of the error that loading these raises."""
    with pytest.raises(PluginError) as caught:
        load_plugins(specs)
    return str(caught.value)


def only(*specs: object) -> LoadedPlugin:
    """The one plugin loaded."""
    (plugin,) = load_plugins(specs)
    return plugin


class Final:
    """A plugin as a plain class."""

    @hookimpl
    def on_final(self) -> None:
        """Do nothing."""


class TestObjects:
    def test_an_instance_is_a_plugin_named_after_its_class(self) -> None:
        """An object with a hook is loaded as it is."""
        plugin = Final()

        loaded = only(plugin)

        assert loaded.plugin is plugin
        assert (loaded.name, loaded.hooks) == ("Final", frozenset({"on_final"}))

    def test_a_class_is_made(self) -> None:
        """A class whose constructor needs nothing is called."""
        assert isinstance(only(Final).plugin, Final)

    def test_a_class_that_needs_arguments_is_refused(self) -> None:
        """The error names the class and what it needs."""

        class Needy(Final):
            def __init__(self, place: Path) -> None:
                self.place = place

        assert refusal(Needy) == "Plugin 'Needy' needs the option 'place': a path."

    def test_a_class_that_raises_is_refused(self) -> None:
        """What the constructor raised is told and kept as the cause."""

        class Broken(Final):
            def __init__(self) -> None:
                raise LookupError("no microphone")

        with pytest.raises(PluginError, match="'Broken' cannot be made: LookupError: no microphone") as caught:
            load_plugins([Broken])

        assert isinstance(caught.value.__cause__, LookupError)

    def test_a_module_is_a_plugin(self) -> None:
        """Functions of a module are hooks."""
        module = ModuleType("my.module")
        module.on_open = hookimpl(lambda stream: None)  # type: ignore[attr-defined]

        loaded = only(module)

        assert (loaded.name, loaded.hooks) == ("my.module", frozenset({"on_open"}))

    def test_unhashable_and_equal_attrs_plugins_are_two_plugins(self) -> None:
        """Equality of values does not make one plugin of two objects, and no hash is asked for."""

        @attrs.define
        class Valued:
            place: str = "here"

            @hookimpl
            def on_final(self) -> None:
                pass

        first, second = Valued(), Valued()
        assert first == second

        loaded = load_plugins([first, second])

        assert [plugin.name for plugin in loaded] == ["Valued", "Valued-2"]
        assert loaded[0].plugin is first
        assert loaded[1].plugin is second

    def test_the_same_object_twice_is_refused(self) -> None:
        """One object must not be in two threads at once."""
        plugin = Final()

        assert "is given 2 times" in refusal(plugin, plugin)

    @pytest.mark.parametrize("nothing", [object(), None, 3, {}, ModuleType("empty")])
    def test_an_object_without_a_hook_is_refused(self, nothing: object) -> None:
        """The error says so and lists the hooks."""
        text = refusal(nothing)

        assert "is not a plugin: it implements no hook" in text
        assert "on_plugin_error" in text

    def test_one_text_instead_of_a_list_is_refused(self) -> None:
        """A bare name would be taken apart into letters."""
        with pytest.raises(PluginError, match=r"plugins='log' is one text.*plugins=\['log'\]"):
            load_plugins("log")

    def test_no_plugins_are_none(self) -> None:
        """An empty list is fine."""
        assert load_plugins([]) == ()


class TestHookChecks:
    def test_a_misspelt_hook_is_refused_with_the_nearest(self) -> None:
        """The error names the plugin, the wrong hook and the right one."""

        class Typo:
            @hookimpl
            def on_finl(self, result: object) -> None: ...

        assert refusal(Typo()).startswith("Plugin 'Typo': there is no hook 'on_finl'; did you mean 'on_final'?")

    def test_a_misspelt_argument_is_refused_with_the_nearest(self) -> None:
        """The error names the plugin, the hook, the wrong argument and the right one."""

        class Typo:
            @hookimpl
            def on_final(self, stream: object, reslt: object) -> None: ...

        text = refusal(Typo())

        assert text.startswith("Plugin 'Typo': on_final has no argument 'reslt'; did you mean 'result'?")
        assert "It can take any of stream, result." in text

    def test_an_argument_of_another_hook_is_refused(self) -> None:
        """Without anything near, the possible arguments are listed."""

        class Wrong:
            @hookimpl
            def on_open(self, qqq: object) -> None: ...

        assert refusal(Wrong()) == "Plugin 'Wrong': on_open has no argument 'qqq'. It can take any of stream."

    def test_a_hook_without_the_mark_is_refused(self) -> None:
        """A forgotten decorator would be a hook that is silently never called."""

        class Forgot(Final):
            def on_close(self, transcript: object) -> None: ...

        assert refusal(Forgot()) == "Plugin 'Forgot': on_close is not marked as a hook. Put @hookimpl above it."

    def test_an_async_hook_is_refused(self) -> None:
        """Nobody would await it."""

        class Async:
            @hookimpl
            async def on_final(self) -> None: ...

        assert "on_final would never run, because it is async" in refusal(Async())

    def test_a_generator_is_refused(self) -> None:
        """Nobody would iterate over it."""

        class Generator:
            @hookimpl
            def on_final(self) -> object:
                yield

        assert "on_final would never run" in refusal(Generator())

    def test_a_wrapper_without_a_yield_is_refused(self) -> None:
        """What pluggy itself refuses is a plugin error too."""

        class Wrapper:
            @hookimpl(wrapper=True)
            def on_final(self) -> None: ...

        assert refusal(Wrapper()).startswith("Plugin 'Wrapper' is not valid")

    def test_an_optional_hook_of_a_newer_version_is_accepted(self) -> None:
        """``optionalhook`` is how a plugin serves several versions."""

        class Newer(Final):
            @hookimpl(optionalhook=True)
            def on_translation(self, translation: object) -> None: ...

        assert only(Newer()).hooks == {"on_final"}

    def test_a_property_that_raises_is_no_bare_error(self) -> None:
        """A newer pluggy does not read properties; with an older one the plugin is refused by name."""

        class Clever(Final):
            @property
            def device(self) -> object:
                raise LookupError("no such device")

        try:
            hooks = only(Clever()).hooks
        except PluginError as error:
            assert error.message == "Plugin 'Clever' is not valid: no such device"  # noqa: PT017 - one of two ways
        else:
            assert hooks == {"on_final"}


class TestNames:
    def test_a_named_plugin_is_made_anew_for_each_stream(self, stranger: Path) -> None:
        """Streams share no plugin."""
        first, second = only("shout").plugin, only("shout").plugin

        assert first == second
        assert first is not second

    def test_names_are_unique_within_a_stream(self, stranger: Path) -> None:
        """A second plugin of the same name is numbered."""
        loaded = load_plugins(["shout", "shout", "shout"])

        assert [plugin.name for plugin in loaded] == ["shout", "shout-2", "shout-3"]

    def test_options_reach_the_plugin(self, stranger: Path) -> None:
        """Text behind the colon becomes typed fields."""
        assert repr(only('shout:mark="a,b:c",times=3').plugin) == "Shout(mark='a,b:c', times=3)"

    def test_a_function_makes_a_plugin(self, stranger: Path) -> None:
        """An entry point may be a factory; its arguments are the options."""
        assert repr(only("whisper:softly=no").plugin) == "Shout(mark='', times=1)"

    def test_a_module_behind_an_entry_point_has_no_options(self, stranger: Path) -> None:
        """A module is taken as it is, and options for it are an error."""
        assert only("closing").hooks == {"on_close"}
        assert "'closing' has no options" in refusal("closing:loud=true")

    def test_an_unknown_name_is_refused_with_the_nearest(self, stranger: Path) -> None:
        """The error lists what is installed."""
        text = refusal("shuot")

        assert text.startswith("There is no plugin 'shuot'; did you mean 'shout'?")
        listed = text.partition("Installed are ")[2].partition(";")[0].split(", ")
        assert listed == sorted(listed)
        assert {"bare", "closing", "exits", "gone", "jsonl", "log", "missing", "shout", "text", "whisper"} <= {*listed}

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("gone", "ModuleNotFoundError: No module named 'stranger_has_no_such_module'"),
            ("exits", "SystemExit: not today"),
            ("missing", "has no attribute 'Missing'"),
        ],
    )
    def test_a_plugin_that_cannot_be_imported_is_named(self, stranger: Path, name: str, reason: str) -> None:
        """The error names the plugin, the reason and the guilty distribution."""
        text = refusal(name)

        assert f"Plugin {name!r} cannot be imported" in text
        assert reason in text
        assert "of stranger 1.2" in text

    def test_two_plugins_of_one_name_are_refused(self, stranger: Path) -> None:
        """Which of them would be meant is not guessed."""
        install(stranger, "rival", "3.0", {"shout": "rival:Shout"})

        with pytest.raises(
            PluginError, match=r"Two plugins are called 'shout': rival:Shout of rival and .* of stranger"
        ):
            load_plugins(["shout"])

    def test_a_plugin_installed_meanwhile_is_found(
        self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A running process finds what was installed after its first look."""
        folder = tmp_path_factory.mktemp("site")
        monkeypatch.syspath_prepend(str(folder))
        refusal("late")
        install(folder, "late", "1.0", {"late": "late_plugin"})
        (folder / "late_plugin.py").write_text("from streamclient import hookimpl\n@hookimpl\ndef on_open(): ...\n")

        assert only("late").hooks == {"on_open"}


class TestLaneOptions:
    def test_the_user_has_the_last_word_on_a_lane(self, stranger: Path, tmp_path: Path) -> None:
        """As text, as a table, and over what the plugin says of itself."""
        text = "lane_policy = LanePolicy(required=True, max_events=5)\n@hookimpl\ndef on_open(): ...\n"
        own = write(tmp_path, f"from streamclient import LanePolicy\n{text}")

        assert only("shout").policy == LanePolicy()
        assert only("shout:mark=?,lane.max_events=7,lane.slow-after=2").policy == LanePolicy(max_events=7, slow_after=2)
        assert only(f"{own}:lane.max_events=7").policy == LanePolicy(required=True, max_events=7)
        table = configure_plugin("shout", {"mark": "?", "lane": {"max_events": 7, "required": True}})
        assert only(table).policy == LanePolicy(max_events=7, required=True)
        assert repr(only(table).plugin) == "Shout(mark='?', times=1)"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ("lane.max_event=7", "has no option 'max_event'; did you mean 'max_events'?"),
            ("lane.max_events=many", "max_events='many' is not allowed; allowed is a whole number or none"),
            ("lane.max_events=0", "max_events=0 is not allowed"),
            ("lane=7", "lane is a table. Write lane.max_events=500"),
        ],
    )
    def test_a_wrong_lane_is_refused(self, stranger: Path, options: str, reason: str) -> None:
        """Like any wrong option."""
        assert reason in refusal(f"shout:{options}")


class TestConfigurePlugin:
    def test_a_table_becomes_a_plugin_for_each_stream(self, stranger: Path) -> None:
        """Values keep their types, and each stream gets a plugin of its own."""
        configured = configure_plugin("shout", {"mark": "?", "times": 2})

        first, second = only(configured), only(configured)

        assert repr(first.plugin) == "Shout(mark='?', times=2)"
        assert first.plugin is not second.plugin
        assert first.name == "shout"

    def test_one_table_can_be_used_twice_in_a_stream(self, stranger: Path) -> None:
        """It is not an object with a state."""
        configured = configure_plugin("shout", {})

        assert [plugin.name for plugin in load_plugins([configured, configured])] == ["shout", "shout-2"]

    def test_a_wrong_option_is_refused_at_once(self, stranger: Path) -> None:
        """Nothing is made before the options are right."""
        with pytest.raises(PluginError, match="Plugin 'shout': times='many' is not allowed; allowed is a whole number"):
            configure_plugin("shout", {"times": "many"})

    def test_options_are_not_shown(self) -> None:
        """They may hold somebody's secrets."""
        assert "hush" not in repr(ConfiguredPlugin("webhook", {"secret": "hush"}))

    def test_a_file_takes_options_too(self, tmp_path: Path) -> None:
        """The name may be the path of a file."""
        path = write(
            tmp_path,
            "class Mine:\n    def __init__(self, n: int): self.n = n\n    @hookimpl\n    def on_open(self): ...",
        )

        assert vars(only(configure_plugin(path, {"n": 5})).plugin) == {"n": 5}


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

        assert "several classes with hooks (A, B). Keep one per file." in refusal(path)

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
