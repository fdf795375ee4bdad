"""Where captions end and lines break: decided with numbers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient_plugins.captions import Style, style_of
from streamclient_plugins.captions.cues import Block, divide
from streamclient_plugins.captions.words import TimedWord

STYLES = st.builds(
    Style,
    line_length=st.integers(8, 60),
    lines=st.integers(1, 4),
    min_duration=st.floats(0.1, 2),
    max_duration=st.floats(2, 10),
    reading_speed=st.floats(5, 50),
    gap=st.floats(0, 0.5),
)
WORDS = st.sampled_from(
    ["a", "of", "the", "Yes.", "well,", "house", "understanding", "antidisestablishmentarianism", "中"]
)
TIMES = st.tuples(st.integers(0, 1500), st.integers(0, 2000))


def spaced(text: str, *, start: int = 0, speed: float = 0.06, pause: int = 0) -> list[TimedWord]:
    """Words that take ``speed`` seconds a letter; after a full stop a pause in milliseconds."""
    words = []
    for word in text.split():
        end = start + round(len(word) * speed * 1000)
        words.append(TimedWord(word, start, end))
        start = end + (pause if word.endswith(".") else 0)
    return words


def lines_of(text: str, style: Style = Style(), **timing: int) -> list[list[str]]:  # noqa: B008 - frozen
    """The lines of each caption of a text."""
    return [list(block.lines) for block in divide(spaced(text, **timing), style, linger=833)]


@st.composite
def timed_words(draw: st.DrawFn) -> list[TimedWord]:
    """Words in order, with any silence before and any length."""
    words = []
    clock = 0
    for text in draw(st.lists(WORDS, max_size=40)):
        silence, length = draw(TIMES)
        words.append(TimedWord(text, clock + silence, clock + silence + length, draw(st.booleans())))
        clock = words[-1].end
    return words


@given(timed_words(), STYLES, st.integers(0, 20))
def test_every_word_is_there_once_and_in_order(words: list[TimedWord], style: Style, indent: int) -> None:
    """Captions are made of the words and nothing else; the lines hold the same words."""
    blocks = divide(words, style, linger=500, indent=indent)

    assert [word for block in blocks for word in block.words] == words
    for block in blocks:
        assert "".join("".join(line.split()) for line in block.lines) == "".join(word.text for word in block.words)


@given(timed_words(), STYLES, st.integers(0, 7))
def test_limits_are_kept_wherever_words_allow_it(words: list[TimedWord], style: Style, indent: int) -> None:
    """Only a single word can be longer than a line, or be spoken for longer than a caption is shown."""
    for block in divide(words, style, linger=500, indent=indent):
        assert len(block.lines) <= style.lines
        assert len(block.words) == 1 or block.end - block.start <= style.max_duration * 1000
        for number, line in enumerate(block.lines):
            is_alone = line.strip() in {word.text for word in block.words}
            assert is_alone or columns(block, line) + (0 if number else indent) <= style.line_length


def columns(block: Block, line: str) -> int:
    """The width of a line of this block, from its words."""
    return sum(2 if character == "中" else 1 for character in line)


def test_what_fits_on_a_line_is_one_line() -> None:
    """A second line is not used to make it pretty."""
    assert lines_of("It would be liberal and handsome!") == [["It would be liberal and handsome!"]]


def test_the_end_of_a_sentence_ends_the_caption() -> None:
    """Two sentences that would fit together are shown one after the other."""
    assert lines_of("Three thousand pounds! He could spare so much.") == [
        ["Three thousand pounds!"],
        ["He could spare so much."],
    ]


def test_short_sentences_share_a_caption() -> None:
    """Captions of a fifth of a second would only flicker."""
    assert lines_of("Yes. No. Okay.") == [["Yes. No. Okay."]]


def test_an_abbreviation_ends_no_sentence() -> None:
    """Nor does an initial."""
    assert lines_of("Mr. John R. Dashwood and Mrs. Jennings") == [["Mr. John R. Dashwood and Mrs. Jennings"]]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("He was very young when he married, and very fond of his wife.",
         ["He was very young when he married,", "and very fond of his wife."]),
        ("The prospect of four thousand a year of income warmed his heart",
         ["The prospect of four thousand", "a year of income warmed his heart"]),
        ("He then really thought himself equal to it.",
         ["He then really thought", "himself equal to it."]),
    ],
)  # fmt: skip
def test_lines_break_where_a_reader_rests(text: str, lines: list[str]) -> None:
    """After punctuation, else before a small word and not after it; never with a scrap on a line of its own."""
    assert lines_of(text) == [lines]


def test_silence_ends_a_caption() -> None:
    """What is said after a pause is another thought, with punctuation or without."""
    before, after = spaced("he had then leisure"), spaced("to consider how much", start=3000)

    assert [block.lines for block in divide([*before, *after], Style(), linger=833)] == [
        ("he had then leisure",),
        ("to consider how much",),
    ]


def test_time_to_read_is_worth_an_unpunctuated_break() -> None:
    """Words said too fast to read are not put into a caption that has no time at all."""
    style = style_of("netflix", min_duration=2.0)
    blocks = divide(spaced("So it is. That is all there is to say about it", speed=0.03), style, linger=0)

    assert all(after.start - before.start > 300 for before, after in pairwise(blocks))


def test_room_is_left_for_the_name_of_the_speaker() -> None:
    """In the first line of each caption only."""
    words = spaced("It would be enough to make them easy.")
    assert len(divide(words, Style(), linger=0)[0].lines) == 1
    assert len(divide(words, Style(), linger=0, indent=12)[0].lines) == 2


def test_nothing_said_is_no_caption() -> None:
    """Nothing in, nothing out."""
    assert divide([], Style(), linger=0) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"line_length": 7}, "line_length"),
        ({"lines": 0}, "lines"),
        ({"gap": -0.1}, "gap"),
        ({"reading_speed": 0}, "reading_speed"),
        ({"max_duration": 0.5}, "min_duration=0.83 is longer than max_duration=0.50"),
        ({"preset": "cinema"}, "there are netflix, bbc, 608"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, float], message: str) -> None:
    """With the name of the one that is wrong."""
    with pytest.raises(ValueError, match=message):
        style_of(**limits)  # type: ignore[arg-type]  # wrong on purpose
