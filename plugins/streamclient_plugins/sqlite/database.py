"""The file: its tables, how it is opened, and how an older one becomes a newer one.

A connection lives for one transaction, in one thread. So none is ever carried over a fork or between threads, a killed
process leaves whole transactions, and several processes can write at the same time.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from streamclient import StreamClientError

__all__ = ["MIGRATIONS", "check_database", "connect", "transaction"]

PATIENCE = 30.0
"""Seconds to wait for another writer."""

APPLICATION = 0x53435452
"""What SQLite's header says of such a file: "SCTR"."""

VERSION_1 = (
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        stream_id TEXT NOT NULL UNIQUE,
        source TEXT,                      -- name of the audio without its suffix, where it has one
        opened_at TEXT NOT NULL,          -- UTC, ISO 8601
        closed_at TEXT,                   -- NULL while it runs, and for ever where the process was killed
        model TEXT,
        language TEXT,
        multichannel INTEGER NOT NULL,
        duration REAL,                    -- seconds of audio, like the following once it is closed
        complete INTEGER,                 -- 1: every byte of audio has its transcript
        request_ids TEXT,                 -- JSON list
        gaps TEXT,                        -- JSON list of {"start": ..., "end": ...}
        close_code INTEGER,
        close_reason TEXT,
        error TEXT                        -- why it failed, where it did
    )
    """,
    """
    CREATE TABLE utterances (
        id INTEGER PRIMARY KEY,
        session_id INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
        number INTEGER NOT NULL,          -- from 0, in the order they were completed
        channel INTEGER NOT NULL,
        speaker INTEGER,                  -- NULL without diarization
        start_time REAL NOT NULL,         -- seconds
        end_time REAL NOT NULL,
        text TEXT NOT NULL,
        confidence REAL NOT NULL,
        UNIQUE (session_id, number)
    )
    """,
    """
    CREATE TABLE words (
        utterance_id INTEGER NOT NULL REFERENCES utterances ON DELETE CASCADE,
        position INTEGER NOT NULL,        -- from 0
        word TEXT NOT NULL,               -- as recognised
        text TEXT NOT NULL,               -- as a reader wants it
        start_time REAL NOT NULL,         -- seconds
        end_time REAL NOT NULL,
        confidence REAL NOT NULL,
        speaker INTEGER,
        language TEXT,
        PRIMARY KEY (utterance_id, position)
    ) WITHOUT ROWID
    """,
    "CREATE VIRTUAL TABLE utterances_fts USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')",
    """
    CREATE TRIGGER utterance_deleted AFTER DELETE ON utterances BEGIN
        DELETE FROM utterances_fts WHERE rowid = old.id;
    END
    """,
)
"""``utterances_fts`` has the rowid of ``utterances`` and its text as it is searched; see `searchable`."""

MIGRATIONS: Sequence[Sequence[str]] = (VERSION_1,)
"""Statements that lead from each version to the next; a file's version (``PRAGMA user_version``) is how many it has."""


@contextmanager
def transaction(path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> Iterator[sqlite3.Connection]:
    """Write in one transaction, which is there as a whole or not at all; the file is made or made newer first.

    Args:
        path: the file.
        migrations: of all versions.

    Raises:
        StreamClientError: the file is no database of transcripts, or a newer streamclient has written it.
        sqlite3.Error: it cannot be written.
    """
    with connect(path, create=True) as connection:
        _prefer_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        _migrate(connection, path, migrations)
        yield connection
        connection.execute("COMMIT")  # what is not committed is gone with the connection


@contextmanager
def connect(path: Path, *, create: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection for this thread, closed in the end.

    Args:
        path: the file.
        create: whether to make it where there is none.
    """
    mode = "rwc" if create else "rw"
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, uri=True)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def check_database(path: Path) -> None:
    """Refuse a file that is no database of transcripts, or one that a newer streamclient has written.

    Raises:
        StreamClientError: saying which.
    """
    with connect(path) as connection:
        _version(connection, path, MIGRATIONS)


def _prefer_wal(connection: sqlite3.Connection) -> None:
    """Let readers read while somebody writes. The file remembers it, so that the next one can do it, too."""
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        return
    with suppress(sqlite3.OperationalError):  # somebody else is making the file just now
        connection.execute("PRAGMA journal_mode = WAL")


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    version = _version(connection, path, migrations)
    for statements in migrations[version:]:
        for statement in statements:
            connection.execute(statement)
    if version < len(migrations):
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> int:
    """How many migrations the file has had."""
    try:
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
        ((application,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
    except sqlite3.DatabaseError as error:
        raise StreamClientError(f"{path} is no database of transcripts: {error}") from error
    if tables and application != APPLICATION:
        raise StreamClientError(f"{path} is a database of something else", hint="Choose another path.")
    if version > len(migrations):
        raise StreamClientError(f"{path} was written by a newer streamclient", hint="Upgrade streamclient.")
    return int(version)
