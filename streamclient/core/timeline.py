"""The stream's timeline: what is covered by finals, and messages of a connection moved to their place in the stream.

A connection counts its audio from zero (Deepgram: Recovering From Connection Errors). The stream counts audio from its
first byte, so every time of a later connection is moved by the audio that came before it.
"""

from typing import TypeVar

from attrs import evolve

from streamclient.audio import Span
from streamclient.messages import (
    Alternative,
    Message,
    Results,
    SearchHit,
    SpeechStarted,
    TurnInfo,
    UtteranceEnd,
    Word,
)

__all__ = ["TOLERANCE", "Coverage", "moved", "without_known"]

S = TypeVar("S", Word, SearchHit)

TOLERANCE = 0.0001
"""Seconds; the service's times carry single-precision noise, and replayed audio begins at a whole sample."""


class Coverage:
    """How far finals cover the audio of a stream, channel by channel; all in seconds."""

    def __init__(self) -> None:
        self.furthest = 0.0
        self._channels = 1
        self._final_ends: dict[int, float] = {}

    def receive(self, message: Message, final_end: tuple[int, float] | None) -> bool:
        """Take note of what a message covers; whether that is more than was covered before."""
        before = self.furthest, self.confirmed
        if isinstance(message, Results):
            self.furthest = max(self.furthest, message.end)
            self._channels = max(self._channels, message.channels)
        if final_end is not None:
            channel, end = final_end
            self._final_ends[channel] = max(self.final_until(channel), end)
        return (self.furthest, self.confirmed) != before

    def final_until(self, channel: int) -> float:
        """Where the last final of a channel ends."""
        return self._final_ends.get(channel, 0.0)

    @property
    def confirmed(self) -> float:
        """Until where every channel has its finals."""
        return min(self._final_ends.values()) if len(self._final_ends) >= self._channels else 0.0

    def unconfirmed(self, accepted: float) -> Span | None:
        """The audio after that, of so many seconds that were accepted."""
        end = max(accepted, self.furthest)
        return Span(self.confirmed, end) if end > self.confirmed else None


def moved(message: Message, by: float) -> Message:
    """The message with its times moved by so many seconds; ``raw`` stays as it came."""
    if not by:
        return message
    if isinstance(message, Results):
        alternatives = tuple(_moved_alternative(alternative, by) for alternative in message.alternatives)
        search = tuple(
            evolve(found, hits=tuple(_moved_span(hit, by) for hit in found.hits)) for found in message.search
        )
        return evolve(message, start=message.start + by, alternatives=alternatives, search=search)
    if isinstance(message, SpeechStarted):
        return evolve(message, timestamp=message.timestamp + by)
    if isinstance(message, UtteranceEnd) and message.last_word_end >= 0:
        return evolve(message, last_word_end=message.last_word_end + by)
    if isinstance(message, TurnInfo):
        start, end = message.audio_window_start + by, message.audio_window_end + by
        return evolve(message, audio_window_start=start, audio_window_end=end, words=_moved_words(message.words, by))
    return message


def without_known(result: Results, until: float) -> Results | None:
    """What a result says of the time after ``until``; ``None`` for nothing.

    Replayed audio begins where the slowest channel's last final ended, so the others hear some of theirs again. A word
    heard a second time may begin and end a little earlier or later, so its middle decides.
    """
    if result.start >= until - TOLERANCE:
        return result
    if result.end <= until + TOLERANCE:
        return None
    alternatives = tuple(_alternative_after(alternative, until) for alternative in result.alternatives)
    # Entities name words by their number, which holds no longer once words are gone.
    entities = result.entities if alternatives == result.alternatives else ()
    search = tuple(
        evolve(found, hits=tuple(hit for hit in found.hits if hit.start + hit.end > 2 * until))
        for found in result.search
    )
    return evolve(
        result,
        start=until,
        duration=result.end - until,
        alternatives=alternatives,
        entities=entities,
        search=search,
    )


def _moved_alternative(alternative: Alternative, by: float) -> Alternative:
    return evolve(alternative, words=_moved_words(alternative.words, by))


def _moved_words(words: tuple[Word, ...], by: float) -> tuple[Word, ...]:
    return tuple(_moved_span(word, by) for word in words)


def _moved_span(span: S, by: float) -> S:
    return evolve(span, start=span.start + by, end=span.end + by)


def _alternative_after(alternative: Alternative, until: float) -> Alternative:
    words = tuple(word for word in alternative.words if word.start + word.end > 2 * until)
    if len(words) == len(alternative.words):
        return alternative
    # Some scripts put nothing between their words.
    glue = "" if alternative.transcript == "".join(word.text for word in alternative.words) else " "
    return evolve(alternative, words=words, transcript=glue.join(word.text for word in words))
