"""The HTTP side of a connection: who may come in, and how a refusal looks (Deepgram: "Errors", "Authentication")."""

import hmac
import json
import uuid
from collections.abc import Sequence
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import ServerConnection
from websockets.typing import Subprotocol

from streamclient.server.query import Refusal

__all__ = ["SCHEMES", "check_credentials", "new_request_id", "refuse", "select_subprotocol"]

SCHEMES = ("token", "bearer")
"""Of the header ``Authorization``, and as first entry of ``Sec-WebSocket-Protocol``."""


def check_credentials(headers: Headers, api_keys: Sequence[str]) -> None:
    """Let the request pass if it carries one of the keys, or if none are configured.

    A key is accepted as ``Token`` and as ``Bearer``: this server grants no temporary tokens that could be told apart.

    Raises:
        Refusal: 401.
    """
    if not api_keys:
        return
    given = _credential(headers).encode()
    if not any(hmac.compare_digest(given, key.encode()) for key in api_keys):
        raise Refusal(401, "INVALID_AUTH", "Invalid credentials.")


def _credential(headers: Headers) -> str:
    scheme, _, credential = headers.get("Authorization", "").strip().partition(" ")
    if not scheme:
        offered = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
        scheme, credential = (*offered, "")[:2]
    return credential.strip() if scheme.strip().lower() in SCHEMES else ""


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Echo the scheme, never the key."""
    return offered[0] if offered and offered[0].lower() in SCHEMES else None


def refuse(refusal: Refusal, request_id: str) -> Response:
    """Make the response of a failed upgrade."""
    body = json.dumps({"err_code": refusal.code, "err_msg": refusal.message, "request_id": request_id}).encode()
    headers = Headers(
        {
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "dg-error": refusal.message.encode("ascii", "backslashreplace").decode(),
        }
    )
    return Response(refusal.status, HTTPStatus(refusal.status).phrase, headers, body)


def new_request_id() -> str:
    """Name a request."""
    return str(uuid.uuid4())
