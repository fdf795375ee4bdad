"""The command ``search``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from streamclient import OptionsError, StreamClientError, plugin_settings
from streamclient_plugins.sqlite.plugin import DEFAULT_PATH
from streamclient_plugins.sqlite.search import Hit, search
from streamclient_plugins.template import clock_time
from streamclient_plugins.text import label_of

__all__ = ["command"]

NOTHING_FOUND = 1
"""As grep has it; what goes wrong is 2."""

WINDOW = 60
"""Characters of an utterance to show before and after what was found."""

EPILOG = """
\b
Examples:
  streamclient transcribe *.wav --plugin sqlite  keep them in transcripts.db
  streamclient search "invoice number"           the words next to each other
  streamclient search invoice number             both words in one utterance
  streamclient search "invoic*" --context 1      any ending, with context
  streamclient search invoice --json | jq .time

\b
Exit codes:
  0 found    1 nothing found    2 wrong use, or no database
"""


@click.command(
    "search",
    short_help="Find the moment something was said in past transcripts.",
    epilog=EPILOG,
    context_settings={"max_content_width": 100},
)
@click.argument("phrases", metavar="PHRASE...", nargs=-1, required=True)
@click.option(
    "-d",
    "--database",
    type=click.Path(path_type=Path),
    envvar="STREAMCLIENT_DATABASE",
    metavar="FILE",
    help=f"Where the plugin sqlite keeps transcripts.  [default: its path in the settings, else {DEFAULT_PATH}]",
)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Show so many at most.")
@click.option(
    "-C", "--context", type=click.IntRange(min=0), default=0, metavar="N", help="Show N utterances before and after."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def command(*, phrases: tuple[str, ...], database: Path | None, limit: int | None, context: int, as_json: bool) -> int:
    """Find the moment something was said, in transcripts that the plugin sqlite has kept.

    All phrases must be in one utterance; capitals, accents and punctuation make no difference. The newest transcripts
    come first.
    """
    place = database or Path(str(plugin_settings("sqlite").get("path", DEFAULT_PATH)))
    found = False
    for hit in _search(place, phrases, limit, context):
        if context and found and not as_json:
            click.echo("--")
        click.echo(_json(hit) if as_json else _text(hit))
        found = True
    return 0 if found else NOTHING_FOUND


def _search(place: Path, phrases: tuple[str, ...], limit: int | None, context: int) -> Iterator[Hit]:
    try:
        yield from search(place, *phrases, limit=limit, context=context)
    except OptionsError as error:
        hint = error.hint or "Name one with --database; streamclient transcribe --plugin sqlite makes one."
        raise OptionsError(error.message, hint=hint) from error
    except StreamClientError as error:
        raise OptionsError(error.message, hint=error.hint) from error


def _text(hit: Hit) -> str:
    name = click.style(hit.source or hit.stream_id, fg="magenta")
    moment = click.style(clock_time(hit.time), fg="green")
    label = label_of(hit.utterance, multichannel=hit.multichannel)
    found = f"{name}  {hit.opened_at[:10]}  {moment}  {f'{label}: ' if label else ''}{_excerpt(hit)}"
    return "\n".join([*(f"    {text}" for text in hit.before), found, *(f"    {text}" for text in hit.after)])


def _excerpt(hit: Hit) -> str:
    """What was found, bold, with some words around."""
    text = hit.utterance.text
    begin = _word_start(text, hit.marks[0][0] - WINDOW)
    end = _word_end(text, hit.marks[-1][1] + WINDOW)
    pieces = ["…" if begin else ""]
    for left, right in hit.marks:
        pieces += [text[begin:left], click.style(text[left:right], bold=True, fg="red")]
        begin = right
    return "".join([*pieces, text[begin:end], "…" if end < len(text) else ""])


def _word_start(text: str, place: int) -> int:
    return text.rfind(" ", 0, place) + 1 if place > 0 else 0


def _word_end(text: str, place: int) -> int:
    space = text.find(" ", place)
    return space if space >= 0 and place < len(text) else len(text)


def _json(hit: Hit) -> str:
    facts: dict[str, Any] = {
        "source": hit.source,
        "stream_id": hit.stream_id,
        "opened_at": hit.opened_at,
        "time": hit.time,
        "start": hit.utterance.start,
        "end": hit.utterance.end,
        "channel": hit.utterance.channel,
        "speaker": hit.utterance.speaker,
        "text": hit.utterance.text,
        "found": [hit.utterance.text[begin:end] for begin, end in hit.marks],
        "before": list(hit.before),
        "after": list(hit.after),
    }
    return json.dumps(facts, ensure_ascii=False)
