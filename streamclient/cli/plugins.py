"""The command ``plugins``."""

import inspect
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamclient.cli.exits import DONE, UNEXPECTED
from streamclient.cli.screen import printable

if TYPE_CHECKING:
    from streamclient.extensions import Extension
    from streamclient.plugin_options import PluginOption
    from streamclient.plugins import FoundPlugin

    Found = FoundPlugin | Extension

__all__ = ["command"]

EPILOG = """
\b
Switch one on by its name, with options or without:
  streamclient transcribe talk.wav --plugin log --plugin jsonl:path=talk.jsonl
A file with hooks is a plugin too:
  streamclient transcribe talk.wav --plugin ./my_plugin.py

Extensions need no switch: they add commands, kinds of audio and recognisers as soon as they are installed.
"""

LONGEST_DEFAULT = 60
SHORTEST_LINE, LONGEST_LINE = 40, 100
"""Columns; a terminal may say that it has none."""


@click.command("plugins", epilog=EPILOG, context_settings={"max_content_width": LONGEST_LINE})
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of text.")
@click.pass_context
def command(ctx: click.Context, names: Sequence[str], *, as_json: bool) -> int:
    """List the installed plugins and extensions: version, origin, options and hooks.

    With names, or with files of plugins, explain these: how to switch them on, what each option does and when each
    hook is called. One that cannot be used is shown with its error.
    """
    from streamclient.extensions import find_extensions
    from streamclient.plugins import find_plugins

    found: list[Found] = [*find_plugins(), *find_extensions()]
    with redirect_stdout(sys.stderr):  # what they print while they are imported is no part of the answer
        if names:
            found = [plugin for name in names for plugin in _named(ctx, name, found)]
        broken = [plugin for plugin in found if plugin.error]
    if as_json:
        click.echo(json.dumps([_facts(plugin) for plugin in found], ensure_ascii=False, indent=2))
    elif not found:
        click.echo("No plugins are installed.", err=True)
    else:
        text = "\n\n".join(map(_explanation if names else _paragraph, found))
        click.echo(text, color=False if os.environ.get("NO_COLOR") else None)
    return UNEXPECTED if names and broken else DONE


def _named(ctx: click.Context, name: str, found: "Sequence[Found]") -> "list[Found]":
    """The plugin of a file, or all that have a name."""
    from streamclient.plugin_options import nearest
    from streamclient.plugins import plugin_of_file

    if name.endswith(".py"):
        return [plugin_of_file(Path(name))]
    known = tuple(dict.fromkeys(plugin.name for plugin in found))
    if name not in known:
        meant = nearest(name, known) or "."
        ctx.fail(f"There is no plugin {name!r}{meant} Installed are {', '.join(known)}.")
    return [plugin for plugin in found if plugin.name == name]


def _facts(plugin: "Found") -> dict[str, Any]:
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


def kind_of(plugin: "Found") -> str:
    """Whether it is switched on for a stream, or there as soon as it is installed."""
    from streamclient.plugins import FoundPlugin

    return "plugin" if isinstance(plugin, FoundPlugin) else "extension"


def _title(plugin: "Found") -> str:
    extension = "  extension" if kind_of(plugin) == "extension" else ""
    source = f"  {plugin.distribution} {plugin.version}" if plugin.distribution else ""
    return f"{click.style(plugin.name, bold=True)}{source}  ({plugin.origin}){extension}"


def _about(plugin: "Found") -> str:
    """What it is, or what is wrong with it."""
    return f"error: {printable(plugin.error)}" if plugin.error else _plain(plugin.description)


def _paragraph(plugin: "Found") -> str:
    about = _about(plugin)
    lines = [_title(plugin), f"  {about}"] if about else [_title(plugin)]
    if not plugin.error:
        lines += [f"  option {option.name}: {_option(option)}" for option in plugin.options]
        lines.append(f"  hooks: {', '.join(plugin.hooks) or 'none'}")
    return "\n".join(lines)


def _explanation(plugin: "Found") -> str:
    columns = max(shutil.get_terminal_size().columns, SHORTEST_LINE)
    formatter = click.HelpFormatter(width=min(columns, LONGEST_LINE) - 2)
    formatter.write(f"{_title(plugin)}\n")
    if about := _about(plugin):
        with formatter.indentation():
            formatter.write_text(about)
    if plugin.error:
        return formatter.getvalue().rstrip()
    if kind_of(plugin) == "plugin":
        with formatter.section("Switched on by"):
            formatter.write(f"  streamclient transcribe talk.wav --plugin {_example(plugin)}\n")
    if plugin.options:
        with formatter.section("Options"):
            formatter.write_dl([(option.name, _option(option)) for option in plugin.options])
    with formatter.section("Hooks"):
        formatter.write_dl(
            [(hook, _when(hook)) for hook in plugin.hooks] or [("none", "that is known before it is made")]
        )
    return formatter.getvalue().rstrip()


def _example(plugin: "Found") -> str:
    """Its name with the options it needs, else with the one that matters most."""
    options = [option for option in plugin.options if option.default is None]
    options = options or [option for option in plugin.options if option.name == "path"] or [*plugin.options[:1]]
    written = [
        f"{option.name}={'...' if option.default in (None, '', 'none') else option.default}" for option in options
    ]
    name = plugin.name if plugin.distribution else plugin.origin
    return f"{name}:{','.join(written)}" if written else name


def _when(hook: str) -> str:
    """The first sentence of the hook's documentation."""
    from streamclient.hookspecs import ExtensionHooks, StreamHooks

    spec = getattr(StreamHooks, hook, None) or getattr(ExtensionHooks, hook)
    return _plain((inspect.getdoc(spec) or "").partition("\n")[0])


def _plain(text: str) -> str:
    """A docstring's line for a terminal."""
    return printable(text.replace("`", ""))


def _option(option: "PluginOption") -> str:
    default = option.default
    if default is not None and len(default) > LONGEST_DEFAULT:
        default = f"{default[:LONGEST_DEFAULT]}..."
    said = "required" if default is None else f"default {printable(default) or 'nothing'}"
    return f"{option.type}; {said}{f'. {printable(option.help)}' if option.help else ''}"
