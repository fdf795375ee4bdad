"""What a stream costs, next to a plain websocket-client loop; ``python -m bench`` prints it."""
