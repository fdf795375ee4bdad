"""The plugin webhook: from a stream's events to posts, and what is left for the next process."""

import gc
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import standardwebhooks

from streamclient import Closed, ListenOptions, Opened, PluginError, StreamClient, Transcript
from streamclient.plugins import load_plugins
from streamclient_plugins.webhook.outbox import Letter, Outbox
from streamclient_plugins.webhook.plugin import Webhook
from streamclient_plugins.webhook.rules import Fate, Verdict
from tests.plugins.conftest import EVENTS, UTTERANCE, Play, View
from tests.support import receiver as answers
from tests.support.ports import reserved_port
from tests.support.receiver import Receiver, receiving, status
from tests.support.service import final, metadata, obedient, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000)
SHORT = (Opened(), UTTERANCE, Closed(Transcript()))
SECRETS = ("hidden", SECRET.removeprefix("whsec_"))

Make = Callable[..., Webhook]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A plugin with an outbox in a folder of the test's."""

    def make(receiver: Receiver, **options: object) -> Webhook:
        facts = {"url": receiver.url, "secret": SECRET, "outbox": tmp_path / "outbox.sqlite", "drain": 30.0, **options}
        return Webhook(**facts)  # type: ignore[arg-type]  # a test's own

    return make


def events(receiver: Receiver) -> list[str]:
    """What has arrived, in order."""
    return [post.event["type"] for post in receiver.accepted]


