"""Guarantee 4, threads end: for forgotten clients, for servers that drain, and after many streams."""

import threading
from collections.abc import Callable, Iterator

import pytest

from streamclient import (
    Closed,
    Event,
    InvalidState,
    ListenOptions,
    StreamClient,
    StreamState,
    close_all,
    hookimpl,
    stream,
)
from tests.support.service import CLOSE_STREAM, LINEAR16, SOON, Call, Service, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that says one final at the end."""
    with serving(obedient(final("hello", 0.0), metadata())) as served:
        yield served


class Ear:
    """Does something at the last final, and notices the end of its stream."""

    def __init__(self, on_final: Callable[[], object] = lambda: None) -> None:
        self.ended = threading.Event()
        self.answers: list[object] = []
        self._on_final = on_final

    @hookimpl
    def on_final(self) -> None:
        self.answers.append(self._on_final())

    @hookimpl
    def on_close(self) -> None:
        self.ended.set()


def test_a_forgotten_client_is_closed_and_warned_about(service: Service) -> None:
    """A client that is collected ends its stream well, and ResourceWarning says so."""
    ear = Ear()

    def leave() -> None:
        client = StreamClient(RAW, url=service.url, plugins=[ear])
        client.open()
        client.send(bytes(32000))

    with pytest.warns(ResourceWarning, match="never closed"):
        leave()
    assert ear.ended.wait(SOON)

    assert service.call.commands == [CLOSE_STREAM]


def test_close_all_closes_what_is_open(service: Service) -> None:
    """A server that drains before it stops ends all its streams well with one call."""
    clients = [StreamClient(RAW, url=service.url) for _ in range(3)]
    for client in clients:
        client.open()
        client.send(bytes(3200))

    assert close_all(timeout=SOON)
    assert all(client.state is StreamState.CLOSED and client.transcript.complete for client in clients)
    assert close_all(timeout=0.0)


def test_close_all_cuts_what_takes_too_long() -> None:
    """One stream that does not end keeps no other from ending well, and is cut when the time is over."""
    stuck = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        if call.audio == b"stuck":
            assert stuck.wait(SOON)
        else:
            call.end(final("hello", 0.0), metadata())

    with serving(script) as service:
        clients = [StreamClient(RAW, url=service.url) for _ in range(3)]
        for client, audio in zip(clients, (b"one", b"stuck", b"three"), strict=True):
            client.open()
            client.send(audio)

        assert not close_all(timeout=5.0)
        stuck.set()

    assert [client.transcript.complete for client in clients] == [True, False, True]
    assert all(client.state is StreamState.CLOSED for client in clients)


def test_a_block_that_a_drain_has_ended_is_not_cut(service: Service) -> None:
    """close_all() makes send() raise; the block that is left by that exception leaves its stream to close_all()."""
    opened = threading.Event()
    drained: list[bool] = []

    def drain() -> None:
        assert opened.wait(SOON)
        drained.append(close_all(timeout=SOON))

    drainer = threading.Thread(target=drain)
    drainer.start()
    with pytest.raises(InvalidState, match="The stream is"), StreamClient(RAW, url=service.url) as client:
        while True:
            client.send(bytes(640))
            opened.set()
    drainer.join(SOON)

    assert drained == [True]
    assert client.transcript.complete


def test_a_drain_ends_the_one_liner_with_all_that_was_sent(service: Service) -> None:
    """stream() gives every event of what was sent, and then raises, because the source was not sent to its end."""
    sent = threading.Event()
    drainer = threading.Thread(target=lambda: sent.wait(SOON) and close_all(timeout=SOON))
    drainer.start()

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(640)
            sent.set()

    events: list[Event] = []
    with pytest.raises(InvalidState):
        events.extend(stream(endless(), RAW, url=service.url))
    drainer.join(SOON)

    assert isinstance(events[-1], Closed)
    assert events[-1].transcript.complete
    assert service.call.commands == [CLOSE_STREAM]


def test_close_all_in_a_hook_only_asks(service: Service) -> None:
    """A thread of a stream waits for no stream, not even for another one."""
    ear = Ear(close_all)
    with StreamClient(RAW, url=service.url) as other:
        with StreamClient(RAW, url=service.url, plugins=[ear]) as client:
            client.send(bytes(640))
        assert ear.answers == [False]
        assert client.transcript.complete
        assert other.close().complete
