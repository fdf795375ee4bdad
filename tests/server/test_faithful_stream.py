"""The checklist of a faithful server, line by line, on the wire: a stream, from its first byte to its close."""

import hashlib
import json
import logging
import socket
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import soxr  # type: ignore[import-untyped]
import websocket
from websockets.sync.client import connect as websockets_connect

from streamclient.server import Behaviour, LocalServer, Timeouts
from streamclient.server.engines.echo import EchoEngine, tones
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.server.pcm import RAW_ENCODINGS
from tests.server.test_audio import wav
from tests.support.encode import KINDS, encode
from tests.support.wire import CLOSE, RAW, converse, dial, read, send

SECOND = bytes(32_000)
SCRIPT = [("please", 0.3, 0.6), ("book", 0.7, 1.0), ("a", 1.05, 1.15), ("table", 1.2, 1.62), ("nine", 4.0, 4.4)]
FINALIZE = {"type": "Finalize"}
KEEP_ALIVE = {"type": "KeepAlive"}
FLAGS = ("false", "true")
TONE_WORDS = ["one", "two", "then", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SPOKEN_TONES = tones("one two\nthen three four five six seven eight nine ten", pause=1.0)
SPOKEN = RAW + "&interim_results=true&endpointing=300&utterance_end_ms=1000&vad_events=true"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that says the same words on every stream."""
    with LocalServer(ScriptedEngine(SCRIPT)) as server:
        yield server


@pytest.fixture(scope="module")
def hears() -> Iterator[LocalServer]:
    """A server that hears what is in the audio."""
    with LocalServer(EchoEngine()) as server:
        yield server


def written(samples: npt.NDArray[np.float32], encoding: str) -> bytes:
    """Samples between -1 and 1 as raw audio, written by FFmpeg."""
    codec = {"linear16": "pcm_s16le", "linear32": "pcm_f32le", "mulaw": "pcm_mulaw", "alaw": "pcm_alaw"}[encoding]
    encoder: Any = av.CodecContext.create(codec, "w")
    form = "flt" if encoding == "linear32" else "s16"
    plane = samples if form == "flt" else (samples * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(plane.reshape(1, -1), form, "mono")
    frame.sample_rate = encoder.sample_rate = 16_000
    encoder.layout, encoder.format, encoder.time_base = "mono", form, Fraction(1, 16_000)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def test_any_frame_boundary_will_do(server: LocalServer) -> None:
    """Halves of samples, and a header in pieces of one byte."""
    file = wav(SECOND * 2)
    whole = converse(server, RAW, [SECOND * 2, CLOSE])
    odd = converse(server, RAW, [*(bytes(3_333) for _ in range(19)), bytes(64_000 - 19 * 3_333), CLOSE])
    header = converse(server, "", [*(bytes([byte]) for byte in file[:60]), file[60:], CLOSE])
    assert whole.words() == odd.words() == header.words() == ["please", "book", "a", "table"]
    assert [h.of_type("Metadata")[0]["duration"] for h in (whole, odd, header)] == [2.0] * 3


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("encoding", RAW_ENCODINGS)
def test_every_raw_encoding_is_decoded(hears: LocalServer, encoding: str, rate: int) -> None:
    """By what the query says; the duration is that of the samples, and the words are those that were written."""
    samples = soxr.resample(SPOKEN_TONES.astype(np.float32) / 32768, 16_000, rate)
    heard = converse(hears, f"encoding={encoding}&sample_rate={rate}", [written(samples, encoding), CLOSE])
    assert heard.words() == TONE_WORDS
    assert heard.of_type("Metadata")[0]["duration"] == pytest.approx(len(samples) / rate, abs=1e-6)


@pytest.mark.parametrize("kind", [*sorted(KINDS.keys() - {"amr"}), "wav"])  # AMR is for voices, and keeps no tones
def test_every_container_is_decoded_while_it_arrives(hears: LocalServer, kind: str) -> None:
    """By what it begins with; the first words are final before the rest has been sent."""
    data = encode(kind, SPOKEN_TONES) if kind in KINDS else wav(SPOKEN_TONES.tobytes())
    ws = dial(hears, "")
    begun = len(data) * 2 // 3
    send(ws, *(data[start : start + 500] for start in range(0, begun, 500)))
    first = json.loads(ws.recv())
    assert [word["word"] for word in first["channel"]["alternatives"][0]["words"]] == TONE_WORDS[:2]
    send(ws, data[-(-begun // 500) * 500 :], CLOSE)
    assert read(ws).words() == TONE_WORDS[2:]


def test_the_clock_is_decoded_audio(server: LocalServer) -> None:
    """Interims about every second, from the end of the last final; finals tile the audio."""
    heard = converse(server, SPOKEN, [*[SECOND] * 6, CLOSE])
    finals = heard.finals()
    ends = [0.0, *(m["start"] + m["duration"] for m in finals)]
    assert [m["start"] for m in finals] == pytest.approx(ends[:-1], abs=1e-5)
    assert ends[-1] == heard.of_type("Metadata")[0]["duration"] == 6.0
    interims = [m for m in heard.of_type("Results") if not m["is_final"]]
    assert all(any(abs(m["start"] - end) < 1e-5 for end in ends) for m in interims)
    assert 3 <= len(interims) <= 6


def test_results_have_every_field(server: LocalServer) -> None:
    """Also for silence, which has no words and no confidence."""
    heard = converse(server, SPOKEN, [*[SECOND] * 9, CLOSE])
    fields = {
        "type", "channel_index", "start", "duration", "is_final", "speech_final", "from_finalize", "channel",
        "metadata",
    }  # fmt: skip
    assert all(m.keys() == fields for m in heard.of_type("Results"))
    assert all(m["metadata"].keys() == {"request_id", "model_info", "model_uuid"} for m in heard.of_type("Results"))
    alternatives = [m["channel"]["alternatives"][0] for m in heard.finals()]
    assert {"transcript": "", "confidence": 0.0, "words": []} in alternatives
    assert alternatives[0]["transcript"] == "please book a table"


def test_what_was_not_asked_for_is_not_sent(server: LocalServer) -> None:
    """``speech_final`` needs endpointing, the two events and interims their own options."""
    audio: list[Any] = [*[SECOND] * 6, CLOSE]
    plain = converse(server, RAW + "&endpointing=false", audio)
    assert not any(m["speech_final"] for m in plain.finals())
    assert {m["type"] for m in plain.messages} == {"Results", "Metadata"}
    assert all(m["is_final"] for m in plain.of_type("Results"))
    full = converse(server, SPOKEN, audio)
    assert full.finals()[0]["speech_final"]
    assert [m["timestamp"] for m in full.of_type("SpeechStarted")] == pytest.approx([0.3, 4.0], abs=0.021)
    assert [m["last_word_end"] for m in full.of_type("UtteranceEnd")] == [1.62, 4.4]


def test_an_utterance_end_may_say_that_it_is_late() -> None:
    """``last_word_end: -1``, as the service says when the words had become final before."""
    with LocalServer(ScriptedEngine(SCRIPT), behaviour=Behaviour(late_utterance_end=True)) as server:
        heard = converse(server, SPOKEN, [*[SECOND] * 6, CLOSE])
    assert [m["last_word_end"] for m in heard.of_type("UtteranceEnd")] == [-1, -1]


def test_channels_are_separate_or_one() -> None:
    """``[i, n]`` everywhere with ``multichannel``; without, channels are mixed into one."""
    left, right = tones("left only"), tones("and right")
    length = max(len(left), len(right))
    stereo = np.stack([np.pad(side, (0, length - len(side))) for side in (left, right)], axis=1).tobytes()
    with LocalServer(EchoEngine()) as server:
        query = RAW + "&channels=2&multichannel=true&vad_events=true&interim_results=true&utterance_end_ms=1000"
        heard = converse(server, query, [stereo, bytes(128_000), CLOSE])
        mixed = converse(server, RAW + "&channels=2", [np.repeat(left, 2).tobytes(), CLOSE])
    assert (heard.words(0), heard.words(1)) == (["left", "only"], ["and", "right"])
    for kind in ("SpeechStarted", "UtteranceEnd"):
        assert sorted(m["channel"] for m in heard.of_type(kind)) == [[0, 2], [1, 2]]
    assert heard.of_type("Metadata")[0]["channels"] == 2
    assert {tuple(m["channel_index"]) for m in mixed.of_type("Results")} == {(0, 1)}
    assert mixed.words() == ["left", "only"]


def test_keep_alive_is_not_answered_and_moves_no_clock(server: LocalServer) -> None:
    """As a text; as a binary frame it is taken for audio."""
    heard = converse(server, RAW, [KEEP_ALIVE, SECOND, KEEP_ALIVE, KEEP_ALIVE, SECOND, CLOSE])
    assert heard.of_type("Metadata")[0]["duration"] == 2.0
    assert {m["type"] for m in heard.messages} == {"Results", "Metadata"}
    binary = json.dumps({**KEEP_ALIVE, "x": ""}).encode()
    assert converse(server, RAW, [binary, CLOSE]).of_type("Metadata")[0]["duration"] == pytest.approx(
        15 / 16_000, abs=1e-6
    )


def test_keep_alive_resets_the_timer() -> None:
    """The ten seconds, which are three here, count from the last of them."""
    with LocalServer(ScriptedEngine(SCRIPT), timeouts=Timeouts(inactivity=3.0)) as server:
        ws = dial(server)
        ws.settimeout(0.5)
        with pytest.raises(websocket.WebSocketTimeoutException):
            ws.recv()
        ws.settimeout(60)
        sent = time.monotonic()
        send(ws, KEEP_ALIVE)
        assert read(ws).code == 1011
        assert time.monotonic() - sent > 2.9


def test_finalize_flushes_or_says_nothing(server: LocalServer) -> None:
    """With ``from_finalize``; without an answer where nothing is buffered; the stream goes on."""
    heard = converse(server, RAW, [FINALIZE, SECOND[:28_160], FINALIZE, FINALIZE, SECOND, CLOSE])
    first, second = heard.finals()
    assert (first["from_finalize"], first["speech_final"], first["duration"]) == (True, False, 0.88)
    assert (second["from_finalize"], heard.words()) == (False, ["please", "book", "a", "table"])


def test_finalize_of_a_channel_flushes_that_one(server: LocalServer) -> None:
    """The other one goes on as it was."""
    query = RAW + "&channels=2&multichannel=true"
    heard = converse(server, query, [SECOND, SECOND, {**FINALIZE, "channel": 1}, CLOSE])
    flushed = [m["channel_index"] for m in heard.of_type("Results") if m["from_finalize"]]
    assert flushed == [[1, 2]]


@pytest.mark.parametrize("end", [CLOSE, b""], ids=["CloseStream", "the legacy empty frame"])
def test_the_end_of_a_stream(server: LocalServer, end: Any) -> None:
    """The remaining finals, one whole ``Metadata``, code 1000 without a reason; later input is ignored."""
    before = seconds_now()
    heard = converse(server, RAW, [SECOND, SECOND, end, SECOND, FINALIZE])
    metadata = heard.messages[-1]
    assert [m["type"] for m in heard.messages] == ["Results"] * (len(heard.messages) - 1) + ["Metadata"]
    assert heard.words() == ["please", "book", "a", "table"]
    assert (heard.code, heard.reason) == (1000, "")
    assert metadata["transaction_key"] == "deprecated"
    assert (metadata["duration"], metadata["channels"]) == (2.0, 1)
    assert metadata["sha256"] == hashlib.sha256(SECOND * 2).hexdigest()
    assert list(metadata["model_info"]) == metadata["models"]
    assert before <= metadata["created"][:19] <= seconds_now()


def seconds_now() -> str:
    """The time in UTC as the service writes it, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


def test_pings_are_answered_throughout(server: LocalServer) -> None:
    """While a minute of audio waits for recognition, and after CloseStream."""
    with websockets_connect(
        f"{server.url}/v1/listen?{RAW}", compression=None, ping_interval=0.05, ping_timeout=30
    ) as ws:
        for _ in range(60):
            ws.send(SECOND)
        ws.send(json.dumps(CLOSE))
        assert json.loads(list(ws)[-1])["duration"] == 60.0


def test_a_stream_without_audio_says_so(server: LocalServer) -> None:
    """Duration 0, no channels, and the digest of nothing."""
    heard = converse(server, RAW, [CLOSE])
    (metadata,) = heard.messages
    assert (metadata["duration"], metadata["channels"], heard.code) == (0.0, 0, 1000)
    assert metadata["sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert "models" not in metadata


def test_configure_changes_keyterms_and_features() -> None:
    """One ``ConfigureSuccess`` with the new keyterms; ``numerals`` holds for what comes after it."""
    with LocalServer(ScriptedEngine(SCRIPT)) as server:
        on = {"type": "Configure", "keyterms": ["Zyrtec"], "features": {"numerals": True}}
        heard = converse(server, RAW + "&model=nova-3", [SECOND, on, *[SECOND] * 5, CLOSE])
    (success,) = heard.of_type("ConfigureSuccess")
    assert success["keyterms"] == ["Zyrtec"]
    assert heard.words() == ["please", "book", "a", "table", "9"]


def test_configure_can_fail() -> None:
    """Keyterms for another model, or too many of them: ``ConfigureFailure``, and the stream goes on."""
    some, many = ({"type": "Configure", "keyterms": ["word"] * count} for count in (1, 501))
    with LocalServer(ScriptedEngine(SCRIPT)) as server:
        old = converse(server, RAW + "&model=nova-2", [some, SECOND, CLOSE])
        new = converse(server, RAW + "&model=nova-3", [many, SECOND, CLOSE])
    assert old.of_type("ConfigureFailure")[0]["code"] == "KeytermsNotSupported"
    assert "500" in new.of_type("ConfigureFailure")[0]["description"]
    assert old.words() == new.words() == ["please", "book"]


def test_configure_may_stay_unanswered() -> None:
    """Before October 2026 success was silent, and failure an ``Error``."""
    configure = {"type": "Configure", "keyterms": ["word"]}
    with LocalServer(ScriptedEngine(SCRIPT), behaviour=Behaviour(acknowledges_configure=False)) as server:
        silent = converse(server, RAW + "&model=nova-3", [configure, CLOSE])
        failed = converse(server, RAW + "&model=nova-2", [configure, CLOSE])
    assert [m["type"] for m in silent.messages] == ["Metadata"]
    (error,) = failed.of_type("Error")
    assert (error["variant"], error["code"]) == ("InvalidConfigureMessage", "KeytermsNotSupported")


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"type": "ForceEndTurn"}', '{"type": "Configure", "thresholds": {}}']
)
def test_a_text_that_is_not_known_is_echoed(server: LocalServer, text: str) -> None:
    """In an ``Error`` of variant SchemaError; the stream goes on."""
    heard = converse(server, RAW, [text, SECOND, CLOSE])
    (error,) = heard.of_type("Error")
    assert (error["variant"], error["message"]) == ("SchemaError", text)
    assert (heard.words(), heard.code) == (["please", "book"], 1000)


