"""What the plugins that write files share: where to, what to do with a file that is there, how a line gets in whole."""

import io
import os
import select
import sys
from collections.abc import Collection
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from string import Formatter
from typing import Any, BinaryIO, ClassVar, Literal

from attrs import Attribute, define, field

from streamclient import StreamView, source_stem

__all__ = [
    "STDOUT",
    "Existing",
    "FileWriter",
    "LineWriter",
    "create_file",
    "existing_field",
    "fields_of",
    "fill_path",
    "path_field",
    "unknown_field",
]

STDOUT = "-"

FIELDS = ("stem", "stream_id", "date")
"""What a path can be made of."""

Existing = Literal["refuse", "append", "overwrite"]

BinaryFile = io.RawIOBase | BinaryIO


def path_field(default: str, what: str = "File to write; '-' is standard output") -> Any:
    """The option ``path`` of a writer: a template."""
    return field(
        default=default,
        validator=_check_path,
        metadata={
            "help": f"{what}. {{stem}} (name of the audio without its suffix; {{stream_id}} where it has none), "
            "{stream_id} and {date} (UTC; {date:%H%M%S} is the time) are filled in."
        },
    )


def existing_field() -> Any:
    """The option ``existing`` of a writer."""
    return field(default="refuse", metadata={"help": "What to do where the file exists already."})


def fields_of(template: str) -> set[str]:
    """The names in a template.

    Raises:
        ValueError: its braces do not match.
    """
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def unknown_field(option: str, name: str, known: Collection[str]) -> ValueError:
    """The error for a field that a template cannot have."""
    close = get_close_matches(name, known, n=1)
    meant = f"; did you mean {{{close[0]}}}? Known are" if close else "; known are"
    listing = ", ".join(f"{{{known_name}}}" for known_name in known)
    return ValueError(f"{option} has the unknown field {{{name}}}{meant} {listing}")


def _check_path(_instance: object, _attribute: "Attribute[str]", path: str) -> None:
    if not path:
        raise ValueError("path is empty")
    try:
        unknown = sorted(fields_of(path) - {*FIELDS})
        if not unknown:
            _filled(path, "")
    except (ValueError, LookupError) as error:
        raise ValueError(f"path={path!r} cannot be filled in: {error}") from None
    if unknown:
        raise unknown_field(f"path={path!r}", unknown[0], FIELDS)


def fill_path(template: str, stream: StreamView) -> Path:
    """The path of this stream's file."""
    return _filled(template, stream.id)


def _filled(template: str, stream_id: str) -> Path:
    now = _Date.now(timezone.utc)
    return Path(template.format(stem=source_stem.get() or stream_id, stream_id=stream_id, date=now))


class _Date(datetime):
    """The day, where a template does not say what else of the time it wants."""

    def __format__(self, what: str) -> str:
        return super().__format__(what or "%Y-%m-%d")


WAYS_OUT = "existing=append or existing=overwrite"
"""What can be done where a file exists already."""


def create_file(path: Path, existing: Existing = "refuse", ways_out: str = WAYS_OUT) -> io.FileIO:
    """Open a file without a buffer; every write goes to its end.

    Raises:
        OSError: it cannot be opened, or exists and ``existing`` is ``"refuse"``.
    """
    check_file(path, existing, ways_out)
    more = {"append": 0, "overwrite": os.O_TRUNC}
    # A device or a pipe exists already and loses nothing; a file may have come since it was looked for.
    flags = more.get(existing, 0 if path.exists() and not path.is_file() else os.O_EXCL)
    return io.FileIO(path, "ab", opener=lambda name, basic: os.open(name, basic | flags, 0o666))


