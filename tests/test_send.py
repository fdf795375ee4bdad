"""Guarantee 3: bounded memory, no silent loss; and KeepAlive while idle."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from streamclient import (
    BufferPolicy,
    ConnectionLost,
    InvalidState,
    ListenOptions,
    OptionsError,
    SendTimeout,
    StreamClient,
    Timeouts,
)
from tests.support.service import CLOSE_STREAM, LINEAR16, SOON, Call, Service, final, metadata, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
CHUNK = bytes(64 * 1024)


@contextmanager
def stalled() -> Iterator[tuple[Service, threading.Event]]:
    """A service that reads nothing until it is told to."""
    read = threading.Event()

    def script(call: Call) -> None:
        call.ws.recv_bufsize = 4096
        assert read.wait(SOON)
        call.read_until()
        call.end(metadata())

    with serving(script) as service:
        service._server.socket.setsockopt(*SMALL_BUFFER)
        try:
            yield service, read
        finally:
            read.set()


SMALL = BufferPolicy(max_memory=1024 * 1024, max_disk=0)

SMALL_BUFFER = (1, 8, 4096)
"""SOL_SOCKET, SO_RCVBUF: the kernel takes little, so that the stall is felt soon."""


def fill(client: StreamClient) -> int:
    """Send until there is no room; how many bytes were accepted."""
    accepted = 0
    while True:
        try:
            client.send(CHUNK, timeout=0.2)
        except SendTimeout:
            return accepted
        accepted += len(CHUNK)


def test_a_chunk_that_timed_out_was_not_accepted() -> None:
    """send() blocks when audio cannot leave; what it refused is not sent, what it accepted is."""
    with stalled() as (service, read):
        client = StreamClient(RAW, url=service.url, buffer=SMALL, reconnect=None)
        client.open()
        accepted = fill(client)
        assert client.stats.audio_bytes == accepted
        assert client.stats.buffered_seconds <= 1024 * 1024 / 32000
        read.set()
        transcript = client.close()

    assert transcript.complete
    assert len(service.call.audio) == accepted


def test_a_service_that_wants_more_audio_than_there_is_room_for_is_asked_for_finals() -> None:
    """Where both would wait for ever, the client asks for finals, and all is transcribed."""

    def script(call: Call) -> None:
        said = 0.0
        while (frame := call.read()) != CLOSE_STREAM:
            if frame == '{"type": "Finalize"}':
                heard = len(call.audio) / 32000
                call.say(final("word", said, heard - said, from_finalize=True))
                said = heard
        heard = len(call.audio) / 32000
        call.end(final("end", said, heard - said), metadata(heard))

    buffer = BufferPolicy(max_memory=32_000, max_disk=0)
    with serving(script) as service, StreamClient(RAW, url=service.url, buffer=buffer) as client:
        for _ in range(5):
            client.send(bytes(8_000), timeout=SOON)
        transcript = client.close(timeout=SOON)
    assert transcript.complete
    assert transcript.text == "word end"
    assert service.call.audio == bytes(40_000)


def test_a_blocked_send_goes_on_when_there_is_room() -> None:
    """A caller without timeout waits as long as it takes."""
    with stalled() as (service, read):
        client = StreamClient(RAW, url=service.url, buffer=SMALL, reconnect=None)
        client.open()
        accepted = fill(client)
        sender = threading.Thread(target=client.send, args=(CHUNK,))
        sender.start()
        read.set()
        sender.join(SOON)
        client.close()

    assert not sender.is_alive()
    assert len(service.call.audio) == accepted + len(CHUNK)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_blocked_send_is_woken_by_the_end(end: str) -> None:
    """Another thread's close() or abort() lets a blocked send() fail, not hang."""
    caught: list[InvalidState] = []
    with stalled() as (service, read):
        client = StreamClient(RAW, url=service.url, buffer=SMALL, reconnect=None)
        client.open()
        fill(client)

        def send() -> None:
            with pytest.raises(InvalidState) as error:
                while True:  # there may be room for one more
                    client.send(CHUNK)
            caught.append(error.value)

        sender = threading.Thread(target=send)
        sender.start()
        if end == "abort":
            client.abort()
        else:
            closer = threading.Thread(target=client.close)
            closer.start()
            sender.join(SOON)
            read.set()
            closer.join(SOON)
        sender.join(SOON)

    assert len(caught) == 1


def test_a_chunk_larger_than_the_buffer_is_taken_when_nothing_waits() -> None:
    """The bound is on what waits; a caller's own large chunk is no reason to refuse."""
    with serving() as service, StreamClient(RAW, url=service.url, buffer=BufferPolicy(max_memory=1000)) as client:
        client.send(CHUNK)
        client.send(CHUNK)
        client.close()

    assert len(service.call.audio) == 2 * len(CHUNK)


def test_a_stuck_write_is_a_lost_connection() -> None:
    """A peer that takes nothing for Timeouts.send seconds counts as gone, and send() says so."""
    with stalled() as (service, _):
        client = StreamClient(RAW, url=service.url, timeouts=Timeouts(send=0.3), reconnect=None)
        client.open()
        with pytest.raises(ConnectionLost, match="takes no data"):
            while True:
                client.send(CHUNK)
        with pytest.raises(ConnectionLost) as caught:
            client.close()

    assert caught.value.unconfirmed is not None


