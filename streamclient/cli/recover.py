"""The command ``recover``."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs
import click

from streamclient.audio import Span
from streamclient.cli.exits import DONE, PARTLY, UNEXPECTED, Verbosity, exit_code, report
from streamclient.cli.logs import log_to
from streamclient.cli.options import (
    GroupedCommand,
    chosen_plugins,
    config_option,
    grouped,
    output_options,
    plugin_option,
    service_options,
)
from streamclient.cli.output import (
    FileSink,
    Sink,
    StdoutSinks,
    Target,
    caption_style,
    make_writer,
    plan_targets,
)
from streamclient.cli.query import parse_parameters, unknown_parameters
from streamclient.cli.screen import Screen, open_screen
from streamclient.cli.services import Service, choose_service, send_all
from streamclient.cli.signals import Interrupt
from streamclient.errors import OptionsError, StreamClientError
from streamclient.options import ListenOptions
from streamclient.settings import Settings
from streamclient.sources.chunks import cannot_read

if TYPE_CHECKING:
    from streamclient.cli.recording import Recording
    from streamclient.client import StreamClient
    from streamclient.events import Transcript

__all__ = ["command"]

EPILOG = """
\b
Examples:
  streamclient transcribe - --plugin record:path=call ...
  streamclient recover call.jsonl              what is missing; then all of it
  streamclient recover call.wav -f txt -f srt  either of the two files will do
"""

work = grouped("Work", "STREAMCLIENT")
changed = grouped("Service", "STREAMCLIENT_RECOVER")
"""What is set for everything else must not change a recording's own parameters."""


