"""Recognition engines by name.

``pocketsphinx`` recognises US English on any machine; ``whisper`` and ``vosk`` recognise what their model does, when
there is one; ``scripted`` says given words at given times, ``echo`` hears words that are written in tones.
"""

import importlib
from collections.abc import Callable

from streamclient.errors import PluginError
from streamclient.extensions import registered
from streamclient.plugin_options import parse_options, read_options
from streamclient.server.errors import EngineError, MissingExtraError

try:
    from streamclient.server.engines.base import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word
except ModuleNotFoundError as error:  # pragma: no cover - needs an installation without the extra
    raise MissingExtraError(f"The local server needs {error.name}, which is not installed") from error

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

ENGINES: dict[str, str | Callable[..., Engine]] = {
    "echo": "streamclient.server.engines.echo:EchoEngine",
    "pocketsphinx": "streamclient.server.engines.pocketsphinx:PocketsphinxEngine",
    "scripted": "streamclient.server.engines.scripted:ScriptedEngine",
    "vosk": "streamclient.server.engines.vosk:VoskEngine",
    "whisper": "streamclient.server.engines.whisper:WhisperEngine",
}
"""Name to factory, or to ``module:attribute`` so that an engine's libraries are imported when it is chosen."""

EXTRAS = {"faster_whisper": "whisper", "vosk": "vosk"}
"""Library to the extra it comes with, where that is not ``server``."""


def register_engine(name: str, factory: Callable[..., Engine]) -> None:
    """Make an engine available under a name; a later registration replaces an earlier one.

    Args:
        name: what ``load_engine`` and ``streamclient serve --engine`` are given.
        factory: returns the engine; its arguments have defaults, and are its options.
    """
    ENGINES[name] = factory


def load_engine(spec: str) -> Engine:
    """Make an engine: one of ours, or of an installed extension.

    Args:
        spec: its name, and perhaps its options: ``"whisper:model=base.en,threads=2"``. Options are the arguments of
            its class or factory.

    Raises:
        EngineError: there is none of that name, an option is wrong, or it cannot start.
        MissingExtraError: a library it needs is not installed.
    """
    name, _, options = spec.partition(":")
    engines = ENGINES if name in ENGINES else {**registered("register_engines", frozenset(ENGINES)), **ENGINES}
    if name not in engines:
        raise EngineError(
            f"There is no recognition engine {name!r}.", hint=f"Choose one of: {', '.join(sorted(engines))}"
        )
    try:
        factory = _factory(engines[name])
        return factory(**read_options(name, factory, parse_options(name, options))) if options else factory()
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error
    except PluginError as error:
        raise EngineError(error.message.replace("Plugin", "Engine", 1), hint=error.hint) from error


def _missing(name: str, error: ModuleNotFoundError) -> MissingExtraError:
    library = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(library, "server")
    return MissingExtraError(
        f"The engine {name!r} needs {library}, which is not installed",
        hint=f"Install it with: pip install 'streamclient[{extra}]'",
    )


def _factory(entry: str | Callable[..., Engine]) -> Callable[..., Engine]:
    if not isinstance(entry, str):
        return entry
    module, _, attribute = entry.partition(":")
    factory: Callable[..., Engine] = getattr(importlib.import_module(module), attribute)
    return factory
