"""Streams in a process whose threads are gevent's greenlets: patched at its start, as gevent asks for, or late."""

import ssl
import threading
from pathlib import Path

import pytest
import trustme

from tests.support.program import IMPORTS, OPEN, WHOLE, run
from tests.support.service import CLOSE_STREAM, SOON, Call, final, interim, metadata, obedient, serving

pytest.importorskip("gevent")

PATCH = "import gevent\nfrom gevent import monkey\nmonkey.patch_all()"
EARLY, LATE = (PATCH, IMPORTS), (IMPORTS, PATCH)
GO_ON = """
client.send(bytes(32000))
assert client.close().complete
"""

patched = pytest.mark.parametrize("beginning", [EARLY, LATE], ids=["early", "late"])


@patched
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_stream(beginning: tuple[str, str], secure: bool, tmp_path: Path) -> None:
    """A stream is complete, and its last words reach the plugin."""
    with serving(obedient(final("hello", 0.0), metadata()), tls=_tls(tmp_path) if secure else None) as service:
        ended = run(*beginning, _opening(tmp_path), GO_ON, url=service.url)

    assert ended == (0, WHOLE, "")
    assert len(service.call.audio) == 64000


@patched
@pytest.mark.parametrize(
    "wait",
    [
        "client.close()",
        "list(client.events())",
        "while True: client.send(bytes(100_000))",
        "list(stream(iter(lambda: bytes(640), 0), options, url=url, buffer=small, reconnect=None))",
        "close_all(timeout=60)",
    ],
    ids=["close", "events", "send", "stream", "close_all"],
)
def test_no_wait_stops_the_other_greenlets(beginning: tuple[str, str], wait: str) -> None:
    """While one greenlet waits, another one opens a stream, without which the first would wait for ever."""
    second = threading.Event()

    def script(call: Call) -> None:
        if "tag=second" in call.path:
            second.set()
        assert second.wait(SOON)
        if "tag=first" in call.path and "close" in wait:
            call.read_until()
        call.end(final("hello", 0.0), metadata())

    code = f"""
from attrs import evolve
small = BufferPolicy(max_memory=100_000, max_disk=0)
client = StreamClient(evolve(options, tag=["first"]), url=url, reconnect=None, buffer=small, timeouts=patient)
options = evolve(options, tag=["first", "last"])
client.open()
def wait():
    try:
        {wait}
    except ConnectionLost:
        pass
waiting = gevent.spawn(wait)
gevent.sleep(0)
other = StreamClient(evolve(options, tag=["second"]), url=url, timeouts=patient)
other.open()
waiting.join()
say("end")
os._exit(0)
"""
    with serving(script) as service:
        ended = run(*beginning, code, url=service.url)

    assert ended.out == ["end"], ended.err


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_client_that_was_opened_before_patching(secure: bool, tmp_path: Path) -> None:
    """It keeps its real threads and works; so does one that is opened after it."""
    with serving(obedient(final("hello", 0.0), metadata()), tls=_tls(tmp_path) if secure else None) as service:
        opening = _opening(tmp_path)
        ended = run(IMPORTS, opening, "first = client", PATCH, opening, GO_ON, "first.close()", url=service.url)

    # When a thread that began before ends after patching, gevent's bookkeeping of threads may complain.
    assert (ended.code, ended.out) == (0, WHOLE * 2), ended.err
    assert sorted(len(call.audio) for call in service.calls) == [32000, 64000]


def test_threads_that_began_before_patching_stay_out_of_gevent() -> None:
    """Where several begin with gevent at once, each importing what it needs, they can wait for each other for ever."""

    def script(call: Call) -> None:
        while len(call.audio) <= 32000:
            call.read()
        call.say(interim("hm", 0.0))
        call.read_until()
        call.end(final("hello", 0.0), metadata())

    code = """
from gevent import hub
made, make = [], hub.Hub.__init__
def count(self, *args, **options):
    made.append(self)
    make(self, *args, **options)
hub.Hub.__init__ = count
client.send(bytes(32000))
next(event for event in client.events() if isinstance(event, Results))
client.close()
say(len(made))
"""
    with serving(script) as service:
        ended = run(IMPORTS, OPEN, PATCH, code, url=service.url)

    assert (ended.code, ended.out) == (0, [*WHOLE, "1"]), ended.err


def test_a_client_that_was_opened_before_patching_connects_no_more() -> None:
    """Its threads are none of gevent's, and what they would connect with is: a break is the end, and says why."""
    code = """
try:
    client.close()
except ConnectionLost as lost:
    say(type(lost.__cause__).__name__, "monkey.patch_all()" in str(lost), lost.unconfirmed)
"""

    def script(call: Call) -> None:
        call.read_until()
        call.reset()

    with serving(script) as service:
        ended = run(IMPORTS, OPEN, PATCH, code, url=service.url)

    assert ended.out == ["closed False", "InvalidState True Span(start=0.0, end=1.0)"], ended.err


def test_a_client_that_was_made_before_patching_is_refused() -> None:
    """Its locks are not gevent's, so opening it would stop the process; open() says what to do instead."""
    code = """
try:
    client.open()
except InvalidState as error:
    say(error)
"""
    ended = run(IMPORTS, "client = StreamClient(options, url=url)", PATCH, code, url="ws://127.0.0.1:1")

    assert ended.code == 0, ended.err
    assert "before gevent" in ended.out[0]


@patched
def test_twenty_greenlets_and_one_that_forgets(beginning: tuple[str, str]) -> None:
    """Streams in parallel end well, and what is left open is closed at exit."""
    code = """
def work(number):
    with StreamClient(options, url=url, timeouts=patient) as client:
        client.send(bytes([number]) * 3200)
    assert client.transcript.text == "hello"
for greenlet in [gevent.spawn(work, number) for number in range(20)]:
    greenlet.get()
"""
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        ended = run(*beginning, code, OPEN, url=service.url)

    assert (ended.code, ended.out) == (0, WHOLE), ended.err
    assert "Closing 1 stream(s) that were still open at exit" in ended.err
    assert sorted(call.audio for call in service.calls) == sorted(
        [bytes(32000), *(bytes([number]) * 3200 for number in range(20))]
    )
    assert all(call.commands == [CLOSE_STREAM] for call in service.calls)


@patched
def test_a_broken_connection(beginning: tuple[str, str]) -> None:
    """Reconnecting works as it does with threads."""

    def script(call: Call) -> None:
        if len(service.calls) == 1:
            call.read()
            call.reset()
        else:
            call.read_until()
            call.end(final("hello", 0.0), metadata())

    with serving(script) as service:
        ended = run(*beginning, OPEN, GO_ON, url=service.url)

    assert ended == (0, WHOLE, "")
    assert len(service.calls[-1].audio) == 64000


@patched
def test_audio_from_a_thread_that_is_none_of_gevents(beginning: tuple[str, str]) -> None:
    """A sound library calls from a thread of its own."""
    code = """
def feed():
    for _ in range(100):
        client.send(bytes(640))
done = gevent.get_hub().threadpool.spawn(feed)
done.get()
client.close()
"""
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        ended = run(*beginning, OPEN, code, url=service.url)

    assert ended == (0, WHOLE, "")
    assert len(service.call.audio) == 96000


def _tls(folder: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def _opening(folder: Path) -> str:
    """What opens a client that trusts the authority in the folder; it does no harm where there is none."""
    path = folder / "ca.pem"
    trust = f"transport=TransportOptions(ca_file={str(path)!r})" if path.exists() else "transport=TransportOptions()"
    return OPEN.replace("url=url", f"url=url, {trust}")
