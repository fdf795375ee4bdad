"""Plugins: find, load, configure."""

import inspect
import itertools
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from importlib.util import module_from_spec, spec_from_file_location
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType

from attrs import field, frozen

from streamclient.errors import PluginError
from streamclient.hookspecs import StreamHooks
from streamclient.installed import Installed, find_installed
from streamclient.plugin_hooks import LoadedPlugin
from streamclient.plugin_manager import check_hooks, hooks_of, made_by
from streamclient.plugin_options import PluginOption, nearest, options_of, parse_options, read_options
from streamclient.policies import LanePolicy

__all__ = [
    "GROUP",
    "ConfiguredPlugin",
    "FoundPlugin",
    "LoadedPlugin",
    "as_list",
    "configure_plugin",
    "find_plugins",
    "load_plugins",
    "parse_plugin",
    "plugin_of_file",
]

GROUP = "streamclient.plugins"
"""The entry point group of named plugins."""

LANE = "lane"
"""What the options for a plugin's lane begin with."""

FILE_SPEC = re.compile(r"(?P<path>(?:[A-Za-z]:[\\/])?[^:]*\.py)(?::(?P<options>.*))?", re.DOTALL)
"""``./my_plugin.py`` or ``./my_plugin.py:name=value``; the colon of a Windows drive is part of the path."""


ONE_PLUGIN = "Keep one plugin per file."


@frozen
class ConfiguredPlugin:
    """A named plugin or a file with its options; every stream makes its own plugin of it.

    Args:
        source: an installed name, or the path of a ``.py`` file.
        options: by name, each as a text or in its own type. Those whose names begin with ``lane.``, and those of a
            table ``lane``, are for its lane: fields of `LanePolicy`.
    """

    source: str
    options: Mapping[str, object] = field(factory=dict, repr=False)

    @property
    def own_options(self) -> Mapping[str, object]:
        """The options of the plugin itself."""
        return {name: value for name, value in self.options.items() if name != LANE and not name.startswith(f"{LANE}.")}

    @property
    def lane_options(self) -> Mapping[str, object]:
        """The options of its lane, in their own types.

        Raises:
            PluginError: one is unknown, or has a wrong type or value.
        """
        table = self.options.get(LANE, {})
        if not isinstance(table, Mapping):
            raise PluginError(f"Plugin {self.source!r}: {LANE} is a table", hint=f"Write {LANE}.max_events=500.")
        start = f"{LANE}."
        written = {name.removeprefix(start): self.options[name] for name in self.options if name.startswith(start)}
        return read_options(f"{self.source}:{LANE}", LanePolicy, {**table, **written})

    @property
    def is_file(self) -> bool:
        """Whether the source is a file."""
        return self.source.endswith(".py")

    @property
    def name(self) -> str:
        """The name that hooks and logs use."""
        return Path(self.source).stem if self.is_file else self.source

    def make(self) -> object:
        """The plugin for one stream."""
        if self.is_file:
            return _make_from_file(self.name, Path(self.source).expanduser(), self.own_options)
        return _make(self.source, _installed(self.source).load(), self.own_options)

    def check(self) -> None:
        """Refuse wrong options of an installed plugin, and of any lane, without making it."""
        self.lane_options  # noqa: B018 - asking for them reads them
        if not self.is_file:
            _arguments(self.source, _installed(self.source).load(), self.own_options)


def configure_plugin(name: str, options: Mapping[str, object]) -> object:
    """A plugin with options, for ``plugins=[...]`` of any number of streams: each gets one of its own.

    Args:
        name: of an installed plugin, or the path of a ``.py`` file.
        options: by name, each as a text or in its own type; a table of a TOML file, for example. A table ``lane`` has
            fields of `LanePolicy`.

    Raises:
        PluginError: the plugin or an option is unknown, or an option has a wrong type.
    """
    configured = ConfiguredPlugin(name, dict(options))
    configured.check()
    return configured


