"""The hooks are what the manual and the contract say, to the letter."""

import inspect
import typing

import pluggy
import pytest

import streamclient
from streamclient.hookspecs import PROJECT, StreamHooks, hookimpl

CONTRACT = {
    "process_utterance": ["stream", "utterance"],
    "process_result": ["stream", "result"],
    "on_open": ["stream"],
    "on_audio": ["stream", "audio"],
    "on_message": ["stream", "message"],
    "on_interim": ["stream", "result"],
    "on_final": ["stream", "result"],
    "on_utterance": ["stream", "utterance"],
    "on_disconnect": ["stream", "error", "retry_in"],
    "on_reconnect": ["stream", "outage"],
    "on_error": ["stream", "error"],
    "on_plugin_error": ["stream", "plugin", "hook", "error"],
    "on_close": ["stream", "transcript"],
}


def test_the_hooks_have_the_names_and_arguments_of_the_contract() -> None:
    """Plugins depend on every one of them."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(StreamHooks)

    specified = {name: list(caller.spec.argnames) for name, caller in vars(manager.hook).items()}

    assert specified == CONTRACT


@pytest.mark.parametrize("hook", CONTRACT)
def test_every_hook_and_argument_is_documented_and_typed(hook: str) -> None:
    """The manual is made from them."""
    function = getattr(StreamHooks, hook)
    names = {name: getattr(streamclient, name) for name in streamclient.__all__}

    hints = typing.get_type_hints(function, localns=names)

    assert (inspect.getdoc(function) or "").endswith(".")
    assert list(hints) == [*CONTRACT[hook], "return"]


def test_the_project_name_is_the_contracts() -> None:
    """A plugin may use pluggy's own marker with it."""

    class Foreign:
        @pluggy.HookimplMarker("streamclient")
        def on_open(self) -> None: ...

    class Ours:
        @hookimpl
        def on_open(self) -> None: ...

    manager = pluggy.PluginManager(PROJECT)
    assert manager.parse_hookimpl_opts(Foreign, "on_open") == manager.parse_hookimpl_opts(Ours, "on_open")


def test_the_view_of_a_stream_is_what_the_contract_lists() -> None:
    """Read only: id, options, request_id and stats."""
    members = {name for name in vars(streamclient.StreamView) if not name.startswith("_")}

    assert members == {"id", "options", "request_id", "stats"}
    assert all(isinstance(getattr(streamclient.StreamView, name), property) for name in members)
