"""A recording that lacks something, and what the command recover makes of it.

Its audio encodes its own position, so whoever hears it knows what is missing.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from streamclient import FluxOptions, ListenOptions, Transcript, Utterance, Word
from streamclient.cli import run
from streamclient_plugins.jsonl_schema import RECORDING_SCHEMA
from streamclient_plugins.record import Record
from tests.plugins.conftest import View
from tests.support.messages import final
from tests.support.positions import BLOCK, RATE, assert_spoken, spoken
from tests.support.recorder import options
from tests.support.service import Service

Capture = pytest.CaptureFixture[str]
BLOCKS = 200
"""Blocks of audio where nothing is killed: four seconds."""

SECONDS = BLOCKS * BLOCK / RATE
GAP_FROM = 2.0


def recovered(folder: Path, service: Service, capsys: Capture, *arguments: str) -> dict[str, object]:
    """Recover the recording of a folder; the transcript, as JSON."""
    code = run(["recover", str(folder / "call.jsonl"), "--url", service.url, "-f", "json", *arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    document: dict[str, object] = json.loads(captured.out)
    return document


def words_of(document: dict[str, object], channel: int = 0) -> list[Word]:
    """The words of a channel, in order."""
    utterances = document["utterances"]
    assert isinstance(utterances, list)
    return [Word(**word) for one in utterances if one["channel"] == channel for word in one["words"]]


def assert_complete(document: dict[str, object], seconds: float, channels: int = 1) -> None:
    """Every word that was recorded to its end comes once, in order, at its place; a last one may be cut."""
    assert document["complete"] is True
    for channel in range(channels):
        whole = [word for word in spoken(3000, channel) if word[2] <= seconds]
        words = words_of(document, channel)
        assert_spoken(words[: len(whole)], whole)
        assert [word.word for word in words[len(whole) :]] in ([], ["hm"])


def record(
    folder: Path,
    sent: bytes,
    *,
    asked: ListenOptions | FluxOptions | None = None,
    known: float = GAP_FROM,
    ends: bool = True,
    complete: str = "",
) -> Path:
    """A recording whose finals reach to some second, and whose stream failed then; or was killed."""
    plugin = Record(path=str(folder / "call"))
    view = View(options=asked or options())
    plugin.on_audio(view, sent)
    plugin.on_open(view)
    words = [word for word in spoken(BLOCKS) if word[2] <= known]
    if known:
        plugin.on_final(view, final(" ".join(name for name, *_ in words), 0.0, known, words=words))
    said = (Utterance(0, 0.0, known, complete),) if complete else ()
    plugin.on_close(view, Transcript(said, complete=bool(complete)))
    lines = folder / "call.jsonl"
    if not ends:
        whole = lines.read_bytes()
        lines.write_bytes(whole[: whole.index(b'"event":"close"') + 5])
    return lines


def events(folder: Path) -> list[dict[str, Any]]:
    """The lines of the recording, each as the schema says."""
    found = [json.loads(line) for line in (folder / "call.jsonl").read_text().splitlines()]
    for line in found:
        jsonschema.validate(line, RECORDING_SCHEMA)
    return found
