"""The state machine of a stream, with time as a number and the network as values."""

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from streamclient.audio import Span
from streamclient.core.actions import Connect, Frame, FrameKind, HangUp, Release, Wait, Write
from streamclient.core.journal import Room
from streamclient.core.protocol import LAST_WORDS, TRANSITIONS, Protocol
from streamclient.core.upload import BATCH_BYTES
from streamclient.core.vitals import PATIENCE
from streamclient.errors import (
    AudioRejected,
    AuthenticationError,
    CloseTimeout,
    ConnectionLost,
    OptionsError,
    StreamClientError,
)
from streamclient.events import Closed, Failed, Opened, StreamState, Utterance
from streamclient.messages import Results
from streamclient.options import FluxOptions, ListenOptions
from streamclient.policies import BufferPolicy, ReconnectPolicy, Timeouts
from tests.support.messages import EMPTY_SUMMARY, final, gap, interim, summary
from tests.support.stream import BROKEN, CLOSE_STREAM, CONTAINER, FRAME, KEEP_ALIVE, PING, RAW, SECOND, TIMEOUTS, Stream

# A stream from its start to its end.


def test_stream_that_goes_well() -> None:
    """Audio out, CloseStream, everything the server still says, its close: complete."""
    stream = Stream()
    states = [stream.state, stream.open().state]
    stream.protocol.accept(FRAME)
    assert stream.written() == [Frame(FrameKind.AUDIO, FRAME)]
    assert stream.close() == [CLOSE_STREAM]
    states.append(stream.state)
    said = final("one two", 0.0, 0.25, speech_final=True)
    stream.hear(said, summary(0.25))
    stream.end()
    assert states == [StreamState.NEW, StreamState.OPEN, StreamState.CLOSING]
    assert stream.state is StreamState.CLOSED
    transcript = stream.protocol.transcript()
    (utterance,) = transcript.utterances
    assert stream.events == [Opened("id"), said, utterance, summary(0.25), Closed(transcript)]
    assert (transcript.text, transcript.complete, transcript.gaps) == ("one two", True, ())
    assert (transcript.close_code, transcript.close_reason) == (1000, "")
    assert (transcript.duration, transcript.metadata, transcript.request_ids) == (0.25, summary(0.25), ("id",))


def test_interim_that_is_all_there_is_comes_before_closed() -> None:
    """What is pending when the connection breaks becomes an utterance; then the failure, then Closed."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.written()
    said = interim("one", 0.0, 0.5)
    stream.hear(said)
    stream.end(None)
    kinds = [type(event) for event in stream.events]
    assert kinds == [Opened, type(said), Utterance, Failed, Closed]
    transcript = stream.protocol.transcript()
    assert (transcript.text, transcript.complete, transcript.gaps) == ("one", False, (Span(0.0, 1.0),))


def test_closing_what_was_never_opened_ends_it() -> None:
    """There is no connection to close, and nothing that could be complete."""
    protocol = Protocol(RAW, TIMEOUTS, BufferPolicy())
    protocol.request_close(0.0)
    assert protocol.state is StreamState.CLOSED
    assert not protocol.transcript().complete
    assert protocol.transcript().close_code is None


def test_refused_connection_fails_the_stream() -> None:
    """The refusal is the stream's error, and there is no close code."""
    stream = Stream()
    stream.protocol.open(stream.now)
    assert stream.act() == Connect()
    refusal = AuthenticationError("refused", status=401)
    stream.protocol.connect_failed(refusal, stream.now)
    stream.finish()
    assert stream.state is StreamState.FAILED
    assert stream.events == [Failed(refusal), Closed(stream.protocol.transcript())]
    assert stream.protocol.transcript().close_code is None


def test_close_while_connecting_waits_for_the_connection() -> None:
    """What was accepted before still goes out when the connection stands; then the stream ends well."""
    stream = Stream()
    stream.protocol.open(stream.now)
    stream.protocol.accept(FRAME)
    assert stream.act() == Connect()
    stream.protocol.request_close(stream.now)
    assert not stream.protocol.accepts_audio
    stream.connected()
    assert stream.state is StreamState.CLOSING
    assert stream.written() == [Frame(FrameKind.AUDIO, FRAME), CLOSE_STREAM]
    stream.hear(summary(0.25))
    stream.end()
    assert stream.protocol.transcript().complete


