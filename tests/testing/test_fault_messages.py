"""Each way in which a connection goes on badly, by its name: what two clients see, and that nothing is lost."""

import json
import time
from collections.abc import Iterator
from math import inf
from typing import Any

import pytest
import websocket

from streamclient import (
    StreamClient,
)
from streamclient.testing import DeepgramServer, StreamRecorder, carrier
from streamclient.testing.faults import (
    Alter,
    DelayMetadata,
    Dribble,
    Fragment,
    Ping,
    Say,
    Stall,
    audio_bytes,
    audio_seconds,
    close_stream,
    finals,
    messages,
)
from tests.support.clients import (
    CLOSE_STREAM,
    LISTEN,
    OPTIONS,
    SOON,
    SPEECH,
    TEXT,
    UTTERANCE,
    assert_nothing_is_lost,
    dial,
    listen,
    transcribe,
)


@pytest.fixture
def server() -> Iterator[DeepgramServer]:
    """A server that hears the speech above."""
    with DeepgramServer() as server:
        yield server


# What goes on, but late or in pieces.


def test_stall(server: DeepgramServer) -> None:
    """For as long as was asked for nothing comes, then all of it."""
    assert_nothing_is_lost(server, Stall(0.05, after=audio_seconds(0.5)))
    server.break_next(Stall(0.3, after=close_stream()))
    with dial(server) as connection:
        connection.send(SPEECH)
        asked = time.monotonic()
        connection.send(CLOSE_STREAM)
        while json.loads(connection.recv(SOON))["type"] != "Metadata":
            pass
        assert time.monotonic() - asked >= 0.3


def test_stall_reads(server: DeepgramServer) -> None:
    """What the client sends is not read, not even a ping; what is said to it comes."""
    assert_nothing_is_lost(server, Stall(0.05, "reads", after=audio_seconds(0.5)))
    server.break_next(Stall(inf, "reads", after=audio_bytes(len(UTTERANCE))))
    with dial(server) as connection:
        connection.send(UTTERANCE)
        while not json.loads(connection.recv(SOON))["is_final"]:
            pass
        connection.send(CLOSE_STREAM)
        assert not connection.ping().wait(0.2)
    assert server.calls[-1].texts == []


def test_stall_writes(server: DeepgramServer) -> None:
    """What the client sends arrives; it is told nothing."""
    assert_nothing_is_lost(server, Stall(0.05, "writes", after=audio_seconds(0.5)))
    server.break_next(Stall(inf, "writes"))
    with dial(server) as connection:
        connection.send(SPEECH)
        connection.send(CLOSE_STREAM)
        server.calls[-1].wait_until(lambda call: call.messages and call.messages[-1]["type"] == "Metadata")
        with pytest.raises(TimeoutError):
            connection.recv(0.1)
    assert server.calls[-1].audio == SPEECH


def test_delay_metadata(server: DeepgramServer) -> None:
    """The results come at once; the summary and the close frame not before their time."""
    assert_nothing_is_lost(server, DelayMetadata(0.05))
    asked = time.monotonic()
    seen = listen(server, DelayMetadata(0.3))
    assert time.monotonic() - asked >= 0.3
    assert [message["type"] for message in seen.messages][-2:] == ["Results", "Metadata"]
    assert seen.end.rcvd
    assert seen.end.rcvd.code == 1000


