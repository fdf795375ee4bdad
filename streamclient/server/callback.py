"""Results that go to an address of the client's choice instead of its websocket (Deepgram: "Callback").

All of it happens in the stream's handler thread: while the other side takes its time, the stream waits.
"""

import logging
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from streamclient.server.handshake import limit_writes
from streamclient.server.query import Callback

__all__ = ["CallbackLost", "open_callback"]

log = logging.getLogger("streamclient.server")

PATIENCE = 10.0
"""Seconds the other side may take to accept one result."""


class CallbackLost(Exception):
    """The websocket the results went to is gone, and the stream with it."""


@contextmanager
def open_callback(callback: Callback) -> Iterator[Callable[[str], None]]:
    """Give what delivers one message.

    Raises:
        CallbackLost: now or while a message is delivered: the websocket cannot be reached or is gone.
    """
    if callback.url.startswith("http"):
        yield lambda text: _deliver(callback, text)
        return
    try:
        websocket = connect(callback.url, open_timeout=PATIENCE, ping_interval=None, compression=None)
    except (OSError, ValueError, WebSocketException) as error:
        raise CallbackLost(f"{callback.url}: {error}") from error
    limit_writes(websocket.socket, PATIENCE)
    with websocket:
        yield lambda text: _send(websocket, callback, text)


def _send(websocket: ClientConnection, callback: Callback, text: str) -> None:
    try:
        websocket.send(text)
    except WebSocketException as error:
        raise CallbackLost(f"{callback.url}: {error}") from error


def _deliver(callback: Callback, text: str) -> None:
    """One request; who does not want it loses it, and the stream goes on."""
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked with the query
        callback.url, text.encode(), {"Content-Type": "application/json"}, method=callback.method
    )
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310 - see above
    except (OSError, ValueError, HTTPException) as error:  # an answer that is no HTTP is the last of them
        log.warning("callback %r: %s", callback.url, error)
