"""Where the transcript goes: formats, files and standard output."""

import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal, TextIO

from attrs import define, frozen

from streamclient.cli.encoding import ESCAPE
from streamclient.cli.screen import Screen, printable
from streamclient.errors import OptionsError, PluginError, StreamClientError
from streamclient.events import Transcript, Utterance
from streamclient.sources.files import MICROPHONE, STDIN
from streamclient.sources.web import web_path

if TYPE_CHECKING:
    from streamclient.messages import Results, TurnInfo
    from streamclient_plugins.captions import CaptionText, Style

__all__ = [
    "FORMATS",
    "CaptionWriter",
    "FileSink",
    "JsonWriter",
    "Sink",
    "StdoutSinks",
    "Target",
    "TextWriter",
    "Writer",
    "caption_style",
    "make_writer",
    "plan_targets",
]

FORMATS = ("txt", "json", "jsonl", "srt", "vtt")
CAPTIONS: Mapping[str, Literal["srt", "vtt"]] = {"srt": "srt", "vtt": "vtt"}
"""Those that are captions, as the plugin ``captions`` calls them."""

TEMPLATE_FIELDS = ("stem", "name", "parent", "format")

Sink = Callable[[str], None]
"""Takes text and puts it where it belongs at once."""


@frozen
class Target:
    """One thing to write for one source.

    Args:
        format: one of `FORMATS`.
        path: the file, or ``None`` for standard output.
    """

    format: str
    path: Path | None = None


def plan_targets(
    sources: Sequence[str],
    formats: Sequence[str],
    *,
    template: str | None,
    directory: Path | None,
    overwrite: bool,
) -> list[list[Target]]:
    """Decide what to write for each source, before the first byte of audio is sent.

    Args:
        sources: paths, or ``-``.
        formats: without duplicates.
        template: of the file names, from ``{stem}``, ``{name}``, ``{parent}`` and ``{format}``; ``-`` is stdout.
        directory: where files go.
        overwrite: whether a file may be there already.

    Raises:
        OptionsError: two results would share a file, or one is there already, or the template is wrong.
        StreamClientError: a file cannot be made.
    """
    if template == STDIN or (template is None and directory is None and len(formats) == 1):
        if len(formats) > 1:
            raise OptionsError("Several formats cannot share standard output", hint="Leave out --out -.")
        if len(sources) > 1 and formats[0] in CAPTIONS:
            raise OptionsError(
                f"Captions of several files cannot share standard output as {formats[0]}",
                hint="Write files: --output-dir DIR, or --out '{stem}.{format}'.",
            )
        return [[Target(formats[0])] for _ in sources]
    if template is None:
        template = "{stem}.{format}"
    plans = [
        [Target(name, (directory or Path()) / _file_name(template, source, name)) for name in formats]
        for source in sources
    ]
    _refuse_clashes([target.path for plan in plans for target in plan if target.path], overwrite)
    return plans


def _file_name(template: str, source: str, format_name: str) -> str:
    path = _path_of(source)
    try:
        unknown = [name for _, name, _, _ in Formatter().parse(template) if name not in (None, *TEMPLATE_FIELDS)]
        if unknown:
            raise ValueError(f"there is no field {{{unknown[0]}}}")
        return template.format(stem=path.stem, name=path.name, parent=path.parent, format=format_name)
    except (ValueError, LookupError) as error:
        fields = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
        raise OptionsError(f"--out {template!r} is not a template: {error}", hint=f"Fields are {fields}.") from error


def _path_of(source: str) -> Path:
    if source == STDIN:
        return Path("stdin")
    if source.startswith(MICROPHONE):
        return Path("microphone")
    return Path(web_path(source) if "://" in source else source)


def _refuse_clashes(paths: Sequence[Path], overwrite: bool) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise OptionsError(
                f"Two results would be written to {path}",
                hint="Give --out a template like '{parent}/{stem}.{format}'.",
            )
        seen.add(path)
        if path.exists() and not overwrite:
            raise OptionsError(f"{path} exists already", hint="Use --overwrite, or another --output-dir or --out.")
        _require_place(path)


