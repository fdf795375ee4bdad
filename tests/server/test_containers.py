"""Compressed audio to 16 kHz samples, while it arrives."""

import itertools
import sys
import threading
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamclient.server import containers
from streamclient.server.audio import AudioDecoder, AudioFormat
from streamclient.server.containers import id3_size, sniff
from streamclient.server.pcm import Undecodable
from streamclient.server.query import parse_request
from tests.support.encode import KINDS, encode, packets

Samples = npt.NDArray[np.int16]
SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
DELAY = 0.12
"""Seconds an encoder that is not exact may add."""


@pytest.fixture(scope="module")
def speech() -> Samples:
    """Three seconds of it."""
    with wave.open(str(SAMPLE)) as reader:
        return np.frombuffer(reader.readframes(48_000), np.int16)


@pytest.fixture(autouse=True)
def _no_decoder_is_left() -> Iterator[None]:
    """However a stream ends, its thread does."""
    yield
    assert not [thread for thread in threading.enumerate() if "decoder" in thread.name]


def decode(frames: Iterable[bytes], audio: AudioFormat | None = None) -> tuple[Samples, float]:
    """The samples of a mono stream that comes in these frames, and its duration."""
    decoder = AudioDecoder(audio or AudioFormat(), separate=False)
    try:
        pieces = [piece for frame in frames for piece in decoder.feed(frame)]
        pieces += decoder.finish()
        return np.concatenate([samples for (samples,) in pieces] or [np.zeros(0, np.int16)]), decoder.duration
    finally:
        decoder.close()


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The data in frames of these sizes, again and again."""
    offset = 0
    for size in itertools.cycle(sizes):
        if offset >= len(data):
            return
        yield data[offset : offset + size]
        offset += size


def likeness(heard: Samples, said: Samples) -> float:
    """How well the spectra agree, whatever delay the codec adds: 1 for the same speech."""
    spectra = []
    for samples in (heard, said):
        frames = np.resize(samples, len(said)).reshape(-1, 800).astype(float)
        spectra.append(np.log(np.abs(np.fft.rfft(frames, axis=1))[:, 2:100:2] + 100).ravel())
    return float(np.corrcoef(spectra)[0, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_container_is_decoded(kind: str, speech: Samples) -> None:
    """Each says itself what it is, gives the speech that went in, and as much of it as went in."""
    heard, duration = decode([encode(kind, speech)])
    wanted = KINDS[kind]
    assert duration == pytest.approx(3.0, abs=0 if wanted.exact else DELAY)
    assert len(heard) == pytest.approx(duration * 16_000, abs=2)
    delay = 1105 if kind == "mp3" else 1024 if kind in ("aac", "mp4") else 0
    assert likeness(heard[delay:], speech) > 0.8


@example(kind="mp3", sizes=[1])
@given(kind=st.sampled_from(sorted(KINDS)), sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=5))
def test_frame_boundaries_mean_nothing_to_a_container(speech: Samples, kind: str, sizes: list[int]) -> None:
    """However a stream is cut into frames, every sample is the same."""
    data = encode(kind, speech[:16_000])
    whole, _ = decode([data])
    pieces, _ = decode(cut(data, sizes))
    assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_keeps_up_with_what_came(kind: str, speech: Samples) -> None:
    """What has arrived is decoded when ``feed`` is through, up to what the container itself holds back."""
    data = encode(kind, speech)
    begun = data[: len(data) * 2 // 3]
    decoder = AudioDecoder(AudioFormat(), separate=False)
    for frame in cut(begun, [500]):
        list(decoder.feed(frame))
    so_far = decoder.duration
    decoder.close()
    assert decode([begun])[1] - 0.6 <= so_far <= 2.5


def test_channels_of_a_container_are_separated_or_mixed(speech: Samples) -> None:
    """One of two speaks: with ``multichannel`` the other is silent, without there is one."""
    data = encode("flac", np.stack([speech, np.zeros_like(speech)]))
    decoder = AudioDecoder(AudioFormat(), separate=True)
    left, right = (np.concatenate(side) for side in zip(*[*decoder.feed(data), *decoder.finish()], strict=True))
    decoder.close()
    assert np.array_equal(left, speech)
    assert not right.any()
    mixed, duration = decode([data])
    assert np.abs(mixed - speech / 2).max() <= 1
    assert duration == 3.0


def test_many_channels_are_separated(speech: Samples) -> None:
    """As many as a container holds; each is heard for itself."""
    sides = np.stack([np.roll(speech, 100 * side) for side in range(8)])
    decoder = AudioDecoder(AudioFormat(), separate=True)
    heard = zip(*[*decoder.feed(encode("flac", sides)), *decoder.finish()], strict=True)
    decoder.close()
    assert all(np.array_equal(np.concatenate(one), side) for one, side in zip(heard, sides, strict=True))


def test_packets_of_opus_need_no_container(speech: Samples) -> None:
    """With ``encoding=opus`` each frame is a packet, unless the first one begins an Ogg stream."""
    opus = AudioFormat("opus", 48_000)
    heard, duration = decode(packets(speech), opus)
    assert duration == pytest.approx(3.0, abs=0.05)
    assert likeness(heard[104:], speech) > 0.9
    _, duration = decode([encode("ogg", speech)], opus)
    assert duration == 3.0
    good = packets(speech)
    _, shorter = decode([*good[:50], b"\xff" * 9, *good[50:]], opus)
    assert shorter == pytest.approx(3.0, abs=0.1)
    with pytest.raises(Undecodable):
        decode([b"\xff" * 9], opus)


@pytest.mark.parametrize(("encoding", "kind"), [("flac", "flac"), ("ogg-opus", "ogg"), ("amr-nb", "amr")])
def test_a_named_container_is_decoded(encoding: str, kind: str, speech: Samples) -> None:
    """``encoding`` may name what the stream says itself; AMR also comes without the first bytes of its files."""
    if kind not in KINDS:
        pytest.skip(f"this PyAV has no encoder for {kind}")
    data = encode(kind, speech)
    audio = AudioFormat(encoding, KINDS[kind].rate)
    expected = decode([data])[1]
    assert decode([data], audio)[1] == expected
    if kind == "amr":
        assert decode([data.removeprefix(b"#!AMR\n")], audio)[1] == expected


@pytest.mark.parametrize(
    ("name", "query", "sizes"),
    [
        ("speech.g729", "encoding=g729&sample_rate=8000", [1_000_000]),
        ("speech.g729", "encoding=g729", [7, 160]),
        ("speech.awb", "", [100]),
        ("speech.awb", "encoding=amr-wb&sample_rate=16000", [33]),
        ("speech.spx", "", [100]),
        ("speech.spx", "encoding=speex&sample_rate=16000", [1_000]),
        ("speech.speex", "encoding=speex&sample_rate=16000", [52]),
    ],
)
def test_what_only_others_can_write_is_decoded(name: str, query: str, sizes: list[int], speech: Samples) -> None:
    """G.729, AMR-WB and Speex as the reference encoders wrote them: the speech that went in, and as much of it."""
    data = (Path(__file__).parent / "speech" / name).read_bytes()
    heard, duration = decode(cut(data, sizes), parse_request(f"/v1/listen?{query}").audio)
    assert duration == pytest.approx(1.5, abs=0.03)
    assert max(likeness(heard[delay:], speech[:24_000]) for delay in (0, 80, 160, 240)) > 0.85


def test_a_stream_goes_on_after_its_header_is_sent_again(speech: Samples) -> None:
    """After a reconnect a client sends the header and then what it had not sent: any later pages or clusters."""
    ogg = encode("ogg", speech)
    pages = [b"OggS" + page for page in ogg.split(b"OggS")[1:]]
    _, whole = decode(pages)
    _, resumed = decode([*pages[:2], *pages[3:]])
    assert 0.9 <= whole - resumed <= 1.1
    webm = encode("webm", speech)
    clusters = webm.split(b"\x1f\x43\xb6\x75")
    assert len(clusters) > 2
    _, resumed = decode([b"\x1f\x43\xb6\x75".join([clusters[0], *clusters[2:]])])
    assert 0 < resumed < 3.0


def test_a_second_stream_in_a_row_is_decoded_too(speech: Samples) -> None:
    """Ogg files can be joined end to end."""
    assert decode([encode("ogg", speech[:16_000]) * 2])[1] == pytest.approx(2.0, abs=0.02)


def test_a_tag_before_the_audio_is_skipped(speech: Samples) -> None:
    """ID3 tags, even with pictures that are larger than what is kept of unknown audio."""
    size = 3 << 20
    tag = b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    assert id3_size(tag[:9]) == 0
    assert id3_size(tag) == len(tag)
    data = encode("mp3", speech)
    assert decode(cut(tag + tag + data, [9, 100_000]))[1] == decode([data])[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_stream_ends_or_goes_on(kind: str, speech: Samples) -> None:
    """Garbage in the middle is a verdict or a gap, and what was before it stays."""
    data = encode(kind, speech)
    half = len(data) // 2
    garbage = np.random.default_rng(1).integers(0, 256, 3_000, np.uint8).tobytes()
    decoder, duration = AudioDecoder(AudioFormat(), separate=False), 0.0
    try:
        for frame in cut(data[:half] + garbage + data[half:], [1_000]):
            list(decoder.feed(frame))
        list(decoder.finish())
    except Undecodable:
        pass
    finally:
        duration = decoder.duration
        decoder.close()
    assert duration >= 0 if kind == "mp4" else duration > 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_an_abandoned_stream_leaves_nothing(kind: str, speech: Samples) -> None:
    """In mid-header, in mid-audio, with a large frame half decoded, and twice."""
    data = encode(kind, speech)
    for size in (20, len(data) // 2, len(data)):
        decoder = AudioDecoder(AudioFormat(), separate=False)
        next(decoder.feed(data[:size]), None)
        decoder.close()
        decoder.close()


def test_a_header_alone_is_no_audio(speech: Samples) -> None:
    """Nothing is decoded, and nothing is wrong either: the summary says duration 0."""
    assert decode([encode("webm", speech)[:100]])[1] == 0.0


def test_bytes_without_end_and_without_audio_are_undecodable(monkeypatch: pytest.MonkeyPatch, speech: Samples) -> None:
    """FFmpeg may collect a large element; at some size it is given up."""
    monkeypatch.setattr(containers, "MAX_FRUITLESS", 100_000)
    header = encode("webm", speech)[:200]
    void = b"\xec" + (1 << 56 | 1 << 40).to_bytes(8, "big")
    with pytest.raises(Undecodable, match="without any audio"):
        decode(cut(header + void + bytes(300_000), [10_000]))


def test_no_playlist_is_followed(tmp_path: Path) -> None:
    """What would make FFmpeg open files or addresses by itself is not even looked at."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(SAMPLE.read_bytes())
    for playlist in (f"#EXTM3U\n#EXTINF:1,\n{secret}\n", f"ffconcat version 1.0\nfile {secret}\n"):
        with pytest.raises(Undecodable):
            decode([playlist.encode()])
        assert decode([playlist.encode()], AudioFormat("flac", 16_000))[1] == 0


@pytest.mark.parametrize(("head", "name"), [
    (b"\xff\xf1\x60\x40", "aac"), (b"\xff\xf9\x60\x40", "aac"),
    (b"\xff\xfb\x90\x64", "mp3"), (b"\xff\xf3\x44\xc4", "mp3"),
])  # fmt: skip
def test_frames_without_a_container_are_told_apart(head: bytes, name: str) -> None:
    """ADTS and MPEG audio begin with almost the same bits."""
    assert sniff(head + bytes(8)) == name


@pytest.mark.parametrize(
    "head", [bytes(12), b"\xff" * 12, b"\xff\xff\xfe\xff" * 3, b"\xff\xfb\xff\xff" * 3, b"RIFX" * 3]
)
def test_samples_are_no_container(head: bytes) -> None:
    """Raw audio without an ``encoding``, the common mistake, is not taken for a stream that begins alike."""
    with pytest.raises(Undecodable, match="encoding"):
        sniff(head)


def test_without_pyav_the_verdict_says_what_to_install(monkeypatch: pytest.MonkeyPatch, speech: Samples) -> None:
    """WAV and raw audio need none."""
    data = encode("flac", speech)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Undecodable, match=r"streamclient\[server\]"):
        decode([data])
