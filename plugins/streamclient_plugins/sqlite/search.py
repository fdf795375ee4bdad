"""Finding a moment: from words to be found to where and when they were said."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection, DatabaseError, Row

from attrs import frozen

from streamclient import OptionsError, StreamClientError, Utterance
from streamclient_plugins.scripts import UNSPACED
from streamclient_plugins.sqlite.database import check_database, connect

__all__ = ["Hit", "search", "searchable", "storable"]

UNSPACED_LETTER = re.compile(f"([{UNSPACED}])")

NOT_TEXT = re.compile("[\x00-\x08\ud800-\udfff]")
"""Control characters that are no white space, and halves of surrogate pairs."""

BEGIN, END = "\x02", "\x03"

FOUND = f"""
    SELECT s.stream_id, s.source, s.opened_at, s.multichannel, s.id AS session,
           u.id, u.number, u.channel, u.speaker, u.start_time, u.end_time, u.text, u.confidence,
           highlight(utterances_fts, 0, '{BEGIN}', '{END}') AS marked
    FROM utterances_fts
    JOIN utterances u ON u.id = utterances_fts.rowid
    JOIN sessions s ON s.id = u.session_id
    WHERE utterances_fts MATCH ?
    ORDER BY s.opened_at DESC, s.id DESC, u.start_time, u.number
    LIMIT ?
"""  # noqa: S608 - the marks are ours

AROUND = """
    SELECT text, number < :number AS is_before FROM utterances
    WHERE session_id = :session AND number BETWEEN :number - :context AND :number + :context AND number <> :number
    ORDER BY number
"""


@frozen
class Hit:
    """A moment at which something was said.

    Args:
        stream_id: of the stream.
        source: name of the audio without its suffix, or ``None``.
        opened_at: when the stream was opened, in UTC (ISO 8601).
        multichannel: whether the stream had several channels.
        time: when the first of the words was said, in seconds of the audio.
        utterance: where they were said; without its words.
        marks: where they are in its text, as the indices of slices.
        before: the texts of utterances before it.
        after: the texts of utterances after it.
    """

    stream_id: str
    source: str | None
    opened_at: str
    multichannel: bool
    time: float
    utterance: Utterance
    marks: tuple[tuple[int, int], ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def storable(text: str) -> str:
    """A text without what SQLite cannot hold or the marks of a search are made of."""
    return NOT_TEXT.sub("", text)


def searchable(text: str) -> str:
    """A text as it is indexed and searched: letters of scripts without spaces are words of their own."""
    return UNSPACED_LETTER.sub(r" \1 ", storable(text))


def search(path: str | Path, *phrases: str, limit: int | None = None, context: int = 0) -> Iterator[Hit]:
    """Find utterances in which all the phrases were said; the newest streams first, each in order of time.

    Capitals, accents and punctuation make no difference. A phrase can end in ``*`` for the start of a word.

    Args:
        path: the database.
        *phrases: one or several words each, next to one another.
        limit: how many to find at most.
        context: how many utterances before and after each hit to give.

    Raises:
        OptionsError: there is no such file, or nothing to search for.
        StreamClientError: it is no database of transcripts, or a damaged one.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise OptionsError(f"There is no database {place}")
    check_database(place)
    with connect(place) as connection:
        connection.row_factory = Row
        try:
            for row in connection.execute(FOUND, (_query(phrases), -1 if limit is None else limit)).fetchall():
                yield _hit(connection, row, context)
        except DatabaseError as error:
            raise StreamClientError(f"{place} cannot be searched: {error}") from error


def _query(phrases: Sequence[str]) -> str:
    """In the language of FTS5."""
    words = [phrase for phrase in phrases if re.search(r"\w", phrase)]
    if not words:
        raise OptionsError("There is nothing to search for", hint="Name at least one word.")
    return " AND ".join(map(_phrase, words))


def _phrase(phrase: str) -> str:
    text = searchable(phrase.rstrip("* ")).replace('"', '""')
    return f'"{text}" *' if phrase.rstrip().endswith("*") else f'"{text}"'


def _hit(connection: Connection, row: Row, context: int) -> Hit:
    around = {"session": row["session"], "number": row["number"], "context": context}
    neighbours = connection.execute(AROUND, around).fetchall() if context else []
    letters = _marked_letters(row["marked"])
    return Hit(
        stream_id=row["stream_id"],
        source=row["source"],
        opened_at=row["opened_at"],
        multichannel=bool(row["multichannel"]),
        time=_time(connection, row, letters[0][0]),
        utterance=Utterance(
            index=row["number"],
            start=row["start_time"],
            end=row["end_time"],
            text=row["text"],
            channel=row["channel"],
            speaker=row["speaker"],
            confidence=row["confidence"],
        ),
        marks=_marks(row["text"], letters),
        before=tuple(one["text"] for one in neighbours if one["is_before"]),
        after=tuple(one["text"] for one in neighbours if not one["is_before"]),
    )


def _marked_letters(marked: str) -> list[tuple[int, int]]:
    """Slices of what is marked, counted in letters without white space: the index has other spaces than the text."""
    slices = []
    letters = begun = 0
    for character in marked:
        if character == BEGIN:
            begun = letters
        elif character == END:
            slices.append((begun, letters))
        else:
            letters += not character.isspace()
    return slices


def _marks(text: str, letters: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    places = [place for place, character in enumerate(text) if not character.isspace()]
    return tuple((places[begin], places[end - 1] + 1) for begin, end in letters)


def _time(connection: Connection, row: Row, letter: int) -> float:
    """When the word with this letter begins; the start of the utterance where its words are not those of its text."""
    words = connection.execute(
        "SELECT text, start_time FROM words WHERE utterance_id = ? ORDER BY position", (row["id"],)
    ).fetchall()
    texts = ["".join(word["text"].split()) for word in words]
    if "".join(texts) != "".join(row["text"].split()):
        return float(row["start_time"])
    passed = 0
    for word, text in zip(words, texts, strict=True):
        passed += len(text)
        if letter < passed:
            return float(word["start_time"])
    return float(row["start_time"])
