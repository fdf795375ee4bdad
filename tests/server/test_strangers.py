"""Clients that are not ours, on the same audio."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from websockets.sync.client import connect

from streamclient.server import LocalServer
from streamclient.server.engines.pocketsphinx import PocketsphinxEngine

pytestmark = pytest.mark.filterwarnings("ignore:websockets.*deprecated:DeprecationWarning")  # what the SDK imports

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
PCM = SAMPLE.read_bytes()[44:]
CHUNKS = [PCM[offset : offset + 6_400] for offset in range(0, len(PCM), 6_400)]
LISTEN = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server with a key and a real recogniser."""
    with LocalServer(PocketsphinxEngine(decoders=1), api_keys=("the-key",)) as server:
        yield server


@pytest.fixture(scope="module")
def expected(server: LocalServer) -> str:
    """What the bare websocket snippet gets: send audio, send CloseStream, read until closed."""
    header = ["Authorization: Token the-key"]
    ws: Any = websocket.create_connection(server.url + LISTEN, header=header)
    for chunk in CHUNKS:
        ws.send_binary(chunk)
    ws.send('{"type": "CloseStream"}')
    messages = [json.loads(message) for message in iter(ws.recv, "")]
    ws.shutdown()
    return text(messages)


def text(messages: list[Any]) -> str:
    """The finals' transcripts."""
    finals = [m["channel"]["alternatives"][0]["transcript"] for m in messages if m.get("is_final")]
    return " ".join(final for final in finals if final)


def test_the_bare_snippet_hears_the_sample(expected: str) -> None:
    """Enough of it to know that it was heard."""
    assert "amiable himself" in expected


def test_websockets_with_an_empty_frame(server: LocalServer, expected: str) -> None:
    """Another library, the key as subprotocol, and the deprecated end."""
    with connect(server.url + LISTEN, subprotocols=["token", "the-key"]) as ws:  # type: ignore[list-item]
        assert ws.subprotocol == "token"
        for chunk in CHUNKS:
            ws.send(chunk)
        ws.send(b"")
        messages = [json.loads(message) for message in ws]
    assert (text(messages), ws.close_code) == (expected, 1000)


def test_deepgram_sdk(server: LocalServer, expected: str) -> None:
    """Deepgram's own client connects, streams, and gets the same words as typed results."""
    environment = DeepgramClientEnvironment(
        base=server.url, production=server.url, agent=server.url, agent_rest=server.url
    )
    client = DeepgramClient(api_key="the-key", environment=environment)
    messages: list[Any] = []
    closed = threading.Event()
    with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16_000) as connection:
        connection.on(EventType.MESSAGE, messages.append)
        connection.on(EventType.CLOSE, lambda _: closed.set())
        listener = threading.Thread(target=connection.start_listening)
        listener.start()
        for chunk in CHUNKS:
            connection.send_media(chunk)
        connection.send_close_stream()
        assert closed.wait(30)
        listener.join(30)
    assert text([message.dict() for message in messages]) == expected
    assert messages[-1].type == "Metadata"
