"""Utterances: the service's results joined between two boundaries, for each channel on its own.

An utterance ends at ``speech_final``, at the answer to a ``Finalize``, at an ``UtteranceEnd`` that says something
new, or at the end of the stream, whichever comes first (Deepgram: Endpointing & Interim Results, Utterance End).
Interims replace one another and are dropped when a final comes, even a shorter one. Nothing here depends on the order
in which results and ``UtteranceEnd`` of the same moment arrive.
"""

import re
from collections.abc import Iterable
from itertools import groupby

from attrs import define, field, frozen

from streamclient.events import Utterance
from streamclient.messages import Message, Results, UtteranceEnd, Word

__all__ = ["Assembler"]

TOLERANCE = 0.001
"""Seconds; the service's times carry single-precision noise."""


UNSPACED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
"""Letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, Kana, Han.

Not compiled here: that takes longer than all else in this module, and most streams never need it.
"""


@frozen
class _Piece:
    """The text of one result, or of a part of it."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...]
    confidence: float
    glue: str
    """What stands between its words: a space, or nothing."""

    @classmethod
    def of(cls, result: Results) -> "_Piece":
        words = result.words
        text = result.transcript.strip()
        glue = _glue(text, words)
        start, end = (words[0].start, words[-1].end) if words else (result.start, result.end)
        return cls(start, end, text or glue.join(word.text for word in words), words, result.confidence, glue)

    def part(self, words: tuple[Word, ...]) -> "_Piece | None":
        """The piece with some of its words only; nothing without any."""
        if not words or words == self.words:
            return self if words else None
        text = self.glue.join(word.text for word in words)
        return _Piece(words[0].start, words[-1].end, text, words, self.confidence, self.glue)

    def split_at(self, time: float) -> tuple["_Piece | None", "_Piece | None"]:
        """What starts before ``time``, and the rest."""
        if not self.words:
            return (self, None) if self.start < time else (None, self)
        before = tuple(word for word in self.words if word.start < time)
        after = tuple(word for word in self.words if word.start >= time)
        return self.part(before), self.part(after)


def _glue(text: str, words: tuple[Word, ...]) -> str:
    """How the service joined these words; a single one shows it by its script."""
    if len(words) > 1:
        return "" if text == "".join(word.text for word in words) else " "
    spaced = text.isascii() or " " in text or not re.search(UNSPACED, text)
    return " " if spaced else ""


@define(eq=False)
class _ChannelState:
    """What is pending on one channel."""

    committed: list[_Piece] = field(factory=list)
    interim: _Piece | None = None
    emitted_until: float = float("-inf")
    """End of an utterance made of an interim; its final must not bring the same words again."""

    def without_emitted(self, piece: _Piece) -> _Piece | None:
        """What of a piece was not part of an utterance yet; nothing for silence."""
        rest: _Piece | None = piece
        if piece.start < self.emitted_until - TOLERANCE:
            rest = piece.split_at(self.emitted_until - TOLERANCE)[1]
        return rest if rest and rest.text else None


class Assembler:
    """Turns server messages into utterances; feed it every message in order."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []
        self._channels: dict[int, _ChannelState] = {}

    def receive(self, message: Message) -> list[Utterance]:
        """The utterances that this message completes, in order of time."""
        if isinstance(message, Results):
            return self._receive_results(message)
        if isinstance(message, UtteranceEnd):
            return self._receive_utterance_end(message)
        return []

    def finish(self) -> list[Utterance]:
        """The end of the stream is a boundary on every channel; interims that never became final count as said."""
        return [utterance for channel in sorted(self._channels) for utterance in self._emit_all(channel)]

    @property
    def begun(self) -> list[Utterance]:
        """What the finals since the last boundary of each channel would be, were it the end of the stream."""
        return self._joined(sorted(self._channels))

    def _state(self, channel: int) -> _ChannelState:
        return self._channels.setdefault(channel, _ChannelState())

    def _receive_results(self, result: Results) -> list[Utterance]:
        state = self._state(result.channel)
        piece = state.without_emitted(_Piece.of(result))
        if not result.is_final:
            state.interim = piece
            return []
        state.interim = None
        state.committed += [piece] if piece else []
        return self._emit_committed(result.channel) if result.speech_final or result.from_finalize else []

    def _receive_utterance_end(self, message: UtteranceEnd) -> list[Utterance]:
        state = self._state(message.channel)
        if message.last_word_end < 0:
            return []
        if not state.committed:
            return self._emit_interim(message.channel, message.last_word_end)
        gap = message.last_word_end + TOLERANCE
        ended: list[_Piece] = []
        going_on: list[_Piece] = []
        for piece in state.committed:
            before, after = piece.split_at(gap)
            ended += [before] if before else []
            going_on += [after] if after else []
        state.committed = ended
        utterances = self._emit_committed(message.channel)
        state.committed = going_on
        return utterances

    def _emit_interim(self, channel: int, last_word_end: float) -> list[Utterance]:
        """With nothing final pending, the last interim is what was said before the gap."""
        state = self._state(channel)
        ended, going_on = state.interim.split_at(last_word_end + TOLERANCE) if state.interim else (None, None)
        if ended is None:
            return []
        state.interim = going_on
        state.committed = [ended]
        state.emitted_until = max(state.emitted_until, ended.end)
        return self._emit_committed(channel)

    def _emit_all(self, channel: int) -> list[Utterance]:
        state = self._state(channel)
        if state.interim is not None:
            state.committed.append(state.interim)
            state.interim = None
        return self._emit_committed(channel)

    def _emit_committed(self, channel: int) -> list[Utterance]:
        emitted = self._joined([channel])
        self.utterances += emitted
        self._state(channel).committed = []
        return emitted

    def _joined(self, channels: Iterable[int]) -> list[Utterance]:
        """What is committed on these channels as the next utterances."""
        runs = [(channel, run) for channel in channels for run in _speaker_runs(self._state(channel).committed)]
        return [_utterance(index, channel, *run) for index, (channel, run) in enumerate(runs, len(self.utterances))]


def _utterance(index: int, channel: int, speaker: int | None, pieces: list[_Piece]) -> Utterance:
    words = tuple(word for piece in pieces for word in piece.words)
    confidences = [word.confidence for word in words] or [piece.confidence for piece in pieces]
    glue = "" if any(piece.glue == "" for piece in pieces) else " "
    return Utterance(
        index=index,
        start=words[0].start if words else pieces[0].start,
        end=words[-1].end if words else pieces[-1].end,
        text=glue.join(piece.text for piece in pieces),
        words=words,
        channel=channel,
        speaker=speaker,
        confidence=sum(confidences) / len(confidences),
    )


def _speaker_runs(pieces: list[_Piece]) -> list[tuple[int | None, list[_Piece]]]:
    """Consecutive words of one speaker belong together; a piece is cut where its speaker changes."""
    parts: list[tuple[int | None, _Piece]] = []
    for piece in pieces:
        if not piece.words:
            parts.append((parts[-1][0] if parts else None, piece))
        for speaker, words in groupby(piece.words, key=lambda word: word.speaker):
            part = piece.part(tuple(words))
            parts += [(speaker, part)] if part else []
    return [(speaker, [piece for _, piece in run]) for speaker, run in groupby(parts, key=lambda part: part[0])]
