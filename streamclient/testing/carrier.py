"""One connection through the relay: what comes from one side goes to the other, unless a fault forbids it."""

import json
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from math import inf

from websockets.datastructures import Headers
from websockets.frames import Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN

from streamclient.audio import AudioClock
from streamclient.server.handshake import new_request_id
from streamclient.testing import faults as kinds
from streamclient.testing.calls import Call
from streamclient.testing.entries import Accepted, Audio, Closed, Control, Ended, Happening, Refused, Requested, Said
from streamclient.testing.faults import Fault
from streamclient.testing.mishaps import Mishaps, alter, control_type, parse
from streamclient.testing.peers import Arrived, ClientSide, Peer, ServerSide

__all__ = ["Carrier"]

FULL = 1 << 20
"""Bytes that may wait for one side before the other is not read any more."""
FAREWELL = 2.0
"""Seconds a client is given to answer a close frame."""
CODES = {
    400: "Bad Request", 401: "INVALID_AUTH", 402: "ASR_PAYMENT_REQUIRED", 403: "INSUFFICIENT_PERMISSIONS",
    429: "TOO_MANY_REQUESTS", 500: "INTERNAL_SERVER_ERROR", 503: "Service Unavailable",
}  # fmt: skip
"""What the service calls a refusal."""

Admit = Callable[[Requested], tuple[list[Fault], bool, Callable[[Happening], None]]]


class Over(Exception):
    """The connection has ended, and how."""


