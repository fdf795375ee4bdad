"""Audio in: anything that holds audio, as blocks of bytes.

`audio_chunks` takes what a Python program has at hand; `open_source` takes what a person types.
Nothing here decodes, except `decode`, which needs the extra ``audio``.
"""

from streamclient.sources.chunks import audio_chunks
from streamclient.sources.errors import MissingExtra, SourceError
from streamclient.sources.files import AudioSource, open_source
from streamclient.sources.microphone import Microphone

__all__ = ["AudioSource", "Microphone", "MissingExtra", "SourceError", "audio_chunks", "open_source"]
