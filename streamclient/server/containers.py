"""Compressed audio, decoded while it arrives: by FFmpeg through PyAV, in memory, a little at a time.

FFmpeg pulls: it asks for bytes when it wants some, and waits until it has them. A connection pushes. So FFmpeg runs in
a thread of its own, which works only while the connection's thread waits for it, and the other way round: a coroutine
that happens to be a thread. What the bytes so far make is therefore decoded when :meth:`CompressedReader.feed` is
through, no matter how fast the machine is.

========================  ==========================================================================
thread                    owns alone
========================  ==========================================================================
decoder (one a stream)    FFmpeg's container and codec; everything here while it has its turn
the stream's handler      everything here while it has its turn
========================  ==========================================================================

FFmpeg is told what to read and finds nothing out itself: among what it would try are playlists that open other files.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from streamclient.server.pcm import MAX_CHANNELS, MAX_RATE, MIN_RATE, Floats, Undecodable
from streamclient.sources.decode import lenient

__all__ = ["CompressedReader", "PacketReader", "id3_size", "sniff"]

log = logging.getLogger("streamclient.server")

PROBE = 2048
"""Bytes FFmpeg may look at before it decodes; the format is known, so this is for the codec's parameters only."""
FIRST_BITE = 512
"""Bytes FFmpeg is given at a time until there is audio: some of its readers take fewer for the end of a header."""
BLOCK = 4096
"""Bytes FFmpeg asks for at a time; fewer are fine."""
MAX_FRUITLESS = 8 << 20
"""Bytes that may bring no audio: FFmpeg collects what it takes for a picture or one enormous packet."""


def sniff(head: bytes) -> str:
    """FFmpeg's name of the container that begins like this; twelve bytes are enough.

    Raises:
        Undecodable: nothing that is known here begins so.
    """
    for offset, magic, name in MAGIC:
        if head[offset:].startswith(magic):
            return name
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    if head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and _is_mpeg_audio(head[1], head[2]):
        return "mp3"
    raise Undecodable("the audio is in no container that is decoded here, and no `encoding` says how to read it")


MAGIC = (
    (0, b"OggS", "ogg"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"fLaC", "flac"),
    (0, b"#!AMR", "amr"),
    (4, b"ftyp", "mov"),
)


def _is_mpeg_audio(first: int, second: int) -> bool:
    """Layer II or III, a known version, bit rate and sample rate: raw samples often begin with 0xFF, but rarely so."""
    version, layer = first >> 3 & 3, first >> 1 & 3
    return version != 1 and layer in (1, 2) and second >> 4 not in (0, 15) and second >> 2 & 3 != 3


def id3_size(head: bytes | bytearray) -> int:
    """Bytes of the ID3 tag that ``head`` begins with; 0 if it begins with none, or with too little of it to tell."""
    if len(head) < 10 or not head.startswith(b"ID3"):
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + 10 * bool(head[5] & 0x10)


