"""From an event to the hooks of one plugin."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from attrs import evolve, frozen

from streamclient.errors import OptionsError, PluginError
from streamclient.events import (
    Audio,
    Closed,
    Disconnected,
    Event,
    Failed,
    HookStats,
    Opened,
    PluginFailed,
    Reconnected,
    Utterance,
)
from streamclient.hook_calls import HookCalls
from streamclient.hookspecs import StreamHooks, StreamView
from streamclient.messages import Message, Result, Results, TurnInfo
from streamclient.plugin_manager import callers_of
from streamclient.policies import LanePolicy
from streamclient.threads.lane import Report

__all__ = ["HOOKS", "ROUTES", "LoadedPlugin", "Route"]


def _always(event: object, plugin: str) -> bool:  # noqa: ARG001 - the others look at them
    return True


def _is_final(result: Results | TurnInfo, plugin: str) -> bool:  # noqa: ARG001
    return result.is_final


def _is_interim(result: Results | TurnInfo, plugin: str) -> bool:  # noqa: ARG001
    """A turn has events without any text yet, which say nothing that an interim could."""
    return not result.is_final and (isinstance(result, Results) or bool(result.transcript))


def _is_of_another(event: PluginFailed, plugin: str) -> bool:
    return event.plugin != plugin


@frozen
class Route:
    """Which events a hook is for, and what it is told of them besides ``stream``.

    Args:
        hook: its name.
        events: types of event.
        arguments: makes the hook's arguments from an event.
        applies: whether the hook of the plugin of this name is for this event of the type.
    """

    hook: str
    events: tuple[type, ...]
    arguments: Callable[[Any], dict[str, object]]
    applies: Callable[[Any, str], bool] = _always


ROUTES = (
    Route("on_open", (Opened,), lambda event: {}),  # noqa: ARG005 - nothing but the stream to tell
    Route("on_audio", (Audio,), lambda event: {"audio": event.audio}),
    Route("on_message", get_args(Message), lambda message: {"message": message}),
    Route("on_interim", (Results, TurnInfo), lambda result: {"result": result}, _is_interim),
    Route("on_final", (Results, TurnInfo), lambda result: {"result": result}, _is_final),
    Route("on_utterance", (Utterance,), lambda utterance: {"utterance": utterance}),
    Route("on_disconnect", (Disconnected,), lambda event: {"error": event.error, "retry_in": event.retry_in}),
    Route("on_reconnect", (Reconnected,), lambda event: {"outage": event.outage}),
    Route("on_error", (Failed,), lambda event: {"error": event.error}),
    Route(
        "on_plugin_error",
        (PluginFailed,),
        lambda event: {"plugin": event.plugin, "hook": event.hook, "error": event.error},
        _is_of_another,
    ),
    Route("on_close", (Closed,), lambda event: {"transcript": event.transcript}),
)
"""Every hook; those of one event are called in this order."""

HOOKS = tuple(route.hook for route in ROUTES)

PROCESSORS: Mapping[type, tuple[str, str]] = {
    Utterance: ("process_utterance", "utterance"),
    Results: ("process_result", "result"),
    TurnInfo: ("process_result", "result"),
}
"""The hook that may change an event of a type, and the name of its argument."""


class LoadedPlugin:
    """One plugin of one stream.

    Attributes:
        name: unique among the plugins of the stream.
        plugin: the module or object with the hooks.
        hooks: names of the hooks it implements.
        policy: how its lane is to treat it.
    """

    def __init__(self, name: str, plugin: object, lane: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.name = name
        self.plugin = plugin
        self.policy = _policy_of(name, plugin, lane)
        callers = callers_of(name, plugin, StreamHooks)
        self.hooks = frozenset(callers)
        self._calls = HookCalls(name, self.policy.slow_after)
        self._processors = {
            event_type: (hook, argument, callers[hook])
            for event_type, (hook, argument) in PROCESSORS.items()
            if hook in callers
        }
        self._routes: dict[type, list[tuple[Route, Callable[..., object]]]] = {}
        for route in ROUTES:
            if route.hook in self.hooks:
                for event_type in route.events:
                    self._routes.setdefault(event_type, []).append((route, callers[route.hook]))

    def __repr__(self) -> str:
        return f"<LoadedPlugin {self.name}: {', '.join(sorted(self.hooks))}>"

    def wants(self, event: Event | Audio) -> bool:
        """Whether any of its hooks is for this event. A plugin is not told of its own errors."""
        return any(route.applies(event, self.name) for route, _ in self._routes.get(type(event), ()))

    @property
    def hears(self) -> bool:
        """Whether it is to be given the accepted audio."""
        return Audio in self._routes

    @property
    def is_processor(self) -> bool:
        """Whether it may change any event."""
        return bool(self._processors)

    @property
    def hook_stats(self) -> tuple[HookStats, ...]:
        """The calls of its hooks until now."""
        return self._calls.stats

    @property
    def busy(self) -> tuple[str, float] | None:
        """The hook it is in and for how many seconds, or ``None``."""
        return self._calls.busy

    def processor_of(self, event: Event) -> str | None:
        """The hook by which it may change the event before anyone sees it."""
        processor = self._processors.get(type(event))
        return processor[0] if processor else None

    def process(self, stream: StreamView, event: Result | Utterance) -> Result | Utterance:
        """What it makes of the event. Called by the plugin's own thread.

        Raises:
            TypeError: it makes something else of it.
            BaseException: whatever the hook raised.
        """
        hook, argument, caller = self._processors[type(event)]
        changed = self._calls.call(hook, caller, {argument: event}, stream)
        if changed is None:
            return event
        if not isinstance(changed, type(event)):
            raise TypeError(f"{hook} must return {type(event).__name__} or None, not {type(changed).__name__}")
        if isinstance(changed, Utterance) and isinstance(event, Utterance):
            return evolve(changed, index=event.index)
        return changed

    def notify(self, stream: StreamView, event: Event | Audio, report: Report) -> None:
        """Call its hooks for the event, in order. Called by the plugin's own thread.

        Args:
            stream: what the hooks see of the stream.
            event: what happened.
            report: is given the name of a hook and what it raised, of any kind; the next hook is still called.
        """
        for route, call in self._routes.get(type(event), ()):
            if route.applies(event, self.name):
                try:
                    self._calls.call(route.hook, call, route.arguments(event), stream)
                except BaseException as error:  # noqa: BLE001 - not even SystemExit may end the lane
                    report(route.hook, error)


def _policy_of(name: str, plugin: object, lane: Mapping[str, Any]) -> LanePolicy:
    """What the plugin says of itself, and the user on top of it."""
    try:
        policy = getattr(plugin, "lane_policy", None) or LanePolicy()
    except Exception as error:
        raise PluginError(f"Plugin {name!r}: lane_policy cannot be read: {error!r}") from error
    if not isinstance(policy, LanePolicy):
        raise PluginError(f"Plugin {name!r}: lane_policy must be a LanePolicy, not {type(policy).__name__}")
    try:
        return evolve(policy, **dict(lane))
    except OptionsError as error:
        raise PluginError(f"Plugin {name!r}: {error.message}") from error
