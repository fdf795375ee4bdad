"""The service's messages: every known one typed, every other one passed through, nothing ever raised."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient import (
    Alternative,
    ConfigureFailure,
    ConfigureSuccess,
    Connected,
    Entity,
    Message,
    Metadata,
    Results,
    ServerError,
    ServerWarning,
    SpeechStarted,
    TurnInfo,
    UnknownMessage,
    UtteranceEnd,
    Word,
)
from streamclient.core.parsing import PARSERS, parse_message

RESULTS: dict[str, Any] = {
    "type": "Results",
    "channel_index": [1, 2],
    "start": 2.5,
    "duration": 1.25,
    "is_final": True,
    "speech_final": True,
    "from_finalize": False,
    "channel": {
        "alternatives": [
            {
                "transcript": "Two teas, please.",
                "confidence": 0.98,
                "words": [
                    {
                        "word": "two",
                        "start": 2.6,
                        "end": 2.8,
                        "confidence": 0.97,
                        "punctuated_word": "Two",
                        "speaker": 1,
                    },
                    {"word": "teas", "start": 2.8, "end": 3.1, "confidence": 0.98, "language": "en"},
                ],
                "languages": ["en", "fr"],
            }
        ]
    },
    "metadata": {"request_id": "r-1", "model_info": {"name": "n", "version": "v", "arch": "nova-3"}},
    "entities": [
        {"label": "CARDINAL", "value": "2", "raw_value": "two", "confidence": 0.9, "start_word": 0, "end_word": 1}
    ],
}
TURN: dict[str, Any] = {
    "type": "TurnInfo",
    "request_id": "r-2",
    "sequence_id": 44,
    "event": "EndOfTurn",
    "turn_index": 3,
    "audio_window_start": 8.0,
    "audio_window_end": 10.5,
    "transcript": "Yes, do.",
    "words": [{"word": "Yes,", "confidence": 0.9}, {"word": "do.", "confidence": 0.8, "start": 9.0, "end": 9.5}],
    "end_of_turn_confidence": 0.83,
    "trigger": "model",
    "languages": ["en"],
    "languages_hinted": ["en", "de"],
}
SAMPLES: list[tuple[dict[str, Any], Message]] = [
    (
        RESULTS,
        Results(
            start=2.5,
            duration=1.25,
            is_final=True,
            speech_final=True,
            channel=1,
            channels=2,
            alternatives=(
                Alternative(
                    "Two teas, please.",
                    0.98,
                    (Word("two", 2.6, 2.8, 0.97, "Two", 1), Word("teas", 2.8, 3.1, 0.98, language="en")),
                    ("en", "fr"),
                ),
            ),
            entities=(Entity("CARDINAL", "2", "two", 0.9, 0, 1),),
            request_id="r-1",
        ),
    ),
    ({"type": "SpeechStarted", "channel": [0, 2], "timestamp": 4.2}, SpeechStarted(4.2, 0, 2)),
    ({"type": "UtteranceEnd", "channel": [1, 2], "last_word_end": 5.7}, UtteranceEnd(5.7, 1, 2)),
    ({"type": "UtteranceEnd", "channel": [1], "last_word_end": -1}, UtteranceEnd(-1.0, 1, 2)),
    (
        {"type": "Metadata", "request_id": "r", "sha256": "ab", "created": "2026-03-04T10:11:12.345Z", "duration": 12.5,
         "channels": 1, "models": ["m"], "transaction_key": "deprecated"},
        Metadata("r", 12.5, 1, "ab", "2026-03-04T10:11:12.345Z", ("m",)),
    ),
    (
        {"type": "Error", "variant": "SchemaError", "description": "no", "code": "C", "message": "{}"},
        ServerError("no", "SchemaError", "C", "{}"),
    ),
    ({"type": "ConfigureSuccess", "request_id": "r", "keyterms": ["tea"]}, ConfigureSuccess("r")),
    (
        {"type": "ConfigureFailure", "request_id": "r", "code": "INVALID_THRESHOLD", "description": "too high"},
        ConfigureFailure("r", "INVALID_THRESHOLD", "too high"),
    ),
    ({"type": "ConfigureFailure", "error_code": "OLD"}, ConfigureFailure(None, "OLD")),
    ({"type": "Connected", "request_id": "r", "sequence_id": 0}, Connected("r", 0)),
    (
        TURN,
        TurnInfo(
            "EndOfTurn", 3, 8.0, 10.5, "Yes, do.", (Word("Yes,", 0.0, 0.0, 0.9), Word("do.", 9.0, 9.5, 0.8)), 0.83,
            "model", 44, ("en",), "r-2", ("en", "de"),
        ),
    ),
    (
        {"type": "Warning", "request_id": "r", "sequence_id": 14, "code": "C", "description": "odd"},
        ServerWarning("C", "odd", 14, "r"),
    ),
]  # fmt: skip


def parse(message: object) -> Message:
    """Parse what the service would send for this."""
    return parse_message(json.dumps(message))


def results(**changes: Any) -> Message:
    """A result with some fields changed."""
    return parse({**RESULTS, **changes})


@pytest.mark.parametrize(("sent", "message"), SAMPLES, ids=lambda value: type(value).__name__)
def test_each_message_becomes_its_value(sent: dict[str, Any], message: Message) -> None:
    """With every field in its place, the message as it came in raw, and no hidden difference in a hash."""
    parsed = parse(sent)

    assert parsed == message
    assert parsed.raw == sent
    assert hash(parsed) == hash(message)
    assert parse_message(json.dumps(sent).encode()) == message


def test_every_type_of_message_is_tested_and_parsed() -> None:
    """A new message class needs a parser and a sample."""
    assert {type(message) for _, message in SAMPLES} == set(get_args(Message)) - {UnknownMessage}
    assert set(PARSERS) == {sent["type"] for sent, _ in SAMPLES}


class TestResults:
    def test_the_best_reading_is_at_hand(self) -> None:
        """Text, confidence and words of the first alternative."""
        parsed = results()
        assert isinstance(parsed, Results)

        assert (parsed.transcript, parsed.confidence, parsed.end) == ("Two teas, please.", 0.98, 3.75)
        assert [word.text for word in parsed.words] == ["Two", "teas"]

    @pytest.mark.parametrize("channel", [{"alternatives": []}, {}, None])
    def test_a_result_without_alternatives_is_silence(self, channel: object) -> None:
        """Nothing is assumed to be there."""
        parsed = results(channel=channel)
        assert isinstance(parsed, Results)

        assert (parsed.transcript, parsed.confidence, parsed.words) == ("", 0.0, ())

    def test_speech_final_implies_final(self) -> None:
        """A pause was found, so nothing more will come for this span."""
        parsed = results(is_final=False)
        assert isinstance(parsed, Results)

        assert parsed.is_final

    @pytest.mark.parametrize("odd", ["x", {}, [], None, True, float("nan"), 10**400])
    def test_odd_decoration_does_not_cost_a_word(self, odd: object) -> None:
        """Confidence, speaker, language and entities of tomorrow's kind leave the words as they are."""
        word = {
            "word": "two",
            "start": 1,
            "end": 2,
            "confidence": odd,
            "speaker": odd,
            "language": odd if odd != "x" else 1,
        }
        reading = {"transcript": "two", "confidence": odd, "words": [word], "languages": odd}

        parsed = results(channel={"alternatives": [reading]}, entities=[odd], metadata=odd)

        assert isinstance(parsed, Results)
        assert parsed.transcript == "two"
        assert parsed.words == (Word("two", 1.0, 2.0),)
        assert parsed.entities == ()

    def test_a_word_that_cannot_be_understood_costs_only_itself(self) -> None:
        """The text and the other words stay."""
        words = [
            {"no": "word"},
            None,
            {"word": 3},
            {"word": "b", "start": "x"},
            {"word": "two", "start": 1.0, "end": None},
        ]

        parsed = results(channel={"alternatives": [{"transcript": "all of it", "words": words}]})

        assert isinstance(parsed, Results)
        assert parsed.transcript == "all of it"
        assert parsed.words == (Word("two", 1.0, 0.0),)

    def test_unknown_fields_are_kept_in_raw(self) -> None:
        """What is new can be used before this library knows it."""
        parsed = results(mood="sunny")

        assert isinstance(parsed, Results)
        assert parsed.raw["mood"] == "sunny"
        assert "sunny" not in repr(parsed)

    @pytest.mark.parametrize("start", [None, "1", True, float("nan"), float("inf"), 10**400, []])
    def test_a_result_without_a_place_in_time_is_unknown(self, start: object) -> None:
        """A guessed time would put its words in a wrong place."""
        assert results(start=start) == UnknownMessage("Results")


