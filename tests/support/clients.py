"""Two clients before the kit's server: streamclient, which is to lose nothing, and ``websockets``.

The latter knows nothing of Deepgram and shows what is on the wire.
"""

import json
from typing import Any

import attrs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from streamclient import ListenOptions, ReconnectPolicy, StreamClient, Transcript
from streamclient.testing import DeepgramServer, Fault, spoken

LISTEN = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&interim_results=true"
OPTIONS = ListenOptions(encoding="linear16", sample_rate=16000, interim_results=True)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
TEXT = "the quick brown fox jumps over the lazy dog"
UTTERANCE = spoken("the quick brown fox")
SPEECH = UTTERANCE + spoken("jumps over", "the lazy dog")
CLOSE_STREAM = '{"type": "CloseStream"}'
SOON = 60.0
"""Seconds that only elapse when a test is about to fail."""


def transcribe(server: DeepgramServer, **arguments: Any) -> Transcript:
    """Stream the speech with streamclient, and close."""
    client = StreamClient(OPTIONS, url=server.url, **{"reconnect": QUICK, **arguments})
    with client:
        for start in range(0, len(SPEECH), 6400):
            client.send(SPEECH[start : start + 6400])
        return client.close(timeout=SOON)


def assert_nothing_is_lost(server: DeepgramServer, *faults: Fault, connections: int = 1) -> None:
    """Streamclient has every word, after so many connections, the last of which ended well."""
    for fault in faults:
        server.break_next(fault)
    before = len(server.calls)
    transcript = transcribe(server)
    assert (transcript.text, transcript.complete) == (TEXT, True)
    assert len(server.calls) - before == connections
    server.calls[-1].assert_closed_well()


@attrs.frozen
class Seen:
    """What websockets saw of one connection.

    Attributes:
        texts: what it was told.
        end: why there was no more.
    """

    texts: list[str]
    end: ConnectionClosed

    @property
    def messages(self) -> list[Any]:
        """What it was told, as objects."""
        return [json.loads(text) for text in self.texts]

    @property
    def finals(self) -> list[Any]:
        """The final results among it."""
        return [message for message in self.messages if message.get("is_final")]

    @property
    def words(self) -> str:
        """The text of the finals."""
        return " ".join(filter(None, (final["channel"]["alternatives"][0]["transcript"] for final in self.finals)))


def dial(server: DeepgramServer, **arguments: Any) -> ClientConnection:
    """Connect with websockets."""
    connection: ClientConnection = connect(
        server.url + LISTEN, **{"compression": None, "close_timeout": 0.1, **arguments}
    )
    return connection


def listen(server: DeepgramServer, *faults: Fault, then: str = CLOSE_STREAM) -> Seen:
    """Stream the speech with websockets on a connection that meets these faults, and read to the end."""
    server.break_next(*faults)
    with dial(server) as connection:
        texts: list[str] = []
        try:
            connection.send(SPEECH)
            connection.send(then)
            while True:
                texts.append(str(connection.recv(SOON)))
        except ConnectionClosed as end:
            return Seen(texts, end)