class TestEvents:
    def test_a_stream_is_posted_while_it_goes_on(self, make: Make) -> None:
        """Signed, in order, and all of it by the end of ``close()``."""
        with receiving() as receiver, serving(obedient(final("hello world", 0.0), metadata())) as service:
            plugin = make(receiver, events=("open", "final", "utterance", "close"))
            with StreamClient(OPTIONS, url=service.url, plugins=[plugin]) as client:
                client.send(bytes(32000))

        assert events(receiver) == ["stream.open", "stream.final", "stream.utterance", "stream.close"]
        verified = [standardwebhooks.Webhook(SECRET).verify(post.body, post.headers) for post in receiver.posts]
        assert [facts["data"]["sequence"] for facts in verified] == [0, 1, 2, 3]
        assert {facts["data"]["stream"] for facts in verified} == {client.id}
        assert verified[2]["data"]["text"] == verified[3]["data"]["text"] == "hello world"
        assert len({post.id for post in receiver.posts}) == 4

    def test_utterances_and_the_end_are_posted_where_nothing_is_said(self, make: Make, play: Play) -> None:
        """What most receivers want."""
        with receiving() as receiver:
            assert play(make(receiver), SHORT) == []

        assert events(receiver) == ["stream.utterance", "stream.close"]
        assert receiver.posts[0].event["data"]["text"] == "Two teas."

    def test_any_event_that_lasts_can_be_chosen(self, make: Make, play: Play) -> None:
        """In the order in which they happen."""
        names = ("open", "final", "utterance", "disconnect", "reconnect", "error", "plugin_error", "close")
        with receiving() as receiver:
            assert play(make(receiver, events=names), EVENTS) == []

        assert [name.removeprefix("stream.") for name in events(receiver)] == [
            "open", "final", "utterance", "final", "final", "disconnect", "reconnect", "plugin_error", "error", "close",
        ]  # fmt: skip

    def test_options_can_come_from_the_environment(
        self, play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that a secret is in no command line."""
        with receiving() as receiver:
            monkeypatch.setenv("STREAMCLIENT_WEBHOOK_URL", receiver.url)
            monkeypatch.setenv("STREAMCLIENT_WEBHOOK_SECRET", f"{SECRET} whsec_{'A' * 40}")
            monkeypatch.setenv("STREAMCLIENT_WEBHOOK_OUTBOX", str(tmp_path / "box"))
            assert play("webhook:events=close", SHORT) == []

        assert events(receiver) == ["stream.close"]
        assert receiver.posts[0].headers["webhook-signature"].count("v1,") == 2
        assert (tmp_path / "box").exists()

    @pytest.mark.parametrize("names", ["close error", ["close", "error"], ("close", "error")])
    def test_events_can_be_named_in_a_text_or_a_list(self, make: Make, names: object) -> None:
        """As a settings file has them."""
        with receiving() as receiver:
            assert make(receiver, events=names).events == ("close", "error")
            with pytest.raises(ValueError, match="events='interim' is not allowed; allowed is open or final or"):
                make(receiver, events="interim")

    def test_streams_can_share_a_plugin(self, make: Make) -> None:
        """At the same time; each has its own order and its own numbers."""
        script = final("hello world", 0.0), metadata()
        with receiving() as receiver, serving(obedient(*script)) as first, serving(obedient(*script)) as second:
            plugin = make(receiver)
            clients = [StreamClient(OPTIONS, url=one.url, plugins=[plugin]) for one in (first, second)]
            with clients[0], clients[1]:
                for client in clients:
                    client.send(bytes(32000))

        for client in clients:
            own = [post.event for post in receiver.accepted if post.event["data"]["stream"] == client.id]
            assert [(event["type"], event["data"]["sequence"]) for event in own] == [
                ("stream.utterance", 0),
                ("stream.close", 1),
            ]


class TestReceivers:
    def test_a_hook_does_not_wait_for_the_receiver(self, make: Make, play: Play) -> None:
        """It only writes to the outbox."""
        asked = threading.Event()
        answer = threading.Event()

        def slowly(handler: BaseHTTPRequestHandler) -> bool:
            asked.set()
            assert answer.wait(30)
            return status(200)(handler)

        with receiving([slowly]) as receiver:
            plugin = make(receiver)
            play(plugin, [Opened(), UTTERANCE])
            assert asked.wait(30)
            play(plugin, [UTTERANCE] * 5)
            assert receiver.accepted == []
            answer.set()
            receiver.wait_for(6)
            play(plugin, [Closed(Transcript())])

        assert len(receiver.accepted) == 7

    def test_close_is_bounded_with_a_receiver_that_hangs(
        self, make: Make, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is left stays in the outbox, and the log says who delivers it."""
        with receiving([answers.hang]) as receiver:
            before = time.monotonic()
            assert play(make(receiver, timeout=60.0, drain=0.2), SHORT) == []
            assert time.monotonic() - before < 30

        assert receiver.accepted == []
        assert "2 event(s) of stream stream-1 wait in" in caplog.text
        assert "the next stream to the same receiver delivers them, or `streamclient outbox deliver`" in caplog.text

    def test_an_attempt_that_we_cut_does_not_count(self, make: Make, play: Play, tmp_path: Path) -> None:
        """It is due at once."""
        with receiving([answers.hang]) as receiver:
            plugin = make(receiver, timeout=60.0, drain=0.1)
            play(plugin, [Opened(), UTTERANCE])
            receiver.wait_for_posts(1)
            play(plugin, [Closed(Transcript())])

        with Outbox(tmp_path / "outbox.sqlite") as outbox:
            letters = list(outbox.letters())
        assert [(letter.event, letter.tries, letter.leased_until) for letter in letters] == [
            ("utterance", 0, 0.0),
            ("close", 0, 0.0),
        ]

    def test_close_does_not_wait_for_a_receiver_that_is_down(self, make: Make, play: Play) -> None:
        """There is nothing to be done for it now."""
        with reserved_port() as port:
            with receiving(port=port) as receiver:
                pass
            before = time.monotonic()

            assert play(make(receiver, drain=60.0), SHORT) == []

        assert time.monotonic() - before < 30

    def test_the_next_stream_delivers_what_was_left(
        self, make: Make, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beside its own events, each stream's in order."""
        monkeypatch.setattr("streamclient_plugins.webhook.courier.LEFT_BEHIND", 0.0)
        with receiving([answers.hang]) as receiver:
            plugin = make(receiver, timeout=60.0, drain=0.1)
            play(plugin, [Opened(), UTTERANCE], View(id="first"))
            receiver.wait_for_posts(1)
            play(plugin, [Closed(Transcript())], View(id="first"))
            plugin = make(receiver)
            play(plugin, [Opened(), UTTERANCE], View(id="second"))
            receiver.wait_for(3)
            play(plugin, [Closed(Transcript())], View(id="second"))

        arrived = [(post.event["data"]["stream"], post.event["type"]) for post in receiver.accepted]
        for name in ("first", "second"):
            assert [type_ for stream, type_ in arrived if stream == name] == ["stream.utterance", "stream.close"]

    def test_the_events_of_a_stream_that_goes_on_are_left_to_it(self, make: Make, play: Play) -> None:
        """Or it could close while somebody else has them."""
        with receiving([answers.hang]) as receiver:
            first, second = make(receiver, timeout=60.0, drain=0.1), make(receiver)
            play(first, [Opened(), UTTERANCE, UTTERANCE], View(id="first"))
            receiver.wait_for_posts(1)
            play(second, SHORT, View(id="second"))
            assert {post.event["data"]["stream"] for post in receiver.accepted} == {"second"}
            play(first, [Closed(Transcript())], View(id="first"))

    def test_close_waits_for_somebody_else_who_has_an_event_of_the_stream(
        self, make: Make, play: Play, tmp_path: Path
    ) -> None:
        """As long as it may, and then delivers the rest."""
        with receiving() as receiver, Outbox(tmp_path / "outbox.sqlite") as outbox:
            plugin = make(receiver, drain=20.0)
            now = time.time()
            outbox.put(Letter(0, "earlier", plugin.endpoint, "stream-1", "open", b"{}", now, next_at=now), 10)
            taken = outbox.take(plugin.endpoint, "somebody else", now, 60.0)
            assert taken is not None
            closing = threading.Thread(target=play, args=(plugin, SHORT))
            closing.start()
            while outbox.count(plugin.endpoint) < 3:
                closing.join(0.01)
            assert closing.is_alive()
            outbox.settle(taken, "somebody else", Verdict(Fate.DELIVERED))
            closing.join(30)

        assert events(receiver) == ["stream.utterance", "stream.close"]

    def test_a_full_outbox_is_an_error_of_the_plugin(self, make: Make, play: Play) -> None:
        """Never silent."""
        with reserved_port() as port:
            with receiving(port=port) as receiver:
                pass

            ((hook, error),) = play(make(receiver, max_waiting=1), SHORT)

        assert (hook, type(error).__name__) == ("on_close", "OutboxFull")

    def test_410_is_said_once_and_again_at_the_next_stream(
        self, make: Make, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing more is sent."""
        with receiving([status(410)]) as receiver:
            play(make(receiver), SHORT)
            play(make(receiver), SHORT)

        assert len(receiver.posts) == 1
        said = [message for message in caplog.messages if "410 Gone" in message]
        assert len(said) == 2
        assert all("streamclient outbox retry --all" in message for message in said)


class TestExtra:
    @pytest.mark.parametrize(
        ("module", "options", "missing"),
        [
            ("h11", {"outbox": "box"}, "webhook needs h11"),
            ("platformdirs", {}, "outbox=PATH is needed, or platformdirs, which finds a place for it"),
        ],
    )
    def test_what_is_not_installed_is_named(
        self, module: str, options: dict[str, str], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With what installs it, before there is a stream."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, "streamclient_plugins.webhook.post", raising=False)

        with pytest.raises(ValueError, match=rf"^{missing}: `pip install 'streamclient\[webhook\]'`$"):
            Webhook(url="http://localhost/", **options)  # type: ignore[arg-type]  # converted

    def test_the_options_can_be_shown_without_it(self) -> None:
        """Only posting needs it."""
        code = "import sys; sys.modules['h11'] = None; from streamclient.cli import run; run(['plugins'])"
        assert "Where to post to" in subprocess.check_output([sys.executable, "-c", code], text=True, timeout=30)


class TestLife:
    def test_a_plugin_that_is_forgotten_leaves_no_thread(
        self, make: Make, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plugin that was stopped for falling behind hears no ``on_close``."""
        monkeypatch.setattr("streamclient_plugins.webhook.courier.LOOK", 0.05)
        with receiving() as receiver:
            plugin = make(receiver)
            play(plugin, [Opened(), UTTERANCE])
            receiver.wait_for(1)
            threads = [thread for thread in threading.enumerate() if thread.name == "streamclient-webhook-stream-1"]
            plugin._senders["stream-1"].open().close()  # its lane would
            del plugin
            gc.collect()
            for thread in threads:
                thread.join(30)

        assert [thread.is_alive() for thread in threads] == [False]

    def test_an_outbox_that_fails_is_said_and_tried_again(
        self, make: Make, play: Play, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Events that were kept before are delivered when it works again."""
        monkeypatch.setattr("streamclient_plugins.webhook.courier.REST", 0.05)
        path = tmp_path / "outbox.sqlite"
        with receiving() as receiver:
            plugin = make(receiver)
            content = path.read_bytes()
            path.write_bytes(b"no database any more" * 100)
            raised = play(plugin, [Opened()])
            assert [hook for hook, _ in raised] == ["on_open"]
            path.write_bytes(content)
            assert play(plugin, [UTTERANCE]) == []
            receiver.wait_for(1)
            assert play(plugin, [Closed(Transcript())]) == []

        assert events(receiver) == ["stream.utterance", "stream.close"]

    def test_what_the_outbox_cannot_take_is_put_with_the_next_event(
        self, make: Make, play: Play, tmp_path: Path
    ) -> None:
        """The failure is said; the order is kept."""
        with receiving() as receiver:
            plugin = make(receiver)
            play(plugin, [Opened()])
            database = plugin._senders["stream-1"].open()._database
            with locked(tmp_path / "outbox.sqlite"):
                database.execute("PRAGMA busy_timeout = 1")
                assert [str(error) for _, error in play(plugin, [UTTERANCE])] == ["database is locked"]
            database.execute("PRAGMA busy_timeout = 30000")
            assert play(plugin, [Closed(Transcript())]) == []

        arrived = [(post.event["type"], post.event["data"]["sequence"]) for post in receiver.accepted]
        assert arrived == [("stream.utterance", 0), ("stream.close", 1)]

    def test_what_the_outbox_never_takes_is_said_to_be_lost(
        self, make: Make, play: Play, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the stream has closed there is no next event; what may wait for that is bounded too."""
        monkeypatch.setattr("streamclient_plugins.webhook.outbox.PATIENCE", 0.05)
        with receiving() as receiver:
            plugin = make(receiver, max_waiting=1)
            play(plugin, [Opened()])
            with locked(tmp_path / "outbox.sqlite"):
                raised = play(plugin, SHORT[1:])

        assert [str(error) for _, error in raised] == ["database is locked"] * 2
        assert "1 event(s) of stream stream-1 are lost, because" in caplog.text


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else can write to the outbox."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


class TestSecrets:
    def test_they_are_nowhere(self, make: Make, play: Play, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Not in the log, not in what is printed, not in the outbox."""
        with caplog.at_level(logging.DEBUG), receiving([status(500), answers.garbage]) as receiver:
            plugin = make(receiver)
            said = [repr(plugin), str(plugin.endpoint)]
            said += [str(error) for _, error in play(plugin, SHORT)]
            contents = [path.read_bytes() for path in tmp_path.iterdir()]

        for secret in SECRETS:
            assert secret not in caplog.text + "".join(said)
            assert not any(secret.encode() in content for content in contents)
        assert caplog.messages

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ("", "url is needed: set $STREAMCLIENT_WEBHOOK_URL or the option url"),
            ("url=example.org/hidden", "url must be http://host/path or https://host/path"),
            ("url=http://h/hidden,secret=hidden", "secret must be whsec_ and the base64 of 24 to 64 bytes"),
            ("url=http://h/hidden,timeout=0", "timeout=0.0 is not allowed; allowed is 0.1 or more"),
            ("url=http://h/hidden,drain=-1", "drain=-1.0 is not allowed; allowed is 0 or more"),
            ("url=http://h/hidden,max-waiting=0", "max_waiting=0 is not allowed; allowed is 1 or more"),
            (
                "url=https://h/hidden,ca_file=nowhere.pem",
                "ca_file='nowhere.pem' cannot be used: No such file or directory",
            ),
            ("url=http://h/hidden,events=interim", "events='interim' is not allowed; allowed is open or final or"),
            ("url=http://h/hidden,outbox=/dev/null/x", "The outbox /dev/null/x cannot be made: File exists"),
        ],
    )
    def test_wrong_options_are_refused_at_once_without_showing_them(
        self, options: str, reason: str, tmp_path: Path
    ) -> None:
        """Before there is a stream."""
        with pytest.raises(PluginError) as caught:
            load_plugins(
                [f"webhook:{options}" if "outbox" in options else f"webhook:outbox={tmp_path / 'x'},{options}"]
            )

        assert reason in str(caught.value)
        assert "hidden" not in str(caught.value)
