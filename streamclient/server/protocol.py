"""One connection to ``/v1/listen``, without sockets, threads or clocks: the twin of the client's protocol.

What arrives goes in with the time it arrived at, what is to be sent comes out: dictionaries for text frames and at
last one :class:`Close`. Everything is decided here; the threads around it only carry.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import attrs

from streamclient.server.audio import AudioDecoder
from streamclient.server.channel import Channel, ChannelEvent
from streamclient.server.engines.base import SAMPLE_RATE, Engine, Samples
from streamclient.server.pcm import Undecodable
from streamclient.server.query import TOO_MANY_KEYTERMS, ListenRequest, are_few
from streamclient.server.results import Message, Messages
from streamclient.server.settings import Behaviour, Timeouts

__all__ = ["Close", "ListenProtocol", "Output"]

log = logging.getLogger("streamclient.server")

SLICE = SAMPLE_RATE // 4
"""Samples recognised at a time, so that results of a large frame leave while the rest of it is worked on."""
NO_INPUT = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
NO_OUTPUT = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
UNDECODABLE = "DATA-0000"


@attrs.frozen
class Close:
    """Close the connection with this code and reason; nothing follows."""

    code: int = 1000
    reason: str = ""


Output = Message | Close


class ListenProtocol:
    """What the server knows and decides about one connection.

    ``receive_*`` and ``tick`` are generators: take all they give. After :class:`Close` came out they give nothing.

    Args:
        request: what the client asked for.
        engine: recognises.
        request_id: names the connection.
        now: the time of any steady clock, in seconds; the other methods want the same clock.
        timeouts: how long to wait for what.
        behaviour: what to do where there is a choice.

    Attributes:
        closed: the :class:`Close` that came out, if it did.
        paused_until: when the next frame may be taken, on the same clock.
    """

    def __init__(
        self,
        request: ListenRequest,
        engine: Engine,
        request_id: str,
        now: float,
        timeouts: Timeouts | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.request = request
        self.engine = engine
        self.request_id = request_id
        self.timeouts = timeouts or Timeouts()
        self.behaviour = behaviour or Behaviour()
        self.wording = request.wording
        self.terms = request.terms
        self.created = datetime.now(timezone.utc)
        self.decoder = AudioDecoder(request.audio, separate=request.multichannel)
        self.sha256 = hashlib.sha256()
        self.received = 0  # bytes of audio
        self.channels: list[Channel] = []
        self.messages = self._messages(1)
        self.opened = self.silent_since = self.paused_until = now
        self.container_ended: float | None = None
        self.has_spoken = False  # any message went out
        self.closed: Close | None = None

    # What comes in.

    def receive_audio(self, data: bytes, now: float) -> Iterator[Output]:
        """Take a binary frame; an empty one ends the stream (deprecated, but honoured)."""
        if self.closed:
            return
        self.silent_since = now
        if not data:
            yield from self._end()
            return
        self.sha256.update(data)
        self.received += len(data)
        before = self.duration
        try:
            yield from self._recognise(self.decoder.feed(data))
        except Undecodable as error:
            yield from self._give_up(error)
        self._pace(self.duration - before, now)
        if self.decoder.ended and self.container_ended is None:
            self.container_ended = now

    def receive_text(self, text: str, now: float) -> Iterator[Output]:
        """Take a text frame: a control message, or something to complain about."""
        if self.closed:
            return
        self.silent_since = now
        try:
            control = _parse(text)
            answers = self._controls()[control["type"]](control)
        except SchemaError as error:
            yield self._say(self.messages.schema_error(str(error), text))
            return
        yield from answers

    def catch_up(self, now: float) -> None:
        """All that came is dealt with: only from now on is it the client that is silent, and not a slow recogniser."""
        self.silent_since = max(self.silent_since, now)

    def tick(self, now: float) -> Iterator[Output]:
        """Do what is due at this time; call it when :attr:`deadline` has come and nothing was received."""
        if self.closed or now < self.deadline:
            return
        if self.container_ended is not None and now >= self.container_ended + self.timeouts.container_end:
            yield from self._end()
        elif now >= self.silent_since + self.timeouts.inactivity:
            yield self._close(1011, NO_INPUT)
        else:
            yield self._close(1011, NO_OUTPUT)

    def leave(self) -> Iterator[Output]:
        """End the stream because the server does: with code 1001, and without a final in the middle of an utterance.

        A client that connects again then sends the whole of it, and no word is cut in two.
        """
        if not self.closed:
            yield self._close(1001)

    @property
    def deadline(self) -> float:
        """When :meth:`tick` has something to do, provided nothing is received before."""
        deadlines = [self.silent_since + self.timeouts.inactivity]
        if not self.has_spoken:
            deadlines.append(self.opened + self.timeouts.no_response)
        if self.container_ended is not None:
            deadlines.append(self.container_ended + self.timeouts.container_end)
        return min(deadlines)

    def abandon(self) -> None:
        """Give back what decoding and recognition hold; to be called at the end, however it came."""
        self.decoder.close()
        for channel in self.channels:
            channel.close()

    @property
    def duration(self) -> float:
        """Seconds of audio decoded so far."""
        return self.decoder.duration

    @property
    def summary(self) -> str:
        """What there was, for the log."""
        tags = f", tagged {', '.join(map(repr, self.request.tags))}" if self.request.tags else ""
        undecoded = f" in {self.received} bytes" if self.received and not self.duration else ""
        return f"{self.duration:.2f} s of audio{undecoded}{tags}"

    def _pace(self, seconds: float, now: float) -> None:
        """Let as much time pass before the next frame as this much audio is to take."""
        if self.behaviour.throttle:
            self.paused_until = max(self.paused_until, now) + seconds / self.behaviour.throttle

    # Control messages.

    def _controls(self) -> dict[str, Any]:
        return {
            "KeepAlive": self._keep_alive,
            "Finalize": self._finalize,
            "CloseStream": self._close_stream,
            "Configure": self._configure,
        }

    def _keep_alive(self, _: Message) -> Iterator[Output]:
        return iter(())

    def _finalize(self, control: Message) -> Iterator[Output]:
        wanted = control.get("channel")
        known = range(max(len(self.channels), 1))
        if wanted is not None and (type(wanted) is not int or wanted not in known):
            raise SchemaError(f"`channel` of Finalize must be one of {list(known)}")
        return self._flush(wanted)

    def _flush(self, wanted: int | None) -> Iterator[Output]:
        for index, channel in enumerate(self.channels):
            if wanted in (None, index):
                yield from self._tell(channel.finalize(), index)

    def _close_stream(self, _: Message) -> Iterator[Output]:
        return self._end()

    def _configure(self, control: Message) -> Iterator[Output]:
        unknown = control.keys() - {"type", "features", "keyterms", "processors", "language_hints"}
        if unknown:
            raise SchemaError(f"unknown field of Configure: {', '.join(sorted(unknown))}")
        keyterms, features = control.get("keyterms"), control.get("features") or {}
        if not isinstance(features, dict) or not all(isinstance(value, bool) for value in features.values()):
            raise SchemaError("`features` of Configure must map names to booleans")
        if keyterms is not None and not _are_strings(keyterms):
            raise SchemaError("`keyterms` of Configure must be a list of strings")
        return iter(self._apply(keyterms, features))

    def _apply(self, keyterms: list[str] | None, features: dict[str, bool]) -> list[Output]:
        """Change what holds for audio from now on; all of it or nothing."""
        if keyterms is not None:
            if not self.request.model.startswith("nova-3"):
                return [self._not_configured("KeytermsNotSupported", "`keyterms` need a Nova-3 model.")]
            if not are_few(keyterms):
                return [self._not_configured("KeytermLimitExceeded", TOO_MANY_KEYTERMS)]
            self.terms = tuple(keyterms)
            self._expect_terms()
        if "numerals" in features:
            self.wording = attrs.evolve(self.wording, numerals=features["numerals"])
        self.messages = attrs.evolve(self.messages, wording=self.wording)
        self._ignore(map(repr, sorted(features.keys() - {"numerals"})))
        return [self._say(self.messages.configured(keyterms))] if self.behaviour.acknowledges_configure else []

    def _not_configured(self, code: str, description: str) -> Output:
        if self.behaviour.acknowledges_configure:
            return self._say(self.messages.not_configured(code, description))
        return self._say(self.messages.error("InvalidConfigureMessage", description, code=code))

    # Recognition, and the end.

    def _recognise(self, pieces: Iterable[list[Samples]]) -> Iterator[Output]:
        for piece in pieces:
            self._open_channels()
            yield from self._slices(piece)

    def _slices(self, decoded: list[Samples]) -> Iterator[Output]:
        for begin in range(0, max(map(len, decoded), default=0), SLICE):
            for index, (channel, samples) in enumerate(zip(self.channels, decoded, strict=True)):
                yield from self._tell(channel.feed(samples[begin : begin + SLICE]), index)

    def _open_channels(self) -> None:
        """Once the format is known, that is when the first audio is there."""
        if self.channels:
            return
        self.messages = self._messages(self.decoder.channels)
        for _ in range(self.decoder.channels):
            self.channels.append(Channel(self.engine.recogniser(self.request.language), self.request.channel))
        self._expect_terms()
        self._ignore([*self.request.without_effect, *self._beyond_the_engine()])

    def _expect_terms(self) -> None:
        expected = [channel.recogniser.expect(self.terms) for channel in self.channels]
        if self.terms and not all(expected):
            self._ignore(["keyterm"])

    def _beyond_the_engine(self) -> list[str]:
        return ["punctuate"] if self.request.punctuate and not self.engine.punctuates else []

    def _ignore(self, names: Iterable[str]) -> None:
        """Say in the log what was asked for and has no effect."""
        listed = ", ".join(names)
        if listed:
            log.info("%s: without effect here, with the engine %s: %s", self.request_id, self.engine.name, listed)

    def _tell(self, events: Iterable[ChannelEvent], index: int) -> Iterator[Output]:
        for event in events:
            yield self._say(self.messages.event(event, index))

    def _end(self) -> Iterator[Output]:
        """Recognise what is left, sum up, close."""
        try:
            yield from self._recognise(self.decoder.finish())
        except Undecodable as error:
            yield from self._give_up(error)
            return
        for index, channel in enumerate(self.channels):
            yield from self._tell(channel.finish(self.duration), index)
        yield self._say(self._metadata(self.duration))
        yield self._close(1000)

    def _give_up(self, error: Undecodable) -> Iterator[Output]:
        log.warning("%s: cannot decode: %s", self.request_id, error)
        if self.behaviour.undecodable == "metadata":
            yield self._say(self._metadata(0.0))
            yield self._close(1000)
        else:
            yield self._close(1008, UNDECODABLE)

    def _metadata(self, duration: float) -> Message:
        created = self.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self.messages.metadata(sha256=self.sha256.hexdigest(), created=created, duration=duration)

    def _messages(self, channels: int) -> Messages:
        return Messages(
            self.request_id,
            self.engine.model,
            channels,
            self.request.language,
            self.request.punctuate,
            self.wording,
            self.behaviour.late_utterance_end,
            self.request.extra,
        )

    def _say(self, message: Message) -> Message:
        self.has_spoken = True
        return message

    def _close(self, code: int, reason: str = "") -> Close:
        self.closed = Close(code, reason)
        return self.closed


class SchemaError(ValueError):
    """A text frame is no control message; the client is told, and the stream goes on."""


def _parse(text: str) -> Message:
    try:
        control = json.loads(text)
    except (ValueError, RecursionError):
        raise SchemaError("the text frame is not JSON") from None
    if not isinstance(control, dict) or not isinstance(control.get("type"), str):
        raise SchemaError("a control message is a JSON object with a string `type`")
    if control["type"] not in ("KeepAlive", "Finalize", "CloseStream", "Configure"):
        raise SchemaError(f"unknown control message {control['type']!r}")
    return control


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
