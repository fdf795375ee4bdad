"""A plain websocket to our own server: no client of ours stands between a test and what is on the wire."""

import json
from collections.abc import Iterable
from typing import Any

import attrs
import websocket

from streamclient.server import LocalServer
from streamclient.testing.schema import check_message

CLOSE = {"type": "CloseStream"}
RAW = "encoding=linear16&sample_rate=16000"


@attrs.frozen
class Heard:
    """What came on one connection.

    Attributes:
        messages: in order.
        code: of the close frame, or ``None`` if it had none.
        reason: likewise.
    """

    messages: list[dict[str, Any]]
    code: int | None
    reason: str

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type."""
        return [message for message in self.messages if message["type"] == kind]

    def finals(self, channel: int = 0) -> list[dict[str, Any]]:
        """The final results of a channel."""
        return [m for m in self.of_type("Results") if m["is_final"] and m["channel_index"][0] == channel]

    def words(self, channel: int = 0) -> list[str]:
        """The words of its finals."""
        return [word["word"] for m in self.finals(channel) for word in m["channel"]["alternatives"][0]["words"]]


def dial(server: LocalServer, query: str = RAW, *, path: str = "/v1/listen", **arguments: Any) -> Any:
    """Connect."""
    return websocket.create_connection(f"{server.url}{path}?{query}", timeout=60, **arguments)


def send(ws: Any, *frames: bytes | str | dict[str, Any]) -> None:
    """Send binary frames, texts, and objects as JSON."""
    for frame in frames:
        if isinstance(frame, bytes):
            ws.send_binary(frame)
        else:
            ws.send(frame if isinstance(frame, str) else json.dumps(frame))


def read(ws: Any) -> Heard:
    """Read to the end; what comes is what the service could have sent."""
    messages: list[dict[str, Any]] = []
    while True:
        opcode, data = ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            ws.shutdown()
            return Heard(messages, int.from_bytes(data[:2], "big") or None, data[2:].decode())
        messages.append(json.loads(data))
        check_message(messages[-1])


def converse(server: LocalServer, query: str, frames: Iterable[bytes | str | dict[str, Any]]) -> Heard:
    """Connect, send all of this, and read to the end."""
    ws = dial(server, query)
    send(ws, *frames)
    return read(ws)


def refusal(server: LocalServer, query: str = RAW, **arguments: Any) -> websocket.WebSocketBadStatusException:
    """How the server refuses."""
    try:
        ws = dial(server, query, **arguments)
    except websocket.WebSocketBadStatusException as refused:
        return refused
    ws.shutdown()
    raise AssertionError("the server did not refuse")