def test_ten_seconds_of_nothing_end_a_stream() -> None:
    """Code 1011 and the sentence with net0001; pings are nothing, KeepAlives are something."""
    with LocalServer(ScriptedEngine(SCRIPT), timeouts=Timeouts(inactivity=0.2)) as server:
        begin = time.monotonic()
        ws = dial(server)
        ws.ping()
        heard = read(ws)
    assert heard.code == 1011
    assert heard.reason.startswith("Deepgram did not receive audio data or a text message within the timeout window.")
    assert "net0001" in heard.reason
    assert 0.15 < time.monotonic() - begin < 10


def test_thirty_seconds_without_a_result_end_a_stream() -> None:
    """Code 1011 and net0000 for a stream that was only kept alive; one that had a result stays."""
    with LocalServer(ScriptedEngine(SCRIPT), timeouts=Timeouts(inactivity=30, no_response=3.0)) as server:
        kept, spoken = dial(server), dial(server)
        send(kept, KEEP_ALIVE)
        send(spoken, *[SECOND] * 3)
        heard = read(kept)
        send(spoken, KEEP_ALIVE, CLOSE)
        assert read(spoken).code == 1000
    assert (heard.code, heard.messages) == (1011, [])
    assert heard.reason.startswith("Deepgram did not provide a response message within the timeout window.")
    assert "net0000" in heard.reason


