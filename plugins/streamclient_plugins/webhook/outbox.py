"""The outbox: letters that survive the process that wrote them, in one SQLite file.

Several processes may share the file. A letter is *taken* under a lease before it is sent: whoever dies with it loses
it to the others when the lease ends. Only the oldest letter of a stream can be taken, so a stream's letters are
delivered one after the other, whoever sends them. What is sent twice, because a process died or was stopped for longer
than a lease between sending and noting it, has the same id.

A connection belongs to one thread, and is never carried over a fork.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from attrs import frozen

from streamclient_plugins.webhook.rules import LONGEST_WAIT, Fate, Verdict

__all__ = ["Endpoint", "Letter", "Outbox", "OutboxFull"]

VERSION = 1
PATIENCE = 10.0
"""Seconds to wait for another process that is writing."""

SCHEMA = f"""
CREATE TABLE letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL,
    stream TEXT NOT NULL,
    event TEXT NOT NULL,
    body BLOB NOT NULL,
    created REAL NOT NULL,
    is_dead INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    leased_until REAL NOT NULL DEFAULT 0,
    leased_by TEXT,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX letters_in_order ON letters (endpoint, is_dead, stream, number);
CREATE TABLE endpoints (
    name TEXT PRIMARY KEY,
    paused_until REAL NOT NULL DEFAULT 0,
    is_stopped INTEGER NOT NULL DEFAULT 0
);
PRAGMA user_version = {VERSION};
"""

HEAD = "SELECT min(number) AS head FROM letters WHERE endpoint = :endpoint AND is_dead = 0 AND stream ="
"""The oldest waiting letter of a stream."""

HEADS = f"""
WITH RECURSIVE streams(name) AS (
    SELECT min(stream) FROM letters WHERE endpoint = :endpoint AND is_dead = 0
    UNION ALL
    SELECT (SELECT min(stream) FROM letters WHERE endpoint = :endpoint AND is_dead = 0 AND stream > name)
    FROM streams WHERE name IS NOT NULL
)
SELECT ({HEAD} name) AS head FROM streams
"""  # noqa: S608 - constants
"""That of each stream. It goes from stream to stream in the index, and no further than it is asked: many may wait."""

COLUMNS = "number, id, endpoint, stream, event, body, created, is_dead, tries, next_at, leased_until, error"


class OutboxFull(Exception):
    """A letter was refused, because too many wait already."""


@frozen
class Letter:
    """One event on its way to one endpoint.

    Args:
        number: its place; the letters of a stream are delivered in this order.
        id: the same at each attempt.
        endpoint: where it goes to, by name.
        stream: whose event it is.
        event: what happened.
        body: what is posted.
        created: when it was written, as seconds since 1970.
        is_dead: whether all attempts have failed.
        tries: attempts so far.
        next_at: when the next attempt is due.
        leased_until: until when somebody is sending it.
        error: why the last attempt failed.
    """

    number: int
    id: str
    endpoint: str
    stream: str
    event: str
    body: bytes
    created: float
    is_dead: bool = False
    tries: int = 0
    next_at: float = 0.0
    leased_until: float = 0.0
    error: str = ""


@frozen
class Endpoint:
    """Where letters go to.

    Args:
        name: tells endpoints apart, without the secrets of a URL.
        paused_until: when it may be sent something again, as it asked.
        is_stopped: it has answered 410 Gone, and gets nothing until somebody says ``retry``.
    """

    name: str
    paused_until: float = 0.0
    is_stopped: bool = False


class Outbox:
    """A connection to the file.

    Args:
        path: of the file; it is made where there is none, for its owner's eyes only.

    Raises:
        OSError: it cannot be made or opened.
        ValueError: it is no outbox, or one of a later version.
    """

    def __init__(self, path: Path) -> None:
        self._database = _connect(path)

    def __enter__(self) -> "Outbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def put(self, letter: Letter, limit: int) -> None:
        """Keep a letter; when this returns it is on the disk. Its number is given here.

        Raises:
            OutboxFull: so many letters to its endpoint wait already.
        """
        with self._writing():
            if self.count(letter.endpoint) >= limit:
                raise OutboxFull(
                    f"{limit} events wait for {letter.endpoint} already, so this {letter.event} is not kept; "
                    "`streamclient outbox list` shows them"
                )
            self._database.execute(
                "INSERT INTO letters (id, endpoint, stream, event, body, created, next_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (letter.id, letter.endpoint, letter.stream, letter.event, letter.body, letter.created, letter.next_at),
            )

    def take(
        self, endpoint: str, owner: str, now: float, lease: float, stream: str | None = None, grace: float = 0.0
    ) -> Letter | None:
        """Take the oldest letter of a stream, if it is due, so that nobody else takes it.

        Args:
            endpoint: whose letters.
            owner: who sends it.
            now: the time.
            lease: seconds until others may take it again.
            stream: whose events; ``None`` for any that has one that is due.
            grace: seconds for which a letter is left to the stream that has put it.
        """
        with self._writing():
            row = self._database.execute(
                f"SELECT {COLUMNS} FROM {_heads(stream)}"  # noqa: S608 - constants
                f" WHERE NOT {_ahead('next_at')} AND NOT {_ahead('leased_until')} AND abs(:now - created) >= :grace"
                " AND NOT EXISTS (SELECT 1 FROM endpoints WHERE name = :endpoint"
                f" AND (is_stopped OR {_ahead('paused_until')})) LIMIT 1",
                {
                    "endpoint": endpoint,
                    "stream": stream,
                    "now": now,
                    "grace": grace,
                    "horizon": now + 2 * max(lease, LONGEST_WAIT),  # who has waited for others has an old idea of now
                },
            ).fetchone()
            if row is None:
                return None
            letter = _letter(row)
            self._database.execute(
                "UPDATE letters SET leased_until = ?, leased_by = ? WHERE number = ?",
                (now + lease, owner, letter.number),
            )
        return letter

    def settle(self, letter: Letter, owner: str, verdict: Verdict, error: str = "") -> None:
        """Note what came of an attempt, unless it failed and somebody else has the letter by now."""
        with self._writing():
            if verdict.fate is Fate.DELIVERED:
                self._database.execute("DELETE FROM letters WHERE number = ?", (letter.number,))
                return
            self._hold_back(letter.endpoint, verdict)
            self._database.execute(
                "UPDATE letters SET tries = tries + 1, is_dead = ?, next_at = ?, leased_until = 0, error = ?"
                " WHERE number = ? AND leased_by = ?",
                (verdict.fate is Fate.DEAD, verdict.next_at, error, letter.number, owner),
            )

    def _hold_back(self, endpoint: str, verdict: Verdict) -> None:
        self._database.execute(
            "INSERT INTO endpoints (name, paused_until, is_stopped) VALUES (:name, :until, :stopped) ON CONFLICT (name)"
            " DO UPDATE SET paused_until = max(paused_until, :until), is_stopped = is_stopped OR :stopped",
            {"name": endpoint, "until": verdict.pause_until, "stopped": verdict.fate is Fate.STOPPED},
        )

    def give_back(self, letter: Letter, owner: str) -> None:
        """Give up a letter that was taken and not sent."""
        with self._writing():
            self._database.execute(
                "UPDATE letters SET leased_until = 0 WHERE number = ? AND leased_by = ?", (letter.number, owner)
            )

    def next_due(self, endpoint: str, stream: str | None = None, grace: float = 0.0) -> float | None:
        """When there is something to take, maybe in the past; ``None`` while nothing is known to become due."""
        row = self._database.execute(
            "SELECT max(min(max(next_at, leased_until, created + :grace)),"  # noqa: S608 - constants
            " (SELECT coalesce(max(paused_until), 0) FROM endpoints WHERE name = :endpoint))"
            f" FROM {_heads(stream)}"
            " WHERE NOT EXISTS (SELECT 1 FROM endpoints WHERE name = :endpoint AND is_stopped)",
            {"endpoint": endpoint, "stream": stream, "grace": grace},
        ).fetchone()
        due: float | None = row[0]
        return due

    def is_sending(self, endpoint: str, stream: str, now: float) -> bool:
        """Whether somebody is sending a letter of a stream."""
        found = self._database.execute(
            f"SELECT 1 FROM {_heads(stream)} WHERE leased_until > :now",  # noqa: S608
            {"endpoint": endpoint, "stream": stream, "now": now},
        )
        return found.fetchone() is not None

    def count(self, endpoint: str, stream: str | None = None) -> int:
        """How many letters wait, of one stream or of all."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM letters WHERE endpoint = :endpoint AND is_dead = 0"
            " AND (:stream IS NULL OR stream = :stream)",
            {"endpoint": endpoint, "stream": stream},
        ).fetchone()
        assert isinstance(count, int)
        return count

    def letters(self) -> Iterator[Letter]:
        """All letters, the oldest first."""
        return map(_letter, self._database.execute(f"SELECT {COLUMNS} FROM letters ORDER BY number"))  # noqa: S608

    def endpoints(self) -> Sequence[Endpoint]:
        """The endpoints that letters are here for or that have asked to be left alone."""
        rows = self._database.execute(
            "SELECT name, coalesce(paused_until, 0), coalesce(is_stopped, 0)"
            " FROM (SELECT name FROM endpoints UNION SELECT endpoint FROM letters)"
            " LEFT JOIN endpoints USING (name) ORDER BY 1"
        )
        return [Endpoint(name, paused_until, bool(is_stopped)) for name, paused_until, is_stopped in rows]

    def retry(self, numbers: Iterable[int], now: float) -> None:
        """Make letters due now, dead ones too, with all their attempts; their endpoints get letters again."""
        with self._writing():
            for number in numbers:
                self._database.execute(
                    "UPDATE letters SET is_dead = 0, tries = 0, next_at = ? WHERE number = ?", (now, number)
                )
                self._database.execute(
                    "DELETE FROM endpoints WHERE name = (SELECT endpoint FROM letters WHERE number = ?)", (number,)
                )

    def drop(self, numbers: Iterable[int]) -> None:
        """Throw letters away."""
        with self._writing():
            self._database.executemany("DELETE FROM letters WHERE number = ?", ((number,) for number in numbers))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction. It begins as a writer, because one that began as a reader could not become one."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _heads(stream: str | None) -> str:
    """The oldest letters, of one stream or of each, as a table."""
    return f"({HEADS if stream is None else HEAD + ' :stream'}) CROSS JOIN letters ON number = head"


