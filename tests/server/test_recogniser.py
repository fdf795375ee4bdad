"""Real recognition of the shipped speech sample."""

import io
import json
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pocketsphinx  # type: ignore[import-untyped]
import pytest
import websocket

from streamclient.server import LocalServer
from streamclient.server.engines.pocketsphinx import PocketsphinxEngine
from streamclient.server.engines.utterances import KNOBS
from streamclient.server.engines.voice import VoiceActivity

SAMPLES = Path(__file__).parents[2] / "samples"
SAMPLE = SAMPLES / "sense_and_sensibility.wav"
PASSAGE = (SAMPLES / "sense_and_sensibility.txt").read_text().splitlines()[1]
REFERENCE = " ".join((SAMPLES / "sense_and_sensibility.txt").read_text().split())
RAW = "encoding=linear16&sample_rate=16000"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """One server for all, so that the model is loaded once."""
    with LocalServer(PocketsphinxEngine(decoders=2)) as server:
        yield server


@pytest.fixture(scope="module")
def pcm() -> bytes:
    """The samples of the sample."""
    with wave.open(str(SAMPLE), "rb") as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (16_000, 1, 2)
        return reader.readframes(reader.getnframes())


@pytest.fixture(scope="module")
def passage(pcm: bytes) -> bytes:
    """The second passage alone: 3.3 s."""
    return pcm[-105_280:]


@pytest.fixture(scope="module")
def heard(server: LocalServer, passage: bytes) -> str:
    """What the recogniser makes of the second passage."""
    transcript = text(stream(server, passage))
    assert jiwer.wer(PASSAGE, transcript) < 0.3
    return transcript


@pytest.fixture(scope="module")
def whole(server: LocalServer, pcm: bytes) -> list[Any]:
    """All messages of a stream of the whole sample."""
    return stream(server, pcm, RAW + "&interim_results=true")


def stream(server: LocalServer, audio: bytes, query: str = RAW, *, chunk: int = 6400) -> list[Any]:
    """All messages of a stream of this audio."""
    ws: Any = websocket.create_connection(f"{server.url}/v1/listen?{query}", timeout=60)
    for offset in range(0, len(audio), chunk):
        ws.send_binary(audio[offset : offset + chunk])
    ws.send(json.dumps({"type": "CloseStream"}))
    messages = []
    while (frame := ws.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
        messages.append(json.loads(frame[1]))
    ws.shutdown()
    return messages


def finals(messages: list[Any], channel: int = 0) -> list[Any]:
    """The finals of a channel."""
    return [m for m in messages if m.get("is_final") and m["channel_index"][0] == channel]


def text(messages: list[Any], channel: int = 0) -> str:
    """The transcript of a channel."""
    transcripts = [m["channel"]["alternatives"][0]["transcript"] for m in finals(messages, channel)]
    return " ".join(transcript for transcript in transcripts if transcript)


def test_live_is_as_good_as_the_recogniser_in_one_piece(whole: list[Any], pcm: bytes) -> None:
    """The word error rate through the server is at most five points above that of one batch pass with its knobs."""
    decoder = pocketsphinx.Decoder(samprate=16_000.0, loglevel="FATAL", **KNOBS)
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    direct = jiwer.wer(REFERENCE, decoder.hyp().hypstr)
    live = jiwer.wer(REFERENCE, text(whole))
    assert live <= direct + 0.05
    assert live < 0.25


def test_results_have_times_and_confidences(whole: list[Any]) -> None:
    """The two passages are two utterances; words follow one another, with confidences that differ."""
    messages = whole
    assert [m["speech_final"] for m in finals(messages)] == [True, False]
    words = [word for m in finals(messages) for word in m["channel"]["alternatives"][0]["words"]]
    edges = [edge for word in words for edge in (word["start"], word["end"])]
    assert edges == sorted(edges)
    assert 0.2 < edges[0] < 0.6
    assert 9.5 < edges[-1] < 10.39
    assert len({word["confidence"] for word in words}) > 1
    assert all(0 <= word["confidence"] <= 1 for word in words)
    assert all(word["word"] == word["word"].lower() and "(" not in word["word"] for word in words)


def test_frames_and_containers_change_nothing(server: LocalServer, passage: bytes, heard: str) -> None:
    """Odd frames, one frame with everything, and a WAV file give the same words."""
    wav = SAMPLE.read_bytes()[:44] + passage
    for messages in (
        stream(server, passage, chunk=3_201),
        stream(server, passage, chunk=len(passage)),
        stream(server, wav, ""),
    ):
        assert text(messages) == heard


def test_channels_have_their_own_words(server: LocalServer, passage: bytes, heard: str) -> None:
    """One speaks, the other is silent."""
    left = np.frombuffer(passage, np.int16)
    stereo = np.stack([left, np.zeros_like(left)], axis=1).tobytes()
    messages = stream(server, stereo, RAW + "&channels=2&multichannel=true")
    assert text(messages, 0) == heard
    assert text(messages, 1) == ""


def test_an_utterance_without_a_free_decoder_waits_and_is_not_lost(passage: bytes, heard: str) -> None:
    """Two channels speak at once, one decoder is there to be leased: both are recognised in the end."""
    with LocalServer(PocketsphinxEngine(decoders=1)) as server:
        left = np.frombuffer(passage, np.int16)
        stereo = np.stack([left, left], axis=1).tobytes()
        messages = stream(server, stereo, RAW + "&channels=2&multichannel=true")
    for channel in (0, 1):
        assert text(messages, channel) == heard


def test_silence_and_noise_are_no_words(server: LocalServer) -> None:
    """Digital silence and faint noise give empty finals that cover them."""
    noise = np.random.default_rng(1).normal(0, 20, 48_000).astype(np.int16)
    messages = stream(server, noise.tobytes() + bytes(96_000))
    assert text(messages) == ""
    assert sum(m["duration"] for m in finals(messages)) == pytest.approx(6.0)


def test_a_language_that_is_not_english_is_refused(server: LocalServer) -> None:
    """A transcript in the wrong language helps nobody."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        stream(server, b"", RAW + "&language=fr")
    assert refused.value.status_code == 400
    assert b"fr" in (refused.value.resp_body or b"")


def test_a_client_that_hangs_up_gives_its_decoder_back(passage: bytes) -> None:
    """In the middle of an utterance; the only decoder can be leased again."""
    engine = PocketsphinxEngine(decoders=1)
    with LocalServer(engine) as server:
        ws: Any = websocket.create_connection(f"{server.url}/v1/listen?{RAW}&interim_results=true", timeout=60)
        ws.send_binary(passage[:64_000])
        ws.recv()
        ws.recv()
        assert engine.pool.lease() is None
        ws.shutdown()
        decoder = None
        while decoder is None:  # the test's own deadline ends this
            decoder = engine.pool.lease()
            time.sleep(0.001)
        engine.pool.give_back(decoder)


def test_voice_activity_follows_the_noise_floor() -> None:
    """A hum that stays is background after a while, speech-like or not."""
    voice = VoiceActivity()
    hum = (3000 * np.sign(np.sin(np.arange(320) * 2 * np.pi * 150 / 16_000))).astype(np.int16)
    assert not any([voice.is_speech(hum) for _ in range(100)][50:])


def test_the_sample_is_a_plain_wav() -> None:
    """It can be sent as it is, and its reference says what is read."""
    with wave.open(io.BytesIO(SAMPLE.read_bytes())) as reader:
        assert 6 <= reader.getnframes() / reader.getframerate() <= 12
    assert REFERENCE.islower()