@pytest.mark.parametrize("audio", [bytes(64), b"this is no audio", b"\x1a\x45\xdf\xa3" + b"\xff" * 3_000])
def test_what_is_no_audio_is_refused(server: LocalServer, audio: bytes) -> None:
    """Code 1008 with DATA-0000; or, as it was also seen, an empty ``Metadata`` and 1000."""
    heard = converse(server, "", [audio])
    assert (heard.messages, heard.code, heard.reason) == ([], 1008, "DATA-0000")
    with LocalServer(ScriptedEngine(SCRIPT), behaviour=Behaviour(undecodable="metadata")) as other:
        heard = converse(other, "", [audio])
    (metadata,) = heard.messages
    assert (metadata["duration"], metadata["channels"], heard.code) == (0.0, 0, 1000)
    assert metadata["sha256"] == hashlib.sha256(audio).hexdigest()


def test_a_wav_file_ends_where_it_says(server: LocalServer) -> None:
    """Without CloseStream, a moment after its declared end; a second file adds nothing."""
    with LocalServer(ScriptedEngine(SCRIPT), timeouts=Timeouts(container_end=0.05)) as server:
        heard = converse(server, "", [wav(SECOND * 2), wav(SECOND * 2)])
    assert (heard.code, heard.of_type("Metadata")[0]["duration"]) == (1000, 2.0)
    assert heard.words() == ["please", "book", "a", "table"]


