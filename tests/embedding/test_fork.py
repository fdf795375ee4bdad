"""Guarantee 10, fork-aware: a forked child can do nothing to its parent's stream, and says so."""

import hashlib
import json
import multiprocessing
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.program import IMPORTS, OPEN, WHOLE, Ended, Program, run
from tests.support.service import CLOSE_STREAM, SOON, Call, Service, final, metadata, obedient, serving

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")

FORK = """
def fork(child):
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

GO_ON = """
client.send(bytes(32000))
client.close()
"""


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that says one final at the end."""
    with serving(obedient(final("hello", 0.0), metadata())) as served:
        yield served


def assert_undisturbed(service: Service, ended: Ended, *said: str) -> None:
    """The child said this and nothing else, the parent's stream ended well, and all of its audio is there."""
    assert ended == (0, [*said, *WHOLE], "")
    assert len(service.call.audio) == 64000
    assert service.call.commands == [CLOSE_STREAM]


def test_a_child_is_refused_every_use(service: Service) -> None:
    """Whatever would touch the parent's stream raises InvalidState at once, also an iterator begun before the fork."""
    code = """
events = client.events()
next(events)
uses = {
    "open": client.open, "send": lambda: client.send(b"x"), "send nothing": lambda: client.send(b""),
    "send soon": lambda: client.send(b"x", timeout=1), "finalize": client.finalize,
    "configure": lambda: client.configure(numerals=True), "close": client.close,
    "close soon": lambda: client.close(timeout=1), "events": client.events, "next event": lambda: next(events),
}
def child():
    for name, use in uses.items():
        try:
            use()
        except InvalidState as error:
            assert "parent process" in str(error)
        else:
            say(name, "was not refused")
    client.abort()
    close_all()
wait(fork(child))
"""
    assert_undisturbed(service, run(IMPORTS, FORK, OPEN, code, GO_ON, url=service.url))


def test_a_child_may_read_what_was_known(service: Service) -> None:
    """State, transcript, counters, ids and repr are those of the moment of the fork."""
    code = """
def child():
    stats = client.stats
    assert client.state is StreamState.OPEN and client.transcript.text == "" and not client.transcript.complete
    assert stats.audio_bytes == 32000 and client.request_ids == ids and repr(client) == shown
    say("read")
ids, shown = client.request_ids, repr(client)
wait(fork(child))
"""
    assert_undisturbed(service, run(IMPORTS, FORK, OPEN, code, GO_ON, url=service.url), "read")


def test_a_child_waits_for_no_lock_of_a_thread_that_is_not_there(service: Service) -> None:
    """Whichever locks the parent's threads hold when it forks, the child reads all and is refused the rest."""
    code = """
from collections import deque
import gc

def locks_in(thing, seen):
    kind = type(thing)
    if isinstance(thing, type) or kind.__name__ == "Bell" or id(thing) in seen:
        return
    seen[id(thing)] = thing
    if kind is type(threading.Lock()):
        yield thing
    elif kind.__module__.startswith("streamclient") or kind in (list, tuple, dict, deque, threading.Condition):
        for part in gc.get_referents(thing):
            yield from locks_in(part, seen)

def child():
    signal.alarm(30)  # one that hangs would outlive the test
    client.state, client.transcript, client.stats, client.request_ids, repr(client)
    for use in (lambda: client.send(b"x"), client.finalize, client.close):
        try:
            use()
        except InvalidState:
            say("refused")
    client.abort()
    sys.exit(7)

held = [lock for lock in locks_in(client, {}) if lock.acquire(timeout=0.1)]
pid = fork(child)
for lock in held:
    lock.release()
assert len(held) > 5
assert wait(pid) == 7
"""
    refused = ["refused"] * 3
    assert_undisturbed(service, run(IMPORTS, FORK, OPEN, code, GO_ON, url=service.url), *refused)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(3)", 3),
        ("raise SystemExit", 0),
        ("global client; del client; import gc; gc.collect(); sys.exit(3)", 3),
        ("client.__exit__(None, None, None)", "InvalidState"),
        ("client.__exit__(KeyError, KeyError(), None); sys.exit(3)", 3),
    ],
    ids=["sys.exit", "os._exit", "end", "object dropped", "end of the block", "exception in the block"],
)
def test_however_a_child_ends(service: Service, end: str, expected: int | str) -> None:
    """The child's end closes nothing of the parent's, calls no plugin, warns of nothing and does not hang."""
    code = f"""
def child():
    try:
        {end}
    except InvalidState:
        say("InvalidState")
        sys.exit(0)
pid = fork(child)
code = wait(pid)
say(code)
"""
    said = ["InvalidState", "0"] if expected == "InvalidState" else [str(expected)]
    assert_undisturbed(service, run(IMPORTS, FORK, OPEN, code, GO_ON, url=service.url), *said)


