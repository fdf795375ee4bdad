"""Guarantee 4, threads end: at exit, after exceptions, on Ctrl-C, for forgotten clients; and in forked children."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from streamclient import ListenOptions, StreamClient, StreamState, close_all
from tests.support.service import CLOSE_STREAM, LINEAR16, SOON, Call, Service, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]

PRELUDE = """
import os, signal, sys, threading
from streamclient import *

# Where the tests run in the background, the shell may have told its children to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Plugin:
    @hookimpl
    def on_final(self, result):
        print("final", result.transcript, flush=True)
    @hookimpl
    def on_close(self, transcript):
        print("closed", transcript.complete, flush=True)

client = StreamClient(
    ListenOptions(encoding="linear16", sample_rate=16000), url=sys.argv[1], plugins=[Plugin()],
    timeouts=Timeouts(exit=float(sys.argv[2])), buffer=BufferPolicy(max_memory=100_000),
)
client.open()
client.send(bytes(32000))
"""


class Script:
    """A Python program in a process of its own."""

    def __init__(self, code: str, url: str, exit_budget: float = 5.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PRELUDE + code, url, str(exit_budget)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_line(self) -> str:
        """The next line the program prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, list[str], str]:
        """Exit code, lines of output, errors."""
        out, err = self._process.communicate(timeout=SOON * 2)
        return self._process.returncode, out.splitlines(), err


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that says one final at the end."""
    with serving(obedient(final("hello", 0.0), metadata())) as served:
        yield served


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise LookupError", 1),
        ("sys.exit(5)", 5),
        ("del client", 0),
        ("threading.Thread(target=sys.exit).start()", 0),
    ],
    ids=["end of script", "exception", "sys.exit", "forgotten", "other thread"],
)
def test_a_stream_left_open_is_closed_at_exit(service: Service, code: str, expected: int) -> None:
    """However a script ends, its stream ends well and the exit code is the script's own."""
    returncode, out, err = Script(code, service.url).end()

    assert (returncode, out) == (expected, ["final hello", "closed True"]), err
    assert service.call.frames[-1] == CLOSE_STREAM
    assert len(service.call.audio) == 32000


def test_the_exit_does_not_wait_for_a_server_that_never_closes() -> None:
    """The budget at exit is short, and a warning says what was cut."""
    stop = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        stop.wait(SOON * 2)

    with serving(script) as service:
        returncode, out, err = Script("", service.url, exit_budget=0.5).end()
        stop.set()

    assert returncode == 0, err
    assert out == ["closed False"]
    assert "still open at exit" in err


@pytest.mark.parametrize(
    "wait",
    [
        "client.close()",
        "list(client.events())",
        "while True: client.send(bytes(100_000))",
        "list(stream(iter(lambda: bytes(640), 0), ListenOptions(encoding='mulaw', sample_rate=8000), url=sys.argv[1]))",
    ],
    ids=["close", "events", "send", "stream"],
)
def test_ctrl_c_interrupts_every_wait(wait: str) -> None:
    """A KeyboardInterrupt comes out of whatever the main thread waits in, and the stream can still be closed."""
    release = threading.Event()

    def script(call: Call) -> None:
        assert release.wait(SOON)
        call.read_until()
        call.end(final("hello", 0.0), metadata())

    code = f"""
try:
    print("waiting", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
client.close()
print("end", flush=True)
"""
    with serving(script) as service:
        program = Script(code, service.url)
        first = program.wait_for_line()
        program.interrupt()
        second = program.wait_for_line()
        release.set()
        returncode, out, err = program.end()

    assert (first, second) == ("waiting", "interrupted"), err
    assert returncode == 0, err
    assert out == ["final hello", "closed True", "end"]


def test_a_forgotten_client_is_closed_and_warned_about(service: Service) -> None:
    """A client that is collected ends its stream well, and ResourceWarning says so."""
    ended = threading.Event()

    def leave() -> None:
        client = StreamClient(RAW, url=service.url, plugins=[Ear(ended)])
        client.open()
        client.send(bytes(32000))

    with pytest.warns(ResourceWarning, match="never closed"):
        leave()
    assert ended.wait(SOON)

    assert service.call.texts == [CLOSE_STREAM]


class Ear:
    """Notices the end of a stream."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    from streamclient import hookimpl as _hookimpl

    @_hookimpl
    def on_close(self) -> None:
        self._ended.set()


def test_close_all_closes_what_is_open(service: Service) -> None:
    """A server that drains before it stops ends all its streams well with one call."""
    clients = [StreamClient(RAW, url=service.url) for _ in range(3)]
    for client in clients:
        client.open()
        client.send(bytes(3200))

    assert close_all(timeout=SOON)
    assert all(client.state is StreamState.CLOSED and client.transcript.complete for client in clients)
    assert close_all(timeout=0.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_disturbs_nothing(service: Service) -> None:
    """In the child every use is refused, and reading is allowed; the parent's stream ends well."""
    code = """
child = os.fork()
if child == 0:
    for use in (lambda: client.send(b"x"), client.finalize, client.close, client.events):
        try:
            use()
        except InvalidState:
            pass
        else:
            os._exit(9)
    client.abort()
    repr(client), client.transcript, client.stats, client.state
    sys.exit(0)
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status), flush=True)
client.send(bytes(32000))
client.close()
"""
    returncode, out, err = Script(code, service.url).end()

    assert (returncode, out) == (0, ["child 0", "final hello", "closed True"]), err
    assert len(service.call.audio) == 64000


def test_a_hundred_cycles_leave_nothing_behind(service: Service) -> None:
    """Threads and descriptors are given back."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208

    def cycle() -> None:
        with StreamClient(RAW, url=service.url) as client:
            client.send(bytes(640))

    cycle()
    before = descriptors()
    for _ in range(100):
        cycle()
    for call in service.calls:
        assert call.ended.wait(SOON)
        call.ws.socket.close()

    assert descriptors() <= before + 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamclient")]


def test_fifty_streams_share_nothing(service: Service) -> None:
    """Streams in parallel each get their own audio and their own end."""
    clients = [StreamClient(RAW, url=service.url) for _ in range(50)]
    for client in clients:
        client.open()
    for number, client in enumerate(clients):
        client.send(bytes([number]) * 3200)
    transcripts = [client.close() for client in clients]

    assert all(transcript.complete and transcript.text == "hello" for transcript in transcripts)
    assert sorted(call.audio[0] for call in service.calls) == list(range(50))
    assert all(set(call.audio) == {call.audio[0]} for call in service.calls)
