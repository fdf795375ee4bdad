"""The plugin jsonl: every event as one line of strict JSON that fits the published schema."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclient import Closed, Opened, Transcript, UnknownMessage
from streamclient_plugins.jsonl import JsonLines
from streamclient_plugins.jsonl_schema import EVENTS, SCHEMA
from tests.plugins.conftest import Play, View


def refuse_constant(name: str) -> Any:
    """NaN and Infinity are not JSON."""
    raise AssertionError(name)


def lines(path: Path | str = "stream-1.jsonl") -> list[dict[str, Any]]:
    """The lines of a file, each checked against the schema."""
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    parsed = [json.loads(line, parse_constant=refuse_constant) for line in Path(path).read_bytes().split(b"\n")[:-1]]
    for line in parsed:
        validator.validate(line)
    return parsed


def test_every_event_becomes_a_line_of_the_schema(play: Play) -> None:
    """In order, each with the version, the stream, the time and its facts."""
    before = datetime.now(timezone.utc) - timedelta(milliseconds=1)

    assert play("jsonl") == []

    written = lines()
    assert [line["event"] for line in written] == [
        "open", "message", "interim", "final", "utterance", "final", "message", "message", "interim", "message",
        "final", "disconnect", "reconnect", "plugin_error", "message", "error", "close",
    ]  # fmt: skip
    assert {(line["v"], line["stream"]) for line in written} == {(1, "stream-1")}
    for line in written:
        assert before <= datetime.fromisoformat(line["time"].replace("Z", "+00:00")) <= datetime.now(timezone.utc)


def test_every_event_of_the_schema_is_written(play: Play) -> None:
    """The schema promises nothing that does not come."""
    play("jsonl")

    assert {line["event"] for line in lines()} == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_the_schema_requires_what_it_names(play: Play, event: str) -> None:
    """A line without one of its facts does not fit."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    play("jsonl")
    line = next(line for line in lines() if line["event"] == event)

    for fact in ["v", "stream", "time", "event", *EVENTS[event]["required"]]:
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid({key: line[key] for key in line if key != fact})


def test_facts_are_in_their_places(play: Play) -> None:
    """What a reader wants is at the top of a line."""
    play("jsonl")
    _, speech, interim, final, utterance, *_, turn_end, disconnect, _, failed, _, _, close = lines()

    assert (speech["type"], speech["message"]["timestamp"], speech["raw"]["timestamp"]) == ("SpeechStarted", 0.9, 0.4)
    assert (interim["text"], interim["start"], interim["end"], interim["channel"]) == ("two", 0.5, 1.5, 1)
    assert (final["text"], final["speech_final"], final["confidence"]) == ("Two teas.", True, 0.6)
    assert final["words"] == [
        {"text": "Two", "word": "two", "start": 1.0, "end": 1.25, "confidence": 0.5, "punctuated_word": "Two",
         "speaker": 1, "language": "en"},
        {"text": "teas", "word": "teas", "start": 1.25, "end": 2.0, "confidence": 0.75},
    ]  # fmt: skip
    assert (utterance["index"], utterance["text"], utterance["speaker"]) == (0, "Two teas.", 1)
    assert (turn_end["turn"], turn_end["turn_event"], turn_end["text"]) == (0, "EndOfTurn", "and so")
    assert disconnect["error"] == {"type": "ConnectionLost", "message": "The connection broke."}
    assert (failed["plugin"], failed["hook"], failed["error"]["message"]) == ("other", "on_final", "a bug")
    assert (close["text"], close["complete"], close["gaps"]) == ("Two teas.", False, [{"start": 3.0, "end": 3.5}])


def test_what_is_not_json_becomes_null(play: Play) -> None:
    """A service that sends NaN does not spoil the file, and no odd character does."""
    play("jsonl")

    tomorrow = next(line for line in lines() if line.get("type") == "UnknownMessage")

    assert tomorrow["raw"]["odd"] == [None, "\ud800", "\u2028"]


def test_interims_can_be_left_out(play: Play) -> None:
    """They are most of the lines and all superseded."""
    play("jsonl:interims=false")

    assert "interim" not in {line["event"] for line in lines()}


def test_letters_of_all_languages_stay_readable(play: Play) -> None:
    """The file is UTF-8."""
    play("jsonl:path=x", [Opened(), UnknownMessage("Grüße, 世界"), Closed(Transcript())])

    assert "Grüße, 世界" in Path("x").read_text("utf-8")


@settings(max_examples=25)  # each writes a file
@given(
    st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_message_is_one_line(tmp_path_factory: pytest.TempPathFactory, raw: object) -> None:
    """Whatever the service sends, a line is a line."""
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    plugin = JsonLines(path=str(path).replace("{", "{{"))
    plugin.on_open(View())
    plugin.on_message(View(), UnknownMessage("any", raw))
    plugin.on_close(View(), Transcript())

    assert [line["event"] for line in lines(path)] == ["open", "message", "close"]
