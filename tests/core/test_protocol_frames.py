"""What the state machine writes: audio and control messages, each in its place, and how much of it is kept."""

from typing import Any

import pytest

from streamclient.core.actions import Connect, Frame, FrameKind, Release, Wait, Write
from streamclient.core.journal import Room
from streamclient.core.protocol import Protocol
from streamclient.core.upload import BATCH_BYTES
from streamclient.core.vitals import PATIENCE
from streamclient.errors import OptionsError
from streamclient.options import FluxOptions
from streamclient.policies import BufferPolicy, ReconnectPolicy
from streamclient.testing import wav
from tests.support.messages import interim
from tests.support.stream import BROKEN, CLOSE_STREAM, CONTAINER, FRAME, RAW, SECOND, TIMEOUTS, Stream


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


@pytest.mark.parametrize(
    ("rate", "channels", "most"), [(8000, 1, 4000), (16000, 1, 8000), (16000, 2, 16000), (192_000, 2, 65_536)]
)
def test_frames_of_a_wav_are_a_quarter_of_a_second(rate: int, channels: int, most: int) -> None:
    """As those of raw audio: its header says how long its bytes last, to be believed within reason."""
    audio = wav(bytes(4 * rate * channels), rate=rate, channels=channels)
    stream = Stream(CONTAINER).open()
    stream.protocol.accept(audio[:300])
    stream.protocol.accept(audio[300:])
    frames = [frame.payload for frame in stream.written() if isinstance(frame.payload, bytes)]
    assert (b"".join(frames), max(map(len, frames))) == (audio, most)


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
        {"keyterms": ["two words"] * 251},
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
