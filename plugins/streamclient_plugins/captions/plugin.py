"""The plugin itself: a file that holds whole captions at any moment."""

from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from attrs import define, field

from streamclient import Results, StreamView, TurnInfo, Utterance, hookimpl
from streamclient_plugins.captions.formats import Format
from streamclient_plugins.captions.style import Preset, Style, style_of
from streamclient_plugins.captions.text import CaptionText
from streamclient_plugins.text import is_multichannel
from streamclient_plugins.writer import FileWriter, path_field

__all__ = ["Captions"]

DEFAULT_PATH = "{stem}.vtt"


def _limit(about: str) -> Any:
    return field(default=None, metadata={"help": f"{about}; none is the preset's."})


@define(eq=False, kw_only=True)
class Captions(FileWriter):
    """Write captions as SubRip or WebVTT, as they come."""

    path: str = path_field(DEFAULT_PATH)
    existing: Literal["refuse", "overwrite"] = field(
        default="refuse", metadata={"help": "What to do where the file exists already."}
    )
    format: Format | None = field(default=None, metadata={"help": "The format; none is what the path ends in, or vtt."})
    preset: Preset = field(default="netflix", metadata={"help": "Whose rules the limits are taken from."})
    line_length: int | None = _limit("Columns of a line, of which a wide character takes two")
    lines: int | None = _limit("Lines of a caption")
    min_duration: float | None = _limit("Seconds a caption stays at least, where the next one leaves it the time")
    max_duration: float | None = _limit("Seconds a caption stays at most")
    reading_speed: float | None = _limit("Columns per second that a viewer can read")
    gap: float | None = _limit("Seconds between captions that follow one another")
    labels: bool = field(
        default=True, metadata={"help": "Name the channel and the speaker, where the stream tells them apart."}
    )
    ways_out: ClassVar[str] = "existing=overwrite"
    _style: Style = field(init=False, repr=False)
    _text: CaptionText = field(init=False, repr=False)
    _unwritten: deque[str] = field(factory=deque, init=False, repr=False)
    """Cues that a full disk has refused; they are tried again before the next one."""

    def __attrs_post_init__(self) -> None:
        self._style = style_of(
            self.preset,
            line_length=self.line_length,
            lines=self.lines,
            min_duration=self.min_duration,
            max_duration=self.max_duration,
            reading_speed=self.reading_speed,
            gap=self.gap,
        )
        if self.format is None:
            self.format = "srt" if self.path.lower().endswith(".srt") else "vtt"
        elif self.path == DEFAULT_PATH:
            self.path = f"{{stem}}.{self.format}"
        self._text = CaptionText(self.format, self._style)
        super().__attrs_post_init__()

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Open the file and write its header."""
        self._unwritten.clear()
        self._text = CaptionText(
            self._text.format, self._style, labels=self.labels, multichannel=is_multichannel(stream)
        )
        self.open(stream)
        self._write([self._text.header] if self._text.header else [])

    @hookimpl
    def on_interim(self, result: Results | TurnInfo) -> None:
        """See what has begun."""
        self._write(self._text.hear(result, final=False))

    @hookimpl
    def on_final(self, result: Results | TurnInfo) -> None:
        """See what has begun."""
        self._write(self._text.hear(result, final=True))

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        """Write its captions."""
        self._write(self._text.add(utterance))

    @hookimpl
    def on_close(self) -> None:
        """Write what has waited and close the file."""
        try:
            self._write(self._text.finish())
        finally:
            self.close()

    def _write(self, texts: Iterable[str]) -> None:
        """Each text with one write, in order; one that cannot be written is kept."""
        self._unwritten.extend(texts)
        while self._unwritten:
            self.write(self._unwritten[0].encode("utf-8", "backslashreplace"))
            self._unwritten.popleft()
