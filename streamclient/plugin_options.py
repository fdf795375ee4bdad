"""A plugin's options: the typed fields of its class, read from a command line's text or a table of a TOML file.

As text they are ``name=value`` pairs with commas between them: ``path=call.jsonl,interims=false``. A value with a
comma stands in double quotes, and a double quote inside those is doubled: ``format="{start}, ""{text}"", {end}"``.
An option that takes several values is given several times: ``tag=a,tag=b``.
"""

import dataclasses
import inspect
import re
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from math import isnan
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import field, frozen

from streamclient.errors import PluginError

__all__ = ["PluginOption", "hints_of", "nearest", "options_of", "parse_options", "read_options"]

REQUIRED = object()
PAIR = re.compile(r'\s*(?P<name>[^=,"]*?)\s*=\s*(?:"(?P<quoted>(?:[^"]|"")*)"\s*|(?P<bare>[^,"]*))(?:,|$)')
TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
ABOUT_TABLES = 'In a settings file {env = "NAME"} or {file = "path"}, spelt so and alone, stands for what is there.'


@frozen
class PluginOption:
    """One option of a plugin.

    Args:
        name: as it is written.
        type: what it takes, in words.
        default: as it would be written, or ``None`` where the option must be given.
        help: what it does: ``metadata={"help": ...}`` of the field.
        hint: its type annotation.
        secret: never shown; a field with ``repr=False``.
    """

    name: str
    type: str
    default: str | None
    help: str = ""
    hint: Any = field(default=Any, repr=False)
    secret: bool = False

    def read(self, plugin: str, value: object) -> object:
        """The value in the option's own type.

        Raises:
            PluginError: naming the plugin, the option, the value and what is allowed.
        """
        try:
            return _read(self.hint, value)
        except (ValueError, TypeError):
            shown = "..." if self.secret else repr(value)
            raise PluginError(
                f"Plugin {plugin!r}: {self.name}={shown} is not allowed; allowed is {self.type}",
                hint=ABOUT_TABLES if isinstance(value, Mapping) else None,
            ) from None


def parse_options(plugin: str, text: str) -> dict[str, object]:
    """Take ``name=value,name=value`` apart; the value of an option given several times is a list.

    Raises:
        PluginError: where the text has another form.
    """
    given: dict[str, list[str]] = {}
    position = 0
    while position < len(text):
        match = PAIR.match(text, position)
        if not match or not match["name"]:
            raise _unreadable(plugin, text[position:])
        bare, quoted = match["bare"], match["quoted"]
        value = bare.strip() if quoted is None else quoted.replace('""', '"')
        given.setdefault(match["name"].replace("-", "_"), []).append(value)
        position = match.end()
    return {name: values[0] if len(values) == 1 else values for name, values in given.items()}


def _unreadable(plugin: str, rest: str) -> PluginError:
    name, equals, _ = rest.partition("=")
    if equals and name.strip() and "," not in name:
        problem = f"the double quotes of option {name.strip()!r} are not in pairs around its whole value"
    else:
        problem = f"{rest.split(',')[0]!r} is not an option with a value"
    return PluginError(
        f"Plugin {plugin!r}: {problem}",
        hint='Options are written name=value,name=value; a value with a comma stands in double quotes ("").',
    )


def read_options(plugin: str, factory: Callable[..., object], given: Mapping[str, object]) -> dict[str, object]:
    """The arguments to make a plugin with.

    Args:
        plugin: its name, for errors.
        factory: its class, or a function that makes it.
        given: the options, each as a text or in its own type.

    Raises:
        PluginError: for an option that is unknown, missing or of a wrong type.
    """
    known = {option.name: option for option in options_of(factory)}
    names = {name: name.replace("-", "_") for name in given}
    for name in names.values():
        if name not in known:
            raise _unknown(plugin, name, tuple(known))
    for option in known.values():
        if option.default is None and option.name not in names.values():
            raise PluginError(f"Plugin {plugin!r} needs the option {option.name!r}: {option.type}")
    return {names[name]: known[names[name]].read(plugin, value) for name, value in given.items()}


