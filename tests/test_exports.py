"""The public names: what is there, where it lives, and that first-party plugins need nothing else."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import streamclient

ROOT = Path(__file__).parents[1]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
PROMISED = """
    StreamClient transcribe stream close_all hookimpl StreamView
    ListenOptions FluxOptions ReconnectPolicy Timeouts BufferPolicy TransportOptions
    Results Word SpeechStarted UtteranceEnd Metadata ServerError ConfigureSuccess ConfigureFailure
    Connected TurnInfo ServerWarning UnknownMessage
    Utterance Transcript StreamStats StreamState Span Event
    StreamClientError OptionsError ConnectError AuthenticationError PaymentRequiredError PermissionDeniedError
    BadRequestError RateLimitedError ServiceUnavailableError ConnectTimeout ConnectionLost AudioRejected
    SendTimeout SpillError CloseTimeout InvalidState PluginError PluginOverrun
""".split()  # noqa: SIM905 - thirty lines shorter


def imported_names(path: Path) -> list[tuple[str, str]]:
    """Module and name of everything a file imports from streamclient's two packages."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return [(module, name) for module, name in found if module.partition(".")[0].startswith("streamclient")]


def test_promised_names_are_there() -> None:
    """Every documented name can be imported from streamclient."""
    assert set(PROMISED) <= set(streamclient.__all__)


def test_all_names_resolve_once() -> None:
    """``__all__`` has no name twice and every name in it exists."""
    assert len(set(streamclient.__all__)) == len(streamclient.__all__)
    assert all(getattr(streamclient, name) is not None for name in streamclient.__all__)


def test_dir_lists_the_public_names() -> None:
    """An interactive session shows the public names although they are imported late."""
    assert set(streamclient.__all__) <= set(dir(streamclient))


def test_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name is refused like that of any module, and names itself."""
    with pytest.raises(AttributeError, match="StreamCleint"):
        getattr(streamclient, "StreamCleint")  # noqa: B009 - mypy knows that it is not there


@pytest.mark.parametrize("name", [name for name in streamclient.__all__ if not name.startswith("__")])
def test_public_name_is_public_where_it_lives(name: str) -> None:
    """A public class or function is in ``__all__`` of its own module too."""
    home = getattr(getattr(streamclient, name), "__module__", "")
    if home.startswith("streamclient."):
        assert name in importlib.import_module(home).__all__


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)
def test_first_party_plugins_use_only_public_names(path: Path) -> None:
    """A first-party plugin imports what a stranger's could: public names, and its own package."""
    hidden = [
        (module, name)
        for module, name in imported_names(path)
        if not module.startswith("streamclient_plugins")
        and (module != "streamclient" or name not in streamclient.__all__)
    ]

    assert hidden == []


def test_importing_everything_has_no_side_effect() -> None:
    """Importing every public name starts no thread and prints nothing."""
    code = "import threading; from streamclient import *; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("1\n", "")