def _ahead(time: str) -> str:
    """Whether a time is still to come. None can be beyond the horizon, unless a wrong clock has set it."""
    return f"({time} > :now AND {time} <= :horizon)"


def _letter(row: Sequence[object]) -> Letter:
    number, id_, endpoint, stream, event, body, created, is_dead, *rest = row
    return Letter(number, id_, endpoint, stream, event, body, created, bool(is_dead), *rest)  # type: ignore[arg-type]  # the schema's types


def _connect(path: Path) -> sqlite3.Connection:
    if not path.exists():
        _make(path)
    with _named(path):
        database = _open(path)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            # Others count their versions from 1, too.
            if version != VERSION or not database.execute("PRAGMA table_info(letters)").fetchall():
                raise ValueError(f"{path} is not an outbox of this version of streamclient")
        except BaseException:
            database.close()
            raise
    return database


def _make(path: Path) -> None:
    """Make the file beside its place and put it there whole: several processes may want it at once."""
    with _named(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent)
    with folder:
        draft = Path(folder.name, path.name)
        # Transcripts are nobody else's business.
        os.close(os.open(draft, os.O_CREAT, 0o600))
        with _named(path), closing(_open(draft)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)
        with suppress(FileExistsError):  # somebody else was faster
            os.link(draft, path)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        # A letter is to survive a power cut as well, not only the process.
        database.execute("PRAGMA synchronous = FULL")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors that say which file they are about."""
    try:
        yield
    except OSError as error:
        raise OSError(f"The outbox {path} cannot be made: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        raise OSError(f"The outbox {path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} is not an outbox: {error}") from error
