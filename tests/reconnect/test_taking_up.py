"""Guarantee 2: where the audio is taken up again, in raw audio and in containers."""

import threading
from random import Random

import pytest

from streamclient import BufferPolicy, ConnectionLost, ListenOptions, StreamClient
from tests.support.containers import contained
from tests.support.outages import QUICK, RAW, SLOW, Witness, breaking, drop, finish
from tests.support.positions import BLOCK, RATE
from tests.support.service import SOON, Call, final, metadata, serving


def test_audio_of_an_outage_goes_to_disk_and_comes_back_in_order() -> None:
    """What is sent while the server is gone, beyond memory, arrives later, whole and in order."""
    witness = Witness()
    sent = Random(1).randbytes(400_000)
    with serving(breaking(drop, finish)) as service:
        buffer = BufferPolicy(max_memory=20_000, max_disk=1_000_000)
        client = StreamClient(RAW, url=service.url, reconnect=SLOW, buffer=buffer, plugins=[witness])
        client.open()
        assert witness.disconnected.wait(SOON)
        for start in range(0, len(sent), 1234):
            client.send(sent[start : start + 1234], timeout=0)
        assert client.close(timeout=SOON).complete
        assert service.calls[-1].audio == sent


def test_the_header_goes_before_the_rest_of_a_container() -> None:
    """A WAV stream is taken up at the sample after the last final, behind a copy of its header."""
    wav = contained(200, "wav")
    header = len(wav) - 200 * 2 * BLOCK

    def first(call: Call) -> None:
        call.read()
        call.say(final("hello", 0.0, 0.4))
        call.read()
        call.reset()

    def second(call: Call) -> None:
        call.read_until()
        call.end(final("there", 0.0, 1.0), metadata(3.6))

    with serving(breaking(first, second)) as service:
        client = StreamClient(ListenOptions(), url=service.url, reconnect=QUICK)
        client.open()
        client.send(wav)
        transcript = client.close(timeout=SOON)
    assert service.calls[1].audio == wav[:header] + wav[header + int(0.4 * RATE) * 2 :]
    assert transcript.text == "hello there"
    assert [word.start for word in transcript.words] == [0.0, 0.4]
    assert transcript.duration == 4.0
    assert transcript.complete


def test_what_cannot_be_taken_up_is_sent_again_from_its_start() -> None:
    """Of an unknown container nothing is lost either: all of it is sent again, and known words are not repeated."""
    audio_of_mp4 = b"\0\0\0\x20ftypM4A " + bytes(range(256)) * 100

    def first(call: Call) -> None:
        call.read()
        call.say(final("hello", 0.0, 1.0))
        call.read()
        call.reset()

    def second(call: Call) -> None:
        call.read_until()
        call.end(final("hello", 0.0, 1.0), final("there", 1.0, 1.0), metadata(2.0))

    with serving(breaking(first, second)) as service:
        client = StreamClient(ListenOptions(), url=service.url, reconnect=QUICK)
        client.open()
        client.send(audio_of_mp4)
        transcript = client.close(timeout=SOON)
    assert service.calls[1].audio == audio_of_mp4
    assert transcript.text == "hello there"
    assert transcript.complete


def test_what_is_too_long_to_be_sent_again_is_not_held_up() -> None:
    """When the buffer is full of a container nobody can take up, the stream goes on, and a break then names the gap."""
    chunk = b"\0\0\0\x20ftypM4A " + bytes(10_000)
    broken = threading.Event()

    def script(call: Call) -> None:
        call.read()
        call.say(final("hello", 0.0, 1.0))
        while not broken.is_set():
            call.read()
        call.reset()

    with serving(script) as service:
        buffer = BufferPolicy(max_memory=50_000, max_disk=0)
        client = StreamClient(ListenOptions(), url=service.url, reconnect=QUICK, buffer=buffer)
        client.open()
        for _ in range(30):
            client.send(chunk, timeout=SOON)
        broken.set()
        with pytest.raises(ConnectionLost) as caught:
            client.send(chunk, timeout=SOON)
            client.close(timeout=SOON)
    assert caught.value.code == 1006
    assert len(service.calls) == 1
    assert client.transcript.text == "hello"
    assert not client.transcript.complete
