"""The commands ``streamclient outbox``: see, try again, throw away, deliver."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from streamclient_plugins.webhook.commands import outbox as command
from streamclient_plugins.webhook.outbox import Letter, Outbox
from streamclient_plugins.webhook.plugin import Webhook
from streamclient_plugins.webhook.rules import Fate, Verdict
from tests.support.receiver import Receiver, receiving, status

Run = Callable[..., Result]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that works."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def box(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    """An outbox with three letters of two streams, one of them dead, and the settings of a project that uses it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path))
    monkeypatch.setenv("HOOK", receiver.url)
    Path("streamclient.toml").write_text('[plugins.webhook]\nurl = {env = "HOOK"}\noutbox = "box.sqlite"\n')
    endpoint = Webhook(url=receiver.url, outbox=Path("box.sqlite")).endpoint
    with Outbox(Path("box.sqlite")) as box:
        for number, stream in ((1, "a"), (2, "a"), (3, "b")):
            box.put(Letter(0, f"msg_{number}", endpoint, stream * 32, "utterance", b"{}", time.time()), 10)
        letter = box.take(endpoint, "me", time.time(), 30)
        assert letter is not None
        box.settle(letter, "me", Verdict(Fate.DEAD), "HTTP 500")
        yield box


@pytest.fixture
def run(box: Outbox) -> Run:
    """Run a command."""

    def run(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(command, arguments, standalone_mode=False, **options)  # type: ignore[arg-type]

    return run


def left(box: Outbox) -> list[str]:
    """The ids of the letters that are there."""
    return [letter.id for letter in box.letters()]


class TestList:
    def test_it_shows_what_waits_for_whom(self, run: Run, receiver: Receiver) -> None:
        """Without the secret of the URL."""
        done = run("list")

        endpoint, head, dead, *waiting = done.stdout.splitlines()
        assert endpoint.startswith(f"http://localhost:{receiver.server_port}#")
        assert head.split() == ["LETTER", "EVENT", "STREAM", "WRITTEN", "TRIES", "NEXT", "LAST", "ERROR"]
        assert dead.split()[:3] == ["1", "utterance", "aaaaaaaa"]
        assert dead.endswith("1      dead                 HTTP 500")
        assert [row.split()[0] for row in waiting] == ["2", "3"]
        assert "hidden" not in done.output

    def test_a_letter_that_waits_for_another_one_says_so(self, run: Run, box: Outbox) -> None:
        """Its own time would mislead."""
        run("retry", "--all")

        second = run("list").stdout.splitlines()[3]

        assert second.split()[:3] == ["2", "utterance", "aaaaaaaa"]
        assert second.endswith("0      after 1              -")

    def test_it_shows_all_to_a_program(self, run: Run) -> None:
        """As lines of JSON."""
        first, *_ = map(json.loads, run("list", "--json").stdout.splitlines())

        assert (first["number"], first["id"], first["dead"], first["tries"], first["error"], first["body"]) == (
            1, "msg_1", True, 1, "HTTP 500", {},
        )  # fmt: skip

    def test_an_empty_outbox_says_so(self, run: Run) -> None:
        """On stderr, as it is no row."""
        run("drop", "--all", "--yes")

        done = run("list")

        assert (done.stdout, done.stderr) == ("", "Nothing waits.\n")

    def test_another_outbox_can_be_named(self, run: Run, tmp_path: Path) -> None:
        """It must be there."""
        Outbox(tmp_path / "other").close()

        assert run("--outbox", "other", "list").stderr == "Nothing waits.\n"
        assert "'nowhere' does not exist" in str(run("--outbox", "nowhere", "list").exception)


class TestRetry:
    @pytest.mark.parametrize("name", ["1", "msg_1"])
    def test_a_letter_is_due_again(self, run: Run, box: Outbox, name: str) -> None:
        """By its number or its id."""
        assert run("retry", name).stderr == "1 letter due now.\n"

        assert [letter.is_dead for letter in box.letters()] == [False] * 3

    def test_all_are(self, run: Run) -> None:
        """In words."""
        assert run("retry", "--all").stderr == "3 letters due now.\n"

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((), "Name letters, or say --all."),
            (("1", "--all"), "Name letters, or say --all."),
            (("1", "99"), "There is no letter 99; `streamclient outbox list` shows what there is."),
        ],
    )
    def test_what_is_unclear_is_refused(self, run: Run, arguments: tuple[str, ...], error: str) -> None:
        """And nothing is done."""
        assert str(run("retry", *arguments).exception) == error


class TestDrop:
    def test_a_letter_is_thrown_away(self, run: Run, box: Outbox) -> None:
        """When asked twice."""
        assert "2 letters thrown away." in run("drop", "1", "msg_3", input="y\n").stderr

        assert left(box) == ["msg_2"]

    def test_an_outbox_that_somebody_holds_is_said(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """As what it is, after some time."""
        monkeypatch.setattr("streamclient_plugins.webhook.outbox.PATIENCE", 0.05)
        with closing(sqlite3.connect("box.sqlite", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            done = run("drop", "1", "--yes")

        assert isinstance(done.exception, click.ClickException)
        assert done.exception.message == "The outbox box.sqlite fails: database is locked"

    def test_without_a_yes_nothing_is(self, run: Run, box: Outbox) -> None:
        """Nor where nobody can be asked."""
        for answer in ("n\n", ""):
            refused = run("drop", "--all", input=answer)
            assert str(refused.exception) == "Nothing is thrown away; --yes does not ask."

        assert left(box) == ["msg_1", "msg_2", "msg_3"]


class TestDeliver:
    def test_what_is_due_is_delivered(self, run: Run, box: Outbox, receiver: Receiver) -> None:
        """As the settings of the plugin say."""
        done = run("deliver")

        assert (done.return_value, done.stderr) == (0, "2 letters delivered, 0 waiting.\n")
        assert [post.id for post in receiver.accepted] == ["msg_2", "msg_3"]
        assert left(box) == ["msg_1"]

    def test_what_still_waits_is_said(self, run: Run, receiver: Receiver) -> None:
        """With the time of the next attempt, and an exit code."""
        receiver.plan(status(500))

        done = run("deliver")

        assert done.return_value == 6
        assert done.stderr.splitlines()[-1].startswith("1 letter delivered, 1 waiting; the next attempt is at 2")

    def test_what_waits_for_somebody_else_is_said(self, run: Run, box: Outbox) -> None:
        """The url may have changed since."""
        box.put(Letter(0, "msg_4", "http://old#1", "c", "close", b"{}", time.time()), 10)

        done = run("deliver")

        assert done.return_value == 0
        assert "More is waiting for http://old#1, which is another url than yours." in done.stderr

    def test_settings_that_are_wrong_are_said(self, run: Run) -> None:
        """With what is wrong."""
        Path("streamclient.toml").write_text('[plugins.webhook]\noutbox = "box.sqlite"\n')
        assert str(run("deliver").exception) == "url is needed: set $STREAMCLIENT_WEBHOOK_URL or the option url"

        Path("streamclient.toml").write_text('[plugins.webhook]\nurl = "http://h/"\nsecrets = "x"\n')
        assert "secrets" in str(run("deliver").exception)
