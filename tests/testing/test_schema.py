"""Our server says nothing the service would not say, and our values hold all that the service says."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.core.parsing import parse_message
from streamclient.messages import (
    ConfigureFailure,
    ConfigureSuccess,
    Connected,
    Message,
    Metadata,
    Results,
    ServerError,
    ServerWarning,
    SpeechStarted,
    TurnInfo,
    UnknownMessage,
    UtteranceEnd,
)
from streamclient.testing import UnfaithfulMessage, builders, check_message

REQUEST = "0b6c7c3e-50c9-4d0e-9d0f-5a2a6a6f5a11"
FLUX_REQUEST = "01998d2e-8f53-7c1e-a8a4-0f3d2f5f7c01"
MODEL = "7f0d2c6a-3a0e-4f0c-8f61-0b0a6b8f9c22"
INFO = {"name": "general-nova-3", "version": "2026-01-01.0", "arch": "nova-3"}


def word(text: str, start: float, end: float, confidence: float, punctuated: str) -> dict[str, Any]:
    """A word with punctuation."""
    return {"word": text, "start": start, "end": end, "confidence": confidence, "punctuated_word": punctuated}


def turn_word(text: str, confidence: float, start: float, end: float) -> dict[str, Any]:
    """A word of a turn."""
    return {"word": text, "confidence": confidence, "start": start, "end": end}


EXAMPLES: list[tuple[str, type[Message], dict[str, Any]]] = [
    (
        "v1",
        Results,
        {
            "type": "Results",
            "channel_index": [0, 1],
            "start": 4.12,
            "duration": 1.8799999,
            "is_final": True,
            "speech_final": True,
            "from_finalize": False,
            "channel": {
                "alternatives": [
                    {
                        "transcript": "Please book table nine.",
                        "confidence": 0.9921,
                        "words": [
                            word("please", 4.31, 4.62, 0.9911, "Please"),
                            word("book", 4.62, 4.9, 0.9987, "book"),
                            word("table", 4.9, 5.29, 0.9921, "table"),
                            word("nine", 5.29, 5.71, 0.9702, "nine."),
                        ],
                    }
                ]
            },
            "metadata": {"request_id": REQUEST, "model_info": INFO, "model_uuid": MODEL},
        },
    ),
    (
        "v1",
        Metadata,
        {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": REQUEST,
            "sha256": "9f2b6d0c4b7e1a5f8c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b",
            "created": "2026-03-04T10:11:12.345Z",
            "duration": 12.48,
            "channels": 1,
            "models": [MODEL],
            "model_info": {MODEL: INFO},
        },
    ),
    ("v1", UtteranceEnd, {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 5.71}),
    ("v1", UtteranceEnd, {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": -1}),
    ("v1", SpeechStarted, {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 4.24}),
    (
        "v1",
        ServerError,
        {
            "type": "Error",
            "variant": "InvalidConfigureMessage",
            "description": "`keyterms` need a Nova-3 model.",
            "code": "KeytermsNotSupported",
        },
    ),
    (
        "v1",
        ConfigureSuccess,
        {"type": "ConfigureSuccess", "request_id": REQUEST, "keyterms": ["Zyrtec", "table nine"]},
    ),
    ("v2", Connected, {"type": "Connected", "request_id": FLUX_REQUEST, "sequence_id": 0}),
    (
        "v2",
        TurnInfo,
        {
            "type": "TurnInfo",
            "request_id": FLUX_REQUEST,
            "event": "EndOfTurn",
            "turn_index": 3,
            "audio_window_start": 8.32,
            "audio_window_end": 10.64,
            "transcript": "Cancel my order, please.",
            "words": [
                turn_word("Cancel", 0.9981, 8.88, 9.2),
                turn_word("my", 1.0, 9.2, 9.36),
                turn_word("order,", 0.9937, 9.36, 9.84),
                turn_word("please.", 0.9902, 9.84, 10.16),
            ],
            "end_of_turn_confidence": 0.8311,
            "trigger": "model",
            "sequence_id": 44,
        },
    ),
    (
        "v2",
        ConfigureSuccess,
        {
            "type": "ConfigureSuccess",
            "request_id": FLUX_REQUEST,
            "thresholds": {"eot_threshold": 0.8, "eager_eot_threshold": 0.5, "eot_timeout_ms": 6000},
            "keyterms": ["Zyrtec"],
            "profanity_filter": False,
            "sequence_id": 12,
        },
    ),
    (
        "v2",
        ConfigureFailure,
        {
            "type": "ConfigureFailure",
            "request_id": FLUX_REQUEST,
            "sequence_id": 13,
            "code": "INVALID_THRESHOLD",
            "description": "eager_eot_threshold is above eot_threshold",
        },
    ),
    (
        "v2",
        ServerWarning,
        {
            "type": "Warning",
            "request_id": FLUX_REQUEST,
            "sequence_id": 14,
            "code": "FORCE_END_TURN_NO_ACTIVE_TURN",
            "description": "No turn in progress.",
        },
    ),
    (
        "v2",
        ServerError,
        {
            "type": "Error",
            "sequence_id": 15,
            "code": "UNPARSABLE_CLIENT_MESSAGE",
            "description": "Client text message matched no known format.",
        },
    ),
]
"""The example messages of the protocol reference, with their version and the value they become."""

NOT_HELD = {"type", "transaction_key", "metadata", "model_info", "channel_index", "channel", "thresholds", "keyterms"}
NOT_HELD |= {"profanity_filter"}
"""Fields that are in ``raw`` alone, or under another name."""

named = pytest.mark.parametrize(
    ("version", "kind", "example"), EXAMPLES, ids=[f"{version} {kind.__name__}" for version, kind, _ in EXAMPLES]
)


def back(value: Message) -> dict[str, Any]:
    """The message that a value says it was, from its fields alone."""
    fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value)) if field.name != "raw"}
    return {name: plain(field) for name, field in fields.items() if field not in (None, (), "")}


def plain(value: Any) -> Any:
    """Values as JSON has them, without what is not there."""
    if attrs.has(type(value)):
        return {
            name: plain(inner) for name, inner in attrs.asdict(value, recurse=False).items() if inner not in (None, ())
        }
    return [plain(inner) for inner in value] if isinstance(value, tuple) else value


@named
def test_examples_become_values_and_come_back(version: str, kind: type[Message], example: dict[str, Any]) -> None:
    """Each example is understood; its fields are the value's fields, its ``raw`` is the example."""
    value = parse_message(json.dumps(example))
    assert type(value) is kind
    assert value.raw == example
    fields = back(value)
    for name, expected in example.items():
        if name not in NOT_HELD and not (name == "sequence_id" and name not in fields):
            assert fields[name] == expected, name
    if isinstance(value, Results):
        assert [value.channel, value.channels] == example["channel_index"]
        assert fields["alternatives"] == example["channel"]["alternatives"]
        assert value.request_id == REQUEST


