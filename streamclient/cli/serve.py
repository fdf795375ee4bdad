"""The command ``serve``."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    from streamclient.server import LocalServer

__all__ = ["command"]

EPILOG = """
\b
Examples:
  streamclient serve
  streamclient serve --page                            a page to try it out
  streamclient serve --port 0                          any free port
  streamclient serve --engine whisper:model=DIRECTORY  another engine
  STREAMCLIENT_SERVER_KEYS=secret streamclient serve   refuse other keys
  streamclient transcribe talk.wav --url ws://127.0.0.1:8765

Every option can also be set by $STREAMCLIENT_SERVE_ and its name, and in the table [serve] of streamclient.toml.
"""

BEARER = re.compile(r"bearer\s+\S", re.IGNORECASE)
network, work = (grouped(name, "STREAMCLIENT_SERVE") for name in ("Network", "Work"))


@click.command(
    "serve",
    cls=GroupedCommand,
    epilog=EPILOG,
    context_settings={"max_content_width": 100},
)
@network("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@network(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    metavar="N",
    help="Port; 0 for a free one.",
)
@network(
    "--api-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keys to accept, one per line; a temporary token has 'Bearer' before it. Also $STREAMCLIENT_SERVER_KEYS, with"
    " commas. Without any, everybody is served.",
)
@network("--page", is_flag=True, help="Serve a web page that captions a microphone or a file, for trying it out.")
@network(
    "--max-streams", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="Streams at a time."
)
@network("--allow-callbacks", is_flag=True, help="Let clients have their results sent to any address they name.")
@work(
    "--engine",
    default="pocketsphinx",
    show_default=True,
    metavar="NAME[:OPTION=VALUE,...]",
    help="What recognises the speech: pocketsphinx, whisper, vosk, or what an extension brings.",
)
@work("--throttle", type=click.FloatRange(0.1), metavar="X", help="Take audio at X times its speed; the service: 1.25.")
@work(
    "--grace",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Let open streams go on for so long after the first Ctrl-C or SIGTERM.",
)
@config_option("serve", "STREAMCLIENT_SERVE")
@work("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@work("-v", "--verbose", count=True, help="Log more; -vv also tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Run a local server that speaks Deepgram's live protocol (/v1/listen).

    It recognises US English on this machine, with an open recogniser whose quality is not Deepgram's: for work
    without a key or internet, and for tests. Ctrl-C or SIGTERM ends it.
    """
    ctx.ensure_object(Verbosity).level = options["verbose"]
    screen = Screen(sys.stderr, quiet=options["quiet"])
    server = _server(options)
    with Interrupt() as interrupt, server, _log(screen, options["verbose"]):
        locked = " to clients with a key" if server.api_keys or server.access_tokens else ""
        screen.notice(f"serving {server.engine.name} at {server.url}{locked}")
        page = f", or open http{server.url.removeprefix('ws')}/ in a browser" if options["page"] else ""
        screen.notice(f"try: streamclient transcribe FILE --url {server.url}{page}")
        interrupt.wait(None)
        screen.notice("stopping; press Ctrl-C again to end at once")
        server.stop(options["grace"])
    return interrupt.exit_code or DONE


def _server(options: dict[str, Any]) -> "LocalServer":
    from streamclient.server import Behaviour, Limits, LocalServer

    keys = _keys(options["api_key_file"])
    tokens = [key.split(maxsplit=1)[1] for key in keys if BEARER.match(key)]
    return LocalServer(
        engine=options["engine"],
        host=options["host"],
        port=options["port"],
        api_keys=[key for key in keys if not BEARER.match(key)],
        access_tokens=tokens,
        limits=Limits(connections=options["max_streams"]),
        behaviour=Behaviour(throttle=options["throttle"], callbacks=options["allow_callbacks"]),
        page=options["page"],
    )


def _keys(file: Path | None) -> tuple[str, ...]:
    keys = os.environ.get("STREAMCLIENT_SERVER_KEYS", "").split(",")
    if file is not None:
        try:
            keys += file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise OptionsError(f"The key file {file} cannot be read: {error}") from error
    found = tuple(key.strip() for key in keys if key.strip() and not key.startswith("#"))
    if file is not None and not found:
        raise OptionsError(f"The key file {file} holds no key", hint="Write one key per line.")
    return found


@contextmanager
def _log(screen: Screen, verbose: int) -> Iterator[None]:
    """A line for each stream, without asking for it: that is what a server's log is for."""
    with log_to(screen, verbose):
        if not verbose:
            logging.getLogger("streamclient.server").setLevel(logging.INFO)
            logging.getLogger("streamclient.server.websockets").setLevel(logging.CRITICAL)
        yield
