"""When the state machine gives up a silent peer, and what it says to stay alive."""

from collections.abc import Callable
from math import inf

import pytest
from attrs import evolve

from streamclient.audio import Span
from streamclient.core.actions import Connect, Frame, FrameKind, HangUp, Release, Wait, Write
from streamclient.errors import CloseTimeout, ConnectionLost, RateLimitedError
from streamclient.events import StreamState
from streamclient.policies import ReconnectPolicy, Timeouts
from tests.support.messages import final, interim, summary
from tests.support.stream import BROKEN, CLOSE_STREAM, FRAME, KEEP_ALIVE, PING, SECOND, TIMEOUTS, Stream

AT_ONCE = ReconnectPolicy(initial_delay=0.0)


def wait_for_hang_up(stream: Stream) -> list[Frame]:
    """Let the time go by until the connection is given up; what is written meanwhile."""
    frames: list[Frame] = []
    while not isinstance(action := stream.act(), HangUp):
        if isinstance(action, Write):
            frames += action.frames
        else:
            assert isinstance(action, Wait)
            assert action.until is not None
            stream.now = action.until
    return frames


def get_stuck(stream: Stream) -> None:
    """Let a write make no progress until the connection is given up."""
    assert isinstance(stream.act(), Write)
    stream.now += TIMEOUTS.send
    stream.protocol.write_failed(BROKEN, stream.now)
    assert wait_for_hang_up(stream) == []


def test_server_that_says_nothing_while_closing_is_given_up() -> None:
    """After Timeouts.close seconds without a message the stream fails; the error has all that came."""
    stream = Stream(timeouts=Timeouts(close=30.0, ping=inf)).open()
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
    stream = Stream(timeouts=Timeouts(close=30.0, ping=inf)).open()
    stream.close()
    for number in range(10):
        stream.now += 29.0
        stream.hear(final(f"word{number}", number, number + 1.0))
        assert stream.wakes_in() == 30.0
    stream.end()
    assert stream.protocol.transcript().complete


def test_audio_that_still_goes_out_is_progress() -> None:
    """The patience with a silent server begins when it has been asked."""
    stream = Stream(timeouts=Timeouts(close=30.0, ping=inf)).open()
    stream.protocol.accept(SECOND)
    stream.protocol.request_close(stream.now)
    stream.now += 29.0
    assert isinstance(stream.act(), Write)
    assert stream.wakes_in() == 30.0


def test_write_that_takes_long_is_progress_when_it_is_done() -> None:
    """A slow network that takes the audio at last is no silent server."""
    stream = Stream(timeouts=Timeouts(close=30.0, ping=inf)).open()
    stream.protocol.accept(SECOND)
    stream.protocol.request_close(stream.now)
    assert isinstance(stream.act(), Write)
    assert stream.written(after=100.0) == []
    assert stream.wakes_in() == 30.0


@pytest.mark.parametrize(
    "answer",
    [
        lambda stream: stream.protocol.receive_pong(stream.now),
        lambda stream: stream.protocol.receive_ping(b"", stream.now),
    ],
    ids=["pong", "ping"],
)
def test_control_frames_are_no_progress_while_closing(answer: Callable[[Stream], None]) -> None:
    """A server that is there and says nothing is given up too: neither its pongs nor its pings are messages."""
    stream = Stream().open()
    stream.protocol.accept(SECOND)
    stream.written()
    stream.close()
    asked = stream.now
    for _ in range(5):
        stream.now += 5.0
        answer(stream)
        stream.written()
    wait_for_hang_up(stream)
    assert stream.now - asked == TIMEOUTS.close
    stream.end(None)
    assert isinstance(stream.protocol.error, CloseTimeout)


