"""The extension ``sqlite``: adds the command that searches what the plugin ``sqlite`` has kept."""

from typing import TYPE_CHECKING

from streamclient import hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["register_commands"]


@hookimpl
def register_commands(cli: "click.Group") -> None:
    """Add ``streamclient search``."""
    from streamclient_plugins.sqlite.commands import command  # needs click, which only the command line does

    cli.add_command(command)
