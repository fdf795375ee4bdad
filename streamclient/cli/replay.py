"""The command ``replay``."""

import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import click

from streamclient.cli.exits import DONE, Verbosity, exit_code, report
from streamclient.cli.options import GroupedCommand, chosen_plugins, config_option, grouped
from streamclient.cli.query import FIELDS, parse_parameters
from streamclient.cli.screen import Screen
from streamclient.cli.signals import Interrupt
from streamclient.errors import OptionsError, StreamClientError
from streamclient.settings import Settings

if TYPE_CHECKING:
    from streamclient.client import StreamClient
    from streamclient.options import ListenOptions
    from streamclient.testing import Cassette, RecordedConnection
    from streamclient.testing.entries import Happening

__all__ = ["command"]

EPILOG = """
\b
Examples:
  streamclient replay call.jsonl                          the transcript
  streamclient replay call.jsonl --plugin ./my_plugin.py  through a plugin
  streamclient replay call.jsonl --plugin log --speed 1   as slowly as it was
  streamclient replay call.jsonl --serve                  to any client, at
                                                          ws://127.0.0.1:8767

\b
A cassette is recorded with: streamclient relay --cassette call.jsonl
"""

network, work = (grouped(name, "STREAMCLIENT_REPLAY") for name in ("Network", "Work"))


@click.command("replay", cls=GroupedCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@work(
    "--plugin",
    "plugins",
    metavar="NAME[:OPTION=VALUE,...]",
    multiple=True,
    help="Play it through a plugin: an installed one, or a .py file; repeatable.",
)
@work(
    "--speed",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="X",
    help="Times as fast as it was: 1 for the same pace, 0 for no waiting at all.",
)
@network("--serve", is_flag=True, help="Be the recorded server, until Ctrl-C.")
@network(
    "--port",
    type=click.IntRange(0, 65535),
    default=8767,
    show_default=True,
    metavar="N",
    help="Port; 0 for a free one.",
)
@config_option("replay", "STREAMCLIENT_REPLAY")
@work("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@work("-v", "--verbose", count=True, help="-vv shows tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, file: Path, **options: Any) -> int:
    """Play a recorded session again: as a server to any client, or through plugins.

    Through plugins, each recorded connection is a stream of its own over a real websocket: what the recorded client
    sent is sent again, and the recorded answers come back. The transcript is printed.
    """
    verbosity = ctx.ensure_object(Verbosity)
    verbosity.level = options["verbose"]
    if options["serve"] and options["plugins"]:
        raise click.UsageError("--serve and --plugin do not go together: a server has no plugins.", ctx)
    return _replay(file, Choice(settings=ctx.meta["settings"], verbosity=verbosity, **options))


def _or_unbounded(speed: float) -> float:
    return speed if speed > 0 else inf  # which is right for NaN, too


@attrs.frozen(kw_only=True)
class Choice:
    """What the command line, the environment and the files decided."""

    settings: Settings
    verbosity: Verbosity
    plugins: Sequence[str]
    speed: float = attrs.field(converter=_or_unbounded)
    serve: bool
    port: int
    quiet: bool
    verbose: int


def _replay(file: Path, choice: Choice) -> int:
    from streamclient.testing import Cassette, CassetteError

    cassette = Cassette.read(file)
    if not cassette.connections:
        raise CassetteError(f"{file} holds no connection: nobody called while it was recorded")
    screen = Screen(sys.stderr, quiet=choice.quiet)
    with Interrupt() as interrupt:
        if choice.serve:
            return _serve(cassette, choice, screen, interrupt)
        plugins = chosen_plugins(choice.settings, choice.plugins)
        codes = [
            _play(number, connection, plugins, choice, interrupt)
            for number, connection in enumerate(cassette.connections)
            if not interrupt.requested
        ]
        return interrupt.exit_code or max(codes, default=DONE)


def _serve(cassette: "Cassette", choice: Choice, screen: Screen, interrupt: Interrupt) -> int:
    from streamclient.testing import ReplayServer

    with ReplayServer(cassette, choice.speed, port=choice.port) as server:
        screen.notice(f"replaying {len(cassette.connections)} connections at {server.url}")
        interrupt.wait(None)
    return interrupt.exit_code or DONE


def _play(
    number: int,
    connection: "RecordedConnection",
    plugins: Sequence[object | str],
    choice: Choice,
    interrupt: Interrupt,
) -> int:
    """Play one connection as a stream; what the recorded client met is met again, and said."""
    from streamclient.client import StreamClient
    from streamclient.testing import Cassette, ReplayServer

    with ReplayServer(Cassette((connection,)), choice.speed, repeats=False) as server:
        options = options_of(connection.request.path)
        client = StreamClient(options, url=server.url, api_key="replayed", reconnect=None, plugins=plugins)
        try:
            with client:
                _send(client, connection, choice.speed, interrupt)
                if interrupt.requested:
                    client.abort()
        except StreamClientError as error:
            report(f"connection {number}: {error}", error, choice.verbosity)
            return exit_code(error)
        finally:
            for utterance in client.transcript.utterances:
                click.echo(utterance.text)
    return DONE


def options_of(path: str) -> "ListenOptions":
    """The options of a recorded request.

    Raises:
        OptionsError: it was for another endpoint, or its options make no sense.
    """
    from streamclient.options import ListenOptions

    url = urlsplit(path)
    if url.path != ListenOptions.path:
        raise OptionsError(f"The recorded client spoke {url.path}; only {ListenOptions.path} is played through plugins")
    parameters = parse_parameters(f"{name}={value}" for name, value in parse_qsl(url.query, keep_blank_values=True))
    known = {name: value for name, value in parameters.items() if name in FIELDS}
    extra = {name: value for name, value in parameters.items() if name not in FIELDS}
    return ListenOptions(**known, extra_query=extra)


def _send(client: "StreamClient", connection: "RecordedConnection", speed: float, interrupt: Interrupt) -> None:
    """Send what the recorded client sent, when it did."""
    from streamclient.testing.entries import Accepted

    began = next((entry.at for entry in connection.entries if isinstance(entry.what, Accepted)), 0.0)
    now = began
    for entry in connection.entries:
        if entry.at > now and interrupt.wait((entry.at - now) / speed):
            return
        now = max(now, entry.at)
        _do(client, entry.what)


def _do(client: "StreamClient", what: "Happening") -> None:
    from streamclient.testing.entries import Audio, Control
    from streamclient.testing.mishaps import parse

    if isinstance(what, Audio):
        client.send(what.data)
    elif isinstance(what, Control) and isinstance(control := parse(what.text), dict):
        fields = {name: value for name, value in control.items() if name != "type"}
        if control.get("type") == "Finalize":
            client.finalize(**fields)
        elif control.get("type") == "Configure":
            client.configure(**fields)
