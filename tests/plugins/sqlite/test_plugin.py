"""The plugin sqlite: what is in the file, whoever writes it at the same time and whatever happens to the writer."""

import gc
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamclient import (
    Closed,
    Failed,
    Opened,
    PluginError,
    StreamClientError,
    Transcript,
    Utterance,
    Word,
    source_stem,
)
from streamclient.plugins import load_plugins
from streamclient_plugins.sqlite import Sqlite
from streamclient_plugins.sqlite.database import MIGRATIONS, transaction
from tests.plugins.conftest import EVENTS, LOST, UTTERANCE, Play, View

DATABASE = Path("transcripts.db")
END = Closed(Transcript())


def rows(query: str, path: Path = DATABASE) -> list[dict[str, Any]]:
    """What a query finds, as anybody would ask it."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


class TestContent:
    def test_sessions_say_what_the_stream_was(self, play: Play) -> None:
        """One row for a stream, with how it ended."""
        assert play("sqlite", EVENTS) == []

        (session,) = rows("SELECT * FROM sessions")
        assert (session["stream_id"], session["source"], session["multichannel"]) == ("stream-1", None, 0)
        assert session["opened_at"] <= session["closed_at"]
        assert (session["duration"], session["complete"], session["close_code"]) == (3.5, 0, 1006)
        assert json.loads(session["request_ids"]) == ["request-1", "request-2"]
        assert json.loads(session["gaps"]) == [{"start": 3.0, "end": 3.5}]
        assert session["error"].startswith("The connection broke")

    def test_utterances_and_words_are_rows(self, play: Play) -> None:
        """With every fact there is."""
        assert play("sqlite", EVENTS) == []

        (utterance,) = rows("SELECT * FROM utterances")
        assert utterance == {
            "id": 1,
            "session_id": 1,
            "number": 0,
            "channel": 1,
            "speaker": 1,
            "start_time": 1.0,
            "end_time": 2.0,
            "text": "Two teas.",
            "confidence": 0.625,
        }
        words = rows("SELECT * FROM words ORDER BY position")
        assert [(word["word"], word["text"], word["start_time"], word["end_time"]) for word in words] == [
            ("two", "Two", 1.0, 1.25),
            ("teas", "teas", 1.25, 2.0),
        ]
        more = [(word["confidence"], word["speaker"], word["language"]) for word in words]
        assert more == [(0.5, 1, "en"), (0.75, None, None)]

    def test_words_can_be_left_out(self, play: Play) -> None:
        """They are most of the file."""
        assert play("sqlite:words=no", EVENTS) == []
        assert rows("SELECT * FROM words") == []

    def test_the_source_is_named(self, play: Play) -> None:
        """As paths of other plugins have it."""
        token = source_stem.set("talk")
        try:
            assert play("sqlite", [Opened(), END]) == []
        finally:
            source_stem.reset(token)
        assert rows("SELECT source FROM sessions") == [{"source": "talk"}]

    def test_a_source_whose_name_is_no_text_costs_nothing(self, play: Play) -> None:
        """Names of files are bytes; what of one cannot be stored is left out."""
        token = source_stem.set("caf\udce9")
        try:
            assert play("sqlite", [Opened(), UTTERANCE, END]) == []
        finally:
            source_stem.reset(token)
        assert rows("SELECT source FROM sessions") == [{"source": "caf"}]
        assert len(rows("SELECT * FROM utterances")) == 1

    def test_what_the_service_says_at_the_end_need_not_be_text(self, play: Play) -> None:
        """JSON can hold halves of surrogate pairs, SQLite cannot."""
        failed = Failed(StreamClientError("no \ud83d"))
        end = Closed(Transcript(close_reason="why \ud83d", complete=True))
        assert play("sqlite", [Opened(), UTTERANCE, failed, end]) == []
        assert rows("SELECT error, close_reason, complete FROM sessions") == [
            {"error": "no .", "close_reason": "why ", "complete": 1}
        ]

    def test_a_stream_that_never_stood_is_no_session(self, play: Play) -> None:
        """Also where the plugin has served another stream before."""
        plugin = Sqlite()
        assert play(plugin, [Opened(), END], View(id="a")) == []
        assert play(plugin, [Failed(LOST), END], View(id="b")) == []
        assert rows("SELECT stream_id FROM sessions") == [{"stream_id": "a"}]

    def test_streams_share_a_file(self, play: Play) -> None:
        """Each adds its session."""
        for name in ("a", "b"):
            assert play("sqlite", [Opened(), UTTERANCE, END], View(id=name)) == []
        assert [row["stream_id"] for row in rows("SELECT stream_id FROM sessions")] == ["a", "b"]
        assert len(rows("SELECT * FROM utterances")) == 2

    def test_a_stream_that_is_played_again_is_there_once(self, play: Play) -> None:
        """A session that is replayed or recovered takes the place of what was kept of it."""
        assert play("sqlite", [Opened(), UTTERANCE, attrs.evolve(UTTERANCE, index=1), END]) == []
        assert play("sqlite", [Opened(), UTTERANCE, END]) == []
        assert len(rows("SELECT * FROM sessions")) == 1
        assert len(rows("SELECT * FROM utterances")) == 1
        assert len(rows("SELECT * FROM utterances_fts")) == 1

    def test_a_plugin_object_can_serve_one_stream_after_another(self, play: Play) -> None:
        """Also the same stream once more."""
        plugin = Sqlite()
        for name in ("one", "two", "one"):
            assert play(plugin, [Opened(), UTTERANCE, END], View(id=name)) == []

        assert rows("SELECT count(*) AS n FROM sessions") == rows("SELECT count(*) AS n FROM utterances") == [{"n": 2}]

    def test_the_file_can_be_read_while_it_is_written(self, play: Play) -> None:
        """Readers wait for no writer, whoever they are: the file remembers it."""
        assert play("sqlite", [Opened(), UTTERANCE, END]) == []

        assert rows("PRAGMA journal_mode") == [{"journal_mode": "wal"}]

    def test_a_stream_that_never_opened_leaves_nothing(self, play: Play) -> None:
        """Not even a file."""
        assert play("sqlite", [Failed(LOST), END]) == []
        assert not DATABASE.exists()

    def test_text_that_sqlite_cannot_hold_is_cleaned(self, play: Play) -> None:
        """Null bytes and halves of characters."""
        odd = attrs.evolve(UTTERANCE, text="Two\0 \ud800teas.", words=(Word("two\0", 1.0, 2.0),))
        assert play("sqlite", [Opened(), odd, END]) == []
        assert [row["text"] for row in rows("SELECT text FROM utterances")] == ["Two teas."]

    def test_deleting_a_session_deletes_all_of_it(self, play: Play) -> None:
        """From the index of the search, too."""
        assert play("sqlite", EVENTS) == []
        connection = sqlite3.connect(DATABASE)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM sessions")
        connection.commit()
        connection.close()
        for table in ("utterances", "words", "utterances_fts"):
            assert rows(f"SELECT * FROM {table}") == []


class TestPath:
    @pytest.mark.parametrize(
        ("path", "reason"),
        [("nowhere/x.db", "there is no folder nowhere"), (".", "path='.': unable to open"),
         ("text.db", "no database"), ("other.db", "something else"), ("newer.db", "newer streamclient")],
    )  # fmt: skip
    def test_a_file_that_cannot_be_used_is_refused_when_configured(
        self, path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before there is a stream, and without a change to the file."""
        monkeypatch.chdir(tmp_path)
        Path("text.db").write_text("not a database, but a long enough text to be taken for a header of one")
        for name, statement in (("other.db", "CREATE TABLE users (id)"), ("newer.db", "PRAGMA user_version = 999")):
            connection = sqlite3.connect(name)
            connection.execute(statement)
            connection.commit()
            connection.close()

        with pytest.raises(PluginError, match=reason):
            load_plugins([f"sqlite:path={path}"])

    def test_home_is_known(self, play: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """As in a shell."""
        monkeypatch.setenv("HOME", str(tmp_path))
        assert play("sqlite:path=~/kept.db", [Opened(), END]) == []
        assert (tmp_path / "kept.db").is_file()


class TestFailures:
    def test_what_could_not_be_written_is_written_later(self, play: Play) -> None:
        """Reported, tried again with the next event, and there once."""
        plugin = Sqlite(path="transcripts.db")
        assert play(plugin, [Opened()]) == []
        DATABASE.rename("elsewhere.db")
        DATABASE.mkdir()
        ((hook, error),) = play(plugin, [UTTERANCE])
        assert (hook, type(error)) == ("on_utterance", sqlite3.OperationalError)

        DATABASE.rmdir()
        Path("elsewhere.db").rename(DATABASE)
        assert play(plugin, [attrs.evolve(UTTERANCE, index=1), END]) == []
        assert [row["number"] for row in rows("SELECT number FROM utterances")] == [0, 1]

    def test_a_file_that_was_taken_away_is_made_again(self, play: Play) -> None:
        """With its session, so that the rest is found."""
        plugin = Sqlite(path="transcripts.db")
        assert play(plugin, [Opened(), UTTERANCE]) == []
        DATABASE.unlink()
        assert play(plugin, [attrs.evolve(UTTERANCE, index=1), END]) == []
        assert len(rows("SELECT * FROM sessions JOIN utterances ON session_id = sessions.id")) == 1


class TestVersions:
    NEXT = (*MIGRATIONS, ("ALTER TABLE sessions ADD COLUMN note TEXT", "UPDATE sessions SET note = 'old'"))

    def test_an_older_file_becomes_a_newer_one(self, play: Play) -> None:
        """With all that is in it, once."""
        assert play("sqlite", EVENTS) == []
        for _ in range(2):
            with transaction(DATABASE, self.NEXT):
                pass
        assert rows("SELECT stream_id, note FROM sessions") == [{"stream_id": "stream-1", "note": "old"}]
        assert rows("PRAGMA user_version") == [{"user_version": 2}]

    def test_a_migration_that_fails_changes_nothing(self, play: Play) -> None:
        """The file stays as it was, and can be read as before."""
        assert play("sqlite", EVENTS) == []
        broken = (*self.NEXT, ("SELECT nonsense",))
        with pytest.raises(sqlite3.OperationalError), transaction(DATABASE, broken):
            pass
        assert rows("PRAGMA user_version") == [{"user_version": 1}]
        assert "note" not in rows("SELECT * FROM sessions")[0]

    def test_a_newer_file_is_not_touched(self, play: Play) -> None:
        """An older streamclient does not know what it would break."""
        assert play("sqlite", EVENTS) == []
        with transaction(DATABASE, self.NEXT):
            pass
        with pytest.raises(StreamClientError, match="newer streamclient"), transaction(DATABASE):
            pass


WRITER = """
import sys
from streamclient import ListenOptions, Transcript, Utterance
from streamclient_plugins.sqlite import Sqlite

class View:
    options = ListenOptions()
    def __init__(self, id): self.id = id

def write(name, count, written=lambda index: None):
    plugin, view = Sqlite(path="shared.db"), View(name)
    plugin.on_open(view)
    for index in range(count):
        plugin.on_utterance(view, Utterance(index, index, index + 1, f"utterance {index}"))
        written(index)
    plugin.on_close(view, Transcript())
"""
SHARED = Path("shared.db")


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    """A process that writes."""
    command = [sys.executable, "-c", WRITER + program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def counts_by_stream() -> dict[str, int]:
    """The number of utterances of each stream in the shared file."""
    counts = (
        "SELECT stream_id, count(*) AS n FROM sessions JOIN utterances ON session_id = sessions.id GROUP BY stream_id"
    )
    return {row["stream_id"]: row["n"] for row in rows(counts, SHARED)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_processes_and_threads_write_at_once(place: Path) -> None:
    """Nobody's utterance is missing, from the first moment, when all of them make the file."""
    program = """
import threading
threads = [threading.Thread(target=write, args=(f"{sys.argv[1]}-{n}", 10)) for n in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    processes = [start(program, str(number)) for number in range(3)]
    for process in processes:
        process.communicate(timeout=150)
        assert process.returncode == 0

    assert list(counts_by_stream().values()) == [10] * 6
    assert rows("SELECT count(*) AS n FROM sessions WHERE closed_at IS NOT NULL", SHARED) == [{"n": 6}]


def test_a_killed_writer_loses_nothing_it_has_written(place: Path) -> None:
    """With kill -9 at any moment: what a hook has returned from is there, and the file is sound."""
    dice = random.Random(4)
    for attempt in range(4):
        process = start("write(sys.argv[1], 1_000_000, lambda index: print(index, flush=True))", str(attempt))
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(dice.randrange(1, 20))]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        assert process.wait() == -signal.SIGKILL, "it ended by itself"
        process.stdout.close()

        written = int(lines[-1])
        numbers = "SELECT max(number) AS last, count(*) AS n FROM utterances JOIN sessions ON sessions.id = session_id"
        (kept,) = rows(f"{numbers} WHERE stream_id = '{attempt}'", SHARED)
        assert written <= kept["last"] <= written + 1
        assert kept["n"] == kept["last"] + 1
    assert rows("PRAGMA integrity_check", SHARED) == [{"integrity_check": "ok"}]


def test_a_fork_in_the_middle_disturbs_nothing(place: Path) -> None:
    """A child of a process that writes holds no connection of its parent's, and can write itself."""
    program = """
import os
def fork(index):
    if index % 5 == 0 and os.fork() == 0:
        write(f"child-{index}", 3)
        sys.exit()
write("parent", 20, fork)
for _ in range(4):
    assert os.wait()[1] == 0
"""
    process = start(program)
    process.communicate(timeout=150)
    assert process.returncode == 0

    assert counts_by_stream() == {"parent": 20, **{f"child-{n}": 3 for n in (0, 5, 10, 15)}}


def test_hooks_can_be_called_from_any_thread(place: Path) -> None:
    """The plugin keeps no connection that belongs to one."""
    plugin = Sqlite(path="shared.db")
    hooks = [
        lambda: plugin.on_open(View()),
        lambda: plugin.on_utterance(View(), UTTERANCE),
        lambda: plugin.on_close(View(), Transcript()),
    ]
    for hook in hooks:
        thread = threading.Thread(target=hook)
        thread.start()
        thread.join()
    assert len(rows("SELECT * FROM utterances", SHARED)) == 1


def test_nothing_is_left_open(place: Path) -> None:
    """No connection, no file handle."""
    before = open_files()
    plugin = Sqlite(path="shared.db")
    plugin.on_open(View())
    plugin.on_utterance(View(), Utterance(0, 0.0, 1.0, "one"))

    assert open_files() == before
    assert [path.name for path in place.iterdir()] == ["shared.db"]


def open_files() -> int:
    """How many the process has; always the same where the system does not tell."""
    gc.collect()  # what other tests have left may hold some
    handles = Path("/proc/self/fd")
    return len(list(handles.iterdir())) if handles.exists() else 0
