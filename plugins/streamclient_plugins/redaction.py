"""What is to be redacted, and how: in a text and in its words alike. Knows no stream."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import attrs
from attrs import frozen

from streamclient import Word
from streamclient_plugins.scripts import UNSPACED

__all__ = ["KINDS", "Redaction", "as_pattern"]

BEGIN = rf"(?:(?<![^\W{UNSPACED}])|(?=[{UNSPACED}]))"
END = rf"(?:(?![^\W{UNSPACED}])|(?<=[{UNSPACED}]))"
"""Of a word; between letters of a script without spaces there can be one anywhere."""

DIGIT = r"(?:\d|zero|oh|one|two|three|four|five|six|seven|eight|nine)"
"""As formatted, and as spoken."""


def _digits(least: int, most: int) -> str:
    return rf"{BEGIN}\+?\(?{DIGIT}(?:[\s().,/-]*{DIGIT}){{{least - 1},{most - 1}}}{END}"


KINDS = {
    "card": _digits(12, 19),
    "phone": _digits(7, 15),
    "digits": _digits(3, 60),
    "email": r"(?<!\w)[\w.+-]+(?:(?: dot | dash | underscore )[\w.+-]+)*(?:@| at )[\w-]+(?:(?:\.| dot )[\w-]+)+(?!\w)",
}
"""Patterns by name; they rather take too much than too little."""

APOSTROPHE = re.compile("['\u2019\u02bc]")
"""However it is typed; the service writes the first."""

Span = tuple[int, int]


def as_pattern(phrase: str) -> str:
    """A pattern for a word or a phrase, whatever stands between its words."""
    # An accent may be typed as a character of its own; the service writes both as one.
    words = unicodedata.normalize("NFC", phrase).split()
    return BEGIN + APOSTROPHE.sub(APOSTROPHE.pattern, r"\W+".join(map(re.escape, words))) + END


@frozen
class Redaction:
    """Finds what is to be redacted and puts something else in its place.

    Args:
        patterns: regular expressions; the case of letters means nothing.
        replacement: what stands in place of each find.
    """

    patterns: tuple["re.Pattern[str]", ...]
    replacement: str

    @classmethod
    def of(cls, patterns: Iterable[str], replacement: str) -> "Redaction":
        """From patterns as text.

        Raises:
            ValueError: one is not a regular expression, or fits the empty text and so everything.
        """
        return cls(tuple(map(_compiled, patterns)), replacement)

    def finds(self, text: str) -> list[Span]:
        """Where something is to be redacted: in order, none touching another."""
        spans = sorted(found.span() for pattern in self.patterns for found in pattern.finditer(text))
        return _merged(span for span in spans if span[0] < span[1])

    def text(self, text: str) -> str:
        """A text without what is to be redacted."""
        return self._cut(text, self.finds(text))

    def words(self, text: str, words: Sequence[Word]) -> tuple[str, tuple[Word, ...]]:
        """A text and the words it is made of, without what is to be redacted in either.

        The words are looked through as they are written and as they were spoken, since "4242" may be one and
        "forty two forty two" the other; what is found in one goes from both.
        """
        glue = "" if text == "".join(word.text for word in words) else " "
        written, written_places = _joined([word.text for word in words], glue)
        spoken, spoken_places = _joined([word.word for word in words], glue)
        spans = self.finds(written)
        seen = {number for span in spans for number in _touched(span, written_places)}
        heard = [_touched(span, spoken_places) for span in self.finds(spoken)]
        unseen = [(written_places[hit[0]][0], written_places[hit[-1]][1]) for hit in heard if not seen.issuperset(hit)]
        spans = _merged(sorted([*spans, *(_trimmed(written, span) for span in unseen)]))
        if not spans:
            # The service may write a text that its words do not make; then they cannot be told apart.
            cleaned = self.text(text)
            return cleaned, tuple(words) if cleaned == text else ()
        if text != written and len(self.finds(text)) > len(spans):
            # Some of it is in neither form of the words, and where is not known.
            return self.replacement, ()
        redacted = tuple(self._word(word, place, spans) for word, place in zip(words, written_places, strict=True))
        return self._cut(written, spans), redacted

    def _word(self, word: Word, place: Span, spans: Sequence[Span]) -> Word:
        inside = [span for span in spans if span[0] < place[1] and place[0] < span[1]]
        if not inside:
            return word
        before, after = max(inside[0][0] - place[0], 0), min(inside[-1][1] - place[0], place[1] - place[0])
        written = word.text[:before] + self.replacement + word.text[after:]
        return attrs.evolve(
            word, word=self.replacement, punctuated_word=None if word.punctuated_word is None else written
        )

    def _cut(self, text: str, spans: Iterable[Span]) -> str:
        pieces, end = [], 0
        for start, stop in spans:
            pieces += [text[end:start], self.replacement]
            end = stop
        return "".join([*pieces, text[end:]])


def _compiled(pattern: str) -> "re.Pattern[str]":
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"pattern={pattern!r} is not a regular expression: {error}") from error
    if compiled.search(""):
        raise ValueError(f"pattern={pattern!r} fits the empty text, and so everything")
    return compiled


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _joined(texts: Sequence[str], glue: str) -> tuple[str, list[Span]]:
    """The texts with what stands between them, and the place of each."""
    places, end = [], 0
    for text in texts:
        places.append((end, end + len(text)))
        end += len(text) + len(glue)
    return glue.join(texts), places


def _touched(span: Span, places: Sequence[Span]) -> list[int]:
    """The numbers of the words that a find is in."""
    return [number for number, place in enumerate(places) if span[0] < place[1] and place[0] < span[1]]


def _trimmed(text: str, span: Span) -> Span:
    """Without the marks at its ends, unless it is nothing else."""
    inner = re.compile(r"\w.*\w|\w", re.DOTALL).search(text, *span)
    return inner.span() if inner else span
