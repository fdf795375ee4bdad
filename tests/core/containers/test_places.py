"""A place in a container is where a decoder that begins there hears what the place says."""

import re
import time
from functools import lru_cache

import numpy as np
import pytest

from streamclient.core.actions import Write
from streamclient.core.containers import Place
from streamclient.core.containers.track import ContainerTrack
from streamclient.core.protocol import Protocol
from streamclient.options import ListenOptions
from streamclient.policies import BufferPolicy, Timeouts
from streamclient.testing import wav
from tests.support.containers import KINDS, LOSSLESS, Samples, decode, encode
from tests.support.messages import final

SECONDS = 5
CHUNK = 997
RATES = {"opus": 48000, "vorbis": 44100}


def rate_of(kind: str) -> int:
    """Samples per second that the codec takes."""
    return next((rate for codec, rate in RATES.items() if codec in kind), 16000)


@lru_cache(maxsize=1)
def noise(rate: int) -> Samples:
    """Noise in the band of speech, louder and softer: no moment of it is like another."""
    random = np.random.default_rng(rate)
    count = SECONDS * rate
    spectrum = np.fft.rfft(random.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(frequencies < 200) | (frequencies > 3000)] = 0
    wave = np.fft.irfft(spectrum, count) * (0.3 + 0.7 * np.abs(np.sin(np.arange(count) * 11 / rate)))
    loud: Samples = (wave / np.abs(wave).max() * 20000).astype(np.int16)
    return loud


@lru_cache(maxsize=1)
def recorded(kind: str) -> bytes:
    """The noise in a container."""
    return encode(noise(rate_of(kind)), rate_of(kind), kind)


def followed(data: bytes, size: int = CHUNK) -> ContainerTrack:
    """A track that was given the data in pieces."""
    track = ContainerTrack()
    for start in range(0, len(data), size):
        track.receive(data[start : start + size])
    return track


