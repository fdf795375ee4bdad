"""Live transcription in Flask: clients from the application's configuration, hooks with its context, events as SSE."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

from streamclient.client import StreamClient
from streamclient.errors import OptionsError, StreamClientError
from streamclient.events import Event
from streamclient.hook_calls import hook_scope
from streamclient.integrations.sse import HEADERS, MEDIA_TYPE, to_server_sent_events
from streamclient.options import FluxOptions, ListenOptions
from streamclient.plugin_options import nearest
from streamclient.shortcuts import AudioInput, stream

try:
    from flask import Flask, Response, current_app
except ImportError as error:
    raise ImportError(
        "streamclient.integrations.flask needs Flask. Install it with: pip install 'streamclient[flask]'"
    ) from error

__all__ = ["Transcription"]

PREFIX = "STREAMCLIENT_"
ARGUMENTS = ("access_token", "api_key", "buffer", "options", "plugins", "reconnect", "timeouts", "transport", "url")
"""What the configuration may give, each with the prefix and in capitals: the arguments of `StreamClient`."""


class Transcription:
    """The extension.

    Nothing is connected and no thread is started before a view asks for it, so the application can be imported,
    forked and reloaded. Each use has a client of its own.

    Args:
        app: the application; without one, call `init_app`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make this the extension ``streamclient`` of an application."""
        app.extensions["streamclient"] = self

    def connect(
        self, options: ListenOptions | FluxOptions | None = None, *, plugins: Iterable[object | str] = (), **client: Any
    ) -> StreamClient:
        """A client for one stream, to be used in ``with``, which opens and closes it.

        Its hooks run within an application context of their own, each call.

        Args:
            options: what to ask of the service; default ``STREAMCLIENT_OPTIONS``.
            plugins: beside those of ``STREAMCLIENT_PLUGINS``.
            **client: further arguments of ``StreamClient``, instead of those of the configuration.

        Raises:
            OptionsError: an argument or a key of the configuration is wrong.
            PluginError: a plugin cannot be found, loaded or configured.
        """
        return _Client(_application(), **_arguments(options, plugins, client))

    def sse(
        self,
        source: AudioInput,
        options: ListenOptions | FluxOptions | None = None,
        *,
        plugins: Iterable[object | str] = (),
        **client: Any,
    ) -> Response:
        """A response that streams the events of a transcription while it goes on.

        The stream is opened before this returns, so a refusal can still become a status. It ends with the response:
        when the audio is transcribed, or when nobody listens any more.

        Args:
            source: the audio; for an upload, ``request.stream``.
            options: what to ask of the service; default ``STREAMCLIENT_OPTIONS``.
            plugins: beside those of ``STREAMCLIENT_PLUGINS``.
            **client: further arguments of ``StreamClient``, instead of those of the configuration.

        Raises:
            StreamClientError: the stream cannot be opened.
        """
        app = _application()
        events = stream(source, **_arguments(options, plugins, client))
        with _hooks_within(app):
            first = next(events)
        response = Response(to_server_sent_events(_told(app, first, events)), mimetype=MEDIA_TYPE, headers=HEADERS)
        # A response that is never begun has run no line of its generator, so no ``finally`` either.
        response.call_on_close(events.close)  # type: ignore[attr-defined]  # it is a generator
        return response


class _Client(StreamClient):
    """A client whose hooks run within an application context."""

    def __init__(self, app: Flask, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._app = app

    def open(self) -> None:
        with _hooks_within(self._app):
            super().open()


def _application() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - documented so
    return app


@contextmanager
def _hooks_within(app: Flask) -> Iterator[None]:
    """Let streams that are opened meanwhile call hooks within a new context of the application."""
    token = hook_scope.set(app.app_context)
    try:
        yield
    finally:
        hook_scope.reset(token)


def _told(app: Flask, first: Event, events: Iterator[Event]) -> Iterator[Event]:
    """A failure is an event, the last but one; whoever reads the response needs no other sign of it."""
    try:
        yield from chain([first], events)
    except StreamClientError as error:
        app.logger.warning("A transcription failed: %s", error)


def _arguments(
    options: ListenOptions | FluxOptions | None, plugins: Iterable[object | str], client: Mapping[str, Any]
) -> dict[str, Any]:
    configured = _configuration(current_app.config)
    given = {**configured, **client}
    given["options"] = options or as_options(configured.get("options", {}))
    given["plugins"] = [*configured.get("plugins", ()), *plugins]
    return given


def _configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    known = {f"{PREFIX}{name.upper()}": name for name in ARGUMENTS}
    for key in config:
        if key.startswith(PREFIX) and key not in known:
            raise OptionsError(
                f"The configuration has {key!r}, which means nothing{nearest(key, tuple(known))}",
                hint=f"Known: {', '.join(known)}.",
            )
    return {name: config[key] for key, name in known.items() if key in config}


def as_options(configured: Any) -> ListenOptions | FluxOptions:
    """Options as a configuration has them: as such, or as a mapping, of which the model says the version."""
    if isinstance(configured, ListenOptions | FluxOptions):
        return configured
    try:
        return (FluxOptions if str(configured.get("model", "")).startswith("flux") else ListenOptions)(**configured)
    except (TypeError, AttributeError) as error:
        raise OptionsError(f"{PREFIX}OPTIONS must be options, or a mapping of them by name: {error}") from error
