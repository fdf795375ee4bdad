"""The command ``transcribe``."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click

from streamclient.cli.exits import UNEXPECTED, Verbosity
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
from streamclient.cli.output import StdoutSinks, caption_style, plan_targets
from streamclient.cli.query import parse_parameters, raw_format, to_options, unknown_parameters
from streamclient.cli.screen import LiveScreen, open_screen
from streamclient.cli.services import choose_service
from streamclient.cli.signals import Interrupt
from streamclient.options import RAW_ENCODINGS
from streamclient.settings import Settings
from streamclient.sources.files import STDIN

__all__ = ["Choice", "command", "run_transcription"]

EPILOG = """
\b
Examples:
  streamclient transcribe talk.wav
  streamclient transcribe talk.wav > talk.txt        captions are still seen
  streamclient transcribe *.wav -f txt -f json -j 4  files, four at a time
  streamclient transcribe talk.wav -f srt -f vtt     files talk.srt, talk.vtt
  streamclient transcribe call.raw --encoding mulaw --sample-rate 8000
  streamclient transcribe https://example.com/talk.mp3
  ffmpeg -i talk.mp4 -f wav - | streamclient transcribe -
  streamclient transcribe - --json < talk.wav | jq 'select(.event == "final")'
  streamclient transcribe talk.wav -o keyterm=Deepgram -o smart_format=false
  streamclient transcribe talk.wav --plugin jsonl:path=talk.jsonl

