"""Blocking, thread-based live transcription: every transcript of every byte of audio, in order, exactly once."""

__version__ = "0.1.0"
