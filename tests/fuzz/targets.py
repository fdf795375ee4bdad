"""What is fuzzed: functions of bytes that must return, whatever the bytes."""

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from websockets.http11 import Request
from websockets.server import ServerProtocol

from streamclient.client import StreamClient
from streamclient.core.actions import Finish, Release, Write
from streamclient.core.parsing import parse_message
from streamclient.core.protocol import Protocol
from streamclient.errors import StreamClientError
from streamclient.options import ListenOptions
from streamclient.policies import BufferPolicy, ReconnectPolicy, Timeouts
from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.server.protocol import Close, ListenProtocol, Output
from streamclient.server.query import Refusal, parse_request
from streamclient.testing import Cassette, CassetteError, builders, check_message
from tests.support.service import SOON

TARGETS: dict[str, Callable[[bytes], None]] = {}
SEEDS: dict[str, list[bytes]] = {}
"""What to begin with."""

RAW = ListenOptions(encoding="linear16", sample_rate=16000)
SECONDS = 5


def target(*seeds: bytes) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a target with its seeds."""

    def register(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[function.__name__] = function
        SEEDS[function.__name__] = list(seeds)
        return function

    return register


def lines_of(*messages: dict[str, object]) -> bytes:
    """Messages, one a line."""
    return b"\n".join(json.dumps(message).encode() for message in messages)


MESSAGES = lines_of(
    builders.interim("one", 0, 1),
    builders.results("one two", 0, 2, speech_final=True),
    builders.utterance_end(1.9),
    builders.speech_started(2.1),
    builders.results("three", 2, 3, channel=1, channels=2, entities=[{"label": "N", "value": "3"}]),
    builders.metadata(3.0),
)


@target(MESSAGES, MESSAGES.replace(b"2", b"1e308"), MESSAGES.replace(b"[", b"{}"), b"\x00\n[]\nnull")
def client_messages(data: bytes) -> None:
    """The client's state machine hears any lines of text, over two connections, and gives a transcript."""
    protocol = Protocol(RAW, Timeouts(), BufferPolicy(), ReconnectPolicy(), lambda: 0.5)
    protocol.open(0.0)
    protocol.next_action(0.0)
    protocol.connected("first", 0.0)
    protocol.accept(bytes(32000 * SECONDS))
    first, _, second = data.partition(b"\n\n")
    hear(protocol, first, 1.0)
    protocol.receive_end(None, None)
    settle(protocol, 2.0)
    protocol.next_action(100.0)
    protocol.connected("second", 100.0)
    protocol.request_close(100.0)
    hear(protocol, second, 101.0)
    protocol.receive_end((1000, ""), None)
    settle(protocol, 102.0)
    assert protocol.transcript().to_dict()
    assert protocol.stats().lag >= 0


def hear(protocol: Protocol, lines: bytes, now: float) -> None:
    """The server says this."""
    settle(protocol, now)
    for line in lines.split(b"\n"):
        protocol.receive_message(parse_message(line), now)


def settle(protocol: Protocol, now: float) -> None:
    """Do what is to be done now."""
    for _ in range(1000):
        action = protocol.next_action(now)
        if isinstance(action, Finish):
            protocol.finish()
            return
        if not isinstance(action, Write | Release):
            return
    raise AssertionError("there is no end to what is to be done")


WAV = (
    b"RIFF\x24\x00\x00\x80WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data"
)


@target(
    WAV + bytes(100),
    b"OggS\x00\x02" + bytes(20) + b"\x01\x13OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00",
    b"fLaC\x00\x00\x00\x22" + bytes(34) + b"\xff\xf8",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x1f\x43\xb6\x75\xff",
    b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x00",
    b"\x00\x00\x00\x18ftypisom",
    b"\x47" + bytes(187) + b"\x47",
)
def client_audio(data: bytes) -> None:
    """The client follows any audio it is given, in pieces, and sends it again after a break: every byte of it."""
    protocol = Protocol(ListenOptions(), Timeouts(), BufferPolicy(), ReconnectPolicy(), lambda: 0.5)
    protocol.open(0.0)
    protocol.next_action(0.0)
    protocol.connected("first", 0.0)
    for start in range(0, len(data), 61):
        protocol.accept(data[start : start + 61])
    sent = written(protocol, 0.0)
    assert data.startswith(sent)
    protocol.receive_end(None, None)
    settle(protocol, 1.0)
    protocol.next_action(100.0)
    protocol.connected("second", 100.0)
    assert data.endswith(written(protocol, 100.0)[-1:])


def written(protocol: Protocol, now: float) -> bytes:
    """The audio that is written now."""
    audio = []
    while isinstance(action := protocol.next_action(now), Write):
        audio += [frame.payload for frame in action.frames if isinstance(frame.payload, bytes)]
    return b"".join(audio)


REQUEST_ID = builders.REQUEST_ID
RAW_QUERY = b"encoding=linear16&sample_rate=16000&interim_results=true&vad_events=true&utterance_end_ms=1000"


