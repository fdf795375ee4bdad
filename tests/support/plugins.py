"""Plugins to load, and how loading them goes."""

from pathlib import Path

import pytest

from streamclient import PluginError, hookimpl
from streamclient.plugins import LoadedPlugin, load_plugins


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