def test_dribbled_frames(server: DeepgramServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes at a time, with time in between; they make the same messages."""
    assert_nothing_is_lost(server, Dribble(97, 0.0001))
    monkeypatch.setattr(carrier, "FAREWELL", 1.0)
    assert_nothing_is_lost(server, Dribble(100, 0.05, after=close_stream()))  # which takes longer than that
    asked = time.monotonic()
    seen = listen(server, Dribble(100, 0.001))
    assert seen.words == TEXT
    assert time.monotonic() - asked >= 0.001 * (sum(map(len, seen.texts)) // 100 - 1)


def test_fragmented_text_frames(server: DeepgramServer) -> None:
    """Each message is the same, in more frames."""
    assert_nothing_is_lost(server, Fragment(7))
    server.break_next(Fragment(10))
    with dial(server) as connection:
        connection.send(SPEECH)
        connection.send(CLOSE_STREAM)
        pieces = list(connection.recv_streaming())
        assert json.loads("".join(map(str, pieces)))["type"] == "Results"
        assert max(map(len, pieces)) <= 10
        assert json.loads(list(connection)[-1])["type"] == "Metadata"


def test_ping_during_audio(server: DeepgramServer) -> None:
    """Both clients hear every word; a third shows that it comes, and when."""
    assert_nothing_is_lost(server, Ping(after=audio_seconds(0.3)))
    assert listen(server, Ping(after=audio_seconds(0.3))).words == TEXT
    server.break_next(Ping(after=audio_seconds(0.3)))
    ws: Any = websocket.create_connection(server.url + LISTEN, timeout=SOON)
    ws.send_binary(SPEECH)
    ws.send(CLOSE_STREAM)
    opcodes = list(iter(lambda: ws.recv_data_frame(control_frame=True)[0], websocket.ABNF.OPCODE_CLOSE))
    ws.shutdown()
    assert opcodes == [websocket.ABNF.OPCODE_PING] + [websocket.ABNF.OPCODE_TEXT] * (len(opcodes) - 1)


# What is said, but badly.


def test_garbage_json(server: DeepgramServer) -> None:
    """A text that is no JSON, or none at all, in between."""
    for garbage in ("{", "", "\0", "null", "[]"):
        assert_nothing_is_lost(server, Say(garbage, after=messages(1)))
    assert "{" in listen(server, Say("{", after=messages(1))).texts


def test_unknown_type(server: DeepgramServer) -> None:
    """A message of tomorrow, at any moment."""
    for moment in (audio_bytes(1), finals(1), close_stream()):
        assert_nothing_is_lost(server, Say('{"type": "Warning", "code": "HOT"}', after=moment))
    assert {"type": "Surprise", "news": True} in listen(server, Say()).messages


def test_unknown_fields(server: DeepgramServer) -> None:
    """At every level of every message."""
    assert_nothing_is_lost(server, Alter("unknown fields"))
    seen = listen(server, Alter("unknown fields"))
    alternative = seen.finals[0]["channel"]["alternatives"][0]
    assert all("news" in level for level in (*seen.messages, alternative, alternative["words"][0]))
    assert seen.words == TEXT


def test_type_not_a_string(server: DeepgramServer) -> None:
    """Before each message one whose type is a number; or nothing but such a type."""
    assert_nothing_is_lost(server, Alter("type is a number"))
    assert_nothing_is_lost(server, Say('{"type": ["Results"]}', after=close_stream()))
    kinds = [message["type"] for message in listen(server, Alter("type is a number")).messages]
    assert kinds[::2] == [7] * (len(kinds) // 2)
    assert set(kinds[1::2]) == {"Results", "Metadata"}


def test_null_optionals(server: DeepgramServer) -> None:
    """``null`` in place of all that may be missing, in messages, alternatives, words and metadata."""
    assert_nothing_is_lost(server, Alter("null optionals"))
    seen = listen(server, Alter("null optionals"))
    final = seen.finals[0]
    word = final["channel"]["alternatives"][0]["words"][0]
    assert [final["entities"], final["metadata"]["extra"], word["speaker"], word["punctuated_word"]] == [None] * 4
    assert (seen.messages[-1]["models"], seen.words) == (None, TEXT)


def test_duplicate_finals(server: DeepgramServer) -> None:
    """Each final twice; to streamclient they are one."""
    assert_nothing_is_lost(server, Alter("double finals"))
    seen = listen(server, Alter("double finals"))
    assert seen.finals[::2] == seen.finals[1::2]
    assert len(seen.finals) >= 6


def test_empty_alternatives(server: DeepgramServer) -> None:
    """Interims, and finals of silence, without any alternative."""
    server.break_next(Alter("no alternatives"))
    recorder = StreamRecorder()
    assert transcribe(server, plugins=[recorder]).text == TEXT
    assert any(final.alternatives == () for final in recorder.finals)
    seen = listen(server, Alter("no alternatives"))
    interims = [message for message in seen.messages if message.get("is_final") is False]
    assert interims
    assert all(interim["channel"]["alternatives"] == [] for interim in interims)
    assert [final for final in seen.finals if not final["channel"]["alternatives"]]


def test_omit_from_finalize(server: DeepgramServer) -> None:
    """The flush comes without its marker; who waits for the words and not for the marker has them."""
    server.break_next(Alter("no from_finalize"))
    recorder = StreamRecorder()
    with StreamClient(OPTIONS, url=server.url, plugins=[recorder]) as client:
        client.send(UTTERANCE)
        client.finalize()
        client.send(SPEECH[len(UTTERANCE) :])
    assert client.transcript.text == TEXT
    assert all("from_finalize" not in final.raw for final in recorder.finals)
    server.break_next(Alter("no from_finalize"))
    with dial(server) as connection:
        connection.send(UTTERANCE)
        connection.send('{"type": "Finalize"}')
        connection.send(CLOSE_STREAM)
        told = [json.loads(text) for text in connection]
    assert told
    assert all("from_finalize" not in message for message in told)
