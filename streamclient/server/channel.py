"""One channel of a stream: where utterances begin and end, and when a result is due.

Everything here counts samples, so that results tile the audio exactly: each final begins where the one before it
ended. Wall-clock time plays no part.
"""

from collections import deque
from collections.abc import Iterator

import attrs
import numpy as np

from streamclient.server.engines.base import SAMPLE_RATE, Recogniser, Samples, Word

__all__ = ["Channel", "ChannelEvent", "ChannelSettings", "Gap", "Recognised", "SpeechBegan"]

FRAME = SAMPLE_RATE // 50
"""Samples of one decision about speech or silence: 20 ms."""
WINDOW = 10
"""Frames within which the speech that opens an utterance has to lie: 0.2 s."""
PRE_ROLL = 15 * FRAME
"""Samples before that window that belong to the utterance too, for soft beginnings: 0.3 s."""
INTERIM_EVERY = SAMPLE_RATE
SHORTEST_CUT = 0.3
"""Seconds of silence that end an utterance at the earliest; Deepgram's default of 10 ms would cut phrases to pieces."""
LONGEST_CUT = 1.0
"""Seconds of silence after which words are final whatever the endpointing, and where there is none."""
SHORT_PAUSE = SAMPLE_RATE // 10
LONG_UTTERANCE = 12 * SAMPLE_RATE
"""From this length on, an utterance is cut at the next short pause."""
LONGEST_UTTERANCE = 20 * SAMPLE_RATE
NOISE = 2 * SAMPLE_RATE
"""An open utterance that has no words by then is no speech; recognisers have their first ones before."""
SILENCE_EVERY = 5 * SAMPLE_RATE
"""Silence is reported in empty finals of about this length."""
WORTH_FLUSHING = SAMPLE_RATE // 10
"""``Finalize`` is not answered for less audio than this (Deepgram: "Finalize")."""


@attrs.frozen
class ChannelSettings:
    """What the client asked for, in seconds.

    Attributes:
        interim_results: whether interim results are sent.
        endpointing: silence that makes ``speech_final``, or ``None`` for never.
        utterance_end: gap after the last word that makes ``UtteranceEnd``, or ``None`` for never.
        vad_events: whether ``SpeechStarted`` is sent.
    """

    interim_results: bool = False
    endpointing: float | None = 0.01
    utterance_end: float | None = None
    vad_events: bool = False

    @property
    def cut(self) -> int:
        """Samples of silence that end an utterance."""
        asked = LONGEST_CUT if self.endpointing is None else self.endpointing
        return round(min(max(asked, SHORTEST_CUT), LONGEST_CUT) * SAMPLE_RATE)

    @property
    def pause(self) -> int | None:
        """Samples of silence that make ``speech_final``; more than ``cut`` where long pauses were asked for."""
        return None if self.endpointing is None else round(max(self.endpointing, SHORTEST_CUT) * SAMPLE_RATE)


@attrs.frozen
class Recognised:
    """A span of audio and the words in it, in seconds from the beginning of the channel's audio."""

    start: float
    end: float
    words: tuple[Word, ...] = ()
    is_final: bool = True
    speech_final: bool = False
    from_finalize: bool = False


@attrs.frozen
class SpeechBegan:
    """Somebody began to speak at ``time`` seconds."""

    time: float


@attrs.frozen
class Gap:
    """No word has followed the one that ended at ``last_word_end`` seconds for as long as was asked for."""

    last_word_end: float


ChannelEvent = Recognised | SpeechBegan | Gap


