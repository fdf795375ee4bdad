"""One source of audio on its way to a transcript. Runs in a thread of its own; several run side by side."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from streamclient.cli.exits import DONE, PARTLY, REFUSED, UNEXPECTED, Verbosity, exit_code, report
from streamclient.cli.output import FileSink, Sink, StdoutSinks, Target, Writer, caption, make_writer
from streamclient.cli.query import to_options
from streamclient.cli.screen import Screen
from streamclient.cli.services import Service, send_all
from streamclient.cli.signals import Interrupt
from streamclient.client import StreamClient
from streamclient.errors import StreamClientError
from streamclient.events import StreamState, Transcript, Utterance
from streamclient.hookspecs import StreamView, hookimpl, source_stem
from streamclient.messages import Message, Results, TurnInfo
from streamclient.sources import AudioSource, SourceError, open_source
from streamclient.sources.decode import decoded
from streamclient.sources.files import RawFormat
from streamclient.sources.pacing import paced
from streamclient_plugins.captions import Style
from streamclient_plugins.jsonl import JsonLines

__all__ = ["Job", "Lazy", "Plan", "combined_exit_code"]


class Lazy:
    """The service, made when the first source is there: a local one takes a moment to start.

    Args:
        make: makes it; called once.
    """

    def __init__(self, make: Callable[[], Service]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._service: Service | None = None

    def get(self) -> Service:
        """The service; any thread may ask."""
        with self._lock:
            if self._service is None:
                self._service = self._make()
            return self._service


@frozen(kw_only=True)
class Plan:
    """What all sources of one command have in common.

    Args:
        service: who transcribes.
        parameters: of the query string.
        raw: format of raw audio, or ``None``.
        plugins: for ``StreamClient``.
        realtime: send at the speed of speech.
        interims: whether event lines have interims.
        caption_style: limits of captions.
        overwrite: whether files may be there already.
        screen: what the person sees.
        stdout: standard output.
        interrupt: the wish to stop.
        verbosity: how much to say of errors.
        count: number of sources.
    """

    service: "Lazy"
    parameters: Mapping[str, Any]
    raw: RawFormat | None
    plugins: Sequence[object | str]
    realtime: bool
    interims: bool
    caption_style: Style
    overwrite: bool
    screen: Screen
    stdout: StdoutSinks
    interrupt: Interrupt
    verbosity: Verbosity
    count: int


@define(eq=False)
class Job:
    """One source.

    Args:
        number: its place on the command line.
        spec: the source as it was named.
        targets: what to write.
        plan: what all have in common.
    """

    number: int
    spec: str
    targets: Sequence[Target]
    plan: Plan
    _client: StreamClient | None = None
    _files: list[FileSink] = field(factory=list)

    def run(self) -> int:
        """Transcribe it, and say what went wrong.

        Returns:
            The exit code of this source.
        """
        if self.plan.interrupt.requested:
            return UNEXPECTED
        try:
            return self._transcribe()
        except StreamClientError as error:
            if self._was_stopped_early():
                return UNEXPECTED
            self._report(str(error), error)
            code = exit_code(error)
            if code == REFUSED:  # the others have the same key
                self.plan.interrupt.stop()
            return PARTLY if isinstance(error, SourceError) and self._has_words() else code
        finally:
            self.plan.stdout.finish(self.number)
            self.plan.screen.finish(self.number)
            for file in self._files:
                file.close()

    def _was_stopped_early(self) -> bool:
        """Whether the wish to stop came before there was a stream: audio that was still to come is not missed."""
        return self.plan.interrupt.requested and self._client is None

    @property
    def has_sent(self) -> bool:
        """Whether there is audio whose words are still to come; any thread may ask."""
        return self._client is not None and self._client.stats.audio_bytes > 0

    def _has_words(self) -> bool:
        return self._client is not None and bool(self._client.transcript.words)

    def cut_connecting(self) -> None:
        """Called from the main thread when the command is to stop: do not wait for a connection."""
        client = self._client
        if client is not None and client.state in (StreamState.NEW, StreamState.CONNECTING):
            client.abort()

    def notice(self, text: str) -> None:
        """Something worth knowing of this source."""
        self.plan.screen.notice(self._named(text))

    def _report(self, text: str, error: BaseException) -> None:
        report(self._named(text), error, self.plan.verbosity, say=self.plan.screen.say)

    def _named(self, text: str) -> str:
        several = self.plan.count > 1 and self.spec not in text
        return f"{self.spec}: {text}" if several else text

    def _transcribe(self) -> int:
        with closing(self._open()) as source:
            source_stem.set(source.stem)
            if source.notice:
                self.plan.screen.notice(source.notice)
            options = to_options(self.plan.parameters, source.raw)
            whole = [target for target in self.targets if target.format != "jsonl"]
            reporter = Reporter(self, [self._writer(target, bool(options.multichannel)) for target in whole])
            events = [self._event_lines(target) for target in self.targets if target.format == "jsonl"]
            plugins = [reporter, *events, *self.plan.plugins]
            client = self._client = self.plan.service.get().client(options, plugins)
            self.plan.screen.start(self.number, Path(source.name).name, source.duration)
            try:
                transcript = self._stream(client, source)
            finally:
                if client.stats.messages_received:  # else no older file is replaced by nothing
                    reporter.end(client.transcript)
        return self._outcome(client, transcript)

    def _open(self) -> AudioSource:
        source = open_source(self.spec, self.plan.raw, readable=self.plan.interrupt.readable)
        try:
            plays = source.raw is not None or source.container == "WAV" or self.plan.service.get().decodes
            return source if plays else decoded(source)
        except BaseException:
            source.close()
            raise

    def _stream(self, client: StreamClient, source: AudioSource) -> Transcript:
        """Send all of it and wait for the end. A stop before the connection stands is no failure."""
        chunks = self._paced(source) if self.plan.realtime else source.chunks
        broken: SourceError | None = None
        try:
            with client:
                try:
                    send_all(client, chunks, self.plan.interrupt)
                except SourceError as error:  # what was sent has a transcript all the same
                    broken = error
        except StreamClientError:
            if not self._was_cut(client):
                raise
        if broken is not None:
            raise broken
        return client.transcript

    def _was_cut(self, client: StreamClient) -> bool:
        return self.plan.interrupt.requested and not client.stats.audio_bytes

    def _paced(self, source: AudioSource) -> Iterable[bytes]:
        speed = source.bytes_per_second
        if not speed:
            raise SourceError(
                f"--realtime needs to know how fast {source.name} is spoken, which its container does not tell here",
                hint="Convert it to WAV first: ffmpeg -i FILE file.wav",
            )
        return paced(source.chunks, speed, self.plan.interrupt.wait)

    def _writer(self, target: Target, multichannel: bool) -> Writer:
        style = self.plan.caption_style
        return make_writer(target.format, self._sink(target), source=self.spec, style=style, multichannel=multichannel)

    def _event_lines(self, target: Target) -> "EventLines":
        return EventLines(sink=self._sink(target), source=self.spec, interims=self.plan.interims)

    def _sink(self, target: Target) -> Sink:
        if target.path is None:
            return self.plan.stdout.sink(self.number)
        file = FileSink(target.path, self.plan.overwrite)
        self._files.append(file)
        return file

    def _outcome(self, client: StreamClient, transcript: Transcript) -> int:
        for file in self._files:
            self.plan.screen.notice(f"wrote {file.path}")
        if self.plan.interrupt.requested:
            return DONE
        if not transcript.complete:
            spans = ", ".join(f"{gap.start:.1f} to {gap.end:.1f} s" for gap in transcript.gaps)
            self.plan.screen.notice(f"the transcript of {self.spec} is not complete; missing: {spans or 'its end'}")
            return PARTLY
        return PARTLY if client.stats.plugin_errors else DONE


@define(eq=False)
class Reporter:
    """The plugin that feeds screen and writers. A writer that raises is left out from then on.

    The first error is raised at the end.
    """

    job: Job
    writers: Sequence[Writer]
    _failure: StreamClientError | None = None
    _unfinished: dict[int, str] = field(factory=dict)
    """By channel: the finals since its last utterance."""

    @hookimpl
    def on_message(self, message: Message) -> None:
        """Move the bar."""
        if isinstance(message, Results):
            self.job.plan.screen.progress(self.job.number, message.end)

    @hookimpl
    def on_interim(self, result: Results | TurnInfo) -> None:
        """Show unfinished words."""
        self._hear(result, final=False)
        self._show(_channel(result), result.transcript)

    @hookimpl
    def on_final(self, result: Results | TurnInfo) -> None:
        """Keep showing words whose utterance goes on."""
        self._hear(result, final=True)
        channel = _channel(result)
        self._unfinished[channel] = f"{self._unfinished.get(channel, '')} {result.transcript}".strip()
        self._show(channel, "")

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Show and write finished words."""
        self._unfinished.pop(utterance.channel, None)
        multichannel = bool(getattr(stream.options, "multichannel", False))
        self.job.plan.screen.caption(self.job.number, caption(utterance, multichannel=multichannel))
        self._each(lambda writer: writer.utterance(utterance))

    @hookimpl
    def on_disconnect(self, error: StreamClientError, retry_in: float) -> None:
        """Say what broke, when it is tried again, and that nothing is lost by it."""
        words = f" ({error.detail})" if error.detail else ""
        when = f"in {retry_in:.1f} s" if retry_in >= 0.05 else "now"
        what = error.message[:1].lower() + error.message[1:]
        self.job.notice(f"{what}{words}; trying again {when}, the audio is kept")
        self.job.plan.screen.outage(self.job.number, begins=True)

    @hookimpl
    def on_reconnect(self, outage: float) -> None:
        """Say that it is over."""
        self.job.plan.screen.outage(self.job.number, begins=False)
        self.job.notice(f"connected again after {outage:.1f} s; sending again what has no transcript yet")

    def end(self, transcript: Transcript) -> None:
        """Write what comes last.

        Raises:
            StreamClientError: something could not be written, now or before.
        """
        self._each(lambda writer: writer.end(transcript))
        if self._failure is not None:
            raise self._failure

    def _hear(self, result: Results | TurnInfo, *, final: bool) -> None:
        self._each(lambda writer: writer.hear(result, final=final))

    def _show(self, channel: int, interim: str) -> None:
        self.job.plan.screen.interim(self.job.number, f"{self._unfinished.get(channel, '')} {interim}")

    def _each(self, write: Callable[[Writer], None]) -> None:
        self.writers = [writer for writer in self.writers if self._writes(writer, write)]

    def _writes(self, writer: Writer, write: Callable[[Writer], None]) -> bool:
        try:
            write(writer)
        except StreamClientError as error:
            self._failure = self._failure or error
            self.job.plan.interrupt.stop()
            return False
        return True


def _channel(result: Results | TurnInfo) -> int:
    return result.channel if isinstance(result, Results) else 0


@define(eq=False, kw_only=True)
class EventLines(JsonLines):
    """The plugin ``jsonl``, with the name of the source in each line, writing to a sink."""

    sink: Sink
    source: str

    def open(self, stream: StreamView) -> None:
        """The sink is open."""

    def write_line(self, line: str) -> None:
        """Put the source in front of the other members of the object."""
        self.sink(f'{{"source":{json.dumps(self.source, ensure_ascii=False)},{line[1:]}\n')

    def close(self) -> None:
        """The job closes the sink."""


def combined_exit_code(codes: Sequence[int]) -> int:
    """One exit code for several sources: what they have in common, else "partly done" or the first failure."""
    if len(set(codes)) == 1:
        return codes[0]
    return PARTLY if DONE in codes or PARTLY in codes else next(code for code in codes if code)
