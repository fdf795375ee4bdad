"""The far end of the measured streams: a process of its own, so that its work is not counted.

It only counts audio and sends prepared results. A websocket library would do as much work for each frame as what is
measured, and on a machine of two cores the measured process would wait for it; so frames are only looked at here.

The query of a stream's URL says what to send: ``results`` of them, ``interval`` seconds apart (0: without a pause).
Each carries in ``sent`` the time of its sending, by the clock that all processes share.
"""

import base64
import hashlib
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
BINARY, TEXT, CLOSE = 0x82, 0x81, 0x88
BLOCK = 50
"""Results sent with one call where there is no pause between them."""

SENTENCE = "Yeah, as much as it's worth celebrating the first spacewalk, with an all female team"


def result(index: int) -> dict[str, Any]:
    """The results of a live stream: three interims that grow, then the final, of every sentence."""
    sentence, step = divmod(index, 4)
    words = SENTENCE.split()[: 4 * (step + 1)]
    start = 4.8 * sentence
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": 0.3 * len(words),
        "start": start,
        "is_final": step == 3,
        "speech_final": step == 3,
        "channel": {
            "alternatives": [
                {
                    "transcript": " ".join(words),
                    "confidence": 0.9970703,
                    "words": [
                        {
                            "word": word.strip(",").lower(),
                            "start": round(start + 0.3 * place, 3),
                            "end": round(start + 0.3 * place + 0.25, 3),
                            "confidence": 0.9951172,
                            "punctuated_word": word,
                        }
                        for place, word in enumerate(words)
                    ],
                }
            ]
        },
        "metadata": {
            "request_id": "0b6c7c3e-50c9-4d0e-9d0f-5a2a6a6f5a11",
            "model_info": {"name": "general-nova-3", "version": "2025-04-17.21547", "arch": "nova-3"},
            "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
        },
        "from_finalize": False,
        "sent": time.monotonic(),
    }


def encode(message: dict[str, Any]) -> bytes:
    """A message as a text frame."""
    payload = json.dumps(message).encode()
    if len(payload) < 126:
        return struct.pack("!BB", TEXT, len(payload)) + payload
    return struct.pack("!BBH", TEXT, 126, len(payload)) + payload


def shake_hands(sock: socket.socket) -> dict[str, list[str]]:
    """Answer the request of a stream; its query."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += sock.recv(65536)
    lines = request.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    key = next(line.split(": ", 1)[1] for line in lines if line.lower().startswith("sec-websocket-key"))
    assert headers["upgrade"] == "websocket"
    accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()
    sock.sendall(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    return parse_qs(urlsplit(lines[0].split()[1]).query)


def frames(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """First byte and unmasked payload of every frame; the payload of audio is not looked at."""
    buffer = bytearray()
    while data := sock.recv(1 << 18):
        buffer += data
        place = 0
        while (header := _header(buffer, place)) is not None:
            start, size = header
            if buffer[place] == BINARY:
                yield BINARY, bytes(size)
            else:
                mask = itertools.cycle(buffer[start - 4 : start])
                yield buffer[place], bytes(a ^ b for a, b in zip(buffer[start : start + size], mask, strict=False))
            place = start + size
        del buffer[:place]


def _header(buffer: bytearray, place: int) -> tuple[int, int] | None:
    """Where the payload of the frame at ``place`` starts, and its size; nothing if it is not all there."""
    if len(buffer) < place + 6:
        return None
    size = buffer[place + 1] & 0x7F
    start = place + 6
    if size == 126:
        size, start = int.from_bytes(buffer[place + 2 : place + 4], "big"), place + 8
    elif size == 127:
        size, start = int.from_bytes(buffer[place + 2 : place + 10], "big"), place + 14
    return (start, size) if len(buffer) >= start + size else None


def send_results(sock: socket.socket, count: int, interval: float) -> None:
    """Send the results, at their times if they have any."""
    if not interval:
        for first in range(0, count, BLOCK):
            sock.sendall(b"".join(encode(result(index)) for index in range(first, min(first + BLOCK, count))))
        return
    begin = time.monotonic()
    for index in range(count):
        time.sleep(max(begin + (index + 1) * interval - time.monotonic(), 0.0))
        sock.sendall(encode(result(index)))


def serve_stream(sock: socket.socket) -> None:
    """Serve one stream to its end."""
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        query = shake_hands(sock)
        count, interval = int(query.get("results", ["0"])[0]), float(query.get("interval", ["0"])[0])
        sender = threading.Thread(target=send_results, args=(sock, count, interval), daemon=True)
        sender.start()
        heard = 0
        for kind, payload in frames(sock):
            if kind == BINARY:
                heard += len(payload)
            elif kind == TEXT and json.loads(payload)["type"] == "CloseStream":
                sender.join()
                summary = {"type": "Metadata", "duration": heard / 32000 or 1.0, "channels": 1, "bytes": heard}
                sock.sendall(encode(summary) + struct.pack("!BBH", CLOSE, 2, 1000))
            elif kind == CLOSE:
                return


def main() -> None:
    """Print the port; serve until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    sys.stdin.read()


def accept(listener: socket.socket) -> None:
    """A thread for every stream."""
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_stream, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
