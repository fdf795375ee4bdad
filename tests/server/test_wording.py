"""What is done to recognised words."""

import pytest

from streamclient.server.engines import Word
from streamclient.server.wording import Replacement, Wording


def spoken(text: str) -> list[Word]:
    """Words of a fifth of a second with a tenth between them, punctuated as they are written."""
    return [
        Word(written.lower().strip(".,?"), index * 0.3, index * 0.3 + 0.2, 0.9, written)
        for index, written in enumerate(text.split())
    ]


def texts(words: list[Word]) -> str:
    """The words without marks."""
    return " ".join(word.text for word in words)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("I paid nine hundred and twenty five dollars.", "i paid 925 dollars"),
        ("On the twenty first, three point five.", "on the 21st 3.5"),
        ("Nobody counts here.", "nobody counts here"),
        ("One, two, three.", "1 2 3"),
    ],
)
def test_numbers_become_digits(said: str, written: str) -> None:
    """Cardinals, ordinals and decimals; a comma between two numbers keeps them apart."""
    assert texts(Wording(numerals=True).apply(spoken(said), "en")) == written


def test_a_number_spans_its_words_and_keeps_their_mark() -> None:
    """It begins with the first word, ends with the last, and is followed by what followed them."""
    (_, number) = Wording(numerals=True).apply(spoken("pay twenty five."), "en-US")
    assert (number.text, number.punctuated) == ("25", "25.")
    assert (number.start, number.end) == pytest.approx((0.3, 0.8))


def test_a_pause_makes_two_numbers() -> None:
    """What is said with a breath between is not one number."""
    words = spoken("twenty five")
    words[1] = Word("five", 2.0, 2.2, 0.9)
    assert texts(Wording(numerals=True).apply(words, "en")) == "20 5"


def test_numbers_of_an_unknown_language_stay_words() -> None:
    """It is not an error to ask."""
    assert texts(Wording(numerals=True).apply(spoken("one two"), "tlh")) == "one two"


def test_terms_are_replaced_or_deleted() -> None:
    """In order, whatever their case, phrases too; without a replacement the term goes."""
    wording = Wording(tuple(map(Replacement.parse, ("monika:Monica", "you know", "Monica said:M.S."))))
    written = wording.apply(spoken("Monika you know, said. Monika said yes."), "en")
    assert texts(written) == "M.S. M.S. yes"
    assert [word.punctuated for word in written] == ["M.S..", "M.S.", "yes."]


def test_a_deleted_word_leaves_the_rest_in_place() -> None:
    """Times do not move."""
    written = Wording((Replacement.parse("um"),)).apply(spoken("um yes um no"), "en")
    assert [(word.text, round(word.start, 1)) for word in written] == [("yes", 0.3), ("no", 0.9)]


def test_searched_terms_are_found_with_their_times() -> None:
    """Exact, nearly, or not at all; the best hit first."""
    one, none = Wording(search=("call me", "zebra")).hits(spoken("Call ma or call me now"))
    assert one["query"] == "call me"
    assert [hit["snippet"] for hit in one["hits"]] == ["call me", "call ma"]
    assert (one["hits"][0]["start"], one["hits"][0]["end"]) == pytest.approx((0.9, 1.4))
    assert one["hits"][0]["confidence"] == 0.9 > one["hits"][1]["confidence"]
    assert none == {"query": "zebra", "hits": []}
