"""Guarantee 1: a close that loses nothing."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from streamclient import (
    CloseTimeout,
    ConnectionLost,
    InvalidState,
    ListenOptions,
    Results,
    StreamClient,
    StreamState,
    Timeouts,
    Transcript,
    Utterance,
    hookimpl,
)
from streamclient.threads import lifecycle
from tests.support.service import CLOSE_STREAM, LINEAR16, SOON, Call, final, interim, metadata, obedient, serving
from tests.support.waiting import wait_until

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
SECOND = bytes(32000)


class Recorder:
    """Keeps what its hooks are told."""

    def __init__(self) -> None:
        self.finals: list[str] = []
        self.utterances: list[Utterance] = []
        self.closed: list[Transcript] = []

    @hookimpl
    def on_final(self, result: Results) -> None:
        self.finals.append(result.transcript)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        self.utterances.append(utterance)

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        self.closed.append(transcript)


def test_the_transcript_has_what_a_hook_has_heard() -> None:
    """All that is known, at any time: finals whose utterance goes on, too."""
    known: list[str] = []

    class Asking:
        @hookimpl
        def on_final(self) -> None:
            known.append(client.transcript.text)

    finals = (final(text, start, speech_final=False) for text, start in (("one", 0.0), ("two", 1.0)))
    with serving(obedient(*finals, metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[Asking()])
        client.open()
        client.send(SECOND)
        transcript = client.close()

    first, second = known
    assert (first in ("one", "one two"), second) == (True, "one two")
    assert [utterance.text for utterance in transcript.utterances] == ["one two"]


def test_twenty_finals_after_three_silent_seconds_reach_every_plugin() -> None:
    """A server that is silent for 3 s after CloseStream loses nothing of what it then says."""
    silence = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        silence.wait(3.0)
        call.end(*(final(f"word{number}", float(number)) for number in range(20)), metadata(20.0))

    first, second = Recorder(), Recorder()
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[first, second])
        client.open()
        client.send(SECOND)
        transcript = client.close()

    expected = [f"word{number}" for number in range(20)]
    assert first.finals == second.finals == expected
    assert first.closed == second.closed == [transcript]
    assert transcript.text == " ".join(expected)
    assert transcript.complete
    assert transcript.close_code == 1000
    assert service.call.frames.count(CLOSE_STREAM) == 1
    assert service.call.frames[-1] == CLOSE_STREAM
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamclient")]


def test_all_accepted_audio_goes_out_before_close_stream() -> None:
    """CloseStream comes after the last byte that send() accepted."""
    audio = bytes(range(256)) * 4000
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        for start in range(0, len(audio), 999):
            client.send(audio[start : start + 999])
        transcript = client.close()

    assert service.call.audio == audio
    assert service.call.commands == [CLOSE_STREAM]
    assert transcript.complete


def test_frames_hold_at_most_a_quarter_second() -> None:
    """A large chunk is cut into frames of at most 250 ms."""
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        client.send(SECOND * 3)
        client.close()

    sizes = [len(frame) for frame in service.call.frames if isinstance(frame, bytes)]
    assert max(sizes) == 8000
    assert sum(sizes) == 96000


def test_close_is_idempotent() -> None:
    """A second close returns the same transcript and sends nothing."""
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        client = StreamClient(RAW, url=service.url)
        client.open()
        client.send(SECOND)
        first = client.close()

        assert client.close() == first
        assert client.state is StreamState.CLOSED
    assert service.call.commands == [CLOSE_STREAM]


def test_eight_threads_may_close_at_once() -> None:
    """Every closing thread gets the complete transcript, and one CloseStream is sent."""
    transcripts: list[Transcript] = []
    with serving(obedient(final("hello", 0.0), metadata())) as service:
        client = StreamClient(RAW, url=service.url)
        client.open()
        client.send(SECOND)
        start = threading.Barrier(8)

        def close() -> None:
            start.wait(SOON)
            transcripts.append(client.close())

        threads = [threading.Thread(target=close) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)

    assert [transcript.text for transcript in transcripts] == ["hello"] * 8
    assert service.call.commands == [CLOSE_STREAM]


def test_close_waits_for_a_stream_that_is_just_being_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may close the moment open() has begun; it gets the transcript of a stream that has ended."""
    ended: list[tuple[Transcript, StreamState]] = []
    with serving(obedient(metadata())) as service:
        client = StreamClient(RAW, url=service.url)
        closer = threading.Thread(target=lambda: ended.append((client.close(), client.state)))

        def watch(_: object) -> None:
            closer.start()
            wait_until(lambda: client.state is StreamState.CLOSING)

        monkeypatch.setattr(lifecycle, "watch", watch)
        client.open()
        closer.join(SOON)
    ((transcript, state),) = ended
    assert (transcript.complete, state) == (True, StreamState.CLOSED)


