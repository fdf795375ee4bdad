"""Transcribing what a recording has no transcript of, and adding it to the recording."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field, frozen

from streamclient.audio import Span
from streamclient.cli.missing import Heard, in_order, missing_spans, near, pieces, replays, united
from streamclient.cli.query import DEFAULTS, raw_format, to_options
from streamclient.cli.recording import Recording
from streamclient.cli.tracks import Track
from streamclient.client import StreamClient
from streamclient.core.dialect import dialect_for
from streamclient.core.timeline import moved
from streamclient.errors import StreamClientError
from streamclient.events import StreamStats, Transcript
from streamclient.hookspecs import hookimpl
from streamclient.messages import Message, Results, TurnInfo, UtteranceEnd, Word
from streamclient.options import ListenOptions
from streamclient.sources.chunks import audio_chunks
from streamclient_plugins.facts import message_facts
from streamclient_plugins.jsonl import JsonLines

__all__ = ["Recovery"]

Connect = Callable[[ListenOptions, object], StreamClient]
"""Makes a client with a plugin."""

Send = Callable[[StreamClient, Iterable[bytes]], bool]
"""Sends audio; whether all of it was."""

FOR_EVER = float("inf")


@frozen
class _View:
    """The recorded stream, as the plugin that writes lines sees it."""

    id: str
    options: ListenOptions
    request_id: str | None = None
    stats: StreamStats = StreamStats()


@define(eq=False)
class _Listener:
    """The plugin that keeps what is heard, on the timeline of the recording.

    Args:
        start: where on that timeline the audio begins that is sent.
        progress: is told how far it is heard, in seconds of that timeline.
    """

    start: float
    progress: Callable[[float], None]
    heard: list[Heard] = field(factory=list)

    @hookimpl
    def on_message(self, message: Message) -> None:
        """Keep finals and ends of utterances."""
        placed = moved(message, self.start)
        if isinstance(placed, Results):
            self.progress(placed.end)
        if isinstance(placed, UtteranceEnd) or (isinstance(placed, Results | TurnInfo) and placed.is_final):
            self.heard.append(placed)


@define(eq=False)
class Recovery:
    """One recording on its way to a complete transcript.

    Args:
        recording: what its lines tell.
        track: its audio, or ``None`` where that can only be heard as a whole.
        parameters: of the query string.
        progress: is told how far the audio is heard, in seconds.
        plugin_errors: failures of plugins so far.
    """

    recording: Recording
    track: Track | None
    parameters: Mapping[str, Any]
    progress: Callable[[float], None] = lambda _: None
    plugin_errors: int = 0

    @property
    def options(self) -> ListenOptions:
        """What to ask of the service: what was asked for when the stream was recorded, but for what is changed."""
        raw = raw_format(self.parameters) if self.track is None else self.track.raw
        return to_options({**dict.fromkeys(DEFAULTS), **self.parameters}, raw)

    @property
    def duration(self) -> float:
        """Seconds of recorded audio; without an end where only hearing it tells."""
        return self.track.duration if self.track else FOR_EVER

    def missing(self) -> dict[int, tuple[Span, ...]]:
        """By channel: the spans without a transcript."""
        if self.recording.complete:
            return {}
        spans = {channel: missing_spans(self._covered(channel), self._known_until) for channel in self._channels}
        return {channel: found for channel, found in spans.items() if found}

    def gaps(self) -> list[Span]:
        """The spans without a transcript of some channel."""
        return united(span for spans in self.missing().values() for span in spans)

    def audible(self) -> list[Span]:
        """Of these, what there is audio of: where the disk was full, there is none."""
        return [Span(gap.start, min(gap.end, self.duration)) for gap in self.gaps() if gap.start < self.duration]

    def run(self, connect: Connect, send: Send) -> None:
        """Transcribe what is missing, span by span. What is heard is added to the recording even if more fails.

        Raises:
            StreamClientError: a stream failed, or the lines cannot be written.
        """
        words = [word for result in self.recording.results for word in result.words]
        for span in replays(self.audible(), words, self.duration):
            if not self._hear(span, connect, send):
                return

    def transcript(self) -> Transcript:
        """Everything that is known."""
        heard = in_order(self.recording.heard)
        assembler = dialect_for(self.options).assembler()
        utterances = [utterance for one in heard for utterance in assembler.receive(one)]
        gaps = self.gaps()
        duration = self._known_until if self.track else self._heard_until
        return Transcript(
            utterances=(*utterances, *assembler.finish()),
            duration=duration,
            request_ids=self.recording.request_ids,
            complete=not gaps,
            gaps=tuple(Span(gap.start, min(gap.end, max(duration, gap.start))) for gap in gaps),
        )

    def lines(self) -> Iterator[str]:
        """Everything that is known as the plugin ``jsonl`` would have written it: finals, utterances, the end."""
        writer = _Lines()
        view = _View(self.recording.stream, self.options)
        for one in in_order(self.recording.heard):
            if not isinstance(one, UtteranceEnd):
                writer.on_final(view, one)
        transcript = self.transcript()
        for utterance in transcript.utterances:
            writer.on_utterance(view, utterance)
        writer.on_close(view, transcript)
        return iter(writer.written)

    def _hear(self, span: Span, connect: Connect, send: Send) -> bool:
        """Transcribe a span; whether it was heard to its end."""
        start = self.track.start_of(span) if self.track else 0.0
        listener = _Listener(start, self.progress)
        client = connect(self.options, listener)
        chunks = self.track.chunks(span) if self.track else audio_chunks(self.recording.audio)
        whole = False
        try:
            with client:
                sent = send(client, chunks)
            whole = sent and client.transcript.complete
        finally:
            self.plugin_errors += client.stats.plugin_errors
            self._keep(listener.heard, span if whole else None, client.request_ids)
        return whole

    def _keep(self, heard: list[Heard], span: Span | None, request_ids: tuple[str, ...]) -> None:
        """Add what was missing to the lines: each line counts for itself, so that a kill at any time harms nothing."""
        missing = self.missing()
        known = {channel: near(self._words(channel), spans) for channel, spans in missing.items()}
        found = [
            piece
            for one in in_order(heard)
            for piece in pieces(one, missing.get(one.channel, ()), known.get(one.channel, ()))
        ]
        filled = [gap for gap in self.audible() if span and span.start <= gap.start and gap.end <= span.end]
        self.recording = attrs.evolve(
            self.recording,
            heard=(*self.recording.heard, *found),
            recovered=(*self.recording.recovered, *filled),
            request_ids=tuple(dict.fromkeys((*self.recording.request_ids, *request_ids))),
        )
        if found or filled:
            with _Appender(self.recording, self.options) as appender:
                for piece in found:
                    appender.add(piece)
                for gap in filled:
                    appender.fill(gap, request_ids)

    def _words(self, channel: int) -> Iterator[Word]:
        return (word for result in self.recording.results if result.channel == channel for word in result.words)

    def _covered(self, channel: int) -> list[Span]:
        finals = [Span(result.start, result.end) for result in self.recording.results if result.channel == channel]
        return [*finals, *self.recording.recovered]

    @property
    def _heard_until(self) -> float:
        return max((result.end for result in self.recording.results), default=0.0)

    @property
    def _known_until(self) -> float:
        return max(self.duration, self._heard_until)

    @property
    def _channels(self) -> range:
        options = self.options
        heard = max((result.channel + 1 for result in self.recording.results), default=1)
        return range(max(heard, options.channels or 1) if options.multichannel else 1)


@define(eq=False, kw_only=True)
class _Lines(JsonLines):
    """Keeps the lines."""

    written: list[str] = field(factory=list)

    def write_line(self, line: str) -> None:
        """Keep it."""
        self.written.append(line)


class _Appender:
    """Adds lines to a recording."""

    def __init__(self, recording: Recording, options: ListenOptions) -> None:
        self._view = _View(recording.stream, options)
        self._path = recording.lines
        plain = str(recording.lines).replace("{", "{{").replace("}", "}}")
        self._lines = JsonLines(path=plain, existing="append")

    def __enter__(self) -> "_Appender":
        with self._naming_errors():
            self._lines.open(self._view)
            if not _ends_with_a_line(self._path):  # a killed process has left the start of one
                self._lines.write(b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def add(self, heard: Heard) -> None:
        """A final, or the end of an utterance."""
        with self._naming_errors():
            if isinstance(heard, UtteranceEnd):
                self._lines.report(self._view, "message", message_facts(heard))
            else:
                self._lines.on_final(self._view, heard)

    def fill(self, span: Span, request_ids: tuple[str, ...]) -> None:
        """This span has been transcribed, whatever was in it."""
        end = span.end if span.end < FOR_EVER else None
        facts = {"start": span.start, "end": end, "request_ids": list(request_ids)}
        with self._naming_errors():
            self._lines.report(self._view, "recovered", facts)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StreamClientError(f"{self._path} cannot be written: {error.strerror or error}") from error


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
