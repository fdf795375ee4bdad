"""What a person sees on stderr: notices everywhere; live captions and progress on a terminal (by rich)."""

import os
import stat
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from attrs import define

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

__all__ = ["LiveScreen", "Screen", "is_live_terminal", "open_screen", "printable"]

REFRESH_SECONDS = 0.05
"""Between two moves of the bar."""

CAPTION_LINES = 2
BAR_WIDTH = 30
ECHO_WIDTH = 3
"""Columns left free behind the bar: ``^C`` there would wrap, and the captions above could not be taken away."""
CONTROLS: dict[int, str | None] = dict.fromkeys((*range(32), *range(127, 160)))
CONTROLS |= {ord("\n"): " ", ord("\t"): " "}


def printable(text: str) -> str:
    """The text in one line, without control characters: a service must not be able to steer the terminal."""
    return " ".join(text.split()).translate(CONTROLS)


def is_live_terminal(stream: TextIO) -> bool:
    """Whether lines on ``stream`` can be rewritten."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def is_pipe(stream: TextIO) -> bool:
    """Whether ``stream`` leads to another program."""
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


@contextmanager
def open_screen(*, quiet: bool, to_stdout: Collection[str]) -> "Iterator[Screen]":
    """The screen that fits this terminal, pipe or file.

    Args:
        quiet: say nothing but errors.
        to_stdout: the formats that go to standard output; where that is the same terminal, nothing is said twice.
    """
    # What reads events from a pipe mostly writes to the same terminal, at any time.
    events_in_a_pipe = "jsonl" in to_stdout and is_pipe(sys.stdout)
    if quiet or events_in_a_pipe or not is_live_terminal(sys.stderr):
        yield Screen(sys.stderr, quiet=quiet)
        return
    screen = LiveScreen(keep_captions=not (to_stdout and sys.stdout.isatty()))
    try:
        yield screen
    finally:
        screen.close()


class Screen:
    """Notices in lines of their own, and nothing else: for pipes, files and dumb terminals.

    Any thread may call any method.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self.lock = threading.Lock()

    def notice(self, text: str) -> None:
        """Something worth knowing."""
        if not self._quiet:
            self.say(f"streamclient: {text}")

    def say(self, line: str) -> None:
        """A line that is shown in any case."""
        with self.lock:
            self._stream.write(line.translate(CONTROLS) + "\n")
            self._stream.flush()

    def start(self, stream: int, name: str, duration: float | None) -> None:
        """A stream begins.

        Args:
            stream: its number on the command line.
            name: of its source.
            duration: seconds of audio, or ``None``.
        """

    def progress(self, stream: int, position: float) -> None:
        """Its audio is transcribed up to ``position`` seconds."""

    def interim(self, stream: int, text: str) -> None:
        """Its unfinished words, instead of those before."""

    def caption(self, stream: int, text: str) -> None:
        """A finished utterance of it."""

    def outage(self, stream: int, *, begins: bool) -> None:
        """Its connection is lost, or is there again."""

    def finish(self, stream: int) -> None:
        """It has ended."""

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """While another hand writes to the same terminal."""
        with self.lock:
            yield


@define
class Lane:
    """What is shown of one stream."""

    name: str
    duration: float | None
    position: float = 0.0
    interim: str = ""
    is_cut: bool = False


