"""A recording of the plugin ``record``: what its lines tell, and what is added to them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from streamclient.audio import Span
from streamclient.cli.missing import Heard
from streamclient.errors import StreamClientError
from streamclient.messages import Alternative, Results, TurnInfo, UtteranceEnd, Word
from streamclient.sources.chunks import cannot_read, checked_path
from streamclient_plugins.audio_file import SUFFIXES

__all__ = ["Recording", "lines_of", "read_recording"]

LINES = ".jsonl"
WORD_FIELDS = {one.name for one in attrs.fields(Word)}


@frozen
class Recording:
    """What the lines tell.

    Args:
        lines: the file of lines.
        audio: the file of audio beside it.
        stream: id of the recorded stream.
        endpoint: the path of the service that was asked.
        parameters: what it was asked for, as ``name=value``.
        heard: the finals and the ends of utterances.
        recovered: spans that were transcribed later, whatever was in them.
        request_ids: the service's names for the connections.
        complete: whether the stream ended with a complete transcript.
        damaged: number of lines that cannot be read; one that was being written when the process was killed.
    """

    lines: Path
    audio: Path
    stream: str
    endpoint: str
    parameters: tuple[str, ...]
    heard: tuple[Heard, ...] = ()
    recovered: tuple[Span, ...] = ()
    request_ids: tuple[str, ...] = ()
    complete: bool = False
    damaged: int = 0

    @property
    def results(self) -> tuple[Results | TurnInfo, ...]:
        """The finals."""
        return tuple(one for one in self.heard if not isinstance(one, UtteranceEnd))


def lines_of(path: Path) -> Path:
    """The file of lines of a recording of which either file is named.

    Raises:
        SourceError: there is no such file.
        StreamClientError: it is audio without lines beside it.
    """
    if checked_path(path).suffix not in SUFFIXES:
        return path
    lines = path.with_suffix(LINES)
    if not lines.exists():
        raise _no_recording(f"There is no {lines.name} beside {path}")
    return lines


def read_recording(lines: Path) -> Recording:
    """Read the lines of a recording.

    Raises:
        SourceError: they cannot be read.
        StreamClientError: they are not those of a recording.
    """
    try:
        data = lines.read_bytes()
    except OSError as error:
        raise cannot_read(str(lines), error) from error
    events, damaged = _parsed(data.split(b"\n"))
    about = next((event for event in events if event.get("event") == "recording"), None)
    if about is None:
        raise _no_recording(f"No line of {lines} says what was recorded")
    try:
        return _recording(lines, about, events, damaged)
    except (LookupError, TypeError, ValueError) as error:
        raise _no_recording(f"The lines of {lines} are not those of a recording ({error!r})") from error


def _no_recording(what: str) -> StreamClientError:
    return StreamClientError(what, hint="A recording is made with --plugin record, or plugins=['record'].")


def _parsed(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], int]:
    events: list[dict[str, Any]] = []
    damaged = 0
    for line in lines:
        try:
            event = json.loads(line) if line else {}
        except ValueError:
            event = None
        if isinstance(event, dict):
            events.append(event)
        else:
            damaged += 1
    return events, damaged


def _recording(lines: Path, about: Mapping[str, Any], events: list[dict[str, Any]], damaged: int) -> Recording:
    opened = [event["request_id"] for event in events if event.get("event") in ("open", "reconnect")]
    later = [event for event in events if event.get("event") == "recovered"]
    request_ids = [*filter(None, opened), *(one for event in later for one in event["request_ids"])]
    return Recording(
        lines=lines,
        audio=lines.with_name(Path(str(about["audio"])).name),
        stream=str(about["stream"]),
        endpoint=str(about["path"]),
        parameters=tuple(f"{name}={value}" for name, value in about["parameters"]),
        heard=tuple(heard for event in events if (heard := _heard(event)) is not None),
        recovered=tuple(_span(event) for event in later),
        request_ids=tuple(dict.fromkeys(request_ids)),
        complete=any(event.get("complete") is True for event in events if event.get("event") == "close"),
        damaged=damaged,
    )


def _heard(event: Mapping[str, Any]) -> Heard | None:
    """The value that a line was made of."""
    if event.get("event") == "message" and event["type"] == "UtteranceEnd":
        fields = event["message"]
        return UtteranceEnd(fields["last_word_end"], fields["channel"], fields["channels"])
    if event.get("event") != "final":
        return None
    words = tuple(
        Word(**{name: value for name, value in word.items() if name in WORD_FIELDS}) for word in event["words"]
    )
    if "turn" in event:
        return TurnInfo(
            event["turn_event"],
            event["turn"],
            event["start"],
            event["end"],
            event["text"],
            words,
            event["end_of_turn_confidence"],
        )
    return Results(
        start=event["start"],
        duration=event["end"] - event["start"],
        is_final=True,
        speech_final=event["speech_final"],
        from_finalize=event["from_finalize"],
        channel=event["channel"],
        alternatives=(Alternative(event["text"], event["confidence"], words),),
    )


def _word(facts: Mapping[str, Any]) -> Word:
    return Word(**{name: value for name, value in facts.items() if name in WORD_FIELDS})


def _span(event: Mapping[str, Any]) -> Span:
    """No end is that of the audio, which was heard as a whole."""
    return Span(event["start"], float("inf") if event["end"] is None else event["end"])
