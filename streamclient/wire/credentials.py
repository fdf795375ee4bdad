"""The key or token, and how it goes to the service without being seen anywhere else."""

import os
from collections.abc import Callable

from streamclient.errors import AuthenticationError, ConnectError, OptionsError, hides_arguments

__all__ = ["Credentials"]

SERVICE_HOST = "deepgram.com"


class Credentials:
    """An API key, or an access token that may be asked for anew before every connection.

    Args:
        api_key: the key; without key and token, ``$DEEPGRAM_API_KEY``.
        access_token: a temporary token, or a callable that returns one.

    Raises:
        OptionsError: both are given, or one is not a text of one line.
    """

    def __init__(self, api_key: str | None, access_token: str | Callable[[], str] | None) -> None:
        if api_key is not None and access_token is not None:
            raise OptionsError("api_key and access_token are both given", hint="Give the one that is to be used.")
        name = "api_key"
        if api_key is None and access_token is None:
            name = "DEEPGRAM_API_KEY"
            api_key = os.environ.get(name, "").strip() or None
        self._api_key = None if api_key is None else _one_line(name, api_key)
        self._access_token = (
            access_token if access_token is None or callable(access_token) else _one_line("access_token", access_token)
        )

    def __repr__(self) -> str:
        kind = "api_key" if self._api_key else "access_token" if self._access_token else "none"
        return f"<Credentials: {kind}>"

    def header(self, host: str) -> tuple[str, str] | None:
        """Scheme and secret of the ``Authorization`` header, ``None`` without any (a self-hosted service needs none).

        Raises:
            ConnectError: the callable failed; its exception is the cause.
            AuthenticationError: Deepgram's own service is to be reached without key and token.
        """
        if self._api_key is not None:
            return "Token", self._api_key
        if callable(self._access_token):
            return "Bearer", _ask(self._access_token)
        if self._access_token is not None:
            return "Bearer", self._access_token
        if host == SERVICE_HOST or host.endswith(f".{SERVICE_HOST}"):
            raise AuthenticationError(
                "There is no API key",
                hint="Set DEEPGRAM_API_KEY, or give api_key, access_token or another url. Without a key, "
                "'streamclient serve' starts a server here: set STREAMCLIENT_URL to the address it prints.",
            )
        return None


def _ask(access_token: Callable[[], str]) -> str:
    try:
        token = access_token()
    except BaseException as error:  # not even SystemExit may end the sender: its stream would have no end
        raise ConnectError(f"The access_token callable failed: {type(error).__name__}", retryable=True) from error
    try:
        return _one_line("access_token", token)
    except OptionsError as error:
        del token  # error pages show what frames hold
        raise ConnectError("The access_token callable returned no token") from error


@hides_arguments
def _one_line(name: str, secret: object) -> str:
    """The secret without the line end that a file brings along. Errors must not show it."""
    text = secret.strip() if isinstance(secret, str) else ""
    if not text or not text.isprintable() or not text.isascii() or " " in text:
        raise OptionsError(f"{name} must be a text of one line, without spaces")
    return text
