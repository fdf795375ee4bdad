"""The service's messages: text as it came over the wire, turned into frozen values.

Parsing never fails: what is unknown, or known but of an unexpected shape, becomes an `UnknownMessage`.
Every value keeps the message as it came in ``raw``. Times are seconds on the stream's timeline.
"""

import json
from collections.abc import Callable, Mapping
from math import isfinite
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
    "Results",
    "ServerError",
    "ServerWarning",
    "SpeechStarted",
    "TurnInfo",
    "UnknownMessage",
    "UtteranceEnd",
    "Word",
    "parse_message",
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


def parse_message(text: str | bytes) -> Message:
    """Turn a text frame into a value; what cannot be understood becomes an `UnknownMessage`."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return UnknownMessage(raw=text)
    if not isinstance(raw, dict):
        return UnknownMessage(raw=raw)
    kind = raw.get("type")
    kind = kind if isinstance(kind, str) else None
    try:
        return PARSERS.get(kind, _unknown)(raw)
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return UnknownMessage(type=kind, raw=raw)


def _unknown(raw: Raw) -> UnknownMessage:
    kind = raw.get("type")
    return UnknownMessage(type=kind if isinstance(kind, str) else None, raw=raw)


def _seconds(value: Any) -> float:
    """A required number. ``ValueError`` for what JSON allows and time does not (NaN, infinity, no number)."""
    number = float(value)
    if isinstance(value, bool | str) or not isfinite(number):
        raise ValueError(value)
    return number


def _seconds_or_zero(value: Any) -> float:
    return _seconds(value) if value is not None else 0.0


def _ratio(value: Any) -> float:
    """A confidence; 0.0 for what is none, since it must not cost the words it belongs to."""
    try:
        return _seconds_or_zero(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _count(value: Any) -> int:
    return int(_seconds(value))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _channel(value: Any) -> tuple[int, int]:
    """``[index, total]``; one reference sample has the index alone."""
    if not value:
        return 0, 1
    index = _count(value[0])
    return index, _count(value[1]) if len(value) > 1 else index + 1


def _required_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _words(value: Any) -> tuple[Word, ...]:
    """The words that can be understood: an odd one must not cost the text it belongs to."""
    words = []
    for raw in value or ():
        try:
            words.append(_word(raw))
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
            continue
    return tuple(words)


def _word(raw: Raw) -> Word:
    return Word(
        _required_text(raw["word"]),
        _seconds_or_zero(raw.get("start")),
        _seconds_or_zero(raw.get("end")),
        _ratio(raw.get("confidence")),
        _text(raw.get("punctuated_word")),
        _speaker(raw.get("speaker")),
        _text(raw.get("language")),
    )


def _speaker(value: Any) -> int | None:
    try:
        return _count(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _alternative(raw: Raw) -> Alternative:
    return Alternative(
        _required_text(raw.get("transcript") or ""),
        _ratio(raw.get("confidence")),
        _words(raw.get("words")),
        _texts(raw.get("languages")),
    )


def _entity(raw: Raw) -> Entity:
    return Entity(
        _required_text(raw["label"]),
        _required_text(raw["value"]),
        _text(raw.get("raw_value")),
        _ratio(raw.get("confidence")),
        _count(raw["start_word"]),
        _count(raw["end_word"]),
    )


def _entities(value: Any) -> tuple[Entity, ...]:
    """Entities are a bonus: odd ones must not cost the words they belong to."""
    try:
        return tuple(map(_entity, value or ()))
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return ()


def _results(raw: Raw) -> Results:
    channel, channels = _channel(raw.get("channel_index"))
    speech_final = raw.get("speech_final") is True
    metadata = raw.get("metadata")
    return Results(
        start=_seconds(raw["start"]),
        duration=_seconds(raw["duration"]),
        is_final=raw.get("is_final") is True or speech_final,
        speech_final=speech_final,
        from_finalize=raw.get("from_finalize") is True,
        channel=channel,
        channels=channels,
        alternatives=tuple(map(_alternative, (raw.get("channel") or {}).get("alternatives") or ())),
        entities=_entities(raw.get("entities")),
        request_id=_text(metadata.get("request_id")) if isinstance(metadata, dict) else None,
        raw=raw,
    )


def _speech_started(raw: Raw) -> SpeechStarted:
    return SpeechStarted(_seconds(raw["timestamp"]), *_channel(raw.get("channel")), raw)


def _utterance_end(raw: Raw) -> UtteranceEnd:
    return UtteranceEnd(_seconds(raw["last_word_end"]), *_channel(raw.get("channel")), raw)


def _metadata(raw: Raw) -> Metadata:
    return Metadata(
        request_id=_text(raw.get("request_id")),
        duration=_seconds_or_zero(raw.get("duration")),
        channels=_count(raw.get("channels") or 0),
        sha256=_text(raw.get("sha256")),
        created=_text(raw.get("created")),
        models=_texts(raw.get("models")),
        raw=raw,
    )


def _error(raw: Raw) -> ServerError:
    return ServerError(
        _text(raw.get("description")) or "",
        _text(raw.get("variant")),
        _text(raw.get("code")),
        _text(raw.get("message")),
        raw,
    )


def _configure_success(raw: Raw) -> ConfigureSuccess:
    return ConfigureSuccess(_text(raw.get("request_id")), raw)


def _configure_failure(raw: Raw) -> ConfigureFailure:
    code = _text(raw.get("code")) or _text(raw.get("error_code"))
    return ConfigureFailure(_text(raw.get("request_id")), code, _text(raw.get("description")), raw)


def _connected(raw: Raw) -> Connected:
    return Connected(_text(raw.get("request_id")), _count(raw.get("sequence_id") or 0), raw)


def _turn_info(raw: Raw) -> TurnInfo:
    return TurnInfo(
        event=str(raw["event"]),
        turn_index=_count(raw["turn_index"]),
        audio_window_start=_seconds(raw["audio_window_start"]),
        audio_window_end=_seconds(raw["audio_window_end"]),
        transcript=_required_text(raw.get("transcript") or ""),
        words=_words(raw.get("words")),
        end_of_turn_confidence=_ratio(raw.get("end_of_turn_confidence")),
        trigger=_text(raw.get("trigger")),
        sequence_id=_count(raw.get("sequence_id") or 0),
        languages=_texts(raw.get("languages")),
        request_id=_text(raw.get("request_id")),
        raw=raw,
    )


def _warning(raw: Raw) -> ServerWarning:
    return ServerWarning(
        _text(raw.get("code")),
        _text(raw.get("description")),
        _count(raw.get("sequence_id") or 0),
        _text(raw.get("request_id")),
        raw,
    )


PARSERS: Mapping[str | None, Callable[[Raw], Message]] = {
    "Results": _results,
    "SpeechStarted": _speech_started,
    "UtteranceEnd": _utterance_end,
    "Metadata": _metadata,
    "Error": _error,
    "ConfigureSuccess": _configure_success,
    "ConfigureFailure": _configure_failure,
    "Connected": _connected,
    "TurnInfo": _turn_info,
    "Warning": _warning,
}
