"""Guarantee 4, threads end: Ctrl-C interrupts every wait, and what was interrupted can be gone on with."""

import socket
import threading

import pytest

from tests.support.program import IMPORTS, OPEN, WHOLE, Program
from tests.support.service import SOON, Call, Service, final, metadata, obedient, serving

WAIT = """
try:
    say("waiting")
    {wait}
except KeyboardInterrupt:
    say("interrupted")
"""

ENDLESS = """
def endless():
    yield bytes(640)
    say("waiting")  # once more: now the stream stands
    while True:
        yield bytes(640)
"""

SMALL = OPEN.replace("url=url", "url=url, buffer=BufferPolicy(max_memory=100_000, max_disk=0)")
"""A client whose buffer is full soon."""


class Patient:
    """A service that hears nothing before it is told to."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def __call__(self, call: Call) -> None:
        assert self.release.wait(SOON)
        call.read_until()
        call.end(final("hello", 0.0), metadata())


@pytest.mark.parametrize(
    "wait",
    [
        "client.close()",
        "client.close(timeout=60)",
        "list(client.events())",
        "while True: client.send(bytes(100_000))",
        "while True: client.send(bytes(100_000), timeout=60)",
        "list(stream(endless(), ListenOptions(encoding='mulaw', sample_rate=8000), url=url))",
        "transcribe(endless(), ListenOptions(encoding='mulaw', sample_rate=8000), url=url)",
    ],
    ids=["close", "close soon", "events", "send", "send soon", "stream", "transcribe"],
)
def test_ctrl_c_interrupts_every_wait(wait: str) -> None:
    """A KeyboardInterrupt comes out of whatever the main thread waits in, and the stream can still be closed well."""
    patient = Patient()
    closing = "client.close()\nsay('end')"
    with serving(patient) as service:
        program = Program(IMPORTS, SMALL, ENDLESS, WAIT.format(wait=wait), closing, url=service.url)
        first = program.wait_for_line()
        if "endless" in wait:
            first = program.wait_for_line()
        program.interrupt()
        second = program.wait_for_line()
        patient.release.set()
        ended = program.end()

    assert (first, second) == ("waiting", "interrupted"), ended.err
    assert ended == (0, [*WHOLE, "end"], "")


def test_close_may_be_interrupted_again_and_again() -> None:
    """After any number of Ctrl-C the next close() still waits for everything and gets it."""
    patient = Patient()
    with serving(patient) as service:
        program = Program(IMPORTS, OPEN, WAIT.format(wait="client.close()") * 3, "client.close()", url=service.url)
        for _ in range(3):
            assert program.wait_for_line() == "waiting"
            program.interrupt()
            assert program.wait_for_line() == "interrupted"
        patient.release.set()

        assert program.end() == (0, WHOLE, "")


def test_after_ctrl_c_in_close_the_stream_can_be_cut() -> None:
    """Who does not want to wait any more calls abort(), or leaves the ``with`` block by the exception."""
    patient = Patient()
    block = """
with StreamClient(options, url=url, plugins=[Plugin()]) as client:
    client.send(bytes(32000))
    say("waiting")
    client.close()
"""
    with serving(patient) as service:
        program = Program(IMPORTS, block, url=service.url)
        assert program.wait_for_line() == "waiting"
        service.wait_for_call()
        program.interrupt()
        ended = program.end()
        patient.release.set()

    assert ended.out == ["closed False"]
    assert ended.err.endswith("KeyboardInterrupt\n")
    assert "at exit" not in ended.err


def test_ctrl_c_while_connecting() -> None:
    """open() is left at once, though the server does not answer; nothing of the stream stays."""
    code = (
        WAIT.format(wait="client.open()")
        + """
try:
    client.send(b"x")
except StreamClientError as error:
    say(type(error).__name__)
while client.state is not StreamState.CLOSED or threading.active_count() > 1:
    time.sleep(0.01)
"""
    )
    with socket.create_server(("127.0.0.1", 0)) as mute:
        program = Program(
            IMPORTS,
            "client = StreamClient(options, url=url, plugins=[Plugin()])",
            code,
            url=f"ws://127.0.0.1:{mute.getsockname()[1]}",
        )
        assert program.wait_for_line() == "waiting"
        knocking, _ = mute.accept()
        knocking.recv(10)
        program.interrupt()
        ended = program.end()
        knocking.close()

    assert (ended.code, sorted(ended.out), ended.err) == (0, ["InvalidState", "closed False", "interrupted"], "")


def test_ctrl_c_at_the_exit_leaves_at_once() -> None:
    """Whoever does not want to wait for the exit hook presses Ctrl-C."""
    patient = Patient()
    opening = OPEN.replace("patient", "Timeouts(exit=600)")
    code = """
