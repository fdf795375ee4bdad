"""Guarantee 5: a plugin cannot hurt the stream, nor another plugin."""

import contextvars
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from streamclient import (
    BufferPolicy,
    InvalidState,
    ListenOptions,
    Metadata,
    OptionsError,
    PluginError,
    PluginOverrun,
    Results,
    StreamClient,
    StreamView,
    Timeouts,
    Transcript,
    Utterance,
    hookimpl,
)
from streamclient.threads import dispatch
from tests.support.service import LINEAR16, SOON, Call, final, interim, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
WORDS = [final(f"word{number}", float(number)) for number in range(5)]


class Listener:
    """Keeps every final, and what is said of other plugins."""

    def __init__(self) -> None:
        self.finals: list[str] = []
        self.failures: list[tuple[str, str, BaseException]] = []
        self.closed = 0

    @hookimpl
    def on_final(self, result: Results) -> None:
        self.finals.append(result.transcript)

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        self.failures.append((plugin, hook, error))

    @hookimpl
    def on_close(self) -> None:
        self.closed += 1


def hooked(on_final: Callable[[], object]) -> object:
    """A plugin whose on_final does this."""

    class Plugin:
        @hookimpl
        def on_final(self) -> None:
            on_final()

    return Plugin()


def fail(error: BaseException) -> Callable[[], object]:
    """A hook that raises."""

    def hook() -> object:
        raise error

    return hook


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), KeyboardInterrupt()])
def test_a_raising_plugin_is_named_and_the_others_hear_all(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in a hook is logged, counted and shown to the other plugins; nothing else happens."""
    listener = Listener()
    with serving(obedient(*WORDS, metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[hooked(fail(error)), listener])
        with client:
            client.send(b"audio")

    assert listener.finals == [f"word{number}" for number in range(5)]
    assert [(plugin, hook) for plugin, hook, _ in listener.failures] == [("Plugin", "on_final")] * 5
    assert listener.failures[0][2] is error
    assert client.stats.plugin_errors == 5
    assert client.transcript.complete
    assert "Plugin" in caplog.text


class Unspeakable(Exception):
    """It raises when it is shown."""

    def __str__(self) -> str:
        raise LookupError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("error", [Unspeakable(), ValueError("broken")])
def test_a_log_that_cannot_show_a_failure_hurts_nobody(error: Exception) -> None:
    """It is counted and shown to the others all the same, and close() returns."""

    class Touchy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert record.exc_info is None, str(record.exc_info[1])

    listener, handler = Listener(), Touchy()
    logging.getLogger("streamclient.plugins").addHandler(handler)
    try:
        with serving(obedient(*WORDS, metadata())) as service:
            client = StreamClient(RAW, url=service.url, plugins=[hooked(fail(error)), listener])
            with client:
                client.send(b"audio")
    finally:
        logging.getLogger("streamclient.plugins").removeHandler(handler)

    assert client.transcript.complete
    assert len(listener.failures) == client.stats.plugin_errors == 5
    assert len(listener.finals) == 5


def test_plugins_that_fail_at_each_others_failures_do_not_loop() -> None:
    """A hook that raises in on_plugin_error is counted and not shown again."""

    class Touchy:
        @hookimpl
        def on_final(self) -> None:
            raise ValueError

        @hookimpl
        def on_plugin_error(self) -> None:
            raise LookupError

    class Touchier(Touchy):
        pass

    with serving(obedient(WORDS[0], metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[Touchy(), Touchier()])
        with client:
            client.send(b"audio")

    assert client.stats.plugin_errors == 4


def test_a_hanging_plugin_delays_only_itself() -> None:
    """The others hear everything at once, and close() keeps its budget and returns the whole transcript."""
    release = threading.Event()
    listener = Listener()
    with serving(obedient(*WORDS, metadata())) as service:
        client = StreamClient(
            RAW, url=service.url, plugins=[hooked(lambda: release.wait(SOON)), listener], timeouts=Timeouts(close=3.0)
        )
        client.open()
        client.send(b"audio")
        transcript = client.close()
        errors = client.stats.plugin_errors_by_name
        release.set()
        client._stream.dispatcher._left[0]._worker.ended.wait(SOON)

    assert transcript.complete
    assert len(listener.finals) == 5
    assert listener.closed == 1
    assert errors == (("Plugin", 1),)


def test_a_plugin_that_gets_on_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes in all: the patience of ``Timeouts.close`` is for one event."""
    monkeypatch.setattr(dispatch, "HASTE", 0.01)
    slow = Listener()
    said = [final(f"word{number}", float(number)) for number in range(24)]
    with serving(obedient(*said, metadata())) as service:
        plugins = [hooked(lambda: threading.Event().wait(0.13)), slow]
        client = StreamClient(RAW, url=service.url, plugins=plugins, timeouts=Timeouts(close=3.0))
        with client:
            client.send(b"audio")

    assert client.stats.plugin_errors == 0
    assert len(slow.finals) == 24


def test_a_slow_plugin_sheds_superseded_interims_and_nothing_else() -> None:
    """In a full lane interims that a later result replaced go first, are counted, and no final is lost."""
    release = threading.Event()
    seen: list[str] = []

    class Slow:
        @hookimpl
        def on_message(self, message: object) -> None:
            release.wait(SOON)
            if isinstance(message, Results):
                seen.append(message.transcript)

    def script(call: Call) -> None:
        call.read_until()
        for number in range(5):
            call.say(*(interim(f"i{number}.{step}", float(number)) for step in range(10)))
            call.say(final(f"f{number}", float(number)))
        call.end(metadata())

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[Slow()], buffer=BufferPolicy(max_events=20))
        client.open()
        client.send(b"audio")
        closer = threading.Thread(target=client.close)
        closer.start()
        events = client.events()
        while not isinstance(next(events), Metadata):
            pass
        release.set()
        closer.join(SOON)

    assert [text for text in seen if text.startswith("f")] == ["f0", "f1", "f2", "f3", "f4"]
    assert len(seen) + client.stats.interims_shed == 55
    assert client.stats.interims_shed > 20


