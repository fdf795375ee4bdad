"""Utterances in, the text of a caption file out: piece by piece while they come, or at once from a transcript."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from attrs import define, field

from streamclient import Results, Transcript, TurnInfo, Utterance
from streamclient_plugins.captions.cues import Block, divide
from streamclient_plugins.captions.formats import HEADERS, Format, srt_label, write_cue
from streamclient_plugins.captions.style import Style
from streamclient_plugins.captions.timing import Cue, CueOrder, linger_of, show
from streamclient_plugins.captions.words import TimedWord, columns_of, following, words_of
from streamclient_plugins.text import label_of

__all__ = ["CaptionText", "to_captions"]

ONE_THOUGHT = 500
"""Milliseconds; over a shorter pause, what one speaker says next can be in the same caption."""


@define(eq=False)
class CaptionText:
    """Makes the text of a caption file while utterances come: `header`, then what each call returns.

    Each text it returns is one whole cue. Starts never go back, ends are after starts, and what has been returned is
    never changed later.

    Args:
        format: ``"vtt"`` or ``"srt"``.
        style: the limits.
        labels: whether to name channels and speakers, where the stream tells them apart.
        multichannel: whether there are several channels; their captions may be seen at the same time.
    """

    format: Format
    style: Style = Style()
    labels: bool = True
    multichannel: bool = False
    _order: CueOrder = field(factory=CueOrder, init=False)
    _free_from: dict[int, int] = field(factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _voice: str = field(default="", init=False)

    @property
    def header(self) -> str:
        """What the file begins with; may be empty."""
        return HEADERS[self.format]

    def hear(self, result: Results | TurnInfo, *, final: bool) -> list[str]:
        """Take note of an interim or a final, so that captions of other channels wait for what began before them."""
        if not self.multichannel or isinstance(result, TurnInfo):
            return []
        start = round((result.words[0].start if result.words else result.start) * 1000) if result.transcript else None
        until = round(result.end * 1000)
        self._order.hear(result.channel, start, until, final=final, channels=result.channels)
        return self._written()

    def add(self, utterance: Utterance) -> list[str]:
        """The cues that this utterance completes."""
        linger = linger_of(self.style)
        voice = self._voice_of(utterance)
        blocks = self._divide(words_of(utterance, self.style.line_length), voice, linger)
        free_from = self._free_from.get(utterance.channel, 0)
        cues = show(blocks, self.style, free_from=free_from, linger=linger, voice=voice)
        if cues:
            self._free_from[utterance.channel] = cues[-1].end + round(self.style.gap * 1000)
        self._order.add(utterance.channel, cues)
        return self._written()

    def finish(self) -> list[str]:
        """The cues that still wait for another channel."""
        return self._written(everything=True)

    def add_all(self, utterances: Iterable[Utterance]) -> list[str]:
        """The cues of all utterances there will ever be: knowing what comes next makes them better."""
        by_channel = groupby(sorted(utterances, key=_place), key=lambda utterance: utterance.channel)
        for channel, said in by_channel:
            self._order.add(channel, self._whole_channel(list(said)))
        return self.finish()

    def _whole_channel(self, utterances: Sequence[Utterance]) -> Iterator[Cue]:
        linger = linger_of(self.style)
        voiced = [(self._voice_of(one), words_of(one, self.style.line_length)) for one in utterances]
        runs = _runs((voice, words) for voice, words in voiced if words)
        blocks = [(voice, block) for voice, words in runs for block in self._divide(words, voice, linger)]
        cues = show([block for _, block in blocks], self.style, linger=linger)
        for (voice, _), cue in zip(blocks, cues, strict=True):
            yield Cue(cue.start, cue.end, cue.lines, voice)

    def _divide(self, words: Sequence[TimedWord], voice: str, linger: int) -> list[Block]:
        label = columns_of(srt_label(voice)) if self.format == "srt" else 0
        return divide(words, self.style, linger=linger, indent=min(label, self.style.line_length // 2))

    def _voice_of(self, utterance: Utterance) -> str:
        return label_of(utterance, multichannel=self.multichannel) if self.labels else ""

    def _written(self, *, everything: bool = False) -> list[str]:
        return [self._write(cue) for cue in self._order.ready(everything=everything)]

    def _write(self, cue: Cue) -> str:
        self._number += 1
        before, self._voice = self._voice, cue.voice
        return write_cue(self.format, self._number, cue, voice_before=before)


def _place(utterance: Utterance) -> tuple[int, float]:
    return utterance.channel, utterance.start


def _runs(voiced: Iterable[tuple[str, list[TimedWord]]]) -> list[tuple[str, list[TimedWord]]]:
    """Join what one voice says with short pauses between."""
    runs: list[tuple[str, list[TimedWord]]] = []
    for voice, words in voiced:
        if runs and runs[-1][0] == voice and words[0].start - runs[-1][1][-1].end <= ONE_THOUGHT:
            runs[-1][1].extend(following(runs[-1][1][-1], words))
        else:
            runs.append((voice, words))
    return runs


def to_captions(
    transcript: Transcript,
    format: Format = "vtt",  # noqa: A002 - as users call it
    style: Style = Style(),  # noqa: B008 - frozen
    *,
    labels: bool = True,
) -> str:
    """The captions of a finished transcript.

    Args:
        transcript: of any stream.
        format: ``"vtt"`` (WebVTT) or ``"srt"`` (SubRip).
        style: the limits; `style_of` makes one from a preset.
        labels: whether to name channels and speakers, where the transcript tells them apart.

    Returns:
        The text of a file.

    Raises:
        ValueError: the format is unknown.
    """
    if format not in HEADERS:
        raise ValueError(f"format={format!r} is unknown; there are {', '.join(HEADERS)}")
    channels = {utterance.channel for utterance in transcript.utterances}
    text = CaptionText(format, style, labels=labels, multichannel=len(channels) > 1)
    return text.header + "".join(text.add_all(transcript.utterances))
