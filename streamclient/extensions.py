"""Extensions: installed modules that add commands, kinds of audio and recognisers.

A named plugin is made anew for each stream; an extension is loaded once, when one of the things it may add is asked
for and streamclient itself does not have it. One that is broken is reported in the log and skipped.
"""

import logging
import math
from collections.abc import Callable, Collection
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from attrs import frozen

from streamclient.hook_calls import HookCalls
from streamclient.hookspecs import ExtensionHooks
from streamclient.installed import Installed, find_installed
from streamclient.plugin_manager import callers_of

__all__ = ["GROUP", "Extension", "find_extensions", "gather", "registered"]

log = logging.getLogger("streamclient.plugins")

GROUP = "streamclient.extensions"
"""The entry point group of extensions."""

Offer = TypeVar("Offer")


@frozen(slots=False, eq=False)
class Extension(Installed):
    """An installed extension."""

    @cached_property
    def _callers(self) -> dict[str, Callable[..., object]]:
        return callers_of(self.name, self.load(), ExtensionHooks)

    def check(self) -> None:
        """Refuse hooks that could never work.

        Raises:
            PluginError: saying what is wrong.
        """
        self._callers  # noqa: B018 - asking for them loads it

    @cached_property
    def hooks(self) -> tuple[str, ...]:
        """The hooks it implements; empty where it cannot be used."""
        return () if self.error else tuple(self._callers)

    @property
    def options(self) -> tuple[()]:
        """Nothing: an extension is not switched on, so there is nowhere to give them."""
        return ()

    def offers(self, hook: str, argument: Callable[[dict[str, Any]], dict[str, object]]) -> dict[str, Any]:
        """What it adds through a hook, by name; nothing, and a line in the log, where that fails.

        Args:
            hook: the hook's name.
            argument: makes the hook's arguments from where its offers are to be put.
        """
        offered: dict[str, Any] = {}
        if hook not in self.hooks:
            return offered
        try:
            HookCalls(self.name, math.inf).call(hook, self._callers[hook], argument(offered))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's code raises
            self.report(f"{hook} failed: {type(error).__name__}: {error}")
        return offered

    def report(self, problem: str) -> None:
        """Say what is wrong with it."""
        log.warning("The extension %s (%s of %s) is skipped: %s", self.name, self.origin, self.distribution, problem)


def find_extensions() -> tuple[Extension, ...]:
    """All installed extensions, by name. None is imported by this."""
    return find_installed(GROUP, Extension)


@lru_cache(maxsize=1)
def _loaded() -> tuple[Extension, ...]:
    """The extensions that work; the others are reported, once."""
    found = find_extensions()
    for extension in found:
        if extension.error:
            extension.report(extension.error)
    return tuple(extension for extension in found if not extension.error)


def gather(
    hook: str, taken: Collection[str], argument: Callable[[dict[str, Any]], dict[str, object]]
) -> dict[str, Any]:
    """What all extensions add through a hook, by name.

    Args:
        hook: the hook's name.
        taken: names that streamclient itself uses; who offers one of them, or one of another extension, is reported.
        argument: makes the hook's arguments from where its offers are to be put.
    """
    gathered: dict[str, Any] = {}
    for extension in _loaded():
        for name, offer in extension.offers(hook, argument).items():
            if name in taken or name in gathered:
                extension.report(f"{hook}: {name!r} exists already")
            else:
                gathered[name] = offer
    return gathered


@lru_cache(maxsize=2)
def registered(hook: str, taken: frozenset[str] = frozenset()) -> dict[str, Callable[..., Any]]:
    """What all extensions add by ``register(name, factory)``; asked once.

    Args:
        hook: ``register_sources`` or ``register_engines``.
        taken: names that streamclient itself uses.
    """
    return gather(hook, taken, lambda offered: {"register": _register_into(offered)})


def _register_into(offered: dict[str, Any]) -> Callable[[str, Callable[..., Any]], None]:
    def register(name: str, factory: Callable[..., Any]) -> None:
        if not isinstance(name, str) or not name or not callable(factory):
            raise TypeError(f"register takes a name and something to call, not {name!r} and {factory!r}")
        offered[name] = factory

    return register
