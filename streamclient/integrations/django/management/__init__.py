"""For Django to find the command in."""
