"""Audio on disk: in order, whole, and gone when nobody needs it."""

import tempfile
from pathlib import Path

import pytest

from streamclient import BufferPolicy, ListenOptions, ReconnectPolicy, SendTimeout, StreamClient
from streamclient.spill import SEGMENT_BYTES, Spill, load
from tests.support.service import LINEAR16, SOON, Call, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
CHUNK = bytes(range(250)) * 40


def descriptors() -> int:
    """Open descriptors of files that have no name any more, or never had one."""
    return sum("(deleted)" in entry.resolve().name for entry in Path("/proc/self/fd").iterdir())


def test_what_is_written_comes_back() -> None:
    """Chunks come back from their places, in any order."""
    spill = Spill()
    chunks = [bytes([number]) * (number + 1) for number in range(100)]
    places = [spill.write(chunk) for chunk in chunks]
    assert [load(place) for place in reversed(places)] == chunks[::-1]
    assert load(b"audio") == b"audio"
    assert load("text") == "text"


def test_a_file_vanishes_with_the_last_audio_in_it() -> None:
    """A full file is followed by another, and is closed once nothing names it."""
    before = descriptors()
    spill = Spill()
    first = spill.write(bytes(SEGMENT_BYTES))
    second = spill.write(b"more")
    assert first.place is not second.place
    assert descriptors() == before + 2
    del first
    assert descriptors() == before + 1
    spill.forget()
    del second
    assert descriptors() == before


def test_a_file_that_cannot_be_made_is_an_error_of_the_system_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a directory for temporary files, write raises OSError."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="missing"):
        Spill().write(b"audio")


def test_a_full_disk_leaves_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing can be put on disk the stream goes on with memory alone, and loses nothing it accepted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    buffer = BufferPolicy(max_memory=2 * len(CHUNK), max_disk=10**9)
    with serving(obedient(metadata(1.0))) as service:
        client = StreamClient(RAW, url=service.url, buffer=buffer)
        client.open()
        client.send(CHUNK)
        client.send(CHUNK)
        with pytest.raises(SendTimeout):
            client.send(CHUNK, timeout=0)
        assert client.close(timeout=SOON).complete
        assert service.call.audio == CHUNK * 2


def test_disk_has_a_bound_and_nothing_is_left() -> None:
    """Beyond memory and disk send() times out; what was accepted arrives in order; no file outlives the stream."""
    before = descriptors()
    buffer = BufferPolicy(max_memory=2 * len(CHUNK), max_disk=3 * len(CHUNK))
    with serving(obedient(metadata(1.0))) as service:
        client = StreamClient(RAW, url=service.url, buffer=buffer)
        client.open()
        chunks = [bytes([number]) * len(CHUNK) for number in range(5)]
        for chunk in chunks:
            client.send(chunk, timeout=0)
        with pytest.raises(SendTimeout):
            client.send(CHUNK, timeout=0)
        assert descriptors() == before + 1
        assert client.close(timeout=SOON).complete
        assert service.call.audio == b"".join(chunks)
        assert descriptors() == before


def test_no_file_is_left_by_a_stream_that_fails() -> None:
    """A stream that is lost for good gives its files back though the client lives on."""
    before = descriptors()

    def script(call: Call) -> None:
        call.read_until('{"type": "Finalize"}')
        call.reset()

    buffer = BufferPolicy(max_memory=len(CHUNK), max_disk=10**6)
    policy = ReconnectPolicy(initial_delay=0.0, max_attempts=1)
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, buffer=buffer, reconnect=policy)
        client.open()
        for _ in range(20):
            client.send(CHUNK)
        assert descriptors() > before
        client.abort()
    assert descriptors() == before
