"""The web page that tries the server out: one file, which needs nothing from anywhere else."""

from importlib.resources import files

from websockets.http11 import Response

from streamclient.server.handshake import answer

__all__ = ["answer_page", "load_page"]

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data:;"
    " connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is fetched but what the server itself has; ``blob:`` is the page's own audio worklet."""


def load_page() -> bytes:
    """Read it."""
    return files(__package__).joinpath("page.html").read_bytes()


def answer_page(page: bytes) -> Response:
    """Make the response."""
    response = answer(page, "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