def test_close_while_connecting_fails_with_the_connection() -> None:
    """When the connection does not come about, closing cannot go well either."""
    stream = Stream()
    stream.protocol.open(stream.now)
    stream.protocol.accept(SECOND)
    assert stream.act() == Connect()
    stream.protocol.request_close(stream.now)
    stream.protocol.connect_failed(AuthenticationError("refused"), stream.now)
    stream.finish()
    assert stream.state is StreamState.FAILED
    assert stream.protocol.transcript().gaps == (Span(0.0, 1.0),)


def test_close_is_asked_once() -> None:
    """Asking again while closing or after it changes nothing."""
    stream = Stream().open()
    assert stream.close() == [CLOSE_STREAM]
    assert stream.close() == []
    stream.end()
    stream.protocol.request_close(stream.now)
    assert stream.state is StreamState.CLOSED


# Aborting.


def test_abort_before_the_start_ends_the_stream() -> None:
    """There is nothing to hang up."""
    protocol = Protocol(RAW, TIMEOUTS, BufferPolicy())
    protocol.abort()
    assert protocol.state is StreamState.CLOSED


def test_abort_before_connecting_ends_the_stream() -> None:
    """No connection is built any more."""
    stream = Stream()
    stream.protocol.open(stream.now)
    stream.protocol.abort()
    assert stream.state is StreamState.CLOSED
    stream.finish()


def test_abort_while_connecting_hangs_up_what_still_comes_about() -> None:
    """A connection that stands too late is hung up, its reader is waited for, and nobody is told that it opened."""
    stream = Stream()
    stream.protocol.open(stream.now)
    assert stream.act() == Connect()
    stream.protocol.abort()
    assert stream.state is StreamState.CLOSED
    stream.connected()
    assert stream.act() == HangUp()
    assert stream.act() == Wait(None)
    stream.end(None)
    assert stream.events == [Closed(stream.protocol.transcript())]


@pytest.mark.parametrize("closing", [False, True])
def test_abort_hangs_up_at_once(closing: bool) -> None:
    """Nothing more is accepted or written; an abort is no failure, and the transcript says what is missing."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.written()
    if closing:
        stream.close()
    stream.protocol.accept(SECOND)
    stream.protocol.abort()
    assert stream.state is StreamState.CLOSED
    assert not stream.protocol.accepts_audio
    assert stream.act() == HangUp()
    assert stream.act() == Wait(None)
    stream.hear(final("late", 0.0, 0.5, speech_final=True))
    stream.end(None)
    transcript = stream.protocol.transcript()
    assert stream.protocol.error is None
    assert (transcript.complete, transcript.text, transcript.gaps) == (
        False,
        "late",
        (Span(0.5, 1.0 if closing else 2.0),),
    )


def test_abort_with_an_error_fails_the_stream() -> None:
    """A close that ran out of its budget is an abort with a reason, which has the transcript."""
    stream = Stream().open()
    stream.hear(final("one", 0.0, 1.0))
    stream.close()
    error = CloseTimeout("too late")
    stream.protocol.abort(error)
    assert stream.state is StreamState.FAILED
    assert stream.act() == HangUp()
    stream.end(None)
    assert stream.protocol.error is error
    assert error.transcript is not None
    assert error.transcript.text == "one"


def test_abort_after_the_end_changes_nothing() -> None:
    """A stream that ended well stays complete."""
    stream = Stream().open()
    stream.close()
    stream.end()
    stream.protocol.abort(CloseTimeout("too late"))
    assert stream.state is StreamState.CLOSED
    assert stream.protocol.transcript().complete


# How connections end.


def test_end_that_nobody_asked_for_is_a_lost_connection() -> None:
    """Even with code 1000; the error says which audio has no final transcript."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.protocol.accept(SECOND)
    stream.written()
    stream.hear(final("one", 0.0, 1.25))
    stream.end((1000, "enough"))
    error = stream.protocol.error
    assert isinstance(error, ConnectionLost)
    assert (error.code, error.reason, error.request_id) == (1000, "enough", "id")
    assert error.unconfirmed == Span(1.25, 2.0)
    transcript = stream.protocol.transcript()
    assert (transcript.complete, transcript.close_code, transcript.close_reason) == (False, 1000, "enough")
    assert transcript.gaps == (Span(1.25, 2.0),)