@click.command("recover", cls=GroupedCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("recording", type=click.Path(path_type=Path))
@changed("-m", "--model", metavar="NAME", help="Another model than the recorded one.")
@changed("-l", "--language", metavar="TAG", help="Another language than the recorded one.")
@changed("--diarize/--no-diarize", default=None, help="Tell speakers apart, or not.")
@changed("-o", "--option", metavar="PARAM=VALUE", multiple=True, help="Any parameter of the service; repeatable.")
@service_options
@output_options
@plugin_option
@config_option("recover", "STREAMCLIENT")
@work("-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error.")
@work("-v", "--verbose", count=True, help="Log what happens; -vv also tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, recording: Path, **options: Any) -> int:
    """Complete the transcript of a recording that the plugin record made.

    Only audio that has no transcript yet is sent, because of a crash, a kill or an outage that lasted too long. What is
    recognised is added to the recording, so that a second run has nothing to send. Then the whole transcript is
    printed. The parameters are the recorded ones, unless an option changes them.
    """
    verbosity = ctx.ensure_object(Verbosity)
    verbosity.level = options["verbose"]
    settings: Settings = ctx.meta["settings"]
    return _recover(recording, Choice(settings=settings, verbosity=verbosity, **options))


@attrs.frozen(kw_only=True)
class Choice:
    """What the command line, the environment and the files decided, option by option."""

    settings: Settings
    verbosity: Verbosity
    model: str | None
    language: str | None
    diarize: bool | None
    option: tuple[str, ...]
    url: str | None
    local: bool
    timeout: float | None
    formats: tuple[str, ...]
    template: str | None
    output_dir: Path | None
    overwrite: bool
    captions: tuple[str, ...]
    plugins: tuple[str, ...]
    quiet: bool
    verbose: int

    @property
    def changes(self) -> dict[str, Any]:
        """The parameters that are not to be the recorded ones."""
        named = {name: getattr(self, name) for name in ("model", "language", "diarize")}
        return {name: value for name, value in named.items() if value is not None} | parse_parameters(self.option)


def _recover(path: Path, choice: Choice) -> int:
    from streamclient.cli.recording import lines_of, read_recording

    lines = lines_of(path)
    with ExitStack() as stack:
        stack.enter_context(alone_with(lines))
        recording = read_recording(lines)
        if recording.endpoint != ListenOptions.path:
            raise StreamClientError(f"{lines} was recorded from {recording.endpoint}, which recover does not speak yet")
        targets = _targets(recording, choice)
        interrupt = stack.enter_context(Interrupt())
        to_stdout = {target.format for target in targets if target.path is None}
        screen = stack.enter_context(open_screen(quiet=choice.quiet, to_stdout=to_stdout))
        stack.enter_context(log_to(screen, choice.verbose))
        stdout = StdoutSinks(1, screen, interrupt.stop)
        work = Work(recording, choice, screen, interrupt, stack)
        code = work.run()
        work.write(targets, stdout)
    if stdout.gone:
        from streamclient.cli import silence_stdout

        silence_stdout()
        return UNEXPECTED
    return interrupt.exit_code or code


def _targets(recording: "Recording", choice: Choice) -> list[Target]:
    (targets,) = plan_targets(
        [str(recording.audio)],
        tuple(dict.fromkeys(choice.formats)) or ("txt",),
        template=choice.template,
        directory=choice.output_dir,
        overwrite=choice.overwrite,
    )
    for target in targets:
        if target.path and target.path.resolve() in (recording.lines.resolve(), recording.audio.resolve()):
            raise OptionsError(f"{target.path} is part of the recording", hint="Use another --output-dir or --out.")
    return targets


@contextmanager
def alone_with(lines: Path) -> Iterator[None]:
    """While nobody else writes or completes the same recording.

    Raises:
        StreamClientError: somebody does.
        SourceError: the file cannot be read.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with _opened(lines) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StreamClientError(
                f"{lines} is in use: it is still being recorded, or being recovered", hint="Wait for the end of that."
            ) from error
        yield


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise cannot_read(str(path), error) from error


class Work:
    """One recording, and the person who waits for it.

    Args:
        recording: what its lines tell.
        choice: what is asked for.
        screen: for notices and progress.
        interrupt: the wish to stop.
        stack: closes what is opened.
    """

    def __init__(
        self, recording: "Recording", choice: Choice, screen: Screen, interrupt: Interrupt, stack: ExitStack
    ) -> None:
        from streamclient.cli.recovery import Recovery
        from streamclient.cli.tracks import open_track

        self._name = recording.lines.name
        self._choice = choice
        self._style = caption_style(choice.captions)
        self._plugins()  # what is wrong with them is said before any work
        self._screen = screen
        self._interrupt = interrupt
        self._stack = stack
        self._service: Service | None = None
        for sentence in unknown_parameters(choice.changes):
            screen.notice(sentence)
        if recording.damaged:
            screen.notice(f"lines of {self._name} that are cut short, and left out: {recording.damaged}")
        # Decoding takes a while, and what is complete needs no audio.
        track = None if recording.complete else open_track(recording.audio, screen.notice)
        if track is not None:
            stack.callback(track.file.close)
        parameters = parse_parameters(recording.parameters) | choice.changes
        self._recovery = Recovery(recording, track, parameters, partial(screen.progress, 0))

    def run(self) -> int:
        """Complete it, and say what was missing and what was found; the exit code."""
        gaps = self._recovery.gaps()
        if not gaps:
            self._screen.notice(f"nothing is missing in {self._name}")
            return DONE
        self._screen.notice(f"there is no transcript of {_shown(gaps)} of {self._name}; transcribing that")
        code = self._transcribe()
        left = self._recovery.gaps()
        if left:
            what_next = "the same command goes on from there" if self._recovery.audible() else "there is no audio of it"
            self._screen.notice(f"still missing: {_shown(left)}; {what_next}")
            return code or PARTLY
        if code:
            return code
        self._screen.notice(f"complete now, also in {self._name}")
        return PARTLY if self._recovery.plugin_errors else DONE

    def write(self, targets: Sequence[Target], stdout: StdoutSinks) -> None:
        """Write the whole transcript."""
        transcript = self._recovery.transcript()
        for target in targets:
            file = None if target.path is None else FileSink(target.path, self._choice.overwrite)
            self._write(target.format, stdout.sink(0) if file is None else file, transcript)
            if file is not None:
                file.close()
                self._screen.notice(f"wrote {file.path}")
        stdout.finish(0)

    def _write(self, format_name: str, sink: Sink, transcript: "Transcript") -> None:
        recovery = self._recovery
        if format_name == "jsonl":
            sink("".join(f"{line}\n" for line in recovery.lines()))
            return
        name, multichannel = str(recovery.recording.audio), bool(recovery.options.multichannel)
        make_writer(format_name, sink, source=name, style=self._style, multichannel=multichannel).end(transcript)

    def _transcribe(self) -> int:
        self._screen.start(0, self._name, None if self._recovery.track is None else self._recovery.duration)
        try:
            self._recovery.run(self._connect, self._send)
        except StreamClientError as error:
            report(str(error), error, self._choice.verbosity, say=self._screen.say)
            return exit_code(error)
        finally:
            self._screen.finish(0)
        return DONE

    def _connect(self, options: ListenOptions, listener: object) -> "StreamClient":
        if self._service is None:
            self._service = choose_service(self._choice, "recover", self._screen, self._stack)
        return self._service.client(options, [listener, *self._plugins()])

    def _plugins(self) -> list[object]:
        """Those that are named here: what is switched on for new streams, a recording of them perhaps, stays off."""
        from streamclient.plugins import parse_plugin

        named = {parse_plugin(spec).source for spec in self._choice.plugins}
        tables = {name: table for name, table in self._choice.settings.table("plugins").items() if name in named}
        settings = attrs.evolve(self._choice.settings, tables={"plugins": tables})
        return chosen_plugins(settings, self._choice.plugins)

    def _send(self, client: "StreamClient", chunks: Iterable[bytes]) -> bool:
        return send_all(client, chunks, self._interrupt)


def _shown(gaps: Sequence[Span]) -> str:
    return ", ".join(
        f"{gap.start:.1f} s to the end" if gap.end == float("inf") else f"{gap.start:.1f} to {gap.end:.1f} s"
        for gap in gaps
    )
