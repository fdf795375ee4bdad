"""A container under the name of a raw encoding is found by its first bytes, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.core.opening import HEADERLESS, Opening
from streamclient.errors import OptionsError
from streamclient.options import FLUX_ENCODINGS, RAW_ENCODINGS

ID3 = b"ID3\x04\x00\x00\x00\x00\x0f\x76"
CONTAINERS = {
    "WAV": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "Ogg": b"OggS\x00\x02" + bytes(10),
    "FLAC": b"fLaC\x00\x00\x00\x22" + bytes(8),
    "WebM or Matroska": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81" + bytes(8),
    "MP4": b"\x00\x00\x00\x20ftypM4A " + bytes(4),
    "MP3": ID3 + b"TSSE",
}


def offer(opening: Opening, *chunks: bytes) -> None:
    """Offer chunks as a caller does: what is checked is accepted."""
    for chunk in chunks:
        opening.check(chunk)
        opening.accept(chunk)


@pytest.mark.parametrize("encoding", sorted(HEADERLESS))
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_is_not_raw_audio(encoding: str, container: str) -> None:
    """The error names the encoding, the container, and what to leave out."""
    with pytest.raises(OptionsError) as caught:
        Opening(encoding).check(CONTAINERS[container] + bytes(1000))

    assert repr(encoding) in str(caught.value)
    assert f"begins like {container}" in str(caught.value)
    assert "Leave out encoding, sample_rate and channels" in str(caught.value)
    assert not caught.value.retryable


@given(st.sampled_from(sorted(CONTAINERS.values())), st.lists(st.integers(0, 12), max_size=12))
def test_cuts_hide_nothing(start: bytes, cuts: list[int]) -> None:
    """Cut anywhere, even into single bytes, the first bytes are seen whole."""
    places = [0, *sorted(cuts), len(start)]
    chunks = [start[begin:end] for begin, end in pairwise(places)]

    with pytest.raises(OptionsError):
        offer(Opening("linear16"), *chunks)


@pytest.mark.parametrize("encoding", [None, "flac", "ogg-opus", "g729"])
def test_what_comes_in_a_container_is_not_looked_at(encoding: str | None) -> None:
    """Without encoding, and with one that has a container or may have one, nothing is asked."""
    opening = Opening(encoding)

    assert opening.is_judged
    offer(opening, *CONTAINERS.values())


def test_every_encoding_is_sorted() -> None:
    """A new encoding does not slip through unlooked at."""
    assert HEADERLESS | {"flac", "ogg-opus", "g729"} == {*RAW_ENCODINGS, *FLUX_ENCODINGS}


@pytest.mark.parametrize(
    "start",
    [
        b"ID3" + bytes([9]) + ID3[4:],
        ID3[:4] + b"\xff" + ID3[5:],
        ID3[:5] + b"\x01" + ID3[6:],
        ID3[:9] + b"\x80",
        b"\xff\xfb\x90\x64" + bytes(8),
        b"\xff\xf1\x50\x80" + bytes(8),
        b"G" + bytes(11),
        b"RIF",
        b"ID3",
        bytes(12),
    ],
    ids=["version", "revision", "flags", "length", "MP3 frame", "ADTS", "MPEG-TS", "short", "three letters", "silence"],
)
def test_chance_is_no_container(start: bytes) -> None:
    """Bytes that speech may begin with are accepted."""
    offer(Opening("mulaw"), start, b"\x7f" * 100)


@given(st.binary(min_size=12, max_size=40))
def test_noise_is_audio(noise: bytes) -> None:
    """Whatever does not begin like a container passes, and after twelve bytes nothing is asked any more."""
    opening = Opening("linear16")
    offer(opening, noise)

    assert opening.is_judged
    offer(opening, *CONTAINERS.values())


def test_a_refused_chunk_does_not_count() -> None:
    """The stream begins with what comes instead of it."""
    opening = Opening("linear16")
    offer(opening, b"RI")
    with pytest.raises(OptionsError):
        opening.check(b"FF" + bytes(8))

    offer(opening, b"\x00\x01" * 10)
    assert opening.is_judged
