"""How the state machine judges the end of a connection."""

import pytest

from streamclient.audio import Span
from streamclient.core.actions import HangUp, Release, Write
from streamclient.core.protocol import LAST_WORDS
from streamclient.errors import AudioRejected, ConnectionLost, StreamClientError
from streamclient.events import StreamState
from streamclient.options import ListenOptions
from tests.support.messages import EMPTY_SUMMARY, final, summary
from tests.support.stream import BROKEN, CLOSE_STREAM, SECOND, Stream


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


def test_errors_of_a_stream_are_named() -> None:
    """What ends a stream is always one of our errors."""
    stream = Stream().open()
    stream.end((4999, "unheard of"))
    assert isinstance(stream.protocol.error, StreamClientError)
    assert not stream.protocol.error.retryable
