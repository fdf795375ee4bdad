"""One connection's decisions, with numbers for the time and a script for the speech."""

import hashlib
import io
import json
import wave
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclient.server.engines.scripted import ScriptedEngine, ScriptedRecogniser
from streamclient.server.protocol import Close, ListenProtocol, Output
from streamclient.server.query import parse_request
from streamclient.server.settings import Behaviour, Timeouts
from streamclient.testing.schema import check_message

SECOND = bytes(32_000)
SCRIPT = [("one", 0.5, 0.9), ("two", 1.0, 1.4), ("three", 3.0, 3.5)]
REQUEST_ID = "0b6c7c3e-50c9-4d0e-9d0f-5a2a6a6f5a11"
RAW = "encoding=linear16&sample_rate=16000"


def connect(query: str = "", script: Any = SCRIPT, timeouts: Timeouts | None = None) -> ListenProtocol:
    """A connection opened at time 0 that is sent raw audio."""
    request = parse_request(f"/v1/listen?{RAW}&{query}")
    return ListenProtocol(request, ScriptedEngine(script), REQUEST_ID, 0.0, timeouts)


def send(protocol: ListenProtocol, *frames: bytes | str | dict[str, Any], now: float = 0.0) -> list[Output]:
    """Everything that comes out when these frames go in."""
    outputs: list[Output] = []
    for frame in frames:
        if isinstance(frame, bytes):
            outputs += protocol.receive_audio(frame, now)
        else:
            outputs += protocol.receive_text(frame if isinstance(frame, str) else json.dumps(frame), now)
    for output in outputs:
        if not isinstance(output, Close):
            check_message(output)
    return outputs


CLOSE = {"type": "CloseStream"}
FINALIZE = {"type": "Finalize"}


def of_type(outputs: list[Output], kind: str) -> list[dict[str, Any]]:
    """The messages of one type."""
    return [message for message in outputs if not isinstance(message, Close) and message["type"] == kind]


def finals(outputs: list[Output], channel: int = 0) -> list[dict[str, Any]]:
    """The final results of one channel."""
    return [m for m in of_type(outputs, "Results") if m["is_final"] and m["channel_index"][0] == channel]


def words(results: list[dict[str, Any]]) -> list[str]:
    """The words in them."""
    return [word["word"] for result in results for word in result["channel"]["alternatives"][0]["words"]]


def test_a_stream_ends_with_metadata_and_1000() -> None:
    """After CloseStream: the remaining finals, one Metadata, code 1000 with an empty reason, and nothing more."""
    protocol = connect()
    outputs = send(protocol, SECOND, SECOND, CLOSE)
    *results, metadata, close = outputs
    assert isinstance(metadata, dict)
    assert words(finals(results)) == ["one", "two"]
    assert close == Close(1000, "")
    assert metadata["duration"] == 2.0
    assert metadata["channels"] == 1
    assert metadata["sha256"] == hashlib.sha256(SECOND * 2).hexdigest()
    assert metadata["transaction_key"] == "deprecated"
    assert metadata["request_id"] == REQUEST_ID
    assert list(metadata["model_info"]) == metadata["models"]
    assert metadata["created"].endswith("Z")
    assert send(protocol, SECOND, CLOSE) == []


def test_an_empty_binary_frame_ends_a_stream_too() -> None:
    """The deprecated end means the same as CloseStream."""
    first, second = connect(), connect()
    outputs = [send(first, SECOND, CLOSE), send(second, SECOND, b"")]
    for message in (outputs[0][-2], outputs[1][-2]):
        assert isinstance(message, dict)
        del message["created"]
    assert outputs[0] == outputs[1]


