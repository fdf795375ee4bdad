"""The plugins csv, tsv, rttm and ctm: tables that other programs read."""

import csv
from pathlib import Path

import attrs
import pytest

from streamclient import Closed, Opened, PluginError, Transcript, Utterance, Word, source_stem
from streamclient.plugins import load_plugins
from streamclient_plugins.tables import Csv
from tests.plugins.conftest import UTTERANCE, Play

ODD = attrs.evolve(UTTERANCE, index=1, text='She said "no",\nand left\t; so', speaker=None)
DIALOGUE = Utterance(
    2, 0.0, 4.0, "a b c d", tuple(Word(w, n, n + 1.0, 0.5, None, n // 2) for n, w in enumerate("abcd")), speaker=0
)


def written(play: Play, plugin: str, *utterances: Utterance, name: str = "stream-1") -> str:
    """What the plugin wrote of these utterances."""
    assert play(plugin, [Opened(), *utterances, Closed(Transcript())]) == []
    return Path(f"{name}.{plugin.partition(':')[0]}").read_bytes().decode("utf-8")


def test_csv_is_read_back_by_the_standard_library(play: Play) -> None:
    """Quotes, line breaks and delimiters in a text stay what they are; what is not known is empty."""
    text = written(play, "csv", UTTERANCE, ODD)

    assert list(csv.DictReader(text.splitlines(keepends=True))) == [
        {
            "index": "0",
            "start": "1.000",
            "end": "2.000",
            "channel": "1",
            "speaker": "1",
            "confidence": "0.625",
            "text": "Two teas.",
        },
        {
            "index": "1",
            "start": "1.000",
            "end": "2.000",
            "channel": "1",
            "speaker": "",
            "confidence": "0.625",
            "text": 'She said "no",\nand left\t; so',
        },
    ]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_break_alone_is_reason_enough_for_quotes(play: Play, end: str) -> None:
    """A text of two lines is one cell."""
    text = written(play, "csv:header=no", attrs.evolve(UTTERANCE, text=f"two{end}teas"))

    (row,) = csv.reader(text.splitlines(keepends=True))
    assert row[-1] == f"two{end}teas"


def test_a_row_for_each_word(play: Play) -> None:
    """With the number of its utterance."""
    assert written(play, "csv:per=word,header=no,delimiter=;", UTTERANCE).splitlines() == [
        "0;1.000;1.250;1;1;0.500;Two",
        "0;1.250;2.000;1;;0.750;teas",
    ]


def test_tsv_has_one_line_per_row_whatever_is_in_it(play: Play) -> None:
    """No quotes, and no tab or line break inside a cell."""
    lines = [line.split("\t") for line in written(play, "tsv", ODD).splitlines()]

    assert lines[0] == ["index", "start", "end", "channel", "speaker", "confidence", "text"]
    assert lines[1] == ["1", "1.000", "2.000", "1", "", "0.625", 'She said "no", and left ; so']


def test_a_table_that_is_continued_has_one_header(play: Play) -> None:
    """Appending to a file with rows adds rows."""
    written(play, "csv", UTTERANCE)

    text = written(play, "csv:existing=append", UTTERANCE)

    assert text.count("index") == 1
    assert len(text.splitlines()) == 3


def test_a_table_that_was_rotated_away_begins_anew(play: Play) -> None:
    """With a header of its own."""
    plugin = Csv(path="x.csv")
    assert play(plugin, [Opened(), UTTERANCE]) == []
    Path("x.csv").rename("x.csv.1")
    assert play(plugin, [UTTERANCE, Closed(Transcript())]) == []

    assert Path("x.csv").read_bytes() == Path("x.csv.1").read_bytes()
    assert Path("x.csv").read_text("utf-8").startswith("index,start")


def test_a_delimiter_that_cannot_be_one_is_refused() -> None:
    """It would make a file that nobody can read."""
    for delimiter in ("", ";;", '""""'):
        with pytest.raises(PluginError, match="is not one character that can stand between two cells"):
            load_plugins([f"csv:delimiter={delimiter}"])


def test_rttm_has_a_line_for_each_turn(play: Play) -> None:
    """NIST's ten fields; the speaker is the service's number on its channel, without one the channel."""
    lines = written(play, "rttm", DIALOGUE, attrs.evolve(UTTERANCE, words=(), speaker=None)).splitlines()

    assert lines == [
        "SPEAKER stream-1 1 0.000 2.000 <NA> <NA> channel0_speaker0 <NA> <NA>",
        "SPEAKER stream-1 1 2.000 2.000 <NA> <NA> channel0_speaker1 <NA> <NA>",
        "SPEAKER stream-1 2 1.000 1.000 <NA> <NA> channel1 <NA> <NA>",
    ]


def test_ctm_has_a_line_for_each_word(play: Play) -> None:
    """The word as it was spoken: what scoring compares."""
    token = source_stem.set("my talk")
    try:
        lines = written(play, "ctm", UTTERANCE, name="my talk").splitlines()
    finally:
        source_stem.reset(token)

    assert lines == ["my_talk 2 1.000 0.250 two 0.500", "my_talk 2 1.250 0.750 teas 0.750"]
