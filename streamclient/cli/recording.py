"""A recording of the plugin ``record``: what its lines tell, and what is added to them."""

import json
from collections import Counter
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
from streamclient_plugins.jsonl_schema import VERSION

__all__ = ["Recording", "lines_of", "read_recording"]

LINES = ".jsonl"
HEAD_BYTES = 200
"""Where a line names its event."""

USELESS = (b'"event":"interim"', b'"event":"utterance"')
DAMAGED: dict[str, Any] = {"event": ""}
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
        with lines.open("rb") as file:
            events = [event for line in file if (event := _event(line)) is not None]
    except OSError as error:
        raise cannot_read(str(lines), error) from error
    about = next((event for event in events if event["event"] == "recording"), None)
    if about is None:
        raise _no_recording(f"No line of {lines} says what was recorded")
    if about.get("v", VERSION) != VERSION:
        raise StreamClientError(
            f"{lines} has lines of version {about['v']}, and this streamclient reads version {VERSION}",
            hint="Update streamclient.",
        )
    try:
        return _recording(lines, about, events)
    except (LookupError, TypeError, ValueError) as error:
        raise _no_recording(f"The lines of {lines} are not those of a recording ({error!r})") from error


def _no_recording(what: str) -> StreamClientError:
    return StreamClientError(what, hint="A recording is made with --plugin record, or plugins=['record'].")


def _event(line: bytes) -> dict[str, Any] | None:
    """What a line tells; ``None`` for what is of no use here, such as interims, which are most of a recording."""
    if any(name in line[:HEAD_BYTES] for name in USELESS) or line.isspace():
        return None
    try:
        event = json.loads(line)
        return event if event["event"] else DAMAGED
    except (ValueError, LookupError, TypeError):
        return DAMAGED


def _recording(lines: Path, about: Mapping[str, Any], events: list[dict[str, Any]]) -> Recording:
    opened = [event["request_id"] for event in events if event["event"] in ("open", "reconnect")]
    later = [event for event in events if event["event"] == "recovered"]
    closed = [event for event in events if event["event"] == "close"]
    heard = tuple(one for event in events if (one := _heard(event)) is not None)
    request_ids = [*filter(None, opened), *(one for event in later for one in event["request_ids"])]
    return Recording(
        lines=lines,
        audio=lines.with_name(Path(str(about["audio"])).name),
        stream=str(about["stream"]),
        endpoint=str(about["path"]),
        parameters=tuple(f"{name}={value}" for name, value in about["parameters"]),
        heard=heard,
        recovered=tuple(_span(event) for event in later),
        request_ids=tuple(dict.fromkeys(request_ids)),
        complete=any(event["complete"] is True and _holds(event["text"], heard) for event in closed),
        damaged=events.count(DAMAGED),
    )


def _holds(text: str, heard: Iterable[Heard]) -> bool:
    """Whether the finals are all of a transcript: while a disk is full, lines are lost."""
    finals = "".join(one.transcript for one in heard if not isinstance(one, UtteranceEnd))
    return Counter("".join(text.split())) == Counter("".join(finals.split()))


def _heard(event: Mapping[str, Any]) -> Heard | None:
    """The value that a line was made of."""
    if event["event"] == "message" and event["type"] == "UtteranceEnd":
        fields = event["message"]
        return UtteranceEnd(fields["last_word_end"], fields["channel"], fields["channels"])
    if event["event"] != "final":
        return None
    words = tuple(map(_word, event["words"]))
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
