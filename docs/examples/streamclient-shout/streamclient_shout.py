"""The plugin ``shout``: every utterance in capitals, to a file or to standard error."""

import sys
from pathlib import Path

from attrs import define, field

from streamclient import StreamView, Transcript, Utterance, hookimpl


@define(eq=False, kw_only=True)
class Shout:
    """Say every utterance aloud."""

    path: Path | None = field(default=None, metadata={"help": "File to write; none for standard error."})
    marks: int = field(default=1, metadata={"help": "Exclamation marks after each utterance."})
    _heard: list[str] = field(factory=list, init=False)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        """Keep it, and say it at once where there is no file."""
        line = utterance.text.upper() + "!" * self.marks
        self._heard.append(line)
        if self.path is None:
            print(line, file=sys.stderr, flush=True)

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Write what was heard, and how it ended."""
        if self.path is not None:
            end = "complete" if transcript.complete else "incomplete"
            self.path.write_text("\n".join([*self._heard, f"({stream.id}: {end})", ""]), encoding="utf-8")