def load_plugins(specs: Iterable[object | str]) -> tuple[LoadedPlugin, ...]:
    """The plugins of one stream.

    Args:
        specs: each a module, an object or a class with hooks; the name of an installed plugin, with options or
            without (``"jsonl:path=call.jsonl"``); the path of a ``.py`` file; or made by `configure_plugin`.

    Raises:
        PluginError: one cannot be found, loaded or configured, has no hooks or a wrong one, or is there twice.
    """
    specs = as_list(specs)
    _refuse_twins(specs)
    made = [_resolve(spec) for spec in specs]
    names = _unique([name for name, _, _ in made])
    return tuple(LoadedPlugin(name, plugin, lane) for name, (_, plugin, lane) in zip(names, made, strict=True))


def as_list(specs: Iterable[object | str]) -> list[object | str]:
    """The plugins that somebody has written down.

    Raises:
        PluginError: it is one text, whose letters are no plugins, or no list at all.
    """
    if isinstance(specs, str):
        raise PluginError(f"plugins={specs!r} is one text, not a list", hint=f"Write plugins=[{specs!r}].")
    if not isinstance(specs, Iterable):
        raise PluginError(f"plugins={specs!r} is not a list", hint="Leave it out, or write plugins=[...].")
    return list(specs)


def _refuse_twins(specs: list[object]) -> None:
    """An object has one state and must not be in two threads; a name or a file gives a new object each time."""
    objects = [spec for spec in specs if not isinstance(spec, str | PathLike | ConfiguredPlugin)]
    for spec, count in Counter(map(id, objects)).items():
        if count > 1:
            twin = next(one for one in objects if id(one) == spec)
            raise PluginError(f"The plugin {_name_of(twin)!r} is given {count} times", hint="Give one object once.")


def _unique(names: list[str]) -> list[str]:
    unique: list[str] = []
    for name in names:
        candidates = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        unique.append(next(candidate for candidate in candidates if candidate not in unique))
    return unique


def _resolve(spec: object) -> tuple[str, object, Mapping[str, object]]:
    """Name, plugin, and the options of its lane."""
    if isinstance(spec, PathLike):
        spec = ConfiguredPlugin(str(fspath(spec)))
    if isinstance(spec, str):
        spec = parse_plugin(spec)
    if isinstance(spec, ConfiguredPlugin):
        lane = spec.lane_options
        return spec.name, spec.make(), lane
    name = _name_of(spec)
    return name, _make(name, spec, {}) if isinstance(spec, type) else spec, {}


def _name_of(plugin: object) -> str:
    """Asked of its class, because an object may answer anything."""
    return plugin.__name__ if isinstance(plugin, type | ModuleType) else type(plugin).__name__


def parse_plugin(spec: str) -> ConfiguredPlugin:
    """Take ``name``, ``name:option=value`` or the path of a ``.py`` file with or without options apart.

    Raises:
        PluginError: what is behind the colon are no options.
    """
    file = FILE_SPEC.fullmatch(spec)
    source, options = (file["path"], file["options"] or "") if file else spec.partition(":")[::2]
    return ConfiguredPlugin(source.strip(), parse_options(source, options))


def _is_factory(target: object) -> bool:
    return inspect.isclass(target) or inspect.isroutine(target) or isinstance(target, partial)


def _arguments(name: str, target: object, options: Mapping[str, object]) -> dict[str, object]:
    if _is_factory(target):
        assert callable(target)
        return read_options(name, target, options)
    if options:
        raise PluginError(f"Plugin {name!r} has no options, because it is not a class")
    return {}


def _make(name: str, target: object, options: Mapping[str, object]) -> object:
    """Call the class or function with its options; a module or an object is the plugin itself."""
    arguments = _arguments(name, target, options)
    if not _is_factory(target):
        return target
    assert callable(target)
    try:
        return target(**arguments)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"Plugin {name!r} cannot be made: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, ValueError | OSError) and str(error) else f"{type(error).__name__}: {error}"


_file_numbers = itertools.count(1)


def _make_from_file(name: str, path: Path, options: Mapping[str, object]) -> object:
    """The plugin of a file, which is run anew for every stream."""
    with _module_of(path) as module:
        return _make(name, _plugin_in(path, module), options)