class Carrier:
    """Carries one connection; everything but :meth:`cut` happens in the thread that calls :meth:`run`.

    Args:
        sock: of the client.
        upstream: base URL of the server.
        admit: is told what the client asks for; gives its faults, whether its credential is a used one, and whom to
            tell what happens.
        fail: is told what should not have gone wrong.
    """

    def __init__(self, sock: socket.socket, upstream: str, admit: Admit, fail: Callable[[Exception], None]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = ClientSide(sock)
        self._server: ServerSide | None = None
        self._upstream = upstream
        self._admit = admit
        self._fail = fail
        self._record: Callable[[Happening], None] = lambda _: None
        self._request: Request | None = None
        self._stale = False
        self._planned: list[Fault] = []  # meet the request
        self._mishaps = Mishaps(())
        self._woken, self._waker = socket.socketpair()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._client_reads_at = 0.0  # before, what the client sends is left where it is
        self._client_writes_at = 0.0  # and what it is to be told waits
        self._held: list[Arrived] | None = None  # from the server, since a Metadata that comes late
        self._leaving = False  # the client was sent a close frame
        self._deaf = False
        self._how = ""  # it ends
        self._alterations: list[kinds.Alter] = []
        self._dribble: kinds.Dribble | None = None
        self._fragment: int | None = None
        self._metadata_delay = 0.0
        self._withholds_close = False

    def cut(self) -> None:
        """End it from another thread."""
        self._waker.close()

    def run(self) -> None:
        """Carry until one side is gone."""
        try:
            with self._woken:
                while True:
                    self._step()
        except Over as over:
            self._how = self._how or str(over)
        except OSError:
            pass  # the client is gone
        except Exception as error:  # noqa: BLE001 - a defect of the kit or of a schedule: the test must hear of it
            self._fail(error)
        finally:
            try:
                self._record(Ended(self._how or "dropped"))  # first: a client that sees the end finds it remembered
            finally:
                self._client.sock.close()
                self._drop_server()
                self._waker.close()

    # Waiting.

    def _step(self) -> None:
        now = time.monotonic()  # the same for both, or what is due in between is slept over
        with selectors.DefaultSelector() as selector:
            if not self._leaving or self._client.unsent or self._client_writes_at == inf:  # else it ends soon by itself
                selector.register(self._woken, selectors.EVENT_READ)
            for peer in self._peers():
                if interest := self._interest(peer, now):
                    selector.register(peer.sock, interest, peer)
            ready = selector.select(self._patience(now))
        for key, _ in ready:
            if key.data is None:
                raise Over("cut")
        self._run_timers()
        for key, events in ready:
            self._serve(key.data, events)

    def _peers(self) -> list[Peer]:
        return [self._client, self._server] if self._server else [self._client]

    def _interest(self, peer: Peer, now: float) -> int:
        if self._deaf:
            return 0
        other = self._server if peer is self._client else self._client
        reads = not peer.ended and (other is None or len(other.unsent) < FULL)
        writes = bool(peer.unsent)
        if peer is self._client:
            reads, writes = reads and now >= self._client_reads_at, writes and now >= self._client_writes_at
        return selectors.EVENT_READ * reads | selectors.EVENT_WRITE * writes

    def _patience(self, now: float) -> float | None:
        moments = [at for at, _ in self._timers]
        moments += [at for at in (self._client_reads_at, self._client_writes_at) if now < at < inf]
        return max(min(moments) - now, 0.0) if moments else None

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        if seconds != inf:
            self._timers.append((time.monotonic() + seconds, do))

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, do in due:
            do()

    def _serve(self, peer: Peer, events: int) -> None:
        if events & selectors.EVENT_WRITE and peer in self._peers():
            self._write(peer)
        if events & selectors.EVENT_READ and peer in self._peers():  # else it was dropped a moment ago
            for arrived in peer.read():
                self._take(peer, arrived)
            if peer.ended or peer.protocol.handshake_exc:
                self._lost(peer)
            elif peer.protocol.parser_exc:  # a frame that is none; the protocol has said so in a close frame
                self._leave()

    def _write(self, peer: Peer) -> None:
        if peer is self._client and time.monotonic() < self._client_writes_at:
            return
        if peer is not self._client or self._dribble is None:
            peer.write()
            return
        peer.write(self._dribble.size)
        self._client_writes_at = time.monotonic() + self._dribble.seconds

    # What comes.

    def _take(self, peer: Peer, arrived: Arrived) -> None:
        if isinstance(arrived, Request):
            self._requested(arrived)
        elif isinstance(arrived, Response):
            self._responded(arrived)
        elif peer is self._client:
            self._from_client(arrived)
        else:
            self._from_server(arrived)

    def _lost(self, peer: Peer) -> None:
        """One side is gone; so is the other, but not before it has what was said."""
        if peer is self._client:
            raise Over("closed" if self._client.protocol.close_rcvd else "dropped")
        self._drop_server()
        if self._withholds_close or self._leaving or self._held is not None:
            return
        self._client.write()
        raise Over("dropped")

    def _requested(self, request: Request) -> None:
        self._request = request
        requested = Requested(request.path, _headers(request.headers))
        planned, self._stale, self._record = self._admit(requested)
        options = Call(requested).options
        self._mishaps = Mishaps(planned, _bytes_per_second(options))
        due = self._mishaps.in_handshake()
        self._later(sum(fault.seconds for fault in due if isinstance(fault, kinds.SlowHandshake)), self._connect)
        self._planned = [fault for fault in due if not isinstance(fault, kinds.SlowHandshake)]

    def _connect(self) -> None:
        self._meet(self._planned)
        if self._leaving or self._deaf:
            return
        assert self._request
        try:
            self._server = ServerSide(self._upstream, self._request)
        except OSError as error:
            self._refuse(kinds.Refuse(502, f"The relay does not reach {self._upstream}: {error}"))

    def _responded(self, response: Response) -> None:
        assert self._request
        headers = _headers(response.headers)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            body = bytes(response.body or b"").decode("utf-8", "replace")
            self._answer(response, Refused(response.status_code, headers, body))
            return
        self._client.answer(self._request, response)
        self._client.write()  # the client shall see the answer, whatever comes next
        self._record(Accepted(headers))
        self._meet(self._mishaps.opened())

    def _from_client(self, arrived: Arrived) -> None:
        if isinstance(arrived, Closed):
            self._record(arrived)
            if self._server:
                self._server.close(arrived.code, arrived.reason)
                self._server.write()
            self._client.write()
            self._leave()
        elif isinstance(arrived, bytes):
            self._heard(arrived)
        elif isinstance(arrived, str):
            self._record(Control(arrived))
            self._to_server(arrived)
            if control_type(arrived) == "CloseStream":
                self._meet(self._mishaps.asked_to_close())

    def _heard(self, audio: bytes) -> None:
        self._record(Audio(audio))
        if not audio:
            self._to_server(audio)
            return
        for piece, due in self._mishaps.heard(audio):
            self._to_server(piece)
            self._meet(due)

    def _to_server(self, data: bytes | str) -> None:
        if self._server:
            self._server.send(data)

    def _from_server(self, arrived: Arrived) -> None:
        if self._held is not None:
            self._held.append(arrived)
        elif self._metadata_delay and isinstance(arrived, str) and control_type(arrived) == "Metadata":
            self._held = [arrived]
            self._later(self._metadata_delay, self._release)
        elif isinstance(arrived, Closed):
            self._closed_by_server(arrived)
        elif isinstance(arrived, str):
            for text in alter(arrived, self._alterations):
                self._say(text)
            self._meet(self._mishaps.said(parse(arrived)))

    def _release(self) -> None:
        held, self._held, self._metadata_delay = self._held or [], None, 0.0
        for arrived in held:
            self._from_server(arrived)

    def _closed_by_server(self, closed: Closed) -> None:
        if not self._withholds_close and not self._leaving:
            self._close(closed.code, closed.reason)

    def _say(self, text: str) -> None:
        if not self._leaving:
            self._record(Said(text))
            self._client.send(text, self._fragment)
            if self._dribble is None:
                self._write(self._client)  # what breaks after this message comes after it

    # What breaks.

    def _meet(self, due: list[Fault]) -> None:
        for fault in due:
            if not self._leaving:
                self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        strikes: dict[type[Fault], Callable[..., None]] = {
            kinds.Refuse: self._refuse,
            kinds.StaleCredential: self._refuse_stale,
            kinds.Garbage: self._send_garbage,
            kinds.Reset: self._reset,
            kinds.Fin: self._fin,
            kinds.HalfOpen: self._go_deaf,
            kinds.Close: self._close_by_fault,
            kinds.Stall: self._stall,
            kinds.Say: self._surprise,
            kinds.Ping: self._ping,
            kinds.Dribble: self._start_dribble,
            kinds.Fragment: self._start_fragments,
            kinds.DelayMetadata: self._delay_metadata,
            kinds.NoClose: self._withhold_close,
            kinds.Alter: self._alter,
        }
        strikes[type(fault)](fault)

    def _refuse(self, fault: kinds.Refuse) -> None:
        request_id = new_request_id()
        body = fault.body if fault.body is not None else _body(fault, request_id)
        length = str(len(body.encode()))
        headers = Headers({"Content-Length": length, "Connection": "close", "dg-request-id": request_id})
        if fault.body is None:
            message = fault.message.encode("ascii", "backslashreplace").decode()
            headers.update({"Content-Type": "application/json", "dg-error": message})
        for name, value in fault.headers.items():
            headers[name] = value
        response = Response(fault.status, _phrase(fault.status), headers, body.encode())
        self._answer(response, Refused(fault.status, _headers(headers), body))

    def _answer(self, response: Response, refused: Refused) -> None:
        assert self._request
        self._client.answer(self._request, response)
        self._record(refused)
        self._how = "refused"
        self._leave()

    def _refuse_stale(self, _: kinds.StaleCredential) -> None:
        if self._stale:
            self._refuse(kinds.Refuse(401, "Invalid credentials."))

    def _send_garbage(self, fault: kinds.Garbage) -> None:
        self._client.unsent += fault.text.encode()
        self._client.write()
        raise Over("Garbage")

    def _reset(self, _: kinds.Reset) -> None:
        self._client.reset()
        raise Over("Reset")

    def _fin(self, _: kinds.Fin) -> None:
        self._drop_server()
        self._how = "Fin"
        self._leave()
        self._client.sock.shutdown(socket.SHUT_WR)  # closing it with unread audio would be a reset

    def _go_deaf(self, _: kinds.HalfOpen) -> None:
        self._deaf = True
        self._drop_server()

    def _close_by_fault(self, fault: kinds.Close) -> None:
        self._drop_server()
        self._how = "Close"
        if self._client.protocol.state is not OPEN:
            raise Over("Close")  # there is no frame before the handshake
        self._close(fault.code, fault.reason)

    def _close(self, code: int | None, reason: str) -> None:
        self._client.close(code, reason)
        self._record(Closed("server", 1005 if code is None else code, reason))
        self._leave()

    def _leave(self) -> None:
        """Read on until the client is gone, or long enough."""
        if self._leaving:
            return
        self._leaving = True
        self._write(self._client)
        self._await_farewell(max(self._client_writes_at - time.monotonic(), 0.0) + FAREWELL)

    def _await_farewell(self, seconds: float) -> None:
        """Give the client so long, and longer while what it was told still goes out."""
        unsent = len(self._client.unsent)

        def give_up() -> None:
            if len(self._client.unsent) == unsent:
                raise Over("closed")
            self._await_farewell(FAREWELL)

        self._later(seconds, give_up)

    def _stall(self, fault: kinds.Stall) -> None:
        until = time.monotonic() + fault.seconds
        if fault.what != "writes":
            self._client_reads_at = until
        if fault.what != "reads":
            self._client_writes_at = until

    def _surprise(self, fault: kinds.Say) -> None:
        self._say(fault.text)

    def _ping(self, _: kinds.Ping) -> None:
        if self._client.protocol.state is OPEN:
            self._client.send_frame(Opcode.PING, b"still there?")

    def _start_dribble(self, fault: kinds.Dribble) -> None:
        self._dribble = fault

    def _start_fragments(self, fault: kinds.Fragment) -> None:
        self._fragment = fault.size

    def _delay_metadata(self, fault: kinds.DelayMetadata) -> None:
        self._metadata_delay = fault.seconds

    def _withhold_close(self, _: kinds.NoClose) -> None:
        self._withholds_close = True

    def _alter(self, fault: kinds.Alter) -> None:
        self._alterations.append(fault)

    def _drop_server(self) -> None:
        server, self._server = self._server, None
        if server:
            with suppress(OSError):
                server.write()
            server.sock.close()


def _headers(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.raw_items()}


def _body(fault: kinds.Refuse, request_id: str) -> str:
    code = fault.code or CODES.get(fault.status, _phrase(fault.status))
    return json.dumps({"err_code": code, "err_msg": fault.message, "request_id": request_id})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _bytes_per_second(options: dict[str, list[str]]) -> int | None:
    """Of raw audio; ``None`` for a container."""
    encoding = options.get("encoding", [""])[-1]
    rate, channels = (options.get(name, ["1"])[-1] for name in ("sample_rate", "channels"))
    if not rate.isdecimal() or not channels.isdecimal():
        return None
    return AudioClock.of(encoding, int(rate), int(channels)).bytes_per_second
