"""The scripted server: what it was told to say is what is heard, whatever the audio."""

import os
from pathlib import Path

import attrs
import pytest

from streamclient import ListenOptions, StreamClient, Transcript, transcribe
from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.testing import Alter, DeepgramServer, Reset, Say, silence, spoken, tone, wav
from tests.support.clients import CLOSE_STREAM, SPEECH, TEXT, dial
from tests.support.program import IMPORTS, run

OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000)


def heard_in(audio: bytes, server: DeepgramServer, options: ListenOptions | None = OPTIONS) -> Transcript:
    """What the server makes of this audio."""
    return transcribe(audio, options, url=server.url)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 7.0])
def test_a_text_fills_the_audio_there_is(seconds: float) -> None:
    """A text without times is heard whole in any audio, however short, spread over it."""
    with DeepgramServer() as server:
        server.say("one two three")
        server.say("four")
        transcript = heard_in(silence(seconds), server)
    assert transcript.text == "one two three four"
    assert transcript.words[-1].start == pytest.approx(seconds * 3 / 4, abs=0.02)
    assert transcript.words[-1].end <= seconds


def test_words_come_at_their_times() -> None:
    """Words with times are exact; a text from a start on has a usual pace."""
    with DeepgramServer() as server:
        server.say([("good", 0.2, 0.5), ("morning", 0.6, 1.1)])
        server.say("all is well", start=2.0)
        transcript = heard_in(silence(4.0), server)
    assert [(word.word, word.start) for word in transcript.words][:3] == [("good", 0.2), ("morning", 0.6), ("all", 2.0)]
    assert [utterance.text for utterance in transcript.utterances] == ["good morning", "all is well"]


def test_a_script_can_be_forgotten() -> None:
    """The next stream hears what was said last; without a script only spoken audio has words."""
    with DeepgramServer() as server:
        server.say("one")
        assert heard_in(tone(1.0), server).text == "one"
        server.forget()
        server.say("two", start=0.1, end=0.4)
        assert heard_in(tone(1.0), server).text == "two"
        server.forget()
        assert heard_in(tone(1.0), server).text == ""


def test_parts_with_and_without_times_do_not_mix() -> None:
    """That would have no meaning, and is said at once; so are words out of order."""
    with DeepgramServer() as server:
        server.say("one")
        with pytest.raises(ValueError, match="either"):
            server.say("two", start=1.0)
        server.forget()
        with pytest.raises(ValueError, match="follow"):
            server.say([("late", 2.0, 2.5), ("early", 1.0, 1.5)])


@pytest.mark.parametrize("container", [False, True])
def test_spoken_audio_is_heard_to_the_letter(container: bool) -> None:
    """Speech of the kit carries its words itself, in any script."""
    audio = spoken("Hello, aardvark!", "naïve œuvre 日本")
    with DeepgramServer() as server:
        transcript = heard_in(wav(audio), server, None) if container else heard_in(audio, server)
    assert [utterance.text for utterance in transcript.utterances] == ["hello aardvark", "naïve œuvre 日本"]


def test_two_channels_are_heard_apart() -> None:
    """Interleaved audio with multichannel is two conversations."""
    left, right = spoken("left side"), spoken("right here")
    size = max(len(left), len(right))
    left, right = left.ljust(size, b"\0"), right.ljust(size, b"\0")
    both = b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, size, 2))
    with DeepgramServer() as server:
        transcript = heard_in(both, server, attrs.evolve(OPTIONS, channels=2, multichannel=True))
    assert {utterance.channel: utterance.text for utterance in transcript.utterances} == {
        0: "left side",
        1: "right here",
    }


def test_the_environment_is_for_any_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that knows nothing finds key and server in the environment."""
    with DeepgramServer() as server:
        server.say("found it")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with StreamClient(OPTIONS) as client:
            client.send(silence(0.5))
    assert client.transcript.text == "found it"
    assert server.call.headers["authorization"] == f"Token {os.environ['DEEPGRAM_API_KEY']}"


def test_the_only_call_has_to_be_the_only_one() -> None:
    """A test that speaks of the call is told when there is none, or another."""
    with DeepgramServer() as server:
        with pytest.raises(AssertionError, match="0 connections"):
            _ = server.call
        heard_in(silence(0.1), server)
        heard_in(silence(0.1), server)
        with pytest.raises(AssertionError, match="2 connections"):
            _ = server.call


def test_a_server_that_was_not_started_says_so() -> None:
    """Rather than fail somewhere inside."""
    with pytest.raises(RuntimeError, match="start the server"):
        _ = DeepgramServer().url


def test_a_server_that_recognises_cannot_be_told_what_to_say() -> None:
    """Words that nobody would ever hear are a mistake of the test."""
    with LocalServer(ScriptedEngine("one")) as other, DeepgramServer(other) as server:
        with pytest.raises(RuntimeError, match="no script"):
            server.say("two")
        with pytest.raises(RuntimeError, match="no script"):
            server.forget()


def test_a_fault_is_a_value() -> None:
    """Its class alone says neither when nor how."""
    with DeepgramServer() as server, pytest.raises(TypeError, match=r"such as Reset\(\)"):
        server.break_next(Reset)  # type: ignore[arg-type] # that is the test


def test_a_call_reads_what_is_no_message_too() -> None:
    """Garbage from either side is in what was sent and told, and spoils nothing else."""
    with DeepgramServer(schedule=[[Say('{"type": "Results", "is_final": true}'), Alter("no alternatives")]]) as server:
        with dial(server) as connection:
            for text in ("garbage", "[]", SPEECH, CLOSE_STREAM):
                connection.send(text)
            assert len(list(connection)) > 3
        server.call.wait_for_end()
    assert server.call.texts == ["garbage", "[]", CLOSE_STREAM]
    assert server.call.controls == [{"type": "CloseStream"}]
    assert server.call.transcript == TEXT


MAKE = {
    "local": "server = LocalServer(ScriptedEngine('one two'))",
    "scripted": "server = DeepgramServer(LocalServer(ScriptedEngine('one two')).__enter__())",
    "replayed": """
with LocalServer(ScriptedEngine('one two')) as local, CassetteWriter(path) as writer:
    with DeepgramServer(local, recorders=[writer]) as recorded:
        transcribe(silence(2.0), options, url=recorded.url)
server = ReplayServer(Cassette.read(path))
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("leave", ["server.stop()", "sys.exit()"])
@pytest.mark.parametrize("kind", MAKE)
def test_a_fork_leaves_the_server_to_its_parent(kind: str, leave: str, tmp_path: Path) -> None:
    """Whether it stops the server or ends as programs do: the parent's streams and its server go on."""
    code = f"""
from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.testing import Cassette, CassetteWriter, DeepgramServer, ReplayServer, silence
{MAKE[kind]}
server.start()
with StreamClient(options, url=server.url, reconnect=None, timeouts=patient) as client:
    client.send(silence(1.0))
    if not (child := os.fork()):
        {leave}
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.send(silence(1.0))
assert client.transcript.text == "one two", client.transcript
assert transcribe(silence(2.0), options, url=server.url).text == "one two"
server.stop()
"""
    assert run(IMPORTS.replace("url = ", "path = "), code, url=str(tmp_path / "call.jsonl")) == (0, [], "")
