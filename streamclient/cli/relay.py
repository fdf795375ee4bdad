"""The command ``relay``."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamclient.cli.exits import DONE, Verbosity
from streamclient.cli.logs import log_to
from streamclient.cli.options import GroupedCommand, config_option, grouped
from streamclient.cli.screen import Screen
from streamclient.cli.signals import Interrupt
from streamclient.errors import OptionsError

if TYPE_CHECKING:
    from streamclient.testing import Fault
    from streamclient.testing.entries import Entry

__all__ = ["command"]

DEEPGRAM = "wss://api.deepgram.com"
EPILOG = """
\b
Examples:
  Record what a client (here this one) and Deepgram say to each other:
    streamclient relay --cassette call.jsonl
    streamclient transcribe talk.wav --url ws://127.0.0.1:8766
  Break connections to another server:
    streamclient relay --faults faults.json --url ws://127.0.0.1:8765
  Play a cassette to any client:
    streamclient replay call.jsonl --serve

\b
A file of faults is a list of connections, each a list of faults:
  [
    [{"fault": "Reset", "after": {"what": "finals", "count": 1}}],
    [{"fault": "Refuse", "status": 503}]
  ]
"""

network, work = (grouped(name, "STREAMCLIENT_RELAY") for name in ("Network", "Work"))


@click.command("relay", cls=GroupedCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@network("--url", metavar="URL", help=f"Base URL of the server behind; also $STREAMCLIENT_URL.  [default: {DEEPGRAM}]")
@network(
    "--port",
    type=click.IntRange(0, 65535),
    default=8766,
    show_default=True,
    metavar="N",
    help="Port; 0 for a free one.",
)
@work(
    "--cassette",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Record everything here, without credentials.",
)
@work(
    "--audio",
    type=click.Choice(["whole", "hash"]),
    default="whole",
    show_default=True,
    help="Keep the audio, or only its length and hash.",
)
@work(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Let these faults happen, a list for each connection.",
)
@config_option("relay", "STREAMCLIENT_RELAY")
@work("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@work("-v", "--verbose", count=True, help="-vv shows tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Stand between any client and a server: record what they say, or break their connections.

    Give the client ws://127.0.0.1:8766 as its server. Its key is handed on to the server behind, and goes into no file.
    The recording, a cassette, is what a bug report needs. Ctrl-C ends the relay.
    """
    ctx.ensure_object(Verbosity).level = options["verbose"]
    return _relay(_upstream(options["url"]), options)


def _upstream(url: str | None) -> str:
    return url or os.environ.get("STREAMCLIENT_URL") or DEEPGRAM


def _relay(upstream: str, options: dict[str, Any]) -> int:
    from streamclient.testing import CassetteWriter, Relay

    screen = Screen(sys.stderr, quiet=options["quiet"])
    schedule = _faults(options["faults"])
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        stack.enter_context(log_to(screen, options["verbose"]))
        recorders: list[Callable[[Entry], None]] = [Notices(screen)]
        if options["cassette"]:
            recorders.append(stack.enter_context(CassetteWriter(options["cassette"], options["audio"])))
        relay = stack.enter_context(Relay(upstream, schedule, recorders, port=options["port"], remembers=False))
        screen.notice(f"relaying {relay.url} to {upstream}")
        interrupt.wait(None)
    if options["cassette"]:
        screen.notice(f"recorded {len(relay.calls)} connections in {options['cassette']}")
    return interrupt.exit_code or DONE


def _faults(path: Path | None) -> "list[list[Fault]]":
    from streamclient.testing.faults import from_json

    if path is None:
        return []
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise OptionsError(f"The faults in {path} cannot be read: {error}") from error


class Notices:
    """A line for each connection that begins or ends.

    Args:
        screen: where to say it.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __call__(self, entry: "Entry") -> None:
        """Called for everything that happens."""
        from streamclient.testing.entries import Ended, Requested

        what = entry.what
        if isinstance(what, Requested):
            self._screen.notice(f"connection {entry.connection}: {what.path.partition('?')[0]}")
        elif isinstance(what, Ended):
            self._screen.notice(f"connection {entry.connection}: {what.how} after {entry.at:.1f} s")