def test_a_write_to_a_server_that_has_left_is_given_up() -> None:
    """A server that closes while it reads nothing ends the stream with its own words, long before Timeouts.send."""
    leave, seen = threading.Event(), threading.Event()

    def script(call: Call) -> None:
        assert leave.wait(SOON)
        with call.ws.protocol_mutex:
            call.ws.protocol.send_close(1011, "going")
            call.ws.send_data()
        assert seen.wait(SOON)
        call.ws.close_timeout = 0.0  # nobody reads what would come before the client's answer

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, buffer=SMALL, reconnect=None, timeouts=Timeouts(send=600))
        client.open()
        fill(client)
        leave.set()
        with pytest.raises(ConnectionLost) as caught:
            while True:
                client.send(CHUNK)
        client.abort()
        seen.set()

    assert (caught.value.code, caught.value.reason) == (1011, "going")


def test_keepalive_flows_while_no_audio_does() -> None:
    """An idle stream says KeepAlive as text, again and again, and none once CloseStream is out."""
    heard = threading.Semaphore(0)

    def script(call: Call) -> None:
        while True:
            frame = call.read()
            if frame == CLOSE_STREAM:
                break
            if frame == '{"type": "KeepAlive"}':
                heard.release()
        threading.Event().wait(0.3)
        call.end(metadata())

    with serving(script) as service, StreamClient(RAW, url=service.url, timeouts=Timeouts(keepalive=0.05)) as client:
        for _ in range(3):
            assert heard.acquire(timeout=SOON)
        client.close()

    assert service.call.frames[-1] == CLOSE_STREAM
    assert client.stats.keepalives_sent == len(service.call.texts) - 1


def test_keepalive_is_not_sent_while_audio_flows() -> None:
    """Audio itself keeps the line open."""
    sent, pause = [time.monotonic()], threading.Event()
    with serving() as service, StreamClient(RAW, url=service.url, timeouts=Timeouts(keepalive=1.0)) as client:
        while time.monotonic() - sent[0] < 1.2:
            client.send(bytes(640))
            sent.append(time.monotonic())
            pause.wait(0.02)
        client.close()

    quiet = [later - earlier for earlier, later in pairwise([*sent, time.monotonic()])]
    assert client.stats.keepalives_sent <= sum(seconds > 0.9 for seconds in quiet)  # this machine may have paused
    assert service.call.commands == [CLOSE_STREAM]


def test_a_server_that_answers_no_ping_is_lost() -> None:
    """A connection that is dead without saying so is noticed by the missing pong."""
    stop = threading.Event()

    with serving(lambda call: (stop.wait(SOON), None)[1]) as service:
        client = StreamClient(RAW, url=service.url, timeouts=Timeouts(ping=0.1, pong=0.2), reconnect=None)
        client.open()
        service.wait_for_call().ws.recv_events_thread.join(0)
        _freeze(service.call)
        with pytest.raises(ConnectionLost, match="pings"):
            list(client.events())
            client.close()
        stop.set()


def test_pings_are_answered_and_keep_the_stream() -> None:
    """Pings go out on an idle stream, and their pongs keep it alive."""
    quiet = threading.Event()
    with serving() as service, StreamClient(RAW, url=service.url, timeouts=Timeouts(ping=0.05, pong=SOON)) as client:
        quiet.wait(0.4)
        transcript = client.close()

    assert transcript.complete


def test_send_refuses_what_is_not_bytes() -> None:
    """Text and numbers are a caller's mistake, and nothing of them is sent."""
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        for wrong in ("text", 7, None, [1, 2]):
            with pytest.raises(TypeError):
                client.send(wrong)  # type: ignore[arg-type]

    assert service.call.audio == b""


def test_stats_tell_what_happened() -> None:
    """Counters follow the stream."""
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        client.send(bytes(32000))
        client.close()
        stats = client.stats

    assert stats.audio_bytes == 32000
    assert stats.audio_seconds == 1.0
    assert stats.frames_sent == 4
    assert stats.messages_received == 1
    assert stats.lag == 1.0
    assert stats.buffered_seconds == 0.0
    assert service.call.commands == [CLOSE_STREAM]


def _freeze(call: Call) -> None:
    """Stop the service's library from answering pings for it."""
    call.ws.protocol.receive_data = lambda data: None  # type: ignore[method-assign]


def test_a_container_under_a_raw_encoding_is_caught_before_it_goes_out() -> None:
    """Nothing of the chunk is accepted, and the stream can go on with audio that is raw."""
    wav = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100)
    with serving() as service:
        client = StreamClient(RAW, url=service.url)
        client.open()
        client.send(b"")
        for piece in (wav, memoryview(wav), wav[:4]):
            with pytest.raises(OptionsError, match=r"encoding='linear16'.* WAV.*Leave out encoding"):
                client.send(piece)
        assert client.stats.audio_bytes == 0
        client.send(wav[44:])
        client.send(wav)  # in mid-stream anything is audio
        assert client.close(timeout=SOON).complete
        assert service.call.audio == wav[44:] + wav


def test_a_container_that_is_sent_byte_by_byte_is_caught() -> None:
    """The bytes before are accepted, and the client can be closed."""
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        for byte in b"Ogg":
            client.send(bytes([byte]))
        with pytest.raises(OptionsError, match="Ogg"):
            client.send(b"S")
        assert client.stats.audio_bytes == 3


def test_a_chunk_that_timed_out_is_not_among_the_first_bytes() -> None:
    """What begins the stream is what was accepted, not what was offered."""
    with serving() as service:
        client = StreamClient(RAW, url=service.url, buffer=BufferPolicy(max_memory=4, max_disk=0))
        client.open()
        client.send(b"RIF")
        with pytest.raises(SendTimeout):
            client.send(bytes(3), timeout=0)
        with pytest.raises(OptionsError, match="WAV"):
            client.send(b"F")
        assert client.close(timeout=SOON).complete
        assert service.call.audio == b"RIF"
