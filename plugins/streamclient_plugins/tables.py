"""The plugins ``csv``, ``tsv``, ``rttm`` and ``ctm``: transcripts for spreadsheets and for tools of speech research."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Literal

from attrs import define, field

from streamclient import StreamView, Utterance, Word, hookimpl, source_stem
from streamclient_plugins.writer import LineWriter, path_field

__all__ = ["Csv", "Ctm", "Rttm", "Tsv"]

Row = Sequence[object]

PER_UTTERANCE = ("index", "start", "end", "channel", "speaker", "confidence", "text")
PER_WORD = ("utterance", "start", "end", "channel", "speaker", "confidence", "word")


@define(eq=False, kw_only=True)
class _UtteranceWriter(LineWriter):
    """Opens the file with the stream and closes it with it."""

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Open the file."""
        self.open(stream)

    @hookimpl
    def on_close(self) -> None:
        """Close the file."""
        self.close()


@define(eq=False, kw_only=True)
class _Table(_UtteranceWriter):
    per: Literal["utterance", "word"] = field(default="utterance", metadata={"help": "What makes a row."})
    header: bool = field(default=True, metadata={"help": "Begin a new file with the names of the columns."})

    def begin(self) -> None:
        """Name the columns where the file is new."""
        if self.header and self.is_empty:
            self.write_line(self.row(PER_WORD if self.per == "word" else PER_UTTERANCE))

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        """Write its row, or its words' rows."""
        for row in _word_rows(utterance) if self.per == "word" else [_utterance_row(utterance)]:
            self.write_line(self.row(row))

    def row(self, cells: Row) -> str:
        """A line of the file."""
        raise NotImplementedError


@define(eq=False, kw_only=True)
class Csv(_Table):
    """Write a row of a CSV file for each utterance or word."""

    path: str = path_field("{stem}.csv")
    delimiter: str = field(default=",", metadata={"help": "What stands between two cells; one character."})

    def row(self, cells: Row) -> str:
        """Cells with a delimiter, a quote or a line break in them stand in quotes (RFC 4180)."""
        line = io.StringIO()
        # Before Python 3.13 only line breaks that could end a row are put in quotes.
        csv.writer(line, delimiter=self.delimiter, lineterminator="\r\n").writerow(cells)
        return line.getvalue().removesuffix("\r\n")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ValueError(f"delimiter={self.delimiter!r} is not one character that can stand between two cells")


@define(eq=False, kw_only=True)
class Tsv(_Table):
    """Write a line with tabs between the cells for each utterance or word."""

    path: str = path_field("{stem}.tsv")

    def row(self, cells: Row) -> str:
        """White space in a cell is one blank, so that nothing needs quotes."""
        return "\t".join(" ".join(str(cell).split()) for cell in cells)


@define(eq=False, kw_only=True)
class Rttm(_UtteranceWriter):
    """Write who speaks when, in NIST's Rich Transcription Time Marked format."""

    path: str = path_field("{stem}.rttm")

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Write a line for each speaker in turn."""
        turns = [(speaker, list(words)) for speaker, words in groupby(utterance.words, _speaker_of(utterance))]
        for speaker, words in turns or [(_speaker_of(utterance)(None), [])]:
            start, end = (words[0].start, words[-1].end) if words else (utterance.start, utterance.end)
            place = f"{_name(stream)} {utterance.channel + 1} {start:.3f} {max(end - start, 0.0):.3f}"
            self.write_line(f"SPEAKER {place} <NA> <NA> {speaker} <NA> <NA>")


@define(eq=False, kw_only=True)
class Ctm(_UtteranceWriter):
    """Write each word with its time, in NIST's format for scoring (CTM)."""

    path: str = path_field("{stem}.ctm")

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Write a line for each word."""
        for word in utterance.words:
            place = f"{_name(stream)} {utterance.channel + 1} {word.start:.3f} {max(word.end - word.start, 0.0):.3f}"
            self.write_line(f"{place} {_token(word.word)} {word.confidence:.3f}")


def _utterance_row(utterance: Utterance) -> Row:
    speaker = "" if utterance.speaker is None else utterance.speaker
    times = f"{utterance.start:.3f}", f"{utterance.end:.3f}"
    return utterance.index, *times, utterance.channel, speaker, f"{utterance.confidence:.3f}", utterance.text


def _word_rows(utterance: Utterance) -> Iterable[Row]:
    for word in utterance.words:
        speaker = "" if word.speaker is None else word.speaker
        times = f"{word.start:.3f}", f"{word.end:.3f}"
        yield utterance.index, *times, utterance.channel, speaker, f"{word.confidence:.3f}", word.text


def _speaker_of(utterance: Utterance) -> Callable[[Word | None], str]:
    """The service numbers speakers for each channel on its own; without diarization the channel is the speaker."""

    def name(word: Word | None) -> str:
        speaker = utterance.speaker if word is None or word.speaker is None else word.speaker
        return f"channel{utterance.channel}" + ("" if speaker is None else f"_speaker{speaker}")

    return name


def _name(stream: StreamView) -> str:
    return _token(source_stem.get() or stream.id)


def _token(text: str) -> str:
    """One token: the formats have blanks between fields and no quotes."""
    return "_".join(text.split()) or "_"