def test_without_audio_metadata_says_so() -> None:
    """Duration 0, channels 0 and the digest of nothing."""
    metadata, close = send(connect(), CLOSE)
    assert isinstance(metadata, dict)
    assert (metadata["duration"], metadata["channels"]) == (0.0, 0)
    assert metadata["sha256"] == hashlib.sha256().hexdigest()
    assert close == Close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30_000), max_size=20),
    st.sampled_from(
        ["", "interim_results=true", "endpointing=false", "endpointing=2000", "channels=2&multichannel=true"]
    ),
    st.lists(st.integers(0, 20), max_size=3),
)
def test_finals_tile_the_audio(sizes: list[int], query: str, flushes: list[int]) -> None:
    """Each final begins where the last one ended, they add up to the duration, and words lie inside them, once."""
    protocol, audio, outputs = connect(query), SECOND * 9, list[Output]()
    for index, size in enumerate([*sizes, len(audio)]):
        outputs += send(protocol, *([FINALIZE] if index in flushes else []), audio[:size] or b"\0")
        audio = audio[size:]
    outputs += send(protocol, CLOSE)
    duration = of_type(outputs, "Metadata")[0]["duration"]
    for channel in range(len(protocol.channels)):
        position = 0.0
        for result in finals(outputs, channel):
            assert result["start"] == pytest.approx(position, abs=2e-6)
            position = result["start"] + result["duration"]
            for word in result["channel"]["alternatives"][0]["words"]:
                assert result["start"] <= word["start"] <= word["end"] <= position + 2e-6
        assert position == pytest.approx(duration, abs=1e-5)
        assert words(finals(outputs, channel)) == ["one", "two", "three"][: 3 if duration >= 3.5 else 2]


def test_interim_results_grow_from_the_last_final() -> None:
    """About one interim a second, each from the end of the last final to now; none unless asked for."""
    outputs = send(connect("interim_results=true"), *[SECOND] * 3, CLOSE)
    interims = [m for m in of_type(outputs, "Results") if not m["is_final"]]
    assert [(m["start"], m["duration"], words([m])) for m in interims][:1] == [(0.0, 1.0, ["one"])]
    ends = [m["start"] + m["duration"] for m in finals(outputs)]
    assert all(m["start"] in [0.0, *ends] for m in interims)
    assert all(m["is_final"] for m in of_type(send(connect(), *[SECOND] * 3, CLOSE), "Results"))


def test_a_pause_makes_speech_final() -> None:
    """With endpointing the final at a pause is ``speech_final``; without, words become final all the same."""
    with_it = send(connect("endpointing=500"), SECOND * 6, CLOSE)
    assert [(words([m]), m["speech_final"]) for m in finals(with_it)][:2] == [(["one", "two"], True), (["three"], True)]
    assert finals(with_it)[0]["duration"] == pytest.approx(1.9)
    without = send(connect("endpointing=false"), SECOND * 6, CLOSE)
    assert words(finals(without)) == ["one", "two", "three"]
    assert not any(m["speech_final"] for m in finals(without))


def test_a_long_endpointing_ends_speech_after_the_words_are_final() -> None:
    """Words are not held back for 1.5 s; an empty final says when the speech was over."""
    results = finals(send(connect("endpointing=1500"), SECOND * 6, CLOSE))
    assert [(words([m]), m["speech_final"]) for m in results[:2]] == [(["one", "two"], False), ([], True)]


def test_long_speech_is_cut() -> None:
    """Speech without a pause is final after 20 s, and after 12 s at the next short pause."""
    endless = [(f"w{n}", n * 0.5, n * 0.5 + 0.5) for n in range(60)]
    results = finals(send(connect(script=endless), SECOND * 30, CLOSE))
    assert [round(m["duration"]) for m in results] == [20, 10]
    assert len(words(results)) == 60
    paused = [(f"w{n}", n * 0.5, n * 0.5 + 0.35) for n in range(40)]
    assert finals(send(connect(script=paused), SECOND * 20, CLOSE))[0]["duration"] == pytest.approx(12, abs=0.6)


