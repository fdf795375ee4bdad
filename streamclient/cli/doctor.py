"""The command ``doctor``."""

import json
import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from streamclient.cli.exits import DONE
from streamclient.cli.options import GroupedCommand, grouped
from streamclient.cli.screen import printable

if TYPE_CHECKING:
    from streamclient.cli.checkup import Finding, Subject

__all__ = ["command"]

EPILOG = """
\b
Examples:
  streamclient doctor
  streamclient doctor --url wss://api.eu.deepgram.com
  streamclient doctor --json | jq '.[] | select(.state == "fail")'

The exit code is that of the first thing that fails, or 0.
"""

COLOURS = {"ok": "green", "note": "yellow", "fail": "red"}
INDENT = 20

service, work = grouped("Service", "STREAMCLIENT"), grouped("Work", "STREAMCLIENT")


@click.command("doctor", cls=GroupedCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@service("--url", metavar="URL", help="Base URL of the service, for example ws://127.0.0.1:8765.")
@service("--local", is_flag=True, help="Check the recogniser on this machine, even if there is a key.")
@service(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each step may take.",
)
@work(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings to read instead of the project's streamclient.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of text.")
def command(*, url: str | None, local: bool, timeout: float, config: Path | None, as_json: bool) -> int:
    """Find out why there is no transcript: check everything between here and it.

    The key (which is not shown), the address, the proxy, the name, TCP, TLS, the clock, and a stream without audio to
    the service; then what is installed for decoding and recognising, the plugins, and the room on the disk. What is
    checked is what transcribe would use.
    """
    from streamclient.cli.checkup import findings

    found = findings(_subject(url, local, timeout, config))
    if as_json:
        listed = list(found)
        click.echo(json.dumps([attrs.asdict(finding) for finding in listed], ensure_ascii=False, indent=2))
    else:
        listed = list(_shown(found))
        failed = sum(finding.state == "fail" for finding in listed)
        click.echo(f"\n{failed} of these {'is' if failed == 1 else 'are'} in the way." if failed else "\nAll is well.")
    return next((finding.code for finding in listed if finding.state == "fail"), DONE)


def _subject(url: str | None, local: bool, timeout: float, config: Path | None) -> "Subject":
    """What ``transcribe`` would use."""
    from streamclient.cli.checkup import Subject
    from streamclient.cli.services import find_credentials
    from streamclient.settings import load_settings

    settings = load_settings(config)
    url = url or settings.table("transcribe").get("url")
    api_key, access_token, place = find_credentials(settings)
    return Subject(
        url=url,
        is_local=local or not (url or api_key or access_token),
        api_key=api_key,
        access_token=access_token,
        place=place,
        files=tuple(map(str, settings.files)),
        timeout=timeout,
    )


def _shown(found: "Iterable[Finding]") -> "Iterator[Finding]":
    """Print each finding as soon as it is there."""
    width = max(shutil.get_terminal_size().columns, 2 * INDENT)
    colour = False if os.environ.get("NO_COLOR") else None
    for finding in found:
        mark = click.style(f"{finding.state:>4}", fg=COLOURS[finding.state], bold=finding.state == "fail")
        lines = textwrap.wrap(printable(finding.text), width - INDENT) or [""]
        if finding.hint:
            lines += textwrap.wrap(f"-> {printable(finding.hint)}", width - INDENT, subsequent_indent="   ")
        click.echo(f"{mark}  {finding.name:<{INDENT - 7}} {lines[0]}", color=colour)
        for line in lines[1:]:
            click.echo(" " * INDENT + line, color=colour)
        yield finding
