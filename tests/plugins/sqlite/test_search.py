"""Finding a moment in transcripts."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclient import ListenOptions, OptionsError, StreamClientError, Transcript, Utterance, Word
from streamclient_plugins.sqlite import Hit, Sqlite, search
from tests.plugins.conftest import View

TALKS = {
    "monday": ["Good morning.", "The invoice number is 4711, the invoice is paid.", "Call the café, Zoë."],
    "tuesday": ["Is there a number on the invoice?", "今日はいい天気ですね", 'Don\'t say "never" (again)'],
}


def fill(path: Path, talks: dict[str, list[str]], *, spread: bool = True) -> None:
    """Write talks, in this order; every word takes a second, every utterance begins ten seconds after another."""
    plugin = Sqlite(path=str(path))
    for name, texts in talks.items():
        view = View(id=name, options=ListenOptions(multichannel=name == "tuesday"))
        plugin.on_open(view)
        for index, text in enumerate(texts):
            spoken = text.split() if spread else []
            start = 10.0 * index
            words = tuple(
                Word(word.lower(), start + n, start + n + 1, punctuated_word=word) for n, word in enumerate(spoken)
            )
            plugin.on_utterance(view, Utterance(index, start, start + len(words), text, words, channel=index % 2))
        plugin.on_close(view, Transcript())


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two talks."""
    path = tmp_path_factory.mktemp("search") / "transcripts.db"
    fill(path, TALKS)
    return path


def found(database: Path, *phrases: str) -> list[tuple[str, float]]:
    """Stream and time of each hit."""
    return [(hit.stream_id, hit.time) for hit in search(database, *phrases)]


def marked(hit: Hit) -> list[str]:
    """What was found, as it was said."""
    return [hit.utterance.text[begin:end] for begin, end in hit.marks]


@pytest.mark.parametrize(
    ("phrases", "hits"),
    [
        (["invoice number"], [("monday", 11.0)]),
        (["number", "invoice"], [("tuesday", 3.0), ("monday", 11.0)]),
        (["INVOICE"], [("tuesday", 6.0), ("monday", 11.0)]),
        (["invoic*"], [("tuesday", 6.0), ("monday", 11.0)]),
        (["invoic"], []),
        (["number is 4711"], [("monday", 12.0)]),
        (["cafe zoe"], [("monday", 22.0)]),
        (["天気"], [("tuesday", 10.0)]),
        (["天", "今日"], [("tuesday", 10.0)]),
        (["気天"], []),
        (["don't say"], [("tuesday", 20.0)]),
        (['say "never" (again)'], [("tuesday", 21.0)]),
        (["invoice\0 number\ud800"], [("monday", 11.0)]),
        (["invoice AND number"], []),
        (["morning", "invoice"], []),
    ],
)
def test_the_moment_is_found(phrases: list[str], hits: list[tuple[str, float]], database: Path) -> None:
    """Words of a phrase next to each other, all phrases in one utterance, the newest stream first."""
    assert found(database, *phrases) == hits


def test_what_was_found_is_marked_as_it_was_said(database: Path) -> None:
    """With its capitals and accents."""
    (hit,) = search(database, "invoice", "paid")
    assert marked(hit) == ["invoice", "invoice", "paid"]
    (hit,) = search(database, "天気")
    assert marked(hit) == ["天気"]
    (hit,) = search(database, "cafe zoe")
    assert marked(hit) == ["café, Zoë"]


def test_a_hit_can_come_with_the_utterances_around(database: Path) -> None:
    """Of the same stream, in order."""
    (hit,) = search(database, "invoice number", context=5)
    assert (hit.before, hit.after) == (("Good morning.",), ("Call the café, Zoë.",))
    (hit,) = search(database, "invoice number")
    assert (hit.before, hit.after) == ((), ())


def test_the_number_of_hits_can_be_limited(database: Path) -> None:
    """The first ones are given."""
    assert [hit.stream_id for hit in search(database, "invoice", limit=1)] == ["tuesday"]


def test_without_words_the_time_is_that_of_the_utterance(tmp_path: Path) -> None:
    """It is known less exactly then."""
    fill(tmp_path / "x.db", {"a": ["one two three"]}, spread=False)
    assert found(tmp_path / "x.db", "three") == [("a", 0.0)]


def test_wrong_use_is_said(database: Path, tmp_path: Path) -> None:
    """No file, no words, no database."""
    with pytest.raises(OptionsError, match="There is no database"):
        list(search(tmp_path / "x.db", "one"))
    with pytest.raises(OptionsError, match="nothing to search for"):
        list(search(database, "?!"))
    (tmp_path / "text").write_text("one two three " * 100)
    with pytest.raises(StreamClientError, match="is no database of transcripts"):
        list(search(tmp_path / "text", "one"))
    (tmp_path / "empty").write_text("")
    with pytest.raises(StreamClientError, match="cannot be searched"):
        list(search(tmp_path / "empty", "one"))


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    """Whatever is left of it."""
    path = tmp_path / "x.db"
    fill(path, {"a": ["one two three"]})
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((size,),) = database.execute("PRAGMA page_size")
    whole = path.read_bytes()
    path.write_bytes(whole[: 2 * size].ljust(len(whole), b"\0"))

    with pytest.raises(StreamClientError, match="cannot be searched"):
        list(search(path, "one"))


WORDS = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8), min_size=1, max_size=6
)


@settings(max_examples=15)
@given(WORDS, st.text(max_size=20))
def test_every_word_of_any_text_is_found_and_no_query_breaks(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], query: str
) -> None:
    """Whatever was said can be searched for, whatever is searched for is words and never a language."""
    path = tmp_path_factory.mktemp("any") / "x.db"
    text = " ".join(" ".join(words).split())
    fill(path, {"a": [text]})
    for word in text.split():
        if any(character.isalnum() for character in word) and not word.endswith("*"):
            (hit,) = search(path, word)
            assert hit.utterance.text == text
            assert all(hit.utterance.text[begin:end].strip() for begin, end in hit.marks)
    if any(character.isalnum() for character in query):
        list(search(path, query))
