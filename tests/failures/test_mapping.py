"""Guarantee 6: no exception of websocket-client escapes as it is."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket

from streamclient import ConnectError, ConnectionLost, TransportOptions
from streamclient.core.actions import FrameKind
from streamclient.wire.dialing import Address
from streamclient.wire.transport import Connection, connect
from tests.support.failures import KEY
from tests.support.service import SOON, serving


def exceptions_of_websocket_client() -> list[Exception]:
    """One of each."""
    classes = [kind for kind in vars(websocket._exceptions).values() if isinstance(kind, type)]
    kinds = [kind for kind in classes if issubclass(kind, Exception)]
    assert len(kinds) >= 8
    bad_status = websocket.WebSocketBadStatusException
    return [kind(f"{KEY} %s", 503) if kind is bad_status else kind(KEY) for kind in kinds]


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection that stands."""
    with serving(lambda call: call.read_to_end()) as service:
        connected = connect(Address(service.url), TransportOptions(), SOON, SOON, lambda: False)
        yield connected
        connected.release(answer_close=True)


def raising(error: Exception) -> Callable[..., Any]:
    """Raises it, whatever it is called with."""

    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize("error", exceptions_of_websocket_client(), ids=lambda error: type(error).__name__)
def test_every_exception_of_websocket_client_is_mapped(
    error: Exception, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the handshake it is a ConnectError, in reading and in writing a ConnectionLost; none says what it quotes."""
    monkeypatch.setattr(connection._ws, "recv_frame", raising(error))
    with pytest.raises(ConnectionLost) as read:
        connection.receive()
    monkeypatch.setattr(connection._sound, "send", raising(error))
    with pytest.raises(ConnectionLost) as written:
        connection.write([(FrameKind.AUDIO, b"audio")])
    monkeypatch.undo()

    monkeypatch.setattr(websocket.WebSocket, "connect", raising(error))
    with serving() as service, pytest.raises(ConnectError) as connecting:
        connect(Address(service.url, secrets=(KEY,)), TransportOptions(), SOON, SOON, lambda: False)

    for caught in (read, written, connecting):
        assert caught.value.hint
    assert KEY not in str(connecting.value)
    assert connecting.value.__cause__ is None
    assert connecting.value.__suppress_context__
