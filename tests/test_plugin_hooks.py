"""From an event to the hooks of one plugin."""

import contextvars
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import attrs
import pluggy
import pytest

from streamclient import (
    Closed,
    ConnectionLost,
    Disconnected,
    Event,
    Failed,
    ListenOptions,
    Metadata,
    Opened,
    PluginFailed,
    Reconnected,
    Results,
    SpeechStarted,
    StreamStats,
    Transcript,
    TurnInfo,
    UnknownMessage,
    Utterance,
    hookimpl,
)
from streamclient.events import Audio
from streamclient.hook_calls import hook_scope
from streamclient.hookspecs import StreamHooks
from streamclient.plugin_hooks import HOOKS, PROCESSORS, ROUTES, LoadedPlugin

LOST = ConnectionLost("gone", code=1006)
BUG = ValueError("a bug")
TRANSCRIPT = Transcript()
INTERIM = Results(0.0, 1.0)
FINAL = Results(0.0, 1.0, is_final=True)
TURN = TurnInfo("Update", 0, 0.0, 1.0, transcript="and so")
TURN_END = TurnInfo("EndOfTurn", 0, 0.0, 1.0, transcript="and so on")
TURN_START = TurnInfo("StartOfTurn", 0, 0.0, 1.0)
UTTERANCE = Utterance(0, 0.0, 1.0, "hello")

CALLS: list[tuple[Event | Audio, list[tuple[str, dict[str, object]]]]] = [
    (Opened("id"), [("on_open", {})]),
    (Audio(b"audio"), [("on_audio", {"audio": b"audio"})]),
    (INTERIM, [("on_message", {"message": INTERIM}), ("on_interim", {"result": INTERIM})]),
    (FINAL, [("on_message", {"message": FINAL}), ("on_final", {"result": FINAL})]),
    (TURN, [("on_message", {"message": TURN}), ("on_interim", {"result": TURN})]),
    (TURN_END, [("on_message", {"message": TURN_END}), ("on_final", {"result": TURN_END})]),
    (TURN_START, [("on_message", {"message": TURN_START})]),
    (SpeechStarted(1.0), [("on_message", {"message": SpeechStarted(1.0)})]),
    (Metadata(), [("on_message", {"message": Metadata()})]),
    (UnknownMessage("Tomorrow"), [("on_message", {"message": UnknownMessage("Tomorrow")})]),
    (UTTERANCE, [("on_utterance", {"utterance": UTTERANCE})]),
    (Disconnected(LOST, 0.5), [("on_disconnect", {"error": LOST, "retry_in": 0.5})]),
    (Reconnected(2.5), [("on_reconnect", {"outage": 2.5})]),
    (Failed(LOST), [("on_error", {"error": LOST})]),
    (
        PluginFailed("other", "on_open", BUG),
        [("on_plugin_error", {"plugin": "other", "hook": "on_open", "error": BUG})],
    ),
    (Closed(TRANSCRIPT), [("on_close", {"transcript": TRANSCRIPT})]),
]


@attrs.frozen
class View:
    """A stream as hooks see it."""

    id: str = "stream-1"
    options: ListenOptions = attrs.field(factory=ListenOptions)
    request_id: str | None = None
    stats: StreamStats = attrs.field(factory=StreamStats)


VIEW = View()


def recorder_of_everything() -> Any:
    """A plugin that implements every hook with every argument and keeps its calls."""
    calls: list[tuple[str, dict[str, object]]] = []
    namespace: dict[str, Any] = {"calls": calls}
    for hook in HOOKS:
        arguments = list(inspect.signature(getattr(StreamHooks, hook)).parameters)[1:]
        given = ", ".join(f"{name!r}: {name}" for name in arguments)
        source = f"def {hook}(self, {', '.join(arguments)}): calls.append(({hook!r}, {{{given}}}))"
        exec(source, {"calls": calls}, namespace)  # the only way to give each the arguments of its hookspec
        namespace[hook] = hookimpl(namespace[hook])
    return type("Recorder", (), namespace)()


def notify(loaded: LoadedPlugin, event: Event | Audio) -> list[tuple[str, BaseException]]:
    """Notify the plugin and return what was reported."""
    reported: list[tuple[str, BaseException]] = []
    loaded.notify(VIEW, event, lambda hook, error: reported.append((hook, error)))
    return reported


class TestRoutes:
    def test_every_hookspec_has_a_route(self) -> None:
        """No hook exists that nothing calls."""
        assert set(HOOKS) == {name for name in vars(StreamHooks) if name.startswith("on_")}

    def test_every_event_has_a_route(self) -> None:
        """No event exists that no hook can see; audio has a hook without being among the events that are pulled."""
        assert {event for route in ROUTES for event in route.events} == {*get_args(Event), Audio}

    @pytest.mark.parametrize(("event", "calls"), CALLS, ids=lambda value: type(value).__name__)
    def test_each_event_calls_its_hooks_in_order(
        self, event: Event | Audio, calls: list[tuple[str, dict[str, object]]]
    ) -> None:
        """Each hook gets the stream and what its hookspec says, the general hook first."""
        plugin = recorder_of_everything()

        assert notify(LoadedPlugin("recorder", plugin), event) == []

        assert plugin.calls == [(hook, {"stream": VIEW, **arguments}) for hook, arguments in calls]

    @pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.hook)
    def test_each_route_gives_the_arguments_of_its_hookspec(self, route: Any) -> None:
        """The table and the hookspecs agree."""
        example = next(event for event, calls in CALLS if route.hook in dict(calls))

        wanted = set(inspect.signature(getattr(StreamHooks, route.hook)).parameters) - {"self", "stream"}

        assert set(route.arguments(example)) == wanted


