"""Audio from a microphone: the buffer in numbers, and a real device of ALSA."""

import hashlib
import random
import sys
import threading
from pathlib import Path

import pytest

from streamclient.errors import OptionsError
from streamclient.sources import MissingExtra, open_source
from streamclient.sources.files import RawFormat, wait_readable
from streamclient.sources.microphone import BlockBuffer
from tests.support.microphone import needs_sound, speaking_into


class TestBuffer:
    def test_blocks_come_in_order_until_the_end(self) -> None:
        """Also those that are there before anybody reads."""
        buffer = BlockBuffer(10)
        buffer.put(b"a")
        blocks = buffer.blocks(wait_readable)
        assert next(blocks) == b"a"
        buffer.put(b"b")
        buffer.put(b"c")
        buffer.end()
        assert list(blocks) == [b"b", b"c"]
        buffer.close()

    def test_a_full_buffer_drops_and_counts(self) -> None:
        """What is in it stays, and there is room again when it has been taken."""
        buffer = BlockBuffer(2)
        for block in (b"a", b"b", b"c", b"d"):
            buffer.put(block)
        assert buffer.dropped == 2
        blocks = buffer.blocks(wait_readable)
        assert [next(blocks), next(blocks)] == [b"a", b"b"]
        buffer.put(b"e")
        assert next(blocks) == b"e"
        assert buffer.dropped == 2
        buffer.close()

    def test_the_wish_to_stop_ends_it_with_what_is_there(self) -> None:
        """What was said before is not lost."""
        buffer = BlockBuffer(10)
        buffer.put(b"a")
        buffer.put(b"b")
        assert list(buffer.blocks(lambda _: False)) == [b"a", b"b"]
        buffer.close()

    def test_putting_never_waits(self) -> None:
        """Not for a reader, and not after the end: PortAudio's thread must not stand still."""
        buffer = BlockBuffer(1_000_000)
        for _ in range(100_000):
            buffer.put(b"")
        buffer.close()
        buffer.put(b"late")
        buffer.end()

    def test_a_reader_is_woken(self) -> None:
        """By each block, and by the end."""
        buffer = BlockBuffer(10)
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.extend(buffer.blocks(wait_readable)))
        thread.start()
        for number in range(100):
            buffer.put(bytes([number]))
            while len(buffer._blocks) > 5:  # the reader has its turn
                thread.join(0.001)
        buffer.end()
        thread.join()
        assert got == [bytes([number]) for number in range(100)]
        buffer.close()


def test_only_linear16_comes_from_a_microphone() -> None:
    """There is nothing to choose."""
    with pytest.raises(OptionsError, match="gives linear16"):
        open_source("mic:", RawFormat("mulaw", 8000, 1))


def test_without_sounddevice_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else needs it."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtra, match="needs the extra 'mic'"):
        open_source("mic:")


HEAR = """
import hashlib
from streamclient.sources import Microphone

with Microphone(sample_rate=16000) as microphone:
    heard = b""
    for block in microphone:
        heard += block
        if len(heard) >= 64000:
            break
    print(len(heard), hashlib.sha256(heard).hexdigest())
"""


@needs_sound
def test_every_sample_is_heard(tmp_path: Path) -> None:
    """From the first one on, in order."""
    sound = random.Random(1).randbytes(64000)
    with speaking_into(tmp_path, ["-c", HEAR], sound) as process:
        heard, _ = process.communicate(timeout=60)

    assert heard.split() == [str(len(sound)), hashlib.sha256(sound).hexdigest()]


LOSE = """
import logging, time
from streamclient.sources import Microphone

logging.basicConfig(format="%(message)s", stream=__import__("sys").stdout)
with Microphone(sample_rate=16000) as microphone:
    while not microphone.dropped:
        time.sleep(0.01)
    for block in microphone:
        break
"""


@needs_sound
def test_lost_sound_is_counted_and_said(tmp_path: Path) -> None:
    """When nobody takes a minute of it; the device is never kept waiting."""
    with speaking_into(tmp_path, ["-c", LOSE], b"") as process:
        said, _ = process.communicate(timeout=60)

    assert said.startswith("The microphone's sound was not taken in time: ")
    assert " s are lost" in said
