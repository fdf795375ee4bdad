"""The audio of a stream as a track of time: which byte is heard when, and from where a connection can begin again."""

from math import inf
from typing import Protocol

from streamclient.audio import AudioClock, sniff_container
from streamclient.core.containers.flac import Flac
from streamclient.core.containers.matroska import Matroska
from streamclient.core.containers.mpeg import Adts, Mp3, is_adts_frame, is_mp3_frame
from streamclient.core.containers.ogg import Ogg
from streamclient.core.containers.transport_stream import TransportStream, is_transport_stream
from streamclient.core.containers.walk import Place, Walk
from streamclient.core.containers.wav import Wav

__all__ = ["ContainerTrack", "Place", "RawTrack", "Track", "track_for"]

SNIFF_BYTES = 192
"""Enough to see the second packet of an MPEG transport stream."""

DECODERS_DIFFER = 0.1
"""Seconds that a decoder may hear more than the container tells, or as many as its longest piece: the last does not say
how long it is."""

WALKS: dict[str, type[Walk]] = {"WAV": Wav, "FLAC": Flac, "Ogg": Ogg, "WebM or Matroska": Matroska, "MP3": Mp3}
"""Containers that can be taken up in the middle. MP4 cannot: its samples are described elsewhere in the file."""


class Track(Protocol):
    """What is known of the audio's time."""

    @property
    def follows(self) -> bool:
        """Whether places are found as the audio goes on; else the stream can only be sent again from its start."""

    @property
    def begins_again(self) -> bool:
        """Whether another file follows the first, which no service hears."""

    @property
    def frame_bytes(self) -> int | None:
        """How much the audio itself says may go into one websocket frame; ``None`` where it says nothing."""

    def receive(self, audio: bytes) -> None:
        """The next bytes that were accepted."""

    def seconds_at(self, offset: int) -> float:
        """When the byte at ``offset`` is heard; 0.0 where only the service can tell."""

    def most_seconds(self, sent: int) -> float:
        """How much a service can have heard that was sent so many bytes; infinite where only it can tell."""

    def place_for(self, confirmed: float, sent: int) -> Place:
        """Where to begin again when everything before ``confirmed`` seconds is known and ``sent`` bytes were sent.

        Both only grow from one call to the next.
        """


class RawTrack:
    """Raw audio: every sample is a place."""

    follows = True
    begins_again = False
    frame_bytes = None

    def __init__(self, clock: AudioClock) -> None:
        assert clock.bytes_per_second
        self._bytes_per_second = clock.bytes_per_second
        self._sample = clock.bytes_per_sample_frame

    def receive(self, audio: bytes) -> None:
        """Nothing has to be found in raw audio."""

    def seconds_at(self, offset: int) -> float:
        """When the byte at ``offset`` is heard."""
        return offset / self._bytes_per_second

    def most_seconds(self, sent: int) -> float:
        """All that was sent, in whole samples."""
        return self.seconds_at(sent - sent % self._sample)

    def place_for(self, confirmed: float, sent: int) -> Place:
        """The whole sample there."""
        seconds = min(confirmed, self.most_seconds(sent))
        offset = round(seconds * self._bytes_per_second / self._sample) * self._sample
        return Place(offset, self.seconds_at(offset))


class ContainerTrack:
    """Audio in a container, which its first bytes name; one that is not known is only sent again from its start."""

    def __init__(self) -> None:
        self._start = b""
        self._walk: Walk | None = None
        self.follows = True

    def receive(self, audio: bytes) -> None:
        """The next bytes that were accepted."""
        if self._walk is not None:
            self._walk.receive(audio)
            self.follows = self._walk.follows
        elif self.follows:
            self._start += audio
            if len(self._start) >= SNIFF_BYTES:
                self._begin()

    @property
    def begins_again(self) -> bool:
        """Whether another file follows the first, which no service hears."""
        return self._walk is not None and self._walk.begins_again

    @property
    def frame_bytes(self) -> int | None:
        """How much may go into one websocket frame, once the container has said it."""
        return self._walk.frame_bytes if self._walk else None

    def _begin(self) -> None:
        start, self._start = self._start, b""
        walk = _walk_for(start)
        if walk is None:
            self.follows = False
            return
        self._walk = walk()
        self.receive(start)

    def seconds_at(self, offset: int) -> float:
        """When the byte at ``offset`` is heard, about; 0.0 where only the service can tell."""
        return self._walk.seconds_at(offset) if self._walk else 0.0

    def most_seconds(self, sent: int) -> float:  # noqa: ARG002 - places lie too far apart to tell
        """All that was accepted, and what a decoder may add; infinite where only the service can tell."""
        if self._walk is None or not self.follows:
            return inf
        return self._walk.seconds + max(DECODERS_DIFFER, self._walk.longest_piece)

    def place_for(self, confirmed: float, sent: int) -> Place:
        """The last place before ``confirmed`` seconds."""
        return self._walk.place_for(confirmed, sent) if self._walk else Place()


def track_for(clock: AudioClock) -> Track:
    """The track of raw audio, or of audio that says itself what it is."""
    return ContainerTrack() if clock.bytes_per_second is None else RawTrack(clock)


def _walk_for(start: bytes) -> type[Walk] | None:
    """How to walk through a container with these first bytes."""
    container = sniff_container(start)
    if container is not None:
        return WALKS.get(container)
    if is_transport_stream(start):
        return TransportStream
    return Adts if is_adts_frame(start) else Mp3 if is_mp3_frame(start) else None
