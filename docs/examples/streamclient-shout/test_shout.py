"""The plugin ``shout`` on a real stream: a server that says given words, and nothing else invented."""

from pathlib import Path

import pytest

from streamclient import ListenOptions, PluginError, StreamClient
from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine

OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000)
TWO_SECONDS = bytes(2 * 16000 * 2)


def test_every_utterance_is_shouted(tmp_path: Path) -> None:
    """By its installed name and with its options."""
    path = tmp_path / "heard.txt"
    with LocalServer(ScriptedEngine([("good", 0.2, 0.5), ("morning", 0.6, 1.1)])) as server:
        client = StreamClient(OPTIONS, url=server.url, plugins=[f"shout:marks=3,path={path}"])
        with client:
            client.send(TWO_SECONDS)

    assert path.read_text(encoding="utf-8") == f"GOOD MORNING!!!\n({client.id}: complete)\n"
    assert client.stats.plugin_errors == 0


def test_a_wrong_option_is_refused() -> None:
    """Before anything is connected."""
    with pytest.raises(PluginError, match="did you mean 'marks'"):
        StreamClient(OPTIONS, plugins=["shout:mark=3"])
