"""The words of an utterance as captions need them: as they stand in its text, timed, and as wide as they are shown."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite

from attrs import evolve, field, frozen

from streamclient import Utterance

__all__ = ["TimedWord", "columns_of", "following", "words_of"]

NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""Control characters other than white space, and halves of surrogate pairs."""

CJK = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of Chinese and Japanese, between which there is no space and a line can end anywhere."""

NEVER_FIRST = "\u3001\u3002\uff0c\uff0e\uff01\uff1f\uff1a\uff1b\u300d\u300f\uff09\u3011\u3015\u3009\u300b\u2026"
NEVER_FIRST += "\u3005\u30fcぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ\u3099\u309a\ufe00-\ufe0f"
NEVER_LAST = "\u300c\u300e\uff08\u3010\u3014\u3008\u300a"
UNSPACED = re.compile(f"[{CJK}{NEVER_FIRST}{NEVER_LAST}]")
PIECE = re.compile(f"[{NEVER_LAST}]*[{CJK}][{NEVER_FIRST}]*|[^{CJK}\\s]+")
"""What stays together on a line: a Chinese or Japanese letter with its punctuation, or a word of another script."""


def columns_of(text: str) -> int:
    """How many columns a text takes; 2 for each wide character.

    Exact with the library wcwidth (extra ``captions``); without it, what the standard library knows.
    """
    if text.isascii():
        return len(text)
    try:
        from wcwidth import wcswidth
    except ImportError:
        return sum(map(_columns_of_character, text))
    return max(wcswidth(text), 0)


def _columns_of_character(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


@frozen
class TimedWord:
    """A word that is never divided.

    Args:
        text: as it stands in the utterance, with its punctuation.
        start: milliseconds.
        end: milliseconds, not before the start.
        spaced: whether a space stands before it.
        columns: how many columns it takes.
    """

    text: str
    start: int
    end: int
    spaced: bool = True
    columns: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "columns", columns_of(self.text))


def words_of(utterance: Utterance, line_length: int) -> list[TimedWord]:
    """The words of the utterance's text, in order, with times that never go back.

    The text decides: where its words are not those of ``utterance.words``, because a plugin has changed it, for
    example, the times are spread over them.

    Args:
        utterance: may be without words.
        line_length: a Chinese or Japanese word wider than this is divided.
    """
    spoken = [word for word in utterance.words if _clean(word.text)]
    pieces = _pieces(_clean(utterance.text), [_clean(word.text) for word in spoken])
    times: Iterable[tuple[float, float]] = [(word.start, word.end) for word in spoken]
    if len(pieces) != len(spoken):
        times = _spread(pieces, utterance.start, utterance.end)
    words = []
    latest = 0
    for (piece, spaced), (start, end) in zip(pieces, times, strict=True):
        begins = _milliseconds(start, latest)
        latest = _milliseconds(end, begins)
        words.append(TimedWord(piece, begins, latest, spaced))
    return [part for word in words for part in _divided(word, line_length)]


def following(before: TimedWord, words: Sequence[TimedWord]) -> list[TimedWord]:
    """Words that go on after ``before``: with a space between, where the script has one."""
    spaced = not (UNSPACED.match(before.text[-1]) and UNSPACED.match(words[0].text[0]))
    return [evolve(words[0], spaced=spaced), *words[1:]]


def _clean(text: str) -> str:
    return " ".join(NOT_TEXT.sub("", text).split())


def _milliseconds(seconds: float, earliest: int) -> int:
    return max(round(seconds * 1000), earliest) if isfinite(seconds) else earliest


def _pieces(text: str, words: Sequence[str]) -> list[tuple[str, bool]]:
    """The words of a text, each with whether a space stands before it: those given, where the text is made of them."""
    return _aligned(text, words) or _cut(text)


def _aligned(text: str, words: Sequence[str]) -> list[tuple[str, bool]]:
    """The words as they stand in the text; nothing where it is not made of them."""
    pieces = []
    position = 0
    for word in words:
        spaced = text.startswith(" ", position)
        position += spaced
        if not text.startswith(word, position):
            return []
        position += len(word)
        pieces.append((word, spaced))
    return pieces if position == len(text) else []


def _cut(text: str) -> list[tuple[str, bool]]:
    return [(match[0], text[match.start() - 1 : match.start()] == " ") for match in PIECE.finditer(text)]


def _spread(pieces: Sequence[tuple[str, bool]], start: float, end: float) -> Iterator[tuple[float, float]]:
    """Give each piece a share of the time, by its width."""
    widths = [max(columns_of(piece), 1) for piece, _ in pieces]
    share = (end - start) / max(sum(widths), 1)
    done = 0
    for width in widths:
        yield start + done * share, start + (done + width) * share
        done += width


def _divided(word: TimedWord, line_length: int) -> list[TimedWord]:
    """A word that fits on no line, in pieces where its script allows it."""
    pieces = _cut(word.text) if word.columns > line_length else []
    if len(pieces) < 2:
        return [word]
    times = _spread(pieces, word.start, word.end)
    parts = [
        TimedWord(piece, round(start), round(end), spaced)
        for (piece, spaced), (start, end) in zip(pieces, times, strict=True)
    ]
    return [evolve(parts[0], spaced=word.spaced), *parts[1:]]