class TestTurnInfo:
    @pytest.mark.parametrize("event", ["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "TomorrowsEvent"])
    def test_only_the_end_of_a_turn_is_final(self, event: str) -> None:
        """Every other event, known or not, may be followed by a change."""
        parsed = parse({**TURN, "event": event})

        assert isinstance(parsed, TurnInfo)
        assert (parsed.event, parsed.is_final) == (event, False)

    def test_a_turn_has_what_a_result_has(self) -> None:
        """A hook can read both alike."""
        turn = parse(TURN)
        assert isinstance(turn, TurnInfo)

        assert (turn.is_final, turn.start, turn.end, turn.channel) == (True, 8.0, 10.5, 0)


class TestUnknown:
    @pytest.mark.parametrize(
        ("text", "message", "raw"),
        [
            ("", None, ""),
            ("not json", None, "not json"),
            ("[1, 2]", None, [1, 2]),
            ("null", None, None),
            ("{}", None, {}),
            ('{"type": 3}', None, {"type": 3}),
            ('{"type": "Tomorrow", "x": 1}', "Tomorrow", {"type": "Tomorrow", "x": 1}),
            ('{"type": "Results"}', "Results", {"type": "Results"}),
            ("[" * 100_000, None, "[" * 100_000),
            ("1" * 5_000 + "e", None, "1" * 5_000 + "e"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_what_is_not_understood_is_passed_through(self, text: str, message: str | None, raw: object) -> None:
        """With what it calls itself and all it said."""
        parsed = parse_message(text)

        assert isinstance(parsed, UnknownMessage)
        assert (parsed.type, parsed.raw) == (message, raw)

    def test_bytes_that_are_no_text_are_passed_through(self) -> None:
        """Undecodable bytes are replaced, not raised."""
        parsed = parse_message(b'{"type": "\xff"}')

        assert isinstance(parsed, UnknownMessage)
        assert parsed.type == "\ufffd"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary() | st.text())
def test_any_frame_becomes_a_message(frame: bytes | str) -> None:
    """Parsing never raises."""
    assert isinstance(parse_message(frame), get_args(Message))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every part of a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with the part at the path replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@given(st.data())
def test_a_message_with_any_part_replaced_becomes_a_message(data: st.DataObject) -> None:
    """Known messages of unknown shape neither raise nor lose the message as it came."""
    sample, _ = data.draw(st.sampled_from(SAMPLES))
    changed = replaced(sample, data.draw(st.sampled_from(places(sample))), data.draw(JSON))

    parsed = parse_message(json.dumps(changed))

    assert isinstance(parsed, get_args(Message))
    assert json.dumps(parsed.raw) == json.dumps(changed)
    hash(parsed)
