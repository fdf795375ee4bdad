"""What a recording has no transcript of, and how what was heard later fits in. Numbers only."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

from attrs import evolve

from streamclient.audio import Span
from streamclient.messages import Results, TurnInfo, UtteranceEnd, Word

__all__ = ["Heard", "in_order", "missing_spans", "near", "pieces", "replays", "united"]

TOLERANCE = 0.005
"""Seconds; the service's times carry single-precision noise, and no word is that short."""

LEAD_IN = 1.0
"""Seconds before what is missing where a word may begin that is heard again, for the recogniser to find its feet."""

LEAD_IN_WITHOUT_WORDS = 0.3
LEAD_OUT = 0.5
MARGIN = 0.1
"""Seconds of the pause before the first word that is heard again."""

TOGETHER = 5.0
"""Spans that are nearer to one another, in seconds, are heard in one go."""

Heard = Results | TurnInfo | UtteranceEnd


def missing_spans(covered: Iterable[Span], duration: float) -> tuple[Span, ...]:
    """The parts of so many seconds that nothing covers."""
    missing = []
    known_until = 0.0
    for span in chain(sorted(covered, key=lambda span: span.start), [Span(duration, duration)]):
        if min(span.start, duration) - known_until > TOLERANCE:
            missing.append(Span(known_until, min(span.start, duration)))
        known_until = max(known_until, span.end)
    return tuple(missing)


def united(spans: Iterable[Span], within: float = TOLERANCE) -> list[Span]:
    """The same time with as few spans as possible, in order; those so many seconds apart become one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if found and span.start - found[-1].end <= within:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def replays(missing: Iterable[Span], words: Sequence[Word], duration: float) -> list[Span]:
    """What to hear again: all that is missing, from a pause a little before it to a little after it.

    Args:
        missing: the spans, of any channel.
        words: those that are known.
        duration: of the audio, in seconds.
    """
    return [Span(_lead_in(span.start, words), min(span.end + LEAD_OUT, duration)) for span in united(missing, TOGETHER)]


def _lead_in(missing_from: float, words: Sequence[Word]) -> float:
    starts = [word.start for word in words if missing_from - LEAD_IN <= word.start < missing_from]
    if not starts:
        return max(missing_from - LEAD_IN_WITHOUT_WORDS, 0.0)
    first = min(starts)
    pause = first - max((word.end for word in words if word.end <= first), default=0.0)
    return first - min(pause / 2, MARGIN)


def pieces(heard: Heard, missing: Sequence[Span], known: Sequence[Word]) -> list[Heard]:
    """What of something heard again was missing.

    Args:
        heard: on the stream's timeline.
        missing: spans of its channel.
        known: words of its channel near what is missing. One may be heard again, a little elsewhere.
    """
    if isinstance(heard, UtteranceEnd):
        return [heard for span in missing if span.start < heard.last_word_end <= span.end]
    found = [span for span in missing if heard.start < span.end and heard.end > span.start]
    homes = [(word, _home(word, found)) for word in heard.words if not any(_is_same(word, other) for other in known)]
    return [_piece(heard, span, tuple(word for word, home in homes if home is span)) for span in found]


def near(words: Iterable[Word], missing: Sequence[Span]) -> list[Word]:
    """The words that may be heard again together with what is missing: few, at its edges."""
    return [
        word
        for word in words
        if any(word.end > span.start - LEAD_IN and word.start < span.end + LEAD_IN for span in missing)
    ]


def _home(word: Word, missing: Iterable[Span]) -> Span | None:
    """The span that has most of a word, if any does: a final may have ended in the midst of a word, and left it out."""
    return max((span for span in missing if _reaches_into(word, span)), key=partial(_overlap, word), default=None)


def _reaches_into(word: Word, span: Span) -> bool:
    return _overlap(word, span) > TOLERANCE or span.start < (word.start + word.end) / 2 <= span.end


def _piece(result: Results | TurnInfo, span: Span, words: tuple[Word, ...]) -> Results | TurnInfo:
    start, end = max(result.start, span.start), min(result.end, span.end)
    text = _text(result, words, span)
    if isinstance(result, TurnInfo):
        return evolve(result, audio_window_start=start, audio_window_end=end, words=words, transcript=text)
    best = (evolve(result.alternatives[0], words=words, transcript=text),) if result.alternatives else ()
    goes_on = end < result.end - TOLERANCE
    return evolve(
        result,
        start=start,
        duration=end - start,
        alternatives=best,
        entities=(),
        speech_final=result.speech_final and not goes_on,
        from_finalize=result.from_finalize and not goes_on,
    )


def _is_same(word: Word, other: Word) -> bool:
    """Whether two words lie at the same place: more than half of the shorter one in the other."""
    return _overlap(word, other) > min(word.end - word.start, other.end - other.start) / 2


def _overlap(word: Word, other: Word | Span) -> float:
    """Seconds that both have, or less than none."""
    return min(word.end, other.end) - max(word.start, other.start)


def _text(result: Results | TurnInfo, words: tuple[Word, ...], span: Span) -> str:
    if not result.words:  # it cannot be cut
        return result.transcript if span.start < (result.start + result.end) / 2 <= span.end else ""
    if words == result.words:
        return result.transcript
    # Some scripts put nothing between their words.
    glue = "" if result.transcript == "".join(word.text for word in result.words) else " "
    return glue.join(word.text for word in words)


def in_order(heard: Iterable[Heard]) -> list[Heard]:
    """As one stream would have brought it: by time, the end of an utterance after what it ends."""
    return sorted(heard, key=_place)


def _place(heard: Heard) -> tuple[float, int]:
    return (heard.last_word_end, 0) if isinstance(heard, UtteranceEnd) else (heard.start, 1)
