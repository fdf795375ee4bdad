"""Options in groups, and the one that reads the settings files."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import click

from streamclient.cli.output import FORMATS
from streamclient.settings import Settings, check_names, load_settings

__all__ = [
    "GroupedCommand",
    "GroupedOption",
    "chosen_plugins",
    "config_option",
    "grouped",
    "output_options",
    "plugin_option",
    "service_options",
]

F = TypeVar("F", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *names: Any, group: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group, in the order in which they first come."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(option, "group", "Work"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def grouped(group: str, prefix: str) -> Callable[..., Callable[[F], F]]:
    """``click.option`` for one group; each can be set by an environment variable, ``prefix`` and its long name."""

    def option(*names: str, **settings: Any) -> Callable[[F], F]:
        long = next(name for name in names if name.startswith("--")).partition("/")[0]
        variable = f"{prefix}_{long[2:].replace('-', '_').upper()}"
        return click.option(*names, cls=GroupedOption, group=group, envvar=variable, **settings)

    return option


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order of the help."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_service = grouped("Service", "STREAMCLIENT")
_output = grouped("Output", "STREAMCLIENT")

service_options = _together(
    _service("--url", metavar="URL", help="Base URL of the service, for example ws://127.0.0.1:8765."),
    _service("--local", is_flag=True, help="Use the recogniser on this machine, even if there is a key."),
    _service(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long to wait for a connection (default 10), and at the end for a service that says nothing"
        " (default 30; 600 for the recogniser on this machine).",
    ),
)
"""Who transcribes."""

output_options = _together(
    _output(
        "-f",
        "--format",
        "formats",
        type=click.Choice(FORMATS),
        multiple=True,
        help="Format of the transcript; with several, files are written.  [default: txt]",
    ),
    _output(
        "--out",
        "template",
        metavar="TEMPLATE",
        help="Name of the files, from {stem}, {name}, {parent} and {format}.  [default: {stem}.{format}]",
    ),
    _output(
        "--output-dir",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Write files, and here.  [default: the current directory]",
    ),
    _output("--overwrite", is_flag=True, help="Replace files that exist."),
    _output(
        "--captions",
        metavar="OPTION=VALUE,...",
        multiple=True,
        help="Limits of srt and vtt: preset (netflix, bbc or 608), line_length, lines, min_duration, max_duration, "
        "reading_speed, gap.  [default: preset=netflix]",
    ),
)
"""Where a transcript goes."""

plugin_option = grouped("Work", "STREAMCLIENT")(
    "--plugin",
    "plugins",
    metavar="NAME[:OPTION=VALUE,...]",
    multiple=True,
    help="Switch a plugin on: an installed one, or a .py file; repeatable.",
)


def config_option(table: str, prefix: str) -> Callable[[F], F]:
    """``--config``: reads the settings files, whose ``table`` then gives the defaults of the other options."""

    def read(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
        settings = load_settings(path)
        names = {name: option for option in ctx.command.params for name in _names(option)}
        found = settings.table(table)
        check_names(found, tuple(names), f"The table [{table}] of the settings")
        ctx.default_map = {names[name].name: value for name, value in found.items()}
        ctx.meta["settings"] = settings
        return path

    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=read,
        cls=GroupedOption,
        group="Work",
        envvar=f"{prefix}_CONFIG",
        help="Settings to read instead of the project's streamclient.toml.",
    )


def _names(option: click.Parameter) -> list[str]:
    """What a settings file may call an option: its long name."""
    if not isinstance(option, click.Option) or not option.opts or option.name in ("help", "config"):
        return []
    return [name.removeprefix("--").replace("-", "_") for name in option.opts if name.startswith("--")]


def chosen_plugins(settings: Settings, specs: Sequence[str]) -> list[object]:
    """The plugins of the option and of the tables ``[plugins.NAME]``; the option's words win over the table's."""
    from streamclient.plugins import configure_plugin, parse_plugin

    tables = dict(settings.table("plugins"))
    named = [parse_plugin(spec) for spec in specs]
    wanted = [(plugin.source, {**tables.pop(plugin.source, {}), **plugin.options}) for plugin in named]
    with redirect_stdout(sys.stderr):  # what plugins print while they are imported is no transcript
        return [configure_plugin(name, options) for name, options in [*wanted, *tables.items()]]