def check_file(path: Path, existing: Existing = "refuse", ways_out: str = WAYS_OUT) -> None:
    """Refuse a path that is a folder or in none, and one whose file would be lost.

    Raises:
        OSError: saying what can be done.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path={str(path)!r}: there is no folder {path.parent}")
    if path.is_dir():
        raise IsADirectoryError(f"path={str(path)!r} is a folder, not a file")
    if existing == "refuse" and path.is_file():
        raise FileExistsError(f"{path} exists already; set {ways_out}, or choose another path")


@define(eq=False, kw_only=True)
class FileWriter:
    """Writes one file per stream, each piece with one unbuffered write to its end, whole or not at all.

    So another program can follow the file, a killed process leaves no half of a piece, and a forked one holds nothing
    back that it would write a second time. The file is opened by the first hook and closed by the last one.
    """

    path: str = path_field(STDOUT)
    existing: Existing = existing_field()
    _file: BinaryFile | None = field(default=None, init=False, repr=False)
    _place: Path | None = field(default=None, init=False, repr=False)
    ways_out: ClassVar[str] = WAYS_OUT

    def __attrs_post_init__(self) -> None:
        # Early, where the name is certain: before there is a stream that would go on without its file.
        uncertain = {"stream_id"} if source_stem.get() else {"stream_id", "stem"}
        if self.path != STDOUT and not fields_of(self.path) & uncertain:
            check_file(_filled(self.path, ""), self.existing, self.ways_out)

    def open(self, stream: StreamView) -> None:
        """Open the file of this stream.

        Raises:
            OSError: it cannot be opened, or exists and ``existing`` is ``"refuse"``.
        """
        self._file = self._place = None
        if self.path == STDOUT:
            self._file = _standard_output()
        else:
            place = fill_path(self.path, stream)
            self._file = create_file(place, self.existing, self.ways_out)
            self._place = place

    @property
    def is_open(self) -> bool:
        """Whether there is a file to write to."""
        return self._file is not None

    @property
    def is_empty(self) -> bool:
        """Whether the file is new, or as good as new."""
        return self._file is not None and not (self._file.seekable() and self._file.seek(0, os.SEEK_END))

    def write(self, data: bytes) -> None:
        """Write; nothing where the file could not be opened or its reader has gone, which was raised once.

        Raises:
            OSError: it could not be written; what was written of it is taken back, where that is possible.
        """
        if self._file is None:
            return
        try:
            _write_whole(self._file, data)
        except BrokenPipeError:
            self.close()
            raise
        except OSError as error:
            error.filename = self.path if self._place is None else str(self._place)  # else nobody knows which disk
            raise

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None and self.path != STDOUT:
            file.close()


@define(eq=False, kw_only=True)
class LineWriter(FileWriter):
    """Writes whole lines. Where a log rotation has moved the file away, the next line begins a new one."""

    def begin(self) -> None:
        """Write what comes first; called for each file when it is open, which need not be empty."""

    def open(self, stream: StreamView) -> None:
        """Open the file of this stream.

        Raises:
            OSError: it cannot be opened, or exists and ``existing`` is ``"refuse"``.
        """
        super().open(stream)
        self.begin()

    def write_line(self, line: str) -> None:
        """Write a line; nothing where there is no file.

        Raises:
            OSError: it could not be written; what was written of it is taken back, where that is possible.
        """
        if self._file is not None and self._place is not None and _has_moved(self._file, self._place):
            # The old one stays while there is no new one, so that the next line tries again.
            moved, self._file = self._file, create_file(self._place, "append")
            moved.close()
            self.begin()
        self.write(f"{line}\n".encode("utf-8", "backslashreplace"))


def _has_moved(file: BinaryFile, place: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return True


def _standard_output() -> BinaryFile:
    """Standard output without its buffers, of which a fork would make a second copy."""
    sys.stdout.flush()
    buffer = sys.stdout.buffer
    return getattr(buffer, "raw", buffer)


def _write_whole(file: BinaryFile, line: bytes) -> None:
    """Write all of it or nothing: a full disk or a size limit can take a part of a line and refuse the rest."""
    written = 0
    try:
        while written < len(line):
            taken = file.write(line[written:])
            if taken is None:  # a full pipe that somebody has made non-blocking
                select.select((), (file,), ())
            written += taken or 0
    except OSError:
        _take_back(file, written)
        raise


def _take_back(file: BinaryFile, written: int) -> None:
    """Cut off the last bytes, unless somebody has appended more since or the file cannot be cut."""
    if written and file.seekable():
        end = file.tell()
        if os.fstat(file.fileno()).st_size == end:
            file.truncate(end - written)
