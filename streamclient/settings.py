"""Settings from files: ``streamclient.toml`` of the project, and the user's own file beneath it.

::

    api_key = {env = "TEAM_DEEPGRAM_KEY"}   # or {file = "key.txt"}; a key itself only in the user's own file

    [transcribe]                            # the options of the command, by name
    model = "nova-3"
    format = ["txt", "json"]

    [serve]
    port = 8765

    [options]                               # parameters of the query string
    keyterm = ["Deepgram", "websocket"]

    [plugins.jsonl]                         # switches the plugin on
    path = "call.jsonl"
"""

import os
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import field, frozen

from streamclient.errors import OptionsError

__all__ = ["FILE_NAME", "Settings", "check_names", "load_settings", "plugin_settings"]

FILE_NAME = "streamclient.toml"
TABLES = ("transcribe", "listen", "recover", "serve", "options", "plugins")
SECRETS = ("api_key", "access_token")


@frozen
class Settings:
    """What the files say, the project's on top of the user's.

    Args:
        tables: ``transcribe``, ``listen``, ``recover``, ``serve``, ``options`` and ``plugins``, each by name.
        secrets: ``api_key`` and ``access_token``, as far as they are there.
        files: the files that were read, the most important first.
    """

    tables: Mapping[str, Mapping[str, Any]] = field(factory=dict, repr=False)
    secrets: Mapping[str, str] = field(factory=dict, repr=False)
    files: tuple[Path, ...] = ()

    def table(self, name: str) -> Mapping[str, Any]:
        """One table, empty where no file has it."""
        return self.tables.get(name, {})


def load_settings(named: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        named: the file to read instead of the project's.

    Raises:
        OptionsError: a file cannot be read or is not TOML, or something in it has no meaning.
    """
    settings = Settings()
    user = _user_file()
    if user is not None and user.is_file():
        settings = _read(user, literal_secrets=True)
    upper = named or _project_file(Path.cwd())
    return _over(_read(upper, literal_secrets=False), settings) if upper else settings


def plugin_settings(name: str) -> Mapping[str, Any]:
    """What ``[plugins.NAME]`` of ``streamclient.toml`` says, for commands and programs that belong to a plugin.

    Args:
        name: of the plugin.

    Returns:
        Its options as the files have them, secrets included; empty where no file has that table.

    Raises:
        OptionsError: a file cannot be read or is not TOML, or something in it has no meaning.
    """
    table: Mapping[str, Any] = load_settings().table("plugins").get(name, {})
    return table


def check_names(found: Collection[str], known: Collection[str], place: str) -> None:
    """Refuse names that mean nothing.

    Raises:
        OptionsError: names the first such name, and the nearest that means something.
    """
    for name in found:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise OptionsError(f"{place} has {name!r}, which means nothing{meant}", hint=f"Known: {', '.join(known)}.")


def _user_file() -> Path | None:
    try:
        from platformdirs import user_config_dir
    except ImportError as error:
        from streamclient.sources import MissingExtra  # sources are slow to import

        raise MissingExtra("The command line", "cli") from error
    return Path(user_config_dir("streamclient", appauthor=False)) / "config.toml"


def _project_file(start: Path) -> Path | None:
    places = (start, *start.parents)
    return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)


def _parse(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionsError(f"The settings file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OptionsError(f"The settings file {path} is not valid TOML: {error}") from error


def _read(path: Path, *, literal_secrets: bool) -> Settings:
    found = _parse(path)
    check_names(found, (*TABLES, *SECRETS), str(path))
    tables = {name: found[name] for name in TABLES if name in found}
    for name, table in tables.items():
        _require_table(table, path, name)
    for name, table in tables.get("plugins", {}).items():
        _require_table(table, path, f"plugins.{name}")
    tables["plugins"] = {
        name: {option: _resolved(value, path, f"plugins.{name}.{option}") for option, value in table.items()}
        for name, table in tables.get("plugins", {}).items()
    }
    for name in ("transcribe", "listen", "recover", "serve"):
        tables[name] = {option.replace("-", "_"): value for option, value in tables.get(name, {}).items()}
    secrets = {name: _secret(found[name], path, name, literal_secrets) for name in SECRETS if name in found}
    return Settings(tables, secrets, (path,))


def _require_table(value: Any, path: Path, name: str) -> None:
    if not isinstance(value, dict):
        raise OptionsError(f"{path}: {name!r} must be a table", hint=f"Write it as [{name}].")


def _secret(value: Any, path: Path, name: str, literal: bool) -> str:
    if not literal and not isinstance(value, dict):
        raise OptionsError(
            f"{path}: {name!r} must not be in a file that others may see",
            hint=f'Write {name} = {{env = "NAME"}} or {{file = "path"}}, or put it into your own file, {_user_file()}.',
        )
    secret = _resolved(value, path, name)
    if not isinstance(secret, str) or not secret:
        raise OptionsError(f"{path}: {name!r} must be a text")
    return secret


def _resolved(value: Any, path: Path, name: str) -> Any:
    """Follow ``{env = "NAME"}`` and ``{file = "path"}``; a relative path starts at the settings file."""
    if isinstance(value, list):
        return [_resolved(one, path, name) for one in value]
    if not isinstance(value, dict) or set(value) not in ({"env"}, {"file"}):
        return value
    if "env" in value:
        content = os.environ.get(str(value["env"]))
        if content is None:
            raise OptionsError(f"{path}: {name!r} is to come from ${value['env']}, which is not set")
        return content
    secret = path.parent / Path(str(value["file"])).expanduser()
    try:
        return secret.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise OptionsError(f"{path}: {name!r} is to come from {secret}, which cannot be read") from error


def _over(upper: Settings, lower: Settings) -> Settings:
    """Names of the upper file hide those of the lower, table by table."""
    names = {*upper.tables, *lower.tables}
    tables = {name: {**lower.table(name), **upper.table(name)} for name in names}
    return Settings(tables, {**lower.secrets, **upper.secrets}, (*upper.files, *lower.files))
