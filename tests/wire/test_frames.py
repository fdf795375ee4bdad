"""Frames as a client sends them."""

import os

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from streamclient.wire.frames import encode


def decoded(data: bytes) -> Frame:
    """The one frame that a server's library reads."""
    stream = StreamReader()
    stream.feed_data(data)
    parsing = Frame.parse(stream.read_exact, mask=True)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert not stream.buffer
    frame = done.value.value
    assert isinstance(frame, Frame)
    return frame


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 127, 8000, 65535, 65536, 96000])
def test_a_server_reads_back_what_a_frame_was_made_of(size: int) -> None:
    """Whatever the size, which has three ways of being written; nothing follows the payload."""
    audio = os.urandom(size)

    assert decoded(encode(Opcode.BINARY, audio)) == Frame(Opcode.BINARY, audio)


def test_text_is_sent_as_utf_8() -> None:
    """Control messages are text."""
    text = '{"keyterms": ["\u00e4\u8a9e"]}'

    assert decoded(encode(Opcode.TEXT, text)).data == text.encode()


def test_every_frame_has_a_mask_of_its_own() -> None:
    """Who sees one must not be able to tell the next (RFC 6455, section 5.3)."""
    audio = bytes(64)

    assert len({encode(Opcode.BINARY, audio) for _ in range(50)}) == 50