def test_end_while_audio_waits_is_a_lost_connection() -> None:
    """After close() was called but before CloseStream went out, nobody has asked the server yet."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.protocol.request_close(stream.now)
    stream.end((1000, ""))
    assert isinstance(stream.protocol.error, ConnectionLost)
    assert not stream.protocol.transcript().complete


def test_break_while_closing_is_a_lost_connection() -> None:
    """Without the summary nobody knows whether everything came."""
    stream = Stream().open()
    stream.close()
    stream.end(None)
    assert stream.state is StreamState.FAILED
    assert stream.protocol.error is BROKEN


def test_break_after_the_summary_loses_nothing() -> None:
    """The summary is the server's last word; a close frame that is lost after it does not matter."""
    stream = Stream().open()
    stream.close()
    stream.hear(summary())
    stream.end(None)
    assert stream.protocol.error is None
    assert stream.protocol.transcript().complete
    assert stream.protocol.transcript().close_code == 1006


def test_summary_before_close_stream_is_not_the_last_word() -> None:
    """Only the summary that answers CloseStream says that all was heard."""
    stream = Stream().open()
    stream.hear(summary())
    stream.close()
    stream.end(None)
    assert isinstance(stream.protocol.error, ConnectionLost)


@pytest.mark.parametrize("close", [(1000, ""), (1005, ""), None])
def test_empty_summary_after_audio_is_rejected_audio(close: tuple[int, str] | None) -> None:
    """The server heard bytes and no audio; however it then goes, that is the reason."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.close()
    stream.hear(EMPTY_SUMMARY)
    stream.end(close)
    assert isinstance(stream.protocol.error, AudioRejected)
    assert not stream.protocol.transcript().complete


def test_empty_summary_without_audio_is_a_complete_stream() -> None:
    """Nothing was sent, and nothing is missing."""
    stream = Stream().open()
    stream.close()
    stream.hear(EMPTY_SUMMARY)
    stream.end()
    assert stream.protocol.error is None
    assert stream.protocol.transcript().complete


def test_reason_of_the_server_wins_over_a_failed_write() -> None:
    """A write fails because the server has closed; its close frame is still read, and says why."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    assert isinstance(stream.act(), Write)
    stream.protocol.write_failed(BROKEN, stream.now)
    assert stream.wakes_in() == LAST_WORDS
    stream.end((1011, "NET-0001"))
    error = stream.protocol.error
    assert isinstance(error, ConnectionLost)
    assert (error.code, error.reason) == (1011, "NET-0001")


def test_nothing_is_written_after_a_failed_write() -> None:
    """Neither audio nor CloseStream nor answers; and the server's last words are not waited for long."""
    error = ConnectionLost("Connection lost: a write failed")
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    assert isinstance(stream.act(), Write)
    stream.protocol.write_failed(error, stream.now)
    stream.protocol.receive_ping(b"", stream.now)
    assert stream.close() == []
    stream.now += LAST_WORDS
    assert stream.act() == HangUp()
    stream.end(None)
    assert stream.protocol.error is error
    assert error.unconfirmed == Span(0.0, 1.0)
    assert error.request_id == "id"


def test_close_stream_that_could_not_be_written_was_never_asked() -> None:
    """When the write with the last audio and CloseStream fails, even a normal close is a lost connection."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.protocol.request_close(stream.now)
    assert isinstance(stream.act(), Write)
    stream.protocol.write_failed(BROKEN, stream.now)
    stream.end((1000, ""))
    assert isinstance(stream.protocol.error, ConnectionLost)
    assert not stream.protocol.transcript().complete


@pytest.mark.parametrize("fails", [False, True])
def test_close_while_close_stream_is_being_written_is_judged_by_the_write(fails: bool) -> None:
    """The server's close may be read before the writer knows whether CloseStream has gone out."""
    stream = Stream().open()
    stream.protocol.request_close(stream.now)
    assert stream.act() == Write((CLOSE_STREAM,))
    stream.protocol.receive_end((1000, ""))
    if fails:
        stream.protocol.write_failed(BROKEN, stream.now)
    assert stream.act() == Release(answer_close=True)
    stream.finish()
    assert stream.protocol.transcript().complete is not fails
    assert isinstance(stream.protocol.error, ConnectionLost) is fails


def test_failed_pong_after_close_stream_does_not_take_it_back() -> None:
    """CloseStream went out before; that a later answer to a ping fails changes nothing about it."""
    stream = Stream().open()
    stream.close()
    stream.protocol.receive_ping(b"", stream.now)
    assert isinstance(stream.act(), Write)
    stream.protocol.write_failed(BROKEN, stream.now)
    stream.hear(summary())
    stream.end()
    assert stream.protocol.transcript().complete


