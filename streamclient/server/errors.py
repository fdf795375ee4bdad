"""What can keep a local server from starting; both are shown to a person as they are."""

from streamclient.errors import StreamClientError

__all__ = ["EngineError", "MissingExtraError", "ServerStartError"]


class ServerStartError(StreamClientError):
    """The server could not start: the port is taken, the host is unknown, an option is wrong."""


class EngineError(ServerStartError):
    """A recognition engine cannot be found, loaded or started."""


class MissingExtraError(EngineError, ImportError):
    """The libraries of the extra ``server`` are not installed.

    It is an :class:`ImportError` too, because importing ``streamclient.server`` raises it.
    """

    default_hint = "Install it with: pip install 'streamclient[server]'"