class Channel:
    """The recognition of one channel; audio in, events out.

    The methods are generators: what they do happens while their events are taken, so that a client has the first
    result of a large chunk before the last one is worked out.

    Args:
        recogniser: recognises this channel and nothing else.
        settings: what the client asked for.
    """

    def __init__(self, recogniser: Recogniser, settings: ChannelSettings) -> None:
        self.recogniser = recogniser
        self.settings = settings
        self.rest: Samples = np.zeros(0, np.int16)  # less than a frame
        self.position = 0  # samples decided on
        self.final_end = 0  # samples covered by finals
        self.result_end = 0  # samples covered by any result
        self.recent: deque[bool] = deque(maxlen=WINDOW)  # speech or not, the last frames
        self.lead: deque[Samples] = deque(maxlen=WINDOW + PRE_ROLL // FRAME)  # the last frames outside an utterance
        self.utterance: int | None = None  # where the open one begins
        self.silence = 0  # samples without speech up to now
        self.speaking = False  # since the last SpeechStarted, no pause has ended the speech
        self.pause_due = False  # words were sent, their speech_final was not
        self.last_word_end: float | None = None  # until its UtteranceEnd has been sent

    def feed(self, samples: Samples) -> Iterator[ChannelEvent]:
        """Take the next samples."""
        samples = np.concatenate((self.rest, samples))
        whole = len(samples) - len(samples) % FRAME
        self.rest = samples[whole:]
        for begin in range(0, whole, FRAME):
            yield from self._frame(samples[begin : begin + FRAME])

    def finalize(self) -> Iterator[ChannelEvent]:
        """Recognise what is buffered now; says nothing when that is almost nothing."""
        if self.utterance is not None or self.position - self.final_end >= WORTH_FLUSHING:
            yield self._final(self.position / SAMPLE_RATE, from_finalize=True)

    def finish(self, duration: float) -> Iterator[ChannelEvent]:
        """Recognise everything that is left.

        Args:
            duration: of all the audio in seconds; the last result ends there.
        """
        if len(self.rest):
            yield from self._frame(self.rest)
        if self.position > self.final_end:
            yield self._final(duration)

    def close(self) -> None:
        """Give the recogniser back; further calls do nothing."""
        self.recogniser.close()

    def _frame(self, frame: Samples) -> Iterator[ChannelEvent]:
        speech = self.recogniser.is_speech(np.pad(frame, (0, FRAME - len(frame))))
        self.position += len(frame)
        self.recent.append(speech)
        self.silence = 0 if speech else self.silence + len(frame)
        if self.utterance is None:
            self.lead.append(frame)
            yield from self._listen()
        else:
            self.recogniser.feed(frame)
        yield from self._results()

    def _listen(self) -> Iterator[ChannelEvent]:
        if sum(self.recent) * FRAME < self.recogniser.attack * SAMPLE_RATE:
            return
        self.utterance = self.position - sum(map(len, self.lead))
        if self.settings.vad_events and not self.speaking:
            yield SpeechBegan(self._onset())
        self.speaking = True
        self.recogniser.begin(self.utterance / SAMPLE_RATE)
        self.recogniser.feed(np.concatenate(self.lead))
        self.lead.clear()

    def _onset(self) -> float:
        frames = len(self.recent) - self.recent.index(True)
        return max(self.position - frames * FRAME, self.final_end) / SAMPLE_RATE

    def _results(self) -> Iterator[ChannelEvent]:
        if self._is_over() or self._is_pause():
            yield self._final(self.position / SAMPLE_RATE)
        elif self._undecided() >= SILENCE_EVERY:
            yield self._final((self.final_end + self._undecided()) / SAMPLE_RATE)
        elif self.settings.interim_results and self.position - self.result_end >= INTERIM_EVERY:
            yield from self._interim()
        if self.utterance is None:
            yield from self._gap()

    def _is_over(self) -> bool:
        """A pause ends the open utterance; when that gets long, a short one does; in the end its length does."""
        if self.utterance is None:
            return False
        length = self.position - self.utterance
        return (
            self.silence >= self.settings.cut
            or (length >= LONG_UTTERANCE and self.silence >= SHORT_PAUSE)
            or length >= LONGEST_UTTERANCE
        )

    def _is_pause(self) -> bool:
        """Words were sent before the pause was long enough for their ``speech_final``, and now it is."""
        pause = self.settings.pause
        return self.utterance is None and self.pause_due and pause is not None and self.silence >= pause

    def _undecided(self) -> int:
        """Samples of silence no result has covered and no utterance may begin in."""
        return 0 if self.utterance is not None else self.position - sum(map(len, self.lead)) - self.final_end

    def _interim(self) -> Iterator[ChannelEvent]:
        start, end = self.final_end / SAMPLE_RATE, self.position / SAMPLE_RATE
        words = [] if self.utterance is None else self.recogniser.words()
        self.result_end = self.position
        yield Recognised(start, end, _within(words, start, end), is_final=False)
        if self.utterance is not None and not words and self.position - self.utterance >= NOISE:
            yield from self._gap()

    def _gap(self) -> Iterator[ChannelEvent]:
        wanted, last = self.settings.utterance_end, self.last_word_end
        if wanted is not None and last is not None and self.position / SAMPLE_RATE - last >= wanted:
            self.last_word_end = None
            yield Gap(last)

    def _final(self, end: float, *, from_finalize: bool = False) -> Recognised:
        start = self.final_end / SAMPLE_RATE
        words = _within(self._finish_utterance(), start, end)
        if words:
            self.last_word_end = words[-1].end
        self.final_end = self.result_end = round(end * SAMPLE_RATE)
        return Recognised(start, end, words, True, not from_finalize and self._speech_final(), from_finalize)

    def _finish_utterance(self) -> list[Word]:
        if self.utterance is None:
            return []
        self.utterance = None
        self.pause_due = self.settings.pause is not None
        return self.recogniser.finish()

    def _speech_final(self) -> bool:
        if self.silence >= self.settings.cut:  # not a cut for length
            self.speaking = False
            self.recent.clear()
        if not self._is_pause():
            return False
        self.pause_due = False
        return True


def _within(words: list[Word], start: float, end: float) -> tuple[Word, ...]:
    """The words, with times inside the span of their result."""
    return tuple(
        attrs.evolve(word, start=min(max(word.start, start), end), end=min(max(word.end, start), end)) for word in words
    )
