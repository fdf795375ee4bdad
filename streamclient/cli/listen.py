"""The command ``listen``."""

from typing import Any

import click

from streamclient.cli.exits import DONE, Verbosity
from streamclient.cli.options import (
    GroupedCommand,
    config_option,
    grouped,
    output_options,
    plugin_option,
    service_options,
)
from streamclient.cli.transcribe import Choice, run_transcription
from streamclient.settings import Settings
from streamclient.sources.files import MICROPHONE

__all__ = ["command"]

EPILOG = """
\b
Examples:
  streamclient listen
  streamclient listen > notes.txt       captions are still seen
  streamclient listen -f vtt > live.vtt
  streamclient listen --plugin sqlite   keep it for streamclient search
  streamclient listen --list            which microphones there are
  streamclient listen --device USB --sample-rate 48000
"""

audio, service, output, work = (grouped(name, "STREAMCLIENT") for name in ("Audio", "Service", "Output", "Work"))


def _list_devices(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from streamclient.sources.microphone import describe_devices

        click.echo(describe_devices() or "There is no sound device.")
        ctx.exit(DONE)


@click.command("listen", cls=GroupedCommand, epilog=EPILOG, context_settings={"max_content_width": 100})
@audio("--device", metavar="NAME", help="The microphone: its number, or a part of its name.  [default: the system's]")
@audio("--sample-rate", type=click.IntRange(min=1), metavar="HZ", default=16000, show_default=True, help="Sample rate.")
@audio("--channels", type=click.IntRange(min=1), metavar="N", default=1, show_default=True, help="Channels.")
@audio(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_devices,
    help="List the sound devices, and exit.",
)
@service("-m", "--model", metavar="NAME", help="The model, or the id of a custom one.  [default: nova-3]")
@service("-l", "--language", metavar="TAG", help="Spoken language, for example en-US, or 'multi'.")
@service("--diarize/--no-diarize", default=None, help="Tell speakers apart.")
@service("--interim", is_flag=True, help="Ask for interim results, and put them among the events of --json.")
@service("-o", "--option", metavar="PARAM=VALUE", multiple=True, help="Any parameter of the service; repeatable.")
@service_options
@output_options
@output("--json", "as_json", is_flag=True, help="One JSON object per event and line on standard output, as it comes.")
@plugin_option
@config_option("listen", "STREAMCLIENT")
@work("-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error.")
@work("-v", "--verbose", count=True, help="Log what happens; -vv also tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, device: str | None, **options: Any) -> int:
    """Print the transcript of what the microphone hears, until Ctrl-C.

    What was said before Ctrl-C is still transcribed; a second one ends at once. Standard output carries the transcript
    and nothing else; captions and notices go to standard error.

    Without a key and a --url, a recogniser on this machine transcribes; its quality is not Deepgram's.
    """
    verbosity = ctx.ensure_object(Verbosity)
    verbosity.level = options["verbose"]
    settings: Settings = ctx.meta["settings"]
    choice = Choice(settings=settings, verbosity=verbosity, encoding="linear16", realtime=False, jobs=1, **options)
    return run_transcription([MICROPHONE + (device or "")], choice)
