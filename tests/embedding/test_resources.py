"""Guarantees 3 and 4: memory is bounded whatever the server does, and what a stream used is given back."""

import hashlib
import threading
from pathlib import Path

import pytest

from tests.support.program import IMPORTS, Program, run
from tests.support.service import CLOSE_STREAM, Call, final, metadata, obedient, serving

PATIENCE = 500.0
"""Seconds that so much takes at most, on a machine that is busy with other things."""

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts with /proc"),
    pytest.mark.timeout(PATIENCE + 100),
]

COUNT = """
import tempfile
tempfile.tempdir = os.environ["SPILL"]

def descriptors():
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")[:-1])

def left():
    return [name for name in os.listdir(tempfile.tempdir)] + [
        thread.name for thread in threading.enumerate() if thread is not threading.main_thread()
    ]
"""


@pytest.fixture(autouse=True)
def spill_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the programs spill."""
    monkeypatch.setenv("SPILL", str(tmp_path))


def test_two_hundred_megabytes_for_a_server_that_does_not_read(tmp_path: Path) -> None:
    """All is accepted while the server reads nothing, in 64 MB and the policy's bound; then all of it arrives."""
    read = threading.Event()
    received = hashlib.sha256()

    def script(call: Call) -> None:
        assert read.wait(PATIENCE)
        while (frame := call.ws.recv()) != CLOSE_STREAM:
            assert isinstance(frame, bytes)
            received.update(frame)
        call.end(final("hello", 0.0), metadata())

    code = """
import hashlib
policy = BufferPolicy()
options = ListenOptions(encoding="linear16", sample_rate=48000, channels=2)
sent = hashlib.sha256()
before = descriptors()
client = StreamClient(options, url=url, buffer=policy, timeouts=Timeouts(send=600, pong=600))
client.open()
for number in range(200):
    megabyte = number.to_bytes(4, "big") * 250_000
    client.send(megabyte)
    sent.update(megabyte)
say(client.stats.audio_bytes)
transcript = client.close()
status = open("/proc/self/status")
peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
status.close()
assert peak < 64_000_000 + policy.max_memory, peak
assert transcript.complete and transcript.text == "hello"
assert descriptors() == before and not left(), (descriptors(), left())
say(sent.hexdigest())
"""
    with serving(script) as service:
        program = Program(IMPORTS, COUNT, code, url=service.url)
        accepted = program.wait_for_line()
        read.set()
        ended = program.end(PATIENCE)

    assert (accepted, ended.err) == ("200000000", "")
    assert ended.out == [received.hexdigest()]


def test_five_hundred_streams_one_after_the_other() -> None:
    """Threads, sockets and temporary files are given back each time, whichever way the stream ends."""
    code = """
def cycle(number):
    client = StreamClient(options, url=url, buffer=BufferPolicy(max_memory=1000), plugins=[Quiet()] * (number % 2))
    client.open()
    client.send(bytes(2000))
    client.abort() if number % 5 == 4 else client.close()
class Quiet:
    @hookimpl
    def on_close(self):
        pass
before = descriptors()
for number in range(500):
    cycle(number)
assert descriptors() == before and not left(), (before, descriptors(), left())
"""
    with serving(obedient(metadata())) as service:
        ended = run(IMPORTS, COUNT, code, url=service.url, patience=PATIENCE)

        assert ended == (0, [], "")
        assert sum(call.commands == [CLOSE_STREAM] for call in service.calls) == 400


def test_a_hundred_streams_at_once() -> None:
    """Streams in parallel share nothing: each gets its own audio and its own end, and leaves nothing."""
    code = """
before = descriptors()
clients = [StreamClient(options, url=url, buffer=BufferPolicy(max_memory=1000)) for _ in range(100)]
for client in clients:
    client.open()
for number, client in enumerate(clients):
    client.send(bytes([number]) * 3200)
closing = [threading.Thread(target=client.close) for client in clients]
for thread in closing:
    thread.start()
for thread in closing:
    thread.join()
assert all(client.transcript.complete and client.transcript.text == "hello" for client in clients)
assert descriptors() == before and not left(), (before, descriptors(), left())
"""
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        ended = run(IMPORTS, COUNT, code, url=service.url, patience=PATIENCE)

        assert ended == (0, [], "")
        assert sorted(call.audio for call in service.calls) == [bytes([number]) * 3200 for number in range(100)]