@target(
    RAW_QUERY + b"\nB" + b"\x01\x00" * 4000 + b'\nT{"type":"Finalize"}\nW\nT{"type":"CloseStream"}',
    b"\nB" + WAV + bytes(3000) + b"\nB",
    b"channels=2&multichannel=true&encoding=mulaw&sample_rate=8000\nBabcdefg\nT\nW",
    b'model=nova-3&keyterm=x\nT{"type":"Configure","keyterms":["a"],"features":{"numerals":true}}\nT[]',
    b"encoding=speex&sample_rate=16000\nB" + bytes(52) + b"\nB" + bytes(52),
    b"encoding=g729\nB" + bytes(95),
    b"callback=http%3A%2F%2Fexample.com&replace=a:b&search=c&extra=d:e&language=multi\nBx",
)
def server_frames(data: bytes) -> None:
    """The server's state machine takes any query and any frames; what it says is what the service could say."""
    query, _, rest = data.partition(b"\n")
    try:
        request = parse_request("/v1/listen?" + query.decode("latin-1"))
    except Refusal:
        return
    protocol = ListenProtocol(request, ScriptedEngine("one two three"), REQUEST_ID, 0.0)
    closed = False
    try:
        for number, frame in enumerate(rest.split(b"\n")):
            for output in outputs(protocol, frame, float(number)):
                assert not closed, "something after the close"
                closed = isinstance(output, Close)
                if not isinstance(output, Close):
                    json.dumps(output)
                    check_message(output)
    finally:
        protocol.abandon()


def outputs(protocol: ListenProtocol, frame: bytes, now: float) -> Iterator[Output]:
    """What comes out when a frame goes in: ``T`` for text, ``W`` for a long silence, else audio."""
    if frame[:1] == b"T":
        return protocol.receive_text(frame[1:].decode("utf-8", "replace"), now)
    if frame[:1] == b"W":
        return protocol.tick(now + 60.0)
    return protocol.receive_audio(frame[1:], now)


@target(
    b'{"cassette": 1, "audio": "whole"}\n'
    b'{"at": 0, "connection": 0, "what": "requested", "path": "/v1/listen", "headers": {}}\n'
    b'{"at": 1, "connection": 0, "what": "audio", "bytes": 3, "data": "AAAA"}\n'
    b'{"at": 2, "connection": 0, "what": "closed", "by": "server", "code": 1000, "reason": ""}',
    b'{"cassette": 1}\n{"at": 0, "connection": 1e999, "what": "audio", "bytes": 1e999}',
)
def cassettes(data: bytes) -> None:
    """A file is a cassette, or is said to be none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cassette")
        path.write_bytes(data)
        with suppress(CassetteError):
            Cassette.read(path)


@target(
    b"\x81\x02{}\x88\x02\x03\xe8",
    b"\x01\x01{\x80\x01}\x89\x00\x88\x00",
    b"\x81\x7e\xff\xff",
    b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xf1\x00\x83\x00\x88\x01\x03",
)
def client_wire(data: bytes) -> None:
    """The client meets any bytes after a good handshake: it ends, and its failure has a name."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = StreamClient(
            RAW,
            url=f"ws://127.0.0.1:{listener.getsockname()[1]}",
            reconnect=None,
            timeouts=Timeouts(connect=SOON, close=0.5, exit=0.1),
        )
        with beside(lambda: answer(listener, data)), suppress(StreamClientError):
            try:
                client.open()
                client.send(bytes(3200))
                client.close(timeout=2.0)
            finally:
                client.abort()


@contextmanager
def beside(function: Callable[[], None]) -> Iterator[None]:
    """A function that runs beside a block, and has ended after it."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    yield
    thread.join(SOON)


def answer(listener: socket.socket, data: bytes) -> None:
    """Accept a connection, shake hands, send these bytes, and hang up."""
    sock, _ = listener.accept()
    with sock, suppress(OSError):  # the client may be gone at any moment
        protocol = ServerProtocol()
        while not (events := protocol.events_received()):
            received = sock.recv(65536)
            if not received:
                return
            protocol.receive_data(received)
        (request,) = events
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        sock.sendall(b"".join(protocol.data_to_send()) + data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


HANDSHAKE = (
    b"GET /v1/listen?" + RAW_QUERY + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@target(
    HANDSHAKE + b"\x82\x84\0\0\0\0\x01\x02\x03\x04\x88\x80\0\0\0\0",
    HANDSHAKE + b"\x81\xfe\xff\xff\0\0\0\0{",
    HANDSHAKE + b"\x82\x04abcd\x00",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /v1/listen HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
)
def server_wire(data: bytes) -> None:
    """The server meets any bytes on its socket, and serves the next client as if nothing had been."""
    server = shared_server()
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as hostile, suppress(ConnectionError):
        hostile.sendall(data)
        hostile.shutdown(socket.SHUT_WR)
        while hostile.recv(65536):
            pass
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as good:
        good.sendall(HANDSHAKE)
        assert good.recv(65536).startswith(b"HTTP/1.1 101")


@cache
def shared_server() -> LocalServer:
    """One server for all; it has to survive."""
    server = LocalServer(ScriptedEngine("one two three"))
    server.start()
    return server