def test_a_burst_stops_only_the_plugin_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane full of what must not be shed ends, with PluginOverrun; that of a prompt plugin gets a turn first."""
    monkeypatch.setattr("streamclient.threads.inbox.TURN", 3.0)
    release, told = threading.Event(), threading.Event()

    class Prompt(Listener):
        @hookimpl
        def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
            super().on_plugin_error(plugin, hook, error)
            told.set()

    def script(call: Call) -> None:
        call.say(*(final(f"word{number}", float(number)) for number in range(60)))
        call.read_until()
        call.end(metadata())

    listener = Prompt()
    with serving(script) as service:
        plugins = [hooked(lambda: release.wait(SOON)), listener]
        client = StreamClient(RAW, url=service.url, plugins=plugins, buffer=BufferPolicy(max_events=20))
        client.open()
        assert told.wait(SOON)
        release.set()
        transcript = client.close()

    assert [(plugin, type(error)) for plugin, _, error in listener.failures] == [("Plugin", PluginOverrun)]
    assert listener.finals == [f"word{number}" for number in range(60)]
    assert transcript.complete


def test_a_plugin_may_run_a_stream_of_its_own() -> None:
    """A hook that opens another client and closes it gets its transcript; the others of its stream are undisturbed."""
    inner: list[Transcript] = []
    listener = Listener()
    with serving(obedient(final("hello", 0.0), metadata())) as service:

        def nested() -> None:
            with StreamClient(RAW, url=service.url) as client:
                client.send(b"audio")
                inner.append(client.close())

        with StreamClient(RAW, url=service.url, plugins=[hooked(nested), listener]) as outer:
            outer.send(b"audio")

    assert [transcript.text for transcript in inner] == ["hello"]
    assert (listener.finals, listener.failures, listener.closed) == (["hello"], [], 1)


def test_a_plugin_may_abort_its_stream() -> None:
    """abort() in a hook ends the stream without hanging."""

    class Aborter:
        client: StreamClient

        @hookimpl
        def on_final(self) -> None:
            self.client.abort()

    def script(call: Call) -> None:
        call.say(WORDS[0])
        call.read_to_end()

    with serving(script) as service:
        aborter = Aborter()
        client = aborter.client = StreamClient(RAW, url=service.url, plugins=[aborter])
        client.open()
        list(client.events())
        assert not client.close().complete


def test_hooks_run_in_the_context_that_opened_the_stream() -> None:
    """Context variables of the opening code are seen in hooks, and stay apart between plugins."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def look() -> None:
        seen.append(variable.get())
        variable.set("changed by a plugin")

    with serving(obedient(WORDS[0], metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[hooked(look), hooked(look)])
        variable.set("set by the caller")
        with client:
            client.send(b"audio")

    assert seen == ["set by the caller"] * 2


def test_the_view_shows_the_stream_and_not_the_client() -> None:
    """Hooks get id, options, request id and counters."""
    views: list[StreamView] = []

    class Viewer:
        @hookimpl
        def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
            views.append(stream)

    with serving(obedient(WORDS[0], metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[Viewer()])
        with client:
            client.send(b"audio")

    (view,) = views
    assert view.id == client.id
    assert view.options is RAW
    assert view.request_id == "request-0" == client.request_ids[0]
    assert view.stats.audio_bytes == 5
    assert not hasattr(view, "close")


def test_a_wrong_plugin_is_found_before_anything_is_connected() -> None:
    """Plugins are checked when the client is made."""

    class Typo:
        @hookimpl
        def on_finale(self) -> None: ...

    with pytest.raises(PluginError, match="on_final"):
        StreamClient(RAW, plugins=[Typo()])
    with pytest.raises(PluginError):
        StreamClient(RAW, plugins=["no-such-plugin"])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *((name, value, OptionsError) for name in ("timeouts", "buffer", "transport") for value in (None, 5)),
        ("reconnect", True, OptionsError),
        ("url", 5, OptionsError),
        ("options", {"model": "nova-3"}, OptionsError),
        ("plugins", None, PluginError),
        ("plugins", "log", PluginError),
    ],
)
def test_an_argument_of_another_type_is_named(name: str, value: Any, error: type[Exception]) -> None:
    """When the client is made, not by an AttributeError from its inside."""
    with pytest.raises(error, match=f"^{name}"):
        StreamClient(**{"options": RAW, name: value})


