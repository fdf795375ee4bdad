"""The local server: a socket that listens, a thread that accepts, and the connections in between.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
whoever calls             ``start()`` and ``stop()``; any thread may, one at a time gets its way
acceptor (one)            the listening socket
handler, reader           one connection each (see ``connection``)
========================  ==========================================================================

All are daemons: a forgotten server does not keep the interpreter from ending, and an exit hook stops it.
"""

import atexit
import contextlib
import errno
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, cast

from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.sync.server import Server, ServerConnection, serve

from streamclient.server.connection import serve_connection
from streamclient.server.engines import Engine, load_engine
from streamclient.server.errors import ServerStartError
from streamclient.server.handshake import check_credentials, new_request_id, refuse, select_subprotocol
from streamclient.server.protocol import ListenProtocol, Timeouts
from streamclient.server.query import ListenRequest, Refusal, invalid, parse_request

__all__ = ["LocalServer"]

log = logging.getLogger("streamclient.server")

library_log = logging.getLogger("streamclient.server.websockets")
library_log.setLevel(logging.ERROR)  # it tells each connection twice, and garbage with a traceback

MAX_PORT = 65_535
MAX_FRAME = 4 << 20
"""Bytes of one message; a larger one is answered with close code 1009."""
SEND_TIMEOUT = 30.0
"""Seconds a client may leave its answers unread while every buffer on the way is full; then it is dropped."""
STOP_BUDGET = 2.0
"""Seconds open streams are given by :meth:`LocalServer.stop` to end in an orderly way."""

LIBRARY_BUDGET = 2.0
"""Seconds websockets is given to notice that all connections have ended; it looks ten times a second."""


