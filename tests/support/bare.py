"""A TCP server that knows no websocket."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tests.support.service import SOON


@contextmanager
def bare_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server whose one connection does as it is told."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(SOON)
