"""A Deepgram-compatible server on this machine: for work without a key or internet, and for tests.

It speaks ``/v1/listen`` and recognises with an engine (see ``streamclient.server.engines``)::

    from streamclient.server import LocalServer

    with LocalServer(engine="pocketsphinx") as server:
        print(server.url)
"""

from streamclient.server.errors import EngineError, MissingExtraError, ServerStartError

try:
    from streamclient.server.app import LocalServer
    from streamclient.server.settings import Behaviour, Limits, Timeouts
except ModuleNotFoundError as error:  # pragma: no cover - needs an installation without the extra
    if error.name is None or error.name.partition(".")[0] not in ("numpy", "soxr", "websockets"):
        raise
    raise MissingExtraError(f"The local server needs {error.name}, which is not installed") from error

__all__ = ["Behaviour", "EngineError", "Limits", "LocalServer", "MissingExtraError", "ServerStartError", "Timeouts"]