# Deadlines.


def test_server_that_says_nothing_while_closing_is_given_up() -> None:
    """After Timeouts.close seconds without a message the stream fails; the error has all that came."""
    stream = Stream().open()
    stream.hear(final("one", 0.0, 1.0))
    stream.close()
    assert stream.wakes_in() == 30.0
    stream.now += 30.0
    assert stream.act() == HangUp()
    stream.end(None)
    error = stream.protocol.error
    assert isinstance(error, CloseTimeout)
    assert error.transcript == stream.protocol.transcript()
    assert error.transcript is not None
    assert error.transcript.text == "one"


def test_every_message_is_progress_while_closing() -> None:
    """A server that works through a backlog is waited for as long as it says something."""
    stream = Stream().open()
    stream.close()
    for number in range(10):
        stream.now += 29.0
        stream.hear(final(f"word{number}", number, number + 1.0))
        assert stream.wakes_in() == 30.0
    stream.end()
    assert stream.protocol.transcript().complete


def test_audio_that_still_goes_out_is_progress() -> None:
    """The patience with a silent server begins when it has been asked."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.protocol.request_close(stream.now)
    stream.now += 29.0
    assert isinstance(stream.act(), Write)
    assert stream.wakes_in() == 30.0


def test_write_that_takes_long_is_progress_when_it_is_done() -> None:
    """A slow network that takes the audio at last is no silent server."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.protocol.request_close(stream.now)
    assert isinstance(stream.act(), Write)
    assert stream.written(after=100.0) == []
    assert stream.wakes_in() == 30.0


def test_silence_before_closing_does_not_count() -> None:
    """A stream that was silent for long is not out of time when it is asked to close."""
    stream = Stream().open()
    stream.now += 3.0
    stream.protocol.receive_pong(stream.now)
    stream.now += 1000.0
    stream.protocol.request_close(stream.now)
    assert stream.act() == Write((CLOSE_STREAM,))


def test_ping_that_is_not_answered_breaks_the_connection() -> None:
    """A connection that is dead without saying so is noticed."""
    stream = Stream(timeouts=Timeouts(ping=10.0, pong=5.0, keepalive=inf)).open()
    assert stream.wakes_in() == 10.0
    assert stream.written(after=10.0) == [PING]
    assert stream.wakes_in() == 5.0
    stream.now += 5.0
    assert stream.act() == HangUp()
    stream.end(None)
    error = stream.protocol.error
    assert isinstance(error, ConnectionLost)
    assert "pings" in str(error)
    assert (error.code, error.request_id) == (1006, "id")


@pytest.mark.parametrize(
    "answer",
    [
        lambda stream: stream.protocol.receive_pong(stream.now),
        lambda stream: stream.protocol.receive_ping(b"", stream.now),
        lambda stream: stream.hear(interim("", 0.0, 1.0)),
    ],
)
def test_anything_the_server_says_answers_a_ping(answer: Callable[[Stream], None]) -> None:
    """A server that talks is alive."""
    stream = Stream(timeouts=Timeouts(ping=10.0, pong=5.0, keepalive=inf)).open()
    assert stream.written(after=10.0) == [PING]
    stream.now += 4.0
    answer(stream)
    stream.written()
    assert stream.wakes_in() == 6.0


def test_server_that_lags_has_longer_to_answer() -> None:
    """A ping waits behind the audio in front of it, so as many seconds more as the server has not heard yet."""
    stream = Stream(timeouts=Timeouts(ping=10.0, pong=5.0, keepalive=inf)).open()
    stream.protocol.accept(SECOND * 7)
    stream.written()
    stream.hear(interim("", 0.0, 2.0))
    assert stream.written(after=10.0) == [PING]
    assert stream.protocol.stats().lag == 5.0
    stream.now += 9.9
    assert isinstance(stream.act(), Wait | Write)
    stream.written()
    stream.now += 0.2
    assert stream.act() == HangUp()


def test_audio_after_a_ping_gives_no_longer_to_answer() -> None:
    """Only what is in front of the ping counts; else a live stream into the void would never be noticed."""
    stream = Stream(timeouts=Timeouts(ping=10.0, pong=5.0, keepalive=inf)).open()
    began = stream.now
    while not isinstance(action := stream.act(), HangUp):
        assert isinstance(action, Wait | Write)
        assert stream.now < began + 60.0
        stream.written()
        stream.now += 0.1
        stream.protocol.accept(FRAME[:3200])
    assert 10.0 + 5.0 + 10.0 <= stream.now - began < 26.0


