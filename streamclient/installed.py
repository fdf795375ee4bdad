"""What installed distributions offer through entry points: found without importing it, loaded by name."""

from functools import cached_property
from inspect import getdoc
from typing import Protocol, TypeVar

from attrs import field, frozen

from streamclient.errors import PluginError

__all__ = ["Installed", "find_installed"]


class Loadable(Protocol):
    """An entry point."""

    def load(self) -> object:
        """What it names."""


@frozen(slots=False, eq=False)
class Installed:
    """Something that is installed. It is imported when something beyond its entry point is asked for.

    Args:
        name: what it is called.
        distribution: name of the installed package it came with.
        version: of that package.
        origin: where it is, as ``module:attribute``.
    """

    name: str
    distribution: str
    version: str
    origin: str
    entry_point: Loadable = field(repr=False)

    def load(self) -> object:
        """Import its class, function or module.

        Raises:
            PluginError: the import failed.
        """
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"Plugin {self.name!r} cannot be imported: {type(error).__name__}: {error}",
                hint=f"It is {self.origin} of {self.distribution} {self.version}.",
            ) from error

    def check(self) -> None:
        """Import it, and refuse what could not be used.

        Raises:
            PluginError: saying what is wrong.
        """
        self.load()

    @cached_property
    def error(self) -> str | None:
        """Why it cannot be used, or ``None``."""
        try:
            self.check()
        except PluginError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's class does when it is looked at
            return f"Plugin {self.name!r} is not valid: {type(error).__name__}: {error}"
        return None

    @cached_property
    def description(self) -> str:
        """The first line of its documentation; empty where it cannot be used."""
        text = None if self.error else getdoc(self.load())
        return text.partition("\n")[0] if text else ""


Kind = TypeVar("Kind", bound=Installed)


def find_installed(group: str, kind: type[Kind]) -> tuple[Kind, ...]:
    """All that is installed in a group, by name. None is imported by this."""
    from importlib.metadata import entry_points  # slow to import, and most streams name no plugin

    found = (
        kind(
            name=entry_point.name,
            distribution=entry_point.dist.name if entry_point.dist else "?",
            version=entry_point.dist.version if entry_point.dist else "?",
            origin=entry_point.value,
            entry_point=entry_point,
        )
        for entry_point in entry_points(group=group)
    )
    return tuple(sorted(found, key=lambda one: (one.name, one.distribution, one.origin)))