Every option can also be set by $STREAMCLIENT_ and its name (STREAMCLIENT_MODEL), and in the table [transcribe] of
streamclient.toml. The key comes from $STREAMCLIENT_API_KEY, $DEEPGRAM_API_KEY or such a file, never from an option.
"""

audio, service, output, work = (grouped(name, "STREAMCLIENT") for name in ("Audio", "Service", "Output", "Work"))


@click.command(
    "transcribe",
    cls=GroupedCommand,
    epilog=EPILOG,
    context_settings={"max_content_width": 100},
)
@click.argument("files", metavar="[FILE|URL|-]...", nargs=-1)
@audio(
    "--encoding",
    type=click.Choice(RAW_ENCODINGS),
    metavar="NAME",
    help=f"Encoding of raw audio: {', '.join(RAW_ENCODINGS)}. Not for WAV, MP3 and the like.",
)
@audio("--sample-rate", type=click.IntRange(min=1), metavar="HZ", help="Sample rate of raw audio.")
@audio("--channels", type=click.IntRange(min=1), metavar="N", help="Interleaved channels of raw audio.")
@audio("--realtime", is_flag=True, help="Send at the speed of speech, not as fast as the service takes it.")
@service("-m", "--model", metavar="NAME", help="The model, or the id of a custom one.  [default: nova-3]")
@service("-l", "--language", metavar="TAG", help="Spoken language, for example en-US, or 'multi'.")
@service("--diarize/--no-diarize", default=None, help="Tell speakers apart.")
@service("--interim", is_flag=True, help="Ask for interim results, and put them among the events of --json.")
@service("-o", "--option", metavar="PARAM=VALUE", multiple=True, help="Any parameter of the service; repeatable.")
@service_options
@output_options
@output("--json", "as_json", is_flag=True, help="One JSON object per event and line on standard output, as it comes.")
@work("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Files at a time.")
@plugin_option
@config_option("transcribe", "STREAMCLIENT")
@work("-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error.")
@work("-v", "--verbose", count=True, help="Log what happens; -vv also tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, files: tuple[str, ...], **options: Any) -> int:
    """Print the transcript of audio files, of audio on the web, or of standard input (-).

    WAV and other containers (MP3, FLAC, Ogg, WebM, MP4) say themselves what they are; raw audio needs --encoding,
    --sample-rate and --channels. Standard output carries the transcript and nothing else, an utterance per line, in
    the order of the files. Captions, progress and notices go to standard error.

    Without a key and a --url, a recogniser on this machine transcribes; its quality is not Deepgram's.
    """
    verbosity = ctx.ensure_object(Verbosity)
    verbosity.level = options["verbose"]
    settings: Settings = ctx.meta["settings"]
    return run_transcription(_sources(files), Choice(settings=settings, verbosity=verbosity, **options))


@attrs.frozen(kw_only=True)
class Choice:
    """What the command line, the environment and the files decided, option by option."""

    settings: Settings
    verbosity: Verbosity
    encoding: str | None
    sample_rate: int | None
    channels: int | None
    realtime: bool
    model: str | None
    language: str | None
    diarize: bool | None
    interim: bool
    option: tuple[str, ...]
    url: str | None
    local: bool
    timeout: float | None
    formats: tuple[str, ...]
    as_json: bool
    template: str | None
    output_dir: Path | None
    overwrite: bool
    captions: tuple[str, ...]
    jobs: int
    plugins: tuple[str, ...]
    quiet: bool
    verbose: int

    @property
    def file_formats(self) -> tuple[str, ...]:
        """The formats of ``--format``, each once."""
        return tuple(dict.fromkeys(self.formats))


def _sources(files: tuple[str, ...]) -> tuple[str, ...]:
    if not files:
        raise click.UsageError(
            "There is no audio: name a file, an address, or - for standard input.", click.get_current_context()
        )
    if files.count(STDIN) > 1:
        raise click.UsageError("Standard input can be read only once.", click.get_current_context())
    return files


def run_transcription(sources: Sequence[str], choice: Choice) -> int:
    """Transcribe the sources; gives the exit code."""
    from streamclient.cli.job import Job, Lazy, Plan, combined_exit_code
    from streamclient.cli.running import run_jobs

    targets = _targets(sources, choice)
    to_stdout = {target.format for plan in targets for target in plan if target.path is None}
    parameters = _parameters(choice)
    raw = raw_format(parameters)
    to_options(parameters, raw)  # what is wrong with them is said before any work
    plugins = chosen_plugins(choice.settings, choice.plugins)
    style = caption_style(choice.captions)
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        screen = stack.enter_context(open_screen(quiet=choice.quiet, to_stdout=to_stdout))
        stack.enter_context(log_to(screen, choice.verbose))
        for sentence in unknown_parameters(parameters):
            screen.notice(sentence)
        stdout = StdoutSinks(len(sources), screen, interrupt.stop, separator="\n" if "txt" in to_stdout else "")
        plan = Plan(
            service=Lazy(partial(choose_service, choice, "transcribe", screen, stack)),
            parameters={"interim_results": True, **parameters} if isinstance(screen, LiveScreen) else parameters,
            raw=raw,
            plugins=plugins,
            realtime=choice.realtime,
            interims=choice.interim,
            caption_style=style,
            overwrite=choice.overwrite,
            screen=screen,
            stdout=stdout,
            interrupt=interrupt,
            verbosity=choice.verbosity,
            count=len(sources),
        )
        jobs = [Job(number, spec, targets[number], plan) for number, spec in enumerate(sources)]
        codes = run_jobs(jobs, choice.jobs, interrupt, screen)
    if stdout.gone:
        from streamclient.cli import silence_stdout

        silence_stdout()
        return UNEXPECTED
    return interrupt.exit_code or combined_exit_code(codes)


def _targets(sources: Sequence[str], choice: Choice) -> Any:
    from streamclient.cli.output import Target

    formats = choice.file_formats
    if choice.as_json and not formats:
        return [[Target("jsonl")] for _ in sources]
    directory = choice.output_dir if not choice.as_json else choice.output_dir or Path()
    plans = plan_targets(
        sources, formats or ("txt",), template=choice.template, directory=directory, overwrite=choice.overwrite
    )
    return [[*plan, Target("jsonl")] for plan in plans] if choice.as_json else plans


def _parameters(choice: Choice) -> dict[str, Any]:
    """``-o`` over the other options over the table ``[options]``; with the interims that some of them need."""
    named = {
        name: getattr(choice, name)
        for name in ("model", "language", "encoding", "sample_rate", "channels", "diarize")
        if getattr(choice, name) is not None
    }
    parameters = {**choice.settings.table("options"), **named, **parse_parameters(choice.option)}
    wants_interims = choice.interim or "utterance_end_ms" in parameters
    return {"interim_results": True, **parameters} if wants_interims else parameters
