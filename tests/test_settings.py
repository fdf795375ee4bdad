"""Settings from files."""

from pathlib import Path

import pytest

from streamclient.errors import OptionsError
from streamclient.settings import check_names, load_settings, plugin_settings


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file, not there yet; the current directory is a project."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    return tmp_path / "user" / "config.toml"


def test_no_file_is_no_settings(user: Path) -> None:
    """Nothing has to be there."""
    assert load_settings().files == ()


def test_project_is_found_upwards_and_hides_the_user(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's file is found from any folder of it; its names win, the others stay."""
    user.write_text('[transcribe]\nmodel = "nova-2"\nlanguage = "de"\n')
    Path("streamclient.toml").write_text('[transcribe]\nmodel = "nova-3"\n[options]\nkeyterm = ["a"]\n')
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    settings = load_settings()
    assert settings.table("transcribe") == {"model": "nova-3", "language": "de"}
    assert settings.table("options") == {"keyterm": ["a"]}
    assert [file.name for file in settings.files] == ["streamclient.toml", "config.toml"]


def test_named_file_replaces_the_project(user: Path, tmp_path: Path) -> None:
    """``--config`` stands in for the project's file."""
    Path("streamclient.toml").write_text('[transcribe]\nmodel = "nova-3"\n')
    (tmp_path / "other.toml").write_text("[transcribe]\nsample-rate = 8000\n")
    assert load_settings(tmp_path / "other.toml").table("transcribe") == {"sample_rate": 8000}


def test_secrets_come_from_the_environment_and_from_files(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key and a plugin's secret are named in the file, not written there."""
    monkeypatch.setenv("TEAM_KEY", "k1")
    Path("token.txt").write_text("t1\n")
    Path("streamclient.toml").write_text(
        'api_key = {env = "TEAM_KEY"}\n[plugins.webhook]\nsecret = {file = "token.txt"}\nurl = "http://x"\n'
    )
    settings = load_settings()
    assert settings.secrets == {"api_key": "k1"}
    assert settings.table("plugins") == {"webhook": {"secret": "t1", "url": "http://x"}}
    assert "k1" not in repr(settings)
    assert "t1" not in repr(settings)


def test_a_list_may_hold_secrets(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its values can come from somewhere else."""
    monkeypatch.setenv("OLD", "k1")
    Path("streamclient.toml").write_text(
        '[plugins.webhook]\nsecret = [{env = "OLD"}, "plain"]\nlane = {max_events = 5}\n'
    )

    assert load_settings().table("plugins") == {"webhook": {"secret": ["k1", "plain"], "lane": {"max_events": 5}}}


def test_a_plugins_table_is_read_for_its_own_commands(user: Path) -> None:
    """As the plugin gets it, and empty where there is none."""
    Path("streamclient.toml").write_text('[plugins.webhook]\nurl = "http://x"\n')

    assert plugin_settings("webhook") == {"url": "http://x"}
    assert plugin_settings("log") == {}


def test_key_itself_is_for_the_user_alone(user: Path) -> None:
    """A key in a file that goes into version control is refused and not shown; in the user's own file it is fine."""
    user.write_text('api_key = "k1"\n')
    assert load_settings().secrets == {"api_key": "k1"}
    Path("streamclient.toml").write_text('api_key = "k-secret"\n')
    with pytest.raises(OptionsError, match="must not be in a file that others may see") as caught:
        load_settings()
    assert "k-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[transcibe]\n", "'transcibe', which means nothing; did you mean 'transcribe'"),
        ("[transcribe\n", "not valid TOML"),
        ('transcribe = "x"\n', "'transcribe' must be a table"),
        ('[plugins]\nlog = "x"\n', "'plugins.log' must be a table"),
        ('api_key = {env = "NOT_THERE"}\n', r"\$NOT_THERE, which is not set"),
        ('api_key = {file = "not-there"}\n', "not-there, which cannot be read"),
        ("api_key = {env = 3, file = 4}\n", "must be a text"),
    ],
)
def test_meaningless_settings_are_refused(user: Path, text: str, says: str) -> None:
    """A slip in a file is named, with the file and what was meant."""
    Path("streamclient.toml").write_text(text)
    with pytest.raises(OptionsError, match=says) as caught:
        load_settings()
    assert "streamclient.toml" in str(caught.value)


def test_unknown_name_without_a_neighbour_lists_what_there_is() -> None:
    """Where nothing is near, all known names are given."""
    with pytest.raises(OptionsError, match="Known: model, language"):
        check_names(["zzz"], ["model", "language"], "It")
