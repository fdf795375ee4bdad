"""The extension ``outbox``: adds the commands for what the plugin ``webhook`` could not deliver yet."""

from typing import TYPE_CHECKING

from streamclient import hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["register_commands"]


@hookimpl
def register_commands(cli: "click.Group") -> None:
    """Add ``streamclient outbox``."""
    from streamclient_plugins.webhook.commands import outbox  # needs click, which only the command line does

    cli.add_command(outbox)