def test_a_client_that_is_too_fast_is_slowed_down_and_never_closed() -> None:
    """The server does not read its socket, and every word comes."""
    with LocalServer(ScriptedEngine(SCRIPT), behaviour=Behaviour(throttle=20)) as server:
        begin = time.monotonic()
        heard = converse(server, RAW, [SECOND[:8_000]] * 24 + [CLOSE])
        taken = time.monotonic() - begin
    assert (heard.code, heard.words()) == (1000, ["please", "book", "a", "table", "nine"])
    assert taken >= 6 / 20 - 0.05


def test_a_client_that_is_too_fast_is_not_read() -> None:
    """What is sent beyond the pace stays in the buffers of the network, and then with the client."""
    with LocalServer(ScriptedEngine(SCRIPT), behaviour=Behaviour(throttle=1.25)) as server:
        ws = dial(server, sockopt=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)])
        ws.settimeout(0.5)
        sent = 0
        with pytest.raises(websocket.WebSocketTimeoutException):
            while sent < 100_000_000:
                sent += ws.send_binary(SECOND)
        ws.shutdown()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("", ["please", "book", "a", "table", "nine"]),
        ("replace=table:desk&replace=a", ["please", "book", "desk", "nine"]),
        ("numerals=true", ["please", "book", "a", "table", "9"]),
        ("smart_format=true", ["please", "book", "a", "table", "9"]),
    ],
)
def test_words_are_written_as_asked_for(server: LocalServer, asked: str, words: list[str]) -> None:
    """Replaced, left out, as numbers; each option for itself."""
    assert converse(server, f"{RAW}&{asked}", [*[SECOND] * 6, CLOSE]).words() == words


