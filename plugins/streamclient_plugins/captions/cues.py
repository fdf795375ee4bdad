"""Words in, captions out: where a caption ends and where its lines break.

Every way to divide the words that keeps the limits has a cost; the cheapest is taken. A break costs what the grammar
says; the rest is in the constants here. Nothing here knows files, formats or streams.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

from attrs import frozen

from streamclient_plugins.captions.grammar import break_cost, inside_cost
from streamclient_plugins.captions.style import Style
from streamclient_plugins.captions.words import TimedWord

__all__ = ["Block", "divide"]

CAPTION = 4.0
"""Each caption: the eye must find it."""
CAPTION_BREAK = 1.5
"""How much more a break between captions costs than one between lines."""
SCRAP = 10.0
"""An almost empty line, or an almost empty caption that is no sentence of its own; nothing from so many columns on:"""
SCRAP_COLUMNS = 16
RAGGED = 14.0
"""How much lines differ in length: the sum of the squares of their empty shares, beyond that of lines all alike."""
HURRY = 14.0
"""A caption without any of the time that reading it takes; less where only a part is missing."""

Layout = tuple[float, tuple[int, ...]]
"""What it costs, and where lines end."""


@frozen
class Block:
    """The text of one caption.

    Args:
        words: its words, in order.
        lines: the same, as lines.
    """

    words: tuple[TimedWord, ...]
    lines: tuple[str, ...]

    @property
    def start(self) -> int:
        """When its first word is spoken, in milliseconds."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """When its last word has been spoken, in milliseconds."""
        return self.words[-1].end

    def reading_time(self, style: Style) -> float:
        """How long it should be seen at least, in milliseconds."""
        return reading_time(sum(word.columns + word.spaced for word in self.words), style)


def reading_time(columns: int, style: Style) -> float:
    """How long so much text should be seen at least, in milliseconds."""
    return min(max(style.min_duration, columns / style.reading_speed), style.max_duration) * 1000


def divide(words: Sequence[TimedWord], style: Style, *, linger: int, indent: int = 0) -> list[Block]:
    """Divide what one speaker says into captions.

    Every word is in one of them, in order. No line is longer than the style allows, unless a single word is; no caption
    has more lines, or more words than are spoken in the longest time it allows.

    Args:
        words: in order of time.
        style: the limits.
        linger: milliseconds that the last caption can stay after its last word.
        indent: columns to leave free at the start of each caption, for the speaker's name.
    """
    return _Division(words, style, linger, indent).blocks()


class _Division:
    """The costs of all captions that can be made of these words; ``first`` and ``end`` are as in a slice."""

    def __init__(self, words: Sequence[TimedWord], style: Style, linger: int, indent: int) -> None:
        self.words = words
        self.style = style
        self.linger = linger
        self.indent = indent
        self.rights = list(accumulate(word.columns + word.spaced for word in words))
        self.lefts = [right - word.columns for word, right in zip(words, self.rights, strict=True)]
        self.breaks = [0.0, *(break_cost(before, after) for before, after in pairwise(words)), 0.0]
        self.insides = list(accumulate([0.0, *(inside_cost(before, after) for before, after in pairwise(words))]))
        self.lay_out = lru_cache(maxsize=4096)(self._lay_out)

    def blocks(self) -> list[Block]:
        """The cheapest division."""
        count = len(self.words)
        cheapest = [0.0] + [float("inf")] * count
        origins = [0] * (count + 1)
        for first in range(count):
            for end in range(first + 1, count + 1):
                cost = self._cost(first, end)
                if cost is None:  # nor does anything longer fit
                    break
                if cheapest[first] + cost < cheapest[end]:
                    cheapest[end], origins[end] = cheapest[first] + cost, first
        return [self._block(first, end) for first, end in _steps(origins)]

    def _block(self, first: int, end: int) -> Block:
        layout = self.lay_out(first, end, self.style.lines)
        assert layout is not None, "the division is made of what fits"
        edges = (first, *layout[1], end)
        lines = tuple(_join(self.words[left:right]) for left, right in pairwise(edges))
        return Block(tuple(self.words[first:end]), lines)

    def _cost(self, first: int, end: int) -> float | None:
        """Of a caption; ``None`` where it would break a limit."""
        spoken = self.words[end - 1].end - self.words[first].start
        if end - first > 1 and spoken > self.style.max_duration * 1000:
            return None
        layout = self.lay_out(first, end, self.style.lines)
        if layout is None:
            return None
        is_part = self.breaks[first] or self.breaks[end]
        scrap = self._scrap(first, end) if is_part else 0.0
        inside = self.insides[end - 1] - self.insides[first]
        text = layout[0] - self._unavoidable(first, end, len(layout[1]) + 1) + inside + scrap
        return CAPTION + CAPTION_BREAK * self.breaks[end] + text + self._hurry(first, end)

    def _hurry(self, first: int, end: int) -> float:
        """What it costs that the next caption comes before this one is read."""
        needed = reading_time(self._columns(first, end), self.style)
        missing = needed - (self._until(end) - self.words[first].start)
        return HURRY * min(missing / needed, 1.0) if missing > 0 else 0.0

    def _until(self, end: int) -> float:
        """When a caption must be gone."""
        if end == len(self.words):
            return self.words[-1].end + self.linger
        return self.words[end].start - self.style.gap * 1000

    def _lay_out(self, first: int, end: int, lines: int) -> Layout | None:
        """Where to break a caption into at most so many lines; ``None`` where it does not fit."""
        if self._fits(first, end, self.indent):
            return self._line_cost(first, end, self.indent), ()
        best: Layout | None = None
        for middle in range(end - 1, first, -1) if lines > 1 else ():
            if not self._fits(middle, end):
                break
            above = self.lay_out(first, middle, lines - 1)
            if above is None:
                continue
            cost = above[0] + self._line_cost(middle, end) + self.breaks[middle]
            if best is None or cost < best[0]:
                best = cost, (*above[1], middle)
        return best

    def _columns(self, first: int, end: int) -> int:
        return self.rights[end - 1] - self.lefts[first]

    def _fits(self, first: int, end: int, indent: int = 0) -> bool:
        return end - first == 1 or indent + self._columns(first, end) <= self.style.line_length

    def _line_cost(self, first: int, end: int, indent: int = 0) -> float:
        """Of one line among others."""
        empty = 1.0 - (indent + self._columns(first, end)) / self.style.line_length
        return RAGGED * empty * empty + self._scrap(first, end)

    def _unavoidable(self, first: int, end: int, lines: int) -> float:
        """What so many lines cost when all are alike."""
        empty = 1.0 - (self.indent + self._columns(first, end)) / (self.style.line_length * lines)
        return RAGGED * lines * empty * empty

    def _scrap(self, first: int, end: int) -> float:
        return SCRAP * max(1.0 - self._columns(first, end) / SCRAP_COLUMNS, 0.0)


def _steps(origins: Sequence[int]) -> list[tuple[int, int]]:
    """The captions of the cheapest division, from where each position was reached."""
    steps = []
    end = len(origins) - 1
    while end > 0:
        steps.append((origins[end], end))
        end = origins[end]
    return steps[::-1]


def _join(words: Sequence[TimedWord]) -> str:
    return "".join(" " * word.spaced + word.text for word in words).strip()