def test_silence_is_reported() -> None:
    """Empty finals with confidence 0 about every five seconds."""
    results = finals(send(connect(script=[]), SECOND * 11, CLOSE))
    assert [m["channel"]["alternatives"][0] for m in results] == [
        {"transcript": "", "confidence": 0.0, "words": []}
    ] * 3
    assert results[0]["duration"] == pytest.approx(5, abs=0.6)


def test_speech_started_only_when_asked_for() -> None:
    """One for each time somebody begins to speak."""
    outputs = send(connect("vad_events=true"), SECOND * 6)
    assert [(m["channel"], m["timestamp"]) for m in of_type(outputs, "SpeechStarted")] == [([0, 1], 0.5), ([0, 1], 3.0)]
    assert of_type(send(connect(), SECOND * 6), "SpeechStarted") == []


def test_utterance_end_follows_the_last_word() -> None:
    """Once per gap, with the end of the word before it, and after the final that has the word."""
    outputs = send(connect("interim_results=true&utterance_end_ms=1000"), SECOND * 6)
    assert [m["last_word_end"] for m in of_type(outputs, "UtteranceEnd")] == [1.4, 3.5]
    first = outputs.index(of_type(outputs, "UtteranceEnd")[0])
    assert words(finals(outputs[:first])) == ["one", "two"]


def test_speech_whose_words_are_not_known_yet_is_no_gap() -> None:
    """Somebody goes on after 0.7 s, and the recogniser needs its time: the gap was shorter than was asked for."""
    spoken = [("one", 0.5, 0.9), ("slowly", 1.6, 2.9)]
    outputs = send(connect("interim_results=true&utterance_end_ms=1000", spoken), SECOND * 6)
    assert [m["last_word_end"] for m in of_type(outputs, "UtteranceEnd")] == [2.9]


def test_noise_is_a_gap() -> None:
    """What never becomes a word does not hold UtteranceEnd up for long."""
    noise = [("one", 0.5, 0.9), ("rrrr", 1.6, 60.0)]
    outputs = send(connect("interim_results=true&utterance_end_ms=1000", noise), SECOND * 6)
    assert [m["last_word_end"] for m in of_type(outputs, "UtteranceEnd")] == [0.9]


def test_the_log_tells_bytes_that_became_no_audio() -> None:
    """A container that was sent in part ends like silence; here is where they differ."""
    protocol = connect()
    send(protocol, SECOND)
    assert protocol.summary == "1.00 s of audio"
    request = parse_request("/v1/listen")
    protocol = ListenProtocol(request, ScriptedEngine(), REQUEST_ID, 0.0)
    send(protocol, b"RIFF", CLOSE)
    assert protocol.summary == "0.00 s of audio in 4 bytes"


def test_finalize_flushes_and_the_stream_goes_on() -> None:
    """What is buffered comes back at once with ``from_finalize``; with nothing buffered there is no answer."""
    protocol = connect()
    (flushed,) = send(protocol, SECOND, FINALIZE)
    assert isinstance(flushed, dict)
    assert (flushed["from_finalize"], flushed["is_final"], words([flushed])) == (True, True, ["one"])
    assert send(protocol, FINALIZE) == []
    assert words(finals(send(protocol, SECOND, CLOSE))) == ["two"]


def test_finalize_of_one_channel() -> None:
    """Only that channel is flushed; a channel that does not exist is a schema error."""
    protocol = connect("channels=2&multichannel=true")
    outputs = send(protocol, SECOND, SECOND, {"type": "Finalize", "channel": 1})
    assert [m["channel_index"] for m in of_type(outputs, "Results") if m["from_finalize"]] == [[1, 2]]
    assert of_type(send(protocol, {"type": "Finalize", "channel": 2}), "Error")


def test_channels_are_streams_of_their_own() -> None:
    """With multichannel each channel has all its results; without, they are mixed down."""
    outputs = send(connect("channels=2&multichannel=true"), SECOND * 4, CLOSE)
    assert words(finals(outputs, 0)) == words(finals(outputs, 1)) == ["one", "two"]
    assert of_type(outputs, "Metadata")[0]["channels"] == 2
    mixed = send(connect("channels=2"), SECOND * 4, CLOSE)
    assert {tuple(m["channel_index"]) for m in of_type(mixed, "Results")} == {(0, 1)}
    assert of_type(mixed, "Metadata")[0]["duration"] == 2.0