class TestWants:
    def test_only_events_of_its_hooks_are_wanted(self) -> None:
        """A plugin of finals wants finals alone."""

        class Finals:
            @hookimpl
            def on_final(self) -> None: ...

        loaded = LoadedPlugin("finals", Finals())

        assert [event for event, _ in CALLS if loaded.wants(event)] == [FINAL, TURN_END]
        assert not loaded.hears

    def test_a_plugin_is_not_told_of_its_own_errors(self) -> None:
        """Else an error in ``on_plugin_error`` would go round for ever."""
        plugin = recorder_of_everything()
        loaded = LoadedPlugin("jsonl-2", plugin)

        assert not loaded.wants(PluginFailed("jsonl-2", "on_open", BUG))
        assert loaded.wants(PluginFailed("jsonl", "on_open", BUG))
        notify(loaded, PluginFailed("jsonl-2", "on_open", BUG))
        assert plugin.calls == []


class TestIsolation:
    @pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
    def test_whatever_a_hook_raises_is_reported_and_the_next_hook_is_called(self, error: BaseException) -> None:
        """Not even SystemExit gets out."""
        seen = []

        class Faulty:
            @hookimpl
            def on_message(self) -> None:
                raise error

            @hookimpl
            def on_final(self, result: Results) -> None:
                seen.append(result)

        assert notify(LoadedPlugin("faulty", Faulty()), FINAL) == [("on_message", error)]
        assert seen == [FINAL]

    def test_a_hook_takes_the_arguments_it_wants(self) -> None:
        """Any of them, in any order, or none."""
        seen: list[object] = []

        class Choosy:
            @hookimpl
            def on_disconnect(self, retry_in: float, error: Exception) -> None:
                seen.append((retry_in, error))

            @hookimpl
            def on_open(self) -> None:
                seen.append("open")

        loaded = LoadedPlugin("choosy", Choosy())
        notify(loaded, Opened())
        notify(loaded, Disconnected(LOST, 1.5))

        assert seen == ["open", (1.5, LOST)]

    def test_a_function_of_another_name_can_be_a_hook(self) -> None:
        """``specname`` is pluggy's way to say so."""
        seen = []

        class Renamed:
            @hookimpl(specname="on_final")
            def print_it(self, result: object) -> None:
                seen.append(result)

        loaded = LoadedPlugin("renamed", Renamed())
        notify(loaded, FINAL)

        assert loaded.hooks == {"on_final"}
        assert seen == [FINAL]

    def test_one_plugins_wrapper_does_not_reach_another(self) -> None:
        """Each has a manager of its own, so nothing can wrap, reorder or stop a stranger's calls."""
        order = []

        class Wrapper:
            @hookimpl(wrapper=True, tryfirst=True)
            def on_final(self) -> Any:
                order.append("before")
                result = yield
                order.append("after")
                return result

        class Plain:
            @hookimpl
            def on_final(self) -> None:
                order.append("plain")

        for loaded in (LoadedPlugin("wrapper", Wrapper()), LoadedPlugin("plain", Plain())):
            notify(loaded, FINAL)

        assert order == ["before", "after", "plain"]

    def test_the_repr_names_the_plugin_and_its_hooks(self) -> None:
        """For logs and debuggers."""

        class Finals:
            @hookimpl
            def on_final(self) -> None: ...

        assert repr(LoadedPlugin("finals", Finals())) == "<LoadedPlugin finals: on_final>"

    def test_hookspecs_are_valid_for_pluggy(self) -> None:
        """They can be registered with a manager of any host."""
        manager = pluggy.PluginManager("streamclient")
        manager.add_hookspecs(StreamHooks)

        assert set(vars(manager.hook)) == {*HOOKS, *(hook for hook, _ in PROCESSORS.values())}


class TestScope:
    def test_every_call_is_within_the_scope_of_its_stream(self) -> None:
        """A framework's context, for example, which a hook then finds and which ends with the call."""
        said: list[str] = []

        @contextmanager
        def scope() -> Iterator[None]:
            said.append("begin")
            yield
            said.append("end")

        class Plugin:
            @hookimpl
            def on_open(self) -> None:
                said.append("open")

            @hookimpl
            def process_utterance(self) -> None:
                said.append("process")

        def call() -> None:
            hook_scope.set(scope)
            loaded = LoadedPlugin("scoped", Plugin())
            assert notify(loaded, Opened()) == []
            loaded.process(View(), UTTERANCE)

        contextvars.copy_context().run(call)

        assert said == ["begin", "open", "end", "begin", "process", "end"]

    def test_what_it_raises_is_the_hooks(self) -> None:
        """It is reported like that."""

        def scope() -> Any:
            raise BUG

        def call() -> list[tuple[str, BaseException]]:
            hook_scope.set(scope)
            return notify(LoadedPlugin("scoped", recorder_of_everything()), Opened())

        assert contextvars.copy_context().run(call) == [("on_open", BUG)]
