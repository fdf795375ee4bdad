"""What is said when the extra is missing."""

from streamclient.errors import StreamClientError

__all__ = ["MissingKitError"]


class MissingKitError(StreamClientError, ImportError):
    """The libraries of the extra ``testing`` are not installed."""

    default_hint = "Install it with: pip install 'streamclient[testing]'"