def test_punctuation_adds_a_field() -> None:
    """``punctuated_word`` is there when asked for, and the extra pairs are echoed."""
    outputs = send(connect("punctuate=true&extra=a:b"), SECOND, CLOSE)
    (word,) = finals(outputs)[0]["channel"]["alternatives"][0]["words"]
    assert word == {"word": "one", "start": 0.5, "end": 0.9, "confidence": 0.99, "punctuated_word": "one"}
    assert finals(outputs)[0]["metadata"]["extra"] == of_type(outputs, "Metadata")[0]["extra"] == {"a": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"type":1}',
        '{"type":"ForceEndTurn"}',
        '{"type":"Configure","thresholds":{}}',
        "[" * 9999,
    ],
)
def test_unknown_text_is_answered_and_the_stream_goes_on(text: str) -> None:
    """An ``Error`` of variant SchemaError echoes the text."""
    protocol = connect()
    (error,) = send(protocol, text)
    assert isinstance(error, dict)
    assert (error["type"], error["variant"], error["message"]) == ("Error", "SchemaError", text)
    assert words(finals(send(protocol, SECOND, CLOSE))) == ["one"]


def test_configure_is_acknowledged() -> None:
    """With the keyterms that were given."""
    assert send(
        connect("model=nova-3"), {"type": "Configure", "keyterms": ["Zyrtec"], "features": {"numerals": True}}
    ) == [{"type": "ConfigureSuccess", "request_id": REQUEST_ID, "keyterms": ["Zyrtec"]}]


def test_a_client_that_says_nothing_is_closed() -> None:
    """Ten seconds after the last message, whatever it was: 1011 and the sentence with net0001."""
    protocol = connect()
    send(protocol, {"type": "KeepAlive"}, now=8.0)
    assert list(protocol.tick(17.9)) == []
    (close,) = protocol.tick(protocol.deadline)
    assert protocol.deadline == 18.0
    assert isinstance(close, Close)
    assert close.code == 1011
    assert "net0001" in close.reason


def test_the_time_of_a_slow_recogniser_is_no_silence_of_the_client() -> None:
    """The ten seconds begin when the last message has been dealt with."""
    protocol = connect()
    send(protocol, SECOND, FINALIZE, now=1.0)
    protocol.catch_up(25.0)
    assert list(protocol.tick(34.9)) == []
    assert protocol.deadline == 35.0


def test_keep_alive_alone_does_not_keep_a_new_stream() -> None:
    """Thirty seconds without a result: 1011 and net0000; after one result KeepAlives hold it for ever."""
    protocol, spoken = connect(), connect()
    send(spoken, SECOND * 6)
    for now in range(0, 60, 5):
        send(protocol, {"type": "KeepAlive"}, now=now)
        send(spoken, {"type": "KeepAlive"}, now=now)
        assert list(spoken.tick(now + 4)) == []
        if closing := list(protocol.tick(now)):
            break
    assert now == 30
    assert isinstance(closing[0], Close)
    assert (closing[0].code, "net0000" in closing[0].reason) == (1011, True)


def test_undecodable_audio_is_1008() -> None:
    """Bytes of no container, without an encoding."""
    protocol = ListenProtocol(parse_request("/v1/listen"), ScriptedEngine(), REQUEST_ID, 0.0)
    assert send(protocol, b"this is not audio") == [Close(1008, "DATA-0000")]