def _unknown(plugin: str, name: str, known: tuple[str, ...]) -> PluginError:
    listing = f"Its options are {', '.join(known)}" if known else "It has no options"
    return PluginError(f"Plugin {plugin!r} has no option {name!r}{nearest(name, known)}", hint=listing)


def nearest(name: str, known: tuple[str, ...]) -> str:
    """The end of a sentence that names what was probably meant, or nothing."""
    lower = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower[close[0]]!r}?" if close else ""


def options_of(factory: Callable[..., object]) -> tuple[PluginOption, ...]:
    """The options of a plugin's class or of a function that makes it: its fields, or its arguments.

    Raises:
        PluginError: where the annotations cannot be understood.
    """
    try:
        if isinstance(factory, type) and attrs.has(factory):
            return _options_of_attrs_class(factory)
        return _options_of_arguments(factory)
    except Exception as error:
        called = getattr(factory, "__qualname__", factory)
        hint = "A type must be there at run time, not only for type checkers." if isinstance(error, NameError) else ""
        raise PluginError(f"The options of {called} cannot be understood: {error}", hint=hint) from error


def hints_of(annotated: object, names: Collection[str]) -> dict[str, Any]:
    """The types of some fields of a class, of some arguments of a function, or of what it returns (``return``).

    No other annotation is looked at: it may name what is imported for type checkers only.
    """
    hints: dict[str, Any] = {}
    for annotations, outer, inner in _annotations(annotated):
        wanted = {name: annotations[name] for name in annotations if name in names}
        hints |= get_type_hints(types.SimpleNamespace(__annotations__=wanted), outer, inner)
    return hints


def _annotations(annotated: object) -> Iterator[tuple[Mapping[str, Any], dict[str, Any], dict[str, Any]]]:
    """Annotations, and where their names are looked up; for a class first in its module, as `get_type_hints` does."""
    if isinstance(annotated, type):
        for base in reversed(annotated.__mro__):
            module = sys.modules.get(base.__module__)
            yield vars(base).get("__annotations__", {}), dict(vars(base)), vars(module) if module else {}
    elif callable(annotated):
        yield getattr(annotated, "__annotations__", {}), getattr(inspect.unwrap(annotated), "__globals__", {}), {}


def _options_of_attrs_class(plugin_class: type) -> tuple[PluginOption, ...]:
    fields = [attribute for attribute in attrs.fields(plugin_class) if attribute.init]
    hints = hints_of(plugin_class, [attribute.name for attribute in fields])
    return tuple(
        _option(
            attribute.alias or attribute.name,
            hints.get(attribute.name, Any),
            _default_of(attribute),
            str(attribute.metadata.get("help", "")),
            secret=not attribute.repr,
        )
        for attribute in fields
    )


def _default_of(attribute: "attrs.Attribute[Any]") -> Any:
    default: Any = attribute.default
    if default is attrs.NOTHING:
        return REQUIRED
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # the stubs call this class a function
        return None if default.takes_self else default.factory()
    return default


def _options_of_arguments(factory: Callable[..., object]) -> tuple[PluginOption, ...]:
    # object.__init__ has annotations that nobody wrote
    annotated = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    hints = hints_of(annotated, parameters) if isinstance(annotated, types.FunctionType) else {}
    is_dataclass = isinstance(factory, type) and dataclasses.is_dataclass(factory)
    fields = {one.name: one for one in dataclasses.fields(factory)} if is_dataclass else {}  # type: ignore[arg-type]  # asked before
    return tuple(
        _option_of_argument(parameter, hints.get(name, Any), fields.get(name)) for name, parameter in parameters.items()
    )


def _option_of_argument(
    parameter: inspect.Parameter, hint: Any, described: "dataclasses.Field[Any] | None"
) -> PluginOption:
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    if described is None:
        return _option(parameter.name, hint, default)
    if default is not REQUIRED and described.default_factory is not dataclasses.MISSING:
        default = described.default_factory()
    about = str(described.metadata.get("help", ""))
    return _option(parameter.name, hint, default, about, secret=not described.repr)


