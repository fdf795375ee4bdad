"""The service's messages, as frozen values.

Every value keeps the message as it came in ``raw``. Times are seconds on the stream's timeline.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = [
    "Alternative",
    "ConfigureFailure",
    "ConfigureSuccess",
    "Connected",
    "Entity",
    "Message",
    "Metadata",
    "Result",
    "Results",
    "SearchHit",
    "SearchResult",
    "ServerError",
    "ServerWarning",
    "SpeechStarted",
    "TurnInfo",
    "UnknownMessage",
    "UtteranceEnd",
    "Word",
]

Raw = Mapping[str, Any]


def _raw() -> Any:
    return field(repr=False, eq=False, factory=dict)


@frozen
class Word:
    """One recognised word.

    Args:
        word: as recognised: lower case, no punctuation.
        start: seconds.
        end: seconds.
        confidence: 0 to 1.
        punctuated_word: with punctuation and capitals, where they were asked for.
        speaker: number from 0, per channel, where diarization was asked for.
        language: of this word, with ``language=multi``.
    """

    word: str
    start: float
    end: float
    confidence: float = 0.0
    punctuated_word: str | None = None
    speaker: int | None = None
    language: str | None = None

    @property
    def text(self) -> str:
        """The word as a reader wants it: punctuated where there is a punctuated form."""
        return self.punctuated_word or self.word


@frozen
class Alternative:
    """One reading of a segment.

    Args:
        transcript: its text.
        confidence: 0 to 1.
        words: its words.
        languages: by number of words, most first (``language=multi``).
    """

    transcript: str
    confidence: float = 0.0
    words: tuple[Word, ...] = ()
    languages: tuple[str, ...] = ()


@frozen
class Entity:
    """Something named in a final (``detect_entities``).

    Args:
        label: its kind, an open set.
        value: as formatted.
        raw_value: as spoken, or ``None``.
        confidence: 0 to 1.
        start_word: index of its first word among the words of the same message.
        end_word: index after its last word.
    """

    label: str
    value: str
    raw_value: str | None
    confidence: float
    start_word: int
    end_word: int


@frozen
class SearchHit:
    """A moment that sounds like what was searched for.

    Args:
        confidence: 0 to 1.
        start: seconds.
        end: seconds.
        snippet: what was recognised there.
    """

    confidence: float
    start: float
    end: float
    snippet: str = ""


@frozen
class SearchResult:
    """What was found of one term of ``search``.

    Args:
        query: the term.
        hits: where it may have been said.
    """

    query: str
    hits: tuple[SearchHit, ...] = ()


@frozen
class Results:
    """A segment of transcript (Deepgram: Live Audio API, Results).

    Args:
        start: seconds.
        duration: seconds.
        is_final: no further message will cover this span.
        speech_final: the service found a pause here.
        from_finalize: this is the answer to ``finalize()``.
        channel: its channel, from 0.
        channels: number of channels.
        alternatives: the readings, best first; may be empty.
        entities: named things; finals only.
        search: what was found of each term of ``search``.
        request_id: the service's name for the connection.
        raw: the message as it came.
    """

    start: float
    duration: float
    is_final: bool = False
    speech_final: bool = False
    from_finalize: bool = False
    channel: int = 0
    channels: int = 1
    alternatives: tuple[Alternative, ...] = ()
    entities: tuple[Entity, ...] = ()
    search: tuple[SearchResult, ...] = ()
    request_id: str | None = None
    raw: Raw = _raw()

    @property
    def end(self) -> float:
        """Where the segment ends, in seconds."""
        return self.start + self.duration

    @property
    def transcript(self) -> str:
        """The text of the best reading, ``""`` for silence."""
        return self.alternatives[0].transcript if self.alternatives else ""

    @property
    def confidence(self) -> float:
        """The confidence of the best reading, 0.0 for silence."""
        return self.alternatives[0].confidence if self.alternatives else 0.0

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of the best reading."""
        return self.alternatives[0].words if self.alternatives else ()


@frozen
class SpeechStarted:
    """The voice activity detector heard speech (``vad_events``); a hint only.

    Args:
        timestamp: seconds.
        channel: its channel, from 0.
        channels: number of channels.
        raw: the message as it came.
    """

    timestamp: float
    channel: int = 0
    channels: int = 1
    raw: Raw = _raw()


@frozen
class UtteranceEnd:
    """A gap of ``utterance_end_ms`` followed the last word.

    Args:
        last_word_end: seconds; -1 where the words were final already, and the message says nothing new.
        channel: its channel, from 0.
        channels: number of channels.
        raw: the message as it came.
    """

    last_word_end: float
    channel: int = 0
    channels: int = 1
    raw: Raw = _raw()