@named
def test_examples_are_faithful(version: str, kind: type[Message], example: dict[str, Any]) -> None:
    """Each example fits the schema that our server is held to."""
    check_message(example, version)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a message."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, one in inner for deeper in paths(one, (*path, key)))]


def changed(message: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """A copy in which one place was changed."""
    copy = deepcopy(message)
    holder: Any = copy
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return copy


def misspell(holder: Any, key: Any) -> None:
    """Another name, or another kind of thing in a list."""
    if isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    else:
        holder[key] = [holder[key]]


def mistype(holder: Any, key: Any) -> None:
    """A number where there was a text, and so on."""
    holder[key] = 7 if isinstance(holder[key], str) else "7"


@named
@pytest.mark.parametrize("change", [misspell, mistype])
def test_every_mutation_is_noticed(
    version: str, kind: type[Message], example: dict[str, Any], change: Callable[[Any, Any], None]
) -> None:
    """A field of another name or type anywhere in an example is unfaithful: the schema has no blind spot."""
    free = {("model_info",)}  # its keys are identifiers of models
    for path in paths(example)[1:]:
        mutant = changed(example, path, change)
        if path in free:
            continue
        with pytest.raises(UnfaithfulMessage):
            check_message(mutant, version)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (builders.results("one", 0, 1, is_final=False, speech_final=True), "implies is_final"),
        (builders.results("one", 0, 1, channel=2, channels=2), "no such channel"),
        (builders.results("", 0, 1, words=[("late", 0.9, 1.2)]), "outside of their span"),
        (builders.results("b a", 0, 1, words=[("b", 0.5, 0.9), ("a", 0.1, 0.4)]), "not in order"),
        (builders.metadata(0.0, 1), "no channels"),
        (builders.metadata(1.0, 0), "no channels"),
        ({"type": "Open"}, "no message of type"),
        ({}, "no message of type"),
        ({"type": ["Results"]}, "no message of type"),
        ([], "no message of type"),
    ],
)
def test_what_the_schema_cannot_say_is_checked_too(message: dict[str, Any], complaint: str) -> None:
    """Rules between the fields of a message."""
    with pytest.raises(UnfaithfulMessage, match=complaint):
        check_message(message)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("v1", builders.results("one two", 0, 1)),
        ("v1", builders.interim("one", 0, 1)),
        ("v1", builders.results("", 0, 1)),
        ("v1", builders.metadata()),
        ("v1", builders.metadata(0.0, 0, builders.SHA256_OF_NOTHING)),
        ("v1", builders.utterance_end(-1)),
        ("v1", builders.speech_started(0.5)),
        ("v1", builders.error("no")),
        ("v1", builders.configure_success(keyterms=["one"])),
        ("v1", builders.configure_failure("KeytermsNotSupported", "no")),
        ("v2", builders.configure_failure("INVALID_THRESHOLD", "no", sequence_id=2)),
        ("v2", builders.warning("FORCE_END_TURN_NO_ACTIVE_TURN", "no")),
        ("v2", builders.connected()),
        ("v2", builders.turn_info("one two", 0, 1)),
    ],
)
def test_builders_are_faithful(version: str, message: dict[str, Any]) -> None:
    """What the kit builds is what the service sends."""
    check_message(message, version)


def test_what_is_built_can_be_given_to_hooks() -> None:
    """As the value it is on a stream; what was meant to be something else is told."""
    value = builders.parsed(builders.results("one two", 0, 1, speech_final=True), Results)
    assert (value.transcript, value.speech_final, [word.word for word in value.words]) == (
        "one two",
        True,
        ["one", "two"],
    )
    with pytest.raises(TypeError, match="becomes a UtteranceEnd, not a Results"):
        builders.parsed(builders.utterance_end(1.0), Results)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
def test_a_mutated_message_never_breaks_the_parser(data: st.DataObject) -> None:
    """Any value anywhere in any example still becomes a message, which keeps what came."""
    _, kind, example = data.draw(st.sampled_from(EXAMPLES))
    path = data.draw(st.sampled_from(paths(example)[1:]))
    value = data.draw(JSON)

    def put(holder: Any, key: Any) -> None:
        holder[key] = value

    text = json.dumps(changed(example, path, put))
    message = parse_message(text)
    assert isinstance(message, kind | UnknownMessage) or path == ("type",)
    assert json.dumps(message.raw) == text


@given(text=st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_becomes_a_message(text: str) -> None:
    """What is no message is an unknown one."""
    assert isinstance(parse_message(text), UnknownMessage)
