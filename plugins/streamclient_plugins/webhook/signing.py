"""Signatures of Standard Webhooks: who holds a secret can tell that a post is ours, new and unchanged."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

__all__ = ["SECRET_PREFIX", "Signer"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret."""


class Signer:
    """Signs with every secret there is, so that a receiver can change from one to the next at its own time.

    Args:
        secrets: each ``whsec_`` and the base64 of 24 to 64 bytes; without any nothing is signed.

    Raises:
        ValueError: one is no such text. The error does not show it.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keys = [_key(secret) for secret in secrets]

    def __repr__(self) -> str:
        return f"<Signer: {len(self._keys)} secrets>"

    def headers(self, id: str, timestamp: int, body: bytes) -> dict[str, str]:  # noqa: A002 - as the header says
        """The headers for one attempt.

        Args:
            id: of what is sent, the same at each attempt.
            timestamp: of this attempt, in seconds since 1970.
            body: what is sent.
        """
        headers = {"webhook-id": id, "webhook-timestamp": str(timestamp)}
        if self._keys:
            content = b"%s.%d.%s" % (id.encode(), timestamp, body)
            headers["webhook-signature"] = " ".join(_signature(key, content) for key in self._keys)
        return headers


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    encoded = secret.strip().removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.strip().startswith(SECRET_PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"secret must be {SECRET_PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes") from None
    return key
