"""What goes up: audio and control messages in their order, cut into frames, and sent again from where finals end."""

from streamclient.audio import AudioClock
from streamclient.core.actions import Frame, FrameKind
from streamclient.core.containers import Place, track_for
from streamclient.core.dialect import Dialect
from streamclient.core.journal import Journal, Room, Spilled
from streamclient.policies import BufferPolicy

__all__ = ["Upload"]

# Looked up once: before Python 3.12 an enum's member costs as much as a call, and this is asked for with every chunk.
IN_MEMORY = Room.MEMORY

BATCH_BYTES = 65536
"""Audio taken at a time, so that an answer to a ping never waits behind more than this."""


class Upload:
    """The caller's side of one stream, across its connections.

    Args:
        dialect: of the endpoint.
        clock: of the audio.
        buffer: bounds.
        keeps: whether what was sent is kept until finals cover it.

    Attributes:
        place: where the next connection begins.
        frames: audio frames taken so far.
        keeps: whether a new connection can be sent what an old one was.
    """

    def __init__(self, dialect: Dialect, clock: AudioClock, buffer: BufferPolicy, *, keeps: bool) -> None:
        self.place = Place()
        self.frames = 0
        self.keeps = keeps
        self._dialect = dialect
        self._track = track_for(clock)
        self._journal = Journal(
            buffer.max_memory,
            buffer.max_disk,
            clock.frame_bytes,
            keeps=keeps,
            joins=not clock.in_packets,
            sample_bytes=clock.bytes_per_sample_frame,
        )
        self._configuration: str | None = None

    # What is accepted.

    def room(self, size: int) -> Room:
        """Where ``size`` more bytes may be added now."""
        return self._journal.room(size)

    def make_room(self) -> None:
        """Where no final will ever free what is kept, go on without being able to send it again."""
        if self.keeps and not self._track.follows:
            self.keeps = False
            self._journal.stop_keeping()

    def refuse_disk(self) -> None:
        """The disk takes no more audio: go on with memory alone."""
        self._journal.refuse_disk()

    def accept(self, audio: bytes) -> bool:
        """Accept a chunk if memory has room for it; the usual case."""
        if self._journal.room(len(audio)) is not IN_MEMORY:
            return False
        self._journal.add_audio(audio)
        self._follow(audio)
        return True

    def accept_spilled(self, audio: bytes, where: Spilled) -> None:
        """Accept a chunk that lies on disk."""
        self._journal.add_audio(where)
        self._follow(audio)

    def _follow(self, audio: bytes) -> None:
        self._track.receive(audio)
        self._journal.frame_bytes = self._track.frame_bytes or self._journal.frame_bytes

    def accept_control(self, text: str) -> None:
        """Accept a control message, which keeps its place among the audio."""
        self._journal.add_control(text)

    # What is sent.

    @property
    def waits(self) -> bool:
        """Whether anything accepted is still to be taken."""
        return bool(self._journal)

    def take(self) -> list[Frame]:
        """The next frames, in order."""
        frames: list[Frame] = []
        room = BATCH_BYTES
        while room > 0 and self._journal:
            payload = self._journal.take()
            room -= len(payload)
            if isinstance(payload, str):
                self._configuration = self._dialect.configured(self._configuration, payload)
                frames.append(Frame(FrameKind.TEXT, payload))
            else:
                self.frames += 1
                frames.append(Frame(FrameKind.AUDIO, payload))
        return frames

    def begin(self) -> tuple[Frame, ...]:
        """A connection begins at `place`; what it is told first: settings, and how to decode what follows."""
        self._journal.rewind()
        header, size = self.place.header, self._journal.frame_bytes
        pieces = [Frame(FrameKind.AUDIO, header[start : start + size]) for start in range(0, len(header), size)]
        if self._configuration is not None:
            return (Frame(FrameKind.TEXT, self._configuration), *pieces)
        return tuple(pieces)

    def confirm(self, seconds: float) -> None:
        """Everything before that is final: it will not be sent again."""
        place = self._track.place_for(seconds, self.bytes_taken)  # in any case, or the track would keep all places
        if self.keeps:
            self.place = place
            self._journal.confirm(place.offset)

    def discard(self) -> None:
        """The stream has ended: nothing will be taken any more. The counts stay."""
        self._journal.discard()

    # What is known. Seconds are 0.0 where only the service can tell.

    @property
    def bytes_accepted(self) -> int:
        """Bytes of audio accepted."""
        return self._journal.audio_accepted

    @property
    def bytes_taken(self) -> int:
        """Bytes of audio handed to the network; less once a connection begins again."""
        return self._journal.audio_taken

    @property
    def seconds_accepted(self) -> float:
        """Seconds of audio accepted."""
        return self._track.seconds_at(self.bytes_accepted)

    @property
    def seconds_taken(self) -> float:
        """Seconds of audio handed to the network."""
        return self._track.seconds_at(self.bytes_taken)

    @property
    def begins_again(self) -> bool:
        """Whether another file follows the first, which no service hears."""
        return self._track.begins_again

    @property
    def most_seconds(self) -> float:
        """How much the service can have heard; infinite where only it can tell."""
        return self._track.most_seconds(self.bytes_taken)
