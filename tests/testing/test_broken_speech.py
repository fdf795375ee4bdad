"""Real speech over connections that break: the recogniser gets all of it, and gets it right as often as without breaks.

What is compared is the rate of wrong words, in points of a hundred, against the text that was read. One wrong word of
the sample's 30 is 3.3 points; the breaks cost one now and then, because the recogniser adapts to the voice it hears
and begins anew on each connection. The same word is wrong when the second half of the sample is recognised alone, over
one connection. So the mean over the schedules is what is held to 3 points, and one word is the most for each.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import jiwer
import pytest

from streamclient import ListenOptions, ReconnectPolicy, StreamClient, Transcript
from streamclient.server import LocalServer
from streamclient.server.engines.pocketsphinx import PocketsphinxEngine
from streamclient.testing import DeepgramServer, random_schedule
from streamclient.testing.faults import Close, Fault, Reset, Schedule, close_stream, finals

SAMPLES = Path(__file__).parents[2] / "samples"
SAMPLE = SAMPLES / "sense_and_sensibility.wav"
WAV = SAMPLE.read_bytes()
PCM = WAV[44:]
SECONDS = len(PCM) / 32000
READ = " ".join((SAMPLES / "sense_and_sensibility.txt").read_text(encoding="utf-8").split())
RAW = ListenOptions(encoding="linear16", sample_rate=16000, interim_results=True)
CONTAINER = ListenOptions(interim_results=True)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
POINTS = 0.03
ONE_WORD = 1 / len(READ.split()) + 1e-9

pytestmark = pytest.mark.timeout(300)  # a busy machine recognises slowly


@pytest.fixture(scope="module")
def recogniser() -> Iterator[LocalServer]:
    """The real engine."""
    with LocalServer(PocketsphinxEngine()) as server:
        yield server


def heard(recogniser: LocalServer, schedule: Schedule, audio: bytes = PCM, options: ListenOptions = RAW) -> Transcript:
    """The transcript of the sample under a schedule of faults, complete and in order."""
    with DeepgramServer(recogniser, schedule=schedule) as server:
        client = StreamClient(options, url=server.url, reconnect=QUICK)
        client.open()
        for start in range(0, len(audio), 3200):
            client.send(audio[start : start + 3200])
        transcript = client.close(timeout=200)
        server.relay.wait_for_ends()
    assert transcript.complete
    assert not transcript.gaps
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= SECONDS
    return transcript


@pytest.fixture(scope="module")
def unbroken(recogniser: LocalServer) -> float:
    """The word error rate over one connection."""
    return jiwer.wer(READ, heard(recogniser, []).text)


WHILE_CLOSING: list[list[Fault]] = [
    [Reset(after=finals(1))],
    [Close(1011, "NET-0001", after=close_stream())],
    [Reset(after=close_stream(1))],
]


def test_breaks_cost_no_words_of_real_speech(recogniser: LocalServer, unbroken: float) -> None:
    """Seeded schedules of resets, closes, refusals and stalls, and breaks while closing; raw audio, and a WAV file."""
    transcripts = [
        heard(recogniser, random_schedule(0, SECONDS)),
        heard(recogniser, random_schedule(1, SECONDS)),
        heard(recogniser, random_schedule(2, SECONDS, bytes_per_second=32000), WAV, CONTAINER),
        heard(recogniser, WHILE_CLOSING),
    ]
    costs = [jiwer.wer(READ, transcript.text) - unbroken for transcript in transcripts]
    assert mean(costs) <= POINTS, costs
    assert max(costs) <= ONE_WORD, costs