class LiveScreen(Screen):
    """Captions as they come, with one line of progress for each stream under way.

    Args:
        keep_captions: leave finished utterances standing; where standard output is the same terminal and gets
            them as well, they would be there twice.
    """

    def __init__(self, *, keep_captions: bool, console: "Console | None" = None) -> None:
        super().__init__(sys.stderr)
        self._console = console or _console()
        self._keep_captions = keep_captions
        self._lanes: dict[int, Lane] = {}
        self._live: Live | None = None
        self._refreshed = 0.0

    def say(self, line: str) -> None:
        """A line above the captions."""
        with self.lock:
            self._print(line.translate(CONTROLS))

    def start(self, stream: int, name: str, duration: float | None) -> None:
        """Show a line of progress."""
        with self.lock:
            self._lanes[stream] = Lane(printable(name), duration)
            self._refresh()

    def progress(self, stream: int, position: float) -> None:
        """Move the bar; a person cannot tell whether that is some milliseconds late."""
        with self.lock:
            if lane := self._lanes.get(stream):
                lane.position = max(lane.position, position)
                if time.monotonic() - self._refreshed >= REFRESH_SECONDS:
                    self._refresh()

    def interim(self, stream: int, text: str) -> None:
        """Replace the unfinished words."""
        with self.lock:
            if lane := self._lanes.get(stream):
                lane.interim = printable(text)
                self._refresh()

    def caption(self, stream: int, text: str) -> None:
        """Let finished words stand above, and forget the unfinished ones."""
        with self.lock:
            if lane := self._lanes.get(stream):
                lane.interim = ""
                if self._keep_captions:
                    name = f"{lane.name}: " if len(self._lanes) > 1 else ""
                    self._print(name + printable(text))
            self._refresh()

    def outage(self, stream: int, *, begins: bool) -> None:
        """Say beside the bar why it does not move."""
        with self.lock:
            if lane := self._lanes.get(stream):
                lane.is_cut = begins
            self._refresh()

    def finish(self, stream: int) -> None:
        """Take the line of progress away."""
        with self.lock:
            self._lanes.pop(stream, None)
            self._refresh()

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Take everything transient away, and bring it back."""
        with self.lock:
            self._hide()
            yield
            self._refresh()

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self.lock:
            self._lanes.clear()
            self._hide()

    def _print(self, text: str) -> None:
        self._console.print(_text(text), overflow="fold")

    def _hide(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _refresh(self) -> None:
        from rich.live import Live

        self._refreshed = time.monotonic()
        if not self._lanes:
            self._hide()
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
            self._console.show_cursor()  # whoever is suspended or killed cannot bring it back
        self._live.update(self._render(), refresh=True)

    def _render(self) -> "RenderableType":
        """In the order of the command line; unfinished words stand above the bar they belong to."""
        from rich.console import Group

        width = max(self._console.width - ECHO_WIDTH, 1)
        parts: list[RenderableType] = []
        for _, lane in sorted(self._lanes.items()):
            if lane.interim:
                parts.append(self._unfinished(lane))
            parts.append(_progress(lane, width))
        return Group(*parts)

    def _unfinished(self, lane: Lane) -> "Text":
        """The last lines of the unfinished words, dim: they may still change."""
        lines = _text(lane.interim, "dim").wrap(self._console, max(self._console.width - 1, 1))
        return _text("\n").join(lines[-CAPTION_LINES:])


def _console() -> "Console":
    try:
        from rich.console import Console
    except ImportError as error:
        from streamclient.sources import MissingExtra

        raise MissingExtra("The command line", "cli") from error
    plain = bool(os.environ.get("NO_COLOR"))  # rich by itself would still dim
    return Console(stderr=True, markup=False, highlight=False, emoji=False, color_system=None if plain else "auto")


def _text(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style=style)


def _progress(lane: Lane, width: int) -> "RenderableType":
    """One line of at most so many columns: where there is little room, the name and the bar are shorter."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    position = min(lane.position, lane.duration or lane.position)
    facts = [_text(f"{_clock(position)} / {_clock(lane.duration)}" if lane.duration else _clock(position))]
    if lane.is_cut:
        facts.append(_text("no connection", "yellow"))
    room = max(width - sum(fact.cell_len + 1 for fact in facts), 0)
    name = _text(lane.name, "cyan")
    name.truncate(max(room - (BAR_WIDTH + 1 if lane.duration else 0), room // 2, 1), overflow="ellipsis")
    room = min(room - name.cell_len - 1, BAR_WIDTH)
    bar = [ProgressBar(total=lane.duration, completed=position, width=room)] if lane.duration and room > 0 else []
    line = Table.grid(padding=(0, 1))
    line.add_row(name, *bar, *facts)
    return line


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