def test_further_pings_do_not_put_off_the_deadline() -> None:
    """The oldest ping without an answer counts."""
    stream = Stream(timeouts=Timeouts(ping=2.0, pong=5.0, keepalive=inf)).open()
    assert [stream.written(after=2.0) for _ in range(3)] == [[PING]] * 3
    assert stream.wakes_in() == 1.0
    stream.now += 1.0
    assert stream.act() == HangUp()


def test_deadlines_can_be_switched_off() -> None:
    """With every timeout infinite the writer sleeps until something happens."""
    stream = Stream(timeouts=Timeouts(close=inf, keepalive=inf, ping=inf, pong=inf)).open()
    assert stream.act() == Wait(None)
    stream.close()
    assert stream.act() == Wait(None)


# Signs of life.


def test_keepalive_while_no_audio_flows() -> None:
    """One each Timeouts.keepalive seconds, counted, and none before."""
    stream = Stream().open()
    assert stream.wakes_in() == 4.0
    assert stream.written(after=3.9) == []
    assert stream.written(after=0.1) == [KEEP_ALIVE]
    assert stream.written(after=4.0) == [KEEP_ALIVE]
    assert stream.protocol.stats().keepalives_sent == 2


def test_no_keepalive_while_audio_flows() -> None:
    """Audio is sign of life enough."""
    stream = Stream(timeouts=Timeouts(ping=inf)).open()
    for _ in range(100):
        stream.protocol.accept(FRAME)
        assert stream.written(after=0.25) == [Frame(FrameKind.AUDIO, FRAME)]
    assert stream.written(after=3.9) == []
    assert stream.written(after=0.1) == [KEEP_ALIVE]


def test_pings_are_no_signs_of_life_to_the_service() -> None:
    """Neither our pings nor our answers to the server's put off a KeepAlive: the service does not count them."""
    stream = Stream(timeouts=Timeouts(keepalive=4.0, ping=3.0)).open()
    frames: list[Frame] = []
    for _ in range(24):
        stream.protocol.receive_ping(b"", stream.now)
        stream.protocol.receive_pong(stream.now)
        frames += stream.written(after=0.5)
    assert frames.count(KEEP_ALIVE) >= 2
    assert frames.count(PING) >= 3


def test_pings_go_on_while_keepalives_do() -> None:
    """Each has its own interval."""
    stream = Stream().open()
    frames: list[Frame] = []
    for _ in range(40):
        stream.protocol.receive_pong(stream.now)
        frames += stream.written(after=1.0)
    assert (frames.count(KEEP_ALIVE), frames.count(PING)) == (10, 4)


def test_nothing_but_pongs_follows_close_stream() -> None:
    """No KeepAlive and no ping of ours; the server's pings are still answered."""
    stream = Stream().open()
    stream.close()
    for _ in range(3):
        stream.hear(interim("", 0.0, 1.0))
        assert stream.written(after=20.0) == []
    stream.protocol.receive_ping(b"are you there", stream.now)
    assert stream.written() == [Frame(FrameKind.PONG, b"are you there")]


def test_newest_ping_is_answered_before_audio() -> None:
    """Pings that wait have one answer, and it waits behind nothing."""
    stream = Stream().open()
    stream.protocol.accept(FRAME)
    stream.protocol.receive_ping(b"one", stream.now)
    stream.protocol.receive_ping(b"two", stream.now)
    assert stream.written() == [Frame(FrameKind.PONG, b"two"), Frame(FrameKind.AUDIO, FRAME)]


# Frames.


def test_control_messages_keep_their_place() -> None:
    """A Finalize between two chunks goes out between their bytes, and CloseStream after all of them."""
    stream = Stream().open()
    protocol = stream.protocol
    protocol.accept(b"ab")
    protocol.send_control(protocol.finalize_message(None))
    protocol.accept(b"cd")
    protocol.send_control(protocol.finalize_message(1))
    protocol.send_control(protocol.configure_message({"numerals": True, "keyterms": ["Zyrtec"]}))
    assert stream.close() == [
        Frame(FrameKind.AUDIO, b"ab"),
        Frame(FrameKind.TEXT, '{"type": "Finalize"}'),
        Frame(FrameKind.AUDIO, b"cd"),
        Frame(FrameKind.TEXT, '{"type": "Finalize", "channel": 1}'),
        Frame(FrameKind.TEXT, '{"type": "Configure", "features": {"numerals": true}, "keyterms": ["Zyrtec"]}'),
        CLOSE_STREAM,
    ]