def test_terms_are_searched_for(server: LocalServer) -> None:
    """Each has a place in every result, with what was found."""
    heard = converse(server, RAW + "&search=table&search=chair", [SECOND, SECOND, CLOSE])
    table, chair = heard.finals()[0]["channel"]["search"]
    assert (table["query"], table["hits"][0]["start"], table["hits"][0]["snippet"]) == ("table", 1.2, "table")
    assert chair == {"query": "chair", "hits": []}


def test_punctuate_adds_what_the_engine_has(hears: LocalServer) -> None:
    """``punctuated_word``, and a transcript made of them; only when asked for."""
    audio = tones("Please, book.").tobytes()
    plain, asked = (converse(hears, f"{RAW}&punctuate={value}", [audio, CLOSE]).finals()[0] for value in FLAGS)
    assert asked["channel"]["alternatives"][0]["transcript"] == "Please, book."
    assert [word["punctuated_word"] for word in asked["channel"]["alternatives"][0]["words"]] == ["Please,", "book."]
    assert plain["channel"]["alternatives"][0]["transcript"] == "please book"
    assert "punctuated_word" not in plain["channel"]["alternatives"][0]["words"][0]


def test_what_cannot_be_done_is_left_out_and_said(server: LocalServer, caplog: pytest.LogCaptureFixture) -> None:
    """No speakers, no entities and no boosted words are made up; one line of the log names what was asked in vain."""
    asked = "model=nova-2&diarize=true&detect_entities=true&redact=pci&keywords=table:2&dictation=true"
    with caplog.at_level(logging.INFO, "streamclient.server"):
        heard = converse(server, f"{RAW}&{asked}", [SECOND, SECOND, CLOSE])
    assert not any("speaker" in word for m in heard.finals() for word in m["channel"]["alternatives"][0]["words"])
    assert not any("entities" in m for m in heard.finals())
    said = [line.rpartition(": ")[2].split(", ") for line in caplog.messages if "without effect" in line]
    assert sorted(name for names in said for name in names) == [
        "detect_entities", "diarize", "dictation", "keyterm", "punctuate", "redact",
    ]  # fmt: skip


def test_extra_is_echoed_and_tags_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """In every result and in the summary; the last value of a name holds."""
    with caplog.at_level(logging.INFO, "streamclient.server"), LocalServer(ScriptedEngine(SCRIPT)) as server:
        heard = converse(server, RAW + "&extra=till:3&extra=till:4&tag=shop", [SECOND, CLOSE])
    extras = [m["metadata"]["extra"] for m in heard.of_type("Results")] + [heard.of_type("Metadata")[0]["extra"]]
    assert extras == [{"till": "4"}] * len(extras)
    assert any("tagged 'shop'" in line for line in caplog.messages)


def test_the_librarys_own_ping_timeout_is_off(server: LocalServer) -> None:
    """A client that never answers a ping is never sent one either."""
    ws = dial(server)
    send(ws, SECOND)
    ws.settimeout(0.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        while True:
            assert ws.recv_data_frame(control_frame=True)[0] != websocket.ABNF.OPCODE_PING
    ws.shutdown()
