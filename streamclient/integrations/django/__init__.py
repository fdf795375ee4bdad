"""Live transcription in Django: clients from the settings, hooks that give connections back, events as SSE.

Add ``"streamclient.integrations.django"`` to ``INSTALLED_APPS``, and to the settings, where there is something to say::

    STREAMCLIENT = {"OPTIONS": {"model": "nova-3"}, "PLUGINS": ["log"]}
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from streamclient.client import StreamClient
from streamclient.errors import OptionsError, hides_arguments
from streamclient.integrations.configuration import Asked, ScopedClient, client_arguments, read_configuration
from streamclient.integrations.sse import HEADERS, MEDIA_TYPE, ServerSentEvents
from streamclient.shortcuts import AudioInput

try:
    from django.conf import settings
    from django.db import connections
    from django.http import StreamingHttpResponse
except ImportError as error:
    raise ImportError(
        "streamclient.integrations.django needs Django. Install it with: pip install 'streamclient[django]'"
    ) from error

__all__ = ["client_arguments_of", "configuration", "connect", "hooks_of_models", "sse"]


@hides_arguments
def connect(options: Asked | None = None, *, plugins: Iterable[object | str] = (), **client: Any) -> StreamClient:
    """A client for one stream, to be used in ``with``, which opens and closes it.

    Its hooks may use models: each call gives its database connections back.

    Args:
        options: what to ask of the service, instead of ``STREAMCLIENT["OPTIONS"]``.
        plugins: beside those of ``STREAMCLIENT["PLUGINS"]``.
        **client: further arguments of ``StreamClient``, instead of those of the settings.

    Raises:
        OptionsError: an argument or a key of the settings is wrong.
        PluginError: a plugin cannot be found, loaded or configured.
    """
    return ScopedClient(hooks_of_models, **client_arguments_of(options, plugins, client))


@hides_arguments
def sse(
    source: AudioInput,
    options: Asked | None = None,
    *,
    plugins: Iterable[object | str] = (),
    **client: Any,
) -> StreamingHttpResponse:
    """A response that streams the events of a transcription while it goes on.

    The stream is opened before this returns, so a refusal can still become a status. It ends with the response: when
    the audio is transcribed, or when nobody listens any more.

    Args:
        source: the audio; for an upload, the request.
        options: what to ask of the service, instead of ``STREAMCLIENT["OPTIONS"]``.
        plugins: beside those of ``STREAMCLIENT["PLUGINS"]``.
        **client: further arguments of ``StreamClient``, instead of those of the settings.

    Raises:
        StreamClientError: the stream cannot be opened.
    """
    events = ServerSentEvents(source, hooks_of_models, **client_arguments_of(options, plugins, client))
    return StreamingHttpResponse(events, content_type=MEDIA_TYPE, headers=HEADERS)


def configuration() -> dict[str, Any]:
    """The arguments of a client that the settings give.

    Raises:
        OptionsError: they are no mapping, or a key means nothing.
    """
    found = getattr(settings, "STREAMCLIENT", {})
    if not isinstance(found, Mapping):
        raise OptionsError(f"The setting STREAMCLIENT must be a mapping, not {type(found).__name__}")
    return read_configuration({str(key): value for key, value in found.items()}, "", "The setting STREAMCLIENT")


def client_arguments_of(
    options: Asked | None, plugins: Iterable[object | str], client: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments for one client: those of a call before those of the settings, but plugins of both."""
    return client_arguments(configuration(), options, plugins, client)


@contextmanager
def hooks_of_models() -> Iterator[None]:
    """Around a call of a hook: its thread is no request, at whose end Django would close its connections."""
    try:
        yield
    finally:
        connections.close_all()
