"""The hooks of a plugin: all known, rightly spelt and plain functions. The only module that drives pluggy.

Each plugin has a pluggy manager of its own, so that no plugin can stop, reorder or wrap the calls of another one.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import get_type_hints

import pluggy

from streamclient.errors import PluginError
from streamclient.hookspecs import PROJECT
from streamclient.plugin_options import nearest

__all__ = ["callers_of", "hook_names", "hooks_of"]


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
    manager = pluggy.PluginManager(PROJECT)
    try:
        # The hookspecs come afterwards: pluggy refuses a wrong plugin too, but does not say what would be right.
        manager.register(plugin, name)
        _check_hooks(name, plugin, {hook: caller.get_hookimpls() for hook, caller in vars(manager.hook).items()}, specs)
        manager.add_hookspecs(specs)
        manager.check_pending()
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"Plugin {name!r} is not valid: {error}") from error
    callers = {hook: getattr(manager.hook, hook) for hook in hook_names(specs)}
    return {hook: caller for hook, caller in callers.items() if caller.get_hookimpls()}


def _check_hooks(name: str, plugin: object, found: Mapping[str, list[pluggy.HookImpl]], specs: type) -> None:
    hooks = hook_names(specs)
    for hook, implementations in found.items():
        for implementation in implementations:
            _check_hook(name, hook, implementation, specs)
    for hook in hooks:
        if hook not in found and inspect.isroutine(inspect.getattr_static(plugin, hook, None)):
            raise PluginError(f"Plugin {name!r}: {hook} is not marked as a hook", hint="Put @hookimpl above it.")
    if not found:
        raise PluginError(
            f"{plugin!r} is not a plugin: it implements no hook",
            hint=f"Mark at least one of its functions with @hookimpl: {', '.join(hooks)}.",
        )


def _check_hook(name: str, hook: str, implementation: pluggy.HookImpl, specs: type) -> None:
    function = implementation.function
    hooks = hook_names(specs)
    if hook not in hooks:
        if implementation.optionalhook:
            return
        raise PluginError(
            f"Plugin {name!r}: there is no hook {hook!r}{nearest(hook, hooks)}",
            hint=f"The hooks are {', '.join(hooks)}.",
        )
    allowed = tuple(inspect.signature(getattr(specs, hook)).parameters)[1:]
    for argument in implementation.argnames:
        if argument not in allowed:
            raise PluginError(
                f"Plugin {name!r}: {hook} has no argument {argument!r}{nearest(argument, allowed)}",
                hint=f"It can take any of {', '.join(allowed)}.",
            )
    wraps = implementation.wrapper or implementation.hookwrapper
    if inspect.iscoroutinefunction(function) or (inspect.isgeneratorfunction(function) and not wraps):
        raise PluginError(
            f"Plugin {name!r}: {hook} would never run, because it is async or has a yield",
            hint="A hook is a plain function; it runs in a thread of its own and may block.",
        )


def hooks_of(target: object, specs: type) -> tuple[str, ...]:
    """The hooks that a module or a class implements, found without making or calling anything."""
    if inspect.isroutine(target):
        target = get_type_hints(target).get("return")
    manager = pluggy.PluginManager(PROJECT)
    marked = {name: manager.parse_hookimpl_opts(target, name) for name in dir(target)}
    implemented = {options.get("specname") or name for name, options in marked.items() if options}
    return tuple(hook for hook in hook_names(specs) if hook in implemented)