def test_a_caller_who_waits_for_room_gets_it_from_a_service_that_waits_for_audio() -> None:
    """With all audio sent and kept, and a service that says nothing, finals are asked for once; audio begins anew."""
    finalize = Frame(FrameKind.TEXT, '{"type": "Finalize"}')
    stream = Stream().open()
    protocol = stream.protocol
    protocol.accept(FRAME)
    assert stream.written() == [Frame(FrameKind.AUDIO, FRAME)]
    assert protocol.next_action(stream.now, is_pressed=True) == Wait(stream.now + PATIENCE)
    assert protocol.next_action(stream.now + PATIENCE) == Wait(stream.now + TIMEOUTS.keepalive)
    stream.now += PATIENCE
    stream.hear(interim("hm", 0.0, 0.25))
    assert isinstance(protocol.next_action(stream.now, is_pressed=True), Wait)
    stream.now += PATIENCE
    assert protocol.next_action(stream.now, is_pressed=True) == Write((finalize,))
    stream.now += PATIENCE
    assert isinstance(protocol.next_action(stream.now, is_pressed=True), Wait)
    protocol.accept(FRAME)
    assert stream.written() == [Frame(FrameKind.AUDIO, FRAME)]
    stream.now += PATIENCE
    assert protocol.next_action(stream.now, is_pressed=True) == Write((finalize,))


def test_a_final_that_is_said_twice_counts_once() -> None:
    """A server that repeats itself doubles no word; answers without words, and the same words later, all count."""
    stream = Stream().open()
    stream.protocol.accept(SECOND * 3)
    stream.written()
    once, silence, later = final("no", 0.0, 1.0), final("", 1.0, 1.0, from_finalize=True), final("no", 1.0, 2.0)
    stream.hear(once, once, silence, silence, later)
    assert [event for event in stream.events if isinstance(event, Results)] == [once, silence, silence, later]
    assert stream.protocol.stats().messages_received == 5


def test_what_was_sent_is_not_forgotten_in_an_outage() -> None:
    """A container that is only sent again from its start fills the buffer in an outage: callers wait for its end."""
    buffer = BufferPolicy(max_memory=20_000, max_disk=0)
    protocol = Protocol(CONTAINER, TIMEOUTS, buffer, ReconnectPolicy(initial_delay=0.0))
    protocol.open(0.0)
    assert protocol.next_action(0.0) == Connect()
    protocol.connected("a", 0.0)
    protocol.accept(bytes(15_000))
    assert isinstance(protocol.next_action(0.0), Write)
    protocol.receive_end(None, BROKEN)
    assert protocol.room(10_000) is Room.NONE
    assert isinstance(protocol.next_action(1.0), Release)
    assert protocol.next_action(1.0) == Connect()
    assert protocol.room(10_000) is Room.NONE
    protocol.connected("b", 1.0)
    again = protocol.next_action(1.0)
    assert isinstance(again, Write)
    assert sum(len(frame.payload) for frame in again.frames) == 15_000
    assert protocol.room(10_000) is Room.MEMORY


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"keyterms": "Zyrtec"},
        {"keyterms": [""]},
        {"keyterms": [1]},
        {"numerals": "yes"},
        {"features": ["numerals"]},
        {"features": {"numerals": object()}},
        {"features": {1: True}},
        {"language": "en"},
    ],
)
def test_wrong_configuration_is_refused(changes: dict[str, Any]) -> None:
    """What the service would not understand is named before it is sent."""
    with pytest.raises(OptionsError):
        Stream().protocol.configure_message(changes)


@pytest.mark.parametrize("channel", [-1, True, "0", 1.0])
def test_wrong_channel_is_refused(channel: Any) -> None:
    """A channel is a number from 0."""
    with pytest.raises(OptionsError, match="finalize"):
        Stream().protocol.finalize_message(channel)


def test_options_of_another_endpoint_are_refused() -> None:
    """What cannot be streamed to is said at once."""
    with pytest.raises(OptionsError, match="FluxOptions"):
        Protocol(FluxOptions(model="flux-general-en"), TIMEOUTS, BufferPolicy())