def _option(name: str, hint: Any, default: Any, about: str = "", *, secret: bool = False) -> PluginOption:
    shown = None if default is REQUIRED else "..." if secret and default else _written(default)
    return PluginOption(name, _allowed(hint), shown, about, hint, secret)


def _written(value: Any) -> str:
    if isinstance(value, Enum):
        return _written(value.value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(_written, value)) if isinstance(value, tuple | list) else str(value)


def _as_truth(value: object) -> object:
    if isinstance(value, str):
        value = TRUTHS.get(value.lower())
    return _require(isinstance(value, bool), value)


def _as_whole(value: object) -> object:
    if isinstance(value, str):
        return int(value)
    return _require(isinstance(value, int) and not isinstance(value, bool), value)


def _as_number(value: object) -> object:
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = float(value)
    return _require(isinstance(value, float) and not isnan(value), value)


def _as_text(value: object) -> object:
    return _require(isinstance(value, str), value)


def _as_path(value: object) -> object:
    return value if isinstance(value, Path) else Path(str(_as_text(value)))


def _as_nothing(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "none" else _require(value is None, value)


def _require(fits: bool, value: object) -> object:
    if not fits:
        raise ValueError(value)
    return value


SCALARS: Mapping[Any, tuple[str, Callable[[object], object]]] = {
    bool: ("true or false", _as_truth),
    int: ("a whole number", _as_whole),
    float: ("a number", _as_number),
    str: ("a text", _as_text),
    Path: ("a path", _as_path),
    types.NoneType: ("none", _as_nothing),
    Any: ("a text", lambda value: value),
}
SEQUENCES = (tuple, list, set, frozenset)
SEVERAL = ", once or several times"


def _choices(hint: Any) -> dict[str, object] | None:
    """What a Literal or an Enum can be, by how it is written."""
    if get_origin(hint) is Literal:
        return {_written(choice): choice for choice in get_args(hint)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {_written(choice): choice for choice in hint}
    return None


def _allowed(hint: Any) -> str:
    if hint in SCALARS:
        return SCALARS[hint][0]
    choices = _choices(hint)
    if choices is not None:
        return " or ".join(choices)
    if get_origin(hint) in (Union, types.UnionType):
        kinds = list(map(_allowed, get_args(hint)))
        return " or ".join(kind for kind in kinds if f"{kind}{SEVERAL}" not in kinds)
    if get_origin(hint) in SEQUENCES:
        return f"{_allowed(get_args(hint)[0])}{SEVERAL}"
    return f"a {getattr(hint, '__name__', hint)} (in Python only)"


def _read(hint: Any, value: object) -> object:
    if hint in SCALARS:
        return SCALARS[hint][1](value)
    choices = _choices(hint)
    if choices is not None:
        return _read_choice(choices, value)
    kind = get_origin(hint) or hint
    if kind in (Union, types.UnionType):
        return _read_first(get_args(hint), value)
    if kind in SEQUENCES:
        values = value if isinstance(value, SEQUENCES) else (value,)
        return kind(_read(get_args(hint)[0], one) for one in values)
    return _require(isinstance(value, kind), value)


def _read_choice(choices: Mapping[str, object], value: object) -> object:
    """The choice that is written like this; whatever its case, where that leaves no doubt."""
    written = _written(value)
    alike = [choice for choice in choices if choice.lower() == written.lower()]
    if written not in choices and len(alike) != 1:
        raise ValueError(value)
    return choices[written if written in choices else alike[0]]


def _read_first(hints: tuple[Any, ...], value: object) -> object:
    """The first type of a union that the value fits; ``none`` before all others."""
    for hint in sorted(hints, key=lambda hint: hint is not types.NoneType):
        try:
            return _read(hint, value)
        except (ValueError, TypeError):
            continue
    raise ValueError(value)
