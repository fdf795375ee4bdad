"""Live transcription in Flask: clients from the application's configuration, hooks with its context, events as SSE."""

from collections.abc import Iterable, Mapping
from typing import Any

from streamclient.client import StreamClient
from streamclient.errors import hides_arguments
from streamclient.integrations.configuration import Asked, ScopedClient, client_arguments, read_configuration
from streamclient.integrations.sse import HEADERS, MEDIA_TYPE, ServerSentEvents
from streamclient.shortcuts import AudioInput

try:
    from flask import Flask, Response, current_app
except ImportError as error:
    raise ImportError(
        "streamclient.integrations.flask needs Flask. Install it with: pip install 'streamclient[flask]'"
    ) from error

__all__ = ["Transcription"]


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

    @hides_arguments
    def connect(
        self, options: Asked | None = None, *, plugins: Iterable[object | str] = (), **client: Any
    ) -> StreamClient:
        """A client for one stream, to be used in ``with``, which opens and closes it.

        Its hooks run within an application context of their own, each call.

        Args:
            options: what to ask of the service, instead of ``STREAMCLIENT_OPTIONS``.
            plugins: beside those of ``STREAMCLIENT_PLUGINS``.
            **client: further arguments of ``StreamClient``, instead of those of the configuration.

        Raises:
            OptionsError: an argument or a key of the configuration is wrong.
            PluginError: a plugin cannot be found, loaded or configured.
        """
        return ScopedClient(_application().app_context, **_arguments(options, plugins, client))

    @hides_arguments
    def sse(
        self,
        source: AudioInput,
        options: Asked | None = None,
        *,
        plugins: Iterable[object | str] = (),
        **client: Any,
    ) -> Response:
        """A response that streams the events of a transcription while it goes on.

        The stream is opened before this returns, so a refusal can still become a status. It ends with the response:
        when the audio is transcribed, or when nobody listens any more.

        Args:
            source: the audio; for an upload, ``request.stream``.
            options: what to ask of the service, instead of ``STREAMCLIENT_OPTIONS``.
            plugins: beside those of ``STREAMCLIENT_PLUGINS``.
            **client: further arguments of ``StreamClient``, instead of those of the configuration.

        Raises:
            StreamClientError: the stream cannot be opened.
        """
        arguments = _arguments(options, plugins, client)
        events = ServerSentEvents(source, _application().app_context, **arguments)
        return Response(events, mimetype=MEDIA_TYPE, headers=HEADERS)


def _application() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - documented so
    return app


def _arguments(options: Asked | None, plugins: Iterable[object | str], client: Mapping[str, Any]) -> dict[str, Any]:
    configured = read_configuration(current_app.config, "STREAMCLIENT_", "The configuration")
    return client_arguments(configured, options, plugins, client)
