"""Audio on disk as it was sent: raw samples as WAV, anything else as it is, under the suffix it should have."""

import io
import os
import struct
from pathlib import Path

from streamclient import FluxOptions, ListenOptions

__all__ = ["SUFFIXES", "AudioFile", "container_suffix", "suffix_of"]

FORMATS = {"linear16": (1, 2), "linear32": (3, 4), "alaw": (6, 1), "mulaw": (7, 1)}
"""WAV's format tag and the bytes of a sample, for each raw encoding that WAV can hold."""

UNKNOWN = 0xFFFFFFFF
"""The length in a header whose audio has not ended; readers then read to the end of the file."""

SIGNATURES = (
    (0, b"RIFF", ".wav"),
    (0, b"OggS", ".ogg"),
    (0, b"fLaC", ".flac"),
    (0, b"\x1a\x45\xdf\xa3", ".webm"),
    (0, b"ID3", ".mp3"),
    (0, b"\xff\xfb", ".mp3"),
    (0, b"\xff\xf1", ".aac"),
    (0, b"\xff\xf9", ".aac"),
    (0, b"#!AMR", ".amr"),
    (0, b"FORM", ".aiff"),
    (4, b"ftyp", ".mp4"),
    (0, b"G", ".ts"),
)
"""Where which first bytes stand, and the suffix they ask for; the surest first."""

CODECS = {
    "flac": ".flac",
    "ogg-opus": ".ogg",
    "opus": ".opus-packets",
    "amr-nb": ".amr",
    "amr-wb": ".awb",
    "speex": ".spx",
    "g729": ".g729",
}
"""The suffixes of other encodings. Packets of Opus without a container are no file that a player knows."""

ANYTHING = ".audio"
SUFFIXES = tuple(dict.fromkeys([*(suffix for _, _, suffix in SIGNATURES), *CODECS.values(), ANYTHING]))
"""Every suffix that a recording can get."""

FLAGS = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

Options = ListenOptions | FluxOptions


class AudioFile:
    """One recording, written without a buffer, so that a killed process loses nothing of what was written.

    Args:
        path: the file.
        options: of the stream.
        overwrite: whether the file may be there already.

    Raises:
        OSError: it cannot be opened, or is there already.
    """

    def __init__(self, path: Path, options: Options, *, overwrite: bool) -> None:
        self._path = path
        self._header = _wav_header(options, None)
        self._options = options
        more = os.O_TRUNC if overwrite else os.O_EXCL
        self._file = io.FileIO(path, "wb", opener=lambda name, _: os.open(name, FLAGS | more, 0o666))
        self.write(self._header)

    def write(self, audio: bytes) -> None:
        """Add audio. When it cannot all be written, the recording ends with what could.

        Raises:
            OSError: says where the recording ends. Nothing more is written then.
        """
        if self._file.closed:
            return
        try:
            self._write(audio)
        except OSError as error:
            self.close()
            reason = f"{error.strerror}; the recording ends here, the stream goes on"
            raise OSError(error.errno, reason, str(self._path)) from error

    def close(self) -> None:
        """Close the file; its header then says how long it is."""
        if self._file.closed:
            return
        with self._file:
            size = os.fstat(self._file.fileno()).st_size - len(self._header)
            if self._header and size >= 0 and self._file.seekable():
                self._file.seek(0)
                self._file.write(_wav_header(self._options, size))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]


def suffix_of(options: Options, start: bytes) -> str:
    """The suffix for a stream that begins with these bytes."""
    if options.encoding in FORMATS:
        return ".wav"
    if options.encoding:
        return CODECS.get(options.encoding, ANYTHING)
    return container_suffix(start) or ANYTHING


def container_suffix(start: bytes) -> str | None:
    """The suffix of the container that begins with these bytes; ``None`` for none that is known."""
    return next((suffix for place, signature, suffix in SIGNATURES if start[place:].startswith(signature)), None)


def _wav_header(options: Options, size: int | None) -> bytes:
    """The header of so many bytes of raw audio, ``None`` for an unknown number; empty for what is not raw."""
    if options.encoding not in FORMATS:
        return b""
    tag, width = FORMATS[options.encoding]
    channels = getattr(options, "channels", None) or 1
    rate = options.sample_rate or 0
    frame = width * channels
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, 8 * width)
    chunks = _chunk(b"fmt ", form if tag == 1 else form + struct.pack("<H", 0))
    if tag != 1:
        chunks += _chunk(b"fact", struct.pack("<I", UNKNOWN if size is None else min(size // frame, UNKNOWN)))
    whole = UNKNOWN if size is None else min(4 + len(chunks) + 8 + size, UNKNOWN)
    data = UNKNOWN if size is None or whole == UNKNOWN else size
    return b"RIFF" + struct.pack("<I", whole) + b"WAVE" + chunks + b"data" + struct.pack("<I", data)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
