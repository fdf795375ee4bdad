"""What the service has said so far: messages at their place in the stream, each word once, and what they cover."""

from streamclient.audio import Span
from streamclient.core.dialect import Dialect
from streamclient.core.timeline import Coverage, moved, without_known
from streamclient.events import Event, Utterance
from streamclient.messages import Message, Metadata, Results, SpeechStarted

__all__ = ["Heard"]


class Heard:
    """The memory of one stream, across its connections.

    Args:
        dialect: of the endpoint.

    Attributes:
        messages: how many came.
        metadata: the last summary.
        duration: seconds of audio decoded, as far as the service said.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.messages = 0
        self.metadata: Metadata | None = None
        self.duration = 0.0
        self._dialect = dialect
        self._assembler = dialect.assembler()
        self._coverage = Coverage()
        self._last_finals: dict[int, Results] = {}

    def receive(self, message: Message, base: float, most: float, *, again: bool) -> tuple[list[Event], bool]:
        """Take a message of a connection.

        Args:
            message: as it came.
            base: where the connection began, in seconds of the stream.
            most: seconds of the stream that the service can have heard; one that rounds up must not seem to have
                heard what it was not sent.
            again: whether this connection may repeat what an earlier one said.

        Returns:
            What the message means for hooks, in order, and whether the service got on.
        """
        self.messages += 1
        placed = self._placed(moved(message, base), again=again)
        if placed is None:
            return [], False
        if isinstance(placed, Metadata):
            self.metadata = placed
            self.duration = max(self.duration, base + placed.duration)
        final_end = self._dialect.final_end(placed)
        progress = self._coverage.receive(placed, final_end and (final_end[0], min(final_end[1], most)))
        if self.metadata is None:
            self.duration = max(self.duration, self.furthest)
        return [placed, *self._assembler.receive(placed)], progress

    def finish(self) -> list[Utterance]:
        """Nothing more will be said: the utterances that were not closed."""
        return self._assembler.finish()

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All so far; those last that finals have begun and no boundary has ended yet."""
        return (*self._assembler.utterances, *self._assembler.begun)

    @property
    def furthest(self) -> float:
        """Until where any result reaches, in seconds."""
        return self._coverage.furthest

    @property
    def confirmed(self) -> float:
        """Until where every channel has its finals, in seconds."""
        return self._coverage.confirmed

    def unconfirmed(self, accepted: float) -> Span | None:
        """The audio after that, of so many seconds that were accepted."""
        return self._coverage.unconfirmed(accepted)

    def _placed(self, message: Message, *, again: bool) -> Message | None:
        """The message without what was final before; the same final said twice in a row counts once."""
        if isinstance(message, Results) and message.is_final and message.transcript:
            if message == self._last_finals.get(message.channel):
                return None
            self._last_finals[message.channel] = message
        if again and isinstance(message, Results):
            return without_known(message, self._coverage.final_until(message.channel))
        if again and isinstance(message, SpeechStarted):
            return message if message.timestamp >= self._coverage.final_until(message.channel) else None
        return message
