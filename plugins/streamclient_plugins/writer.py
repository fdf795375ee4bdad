"""What the plugins that write lines share: where to, and how a line gets there whole."""

import io
import os
import select
import sys
from datetime import datetime, timezone
from pathlib import Path
from string import Formatter
from typing import Any, BinaryIO, Literal

from attrs import Attribute, define, field

from streamclient import StreamView

__all__ = ["STDOUT", "LineWriter", "path_field"]

STDOUT = "-"

BinaryFile = io.RawIOBase | BinaryIO


def _check_path(_instance: object, _attribute: "Attribute[str]", path: str) -> None:
    known = ("stream_id", "date")
    for _, name, _, _ in Formatter().parse(path):
        if name is not None and name not in known:
            raise ValueError(f"path={path!r} has the unknown field {{{name}}}; known are {{stream_id}} and {{date}}")
    if not path:
        raise ValueError("path is empty")


def path_field(default: str) -> Any:
    """The option ``path`` of a writer."""
    return field(
        default=default,
        validator=_check_path,
        metadata={"help": "File to write; {stream_id} and {date} (UTC) are filled in. '-' is standard output."},
    )


@define(eq=False, kw_only=True)
class LineWriter:
    """Writes whole lines, each with one unbuffered write to the end of the file.

    So another program can follow the file, a killed process leaves no half of a line, and a forked one holds nothing
    back that it would write a second time. The file is opened by the first hook and closed by the last one.
    """

    path: str = path_field(STDOUT)
    existing: Literal["refuse", "append", "overwrite"] = field(
        default="refuse", metadata={"help": "What to do where the file exists already."}
    )
    _file: BinaryFile | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # Early, where the name is certain: before there is a stream that would go on without its file.
        if self.path != STDOUT and "{" not in self.path:
            self._refuse_lost_file(Path(self.path))

    def open(self, stream: StreamView) -> None:
        """Open the file of this stream.

        Raises:
            OSError: it cannot be opened, or exists and ``existing`` is ``"refuse"``.
        """
        self._file = None
        self._file = _standard_output() if self.path == STDOUT else self._open_file(self._path_of(stream))

    def write_line(self, line: str) -> None:
        """Write a line; nothing where the file could not be opened or its reader has gone, which was raised once.

        Raises:
            OSError: it could not be written; what was written of it is taken back, where that is possible.
        """
        if self._file is None:
            return
        try:
            _write_whole(self._file, f"{line}\n".encode("utf-8", "backslashreplace"))
        except BrokenPipeError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None and self.path != STDOUT:
            file.close()

    def _path_of(self, stream: StreamView) -> Path:
        return Path(self.path.format(stream_id=stream.id, date=datetime.now(timezone.utc).date().isoformat()))

    def _open_file(self, path: Path) -> BinaryFile:
        self._refuse_lost_file(path)
        return io.FileIO(path, "ab", opener=lambda name, flags: os.open(name, flags | self._flags(path), 0o666))

    def _flags(self, path: Path) -> int:
        """A device or a pipe exists already and loses nothing."""
        if self.existing == "refuse":
            return 0 if path.exists() else os.O_EXCL
        return os.O_TRUNC if self.existing == "overwrite" else 0

    def _refuse_lost_file(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path={self.path!r}: there is no folder {path.parent}")
        if self.existing == "refuse" and path.is_file():
            raise FileExistsError(
                f"{path} exists already; set existing=append or existing=overwrite, or choose another path"
            )


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
