"""The HTTP side of a connection: who may come in, and how a refusal looks (Deepgram: "Errors", "Authentication")."""

import hmac
import json
import os
import socket
import struct
import uuid
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import ServerConnection
from websockets.typing import Subprotocol

from streamclient.server.query import Refusal

__all__ = [
    "SCHEMES",
    "answer",
    "answer_json",
    "check_credentials",
    "limit_writes",
    "new_request_id",
    "refuse",
    "select_subprotocol",
]

SCHEMES = ("token", "bearer")
"""Of the header ``Authorization``, and as first entry of ``Sec-WebSocket-Protocol``."""


def check_credentials(headers: Headers, api_keys: Sequence[str], access_tokens: Sequence[str] = ()) -> None:
    """Let the request pass if it carries a key or a token, each with its own scheme, or if there are none of either.

    Raises:
        Refusal: 401.
    """
    if not api_keys and not access_tokens:
        return
    scheme, given = _credential(headers)
    known = {"token": api_keys, "bearer": access_tokens}.get(scheme, ())
    if not any(hmac.compare_digest(given.encode(), one.encode()) for one in known):
        raise Refusal(401, "INVALID_AUTH", "Invalid credentials.")


def _credential(headers: Headers) -> tuple[str, str]:
    """The scheme and what it says; a header is stronger than an offered subprotocol."""
    scheme, _, credential = ", ".join(headers.get_all("Authorization")).strip().partition(" ")
    if not scheme:
        offered = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
        scheme, credential = (*offered, "")[:2]
    return scheme.strip().lower(), credential.strip()


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Echo the scheme, never the key."""
    return offered[0] if offered and offered[0].lower() in SCHEMES else None


def refuse(refusal: Refusal, request_id: str) -> Response:
    """Make the response of a failed upgrade."""
    body = {"err_code": refusal.code, "err_msg": refusal.message, "request_id": request_id}
    response = answer_json(body, refusal.status)
    response.headers["dg-request-id"] = request_id
    response.headers["dg-error"] = refusal.message.encode("ascii", "backslashreplace").decode()
    return response


def answer_json(body: object, status: int = 200) -> Response:
    """Make a response that is no upgrade."""
    return answer(json.dumps(body).encode(), "application/json", status)


def answer(body: bytes, content_type: str, status: int = 200) -> Response:
    """Make a response of any kind; the connection ends with it."""
    headers = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Connection": "close",
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
        }
    )
    return Response(status, HTTPStatus(status).phrase, headers, body)


def new_request_id() -> str:
    """Name a request."""
    return str(uuid.uuid4())


def limit_writes(sock: socket.socket, seconds: float) -> None:
    """Let writing fail when the other side has read nothing for so long; where the system can."""
    if os.name == "posix" and hasattr(socket, "SO_SNDTIMEO"):
        whole, fraction = divmod(seconds, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(whole), int(fraction * 1e6)))
