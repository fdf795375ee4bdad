"""Recognition engines by name.

``pocketsphinx`` recognises US English on any machine, ``scripted`` says given words at given times.
"""

import importlib
from collections.abc import Callable

from streamclient.extensions import registered
from streamclient.server.errors import EngineError, MissingExtraError

try:
    from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
except ModuleNotFoundError as error:  # pragma: no cover - needs an installation without the extra
    raise MissingExtraError(f"The local server needs {error.name}, which is not installed.") from error

__all__ = [
    "ENGINES",
    "SAMPLE_RATE",
    "Engine",
    "Model",
    "Recogniser",
    "Samples",
    "Word",
    "load_engine",
    "register_engine",
]

ENGINES: dict[str, str | Callable[[], Engine]] = {
    "echo": "streamclient.server.engines.echo:EchoEngine",
    "pocketsphinx": "streamclient.server.engines.pocketsphinx:PocketsphinxEngine",
    "scripted": "streamclient.server.engines.scripted:ScriptedEngine",
}
"""Name to factory, or to ``module:attribute`` so that an engine's libraries are imported when it is chosen."""


def register_engine(name: str, factory: Callable[[], Engine]) -> None:
    """Make an engine available under a name; a later registration replaces an earlier one.

    Args:
        name: what ``load_engine`` and ``streamclient serve --engine`` are given.
        factory: called without arguments, returns the engine.
    """
    ENGINES[name] = factory


def load_engine(name: str) -> Engine:
    """Make the engine of that name: one of ours, or of an installed extension.

    Raises:
        EngineError: there is none of that name, or it cannot start.
        MissingExtraError: a library it needs is not installed.
    """
    engines = ENGINES if name in ENGINES else {**registered("register_engines", frozenset(ENGINES)), **ENGINES}
    if name not in engines:
        raise EngineError(
            f"There is no recognition engine {name!r}.", hint=f"Choose one of: {', '.join(sorted(engines))}"
        )
    try:
        return _factory(engines[name])()
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"The engine {name!r} needs {error.name}, which is not installed.") from error


def _factory(entry: str | Callable[[], Engine]) -> Callable[[], Engine]:
    if not isinstance(entry, str):
        return entry
    module, _, attribute = entry.partition(":")
    factory: Callable[[], Engine] = getattr(importlib.import_module(module), attribute)
    return factory
