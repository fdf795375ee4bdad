"""What the integrations share: arguments of a client from a framework's settings, and its context around hooks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import attrs

from streamclient.client import StreamClient
from streamclient.errors import OptionsError, hides_arguments
from streamclient.hook_calls import hook_scope
from streamclient.options import FluxOptions, ListenOptions
from streamclient.plugin_options import nearest
from streamclient.plugins import as_list

__all__ = [
    "ARGUMENTS",
    "Asked",
    "Scope",
    "ScopedClient",
    "as_options",
    "client_arguments",
    "hooks_within",
    "read_configuration",
]

ARGUMENTS = ("access_token", "api_key", "buffer", "options", "plugins", "reconnect", "timeouts", "transport", "url")
"""What settings may give: the arguments of a client."""

Asked = ListenOptions | FluxOptions | Mapping[str, Any]
"""What is asked of the service: options, or a mapping by their names."""

Scope = Callable[[], AbstractContextManager[object]]
"""Makes what every call of a hook is wrapped in."""


def read_configuration(settings: Mapping[str, Any], prefix: str, place: str) -> dict[str, Any]:
    """The arguments that are in settings, by their names.

    Args:
        settings: by key; keys without the prefix are somebody else's.
        prefix: of the keys, which are in capitals.
        place: what the settings are called, the subject of a sentence.

    Raises:
        OptionsError: a key means nothing. No value is shown.
    """
    known = {f"{prefix}{name.upper()}": name for name in ARGUMENTS}
    for key in settings:
        if key.startswith(prefix) and key not in known:
            raise OptionsError(
                f"{place} has {key!r}, which means nothing{nearest(key, tuple(known))}",
                hint=f"Known: {', '.join(known)}.",
            )
    return {name: settings[key] for key, name in known.items() if key in settings}


def client_arguments(
    configured: Mapping[str, Any],
    options: Asked | None,
    plugins: Iterable[object | str],
    client: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments for one client: those of a call before those of the settings, but plugins of both.

    Raises:
        OptionsError: the options are wrong.
        PluginError: the plugins are no list.
    """
    given = {**configured, **client}
    given["options"] = as_options(options or configured.get("options", {}))
    given["plugins"] = as_list(configured.get("plugins", ())) + as_list(plugins)
    return given


def as_options(configured: Any) -> ListenOptions | FluxOptions:
    """Options as such, or as a mapping, as settings have them; the model says the version.

    Raises:
        OptionsError: they are wrong.
    """
    if isinstance(configured, ListenOptions | FluxOptions):
        return configured
    try:
        kind = FluxOptions if str(configured.get("model", "")).startswith("flux") else ListenOptions
        _require_known(configured, tuple(attrs.fields_dict(kind)))
        return kind(**configured)
    except (TypeError, AttributeError) as error:
        raise OptionsError(f"The options must be options, or a mapping by name: {error}") from error


def _require_known(names: Iterable[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise TypeError(f"there is no option {name!r}{nearest(name, known)}")


class ScopedClient(StreamClient):
    """A client whose hooks run within a scope.

    Args:
        scope: makes it, for each call.
        **arguments: of a client.
    """

    @hides_arguments
    def __init__(self, scope: Scope, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._scope = scope

    def open(self) -> None:
        """Connect, as ``StreamClient`` does."""
        with hooks_within(self._scope):
            super().open()


@contextmanager
def hooks_within(scope: Scope) -> Iterator[None]:
    """Let streams that are opened meanwhile call their hooks within a scope."""
    token = hook_scope.set(scope)
    try:
        yield
    finally:
        hook_scope.reset(token)
