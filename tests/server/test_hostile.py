"""Whatever a client sends, the server goes on: no exception but those that are answers, and others are served."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclient.server import LocalServer
from streamclient.server.audio import AudioDecoder, AudioFormat
from streamclient.server.engines.echo import EchoEngine, tones
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.server.pcm import Undecodable
from streamclient.server.protocol import Close, ListenProtocol
from streamclient.server.query import Refusal, parse_request
from streamclient.testing.schema import check_message
from tests.server.test_audio import wav
from tests.support.encode import KINDS, encode
from tests.support.wire import CLOSE, RAW, converse, dial, refusal

REQUEST_ID = "0b6c7c3e-50c9-4d0e-9d0f-5a2a6a6f5a11"
SPOKEN = tones("one two three", pause=0.3)
FILES = {**{kind: encode(kind, SPOKEN) for kind in KINDS}, "wav": wav(SPOKEN.tobytes())}

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
kinds = st.sampled_from(["KeepAlive", "Finalize", "CloseStream", "Configure", "Nonsense"])
fields = st.sampled_from(["channel", "features", "keyterms", "processors", "language_hints", "thresholds", "x"])
controls = st.builds(
    lambda kind, rest: json.dumps({**rest, "type": kind}),
    kinds | anything,
    st.dictionaries(fields, anything, max_size=3),
)
texts = controls | st.text(max_size=50) | anything.map(json.dumps)
audio = st.binary(max_size=4_000) | st.sampled_from([*FILES.values(), SPOKEN.tobytes()])
NAMES = (
    "model language encoding sample_rate channels multichannel interim_results endpointing "
    "utterance_end_ms vad_events punctuate smart_format numerals keyterm keywords search replace "
    "extra tag callback alternatives diarize"
)
names = st.sampled_from(NAMES.split())
VALUES = (
    "true false 0 1 2 16000 8000 1000 en multi nova-3 linear16 linear32 mulaw alaw opus flac ogg-opus amr-nb a:b one"
)
values = st.sampled_from(VALUES.split()) | st.text(max_size=10)
queries = st.lists(st.tuples(names, values), max_size=8).map(lambda pairs: "&".join(f"{n}={v}" for n, v in pairs))
sane_queries = st.sampled_from(
    [
        "", RAW, "encoding=mulaw&sample_rate=8000",
        "encoding=linear32&sample_rate=384000&channels=20&multichannel=true",
        "encoding=opus&sample_rate=48000", "encoding=flac&sample_rate=16000", "encoding=amr-nb&sample_rate=8000",
        "encoding=speex&sample_rate=16000", "encoding=g729",
        RAW + "&interim_results=true&utterance_end_ms=1000&vad_events=true&numerals=true&search=one&replace=one:two",
    ]
)  # fmt: skip


@given(st.text(max_size=30) | queries)
def test_any_query_is_read_or_refused(query: str) -> None:
    """A refusal is one of the service's kinds."""
    try:
        parse_request(f"/v1/listen?{query}")
    except Refusal as refusal:
        refused = refusal
    else:
        return
    assert 400 <= refused.status < 500
    assert refused.message


@given(sane_queries, st.lists(texts | audio, max_size=8), st.sampled_from(["scripted", "echo"]))
def test_any_frames_are_answered_by_the_book(query: str, frames: list[str | bytes], engine: str) -> None:
    """Every message is one the service could have sent, nothing follows the close, and there is at most one."""
    engines = {"scripted": ScriptedEngine("one two three four"), "echo": EchoEngine()}
    protocol = ListenProtocol(parse_request(f"/v1/listen?{query}"), engines[engine], REQUEST_ID, 0.0)
    outputs: list[Any] = []
    try:
        for now, frame in enumerate([*frames, json.dumps(CLOSE)]):
            receive: Any = protocol.receive_text if isinstance(frame, str) else protocol.receive_audio
            outputs += receive(frame, float(now))
    finally:
        protocol.abandon()
    *messages, close = outputs
    assert isinstance(close, Close)
    for message in messages:
        check_message(json.loads(json.dumps(message)))