def test_close_inside_a_hook_only_asks() -> None:
    """A hook that closes its own stream gets what is known, and the stream still ends well."""
    early: list[Transcript] = []

    class Closer:
        client: StreamClient

        @hookimpl
        def on_final(self) -> None:
            early.append(self.client.close())

    def script(call: Call) -> None:
        call.read()
        call.say(final("goodbye", 0.0))
        call.read_until()
        call.end(final("and more", 1.0), metadata())

    closer, recorder = Closer(), Recorder()
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, plugins=[closer, recorder])
        closer.client = client
        client.open()
        client.send(SECOND)
        list(client.events())
        transcript = client.close()

    assert not early[0].complete
    assert transcript.complete
    assert recorder.finals == ["goodbye", "and more"]


def test_close_of_an_unopened_client_returns_an_empty_transcript() -> None:
    """Nothing was sent, so nothing is there, and nothing is wrong."""
    client = StreamClient(RAW, url="ws://127.0.0.1:9")

    assert client.close() == Transcript()
    assert client.state is StreamState.CLOSED
    assert list(client.events())[-1:] != [None]
    with pytest.raises(InvalidState):
        client.open()


def test_close_timeout_is_a_budget_and_keeps_what_came() -> None:
    """A server that goes on without ending is cut when the budget is spent."""
    stop = threading.Event()

    def script(call: Call) -> None:
        call.read()
        call.say(final("kept", 0.0))
        call.read_until()
        stop.wait(SOON)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url)
        client.open()
        client.send(SECOND)
        assert any(isinstance(event, Utterance) for event in client.events())
        with pytest.raises(CloseTimeout) as caught:
            client.close(timeout=0.5)
        stop.set()

    assert caught.value.request_id == "request-0"
    assert caught.value.transcript is not None
    assert caught.value.transcript.text == "kept"
    assert not caught.value.transcript.complete
    assert client.state is StreamState.FAILED
    with pytest.raises(CloseTimeout):
        client.close()


def test_close_without_timeout_gives_up_a_server_that_says_nothing() -> None:
    """No message for Timeouts.close seconds is no progress."""
    stop = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        stop.wait(SOON)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, timeouts=Timeouts(close=0.3))
        client.open()
        with pytest.raises(CloseTimeout, match=r"said nothing.*Request id request-0"):
            client.close()
        stop.set()


def test_close_waits_for_a_server_that_makes_progress() -> None:
    """Messages that come less than Timeouts.close apart keep the stream alive for as long as they come."""
    pause = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        for number in range(35):
            pause.wait(0.1)
            call.say(interim("still busy", float(number)))
        call.end(final("done", 0.0, 35.0), metadata())

    with serving(script) as service, StreamClient(RAW, url=service.url, timeouts=Timeouts(close=3.0)) as client:
        assert client.close().text == "done"


