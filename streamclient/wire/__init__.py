"""The way to the service: credentials, sockets, and the only module that knows websocket-client."""
