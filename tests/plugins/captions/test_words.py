"""The words of captions: those of the text, with the times of the words."""

import sys

import pytest

from streamclient import Utterance, Word
from streamclient_plugins.captions.words import columns_of, words_of


def pieces(text: str, *words: Word, length: int = 42) -> list[tuple[str, int, int, bool]]:
    """Text, start, end and space of each word."""
    utterance = Utterance(0, 1.0, 3.0, text, words)
    return [(word.text, word.start, word.end, word.spaced) for word in words_of(utterance, length)]


def test_words_stand_as_in_the_text_with_their_times() -> None:
    """Punctuated, in milliseconds, and with the spaces of the text."""
    assert pieces("It's fine.", Word("its", 1.0, 1.2504, punctuated_word="It's"), Word("fine.", 1.3, 2.0)) == [
        ("It's", 1000, 1250, False),
        ("fine.", 1300, 2000, True),
    ]


def test_the_text_decides_which_words_there_are() -> None:
    """What a plugin has taken out of the text is not shown, though the words still have it."""
    words = (Word("code", 1.0, 1.5), Word("1234", 1.5, 2.0))
    assert pieces("code ####", *words) == [("code", 1000, 1500, False), ("####", 1500, 2000, True)]
    assert pieces("[secret]", *words) == [("[secret]", 1000, 3000, False)]
    assert pieces("", *words) == []


def test_a_text_without_words_is_spread_over_its_time() -> None:
    """By the width of its words."""
    assert pieces("one three") == [("one", 1000, 1750, False), ("three", 1750, 3000, True)]


def test_words_without_spaces_get_none() -> None:
    """As the service joined them."""
    assert pieces("今日は", Word("今日", 1.0, 2.0), Word("は", 2.0, 2.5)) == [
        ("今日", 1000, 2000, False),
        ("は", 2000, 2500, False),
    ]


def test_a_line_can_end_between_letters_where_the_script_has_no_words() -> None:
    """But punctuation is not torn from its letter, and words of other scripts are not divided."""
    texts = [text for text, *_ in pieces("「今日」は、OK です。")]
    assert texts == ["「今", "日」", "は、", "OK", "で", "す。"]


def test_a_chinese_word_wider_than_a_line_is_divided() -> None:
    """Its time is shared; a Latin one stays whole."""
    assert pieces("很长的词", Word("很长的词", 1.0, 2.0), length=6) == [
        ("很", 1000, 1250, False),
        ("长", 1250, 1500, False),
        ("的", 1500, 1750, False),
        ("词", 1750, 2000, False),
    ]
    assert [text for text, *_ in pieces("understanding", length=8)] == ["understanding"]


def test_times_never_go_back() -> None:
    """Whatever the service says: not a number, before the word before, before its own start."""
    wild = (Word("a", 2.0, 1.0), Word("b", float("nan"), float("inf")), Word("c", -1.0, 2.5))
    assert pieces("a b c", *wild) == [("a", 2000, 2000, False), ("b", 2000, 2000, True), ("c", 2000, 2500, True)]


def test_what_is_no_text_is_left_out() -> None:
    """Control characters and line breaks cannot break a file; joiners of real scripts stay."""
    assert [text for text, *_ in pieces("a\x00\x1b b\u2028c \ud800 \u0645\u06cc\u200c\u062e")] == [
        "a",
        "b",
        "c",
        "\u0645\u06cc\u200c\u062e",
    ]


WIDTHS = [("abc", 3), ("今日は", 6), ("e\u0301", 1), ("שלום", 4), ("می\u200cخ", 3), ("한국", 4)]


@pytest.mark.parametrize(("text", "columns"), WIDTHS)
def test_wide_characters_take_two_columns(text: str, columns: int) -> None:
    """Marks and joiners take none."""
    assert columns_of(text) == columns


@pytest.mark.parametrize(("text", "columns"), WIDTHS)
def test_without_wcwidth_the_standard_library_counts(text: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is for emoji; nobody's captions depend on it."""
    monkeypatch.setitem(sys.modules, "wcwidth", None)
    assert columns_of(text) == columns


def test_wcwidth_knows_emoji() -> None:
    """A family of four is one picture."""
    assert columns_of("👩\u200d👩\u200d👧\u200d👦") == 2
