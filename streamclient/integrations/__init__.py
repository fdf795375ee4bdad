"""For web frameworks. Each is in a module of its own, which needs that framework and nothing else does."""
