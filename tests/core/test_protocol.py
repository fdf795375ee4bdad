"""The state machine of a stream from its start to its end, with time as a number and the network as values."""

import pytest

from streamclient.audio import Span
from streamclient.core.actions import Connect, Frame, FrameKind, HangUp, Wait
from streamclient.core.protocol import TRANSITIONS, Protocol
from streamclient.errors import AuthenticationError, CloseTimeout
from streamclient.events import Closed, Disconnected, Failed, Opened, StreamState, Utterance
from streamclient.messages import Results
from streamclient.policies import BufferPolicy, ReconnectPolicy
from tests.support.messages import final, gap, interim, summary
from tests.support.stream import BROKEN, CLOSE_STREAM, CONTAINER, FRAME, RAW, SECOND, TIMEOUTS, Stream


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


@pytest.mark.parametrize("is_released", [False, True])
def test_close_in_an_outage_connects_at_once(is_released: bool) -> None:
    """Whoever closes waits for no delay, also where the caller is quicker than the writer to see the outage."""
    stream = Stream(reconnect=ReconnectPolicy(initial_delay=60.0, max_delay=60.0), random=lambda: 1.0).open()
    stream.protocol.accept(SECOND)
    stream.written()
    stream.protocol.receive_end(None, BROKEN)
    assert stream.state is StreamState.RECONNECTING
    if is_released:
        stream.release()
        assert stream.wakes_in() == 60.0
        stream.protocol.request_close(stream.now)
    else:
        stream.protocol.request_close(stream.now)
        stream.release()
    (lost,) = [event for event in stream.events if isinstance(event, Disconnected)]
    assert lost.retry_in == (60.0 if is_released else 0.0)
    assert stream.act() == Connect()


def test_close_before_an_outage_does_not_hurry_it() -> None:
    """A server that hangs up on all who close is not called by all of them at once."""
    stream = Stream(reconnect=ReconnectPolicy(initial_delay=60.0, max_delay=60.0), random=lambda: 1.0).open()
    stream.protocol.accept(SECOND)
    stream.close()
    stream.protocol.receive_end(None, BROKEN)
    stream.release()
    assert stream.wakes_in() == 60.0


def test_close_is_asked_once() -> None:
    """Asking again while closing or after it changes nothing."""
    stream = Stream().open()
    assert stream.close() == [CLOSE_STREAM]
    assert stream.close() == []
    stream.end()
    stream.protocol.request_close(stream.now)
    assert stream.state is StreamState.CLOSED


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


def test_a_final_that_is_said_twice_counts_once() -> None:
    """A server that repeats itself doubles no word; answers without words, and the same words later, all count."""
    stream = Stream().open()
    stream.protocol.accept(SECOND * 3)
    stream.written()
    once, silence, later = final("no", 0.0, 1.0), final("", 1.0, 1.0, from_finalize=True), final("no", 1.0, 2.0)
    stream.hear(once, once, silence, silence, later)
    assert [event for event in stream.events if isinstance(event, Results)] == [once, silence, silence, later]
    assert stream.protocol.stats().messages_received == 5


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


def test_final_that_claims_more_than_was_sent_costs_no_word() -> None:
    """Only what a service can have heard counts as heard: what comes after it is heard on the next connection."""
    stream = Stream(reconnect=ReconnectPolicy(initial_delay=0.0)).open()
    stream.protocol.accept(SECOND)
    stream.written()
    stream.hear(final("one", 0.0, 1.5))
    stream.protocol.accept(SECOND)
    stream.reconnect()
    assert len(b"".join(bytes(frame.payload) for frame in stream.written())) == len(SECOND)  # type: ignore[arg-type]
    stream.hear(final("two", 0.0, 1.0))
    stream.close()
    stream.end()
    assert [word.word for word in stream.protocol.transcript().words] == ["one", "two"]
