"""What a stream reports: values that can be shared, kept and written down."""

import json
from typing import get_args

import attrs
import pytest

from streamclient import Event, Metadata, Span, StreamState, StreamStats, Transcript, Utterance, Word

TEA = Utterance(0, 0.5, 1.0, "Tea?", (Word("tea", 0.5, 1.0, 0.9, "Tea?"),), confidence=0.9)
YES = Utterance(1, 2.0, 2.5, "Yes.", (Word("yes", 2.0, 2.5, 0.8, "Yes."),), speaker=1, confidence=0.8)


def test_a_transcript_joins_its_utterances() -> None:
    """Texts by one space, words in order."""
    transcript = Transcript((TEA, YES))

    assert transcript.text == "Tea? Yes."
    assert [word.text for word in transcript.words] == ["Tea?", "Yes."]


def test_an_empty_transcript_is_incomplete_and_has_no_text() -> None:
    """What a client that was never opened returns."""
    assert (Transcript().text, Transcript().words, Transcript().gaps, Transcript().complete) == ("", (), (), False)


def test_a_transcript_becomes_json() -> None:
    """With everything it holds, the service's summary as it came."""
    metadata = Metadata("r", 3.0, raw={"type": "Metadata", "duration": 3.0})
    transcript = Transcript((TEA,), 3.0, metadata, ("r",), True, 1000, "bye", (Span(1.0, 2.0),))

    written = json.loads(json.dumps(transcript.to_dict()))

    assert written == transcript.to_dict()
    assert set(written) == {"text", "words", *(field.name for field in attrs.fields(Transcript))}
    assert written["words"] == written["utterances"][0]["words"]
    assert (written["text"], written["complete"], written["close_code"]) == ("Tea?", True, 1000)
    assert written["utterances"][0]["words"][0]["punctuated_word"] == "Tea?"
    assert written["gaps"] == [{"start": 1.0, "end": 2.0}]
    assert written["metadata"] == {"type": "Metadata", "duration": 3.0}


@pytest.mark.parametrize("event", [*get_args(Event), StreamStats, Word, Span])
def test_events_are_frozen_slotted_values(event: type) -> None:
    """They are shared between threads, and a misspelt field is an error."""
    assert attrs.has(event)
    assert "__slots__" in vars(event)
    assert event.__hash__ is not None
    assert event.__setattr__ is not object.__setattr__


def test_the_states_are_the_contracts() -> None:
    """In the order of a stream's life."""
    assert [state.name for state in StreamState] == [
        "NEW",
        "CONNECTING",
        "OPEN",
        "RECONNECTING",
        "CLOSING",
        "CLOSED",
        "FAILED",
    ]
