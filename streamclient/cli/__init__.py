"""The command line: ``streamclient transcribe`` and its kin."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path

import click

from streamclient import __version__
from streamclient.cli.encoding import escape_on_stdout
from streamclient.cli.exits import INTERRUPTED, UNEXPECTED, USAGE, Verbosity, exit_code, report
from streamclient.errors import StreamClientError

__all__ = ["main", "run"]

COMMANDS = {
    "transcribe": "Print the transcript of audio files, of the web, or of standard input.",
    "listen": "Print the transcript of what the microphone hears.",
    "recover": "Complete the transcript of a recording after a crash or a long outage.",
    "serve": "Run a local server that speaks Deepgram's live protocol.",
    "relay": "Stand between a client and a server, to record a session or to break it.",
    "replay": "Play a recorded session again, as a server or through plugins.",
    "plugins": "List the installed plugins, or explain one: its options and hooks.",
    "doctor": "Find out why there is no transcript: check everything between here and it.",
}
"""Every command with its line in the help; its module is imported when it is used."""

HELP = """Live transcription: every transcript of every byte of audio, in order, exactly once.

\b
Examples:
  streamclient transcribe talk.wav              the transcript, printed
  streamclient transcribe *.wav -f txt -f json  files talk.txt, talk.json, ...
  ffmpeg -i talk.mp4 -f wav - | streamclient transcribe -
  streamclient listen                           what the microphone hears
  streamclient serve --port 8765                a server that needs no key
  streamclient plugins                          what --plugin can switch on
  streamclient doctor                           why there is no transcript

With DEEPGRAM_API_KEY set, Deepgram transcribes. Without a key and a --url, a recogniser on this machine does;
its quality is not Deepgram's.

\b
Exit codes:
  0 done    1 error    2 wrong use    3 refused (401, 402, 403)
  4 no connection, or too slow    5 the service failed, or rejected the audio
  6 partly done    130, 143 stopped by a signal
"""


class LazyCommands(click.Group):
    """A group that imports a command's module when it runs, so that ``--version`` costs nothing.

    Extensions are loaded when help is asked for, or a command that is not one of ours.
    """

    @cached_property
    def added(self) -> dict[str, click.Command]:
        """The commands of extensions."""
        from streamclient.extensions import gather  # most command lines need none

        return gather("register_commands", COMMANDS, lambda offered: {"cli": click.Group(commands=offered)})

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands in the order in which a newcomer needs them; then those of extensions."""
        return [*COMMANDS, *self.added]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in COMMANDS:
            return self.added.get(cmd_name)
        command = import_module(f"streamclient.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a wrong one say what was meant."""
        if not args[0].startswith("-") and args[0] not in COMMANDS and args[0] not in self.added:
            ctx.fail(f"There is no command {args[0]!r}.{_meant(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands; ours without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if self.added:
            with formatter.section("Commands of extensions"):
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in self.added.items()])


def _meant(word: str, commands: Sequence[str]) -> str:
    if Path(word).exists() or word == "-":
        return f" To transcribe it: streamclient transcribe {word}"
    close = get_close_matches(word, commands, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" There are {', '.join(commands)}."


@click.group(cls=LazyCommands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """The command line."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code. Every error has been said on stderr.
    """
    verbosity = Verbosity()
    escape_on_stdout()
    try:
        code = main.main(list(arguments), prog_name="streamclient", standalone_mode=False, obj=verbosity)
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        report(error.format_message(), error, verbosity)
        return UNEXPECTED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except StreamClientError as error:
        report(str(error), error, verbosity)
        return exit_code(error)
    except BrokenPipeError:
        silence_stdout()
        return UNEXPECTED
    except OSError as error:  # a disk that is full, a standard output that is closed
        named = f"{error.filename}: " if error.filename else ""
        report(f"{named}{error.strerror or error}.", error, verbosity)
        silence_stdout()
        return UNEXPECTED
    except Exception as error:  # noqa: BLE001 - a defect of ours: no traceback unless asked for
        report(f"{type(error).__name__}: {error}. This is a defect; -vv shows where.", error, verbosity)
        return UNEXPECTED
    return code if isinstance(code, int) else 0


def silence_stdout() -> None:
    """Standard output takes no more: let the interpreter's last flush go nowhere, without a message."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
