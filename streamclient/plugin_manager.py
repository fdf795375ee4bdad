"""The hooks of a plugin: all known, rightly spelt and plain functions. The only module that drives pluggy.

Each plugin has a pluggy manager of its own, so that no plugin can stop, reorder or wrap the calls of another one.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from types import FunctionType, MethodType

import pluggy
from attrs import frozen

from streamclient.errors import PluginError
from streamclient.hookspecs import PROJECT
from streamclient.plugin_options import hints_of, nearest

__all__ = ["callers_of", "check_hooks", "hook_names", "hooks_of"]

HOOKABLE = (FunctionType, MethodType, staticmethod, classmethod)
"""What can be a hook, as it is found without asking the plugin."""


def hook_names(specs: type) -> tuple[str, ...]:
    """The hooks that a class specifies, in their order."""
    return tuple(name for name in vars(specs) if not name.startswith("_"))


def callers_of(name: str, plugin: object, specs: type) -> dict[str, Callable[..., object]]:
    """What calls each hook that a plugin implements.

    Args:
        name: of the plugin, for errors.
        plugin: a module or an object.
        specs: the class that specifies the hooks.

    Raises:
        PluginError: it implements none, or one that is unknown or can never work.
    """
    manager = _Manager(PROJECT)
    try:
        # Before pluggy does: it refuses a wrong plugin too, but does not say what would be right.
        if not check_hooks(name, plugin, specs):
            raise _no_plugin(plugin, specs)
        manager.add_hookspecs(specs)
        manager.register(plugin, name)
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"Plugin {name!r} is not valid: {error}") from error
    callers = {hook: getattr(manager.hook, hook) for hook in hook_names(specs)}
    return {hook: caller for hook, caller in callers.items() if caller.get_hookimpls()}


def hooks_of(target: object, specs: type) -> tuple[str, ...]:
    """The hooks that a module or a class implements, found without making or calling anything."""
    implemented = {marked.hook for marked in _marked(made_by(target))}
    return tuple(hook for hook in hook_names(specs) if hook in implemented)


def made_by(target: object) -> object:
    """What a function says that it makes, if that can be known; anything else is what it is."""
    if not inspect.isroutine(target):
        return target
    with suppress(NameError):  # it may import that only when it is called
        return hints_of(target, ["return"]).get("return")
    return None


def check_hooks(name: str, target: object, specs: type) -> bool:
    """Refuse hooks that are unknown or can never work; whether there is any hook.

    Args:
        name: of the plugin, for errors.
        target: a module, an object, or the class of objects that are not made for this.
        specs: the class that specifies the hooks.

    Raises:
        PluginError: naming the plugin, the hook and what would be right.
    """
    found = list(_marked(target))
    for marked in found:
        _check_hook(name, marked, specs)
    hooks = {marked.hook for marked in found}
    for hook in hook_names(specs):
        if hook not in hooks:
            there = inspect.getattr_static(target, hook, None)
            _check_uncalled(f"Plugin {name!r}: {hook}", there, getattr(specs, hook))
    return bool(found)


class _Manager(pluggy.PluginManager):
    def parse_hookimpl_opts(self, plugin: object, name: str) -> "pluggy.HookimplOpts | None":
        """Special methods are no hooks, and there are so many that asking pluggy of each takes the time of a stream.

        Nor are properties and slots. Pluggy before 1.7 reads them, and a slot may be empty.
        """
        if name.startswith("__") or not isinstance(inspect.getattr_static(plugin, name, None), HOOKABLE):
            return None
        return super().parse_hookimpl_opts(plugin, name)


@frozen
class _Marked:
    """A function that is marked as a hook; one that is of no object yet has a parameter more, for the plugin itself."""

    hook: str
    function: Callable[..., object]
    is_unbound: bool
    is_optional: bool
    is_wrapper: bool

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """What it takes besides the plugin itself.

        Raises:
            ValueError: not even that.
        """
        parameters = list(inspect.signature(self.function).parameters.values())
        return parameters[1:] if self.is_unbound else parameters


def _marked(target: object) -> Iterator[_Marked]:
    manager = _Manager(PROJECT)
    for name in dir(target):
        if options := manager.parse_hookimpl_opts(target, name):
            yield _Marked(
                hook=options["specname"] or name,
                function=getattr(target, name),
                is_unbound=inspect.isclass(target) and inspect.isfunction(inspect.getattr_static(target, name)),
                is_optional=options["optionalhook"],
                is_wrapper=options["wrapper"] or options["hookwrapper"],
            )


def _no_plugin(plugin: object, specs: type) -> PluginError:
    hooks = ", ".join(hook_names(specs))
    return PluginError(
        f"{plugin!r} is not a plugin: it implements no hook",
        hint=f"Mark at least one of its functions with @hookimpl: {hooks}.",
    )


def _check_hook(name: str, marked: _Marked, specs: type) -> None:
    hook, hooks = marked.hook, hook_names(specs)
    if hook not in hooks:
        if marked.is_optional:
            return
        raise PluginError(
            f"Plugin {name!r}: there is no hook {hook!r}{nearest(hook, hooks)}",
            hint=f"The hooks are {', '.join(hooks)}.",
        )
    _check_parameters(f"Plugin {name!r}: {hook}", marked, _arguments_of(getattr(specs, hook)))
    if _never_runs(marked):
        raise PluginError(
            f"Plugin {name!r}: {hook} would never run, because it is async or has a yield",
            hint="A hook is a plain function; it runs in a thread of its own and may block.",
        )


def _check_uncalled(where: str, there: object, spec: object) -> None:
    """Refuse what is called like a hook and would silently be none; a class may inherit those of the specification."""
    if inspect.getattr_static(there, f"{PROJECT}_impl", None):
        raise PluginError(f"{where} is marked as a hook, but is no function", hint="Put @hookimpl right above a def.")
    if inspect.isroutine(there) and there is not spec:
        raise PluginError(f"{where} is not marked as a hook", hint="Put @hookimpl right above it.")


@lru_cache
def _arguments_of(spec: Callable[..., object]) -> tuple[str, ...]:
    return tuple(inspect.signature(spec).parameters)[1:]


def _never_runs(marked: _Marked) -> bool:
    if inspect.iscoroutinefunction(marked.function) or inspect.isasyncgenfunction(marked.function):
        return True
    return inspect.isgeneratorfunction(marked.function) and not marked.is_wrapper


def _check_parameters(where: str, marked: _Marked, allowed: tuple[str, ...]) -> None:
    try:
        parameters = marked.parameters
    except ValueError as error:
        raise PluginError(f"{where} cannot be called: {error}", hint="A method takes self first.") from error
    for parameter in parameters:
        _check_parameter(where, parameter, allowed)


def _check_parameter(where: str, parameter: inspect.Parameter, allowed: tuple[str, ...]) -> None:
    """Pluggy gives a hook its positional parameters without a default, and no others."""
    can_take = f"It can take any of {', '.join(allowed)}"
    has_default = parameter.default is not parameter.empty
    if parameter.kind is parameter.VAR_KEYWORD:
        raise PluginError(
            f"{where} takes **{parameter.name}, and would be given nothing",
            hint=f"{can_take}, by name. A decorator shows them with functools.wraps.",
        )
    if parameter.kind is parameter.VAR_POSITIONAL or (has_default and parameter.name not in allowed):
        return
    if parameter.name not in allowed:
        raise PluginError(
            f"{where} has no argument {parameter.name!r}{nearest(parameter.name, allowed)}", hint=f"{can_take}."
        )
    if has_default or parameter.kind is parameter.KEYWORD_ONLY:
        raise PluginError(
            f"{where} would never be given {parameter.name!r}", hint="Write it without a default and without *."
        )
