"""Audio as a Python program has it: a path, bytes, an open file, or anything that yields bytes."""

import os
from collections.abc import Iterable, Iterator
from io import TextIOBase
from pathlib import Path
from typing import IO, Any

from streamclient.sources.errors import SourceError
from streamclient.sources.registered import opened_by_extension
from streamclient.sources.web import WebAudio, is_web_address

__all__ = ["BLOCK_BYTES", "Audio", "audio_chunks"]

BLOCK_BYTES = 8192

Buffer = bytes | bytearray | memoryview
Audio = str | os.PathLike[str] | Buffer | IO[bytes] | Iterable[Buffer]


def audio_chunks(source: Audio) -> Iterator[bytes]:
    """Yield the bytes of ``source`` in blocks, in order, as soon as they are there.

    Args:
        source: path of a file; an address of the web, or one that an extension knows; bytes; a file opened in binary
            mode, which is read from where it stands and is not closed; or an iterable of bytes, which is passed on
            block by block.

    Raises:
        SourceError: the file cannot be opened or read. A path that leads nowhere is refused at once, not at the
            first block.
        TypeError: the source holds text, or is none of the above.
    """
    if isinstance(source, str) and is_web_address(source):
        return iter(WebAudio(source))
    fetched = opened_by_extension(source) if isinstance(source, str) else None
    if fetched is not None:
        return audio_chunks(fetched)
    if isinstance(source, str | os.PathLike):
        return _file_blocks(checked_path(source))
    if isinstance(source, Buffer):
        return _slices(bytes(source))
    if hasattr(source, "read"):
        return _read_blocks(_binary(source))
    if isinstance(source, Iterable):
        return map(_as_bytes, source)
    raise TypeError(f"audio is a path, bytes, a binary file or an iterable of bytes, not {_kind(source)}")


def checked_path(source: str | os.PathLike[str]) -> Path:
    """The path, if it leads to something that can be read as a file.

    Raises:
        SourceError: there is nothing, or a directory, or the name cannot be one of a file.
    """
    path = Path(source)
    try:
        path.stat()
    except FileNotFoundError as error:
        raise SourceError(f"There is no file {os.fspath(path)!r}", hint=_nearest_place(path)) from error
    except (OSError, ValueError) as error:
        raise cannot_read(os.fspath(path), error) from error
    if path.is_dir():
        raise SourceError(
            f"{os.fspath(path)!r} is a directory",
            hint="Name the audio files in it, for example with a wildcard.",
        )
    return path


def cannot_read(name: str, error: Exception) -> SourceError:
    """The error to raise where the operating system raised ``error``."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    hint = "Check who may read it." if isinstance(error, PermissionError) else None
    return SourceError(f"{name!r} cannot be read: {reason}", hint=hint)


def _nearest_place(path: Path) -> str:
    if path.is_absolute():
        return "Check the spelling of its path."
    return f"Check its spelling; it was looked for in {os.fspath(Path.cwd())}."


def _file_blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _read_blocks(file)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise cannot_read(os.fspath(path), error) from error


def _slices(data: bytes) -> Iterator[bytes]:
    return (data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES))


def _binary(file: Any) -> Any:
    if isinstance(file, TextIOBase):
        raise TypeError("the file is open in text mode; open it with mode 'rb' (for standard input: sys.stdin.buffer)")
    return file


def _read_blocks(file: Any) -> Iterator[bytes]:
    """Read what is there: ``read1`` returns a pipe's bytes at once, where ``read`` waits for a whole block."""
    read = getattr(file, "read1", file.read)
    while block := read(BLOCK_BYTES):
        yield _as_bytes(block)
    if block is None:
        raise SourceError(
            "The file is non-blocking and has no audio at the moment",
            hint="Make it blocking, or pass an iterable that waits for the audio.",
        )


def _as_bytes(block: Any) -> bytes:
    if isinstance(block, bytes):
        return block
    if isinstance(block, bytearray | memoryview):
        return bytes(block)
    hint = "; open the file with mode 'rb'" if isinstance(block, str) else ""
    raise TypeError(f"audio comes as bytes, not as {_kind(block)}{hint}")


def _kind(value: object) -> str:
    return type(value).__name__
