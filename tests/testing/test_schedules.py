"""Random schedules of faults in front of the local server: every word once, in order, at its place."""

import pytest

from streamclient import ListenOptions, ReconnectPolicy, StreamClient, Word
from streamclient.testing import DeepgramServer, Fault, StreamRecorder, numbered, random_schedule, wav

WORDS = 24
AUDIO = numbered(WORDS)
SECONDS = len(AUDIO) / 32000
RAW = ListenOptions(encoding="linear16", sample_rate=16000, interim_results=True)
CONTAINER = ListenOptions(interim_results=True)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
TOLERANCE = 0.006
"""Seconds; the engine decides every 5 ms what is sound, counted from where the connection began."""


def play(schedule: list[list[Fault]], audio: bytes, options: ListenOptions) -> list[Word]:
    """The words that come of the audio under a schedule; hooks and transcript agree on them."""
    recorder = StreamRecorder()
    with DeepgramServer(schedule=schedule) as server:
        client = StreamClient(options, url=server.url, reconnect=QUICK, plugins=[recorder])
        client.open()
        for start in range(0, len(audio), 3200):
            client.send(audio[start : start + 3200])
        transcript = client.close(timeout=60)
        server.relay.wait_for_ends()
    assert transcript.complete
    assert not transcript.gaps
    assert [word for final in recorder.finals for word in final.words] == list(transcript.words)
    assert len(recorder.disconnects) == len(recorder.reconnects) == client.stats.reconnects
    return list(transcript.words)


@pytest.fixture(scope="module")
def unbroken() -> list[Word]:
    """The words over one connection."""
    words = play([], AUDIO, RAW)
    assert [word.word for word in words] == [f"w{index}" for index in range(WORDS)]
    return words


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["raw", "WAV"])
def test_a_schedule_loses_doubles_and_moves_nothing(unbroken: list[Word], seed: int, kind: str) -> None:
    """The words are those of the unbroken stream, each within 6 ms of its time, for raw audio and for a WAV file."""
    if kind == "raw":
        words = play(random_schedule(seed, SECONDS), AUDIO, RAW)
    else:
        words = play(random_schedule(seed, SECONDS, bytes_per_second=32000), wav(AUDIO), CONTAINER)
    assert [word.word for word in words] == [word.word for word in unbroken]
    for word, expected in zip(words, unbroken, strict=True):
        assert word.start == pytest.approx(expected.start, abs=TOLERANCE)
        assert word.end == pytest.approx(expected.end, abs=TOLERANCE)
