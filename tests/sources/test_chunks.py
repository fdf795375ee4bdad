"""Audio as a program has it, in blocks."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamclient.errors import StreamClientError
from streamclient.sources import SourceError, audio_chunks

AUDIO = bytes(range(256)) * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with some audio."""
    file = tmp_path / "talk.raw"
    file.write_bytes(AUDIO)
    return file


def test_every_kind_of_source_gives_the_same_bytes(path: Path) -> None:
    """A path, bytes, a file and an iterable give the same bytes."""
    with path.open("rb") as file, path.open("rb", buffering=0) as unbuffered:
        for source in (
            str(path),
            path,
            AUDIO,
            bytearray(AUDIO),
            memoryview(AUDIO),
            file,
            unbuffered,
            [AUDIO, AUDIO[:0]],
        ):
            assert b"".join(audio_chunks(source)) == AUDIO


def test_blocks_are_small(path: Path) -> None:
    """A file comes in blocks, not in one piece."""
    assert {len(block) for block in audio_chunks(path)} == {8192, 1024}


def test_file_is_left_open_and_read_from_where_it_stands() -> None:
    """A file the caller opened is the caller's to close."""
    file = io.BytesIO(AUDIO)
    file.seek(100)
    assert b"".join(audio_chunks(file)) == AUDIO[100:]
    assert not file.closed


def test_short_reads_are_no_end() -> None:
    """A file whose ``read`` gives less than asked for is read to its end."""

    class Trickle:
        def __init__(self) -> None:
            self.rest = AUDIO[:50]

        def read(self, size: int) -> bytes:
            block, self.rest = self.rest[:7], self.rest[7:]
            return block

    assert b"".join(audio_chunks(Trickle())) == AUDIO[:50]  # type: ignore[arg-type]


def test_pipe_gives_what_is_there_at_once() -> None:
    """A block from a pipe is not held back until it is full."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file, os.fdopen(writer, "wb", buffering=0) as end:
        chunks = audio_chunks(file)
        for word in (b"one", b"two"):
            end.write(word)
            assert next(chunks) == word


def test_blocks_of_an_iterable_are_taken_one_at_a_time() -> None:
    """An iterable is never read ahead: a live source has no next block yet."""
    taken = []

    def live() -> Iterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield b"x"

    chunks = audio_chunks(live())
    assert taken == []
    next(chunks)
    assert taken == [0]


def test_changed_buffer_does_not_change_what_was_given() -> None:
    """A buffer the source uses again is copied."""
    buffer = bytearray(b"first")
    chunks = audio_chunks([buffer])
    block = next(chunks)
    buffer[:] = b"other"
    assert block == b"first"


def test_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    """A path that leads nowhere is said before anything is sent, and is an ``OSError`` as well."""
    with pytest.raises(SourceError, match=r"There is no file .*nope\.wav") as caught:
        audio_chunks(tmp_path / "nope.wav")
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, StreamClientError)


def test_directory_is_refused(tmp_path: Path) -> None:
    """A directory is no audio."""
    with pytest.raises(SourceError, match="is a directory"):
        audio_chunks(tmp_path)


def test_impossible_name_is_refused() -> None:
    """A name that no file can have is no surprise from the depths."""
    with pytest.raises(SourceError, match="cannot be read"):
        audio_chunks("talk\0.wav")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_refused(path: Path) -> None:
    """A file of somebody else is said to be so."""
    path.chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        next(audio_chunks(path))


def test_text_file_is_refused(path: Path) -> None:
    """A file in text mode is named as the mistake."""
    with path.open(encoding="latin-1") as file, pytest.raises(TypeError, match="mode 'rb'"):
        audio_chunks(file)  # type: ignore[arg-type]


@pytest.mark.parametrize("items", [["text"], [1, 2], [None]])
def test_items_that_are_not_bytes_are_refused(items: list[object]) -> None:
    """Text and numbers among the blocks are named as the mistake."""
    with pytest.raises(TypeError, match="audio comes as bytes, not as"):
        list(audio_chunks(items))  # type: ignore[arg-type]


def test_thing_that_is_no_source_is_refused() -> None:
    """What cannot be read in any way is refused at once."""
    with pytest.raises(TypeError, match="not int"):
        audio_chunks(3)  # type: ignore[arg-type]


def test_non_blocking_file_without_audio_is_no_end() -> None:
    """A non-blocking file that has nothing at the moment is not taken for one that has ended."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with (
        os.fdopen(writer, "wb", buffering=0),
        os.fdopen(reader, "rb", buffering=0) as file,
        pytest.raises(SourceError, match="non-blocking"),
    ):
        list(audio_chunks(file))