def _require_place(path: Path) -> None:
    """Say before an hour of audio what would be said after it. Directories that are missing are made later."""
    place = next(one for one in (path, *path.absolute().parents) if one.exists())
    if place != path and not place.is_dir():
        raise StreamClientError(f"{path} cannot be written: {place} is not a directory")
    if not os.access(place, os.W_OK):
        hint = "Write elsewhere, with --output-dir or --out."
        raise StreamClientError(f"{path} cannot be written: {os.strerror(errno.EACCES)}", hint=hint)


@define
class FileSink:
    """A file that comes into being with its first text, so that a refused connection costs no older file.

    Args:
        path: the file.
        overwrite: whether it may be there already.
    """

    path: Path
    overwrite: bool = False
    _file: TextIO | None = None

    def __call__(self, text: str) -> None:
        """Write, and hand it to the operating system at once."""
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w" if self.overwrite else "x", encoding="utf-8", errors=ESCAPE)
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise StreamClientError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            with suppress(OSError):  # said already: it tries once more what could not be written
                self._file.close()

    def replace(self, text: str) -> None:
        """Put a better text in the place of what was written; whoever looks sees one of them, and whole.

        A device, a pipe and a link stay as they are.
        """
        if self._file is None or self.path.is_symlink() or not self.path.is_file():
            return
        better = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            better.write_text(text, encoding="utf-8", errors=ESCAPE)
            self._file.close()
            better.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                better.unlink()
            raise StreamClientError(f"{self.path} cannot be written: {error.strerror or error}") from error


class StdoutSinks:
    """Standard output shared by several streams: their texts come in the order of the command line.

    The first unfinished stream writes at once; what later ones write waits for their turn.

    Args:
        count: number of streams.
        screen: is cleared while something is written, in case it is the same terminal.
        on_gone: called once when nobody reads standard output any more.
        separator: written between the texts of two streams.
    """

    def __init__(
        self,
        count: int,
        screen: Screen,
        on_gone: Callable[[], None],
        *,
        separator: str = "",
    ) -> None:
        self._stream = sys.stdout
        self._screen = screen
        self._on_gone = on_gone
        self._separator = separator
        self._lock = threading.Lock()
        self._waiting: list[list[str]] = [[] for _ in range(count)]
        self._finished = [False] * count
        self._turn = 0
        self._writing: int | None = None
        self.gone = False

    def sink(self, stream: int) -> Sink:
        """Where stream number ``stream`` writes."""
        return lambda text: self._write(stream, text)

    def finish(self, stream: int) -> None:
        """This stream writes nothing more."""
        with self._lock:
            self._finished[stream] = True
            while self._turn < len(self._finished) and self._finished[self._turn]:
                self._turn += 1
                if self._turn < len(self._waiting):
                    self._flush(self._turn)

    def _write(self, stream: int, text: str) -> None:
        with self._lock:
            self._waiting[stream].append(text)
            if stream == self._turn:
                self._flush(stream)

    def _flush(self, stream: int) -> None:
        text, self._waiting[stream] = "".join(self._waiting[stream]), []
        if not text or self.gone:
            return
        follows_another = self._writing not in (None, stream)
        self._writing = stream
        self._put(self._separator + text if follows_another else text)

    def _put(self, text: str) -> None:
        with self._screen.cleared():
            try:
                self._stream.write(text)
                self._stream.flush()
                return
            except BrokenPipeError:
                self.gone = True
            except OSError as error:
                self.gone = True
                raise StreamClientError(f"Standard output cannot be written: {error.strerror or error}") from error
        self._on_gone()


class Writer:
    """Writes one format for one source."""

    def hear(self, result: "Results | TurnInfo", *, final: bool) -> None:
        """Take note of an interim or a final; most formats have no use for it."""

    def utterance(self, utterance: Utterance) -> None:
        """Write a finished utterance, unless everything comes at the end."""

    def end(self, transcript: Transcript) -> None:
        """Write what has not been written."""
        raise NotImplementedError