def test_a_client_serves_one_stream() -> None:
    """A second open() is refused, while it is open and after."""
    with serving() as service:
        client = StreamClient(RAW, url=service.url)
        with client, pytest.raises(InvalidState):
            client.open()
        with pytest.raises(InvalidState):
            client.open()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # that is what the test is about
def test_a_plugin_may_fork_a_process() -> None:
    """The child has the plugin's thread alone; what it does to its copy of the stream does not reach the parent's."""
    statuses: list[int] = []
    listener = Listener()

    def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                client.send(b"from the child")
            except InvalidState:
                os._exit(7)
            os._exit(1)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    with serving(obedient(*WORDS, metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[hooked(fork), listener])
        with client:
            client.send(b"audio")

    assert statuses == [7] * 5
    assert len(listener.finals) == 5
    assert service.call.audio == b"audio"
    assert client.transcript.complete
    assert client.stats.plugin_errors == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # that is what the test is about
@pytest.mark.parametrize(("leave", "code"), [(lambda: None, 0), (lambda: sys.exit(3), 3), (lambda: 1 / 0, 1)])
def test_a_child_that_leaves_the_hook_ends(leave: Callable[[], object], code: int) -> None:
    """It does not live on with copies of the sockets, whose end others wait for; nor does it serve the stream."""
    statuses: list[int] = []
    listener = Listener()

    def fork() -> None:
        child = os.fork()
        if child == 0:
            leave()
        else:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    with serving(obedient(*WORDS, metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[hooked(fork), listener])
        with client:
            client.send(b"audio")

    assert statuses == [code] * 5
    assert len(listener.finals) == 5
    assert client.stats.plugin_errors == 0


def test_a_plugin_may_start_a_program() -> None:
    """One that ends after the hook has returned, and writes to nobody's socket."""
    programs: list[subprocess.Popen[bytes]] = []
    with serving(obedient(*WORDS, metadata())) as service:
        start = hooked(lambda: programs.append(subprocess.Popen([sys.executable, "-c", "pass"])))
        client = StreamClient(RAW, url=service.url, plugins=[start])
        with client:
            client.send(b"audio")

    assert [program.wait(SOON) for program in programs] == [0] * 5
    assert client.transcript.complete


def test_a_plugin_may_close_its_stream() -> None:
    """close() in a hook only asks; what was accepted is transcribed, the others hear it, nobody waits in a circle."""
    answers: list[Transcript] = []
    answered = threading.Event()
    listener = Listener()

    def script(call: Call) -> None:
        call.read()
        call.say(WORDS[0])
        call.read_until()
        assert answered.wait(SOON)
        call.end(*WORDS[1:], metadata())

    def close() -> None:
        answers.append(client.close())
        answered.set()

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[hooked(close), listener])
        client.open()
        client.send(b"audio")
        list(client.events())
        transcript = client.close()

    assert transcript.complete
    assert len(answers) == len(listener.finals) == 5
    assert not answers[0].complete
    assert service.call.texts.count('{"type": "CloseStream"}') == 1
    assert listener.failures == []


@pytest.mark.parametrize(
    ("act", "budget", "errors"),
    [
        (lambda release: release.wait(SOON), 5.0, 1),
        (lambda release: 1 / 0, SOON, 5),
        (lambda release: sys.exit("a plugin that thinks it is a program"), SOON, 5),
        (lambda release: threading.Thread(target=release.wait, args=(SOON,)).start(), SOON, 0),
    ],
    ids=["hangs", "raises", "exits", "starts a thread"],
)
def test_nobody_is_disturbed_and_close_keeps_its_budget(
    act: Callable[[threading.Event], object], budget: float, errors: int
) -> None:
    """Whatever a plugin does in its hooks: the others hear all, and close(timeout) returns in time with everything."""
    release, listeners = threading.Event(), [Listener(), Listener()]
    with serving(obedient(*WORDS, metadata())) as service:
        plugins = [listeners[0], hooked(lambda: act(release)), listeners[1]]
        client = StreamClient(RAW, url=service.url, plugins=plugins)
        client.open()
        client.send(b"audio")
        started = time.monotonic()
        transcript = client.close(timeout=budget)
        took = time.monotonic() - started
        stats = client.stats
        release.set()
        for lane in client._stream.dispatcher._lanes:
            assert lane._worker.ended.wait(SOON)

    assert took < SOON / 2
    assert transcript.complete
    assert [listener.finals for listener in listeners] == [[f"word{number}" for number in range(5)]] * 2
    assert [listener.closed for listener in listeners] == [1, 1]
    assert stats.plugin_errors == errors
    assert stats.plugins[1].name == "Plugin"
