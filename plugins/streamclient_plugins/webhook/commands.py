"""The commands ``streamclient outbox``: see what waits for a webhook's receiver, try again, throw away, deliver."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from streamclient import plugin_settings
from streamclient_plugins.webhook.outbox import Endpoint, Letter, Outbox
from streamclient_plugins.webhook.plugin import OUTBOX_VARIABLE, Webhook, default_outbox
from streamclient_plugins.webhook.rules import Fate

__all__ = ["outbox"]

PARTLY = 6
"""Exit code: something still waits."""

EPILOG = f"""
The outbox is that of [plugins.webhook] in streamclient.toml, of ${OUTBOX_VARIABLE}, or the one of this user.
A letter is one event on its way to a receiver. Those of a stream are delivered one after the other.
"""


@click.group(epilog=EPILOG, context_settings={"max_content_width": 100})
@click.option(
    "--outbox",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The outbox to look at.",
)
@click.pass_context
def outbox(context: click.Context, path: Path | None) -> None:
    """What the plugin webhook could not deliver yet: list, retry, drop, deliver."""
    context.obj = path


@outbox.command("list")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each letter.")
@click.pass_obj
def list_letters(path: Path | None, *, as_json: bool) -> None:
    """Show the letters that wait, and the dead ones.

    A letter is dead when all its attempts have failed.
    """
    with _opened(path) as box:
        letters = list(box.letters())
        if as_json:
            for letter in letters:
                click.echo(json.dumps(_facts(letter)))
        else:
            _show(letters, box.endpoints())


@outbox.command()
@click.argument("letters", nargs=-1, metavar="[LETTER]...")
@click.option("--all", "every", is_flag=True, help="All letters.")
@click.pass_obj
def retry(path: Path | None, letters: Sequence[str], *, every: bool) -> None:
    """Make letters due now, with all their attempts; dead ones too.

    LETTER is the number or the id that `list` shows. A receiver that has answered 410 Gone gets letters again.
    They are sent by the next stream, or by `streamclient outbox deliver`.
    """
    with _opened(path) as box:
        chosen = _chosen(box, letters, every=every)
        box.retry(chosen, time.time())
    click.echo(f"{_counted(len(chosen))} due now.", err=True)


@outbox.command()
@click.argument("letters", nargs=-1, metavar="[LETTER]...")
@click.option("--all", "every", is_flag=True, help="All letters.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(path: Path | None, letters: Sequence[str], *, every: bool, yes: bool) -> None:
    """Throw letters away; they are never delivered."""
    with _opened(path) as box:
        chosen = _chosen(box, letters, every=every)
        if chosen and not yes and not _confirmed(f"Throw {_counted(len(chosen))} away?"):
            raise click.ClickException("Nothing is thrown away; --yes does not ask.")
        box.drop(chosen)
    click.echo(f"{_counted(len(chosen))} thrown away.", err=True)


@outbox.command()
@click.option("--watch", is_flag=True, help="Stay, and deliver whatever comes, until stopped.")
@click.pass_obj
def deliver(path: Path | None, *, watch: bool) -> int:
    """Deliver what is due, as the plugin would.

    Where to and with which secret is said as for the plugin: in [plugins.webhook] of streamclient.toml, or by
    $STREAMCLIENT_WEBHOOK_URL and $STREAMCLIENT_WEBHOOK_SECRET. Any number of processes may deliver at once.

    Exit code 6: something still waits for its next attempt.
    """
    webhook = _webhook(path)
    with _opened(webhook.path) as box, webhook.delivery(box) as delivery:
        delivered = 0
        while True:
            fate = delivery.deliver_one()
            delivered += fate is Fate.DELIVERED
            if fate is None:
                if not watch:
                    break
                threading.Event().wait(delivery.wait_time())
        left = box.count(webhook.endpoint)
        due = box.next_due(webhook.endpoint)
        others = [endpoint.name for endpoint in box.endpoints() if box.count(endpoint.name)]
    click.echo(f"{_counted(delivered)} delivered, {left} waiting{_when(due)}.", err=True)
    for name in others:
        if name != webhook.endpoint:
            click.echo(f"More is waiting for {name}, which is another url than yours.", err=True)
    return PARTLY if left else 0


def _confirmed(question: str) -> bool:
    """Nobody there to ask is a no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _when(due: float | None) -> str:
    return "" if due is None else f"; the next attempt is at {_clock(due)}"


def _webhook(path: Path | None) -> Webhook:
    settings: dict[str, Any] = dict(plugin_settings("webhook"))
    if path is not None:
        settings["outbox"] = path
    try:
        return Webhook(**settings)
    except (TypeError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _opened(path: Path | None) -> Iterator[Outbox]:
    try:
        path = path or Path(plugin_settings("webhook").get("outbox") or default_outbox()).expanduser()
        box = Outbox(path)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        with box:
            yield box
    except sqlite3.Error as error:
        raise click.ClickException(f"The outbox {path} fails: {error}") from error


def _chosen(box: Outbox, names: Sequence[str], *, every: bool) -> list[int]:
    letters = list(box.letters())
    if every == bool(names):
        raise click.UsageError("Name letters, or say --all.")
    known = {name: letter.number for letter in letters for name in (str(letter.number), letter.id)}
    for name in names:
        if name not in known:
            raise click.UsageError(f"There is no letter {name}; `streamclient outbox list` shows what there is.")
    return sorted({known[name] for name in names} or {letter.number for letter in letters})


def _facts(letter: Letter) -> dict[str, Any]:
    return {
        "number": letter.number,
        "id": letter.id,
        "endpoint": letter.endpoint,
        "stream": letter.stream,
        "event": letter.event,
        "created": letter.created,
        "dead": letter.is_dead,
        "tries": letter.tries,
        "next_at": letter.next_at,
        "error": letter.error,
        "body": json.loads(letter.body),
    }


def _show(letters: Sequence[Letter], endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        own = [letter for letter in letters if letter.endpoint == endpoint.name]
        if own:
            click.echo(f"{endpoint.name}{', which has answered 410 Gone' if endpoint.is_stopped else ''}")
            for row in _table(own):
                click.echo(f"  {row}")
    if not letters:
        click.echo("Nothing waits.", err=True)


def _table(letters: Sequence[Letter]) -> list[str]:
    heads: dict[str, int] = {}
    for letter in letters:
        if not letter.is_dead:
            heads.setdefault(letter.stream, letter.number)
    rows = [("LETTER", "EVENT", "STREAM", "WRITTEN", "TRIES", "NEXT", "LAST ERROR")]
    rows += [
        (
            str(letter.number),
            letter.event,
            letter.stream[:8],
            _clock(letter.created),
            str(letter.tries),
            _next(letter, heads),
            letter.error or "-",
        )
        for letter in letters
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _next(letter: Letter, heads: Mapping[str, int]) -> str:
    """When a letter's turn comes: a time, or the letter that it waits for."""
    if letter.is_dead:
        return "dead"
    head = heads[letter.stream]
    return _clock(letter.next_at) if letter.number == head else f"after {head}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _counted(number: int) -> str:
    return f"{number} letter" if number == 1 else f"{number} letters"