@pytest.mark.parametrize("ahead", [0.25, 8.0, 60.0])
def test_connection_that_dies_while_closing_is_built_again(ahead: float) -> None:
    """It swallows everything after CloseStream; pings find out, at the latest when the server's time is up."""
    sound = bytes(int(ahead * len(SECOND)))
    stream = Stream(reconnect=AT_ONCE).open()
    stream.protocol.accept(sound)
    stream.written()
    assert stream.close() == [CLOSE_STREAM]
    asked = stream.now
    frames = wait_for_hang_up(stream)
    assert set(frames) == {PING}
    assert stream.now - asked == min(TIMEOUTS.ping + TIMEOUTS.pong + ahead, TIMEOUTS.close)
    stream.reconnect()
    assert stream.state is StreamState.CLOSING
    *again, last = stream.written()
    assert (b"".join(bytes(frame.payload) for frame in again), last) == (sound, CLOSE_STREAM)  # type: ignore[arg-type]
    stream.hear(final("one", 0.0, ahead), summary(ahead))
    stream.end()
    assert stream.protocol.transcript().complete


def test_connections_that_die_while_closing_are_one_outage() -> None:
    """A network that lets connections come about and then swallows everything does not hold up close() for ever."""
    stream = Stream(reconnect=evolve(AT_ONCE, max_outage=60.0)).open()
    stream.protocol.accept(SECOND)
    stream.close()
    for _ in range(4):
        wait_for_hang_up(stream)
        stream.reconnect()
    wait_for_hang_up(stream)
    stream.end(None)
    assert isinstance(stream.protocol.error, ConnectionLost)
    assert stream.protocol.error.unconfirmed == Span(0.0, 1.0)


def test_connections_that_take_no_audio_are_one_outage() -> None:
    """A stuck write lasts longer than a connection has to stand to count as one that works, and lets no ping out."""
    stream = Stream(reconnect=evolve(AT_ONCE, max_outage=60.0)).open()
    stream.protocol.accept(SECOND)
    for _ in range(2):
        get_stuck(stream)
        stream.reconnect()
    get_stuck(stream)
    stream.end(None)
    assert isinstance(stream.protocol.error, ConnectionLost)
    assert stream.protocol.error.unconfirmed == Span(0.0, 1.0)


def test_connection_that_dies_before_the_first_ping_is_due_counts_as_a_silent_server() -> None:
    """Where Timeouts.close is shorter than that, nobody can know that the server is gone."""
    stream = Stream(timeouts=Timeouts(close=5.0)).open()
    stream.close()
    stream.now += 5.0
    assert stream.act() == HangUp()
    stream.end(None)
    assert isinstance(stream.protocol.error, CloseTimeout)


def test_progress_ends_an_outage_for_good() -> None:
    """Each break after that has all attempts of the policy for itself."""
    stream = Stream(reconnect=evolve(AT_ONCE, max_attempts=1)).open()
    for _ in range(3):
        stream.protocol.accept(SECOND)
        stream.written()
        stream.hear(final("one", 0.0, 1.0))
        stream.reconnect()
    assert stream.protocol.stats().reconnects == 3


def test_a_service_that_asked_for_peace_gets_it_from_a_client_that_is_closed_meanwhile() -> None:
    """close() wakes a client that waits to try again, but not before the time of Retry-After."""
    stream = Stream(reconnect=evolve(AT_ONCE, initial_delay=60.0, max_delay=60.0)).open()
    stream.protocol.receive_end(None, BROKEN)
    assert isinstance(stream.act(), Release)
    stream.now += 60.0
    assert stream.act() == Connect()
    stream.protocol.connect_failed(RateLimitedError("busy", retryable=True, retry_after=7.0), stream.now)
    stream.protocol.request_close(stream.now)
    assert stream.wakes_in() == 7.0
    stream.now += 7.0
    assert stream.act() == Connect()


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
    """No KeepAlive, and no ping of ours while the server speaks; its pings are still answered."""
    stream = Stream().open()
    stream.written(after=9.0)  # a ping is nearly due
    stream.close()
    for _ in range(3):
        assert stream.written(after=9.9) == []
        stream.hear(interim("", 0.0, 1.0))
    stream.protocol.receive_ping(b"are you there", stream.now)
    assert stream.written() == [Frame(FrameKind.PONG, b"are you there")]


def test_newest_ping_is_answered_before_audio() -> None:
    """Pings that wait have one answer, and it waits behind nothing."""
    stream = Stream().open()
    stream.protocol.accept(FRAME)
    stream.protocol.receive_ping(b"one", stream.now)
    stream.protocol.receive_ping(b"two", stream.now)
    assert stream.written() == [Frame(FrameKind.PONG, b"two"), Frame(FrameKind.AUDIO, FRAME)]
