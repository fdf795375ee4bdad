"""The plugin itself: every utterance is in the file when its hook returns."""

import json
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from sqlite3 import Connection, OperationalError

from attrs import asdict, define, field

from streamclient import StreamClientError, StreamView, Transcript, Utterance, hookimpl, source_stem
from streamclient_plugins.sqlite.database import check_database, transaction
from streamclient_plugins.sqlite.search import searchable, storable
from streamclient_plugins.text import is_multichannel

__all__ = ["DEFAULT_PATH", "Sqlite"]

DEFAULT_PATH = "transcripts.db"


def _check_path(_instance: object, _attribute: object, path: str) -> None:
    place = Path(path).expanduser()
    if not place.parent.is_dir():
        raise ValueError(f"path={path!r}: there is no folder {place.parent}")
    if place.exists():
        try:
            check_database(place)
        except StreamClientError as error:
            raise ValueError(str(error)) from error
        except OperationalError as error:
            raise ValueError(f"path={path!r}: {error}") from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@define(eq=False, kw_only=True)
class Sqlite:
    """Keep sessions, utterances and words in an SQLite file, where ``streamclient search`` finds them."""

    path: str = field(
        default=DEFAULT_PATH,
        validator=_check_path,
        metadata={"help": "The database; many streams and processes can share it. ~ is your home."},
    )
    words: bool = field(default=True, metadata={"help": "Keep each word with its time and confidence, too."})
    _opened_at: str = field(default="", init=False, repr=False)
    _unwritten: deque[Utterance] = field(factory=deque, init=False, repr=False)
    """What could not be written; it is tried again with the next event."""
    _begun: bool = field(default=False, init=False, repr=False)
    """Whether this stream has written something."""

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Begin a session."""
        self._unwritten.clear()
        self._begun = False
        self._opened_at = _now()
        self._write(stream)

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Keep it."""
        self._unwritten.append(utterance)
        self._write(stream)

    @hookimpl
    def on_error(self, stream: StreamView, error: StreamClientError) -> None:
        """Keep why the stream failed, if it ever stood."""
        self._write(stream, error=storable(str(error)))

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Keep how the stream ended, if it ever stood."""
        try:
            self._write(
                stream,
                closed_at=_now(),
                duration=transcript.duration,
                complete=transcript.complete,
                request_ids=json.dumps(transcript.request_ids),
                gaps=json.dumps([asdict(gap) for gap in transcript.gaps]),
                close_code=transcript.close_code,
                close_reason=storable(transcript.close_reason),
            )
        finally:
            self._opened_at = ""

    def _write(self, stream: StreamView, **facts: object) -> None:
        """All that waits, in one transaction."""
        if not self._opened_at:
            return
        with transaction(Path(self.path).expanduser()) as connection:
            if not self._begun:  # one that is played again takes the place of what was kept of it
                connection.execute("DELETE FROM sessions WHERE stream_id = ?", (stream.id,))
            session = self._session(connection, stream)
            for utterance in self._unwritten:
                self._add(connection, session, utterance)
            if facts:
                columns = ", ".join(f"{name} = :{name}" for name in facts)
                connection.execute(f"UPDATE sessions SET {columns} WHERE id = :id", {**facts, "id": session})  # noqa: S608 - the names are ours
        self._begun = True
        self._unwritten.clear()

    def _session(self, connection: Connection, stream: StreamView) -> int:
        """Its row, which is made where the file has none: a new one, or one that has replaced the file of before."""
        connection.execute(
            "INSERT OR IGNORE INTO sessions (stream_id, source, opened_at, model, language, multichannel) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                stream.id,
                storable(source_stem.get() or "") or None,
                self._opened_at,
                stream.options.model,
                getattr(stream.options, "language", None),
                is_multichannel(stream),
            ),
        )
        ((session,),) = connection.execute("SELECT id FROM sessions WHERE stream_id = ?", (stream.id,))
        return int(session)

    def _add(self, connection: Connection, session: int, utterance: Utterance) -> None:
        row = connection.execute(
            "INSERT INTO utterances (session_id, number, channel, speaker, start_time, end_time, text, confidence) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session,
                utterance.index,
                utterance.channel,
                utterance.speaker,
                utterance.start,
                utterance.end,
                storable(utterance.text),
                utterance.confidence,
            ),
        ).lastrowid
        connection.execute("INSERT INTO utterances_fts (rowid, text) VALUES (?, ?)", (row, searchable(utterance.text)))
        if not self.words:
            return
        connection.executemany(
            "INSERT INTO words VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    row,
                    position,
                    storable(word.word),
                    storable(word.text),
                    word.start,
                    word.end,
                    word.confidence,
                    word.speaker,
                    word.language,
                )
                for position, word in enumerate(utterance.words)
            ],
        )
