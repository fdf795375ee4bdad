"""The local server: a socket that listens, a thread that accepts, and the connections in between.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
whoever calls             ``start()`` and ``stop()``; any thread may, one at a time gets its way
acceptor (one)            the listening socket (see ``listener``)
handler, reader, decoder  one connection each (see ``connection`` and ``containers``)
========================  ==========================================================================

All are daemons: a forgotten server does not keep the interpreter from ending, and an exit hook stops it.
"""

import atexit
import errno
import logging
import socket
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import cast

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from streamclient.server.connection import serve_connection
from streamclient.server.connections import Connection, Connections
from streamclient.server.engines import Engine, load_engine
from streamclient.server.errors import ServerStartError
from streamclient.server.handshake import answer_json, check_credentials, refuse, select_subprotocol
from streamclient.server.listener import Listener, listen_with
from streamclient.server.page import answer_page, load_page
from streamclient.server.protocol import ListenProtocol
from streamclient.server.query import ListenRequest, Refusal, invalid, parse_request
from streamclient.server.settings import Behaviour, Limits, Timeouts

__all__ = ["LocalServer"]

log = logging.getLogger("streamclient.server")

library_log = logging.getLogger("streamclient.server.websockets")
library_log.setLevel(logging.ERROR)  # it tells each connection twice, and garbage with a traceback
library_log.addFilter(lambda record: not _tells_of_bytes_after_the_end(record))

MAX_PORT = 65_535
STOP_BUDGET = 2.0
"""Seconds open streams are given by :meth:`LocalServer.stop` to end in an orderly way."""
QUEUE = 4
"""Messages websockets may hold besides our backlog."""


class LocalServer:
    """A Deepgram-compatible server for ``/v1/listen`` on this machine.

    ::

        with LocalServer(engine="pocketsphinx") as server:
            client = StreamClient(options, url=server.url)

    Args:
        engine: what recognises, or its name.
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        api_keys: keys to accept, with the scheme ``Token``.
        access_tokens: temporary tokens to accept, with the scheme ``Bearer``. With neither keys nor tokens everybody
            is welcome.
        timeouts: how long to wait for what.
        limits: how much to bear.
        behaviour: how to behave where there is a choice.
        page: whether ``/`` is a web page with live captions, for trying the server out.

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
        access_tokens: Iterable[str] = (),
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        behaviour: Behaviour | None = None,
        page: bool = False,
    ) -> None:
        self.engine = load_engine(engine) if isinstance(engine, str) else engine
        self.host = host
        self.port = port
        self.api_keys = (api_keys,) if isinstance(api_keys, str) else tuple(api_keys)
        self.access_tokens = (access_tokens,) if isinstance(access_tokens, str) else tuple(access_tokens)
        self.timeouts = timeouts or Timeouts()
        self.limits = limits or Limits()
        self.behaviour = behaviour or Behaviour()
        self.page = load_page() if page else None
        self._lock = threading.Lock()  # start and stop
        self._listener: Listener | None = None
        self._connections = Connections(self.limits)
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
            if self._listener:
                raise ServerStartError(f"The server is already running at {self.url}.")
            self._connections = Connections(self.limits)
            self._listener = self._listen()
            self.port = self._listener.sock.getsockname()[1]
            self._stopped.clear()
            self._listener.start()
        atexit.register(self.stop)
        try:
            self.engine.open()
        except BaseException:
            self.stop()
            raise
        log.info("listening at %s with the engine %s", self.url, self.engine.name)

    def stop(self, grace: float = 0.0) -> None:
        """Stop listening, end the open streams and wait for their threads; does nothing if it is not running.

        Nor does it in a fork of the process that runs it: the server there goes on.

        A stream that is still open after the grace gets what results there are of what was received, and close code
        1001; an utterance that is not over has none, so that a client that connects elsewhere can send it whole. Who
        does not answer within :data:`STOP_BUDGET` is cut off.

        Args:
            grace: seconds the streams may go on as if nothing were.
        """
        if self._listener and self._listener.is_inherited:
            return
        with self._lock:
            listener, self._listener = self._listener, None
            if listener is None:
                return
            listener.close()
            self._connections.wait(grace)
            self._connections.end(STOP_BUDGET)
            listener.join(STOP_BUDGET)  # also those that were not known as connections yet
            self.engine.close()
            self._stopped.set()
        atexit.unregister(self.stop)
        log.info("stopped")

    def serve_forever(self) -> None:
        """Start if necessary, and return when :meth:`stop` has been called; Ctrl-C stops the server too."""
        if not self._listener:
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

    def _listen(self) -> Listener:
        if not 0 <= self.port <= MAX_PORT:
            raise ServerStartError(f"Cannot listen on {self.host}:{self.port}: ports go from 0 to {MAX_PORT}.")
        try:
            sock = _bind(self.host, self.port)
        except OSError as error:
            raise _start_error(self.host, self.port, error) from error
        server = serve(
            self._handle,
            sock=sock,
            create_connection=cast("type[ServerConnection]", self._connections.create),
            process_request=self._process_request,
            process_response=_name_response,
            select_subprotocol=select_subprotocol,
            server_header=None,
            compression=None,
            open_timeout=self.limits.handshake,
            ping_interval=None,  # its timeout would close streams for a reason the service does not know
            close_timeout=STOP_BUDGET,
            max_size=self.limits.frame,
            max_queue=QUEUE,
            logger=library_log,
        )
        return listen_with(server, 2 * self.limits.connections + 16)

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, Connection)
        path = request.path.partition("?")[0]
        if path == "/" and self.page is not None:
            return answer_page(self.page)
        if path == "/health":
            return answer_json({"status": "ok", "engine": self.engine.name, "streams": self._connections.streams})
        try:
            connection.listen = self._admit(request)
        except Refusal as refusal:
            log.info("%s: refused: %d %s", connection.request_id, refusal.status, refusal.message)
            return refuse(refusal, connection.request_id)
        return None

    def _admit(self, request: Request) -> ListenRequest:
        check_credentials(request.headers, self.api_keys, self.access_tokens)
        listen = parse_request(request.path)
        if not self.engine.understands(listen.language):
            raise invalid(
                f"The engine {self.engine.name} of this server does not understand `language={listen.language}`."
            )
        if listen.callback and not self.behaviour.callbacks:
            raise invalid("This server allows no `callback`; it has to be started with leave to connect elsewhere.")
        if self._connections.streams >= self.limits.connections:
            raise Refusal(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later.")
        return listen

    def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        assert connection.listen
        request_id = connection.request_id
        protocol = ListenProtocol(
            connection.listen, self.engine, request_id, time.monotonic(), self.timeouts, self.behaviour
        )
        try:
            serve_connection(connection, protocol, connection.backlog)
        finally:
            log.info("%s: ended with %d after %s", request_id, connection.end_code, protocol.summary)


def _name_response(connection: ServerConnection, _: Request, response: Response) -> None:
    assert isinstance(connection, Connection)
    response.headers.setdefault("dg-request-id", connection.request_id)


def _tells_of_bytes_after_the_end(record: logging.LogRecord) -> bool:
    """Bytes that arrive while a connection is being closed: a defect to websockets, one line to us."""
    late = record.exc_info is not None and isinstance(record.exc_info[1], EOFError)
    if late:
        log.info("a client sent something while its connection was being closed")
    return late


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