@contextmanager
def _module_of(path: Path) -> Iterator[ModuleType]:
    """Run the file as a module of its own; an error says where in it."""
    if not path.is_file():
        raise PluginError(f"There is no plugin file {path}")
    spec = spec_from_file_location(f"streamclient_plugin_file_{next(_file_numbers)}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Annotations are looked up there while classes are built and options are read. It does not stay: a module for
    # every stream would fill a server's memory.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"Plugin file {path} cannot be loaded: {_where(error, path)}") from error
    finally:
        del sys.modules[spec.name]


def _where(error: BaseException, path: Path) -> str:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path.absolute())
    ]
    return (f"line {lines[-1]}: " if lines else "") + f"{type(error).__name__}: {error}"


def _plugin_in(path: Path, module: ModuleType) -> object:
    """The module, where it has hooks; else its one class with hooks, of which others may be the bases."""
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    hooked = {value for value in own if hooks_of(value, StreamHooks)}
    classes = hooked - {base for value in hooked for base in value.__mro__[1:]}
    names = ", ".join(sorted(one.__name__ for one in classes))
    if classes and hooks_of(module, StreamHooks):
        raise PluginError(f"Plugin file {path} has hooks of its own and a class with hooks ({names})", hint=ONE_PLUGIN)
    if len(classes) > 1:
        raise PluginError(f"Plugin file {path} has several classes with hooks ({names})", hint=ONE_PLUGIN)
    return classes.pop() if classes else module


@frozen(slots=False, eq=False)
class FoundPlugin(Installed):
    """An installed plugin."""

    def check(self) -> None:
        """Refuse options that cannot be understood and hooks that could never work.

        Raises:
            PluginError: saying what is wrong.
        """
        target = self.load()
        if _is_factory(target):
            assert callable(target)
            options_of(target)
        check_hooks(self.name, made_by(target), StreamHooks)

    @cached_property
    def options(self) -> tuple[PluginOption, ...]:
        """What can be set; empty where it cannot be used."""
        target = None if self.error else self.load()
        return options_of(target) if _is_factory(target) and callable(target) else ()

    @cached_property
    def hooks(self) -> tuple[str, ...]:
        """The hooks it implements, as far as its class or module tells; empty where it cannot be used."""
        return () if self.error else hooks_of(self.load(), StreamHooks)


@frozen
class _Loaded:
    """In place of an entry point: what it would load."""

    target: object

    def load(self) -> object:
        return self.target


def plugin_of_file(path: Path) -> FoundPlugin:
    """What the plugin in a ``.py`` file is, as far as its class or functions tell. The file is run for it.

    Raises:
        PluginError: there is no such file, or it cannot be run.
    """
    with _module_of(path) as module:
        found = FoundPlugin(path.stem, "", "", str(path), _Loaded(_plugin_in(path, module)))
        found.options, found.hooks, found.description  # noqa: B018 - looked up while its module is there
    return found


def find_plugins() -> tuple[FoundPlugin, ...]:
    """All installed plugins, by name. None is imported by this."""
    return find_installed(GROUP, FoundPlugin)


@lru_cache(maxsize=1)
def _found_along(path: tuple[str, ...]) -> tuple[FoundPlugin, ...]:  # noqa: ARG001 - the key of the cache
    """What is installed along ``sys.path``: reading it takes milliseconds, too many per stream."""
    return find_plugins()


def _installed(name: str) -> FoundPlugin:
    """The installed plugin of this name; what has just been installed is found by a second look."""
    plugins = _found_along(tuple(sys.path))
    if name not in (plugin.name for plugin in plugins):
        _found_along.cache_clear()
        plugins = _found_along(tuple(sys.path))
    matching = [plugin for plugin in plugins if plugin.name == name]
    if not matching:
        names = tuple(plugin.name for plugin in plugins)
        raise PluginError(
            f"There is no plugin {name!r}{nearest(name, names)}",
            hint=f"Installed are {', '.join(names)}; a file is named with its .py ending.",
        )
    if len({plugin.origin for plugin in matching}) > 1:
        origins = " and ".join(f"{plugin.origin} of {plugin.distribution}" for plugin in matching)
        raise PluginError(f"Two plugins are called {name!r}: {origins}", hint="Uninstall one of them.")
    return matching[0]