@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6),
    st.integers(50, 5_000),
)
def test_a_damaged_file_is_decoded_or_undecodable(kind: str, damages: list[tuple[int, bytes]], size: int) -> None:
    """Bytes overwritten anywhere, in frames of any size: nothing else happens than a verdict."""
    data = bytearray(FILES[kind])
    for place, damage in damages:
        place %= len(data)
        data[place : place + len(damage)] = damage
    decoder = AudioDecoder(AudioFormat(), separate=False)
    with suppress(Undecodable):
        for begin in range(0, len(data), size):
            for pieces in decoder.feed(bytes(data[begin : begin + size])):
                assert len(pieces) == 1
        list(decoder.finish())
    decoder.close()
    assert 0 <= decoder.duration < 3_600


@pytest.mark.parametrize("query", ["model=flux%0d%0aX-Added:%20yes", "encoding=%0d%0aX-Added:%20yes"])
def test_a_query_writes_no_headers_of_the_answer(server: LocalServer, query: str) -> None:
    """What was asked for is in ``dg-error``, but on its one line."""
    refused = refusal(server, query)
    assert refused.status_code == 400
    assert "x-added" not in (refused.resp_headers or {})


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """One server for all of them."""
    with LocalServer(ScriptedEngine([("one", 0.1, 0.4)])) as server:
        yield server


def assert_serves(server: LocalServer) -> None:
    """Somebody well-behaved is served."""
    assert converse(server, RAW, [bytes(32_000), CLOSE]).words() == ["one"]


requests = st.binary(max_size=300) | st.builds(
    lambda method, path, lines: f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1", "replace"),
    st.sampled_from(["GET", "POST", "PRI", ""]),
    st.sampled_from(
        ["/v1/listen", "/health", "/", "*", "/v1/listen?" + "a=b&" * 500, "http://x/v1/listen", "/\x1b[31m"]
    ),
    st.lists(
        st.builds(
            lambda name, value: f"{name}: {value}\r\n",
            st.sampled_from(
                ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Authorization", "Host", "X\0"]
            ),
            st.sampled_from(
                ["websocket", "Upgrade", "13", "x" * 9_000, "\xff", "token key", "dGhlIHNhbXBsZSBub25jZQ=="]
            ),
        ),
        max_size=8,
    ),
)


@settings(max_examples=30)
@given(requests)
def test_any_bytes_instead_of_a_request(server: LocalServer, data: bytes) -> None:
    """The connection ends, with or without an answer; it is never a defect of the server's."""
    assert not answer_to(server, data, nothing_follows=True).startswith(b"HTTP/1.1 500")


def test_a_path_writes_no_headers_of_the_answer(server: LocalServer) -> None:
    """It is in ``dg-error`` as well, without what no header may have."""
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + "A" * 22
    request = f"GET /\x1b[31m HTTP/1.1\r\n{upgrade}==\r\n\r\n".encode()
    assert answer_to(server, request).startswith(b"HTTP/1.1 404")


def answer_to(server: LocalServer, data: bytes, *, nothing_follows: bool = False) -> bytes:
    """What comes back when this is sent instead of a request, until the connection ends."""
    answer = b""
    with socket.create_connection((server.host, server.port), timeout=30) as client, suppress(OSError):
        client.sendall(data)
        if nothing_follows:
            client.shutdown(socket.SHUT_WR)
        while received := client.recv(4096):
            answer += received
    return answer


def frame(head: int, length: int, payload: bytes, *, masked: bool) -> bytes:
    """A websocket frame that says what it likes of itself."""
    mask = b"\0\0\0\0" if masked else b""
    return struct.pack("!BBQ", head, 127 | 128 * masked, length) + mask + payload


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(
            frame,
            st.integers(0, 255),
            st.sampled_from([0, 1, 2, 100, 126, 1 << 20, 1 << 40, (1 << 64) - 1]),
            st.binary(max_size=150),
            masked=st.booleans(),
        )
        | st.binary(max_size=30),
        max_size=5,
    )
)
def test_any_bytes_after_the_handshake(server: LocalServer, frames: list[bytes]) -> None:
    """Wrong masks, reserved bits, lengths without end: the connection ends with a code or without."""
    ws = dial(server)
    with suppress(OSError):
        for data in frames:
            ws.sock.sendall(data)
        ws.sock.shutdown(socket.SHUT_WR)
        while ws.sock.recv(4096):
            pass
    ws.shutdown()


def test_others_are_served_after_all_that(server: LocalServer) -> None:
    """The last test of this module: it is still the same server."""
    assert_serves(server)
