"""Installed plugins by their names, with options as text and as tables."""

import os
from pathlib import Path

import pytest

from streamclient import LanePolicy, PluginError
from streamclient.plugins import ConfiguredPlugin, configure_plugin, load_plugins
from tests.support.plugins import install, only, refusal, write


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
        os.utime(folder, (0, 0))  # or what comes may be as old as the folder, to the system's clock
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
