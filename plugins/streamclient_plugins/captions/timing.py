"""When a caption is shown, and in which order the captions of several channels are written."""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from attrs import evolve, frozen

from streamclient_plugins.captions.cues import Block
from streamclient_plugins.captions.style import Style

__all__ = ["Cue", "CueOrder", "linger_of", "show"]

FLICKER = 500
"""Milliseconds; a caption stays over a shorter silence before the next one, because a blink is worse than a rest."""

PATIENCE = 15_000
"""Milliseconds of audio that a caption waits at most for what was said before it on another channel."""

LATE_DURATION = 1000
"""Milliseconds that a caption stays that comes after its time."""


@frozen
class Cue:
    """A caption and when it is shown.

    Args:
        start: milliseconds.
        end: milliseconds, after the start.
        lines: its text.
        voice: who speaks, or nothing where that is not told.
    """

    start: int
    end: int
    lines: tuple[str, ...]
    voice: str = ""


def linger_of(style: Style) -> int:
    """Milliseconds that a caption may stay after its last word while it is not known when the next one comes.

    The next one waits for its end, and so a caption never comes later than its words by more than this and a gap.
    """
    return round(style.min_duration * 1000)


def show(blocks: Sequence[Block], style: Style, *, free_from: int = 0, linger: int, voice: str = "") -> list[Cue]:
    """Decide when to show the captions of one channel.

    Each starts with its first word and stays as long as its words are spoken and reading takes, but goes before the
    next one. Where one is in the way, the next starts late.

    Args:
        blocks: in order of time.
        style: the limits.
        free_from: when the captions before these have gone.
        linger: milliseconds that the last one may stay after its last word.
        voice: who speaks.
    """
    gap = round(style.gap * 1000)
    cues: list[Cue] = []
    limits = [*(block.start - gap for block in blocks[1:]), blocks[-1].end + linger] if blocks else []
    for block, limit in zip(blocks, limits, strict=True):
        start = max(block.start, free_from)
        end = _end(block, start, limit, style, is_last=block is blocks[-1])
        cues.append(Cue(start, end, block.lines, voice))
        free_from = end + gap
    return cues


def _end(block: Block, start: int, limit: int, style: Style, *, is_last: bool) -> int:
    end = max(block.end, round(start + block.reading_time(style)))
    if not is_last and limit - end < FLICKER:
        end = limit
    return max(min(end, limit, start + round(style.max_duration * 1000)), start + 1)


class CueOrder:
    """Lets cues go in the order of their starts, though utterances of several channels end in another order.

    A cue waits until it is known of every channel what was said there before it; what comes too late all the same is
    shown late, because no start may be before the one written last.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Cue]] = []
        self._numbers = count()
        self._heard: dict[int, int] = {}
        self._began: dict[int, int] = {}
        self._certain: set[int] = set()
        self._last_start = 0

    def hear(self, channel: int, start: int | None, until: int, *, final: bool, channels: int) -> None:
        """There is a result for this channel: what was said from ``start`` on belongs to an unfinished utterance.

        Args:
            channel: its number.
            start: of its first word, in milliseconds; ``None`` for silence.
            until: end of the result, in milliseconds.
            final: whether it will not change.
            channels: how many there are.
        """
        for known in range(channels):
            self._heard.setdefault(known, 0)
        self._heard[channel] = max(self._heard.get(channel, 0), until)
        if channel in self._certain:
            return
        if start is None:
            self._began.pop(channel, None)
            return
        self._began[channel] = start
        if final:
            self._certain.add(channel)

    def add(self, channel: int, cues: Iterable[Cue]) -> None:
        """Take the cues of the utterance that has ended on this channel."""
        self._began.pop(channel, None)
        self._certain.discard(channel)
        for cue in cues:
            heappush(self._waiting, (cue.start, next(self._numbers), cue))

    def ready(self, *, everything: bool = False) -> Iterator[Cue]:
        """The cues that can be written now, in order; all of them at the end, or where nothing was ever heard."""
        settled = min((self._began.get(channel, until) for channel, until in self._heard.items()), default=None)
        while self._waiting and (everything or settled is None or self._may_go(self._waiting[0][0], settled)):
            yield self._in_order(heappop(self._waiting)[-1])

    def _may_go(self, start: int, settled: int) -> bool:
        return start <= max(settled, max(self._heard.values()) - PATIENCE)

    def _in_order(self, cue: Cue) -> Cue:
        self._last_start = max(self._last_start, cue.start)
        shortest = min(cue.end - cue.start, LATE_DURATION)
        return evolve(cue, start=self._last_start, end=max(cue.end, self._last_start + shortest))