class LocalServer:
    """A Deepgram-compatible server for ``/v1/listen`` on this machine.

    ::

        with LocalServer(engine="pocketsphinx") as server:
            client = StreamClient(options, url=server.url)

    Args:
        engine: what recognises, or its name.
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        api_keys: keys and tokens to accept; none means that everybody is welcome.
        timeouts: how long to wait for what.

    Attributes:
        host: the address listened on.
        port: the port listened on, once started.

    Raises:
        EngineError: there is no such engine, or it cannot start.
    """

    def __init__(
        self,
        engine: Engine | str = "pocketsphinx",
        host: str = "127.0.0.1",
        port: int = 0,
        api_keys: Iterable[str] = (),
        *,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.engine = load_engine(engine) if isinstance(engine, str) else engine
        self.host = host
        self.port = port
        self.api_keys = (api_keys,) if isinstance(api_keys, str) else tuple(api_keys)
        self.timeouts = timeouts or Timeouts()
        self._lock = threading.Lock()  # start and stop
        self._server: Server | None = None
        self._acceptor: threading.Thread | None = None
        self._connections = Connections()
        self._stopped = threading.Event()
        self._stopped.set()

    @property
    def url(self) -> str:
        """Base of the server's URLs, for ``StreamClient(url=...)``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - no bind
        return f"ws://[{host}]:{self.port}" if ":" in host else f"ws://{host}:{self.port}"

    def start(self) -> None:
        """Listen, and serve in threads of its own; returns when connections are accepted.

        Raises:
            ServerStartError: the port is taken or not allowed, the host is unknown, or the server runs already.
        """
        with self._lock:
            if self._server:
                raise ServerStartError(f"The server is already running at {self.url}.")
            self._connections = Connections()
            self._server = self._listen()
            self.port = self._server.socket.getsockname()[1]
            self._stopped.clear()
            self._acceptor = _start_thread(self._accept, self._server)
        atexit.register(self.stop)
        log.info("listening at %s with the engine %s", self.url, self.engine.name)

    def stop(self) -> None:
        """Stop listening, end the open streams and wait for their threads; does nothing if it is not running.

        Clients are told with close code 1001; who does not answer within :data:`STOP_BUDGET` is cut off.
        """
        with self._lock:
            server, self._server = self._server, None
            if server is None:
                return
            shutdown = _start_thread(server.shutdown)  # some versions wait for the connections ended below
            self._stopped.wait(STOP_BUDGET)
            self._connections.end(STOP_BUDGET)
            assert self._acceptor
            _join((self._acceptor, shutdown), LIBRARY_BUDGET)
        atexit.unregister(self.stop)
        log.info("stopped")

    def serve_forever(self) -> None:
        """Start if necessary, and return when :meth:`stop` has been called; Ctrl-C stops the server too."""
        if not self._server:
            self.start()
        try:
            while not self._stopped.wait(1.0):  # a wait without end cannot be interrupted on Windows
                pass
        finally:
            self.stop()

    def __enter__(self) -> "LocalServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> Server:
        if not 0 <= self.port <= MAX_PORT:
            raise ServerStartError(f"Cannot listen on {self.host}:{self.port}: ports go from 0 to {MAX_PORT}.")
        try:
            listener = _bind(self.host, self.port)
        except OSError as error:
            raise _start_error(self.host, self.port, error) from error
        return serve(
            self._handle,
            sock=listener,
            create_connection=cast("type[ServerConnection]", self._connections.create),
            process_request=self._process_request,
            process_response=_name_response,
            select_subprotocol=select_subprotocol,
            server_header=None,
            compression=None,
            ping_interval=None,  # its timeout would close streams for a reason the service does not know
            close_timeout=STOP_BUDGET,
            max_size=MAX_FRAME,
            logger=library_log,
        )

    def _accept(self, server: Server) -> None:
        try:
            server.serve_forever()
        finally:
            self._stopped.set()

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, Connection)
        try:
            check_credentials(request.headers, self.api_keys)
            connection.listen = parse_request(request.path)
            self._check_language(connection.listen.language)
        except Refusal as refusal:
            log.info("%s: refused: %d %s", connection.request_id, refusal.status, refusal.message)
            return refuse(refusal, connection.request_id)
        return None

    def _check_language(self, language: str) -> None:
        if not self.engine.understands(language):
            raise invalid(f"The engine {self.engine.name} of this server does not understand `language={language}`.")

    def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        assert connection.listen
        request_id = connection.request_id
        protocol = ListenProtocol(connection.listen, self.engine, request_id, time.monotonic(), self.timeouts)
        try:
            serve_connection(connection, protocol)
        except Exception:
            log.exception("%s: the stream failed", request_id)
            connection.close(1011)
        finally:
            log.info("%s: ended with %s after %.2f s of audio", request_id, connection.close_code, protocol.duration)


class Connection(ServerConnection):
    """A connection, with what this server knows of it before there is a stream.

    Attributes:
        request_id: names it, in every response.
        listen: what it asks for, once that has been accepted.
        handler_thread: serves it.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        if hasattr(socket, "SO_SNDTIMEO") and os.name == "posix":
            whole, fraction = divmod(SEND_TIMEOUT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(whole), int(fraction * 1e6)))
        self.request_id = new_request_id()
        self.listen: ListenRequest | None = None
        self.handler_thread = threading.current_thread()
        super().__init__(sock, *args, **kwargs)

    @property
    def is_alive(self) -> bool:
        """Whether a thread of it still runs."""
        return any(thread.is_alive() for thread in self.threads)

    @property
    def threads(self) -> tuple[threading.Thread, ...]:
        """The threads that end last; others of the connection end before them."""
        return self.handler_thread, self.recv_events_thread

    def cut(self) -> None:
        """Hang up; wakes every thread that waits for the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Connections:
    """The connections of one server that may still have a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[Connection] = set()
        self._ending = False

    def create(self, *args: Any, **kwargs: Any) -> Connection:
        """Make a connection and remember it."""
        connection = Connection(*args, **kwargs)
        with self._lock:
            self._all = {known for known in self._all if known.is_alive} | {connection}
            if self._ending:  # accepted at the last moment
                connection.cut()
        return connection

    def end(self, budget: float) -> None:
        """Ask all to go, and cut off who has not after ``budget`` seconds."""
        with self._lock:
            self._ending = True
            connections = list(self._all)
        threads = [thread for connection in connections for thread in connection.threads]
        for connection in connections:
            if connection.state is State.OPEN:
                threads.append(_start_thread(connection.close, 1001))
            elif connection.state is State.CONNECTING:
                connection.cut()
        _join(threads, budget)
        for connection in connections:
            connection.cut()
        _join(threads, budget)


def _name_response(connection: ServerConnection, _: Request, response: Response) -> None:
    assert isinstance(connection, Connection)
    response.headers["dg-request-id"] = connection.request_id


def _start_thread(target: Callable[..., object], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, name="streamclient-server", daemon=True)
    thread.start()
    return thread


def _join(threads: Iterable[threading.Thread], budget: float) -> None:
    deadline = time.monotonic() + budget
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))


def _bind(host: str, port: int) -> socket.socket:
    family, *_ = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server((host, port), family=family)


def _start_error(host: str, port: int, error: OSError) -> ServerStartError:
    if isinstance(error, socket.gaierror):
        return ServerStartError(
            f"Cannot listen on {host!r}: there is no such host here.", hint="127.0.0.1 always works."
        )
    if error.errno == errno.EADDRINUSE:
        return ServerStartError(f"Port {port} of {host} is taken.", hint="Choose another port, or 0 for any free one.")
    if error.errno == errno.EACCES:
        return ServerStartError(
            f"Port {port} needs special rights.", hint="Choose a port above 1023, or 0 for any free one."
        )
    return ServerStartError(f"Cannot listen on {host}:{port}: {error}.", hint="Choose another host or port.")