def test_a_child_may_have_a_stream_of_its_own(service: Service) -> None:
    """A new client works at once in the child, is closed at the child's exit, and the parent's goes on beside it."""
    code = """
def child():
    global own
    own = StreamClient(options, url=url, timeouts=patient)
    own.open()
    own.send(b"own")
    sys.exit(0)
import logging
logging.getLogger("streamclient").setLevel("ERROR")
assert wait(fork(child)) == 0
"""
    ended = run(IMPORTS, FORK, OPEN, code, GO_ON, url=service.url)

    assert ended == (0, WHOLE, "")
    assert sorted(len(call.audio) for call in service.calls) == [3, 64000]
    assert [call.commands for call in service.calls] == [[CLOSE_STREAM]] * 2


def test_a_client_made_before_the_fork_may_be_opened_after_it(service: Service) -> None:
    """Only a stream belongs to a process; a client that was never opened has none."""
    code = """
client = StreamClient(options, url=url, plugins=[Plugin()])
def child():
    client.open()
    client.send(bytes(64000))
    client.close()
assert wait(fork(child)) == 0
"""
    assert_undisturbed(service, run(IMPORTS, FORK, code, url=service.url))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_process_of_multiprocessing_that_forgets_to_close(service: Service, method: str, tmp_path: Path) -> None:
    """Such a process ends without the interpreter's usual exit; its stream is closed all the same."""
    module = tmp_path / "worker_of_test.py"
    module.write_text(f"import sys\nsys.argv[1:] = [{service.url!r}]\n{IMPORTS}\ndef work():\n    global client\n")
    with module.open("a") as file:
        file.writelines(f"    {line}\n" for line in OPEN.splitlines())
    code = f"""
import multiprocessing
sys.path.insert(0, {str(tmp_path)!r})
import worker_of_test
process = multiprocessing.get_context({method!r}).Process(target=worker_of_test.work)
process.start()
process.join()
say(process.exitcode)
"""
    ended = run(IMPORTS, code, url=service.url)

    assert (ended.code, ended.out) == (0, [*WHOLE, "0"]), ended.err
    assert "still open at exit" in ended.err
    assert service.call.commands == [CLOSE_STREAM]


def test_forks_at_any_moment(service: Service) -> None:
    """A parent that sends all the time may fork at any moment: no child hangs, and no byte is lost or changed."""
    code = """
import hashlib
sys.setswitchinterval(1e-6)
sent, stop = hashlib.sha256(), threading.Event()
def feed():
    number = 0
    while not stop.is_set():
        chunk = number.to_bytes(4, "big") * 400
        client.send(chunk)
        sent.update(chunk)
        number += 1
    client.close()
    say(sent.hexdigest())
client = StreamClient(options, url=url, plugins=[Plugin()])
client.open()
feeder = threading.Thread(target=feed)
feeder.start()
def child():
    client.state, client.transcript, client.stats, repr(client)
    for use in (lambda: client.send(b"x"), client.close):
        try:
            use()
        except InvalidState:
            pass
        else:
            os._exit(1)
    client.abort()
    sys.exit(7)
children = [fork(child) for _ in range(30)]
say({wait(child) for child in children})
stop.set()
feeder.join()
"""
    ended = run(IMPORTS, FORK, code, url=service.url)

    digest = hashlib.sha256(service.call.audio).hexdigest()
    assert ended == (0, ["{7}", *WHOLE, digest], "")


