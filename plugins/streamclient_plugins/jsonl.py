"""The plugin ``jsonl``: every event of a stream as one line of JSON, safe to follow while it is written."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from attrs import define, field

from streamclient import Message, Results, StreamView, Transcript, TurnInfo, hookimpl
from streamclient_plugins.facts import EventReporter, message_facts, result_facts, to_json
from streamclient_plugins.jsonl_schema import VERSION
from streamclient_plugins.writer import LineWriter, path_field

__all__ = ["JsonLines"]


@define(eq=False, kw_only=True)
class JsonLines(EventReporter, LineWriter):
    """Write each event as a line of JSON, as it comes."""

    path: str = path_field("{stem}.jsonl")
    interims: bool = field(default=True, metadata={"help": "Write interim results too."})

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Open the file and write ``open``."""
        self.open(stream)
        super().on_open(stream)

    @hookimpl
    def on_message(self, stream: StreamView, message: Message) -> None:
        """Write ``message``; results have events of their own."""
        if not isinstance(message, Results):
            self.report(stream, "message", message_facts(message))

    @hookimpl
    def on_interim(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Write ``interim``."""
        if self.interims:
            self.report(stream, "interim", result_facts(result))

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Write ``close`` and close the file."""
        try:
            super().on_close(stream, transcript)
        finally:
            self.close()

    def report(self, stream: StreamView, event: str, facts: Mapping[str, Any]) -> None:
        """Write a line."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.write_line(to_json({"v": VERSION, "stream": stream.id, "time": now, "event": event, **facts}))