@frozen
class Metadata:
    """The summary of a connection, sent once at its end.

    Args:
        request_id: the service's name for the connection.
        duration: seconds of audio decoded on this connection.
        channels: number of channels; 0 where nothing was decoded.
        sha256: of the audio received, 64 hex digits.
        created: time, as sent.
        models: ids of the models used.
        raw: the message as it came.
    """

    request_id: str | None = None
    duration: float = 0.0
    channels: int = 0
    sha256: str | None = None
    created: str | None = None
    models: tuple[str, ...] = ()
    raw: Raw = _raw()


@frozen
class ServerError:
    """The service refuses something it was told. On v1 the stream goes on; on v2 it ends.

    Args:
        description: in the service's words.
        variant: kind (v1), an open set.
        code: an open set, or ``None``.
        message: the offending message (v1), or ``None``.
        raw: the message as it came.
    """

    description: str = ""
    variant: str | None = None
    code: str | None = None
    message: str | None = None
    raw: Raw = _raw()


@frozen
class ConfigureSuccess:
    """``configure()`` was accepted.

    Args:
        request_id: the service's name for the connection.
        raw: the message as it came, with the settings that now hold.
    """

    request_id: str | None = None
    raw: Raw = _raw()


@frozen
class ConfigureFailure:
    """``configure()`` was refused; the old settings hold.

    Args:
        request_id: the service's name for the connection.
        code: why, an open set.
        description: why, in the service's words.
        raw: the message as it came.
    """

    request_id: str | None = None
    code: str | None = None
    description: str | None = None
    raw: Raw = _raw()


@frozen
class Connected:
    """The first message of a v2 connection.

    Args:
        request_id: the service's name for the connection.
        sequence_id: 0; every message of the connection counts one up.
        raw: the message as it came.
    """

    request_id: str | None = None
    sequence_id: int = 0
    raw: Raw = _raw()


@frozen
class TurnInfo:
    """The state of a turn of conversation (v2); each replaces the one before of the same turn.

    Args:
        event: ``Update``, ``StartOfTurn``, ``EagerEndOfTurn``, ``TurnResumed``, ``EndOfTurn`` or a newer one.
        turn_index: number of the turn, from 0.
        audio_window_start: seconds.
        audio_window_end: seconds.
        transcript: the whole turn so far.
        words: its words.
        end_of_turn_confidence: 0 to 1.
        trigger: what ended the turn: ``model``, ``manual``, ``timeout`` or a newer one.
        sequence_id: number of the message.
        languages: by number of words, most first.
        request_id: the service's name for the connection.
        languages_hinted: those that the service was told to expect.
        raw: the message as it came.
    """

    event: str
    turn_index: int
    audio_window_start: float
    audio_window_end: float
    transcript: str = ""
    words: tuple[Word, ...] = ()
    end_of_turn_confidence: float = 0.0
    trigger: str | None = None
    sequence_id: int = 0
    languages: tuple[str, ...] = ()
    request_id: str | None = None
    languages_hinted: tuple[str, ...] = ()
    raw: Raw = _raw()

    @property
    def is_final(self) -> bool:
        """Whether no later message will change this turn."""
        return self.event == "EndOfTurn"

    @property
    def start(self) -> float:
        """Where the turn's audio begins, in seconds."""
        return self.audio_window_start

    @property
    def end(self) -> float:
        """Where the turn's audio ends so far, in seconds."""
        return self.audio_window_end

    @property
    def channel(self) -> int:
        """Always 0: v2 hears one channel."""
        return 0


@frozen
class ServerWarning:
    """Something odd that does not end the stream (v2).

    Args:
        code: an open set.
        description: in the service's words.
        sequence_id: number of the message.
        request_id: the service's name for the connection.
        raw: the message as it came.
    """

    code: str | None = None
    description: str | None = None
    sequence_id: int = 0
    request_id: str | None = None
    raw: Raw = _raw()


@frozen
class UnknownMessage:
    """A message of a type, or of a shape, this version does not know.

    Args:
        type: what it calls itself, or ``None``.
        raw: the message as it came; a text where it was not a JSON object.
    """

    type: str | None = None
    raw: Any = field(repr=False, eq=False, default=None)


Result = Results | TurnInfo
"""A piece of transcript, of either endpoint."""

Message = (
    Results
    | SpeechStarted
    | UtteranceEnd
    | Metadata
    | ServerError
    | ConfigureSuccess
    | ConfigureFailure
    | Connected
    | TurnInfo
    | ServerWarning
    | UnknownMessage
)
