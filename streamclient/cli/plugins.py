"""The command ``plugins``."""

import json
from typing import TYPE_CHECKING, Any

import click

from streamclient.cli.exits import DONE
from streamclient.cli.screen import printable

if TYPE_CHECKING:
    from streamclient.extensions import Extension
    from streamclient.plugins import FoundPlugin

__all__ = ["command"]

EPILOG = """
\b
Switch one on by its name, with options or without:
  streamclient transcribe talk.wav --plugin log --plugin jsonl:path=talk.jsonl
A file with hooks is a plugin too:
  streamclient transcribe talk.wav --plugin ./my_plugin.py

Extensions need no switch: they add commands, kinds of audio and recognisers as soon as they are installed.
"""


@click.command("plugins", epilog=EPILOG, context_settings={"max_content_width": 100})
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of text.")
def command(*, as_json: bool) -> int:
    """List the installed plugins and extensions: version, origin, options and hooks.

    One that cannot be imported is listed with its error.
    """
    from streamclient.extensions import find_extensions
    from streamclient.plugins import find_plugins

    found: tuple[FoundPlugin | Extension, ...] = (*find_plugins(), *find_extensions())
    if as_json:
        click.echo(json.dumps([_facts(plugin) for plugin in found], ensure_ascii=False, indent=2))
    elif not found:
        click.echo("No plugins are installed.", err=True)
    else:
        click.echo("\n\n".join(map(_paragraph, found)))
    return DONE


def _facts(plugin: "FoundPlugin | Extension") -> dict[str, Any]:
    return {
        "name": plugin.name,
        "kind": kind_of(plugin),
        "description": plugin.description,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "origin": plugin.origin,
        "hooks": list(plugin.hooks),
        "options": [
            {"name": option.name, "type": option.type, "default": option.default, "help": option.help}
            for option in plugin.options
        ],
        "error": plugin.error,
    }


def kind_of(plugin: "FoundPlugin | Extension") -> str:
    """Whether it is switched on for a stream, or there as soon as it is installed."""
    from streamclient.plugins import FoundPlugin

    return "plugin" if isinstance(plugin, FoundPlugin) else "extension"


def _paragraph(plugin: "FoundPlugin | Extension") -> str:
    head = click.style(plugin.name, bold=True)
    extension = "  extension" if kind_of(plugin) == "extension" else ""
    lines = [f"{head}  {plugin.distribution} {plugin.version}  ({plugin.origin}){extension}"]
    if plugin.error:
        return "\n".join([*lines, f"  error: {printable(plugin.error)}"])
    if plugin.description:
        lines.append(f"  {plugin.description}")
    lines += [f"  option {option.name}: {_option(option)}" for option in plugin.options]
    lines.append(f"  hooks: {', '.join(plugin.hooks) or 'none'}")
    return "\n".join(lines)


def _option(option: Any) -> str:
    default = "required" if option.default is None else f"default {option.default or 'nothing'}"
    return f"{option.type}; {default}{f'. {option.help}' if option.help else ''}"