def heard_from(whole: Samples, tail: Samples, about: float, rate: int) -> float:
    """When the tail begins in the whole, in seconds: where a piece of it fits best, near a guess."""
    skipped, length, reach = int(0.3 * rate), int(0.1 * rate), int(0.05 * rate)
    pattern = tail[skipped : skipped + length].astype(float)
    first = max(round(about * rate) + skipped - reach, 0)
    region = whole[first : first + length + 2 * reach].astype(float)
    fits = np.correlate(region, pattern, "valid") / np.sqrt(np.convolve(region**2, np.ones(length), "valid") + 1)
    return float(first + int(np.argmax(fits)) - skipped) / rate


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_that_begins_at_a_place_hears_what_the_place_says(kind: str) -> None:
    """From each place, after its header, the audio is that of its moment, within a millisecond."""
    rate, data = rate_of(kind), recorded(kind)
    whole = decode(data, kind)
    track = followed(data)
    assert track.follows
    assert abs(track.seconds_at(len(data)) - len(whole) / rate) < 0.1
    places = {track.place_for(confirmed, len(data)) for confirmed in (1.3, 2.5, 3.7)} - {Place()}
    assert places
    for place in places:
        tail = decode(place.header + data[place.offset :], kind)
        assert abs(heard_from(whole, tail, place.seconds, rate) - place.seconds) < 0.001
        assert abs(place.seconds + len(tail) / rate - len(whole) / rate) < 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_how_the_bytes_are_cut_does_not_matter(kind: str) -> None:
    """Byte by byte, in odd pieces or all at once, the same places are found."""
    data = recorded(kind)[:40_000]
    ask = [
        track.place_for(2.0, len(data)) for track in (followed(data, 1), followed(data, 100), followed(data, len(data)))
    ]
    assert ask[0] == ask[1] == ask[2]
    assert len({track.seconds_at(len(data)) for track in (followed(data, 1), followed(data, len(data)))}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_is_confirmed_and_was_sent(kind: str) -> None:
    """No place lies after what is final, nor after what was sent; lossy decoders get a moment more."""
    data = recorded(kind)
    track = followed(data)
    least = 0.0 if kind in LOSSLESS else 0.1
    for confirmed in np.arange(0.0, SECONDS, 0.1):
        assert track.place_for(float(confirmed), len(data)).seconds <= max(confirmed - least, 0.0) + 1e-9
    sent = len(data) // 2
    assert followed(data).place_for(SECONDS, sent).offset <= sent


@pytest.mark.parametrize("kind", KINDS)
def test_broken_bytes_end_the_following_and_nothing_else(kind: str) -> None:
    """After damage and after garbage the places before it stay, and whatever comes is borne."""
    data = bytearray(recorded(kind))
    random = np.random.default_rng(3)
    for start in range(len(data) // 2, len(data) - 400, 997):
        data[start : start + 400] = random.bytes(400)
    track = followed(bytes(data))
    place = track.place_for(SECONDS / 2 - 0.2, len(data))
    assert place.offset <= len(data) // 2
    followed(bytes(data[:50]) + random.bytes(30_000))
    followed(bytes(data[: len(data) // 3]) + bytes(data))


@pytest.mark.parametrize("start", [b"\0\0\0\x20ftypM4A " + bytes(300), bytes(400), b"#!AMR\n" + bytes(300)])
def test_what_is_not_known_has_no_places(start: bytes) -> None:
    """MP4, bare packets and unknown containers can only be sent again from their start."""
    track = followed(start)
    assert not track.follows
    assert track.place_for(10.0, 1000) == Place()
    assert track.seconds_at(400) == 0.0


def test_a_chain_of_ogg_streams_has_one_timeline() -> None:
    """A place in the second stream of a chain brings the second header, and counts on."""
    data = recorded("ogg opus") * 2
    whole = decode(data, "ogg opus")
    track = followed(data)
    place = track.place_for(SECONDS + 2.0, len(data))
    assert SECONDS < place.seconds <= SECONDS + 2.0
    tail = decode(place.header + data[place.offset :], "ogg opus")
    assert abs(heard_from(whole, tail, place.seconds, 48000) - place.seconds) < 0.001


def test_a_packet_that_goes_on_in_the_next_page_is_heard_once() -> None:
    """Opus packets are counted where they begin, however pages divide them."""
    data = recorded("ogg opus")
    packets = [bytes([0xFC]) + bytes(300), bytes([0xFC]) + bytes(300)]  # 20 ms each, and 301 bytes
    header = data[: data.index(b"OggS", data.index(b"OpusTags"))]
    lacing = bytes([255, 46, 255])
    first = _page(header[14:18], 0, 960, lacing, packets[0] + packets[1][:255])
    second = _page(header[14:18], 1, 1920, bytes([46]), packets[1][255:])
    track = followed(header + first + second)
    skipped = int.from_bytes(header[38:40], "little")
    assert track.seconds_at(10**9) == (1920 - skipped) / 48000


def _page(serial: bytes, flags: int, position: int, lacing: bytes, body: bytes) -> bytes:
    """A page of an Ogg stream; its check sum is not looked at."""
    facts = bytes([0, flags]) + position.to_bytes(8, "little") + serial + bytes(8)
    return b"OggS" + facts + bytes([len(lacing)]) + lacing + body


def test_what_will_not_be_sent_again_has_no_places_either() -> None:
    """Without a reconnect policy places are found, and forgotten as finals come."""
    protocol = Protocol(ListenOptions(), Timeouts(), BufferPolicy(), None)
    protocol.open(0.0)
    protocol.next_action(0.0)
    protocol.connected("id", 0.0)
    assert protocol.accept(recorded("mp3"))
    while isinstance(protocol.next_action(0.0), Write):
        pass
    track = protocol._upload._track
    assert isinstance(track, ContainerTrack)
    assert track._walk is not None
    assert len(track._walk._places) > 10
    protocol.receive_message(final("all", 0.0, float(SECONDS)), 1.0)
    assert len(track._walk._places) < 3


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "webm opus", "ogg opus", "aac in ts"])
def test_what_is_kept_of_an_hour_stays_small(kind: str) -> None:
    """While finals come, only what is not final yet is remembered."""
    data = recorded(kind)
    track = followed(data)
    walk = track._walk
    assert walk is not None
    for confirmed in range(1, SECONDS):
        track.place_for(float(confirmed), len(data))
    assert len(walk._places) * 0.25 <= 2.5
    assert len(walk._window) < 70_000


def test_digital_silence_in_flac_does_not_end_the_following() -> None:
    """Its frames are shorter than the longest header of a frame."""
    samples = np.concatenate([noise(16000)[:16000], np.zeros(48000, np.int16), noise(16000)[:16000]])
    data = encode(samples, 16000, "flac")
    track = followed(data)
    assert track.seconds_at(len(data)) == SECONDS
    place = track.place_for(4.9, len(data))
    assert place.seconds > 4.0
    tail = decode(place.header + data[place.offset :], "flac")
    assert place.seconds + len(tail) / 16000 == SECONDS


def test_a_first_chunk_may_be_a_whole_file() -> None:
    """Only the header may not be endless; how much audio comes with it does not matter."""
    data = encode(np.resize(noise(16000), 40 * 16000), 16000, "wav")
    track = followed(data, len(data))
    assert len(data) > 1 << 20
    assert track.place_for(30.0, len(data)).seconds == 30.0


FACTS = b"LIST" + (200).to_bytes(4, "little") + b"INFO" + bytes(196)


def test_facts_behind_the_audio_of_a_wav_are_no_audio_on_another_connection_either() -> None:
    """A header that is sent again declares what is left; once that is nothing, no place lies before what was sent."""
    data = wav(noise(16000).tobytes()) + FACTS
    for track in (followed(data), followed(data, 1), followed(data, len(data))):
        place = track.place_for(3.5, len(data))
        tail = decode(place.header + data[place.offset :], "wav")
        assert place.seconds + len(tail) / 16000 == SECONDS
        assert track.place_for(SECONDS, len(data)).offset == len(data)
        assert not track.begins_again


@pytest.mark.parametrize("samples", [16000, 16001])
def test_another_wav_file_behind_the_first_is_noticed(samples: int) -> None:
    """However the bytes are cut; audio that lasts an odd number of bytes may be padded, or not."""
    first = wav(noise(16000)[:samples].tobytes())
    odd = first[:40] + (samples * 2 - 1).to_bytes(4, "little") + first[44:-1]
    for file in (first, odd, odd + b"\0"):
        assert not followed(file).begins_again
        assert all(followed(file * 2, size).begins_again for size in (1, CHUNK, len(file), len(file) * 2))


def test_a_long_piece_at_the_end_counts_as_heard() -> None:
    """Its container says when it begins, not when it ends; words in it must not be taken for new ones."""
    data = encode(noise(16000), 16000, "matroska pcm", piece=4000)
    track = followed(data)
    assert track.seconds_at(len(data)) == SECONDS - 0.25
    assert track.most_seconds(len(data)) >= SECONDS


def test_audio_that_goes_on_in_another_way_may_have_been_heard() -> None:
    """An MP3 of another rate after the first: the walk does not see it, the service hears it."""
    data = recorded("mp3 without facts")
    track = followed(data + encode(noise(44100)[:44100], 44100, "mp3 without facts") * 10)
    assert track.most_seconds(len(data)) == np.inf
    assert track.place_for(2.0, len(data)).seconds > 1.5


@pytest.mark.parametrize("damaged", [0, 2, 4])
def test_a_flac_frame_that_is_not_found_is_noticed_by_the_next(damaged: int) -> None:
    """A service hears on behind the damage, so soon after it nobody says any more that it cannot have."""
    data = bytearray(recorded("flac"))
    place = followed(bytes(data)).place_for(SECONDS / 2, len(data))
    data[place.offset + damaged] ^= 0xFF
    soon = place.offset + 5 * len(data) // SECONDS // 4
    assert followed(bytes(data[: place.offset + 16])).most_seconds(soon) < SECONDS
    track = followed(bytes(data[:soon]))
    assert track.most_seconds(soon) == np.inf
    assert place.seconds - 1.0 < track.place_for(SECONDS, soon).seconds < place.seconds


@pytest.mark.parametrize("ends", [True, False])
def test_a_chain_that_goes_on_with_something_else_may_have_been_heard(ends: bool) -> None:
    """An unknown codec after a stream, whether that says that it has ended or not, and a stream without a start."""
    data = recorded("ogg opus")
    last = data.rindex(b"OggS")
    first = data if ends else data[:last]
    other = _page(b"\1\0\0\0", 2, 0, bytes([16]), b"some other codec")
    audio = _page(b"\1\0\0\0", 0, 960, bytes([200]), bytes(200))
    assert followed(first).follows
    for more in (other + audio, audio):
        track = followed(first + more)
        assert track.most_seconds(10**9) == np.inf
        assert track.place_for(SECONDS, 10**9).seconds > SECONDS - 1.5


def test_what_lies_between_the_pages_of_audio_is_skipped() -> None:
    """Streams of pictures or words that begin together with the audio."""
    data = recorded("ogg opus")
    audio = data.index(b"OggS", data.index(b"OpusTags"))
    other = _page(b"\1\0\0\0", 2, 0, bytes([16]), b"some other codec")
    more = _page(b"\1\0\0\0", 0, 960, bytes([200]), bytes(200))
    second = data.index(b"OggS", 1)
    mixed = data[:second] + other + data[second:audio] + more + data[audio:] + more
    plain = followed(data)
    track = followed(mixed)
    assert track.follows
    assert track.seconds_at(len(mixed)) == plain.seconds_at(len(data))


def test_an_ogg_header_without_end_costs_no_more_than_its_bytes() -> None:
    """Small header pages are remembered once each, and not again with every one that follows."""
    data = recorded("ogg opus")
    header = data[: data.index(b"OggS", data.index(b"OpusTags"))]
    data = header + _page(header[14:18], 0, 0, b"\0", b"") * 160_000
    began = time.process_time()
    track = followed(data, 1 << 16)
    assert time.process_time() - began < 3.0
    assert track.place_for(10.0, len(data)) == Place()


def test_the_first_frame_of_an_mp3_may_be_too_short_for_facts() -> None:
    """A name in its last bytes, with no room for flags."""
    start = b"\xff\xf3\x14\xc4" + bytes(16) + b"Info"
    assert len(start) == 24
    track = followed(start * 20)
    assert track.seconds_at(24 * 20) >= 0


@pytest.mark.parametrize("kind", ["aac in ts", "matroska pcm", "webm vorbis"])
def test_after_a_clock_was_set_anew_all_may_have_been_heard(kind: str) -> None:
    """A second recording after the first: the service hears on, while the container's times begin again."""
    data = recorded(kind)
    track = followed(data * 2)
    assert track.most_seconds(len(data) * 2) == np.inf
    assert SECONDS - 1.5 < track.place_for(SECONDS, len(data) * 2).seconds <= SECONDS


def test_an_ogg_stream_of_something_else_has_no_places() -> None:
    """Nothing is said of when it is heard, so all of it may have been."""
    first = _page(b"\1\0\0\0", 2, 0, bytes([16]), b"some other codec")
    audio = _page(b"\1\0\0\0", 0, 960, bytes([200]), bytes(200))
    track = followed(first + audio * 10)
    assert track.most_seconds(1000) == np.inf
    assert not track.follows


def test_webm_with_several_packets_in_a_block_is_not_followed() -> None:
    """Their sum would be wrong, and what is heard beyond it would not count as heard."""
    data = recorded("webm opus")
    laced, count = re.subn(rb"(\xa3[\x40-\x7f].\x81..)\x80", b"\\g<1>\x86", data, flags=re.DOTALL)
    assert count > SECONDS * 10
    track = followed(laced)
    assert not track.follows
    assert track.most_seconds(len(data)) == np.inf