class Told(logging.Handler):
    def emit(self, record):
        say(record.levelname)
logging.getLogger("streamclient").addHandler(Told())
"""
    with serving(patient) as service:
        program = Program(IMPORTS, "import logging", opening, code, url=service.url)
        assert program.wait_for_line() == "WARNING"
        program.interrupt()
        assert program.wait_for_line() == "closed False"
        patient.release.set()
        ended = program.end()

    assert ended.out == []
    assert "KeyboardInterrupt" in ended.err


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_handler_may_end_the_stream_whatever_it_interrupts(end: str) -> None:
    """A signal that comes in the middle of send() does not make the handler wait for its own thread."""
    code = f"""
import random
random.seed(4)
for _ in range(6):
    client = StreamClient(options, url=url)
    client.open()
    signal.signal(signal.SIGALRM, lambda *_: client.{end}())
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-3, 1e-2))
    try:
        while True:
            client.send(bytes(640))
    except InvalidState:
        transcript = client.close()
    assert client.state is StreamState.CLOSED and transcript.complete == ("{end}" == "close")
"""
    with serving(obedient(metadata())) as service:
        assert Program(IMPORTS, code, url=service.url).end() == (0, [], "")


LOCKED = """
class Interrupting:
    def __init__(self, lock):
        self.lock, self.has_come = lock, False
    def __enter__(self):
        self.lock.acquire()
    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread() and not self.has_come:
            self.has_come = True
            signal.raise_signal(signal.SIGALRM)
        self.lock.release()

def end(*_):
    say("handler")
    client.{end}()

signal.signal(signal.SIGALRM, end)
locked = client._stream.{locked}
locked._lock = Interrupting(locked._lock)
try:
    {call}
except InvalidState:
    pass
say(client.close().complete, client.state.value)
"""
"""Ends the stream in a handler of a signal that comes while the main thread holds a lock."""


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize(
    ("locked", "call"),
    [
        ("dispatcher.pulled", "list(client.events())"),
        ("dispatcher._lanes[0].inbox", "client.stats"),
        ("dispatcher._failures", "client.stats"),
        ("session._spill._segment", "client.send(bytes(640))"),
    ],
    ids=["events", "waiting", "failures", "spill"],
)
def test_a_handler_does_not_wait_for_a_lock_of_its_own_thread(locked: str, call: str, end: str) -> None:
    """Whatever lock the interrupted call holds: the handler only asks, the call goes on, and the stream ends."""
    spilled = OPEN.replace("timeouts", "buffer=BufferPolicy(max_memory=1000), timeouts") + "client.send(bytes(640))"
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        program = Program(IMPORTS, spilled, LOCKED.format(locked=locked, call=call, end=end), url=service.url)
        ended = program.end()

    assert (ended.code, ended.err) == (0, "")
    assert ended.out[0] == "handler"
    assert ended.out[-1] == ("True closed" if end == "close" else "False closed")


def test_ctrl_c_at_any_moment_loses_nothing() -> None:
    """Whatever the interruption hits, what send() had accepted before is transcribed, and nothing hangs."""
    code = """
import random
sys.setswitchinterval(1e-5)
random.seed(4)
client = StreamClient(options, url=url)
client.open()
signal.signal(signal.SIGALRM, signal.default_int_handler)
accepted = interrupted = 0
while interrupted < 100:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
        while True:
            client.send(accepted.to_bytes(4, "big") * 160)
            accepted += 1
    except KeyboardInterrupt:
        interrupted += 1
while True:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-3, 2e-2))
        complete = client.close().complete
        signal.setitimer(signal.ITIMER_REAL, 0)
        break
    except KeyboardInterrupt:
        pass
say(accepted, complete)
"""
    with serving(obedient(metadata())) as service:
        ended = Program(IMPORTS, code, url=service.url).end()

    assert ended.code == 0, ended.err
    accepted, complete = ended.out[0].split()
    assert complete == "True"
    assert_every_chunk(service, int(accepted))


def assert_every_chunk(service: Service, accepted: int) -> None:
    """Each chunk is there, in order; one whose send() was interrupted may be there twice, since it was sent again."""
    audio = service.call.audio
    assert len(audio) % 640 == 0
    numbers = [int.from_bytes(audio[at : at + 4], "big") for at in range(0, len(audio), 640)]
    assert numbers == sorted(numbers)
    assert set(numbers) >= set(range(accepted))
    assert max(numbers) <= accepted
