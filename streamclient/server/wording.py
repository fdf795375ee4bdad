"""What is done to recognised words before a client gets them: numbers as digits, replacements, searched terms.

It is as much of the service's formatting as follows from the words alone. Capitals and punctuation are the engine's.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import attrs

from streamclient.server.engines.base import Word

__all__ = ["Replacement", "Wording"]

ALIKE = 0.75
"""How alike a term and some words have to be for a hit, from 0 to 1."""
END_MARKS = ".,;:!?"


@attrs.frozen
class Replacement:
    """A term and what is written instead.

    Attributes:
        find: its words, lower-case.
        replacement: in their place; empty to delete them.
    """

    find: tuple[str, ...]
    replacement: str

    @classmethod
    def parse(cls, text: str) -> "Replacement":
        """Read ``find:replacement``; without a replacement the term is deleted."""
        find, _, replacement = text.partition(":")
        return cls(tuple(find.lower().split()), replacement)


@attrs.frozen
class Wording:
    """What a client wants done to the words.

    Attributes:
        replacements: applied in order, each to what those before it left.
        search: terms to be found.
        numerals: whether numbers are written as digits.
    """

    replacements: tuple[Replacement, ...] = ()
    search: tuple[str, ...] = ()
    numerals: bool = False

    def apply(self, words: Sequence[Word], language: str) -> list[Word]:
        """The words as they are written; one that stands for several spans their time."""
        written = list(words)
        if self.numerals:
            written = list(_with_digits(written, language))
        for replacement in self.replacements:
            written = list(_replaced(written, replacement))
        return written

    def hits(self, words: Sequence[Word]) -> list[dict[str, Any]]:
        """Where each searched term is in these words, best hit first (Deepgram: "Search")."""
        return [{"query": term, "hits": _hits(words, term.lower().split())} for term in self.search]


def _joined(words: Sequence[Word], text: str, punctuated: str | None) -> Word:
    confidence = sum(word.confidence for word in words) / len(words)
    return attrs.evolve(words[0], text=text, end=words[-1].end, confidence=confidence, punctuated=punctuated)


def _replaced(words: list[Word], wanted: Replacement) -> Iterator[Word]:
    length, index = len(wanted.find), 0
    while index < len(words):
        found = words[index : index + length]
        if length and tuple(word.text.lower() for word in found) == wanted.find:
            if wanted.replacement:
                yield _joined(found, wanted.replacement, _with_mark(wanted.replacement, found[-1]))
            index += length
        else:
            yield words[index]
            index += 1


def _with_mark(text: str, last: Word) -> str | None:
    """The text, with the mark that ends the words it stands for."""
    if last.punctuated is None:
        return None
    return text + last.punctuated[len(last.punctuated.rstrip(END_MARKS)) :]


def _with_digits(words: list[Word], language: str) -> Iterator[Word]:
    index = 0
    for begin, end, digits in _numbers(words, language):
        yield from words[index:begin]
        yield _joined(words[begin:end], digits, _with_mark(digits, words[end - 1]))
        index = end
    yield from words[index:]


def _numbers(words: list[Word], language: str) -> list[tuple[int, int, str]]:
    """Spans of words that are numbers, and their digits; none in a language that is not known."""
    from text_to_num import find_numbers  # type: ignore[import-untyped]

    try:
        found = find_numbers([NumberToken(word) for word in words], language.partition("-")[0], 0.0)
    except ValueError:
        return []
    return [(number.start, number.end, number.text) for number in found]


class NumberToken:
    """A word as ``text_to_num`` wants it."""

    def __init__(self, word: Word) -> None:
        self.word = word

    def text(self) -> str:
        """As it is."""
        return self.word.text

    def text_lowercase(self) -> str:
        """In lower case."""
        return self.word.text.lower()

    def nt_separated(self, previous: "NumberToken") -> bool:
        """A pause or a mark between two words makes two numbers of them."""
        marked = (previous.word.punctuated or "").endswith(tuple(END_MARKS))
        return marked or self.word.start - previous.word.end > LONGEST_BREATH

    def not_a_number_part(self) -> bool:
        """Every word may be one."""
        return False


LONGEST_BREATH = 0.5
"""Seconds between two words of one number."""


def _hits(words: Sequence[Word], term: list[str]) -> list[dict[str, Any]]:
    hits = [hit for begin in range(len(words) - len(term) + 1) if (hit := _hit(words[begin : begin + len(term)], term))]
    return sorted(hits, key=lambda hit: -hit["confidence"])


def _hit(words: Sequence[Word], term: list[str]) -> dict[str, Any] | None:
    if not term:
        return None
    snippet = " ".join(word.text for word in words)
    alike = SequenceMatcher(None, snippet, " ".join(term)).ratio()
    if alike < ALIKE:
        return None
    return {
        "confidence": round(alike * sum(word.confidence for word in words) / len(words), 4),
        "start": round(words[0].start, 6),
        "end": round(words[-1].end, 6),
        "snippet": snippet,
    }
