"""Guarantee 4, threads end: however a program ends, its streams end well, and its exit code is its own."""

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.program import IMPORTS, OPEN, WHOLE, Program, run
from tests.support.service import CLOSE_STREAM, SOON, Call, Service, final, metadata, obedient, serving

SHUTS_OUT_THREADS = sys.version_info[:2] == (3, 12)
"""Python 3.12 starts no thread once the interpreter exits."""


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
        ("import atexit; atexit.register(client.close)", 0),
        ("threading.Thread(target=sys.exit).start()", 0),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); os.kill(os.getpid(), signal.SIGTERM)", 143),
        ("threading.Thread(target=lambda: list(client.events())).start()", 0),
        ("threading.Thread(target=lambda: list(client.events()), daemon=True).start()", 0),
    ],
    ids=["end", "exception", "sys.exit", "atexit", "other thread", "SIGTERM", "thread takes events", "daemon does"],
)
def test_a_stream_left_open_is_closed_at_exit(service: Service, code: str, expected: int) -> None:
    """The stream of a program that forgot to close ends well, and a warning says that it was forgotten."""
    ended = run(IMPORTS, OPEN, code, url=service.url)

    assert (ended.code, ended.out) == (expected, WHOLE), ended.err
    assert "Closing 1 stream(s) that were still open at exit" in ended.err
    assert service.call.frames[-1] == CLOSE_STREAM
    assert len(service.call.audio) == 32000


@pytest.mark.parametrize(
    "code",
    [
        "del client",
        "client.itself = client; del client; import gc; gc.collect()",
        "def leave(): StreamClient(options, url=url).close()\nleave(); client.close()",
    ],
    ids=["forgotten", "in a cycle", "closed"],
)
def test_a_client_that_is_gone_at_exit_is_not_warned_of_twice(service: Service, code: str) -> None:
    """A collected client is closed at once; the exit only waits for what is under way."""
    ended = run(IMPORTS, OPEN, code, url=service.url)

    assert (ended.code, ended.out) == (0, WHOLE), ended.err
    assert service.call.frames[-1] == CLOSE_STREAM


def test_a_client_that_is_forgotten_last_and_had_no_plugins(service: Service) -> None:
    """Nobody is left to read its transcript, but the service still learns that the stream has ended."""
    code = """
client = StreamClient(options, url=url, timeouts=patient)
client.open()
client.send(bytes(7_000_000))
del client
"""
    ended = run(IMPORTS, code, url=service.url)

    assert ended.code == 0, ended.err
    assert service.call.frames[-1] == CLOSE_STREAM
    assert len(service.call.audio) == 7_000_000


@pytest.mark.parametrize(
    ("leave", "expected"), [("sys.exit(5)", 5), ("raise LookupError", 1)], ids=["sys.exit", "exception"]
)
def test_an_exception_in_the_block_hangs_up_and_keeps_its_exit_code(leave: str, expected: int) -> None:
    """Nobody waits for the rest: not the program, though the server never closes, and the code is the program's."""

    def script(call: Call) -> None:
        call.read_to_end()

    block = f"""
with StreamClient(options, url=url, plugins=[Plugin()]) as client:
    client.send(bytes(32000))
    {leave}
"""
    with serving(script) as service:
        ended = run(IMPORTS, block, url=service.url)

    assert (ended.code, ended.out) == (expected, ["closed False"]), ended.err
    assert "at exit" not in ended.err
    assert not any(CLOSE_STREAM in call.frames for call in service.calls)


@pytest.mark.parametrize(
    "feed",
    [
        "threading.Thread(target=feed).start()",
        "ThreadPoolExecutor(1).submit(feed)",
    ],
    ids=["thread", "thread pool"],
)
@pytest.mark.parametrize("owner", ["the thread", "main"])
def test_a_thread_that_python_waits_for_goes_on_sending(service: Service, feed: str, owner: str) -> None:
    """The end of the main thread is no end of the stream while a thread that is no daemon still feeds it."""
    opened_by_main, opened_by_thread = ("client.open()", "") if owner == "main" else ("", "client.open()")
    code = f"""
from concurrent.futures import ThreadPoolExecutor
client = StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient)
fed, exiting = threading.Event(), threading.Event()
threading._register_atexit(exiting.set)  # called after the hook of streamclient, which is registered later
def feed():
    {opened_by_thread}
    client.send(bytes(640))
    fed.set()
    exiting.wait()
    for _ in range(100):
        client.send(bytes(640))
    client.close()
{opened_by_main}
{feed}
fed.wait()
"""
    ended = run(IMPORTS, code, url=service.url)

    assert ended == (0, WHOLE, "")
    assert len(service.call.audio) == 101 * 640


def test_a_thread_that_sends_and_does_not_close_is_cleaned_up_after(service: Service) -> None:
    """What such a thread leaves open is closed once it has ended."""
    code = """
client = StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient)
opened = threading.Event()
def feed():
    client.open()
    opened.set()
    threading.main_thread().join()
    client.send(bytes(32000))
threading.Thread(target=feed).start()
opened.wait()
"""
    ended = run(IMPORTS, code, url=service.url)

    assert (ended.code, ended.out) == (0, WHOLE), ended.err
    assert "still open at exit" in ended.err
    assert len(service.call.audio) == 32000