@define
class TextWriter(Writer):
    """``txt``: one line for each utterance, as it comes.

    Args:
        sink: where to.
        labels: whether to name the channel of each line.
    """

    sink: Sink
    multichannel: bool = False
    _written: int = 0

    def utterance(self, utterance: Utterance) -> None:
        """Write its line."""
        self.sink(caption(utterance, multichannel=self.multichannel) + "\n")
        self._written += 1

    def end(self, transcript: Transcript) -> None:
        """Write what has not come as an event."""
        for utterance in transcript.utterances[self._written :]:
            self.utterance(utterance)
        if not self._written:
            self.sink("")


@define
class CaptionWriter(Writer):
    """``srt`` and ``vtt``: captions as they come; in a file better ones at the end, when it is known what came next.

    Args:
        sink: where to.
        captions: makes them.
        whole: makes them of all utterances, at the end; ``None`` where nothing can be written twice.
    """

    sink: Sink
    captions: "CaptionText"
    whole: "CaptionText | None" = None
    _begun: bool = False
    _utterances: int = 0

    def hear(self, result: "Results | TurnInfo", *, final: bool) -> None:
        """Captions of one channel wait for what another one began earlier."""
        self._put(self.captions.hear(result, final=final))

    def utterance(self, utterance: Utterance) -> None:
        """Write its captions."""
        self._utterances += 1
        self._put(self.captions.add(utterance))

    def end(self, transcript: Transcript) -> None:
        """Write what has not come as an event, and what has waited; without any, what an empty file holds."""
        for utterance in transcript.utterances[self._utterances :]:
            self.utterance(utterance)
        self._put(self.captions.finish())
        if not self._begun:
            self.sink(self.captions.header)
        if self.whole is not None and isinstance(self.sink, FileSink):
            self.sink.replace(self.whole.header + "".join(self.whole.add_all(transcript.utterances)))

    def _put(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.sink(text if self._begun else self.captions.header + text)
            self._begun = True


@define
class JsonWriter(Writer):
    """``json``: one document with everything, at the end.

    Args:
        sink: where to.
        source: name of the audio.
    """

    sink: Sink
    source: str

    def end(self, transcript: Transcript) -> None:
        """Write the document."""
        document: Mapping[str, object] = {"source": self.source, **transcript.to_dict()}
        self.sink(json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")


def caption(utterance: Utterance, *, multichannel: bool) -> str:
    """An utterance in one line, with who speaks where the service tells."""
    channel = [f"Channel {utterance.channel}"] if multichannel else []
    speaker = [] if utterance.speaker is None else [f"Speaker {utterance.speaker}"]
    label = ", ".join(channel + speaker)
    return f"{label}: {printable(utterance.text)}" if label else printable(utterance.text)


def make_writer(format_name: str, sink: Sink, *, source: str, style: "Style", multichannel: bool) -> Writer:
    """The writer of a format, other than ``jsonl``, which is made of events.

    Args:
        format_name: one of `FORMATS`.
        sink: where to.
        source: name of the audio.
        style: limits of captions.
        multichannel: whether each channel is transcribed on its own.
    """
    if format_name == "json":
        return JsonWriter(sink, source)
    if format_name in CAPTIONS:
        from streamclient_plugins.captions import CaptionText

        live, whole = (CaptionText(CAPTIONS[format_name], style, multichannel=multichannel) for _ in range(2))
        return CaptionWriter(sink, live, whole)
    return TextWriter(sink, multichannel)


def caption_style(words: Sequence[str]) -> "Style":
    """What ``--captions`` says.

    Raises:
        OptionsError: an option is unknown, or its value is not allowed.
    """
    from streamclient.plugin_options import parse_options, read_options
    from streamclient_plugins.captions import style_of

    try:
        limits: dict[str, Any] = read_options("captions", style_of, parse_options("captions", ",".join(words)))
        return style_of(**limits)
    except PluginError as error:
        raise OptionsError(error.message.replace("Plugin 'captions'", "--captions", 1), hint=error.hint) from error
    except ValueError as error:
        raise OptionsError(f"--captions: {error}") from error
