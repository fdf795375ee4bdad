"""The hooks a plugin can implement, each with any of the arguments it wants.

A plugin's hooks are called one at a time, in the order of events, in the plugin's own thread. An exception in a hook
is logged, counted and shown to the other plugins; it never reaches the stream.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

import pluggy

if TYPE_CHECKING:
    import click

    from streamclient.errors import StreamClientError
    from streamclient.events import StreamStats, Transcript, Utterance
    from streamclient.messages import Message, Results, TurnInfo
    from streamclient.options import FluxOptions, ListenOptions

__all__ = ["PROJECT", "ExtensionHooks", "StreamHooks", "StreamView", "hookimpl", "hookspec", "source_stem"]

PROJECT = "streamclient"

F = TypeVar("F", bound=Callable[..., Any])


class _HookMarker(Protocol):
    @overload
    def __call__(self, function: F) -> F: ...
    @overload
    def __call__(self, function: None = None, **options: Any) -> Callable[[F], F]: ...
    def __call__(self, function: Any = None, **options: Any) -> Any: ...


hookspec = cast("_HookMarker", pluggy.HookspecMarker(PROJECT))
hookimpl = cast("_HookMarker", pluggy.HookimplMarker(PROJECT))
"""Marks a function or method as the implementation of the hook of its name."""

source_stem: ContextVar[str | None] = ContextVar("streamclient.source_stem", default=None)
"""What files made from a stream's audio are called, without a suffix: ``talk`` for ``talk.wav``.

Hooks see the value that it had when their stream was opened. The command line and `transcribe` set it; in a program of
your own, ``source_stem.set("call-17")`` before the client is opened does. ``None`` where nobody has said it.
"""


class StreamView(Protocol):
    """What a hook sees of its stream: read only, safe from any thread."""

    @property
    def id(self) -> str:
        """Name of the stream, stable across reconnects."""

    @property
    def options(self) -> "ListenOptions | FluxOptions":
        """What the service was asked for."""

    @property
    def request_id(self) -> str | None:
        """The service's name for the current connection."""

    @property
    def stats(self) -> "StreamStats":
        """The stream's counters now."""


class StreamHooks:
    """Everything that can happen to a stream.

    What an ``on_...`` hook returns is not used. The two ``process_...`` hooks may return something else in place of
    what they are given.
    """

    @hookspec(firstresult=True)
    def process_utterance(self, stream: StreamView, utterance: "Utterance") -> "Utterance | None":
        """Change an utterance before any plugin sees it: redaction, spelling. ``None`` for no change.

        Plugins are asked in the order of ``plugins=[...]``, each with what the one before has made of it, and the
        utterances of the ``Transcript`` are those that come out. ``index`` stays. Every event waits for the answer,
        ``LanePolicy.process_timeout`` seconds at most; the stream and ``send()`` do not. When the hook raises or is
        too slow, the utterance goes on as it was, or with its words withheld where the plugin is ``required``.
        """

    @hookspec(firstresult=True)
    def process_result(self, stream: StreamView, result: "Results | TurnInfo") -> "Results | TurnInfo | None":
        """Change a result, interim or final, before any plugin sees it, as `process_utterance` does.

        Utterances are joined from the service's own results, not from what comes out here: a plugin that redacts
        needs both hooks. ``raw`` holds the service's words, too.
        """

    @hookspec
    def on_open(self, stream: StreamView) -> None:
        """The first connection is open. A stream that could never connect does not get here."""

    @hookspec
    def on_audio(self, stream: StreamView, audio: bytes) -> None:
        """Audio that ``send()`` has accepted: all of it, in order, whether or not there is a connection.

        It comes as soon as it is accepted, and always before results of it. What was accepted while the plugin was
        busy comes joined, so calls are not chunks. Nothing is left out: when 2 MiB wait for the plugin, ``send()``
        waits too, and a plugin that then stays in one call for 5 seconds is stopped with ``PluginOverrun``. Audio that
        another thread sends while ``open()`` is still connecting comes before `on_open`.
        """

    @hookspec
    def on_message(self, stream: StreamView, message: "Message") -> None:
        """A message of the server, of any type; called before the hook that is special to it."""

    @hookspec
    def on_interim(self, stream: StreamView, result: "Results | TurnInfo") -> None:
        """A preliminary result, a guess; it replaces the one before on its channel."""

    @hookspec
    def on_final(self, stream: StreamView, result: "Results | TurnInfo") -> None:
        """A result that no later one will change: a piece of an utterance, cut where the service's buffer ended."""

    @hookspec
    def on_utterance(self, stream: StreamView, utterance: "Utterance") -> None:
        """A whole utterance: what one speaker said on one channel between two pauses; on v2, a turn."""

    @hookspec
    def on_disconnect(self, stream: StreamView, error: "StreamClientError", retry_in: float) -> None:
        """An outage begins; the next attempt comes in ``retry_in`` seconds. Once per outage."""

    @hookspec
    def on_reconnect(self, stream: StreamView, outage: float) -> None:
        """An outage has ended after ``outage`` seconds. Once per outage."""

    @hookspec
    def on_error(self, stream: StreamView, error: "StreamClientError") -> None:
        """The stream failed for good; `on_close` follows."""

    @hookspec
    def on_plugin_error(self, stream: StreamView, plugin: str, hook: str, error: BaseException) -> None:
        """A hook of another plugin raised, or that plugin was stopped.

        Not shown, but logged and counted in ``stats``: what fails in `on_close`, the last call for all.
        """

    @hookspec
    def on_close(self, stream: StreamView, transcript: "Transcript") -> None:
        """The last event, exactly once, also after a failure."""


class ExtensionHooks:
    """What an installed package can add to streamclient itself; a module in the group ``streamclient.extensions``.

    Each is called when it is first needed, in whichever thread needs it. What raises is reported and skipped.
    """

    @hookspec
    def register_commands(self, cli: "click.Group") -> None:
        """Add commands to the command line: ``@cli.command()`` above a function, or ``cli.add_command(command)``.

        The return value of a command is its exit code; a ``StreamClientError`` becomes a message and an exit code.
        """

    @hookspec
    def register_sources(self, register: Callable[[str, Callable[[str], Any]], None]) -> None:
        """Add kinds of audio: ``register("s3", open_s3)`` for all addresses that begin with ``s3:``.

        The opener takes the whole address and returns what ``transcribe()`` takes: bytes, a binary file or something
        that yields bytes; or an ``AudioSource`` (of ``streamclient.sources``), which says more of it.
        """

    @hookspec
    def register_engines(self, register: Callable[[str, Callable[[], Any]], None]) -> None:
        """Add recognisers to the local server: ``register("mine", MyEngine)`` for ``streamclient serve --engine mine``.

        The factory is called without arguments and returns an ``Engine`` (of ``streamclient.server.engines``).
        """