def test_a_fork_while_connecting(service: Service) -> None:
    """A connection that is just being made is the parent's alone, too."""
    knocked, go_on = threading.Event(), threading.Event()

    def admit(_request: object) -> None:
        knocked.set()
        assert go_on.wait(SOON)

    service.refusal = admit
    code = """
client = StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient)
opening = threading.Thread(target=client.open)
opening.start()
sys.stdin.readline()
def child():
    try:
        client.close()
    except InvalidState:
        sys.exit(3)
code = wait(fork(child))
say(code)
opening.join()
client.send(bytes(32000))
"""
    program = Program(IMPORTS, FORK, code, GO_ON, url=service.url)
    assert knocked.wait(SOON)
    program.write_line()
    assert program.wait_for_line() == "3"
    go_on.set()
    assert_undisturbed(service, program.end())


def test_a_fork_comes_upon_no_look_up(service: Service) -> None:
    """The system's locks for looking up names, held by a thread that is not in the child, would hold up the child."""
    code = """
import socket
from streamclient.wire import dialing
dialing.FORK_WAITS = 60.0
under_way, goes_on, look_up = threading.Event(), threading.Event(), socket.getaddrinfo
def slow(*args, **options):
    under_way.set()
    goes_on.wait()
    under_way.clear()
    return look_up(*args, **options)
socket.getaddrinfo = slow
client = StreamClient(options, url=url, plugins=[Plugin()], timeouts=patient)
opening = threading.Thread(target=client.open)
opening.start()
under_way.wait()
(ended,) = dialing._look_ups._under_way
def wait_for_the_end(timeout, wait=ended.wait):
    goes_on.set()
    return wait(timeout)
ended.wait = wait_for_the_end  # the look-up goes on once the fork waits for it
def child():
    say("under way" if under_way.is_set() else "none is under way")
    socket.getaddrinfo = look_up
    with StreamClient(options, url=url, timeouts=patient):
        pass
wait(fork(child))
goes_on.set()
opening.join()
client.send(bytes(32000))
"""
    ended = run(IMPORTS, FORK, code, GO_ON, url=service.url)

    assert ended == (0, ["none is under way", *WHOLE], "")
    assert [call.commands for call in service.calls] == [[CLOSE_STREAM]] * 2


def test_under_tls(tmp_path: Path) -> None:
    """The child's copy of a TLS connection is dropped without a word on it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    opening = OPEN.replace("url=url", f"url=url, transport=TransportOptions(ca_file={str(tmp_path / 'ca.pem')!r})")
    code = """
def child():
    global client
    try:
        client.close()
    except InvalidState:
        del client
        sys.exit(3)
code = wait(fork(child))
say(code)
"""
    with serving(obedient(final("hello", 0.0), metadata()), tls=context) as service:
        assert_undisturbed(service, run(IMPORTS, FORK, opening, code, GO_ON, url=service.url), "3")


@pytest.mark.parametrize("plugin", ["text", "jsonl"])
def test_a_child_writes_no_line_twice(plugin: str, tmp_path: Path) -> None:
    """What the parent's plugins have in hand is not written again by the exit of a child."""

    def script(call: Call) -> None:
        call.read()
        call.say(final("one", 0.0))
        call.read_until()
        call.end(final("two", 1.0), metadata(2.0))

    path = tmp_path / "lines"
    opening = OPEN.replace("plugins=[Plugin()]", f"plugins=[Plugin(), '{plugin}:path={path}']")
    code = """
assert next(event for event in client.events() if isinstance(event, Utterance)).text == "one"
assert wait(fork(sys.exit)) == 0
"""
    with serving(script) as service:
        ended = run(IMPORTS, FORK, opening, code, GO_ON, url=service.url)

    assert ended == (0, ["final one", "final two", "closed True"], "")
    lines = path.read_text().splitlines()
    if plugin == "jsonl":
        lines = [event["text"] for event in map(json.loads, lines) if event["event"] == "utterance"]
    assert lines == ["one", "two"]