class CompressedReader:
    """One container's audio, as arrays of the shape (samples, channels).

    Args:
        name: FFmpeg's name of the container.

    Attributes:
        rate: samples per second, once the first audio is decoded; 0 before.
        channels: likewise.
        ended: always ``False``: such a stream ends when the client says so.
    """

    ended = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.rate = 0
        self.channels = 0
        self.waiting = bytearray()  # not taken by FFmpeg yet
        self.fruitless = 0  # bytes since the last audio
        self.complete = False  # nothing will follow
        self.abandoned = False
        self.piece: Floats | None = None
        self.error: Exception | None = None
        self.over = False
        self._handlers_turn = threading.Semaphore(0)
        self._decoders_turn = threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    # The handler's side.

    def feed(self, data: bytes) -> Iterator[Floats]:
        """Decode as far as these bytes allow.

        Raises:
            Undecodable: they are not what they began like, or PyAV is not installed.
        """
        self.waiting += data
        self.fruitless += len(data)
        while (piece := self._next()) is not None:
            self.fruitless = 0
            yield piece
        if self.fruitless > MAX_FRUITLESS:
            raise Undecodable(f"{self.fruitless} bytes of {self.name} without any audio in them")

    def finish(self) -> Iterator[Floats]:
        """Decode what is held back."""
        self.complete = True
        while (piece := self._next()) is not None:
            yield piece

    def close(self) -> None:
        """End the thread; it is out of FFmpeg within one packet."""
        self.abandoned = self.complete = True
        self.waiting.clear()
        while self._thread and not self.over:
            self._let_work()
        if self._thread:
            self._thread.join()

    def _next(self) -> Floats | None:
        """Let the decoder work until it has some audio, or wants more bytes than there are."""
        self.piece = None
        if not self.over:
            self._let_work()
        error, self.error = self.error, None
        if error:
            raise Undecodable(f"a broken {self.name} stream: {error}") from error
        return self.piece

    def _let_work(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streamclient-server-decoder", daemon=True)
            self._thread.start()
        self._decoders_turn.release()
        self._handlers_turn.acquire()

    # The decoder's side.

    def read(self, size: int) -> bytes:
        """Give FFmpeg some bytes, after waiting for them; none mean the end."""
        while len(self.waiting) < (1 if self.rate else FIRST_BITE) and not self.complete:
            self._wait_for_turn()
        data = bytes(self.waiting[:size])
        del self.waiting[:size]
        return data

    def _wait_for_turn(self) -> None:
        self._handlers_turn.release()
        self._decoders_turn.acquire()

    def _run(self) -> None:
        self._decoders_turn.acquire()
        try:
            for piece in self._decode():
                self.piece = piece
                self._wait_for_turn()
                if self.abandoned:
                    return
        except Exception as error:  # noqa: BLE001 - FFmpeg's, PyAV's, and a missing PyAV: the handler is told
            if not self.complete:  # what ends in the middle of something is no error, it just ends
                self.error = error
        finally:
            self.over = True
            self._handlers_turn.release()

    def _decode(self) -> Iterator[Floats]:
        av = _import_av()
        options = {"probesize": str(PROBE), "protocol_whitelist": ""}
        with av.open(self, format=self.name, options=options, buffer_size=BLOCK, **lenient(av)) as container:
            if not container.streams.audio:
                raise Undecodable("there is no audio in it")
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            converter = Converter(self)
            for packet in container.demux(stream):
                yield from converter.convert(_decode_packet(packet))
            yield from converter.convert([None])


class PacketReader:
    """Packets of a codec in no container, each in a frame of its own.

    Args:
        codec: FFmpeg's name of it.
        rate: samples per second, for a codec whose packets do not say it.
        channels: in each packet.

    Attributes:
        rate: samples per second, once the first packet is decoded; 0 before.
        channels: of the arrays; likewise.
        ended: always ``False``.
    """

    ended = False

    def __init__(self, codec: str, rate: int, channels: int) -> None:
        av = _import_av()
        self.codec = av.CodecContext.create(codec, "r")
        self.codec.sample_rate = rate
        self.codec.layout = "mono" if channels == 1 else "stereo"
        self.rate = 0
        self.channels = 0
        self.converter = Converter(self)

    def feed(self, data: bytes) -> Iterator[Floats]:
        """Decode a packet; a damaged one is skipped, unless it is the first.

        Raises:
            Undecodable: it is no packet of this codec.
        """
        av = _import_av()
        try:
            yield from self.converter.convert(self.codec.decode(av.Packet(data)))
        except av.error.FFmpegError as error:
            if not self.rate:
                raise Undecodable(f"no packet of {self.codec.name}: {error}") from error

    def finish(self) -> Iterator[Floats]:
        """Decode what is held back."""
        if self.rate:
            yield from self.converter.convert([*self.codec.decode(None), None])

    def close(self) -> None:
        """There is nothing to give back."""


class Converter:
    """Decoded frames to arrays, all with the rate and the channels of the first, whatever the stream changes to.

    The samples are interleaved on their way: of planes PyAV 18 reads no more than seven, and crashes at the eighth.
    """

    def __init__(self, reader: CompressedReader | PacketReader) -> None:
        self.reader = reader
        self.layout: Any = None  # of the first frame
        self.resampler: Any = None
        self.source: tuple[str, str, int] | None = None  # what the resampler takes

    def convert(self, frames: Iterable[Any]) -> Iterator[Floats]:
        """Convert frames; a final ``None`` brings what is held back."""
        for frame in frames:
            for converted in self._resample(frame):
                samples: Floats = converted.to_ndarray().reshape(-1, self.reader.channels)
                yield samples

    def _resample(self, frame: Any) -> Iterator[Any]:
        source = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
        if self.resampler and source != self.source:
            yield from self.resampler.resample(None)
            self.resampler = None
        if frame:
            if self.resampler is None:
                self._open(frame, source)
            yield from self.resampler.resample(frame)

    def _open(self, frame: Any, source: tuple[str, str, int]) -> None:
        if self.layout is None:
            _check(frame)
            self.layout = frame.layout.name
            self.reader.rate = frame.sample_rate
            self.reader.channels = frame.layout.nb_channels
        self.source = source
        self.resampler = _import_av().AudioResampler(format="flt", layout=self.layout, rate=self.reader.rate)


def _check(frame: Any) -> None:
    channels, rate = frame.layout.nb_channels, frame.sample_rate
    if not 1 <= channels <= MAX_CHANNELS or not MIN_RATE <= rate <= MAX_RATE:
        raise Undecodable(f"{channels} channels at {rate} Hz")


def _decode_packet(packet: Any) -> list[Any]:
    """The frames of a packet; a damaged packet has none, and the next one may be whole."""
    try:
        frames: list[Any] = packet.decode()
    except _import_av().error.InvalidDataError as error:
        log.debug("a damaged packet is skipped: %s", error)
        return []
    return frames


def _import_av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise Undecodable(
            "compressed audio needs PyAV, which is not installed; install it with: pip install 'streamclient[server]'"
        ) from error
    return av
