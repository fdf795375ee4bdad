"""Audio on disk: in order, whole, and gone when nobody needs it."""

import errno
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamclient import (
    BufferPolicy,
    ListenOptions,
    ReconnectPolicy,
    SendTimeout,
    Span,
    SpillError,
    StreamClient,
    StreamState,
)
from streamclient.threads.spill import SEGMENT_BYTES, Spill, load
from tests.support.service import CLOSE_STREAM, LINEAR16, SOON, Call, final, metadata, obedient, serving
from tests.support.waiting import wait_until

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
CHUNK = bytes(range(250)) * 40
SMALL_DISK = 1024 * 1024


def descriptors() -> int:
    """Open descriptors of files that have no name any more, or never had one."""
    return len(open_files())


def open_files() -> list[int]:
    """The descriptors that `descriptors` counts."""
    gc.collect()  # a traceback of another test may still hold one
    entries = Path("/proc/self/fd").iterdir()
    return [int(entry.name) for entry in entries if "(deleted)" in entry.resolve().name]


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


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files is a disk with room for a megabyte."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(tmp_path)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # a traceback may still hold a file


def refusal(spill: Spill, audio: bytes) -> SpillError:
    """Why this cannot be written; without the frames, which would keep the file."""
    with pytest.raises(SpillError) as caught:
        spill.write(audio)
    return caught.value.with_traceback(None)


def test_a_file_that_cannot_be_made_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a directory for temporary files the error says where it was looked for, and what to change."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    error = refusal(Spill(), b"audio")

    assert (error.path, error.errno) == (str(tmp_path / "missing"), errno.ENOENT)
    assert re.search(r"missing: No such file or directory.*TMPDIR.*max_disk=0", str(error))


def test_a_chunk_that_fills_the_disk_spoils_no_other(small_disk: Path) -> None:
    """What a full disk took of a chunk is written over; the chunks around it come back whole."""
    spill = Spill()
    first = spill.write(b"1" * 900_000)
    error = refusal(spill, b"2" * 200_000)
    third = spill.write(b"3" * 100_000)

    assert (error.path, error.errno) == (str(small_disk), errno.ENOSPC)
    assert "No space left on device" in str(error)
    assert load(first) == b"1" * 900_000
    assert load(third) == b"3" * 100_000


def test_a_file_that_may_not_grow_is_a_full_disk() -> None:
    """A limit on the size of files (``ulimit -f``) is met with the same error, and with no signal."""
    program = """
import resource
from streamclient import SpillError
from streamclient.threads.spill import Spill, load

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
spill = Spill()
kept = spill.write(b"1" * 70_000)
try:
    spill.write(b"2" * 70_000)
except SpillError as error:
    print(error)
assert load(kept) == b"1" * 70_000
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert "File too large" in done.stdout


def test_a_full_disk_leaves_memory(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The stream goes on with memory alone, loses nothing it accepted, and tells once what happened."""
    buffer = BufferPolicy(max_memory=2 * len(CHUNK), max_disk=10**9)
    sent = [bytes([number % 256]) * len(CHUNK) for number in range(200)]
    accepted = []
    with serving(obedient(metadata(1.0))) as service:
        client = StreamClient(RAW, url=service.url, buffer=buffer)
        client.open()
        with pytest.raises(SendTimeout) as caught:
            for chunk in sent:
                client.send(chunk, timeout=0)
                accepted.append(chunk)
        with pytest.raises(SendTimeout):
            client.send(CHUNK, timeout=0)
        assert client.close(timeout=SOON).complete
        assert service.call.audio == b"".join(accepted)

    full = caught.value.__cause__
    assert isinstance(full, SpillError)
    assert client.stats.spill_error is full
    assert (full.path, full.errno) == (str(small_disk), errno.ENOSPC)
    assert "No space left on device" in str(caught.value)
    assert str(small_disk) in str(caught.value)
    assert SMALL_DISK - len(CHUNK) < sum(map(len, accepted)) <= SMALL_DISK + 2 * len(CHUNK)
    assert len([record for record in caplog.records if "memory alone" in record.getMessage()]) == 1


def test_callers_that_wait_out_a_full_disk_lose_nothing(small_disk: Path) -> None:
    """With memory alone send() blocks until the service has taken enough; several callers at once keep their chunks."""
    buffer = BufferPolicy(max_memory=4 * len(CHUNK), max_disk=10**9)

    def script(call: Call) -> None:
        full.wait(SOON)
        second = 0
        while call.read() != CLOSE_STREAM:
            second += 1
            call.say(final("", 0.0, len(call.audio) / 32000))
        call.end(metadata(len(call.audio) / 32000))

    full = threading.Event()
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, buffer=buffer)
        client.open()

        def feed(number: int) -> None:
            for _ in range(60):
                client.send(bytes([number]) * len(CHUNK))

        callers = [threading.Thread(target=feed, args=(number,)) for number in range(1, 5)]
        for caller in callers:
            caller.start()
        wait_until(lambda: client.stats.spill_error is not None)
        full.set()
        for caller in callers:
            caller.join(SOON)
        assert client.close(timeout=SOON).complete
        heard = service.call.audio
    assert isinstance(client.stats.spill_error, SpillError)
    assert (
        sorted(heard[start] for start in range(0, len(heard), len(CHUNK))) == [1] * 60 + [2] * 60 + [3] * 60 + [4] * 60
    )
    assert all(len(set(heard[at : at + len(CHUNK)])) == 1 for at in range(0, len(heard), len(CHUNK)))


def test_audio_that_vanishes_from_the_disk_ends_the_stream_with_its_name() -> None:
    """A file that cannot be read any more is no silent hole: the stream fails, and its span has no transcript."""
    before = set(open_files())
    buffer = BufferPolicy(max_memory=len(CHUNK), max_disk=10**6)
    calls = []

    def script(call: Call) -> None:
        calls.append(call)
        call.read()
        if len(calls) == 1:
            call.reset()
        call.read_to_end()

    with serving(script) as service:
        policy = ReconnectPolicy(initial_delay=60.0, max_delay=60.0)
        client = StreamClient(RAW, url=service.url, buffer=buffer, reconnect=policy)
        client.open()
        client.send(CHUNK)
        wait_until(lambda: client.state is StreamState.RECONNECTING)
        for _ in range(20):
            client.send(CHUNK)
        (descriptor,) = set(open_files()) - before
        os.truncate(f"/proc/self/fd/{descriptor}", 5 * len(CHUNK))
        with pytest.raises(SpillError, match="cannot be read again"):
            client.close(timeout=SOON)
    assert client.state is StreamState.FAILED
    assert set(open_files()) == before
    assert client.transcript.gaps == (Span(0.0, 21 * len(CHUNK) / 32000),)


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
    wait_until(lambda: descriptors() == before)
