"""Clients that are not ours and need an environment of their own; ``python -m tests.strangers`` makes it."""
