"""Events as server-sent events, which a browser reads with ``EventSource`` or ``fetch``."""

from collections.abc import Iterable, Iterator

from streamclient.events import Event
from streamclient_plugins.facts import Told, event_facts, to_json

__all__ = ["HEADERS", "MEDIA_TYPE", "to_server_sent_events"]

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""So that nothing on the way keeps events back."""


def to_server_sent_events(events: Iterable[Event]) -> Iterator[bytes]:
    """One message for each event that the plugin ``jsonl`` would write: its name, and its facts as JSON.

    Args:
        events: of one stream.
    """
    for event in events:
        if isinstance(event, Told):
            name, facts = event_facts(event)
            # JSON has no line breaks, which would end a message.
            yield f"event: {name}\ndata: {to_json(facts)}\n\n".encode("utf-8", "backslashreplace")
