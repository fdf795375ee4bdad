"""Events as server-sent events, which a browser reads with ``EventSource`` or ``fetch``."""

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any

from streamclient.errors import StreamClientError
from streamclient.events import Event
from streamclient.integrations.configuration import Scope, hooks_within
from streamclient.shortcuts import AudioInput, stream
from streamclient_plugins.facts import Told, event_facts, to_json

__all__ = ["HEADERS", "MEDIA_TYPE", "ServerSentEvents", "to_message"]

log = logging.getLogger("streamclient.integrations")

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""So that nothing on the way keeps events back."""


class ServerSentEvents(Iterator[bytes]):
    """The events of a stream as the body of a response, one message for each.

    The stream is opened here, so a refusal can still become a status. A failure later is an event, the last but one.
    Not a generator: one that was never begun runs no line when it is closed, so no ``finally`` either.

    Args:
        source: the audio.
        scope: of the hooks.
        **arguments: of a client.

    Raises:
        StreamClientError: the stream cannot be opened.
    """

    def __init__(self, source: AudioInput, scope: Scope, **arguments: Any) -> None:
        self._stream = stream(source, **arguments)
        with hooks_within(scope):
            first = next(self._stream)
        self._messages = filter(None, map(to_message, chain([first], self._stream)))

    def __next__(self) -> bytes:
        try:
            return next(self._messages)
        except StreamClientError as error:
            log.warning("A transcription failed: %s", error)
            raise StopIteration from error

    def close(self) -> None:
        """Cut the stream, unless it has ended. The server calls this when the response ends, however that is."""
        self._stream.close()  # type: ignore[attr-defined]  # it is a generator


def to_message(event: Event) -> bytes | None:
    """The name of an event and its facts as JSON; ``None`` for what the plugin ``jsonl`` calls a ``message``."""
    if not isinstance(event, Told):
        return None
    name, facts = event_facts(event)
    # JSON has no line breaks, which would end a message.
    return f"event: {name}\ndata: {to_json(facts)}\n\n".encode("utf-8", "backslashreplace")
