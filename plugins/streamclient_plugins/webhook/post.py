"""Posts letters over HTTP, one after the other on one connection; h11 (extra ``webhook``) knows what HTTP is.

No error here shows more of a URL than its host, and nothing is logged. URLs of receivers are secrets, and the libraries
above h11 write them, or answers that repeat them, into logs of their own.
"""

import socket
import ssl

import h11

from streamclient import __version__
from streamclient_plugins.webhook.outbox import Letter
from streamclient_plugins.webhook.rules import Answer, read_retry_after
from streamclient_plugins.webhook.target import Target
from streamclient_plugins.webhook.wire import Wire

__all__ = ["Poster"]

BODY_LIMIT = 65536
"""Bytes of an answer that are read; a longer one costs a new connection for the next post."""


class Poster:
    """Posts to one target. Used by one thread; `cut` may be called by any.

    Args:
        target: where to.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._wire = Wire(target)

    def post(self, letter: Letter, now: float) -> Answer:
        """Post a letter and wait for the answer.

        Args:
            letter: what to post.
            now: the time for the signature.

        Returns:
            What came of it; an answer that did not come whole and in time is none.
        """
        http = h11.Connection(h11.CLIENT)
        try:
            self._wire.begin()
            self._wire.send(self._request(http, letter, now))
            response = self._response(http)
        except (OSError, h11.ProtocolError) as error:
            self._wire.close()
            return Answer(error=_describe(error, self._target, has_ended=http.trailing_data[1]))
        if http.their_state is not h11.DONE or http.trailing_data[0]:
            self._wire.close()
        retry_after = dict(response.headers).get(b"retry-after", b"")
        return Answer(response.status_code, retry_after=read_retry_after(retry_after.decode("latin-1"), now))

    def cut(self) -> None:
        """End a post that is under way, with a failure."""
        self._wire.cut()

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _request(self, http: h11.Connection, letter: Letter, now: float) -> bytes:
        headers = {
            "Host": self._target.parts.netloc,
            "User-Agent": f"streamclient/{__version__}",
            "Content-Type": "application/json",
            "Content-Length": str(len(letter.body)),
            **self._target.signer.headers(letter.id, int(now), letter.body),
        }
        request = h11.Request(method="POST", target=self._target.path, headers=list(headers.items()))
        return http.send(request) + http.send(h11.Data(letter.body)) + http.send(h11.EndOfMessage())

    def _response(self, http: h11.Connection) -> h11.Response:
        """The answer, when it has come to its end or its limit."""
        length = 0
        while not isinstance(response := self._next(http), h11.Response):
            pass  # there may be an interim one before
        while length < BODY_LIMIT and isinstance(data := self._next(http), h11.Data):
            length += len(data.data)
        return response

    def _next(self, http: h11.Connection) -> object:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(self._wire.receive())
        return event


def _describe(error: Exception, target: Target, *, has_ended: bool) -> str:
    host = target.host
    match error:
        case TimeoutError():
            return f"no whole answer of {host} within {target.timeout:g} s"
        case socket.gaierror():
            return f"the address of {host} cannot be found: {error.strerror}"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {host} is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS with {host}: {error.reason}"
        case OSError():
            return f"no connection with {host}: {error.strerror or type(error).__name__}"
    return (
        f"{host} closed the connection before the end of its answer" if has_ended else f"{host} does not answer in HTTP"
    )
