"""Where to post, and what is asked of whoever answers there."""

import hashlib
import ssl
from urllib.parse import SplitResult, urlsplit

from attrs import field, frozen

from streamclient_plugins.webhook.signing import Signer

__all__ = ["Target"]

HTTP_PORT, HTTPS_PORT = 80, 443


@frozen
class Target:
    """Where to post, and how.

    Args:
        url: ``http`` or ``https``; it is a secret.
        signer: signs each post.
        ca_file: certificate authorities to trust instead of the system's.
        allow_private: also post to addresses that are not of the public internet.
        timeout: seconds for a whole post.
        name: what it is called where the URL must not be seen; by default its host and a digest of it all.

    Raises:
        ValueError: the URL cannot be one, or the certificate authorities cannot be read.
    """

    url: str = field(repr=False)
    signer: Signer = field(factory=lambda: Signer(()))
    ca_file: str | None = None
    allow_private: bool = True
    timeout: float = 15.0
    name: str = ""
    parts: SplitResult = field(init=False, repr=False)
    tls: ssl.SSLContext | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        parts = _split(self.url)
        tls = _trusting(self.ca_file) if parts.scheme == "https" else None
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        for name, value in (
            ("parts", parts),
            ("tls", tls),
            ("name", self.name or f"{parts.scheme}://{parts.netloc}#{digest}"),
        ):
            object.__setattr__(self, name, value)

    @property
    def host(self) -> str:
        """The name or address of the receiver."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        return self.parts.port or (HTTPS_PORT if self.tls else HTTP_PORT)

    @property
    def path(self) -> str:
        """What is asked of the receiver."""
        return (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # as SSLError is
        raise ValueError(f"ca_file={ca_file!r} cannot be used: {error.strerror or error}") from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "").encode("idna")
        fits = parts.scheme in ("http", "https") and bool(name) and parts.port != 0
    except ValueError:  # as UnicodeError is
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("url must be http://host/path or https://host/path, in ASCII without spaces")
    if parts.username is not None:
        raise ValueError("url must not hold a user or a password; posts are signed with the option secret")
    return parts