def test_an_unasked_end_is_a_lost_connection_even_with_code_1000() -> None:
    """Only an end that was asked for is a good end."""

    def script(call: Call) -> None:
        call.read()
        call.end(final("half", 0.0, 0.5), code=1000)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=None)
        client.open()
        client.send(SECOND)
        list(client.events())
        with pytest.raises(ConnectionLost) as caught:
            client.close()

    error = caught.value
    assert error.code == 1000
    assert error.unconfirmed is not None
    assert (error.unconfirmed.start, error.unconfirmed.end) == (0.5, 1.0)
    assert error.request_id == "request-0"
    assert client.transcript.text == "half"
    assert not client.transcript.complete
    assert client.transcript.gaps == (error.unconfirmed,)


def test_a_broken_connection_after_close_stream_is_an_error() -> None:
    """A connection that dies while closing, with words missing, does not pass for a good end."""

    def script(call: Call) -> None:
        call.read_until()
        call.reset()

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=None)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close()

    assert caught.value.code == 1006


def test_the_summary_is_the_end_even_if_the_close_frame_is_lost() -> None:
    """Metadata follows the last result, so nothing is missing once it is there."""

    def script(call: Call) -> None:
        call.read_until()
        call.say(final("all", 0.0), metadata())
        call.ws.socket.shutdown(socket.SHUT_RDWR)

    with serving(script) as service, StreamClient(RAW, url=service.url) as client:
        client.send(SECOND)
        transcript = client.close()

    assert transcript.complete
    assert transcript.text == "all"


def test_finalize_keeps_its_place_among_the_audio() -> None:
    """A finalize() between two sends reaches the server between their bytes."""
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        client.send(b"a" * 100)
        client.finalize()
        client.send(b"b" * 100)
        client.finalize(channel=1)
        client.send(b"c" * 100)
        client.close()

    frames = service.call.frames
    texts = [frame for frame in frames if isinstance(frame, str)]
    assert texts == ['{"type": "Finalize"}', '{"type": "Finalize", "channel": 1}', CLOSE_STREAM]
    assert b"".join(frame for frame in frames[: frames.index(texts[0])] if isinstance(frame, bytes)) == b"a" * 100
    middle = frames[frames.index(texts[0]) + 1 : frames.index(texts[1])]
    assert middle == [b"b" * 100]


def test_empty_chunks_are_never_sent() -> None:
    """An empty binary frame would end a v1 stream."""
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        for chunk in (b"", b"ab", bytearray(), memoryview(b""), b"cd"):
            client.send(chunk)
        client.close()

    assert service.call.audio == b"abcd"
    assert b"" not in service.call.frames


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda audio: memoryview(audio.replace(b"", b"x"))[1::2]])
def test_send_takes_a_copy_of_what_the_caller_may_change(make: Callable[[bytes], Any]) -> None:
    """What the caller does with its buffer afterwards does not reach the wire."""
    audio = make(b"abcd")
    with serving() as service, StreamClient(RAW, url=service.url) as client:
        client.send(audio)
        if isinstance(audio, bytearray):
            audio[:] = b"zzzz"
        client.close()

    assert service.call.audio == b"abcd"


def test_an_exception_in_the_block_aborts_and_stays_the_callers() -> None:
    """The with block hangs up at once, and the caller's own exception comes out."""
    with serving(lambda call: call.read_to_end()) as service:
        with pytest.raises(ZeroDivisionError), StreamClient(RAW, url=service.url) as client:
            client.send(SECOND)
            service.wait_for_call()
            raise ZeroDivisionError
        assert client.state is StreamState.CLOSED
        assert not client.transcript.complete
    assert service.call.texts == []


def test_nothing_can_be_sent_after_close_or_abort() -> None:
    """A late send is an error, not a silent loss."""
    with serving() as service:
        for end in (StreamClient.close, StreamClient.abort):
            client = StreamClient(RAW, url=service.url)
            client.open()
            end(client)
            with pytest.raises(InvalidState):
                client.send(b"late")
            with pytest.raises(InvalidState):
                client.finalize()
