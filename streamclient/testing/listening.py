"""A listening socket on this machine."""

import errno
import socket

from streamclient.server.errors import ServerStartError

__all__ = ["MOST_CONNECTIONS", "listen_here"]

MOST_CONNECTIONS = 1000
"""At a time, of a server of the kit."""


def listen_here(port: int) -> socket.socket:
    """Listen on 127.0.0.1; port 0 is any free one.

    Raises:
        ServerStartError: the port is taken or not allowed.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        why = {errno.EADDRINUSE: "it is taken", errno.EACCES: "it needs special rights"}.get(
            error.errno or 0, str(error)
        )
        raise ServerStartError(
            f"Cannot listen on port {port}: {why}.", hint="Choose another port, or 0 for any free one."
        ) from error
