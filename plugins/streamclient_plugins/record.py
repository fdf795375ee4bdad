"""The plugin ``record``: the audio as it was sent, beside a JSON Lines file of everything that happened.

``streamclient recover`` transcribes what a recording has no transcript of.
"""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from attrs import define, field

from streamclient import StreamView, Transcript, __version__, hookimpl
from streamclient_plugins.audio_file import SUFFIXES, AudioFile, suffix_of
from streamclient_plugins.jsonl import JsonLines
from streamclient_plugins.writer import STDOUT, fill_path, path_field

__all__ = ["Record"]

NOT_RECORDED = ("callback", "callback_method")
"""Parameters that a later transcription must not have: it would be sent to the same place, whose URL may have a key."""

SECRET = re.compile("key|token|secret|passw|auth|credential", re.IGNORECASE)
"""Names of parameters that only ``extra_query`` can bring, and whose values are not for a file."""

LINES = ".jsonl"

HEAD_BYTES = 65536
"""Where the line ``recording`` is to be found: near the start."""


@define(eq=False, kw_only=True)
class Record(JsonLines):
    """Record the audio as it was sent, and each event beside it, for ``streamclient recover``."""

    path: str = path_field("{stream_id}.jsonl", "File for the lines; the audio goes beside it, with its own suffix")
    existing: Literal["refuse", "overwrite"] = field(
        default="refuse", metadata={"help": "What to do where a recording of this name exists already."}
    )
    _base: Path | None = field(default=None, init=False, repr=False)
    _audio: AudioFile | None = field(default=None, init=False, repr=False)
    _asked: bool = field(default=False, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.path == STDOUT:
            raise ValueError("a recording cannot go to standard output; name a file")
        # Whoever names the file of audio means both.
        base = self.path if not self.path.endswith((LINES, *SUFFIXES)) else self.path.rpartition(".")[0]
        self.path = base + LINES
        super().__attrs_post_init__()

    def open(self, stream: StreamView) -> None:
        """Open the file of lines with the first event or the first audio, whichever comes first.

        Raises:
            OSError: it cannot be opened, or a recording of this name exists.
        """
        if self._asked:
            return
        self._asked = True
        path = fill_path(self.path, stream)
        self._refuse_lost_audio(path)
        super().open(stream)
        if self._file is not None:
            _lock(self._file.fileno(), "LOCK_EX")
        self._base = path

    @hookimpl
    def on_audio(self, stream: StreamView, audio: bytes) -> None:
        """Write it; the first bytes decide what kind of file it is."""
        self.open(stream)
        try:
            if self._base is not None:
                self._begin(stream, self._base, audio)
        finally:  # a line that could not be written must not cost audio
            if self._audio is not None:
                self._audio.write(audio)

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Write ``close`` and close both files."""
        try:
            super().on_close(stream, transcript)
        finally:
            audio, self._audio = self._audio, None
            self._base, self._asked = None, False
            if audio is not None:
                audio.close()

    def _begin(self, stream: StreamView, base: Path, start: bytes) -> None:
        path = base.with_suffix(suffix_of(stream.options, start))
        self._base = None
        self._audio = AudioFile(path, stream.options, overwrite=self.existing == "overwrite")
        facts = {
            "audio": path.name,
            "path": stream.options.path,
            "parameters": _parameters(stream),
            "streamclient": __version__,
        }
        self.report(stream, "recording", facts)

    def close(self) -> None:
        """Close the file of lines; a forked child may still have it open, but no longer keeps it locked."""
        if self._file is not None:
            _lock(self._file.fileno(), "LOCK_UN")
        super().close()

    def _refuse_lost_audio(self, lines: Path) -> None:
        """Only a recording is ever overwritten; audio that is none may be the source that is just being read."""
        there = [path for path in (lines.with_suffix(suffix) for suffix in SUFFIXES) if path.exists()]
        if there and self.existing == "refuse":
            raise FileExistsError(f"{there[0]} exists already; set existing=overwrite, or choose another path")
        for audio in there:
            if not _is_recording(lines, audio):
                raise FileExistsError(f"{audio} exists already and is no recording; choose another path")


def _lock(descriptor: int, operation: Literal["LOCK_EX", "LOCK_UN"]) -> None:
    """What is still being recorded cannot be recovered; the system unlocks it, however the process ends."""
    with suppress(ImportError, OSError):  # Windows, or a file system without locks
        import fcntl

        fcntl.flock(descriptor, getattr(fcntl, operation) | fcntl.LOCK_NB)


def _is_recording(lines: Path, audio: Path) -> bool:
    """Whether the lines say that they were recorded with this audio."""
    if not lines.is_file():
        return False
    with lines.open("rb") as file:
        start = file.readlines(HEAD_BYTES)
    events = [json.loads(line) for line in start if b'"event":"recording"' in line and line.endswith(b"\n")]
    return any(event.get("audio") == audio.name for event in events)


def _parameters(stream: StreamView) -> list[list[str]]:
    """What was asked for, as pairs of the query string, without what is nobody's business."""
    options = stream.options
    hidden = {*NOT_RECORDED, *(name for name in options.extra_query if SECRET.search(name))}
    return [[name, value] for name, value in options.query_pairs() if name not in hidden]