def test_a_complete_wav_ends_the_stream() -> None:
    """At its declared end, after a moment for the client to say so itself."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(SECOND * 2)
    protocol = ListenProtocol(parse_request("/v1/listen"), ScriptedEngine(SCRIPT), REQUEST_ID, 0.0)
    outputs = send(protocol, file.getvalue(), b"more", now=5.0)
    assert of_type(outputs, "Metadata") == []
    assert protocol.deadline == 6.0
    outputs += protocol.tick(6.0)
    assert words(finals(outputs)) == ["one", "two"]
    assert outputs[-1] == Close(1000)


def test_what_has_no_effect_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """In the log, by name; what has an effect, or was not asked for, is not among it."""
    with caplog.at_level("INFO", "streamclient.server"):
        send(connect("diarize=true&redact=pci&punctuate=true&numerals=true&dictation=false&keyterm=x"), SECOND, SECOND)
        send(connect(), SECOND)
    lines = [line for line in caplog.messages if "without effect" in line]
    assert [line.rpartition(": ")[2] for line in lines] == ["keyterm", "diarize, redact, punctuate"]
    assert all(REQUEST_ID in line and "scripted" in line for line in lines)


def test_words_of_several_languages_say_which() -> None:
    """With ``language=multi``: each word, and the alternative as a whole, the most frequent first."""

    class Polyglot(ScriptedEngine):
        """Tells the languages of its words apart."""

        def recogniser(self, language: str) -> Any:
            """The script, every second word in French."""
            recogniser = super().recogniser(language)
            assert isinstance(recogniser, ScriptedRecogniser)
            tongues = ["en", "fr", "en"]
            recogniser.pending = [
                attrs.evolve(word, language=tongue) for word, tongue in zip(recogniser.pending, tongues, strict=True)
            ]
            return recogniser

    request = parse_request(f"/v1/listen?{RAW}&language=multi&endpointing=false")
    protocol = ListenProtocol(request, Polyglot(SCRIPT), REQUEST_ID, 0.0)
    first, second = finals(send(protocol, SECOND * 4, CLOSE))[:2]
    assert [w.get("language") for w in first["channel"]["alternatives"][0]["words"]] == ["en", "fr"]
    assert first["channel"]["alternatives"][0]["languages"] == ["en", "fr"]
    assert second["channel"]["alternatives"][0]["languages"] == ["en"]
    assert "languages" not in finals(send(connect(), SECOND, CLOSE))[0]["channel"]["alternatives"][0]


def test_searched_and_replaced_words_are_on_the_wire() -> None:
    """``channel.search`` has a place for each term, in interims and finals; replaced words are the words."""
    outputs = send(connect("search=two&search=nine&replace=one:1st&interim_results=true"), SECOND * 4, CLOSE)
    first = finals(outputs)[0]
    assert words([first]) == ["1st", "two"]
    assert first["channel"]["alternatives"][0]["transcript"] == "1st two"
    found, missing = first["channel"]["search"]
    assert (found["query"], found["hits"][0]["start"], missing) == ("two", 1.0, {"query": "nine", "hits": []})
    assert all("search" in m["channel"] for m in of_type(outputs, "Results"))


def test_a_held_back_client_is_told_when_to_go_on() -> None:
    """Each frame takes its time at the pace that is allowed; a pause saves nothing up."""
    request = parse_request(f"/v1/listen?{RAW}")
    protocol = ListenProtocol(request, ScriptedEngine(SCRIPT), REQUEST_ID, 0.0, behaviour=Behaviour(throttle=1.25))
    send(protocol, SECOND, now=0.0)
    assert protocol.paused_until == pytest.approx(0.8)
    send(protocol, SECOND, now=0.1)
    assert protocol.paused_until == pytest.approx(1.6)
    send(protocol, SECOND, now=60.0)
    assert protocol.paused_until == pytest.approx(60.8)
    free = connect()
    send(free, SECOND, now=5.0)
    assert free.paused_until <= 5.0


def test_the_log_names_the_tags() -> None:
    """So that a stream can be found again by what its owner called it."""
    protocol = connect("tag=shop&tag=till%203")
    send(protocol, SECOND)
    assert protocol.summary == "1.00 s of audio, tagged 'shop', 'till 3'"