def test_a_stream_that_is_opened_by_a_thread_while_the_interpreter_exits(service: Service) -> None:
    """It is closed like any other; Python 3.12 starts no thread then, and open() says so."""
    code = """
def feed():
    global client
    threading.main_thread().join()
    client = StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient)
    try:
        client.open()
    except InvalidState as error:
        say(error)
    else:
        client.send(bytes(32000))
threading.Thread(target=feed).start()
"""
    ended = run(IMPORTS, code, url=service.url)

    if SHUTS_OUT_THREADS:
        assert ended.out == ["No thread can be started: can't create new thread at interpreter shutdown."]
    else:
        assert (ended.code, ended.out) == (0, WHOLE), ended.err


def test_twenty_streams_share_one_budget(service: Service) -> None:
    """All streams that are left open are closed at the same time."""
    code = """
clients = [StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient) for _ in range(20)]
for client in clients:
    client.open()
    client.send(bytes(3200))
"""
    ended = run(IMPORTS, code, url=service.url)

    assert (ended.code, sorted(ended.out)) == (0, sorted(WHOLE * 20)), ended.err
    assert "Closing 20 stream(s)" in ended.err


def test_the_exit_does_not_wait_for_a_server_that_never_closes() -> None:
    """The budget at exit is short; a stream that needs longer is cut, and a warning says so."""
    stop = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        stop.wait(SOON * 2)

    opening = OPEN.replace("patient", "Timeouts(exit=0.5)")
    with serving(script) as service:
        ended = run(IMPORTS, opening, url=service.url)
        stop.set()

    assert (ended.code, ended.out) == (0, ["closed False"]), ended.err
    assert "Not all streams could be closed in time" in ended.err


def test_a_connection_that_breaks_at_exit_is_built_again() -> None:
    """The exit's closing is as robust as any other."""
    calls: list[Call] = []

    def script(call: Call) -> None:
        calls.append(call)
        call.read_until()
        if len(calls) == 1:
            call.reset()
        else:
            call.end(final("hello", 0.0), metadata())

    with serving(script) as service:
        ended = run(IMPORTS, OPEN, url=service.url)

    assert (ended.code, ended.out) == (0, WHOLE), ended.err
    assert "bug" not in ended.err
    assert len(calls[-1].audio) == 32000


def test_without_a_handler_sigterm_kills(service: Service) -> None:
    """The library installs no signal handler; what a signal does is the program's own decision."""
    program = Program(IMPORTS, OPEN, "say('open'); signal.pause()", url=service.url)
    assert program.wait_for_line() == "open"
    service.wait_for_call()
    program.terminate()
    ended = program.end()

    assert (ended.code, ended.out) == (-signal.SIGTERM, []), ended.err
    assert service.call.ended.wait(SOON)
    assert CLOSE_STREAM not in service.call.frames


@pytest.mark.parametrize("drain", ["close_all(timeout=30)", "threading.Thread(target=close_all, args=(30,)).start()"])
def test_a_handler_of_sigterm_drains(service: Service, drain: str) -> None:
    """A handler that calls close_all(), itself or in a thread, ends the stream well that its program is feeding."""
    code = f"""
def drain(*_):
    {drain}
signal.signal(signal.SIGTERM, drain)
with StreamClient(options, url=url, plugins=[Plugin()]) as client:
    say("open")
    try:
        while True:
            client.send(bytes(640))
    except InvalidState:
        say(client.close().complete)
"""
    program = Program(IMPORTS, code, url=service.url)
    assert program.wait_for_line() == "open"
    program.terminate()
    ended = program.end()

    assert (ended.code, ended.out) == (0, [*WHOLE, "True"]), ended.err
    assert service.call.frames[-1] == CLOSE_STREAM


ONCE_OPEN = {
    "warm thread pool": "pool.submit(int).result()",
    "cold thread pool": "pool.submit(int).result()",
    "thread": "worker = threading.Thread(target=int); worker.start(); worker.join()",
    "subprocess": "subprocess.run([sys.executable, '-S', '-c', ''], check=True)",
    "name look-up": "socket.getaddrinfo('localhost', 80)",
    "late import": "import wave, sqlite3",
    "asyncio": "asyncio.run(asyncio.sleep(0))",
    "another stream's end": "other.close()",
}
NEEDS_A_THREAD = {"cold thread pool", "thread"}


@pytest.mark.parametrize("work", ONCE_OPEN)
def test_what_hooks_may_still_do_at_exit(service: Service, work: str) -> None:
    """Hooks that run while the interpreter exits can use what they use at other times.

    Except that Python 3.12 starts no more threads then; what the hook raises there is told like any other error.
    """
    code = f"""
import asyncio, socket, subprocess
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
{"pool.submit(int).result()" if work == "warm thread pool" else ""}
other = StreamClient(options, url=url)
{"other.open()" if "other" in work else ""}
class Busy:
    @hookimpl
    def on_final(self):
        {ONCE_OPEN[work]}
        say("worked")
""" + OPEN.replace("Plugin()", "Plugin(), Busy()")
    ended = run(IMPORTS, code, url=service.url)

    refused = SHUTS_OUT_THREADS and work in NEEDS_A_THREAD
    assert (ended.code, sorted(ended.out)) == (0, sorted(WHOLE + ([] if refused else ["worked"]))), ended.err
    assert ("failed in on_final" in ended.err) == refused
