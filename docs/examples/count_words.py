"""A plugin in a file: counts the words of a transcript."""

from pathlib import Path

from streamclient import Transcript, hookimpl


@hookimpl
def on_close(transcript: Transcript) -> None:
    """Write the number of words."""
    Path("count.txt").write_text(f"{len(transcript.words)} words\n", encoding="utf-8")