def test_backlog_goes_out_in_frames_and_batches() -> None:
    """Frames hold 250 ms, and no more than a batch is taken before signs of the server are looked at."""
    stream = Stream().open()
    stream.protocol.accept(SECOND * 10)
    sizes = []
    while isinstance(action := stream.act(), Write):
        sizes.append(sum(len(frame.payload) for frame in action.frames))
        assert {len(frame.payload) for frame in action.frames} == {8000}
    assert sum(sizes) == len(SECOND) * 10
    assert max(sizes) < BATCH_BYTES + 8000


def test_close_stream_comes_after_the_whole_backlog() -> None:
    """However much waits when the stream is closed, the server is asked to end when it has all of it."""
    stream = Stream().open()
    stream.protocol.accept(SECOND * 10)
    frames = stream.close()
    assert len(frames) == 41
    assert frames[-1] == CLOSE_STREAM


def test_room_is_what_the_buffer_leaves() -> None:
    """More than the buffer holds is not accepted; what was written makes room."""
    protocol = Protocol(RAW, TIMEOUTS, BufferPolicy(max_memory=10, max_disk=0))
    protocol.open(0.0)
    protocol.accept(bytes(6))
    assert protocol.room(4) is Room.MEMORY
    assert protocol.room(5) is Room.NONE
    protocol.next_action(0.0)
    protocol.connected(None, 0.0)
    protocol.next_action(0.0)
    assert protocol.room(10) is Room.MEMORY


# What is known.


def test_statistics() -> None:
    """Counters follow what is accepted, sent and received; the lag is the audio sent beyond the furthest result."""
    stream = Stream().open()
    stream.protocol.accept(SECOND * 3)
    before = stream.protocol.stats()
    assert (before.audio_bytes, before.audio_seconds, before.buffered_seconds, before.lag) == (96000, 3.0, 3.0, 0.0)
    stream.written()
    stream.hear(interim("", 0.0, 1.0), final("", 0.0, 0.5), gap(-1))
    after = stream.protocol.stats()
    assert (after.frames_sent, after.messages_received, after.buffered_seconds, after.lag) == (12, 3, 0.0, 2.0)


def test_unconfirmed_audio_begins_at_the_slowest_channel() -> None:
    """A channel that has no final yet has none of its audio confirmed."""
    options = ListenOptions(encoding="linear16", sample_rate=16000, channels=2, multichannel=True)
    for finals, start in (
        ([final("a", 0.0, 1.0, channels=2)], 0.0),
        ([final("a", 0.0, 1.0, channels=2), final("b", 0.0, 0.7, channel=1, channels=2)], 0.7),
    ):
        stream = Stream(options).open()
        stream.protocol.accept(bytes(128000))
        stream.written()
        stream.hear(*finals)
        stream.end(None)
        assert stream.protocol.transcript().gaps == (Span(start, 2.0),)


def test_absurd_number_of_channels_costs_nothing() -> None:
    """A message that claims a billion channels does not stop the stream."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.written()
    stream.hear(final("one", 0.0, 0.5, channels=10**9))
    stream.end(None)
    assert stream.protocol.transcript().gaps == (Span(0.0, 1.0),)


def test_container_has_no_seconds_of_its_own() -> None:
    """Where only the server knows how long the audio is, what it has heard is what is known."""
    stream = Stream(CONTAINER).open()
    stream.protocol.accept(bytes(100_000))
    stream.written()
    stream.hear(final("one", 0.0, 1.0), interim("two", 1.0, 2.5))
    stream.end(None)
    assert stream.protocol.stats().audio_seconds == 0.0
    assert stream.protocol.transcript().gaps == (Span(1.0, 2.5),)
    assert stream.protocol.transcript().duration == 2.5


def test_table_of_transitions_is_closed() -> None:
    """Every state that is led to is in the table, and the ends lead nowhere."""
    reached = {state for targets in TRANSITIONS.values() for state in targets.values()}
    assert reached <= TRANSITIONS.keys()
    assert {state for state, targets in TRANSITIONS.items() if not targets} == {StreamState.CLOSED, StreamState.FAILED}


def test_errors_of_a_stream_are_named() -> None:
    """What ends a stream is always one of our errors."""
    stream = Stream().open()
    stream.end((4999, "unheard of"))
    assert isinstance(stream.protocol.error, StreamClientError)
    assert not stream.protocol.error.retryable
