"""What ``manage.py check`` says of the settings, before there is a stream."""

from typing import Any

from django.core.checks import Error

from streamclient.errors import OptionsError
from streamclient.integrations.configuration import as_options
from streamclient.integrations.django import configuration
from streamclient.plugins import find_plugins

__all__ = ["check_settings"]


def check_settings(app_configs: Any, **_: Any) -> list[Error]:  # noqa: ARG001 - Django gives it
    """Look at ``STREAMCLIENT``: its keys, its options, the names of its plugins."""
    try:
        configured = configuration()
        as_options(configured.get("options", {}))
    except OptionsError as error:
        return [Error(str(error), id="streamclient.E001")]
    return list(_check_plugins(configured.get("plugins", ())))


def _check_plugins(plugins: Any) -> list[Error]:
    if isinstance(plugins, str) or not hasattr(plugins, "__iter__"):
        return [Error("STREAMCLIENT['PLUGINS'] must be a list", id="streamclient.E002")]
    installed = [plugin.name for plugin in find_plugins()]
    named = [plugin.partition(":")[0].strip() for plugin in plugins if isinstance(plugin, str)]
    return [
        Error(
            f"STREAMCLIENT['PLUGINS'] has {name!r}, which is not installed",
            hint=f"Installed are {', '.join(installed)}.",
            id="streamclient.E003",
        )
        for name in named
        if name not in installed and ".py" not in name
    ]
