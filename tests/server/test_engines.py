"""Engines that hear something else than speech, on the wire."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr  # type: ignore[import-untyped]

from streamclient.server import LocalServer
from streamclient.server.engines.echo import EchoEngine, tones
from tests.support.encode import encode
from tests.support.wire import CLOSE, RAW, converse

TEXT = "Please book a table.\nNine o'clock, für zwei?"
SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that hears tones."""
    with LocalServer(EchoEngine()) as server:
        yield server


def frames(data: bytes, size: int) -> list[bytes | dict[str, str]]:
    """In pieces, and the end."""
    return [*(data[begin : begin + size] for begin in range(0, len(data), size)), CLOSE]


@pytest.mark.parametrize("kind", ["ogg", "webm", "flac", "mp3", "aac", "mp4"])
def test_words_survive_every_container(server: LocalServer, kind: str) -> None:
    """What was written in tones is heard, word for word and mark for mark, whatever codec it went through."""
    heard = converse(server, "punctuate=true", frames(encode(kind, tones(TEXT)), 777))
    written = [w["punctuated_word"] for m in heard.finals() for w in m["channel"]["alternatives"][0]["words"]]
    assert " ".join(written) == TEXT.replace("\n", " ")
    assert heard.words()[-1] == "zwei"


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_words_survive_every_rate(server: LocalServer, rate: int) -> None:
    """Also that of a telephone."""
    samples = np.rint(soxr.resample(tones(TEXT).astype(np.float32), 16_000, rate)).astype("<i2")
    heard = converse(server, f"encoding=linear16&sample_rate={rate}", frames(samples.tobytes(), 999))
    assert heard.words()[:4] == ["please", "book", "a", "table"]


def test_words_have_their_times(server: LocalServer) -> None:
    """Where the tones are, to some milliseconds."""
    heard = converse(server, RAW, frames(tones("one two").tobytes(), 3_200))
    one, two = (w for m in heard.finals() for w in m["channel"]["alternatives"][0]["words"])
    assert (one["start"], one["end"], two["start"]) == pytest.approx((0.1, 0.3, 0.38), abs=0.011)


def test_a_word_that_is_cut_belongs_to_the_next_result(server: LocalServer) -> None:
    """``Finalize`` in the middle of it loses nothing."""
    audio = tones("one two").tobytes()
    middle = 2 * 7_000
    heard = converse(server, RAW, [audio[:middle], {"type": "Finalize"}, audio[middle:], CLOSE])
    assert heard.words() == ["one", "two"]


def test_a_broken_word_is_not_heard(server: LocalServer) -> None:
    """A tenth of a second is missing: the word it is missing from has no other word in its place."""
    audio = tones("one two three").tobytes()
    middle = 2 * 7_000
    heard = converse(server, RAW, [audio[: middle - 1_600], audio[middle + 1_600 :], CLOSE])
    assert heard.words() == ["one", "three"]


def test_speech_is_no_tones(server: LocalServer) -> None:
    """It is heard as nothing."""
    with wave.open(str(SAMPLE)) as reader:
        speech = reader.readframes(reader.getnframes())
    assert converse(server, RAW, frames(speech, 32_000)).words() == []
