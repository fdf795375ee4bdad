"""What a person sees on standard error."""

import io

import pytest
from rich.console import Console

from streamclient.cli.screen import LiveScreen, Screen, is_live_terminal


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def live(*, keep_captions: bool = True, width: int = 40) -> tuple[LiveScreen, io.StringIO]:
    """A live screen, and what it has written."""
    stream = Terminal()
    console = Console(
        file=stream, force_terminal=True, width=width, height=10, markup=False, highlight=False, color_system=None
    )
    return LiveScreen(keep_captions=keep_captions, console=console), stream


@pytest.mark.parametrize(("term", "expected"), [("xterm", True), ("dumb", False), ("", False)])
def test_dumb_terminal_is_not_live(monkeypatch: pytest.MonkeyPatch, term: str, expected: bool) -> None:
    """Only a terminal that can rewrite a line gets lines rewritten."""
    monkeypatch.setenv("TERM", term)
    assert is_live_terminal(Terminal()) is expected
    assert not is_live_terminal(io.StringIO())


def test_pipe_gets_notices_only() -> None:
    """Without a terminal there are no captions, no progress and no control codes."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.start(0, "talk.wav", 3.0)
    screen.interim(0, "hello")
    screen.caption(0, "hello there")
    screen.progress(0, 1.0)
    screen.notice("something \x1b[2Jhappened")
    screen.finish(0)
    assert stream.getvalue() == "streamclient: something [2Jhappened\n"


def test_quiet_screen_shows_errors_only() -> None:
    """What is said in any case is said to the quiet as well."""
    stream = io.StringIO()
    screen = Screen(stream, quiet=True)
    screen.notice("something happened")
    screen.say("an error")
    assert stream.getvalue() == "an error\n"


def test_captions_stay_and_the_rest_goes() -> None:
    """Finished words stand, unfinished ones and the bar are taken back in the end."""
    screen, stream = live()
    screen.start(0, "talk.wav", 60.0)
    screen.interim(0, "hello [not a tag]")
    screen.caption(0, "hello [bold]there")
    screen.progress(0, 30.0)
    screen.caption(0, "good bye")
    screen.close()
    written = stream.getvalue()
    assert "hello [not a tag]" in written
    assert "hello [bold]there\n" in written
    assert "0:30 / 1:00" in written
    assert written.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_cursor_is_left_alone() -> None:
    """A process that is suspended or killed leaves a terminal whose cursor can be seen."""
    screen, stream = live()
    screen.start(0, "talk.wav", 60.0)
    screen.progress(0, 30.0)
    assert stream.getvalue().rpartition("\x1b[?25")[2].startswith("h")
    screen.close()


@pytest.mark.parametrize("duration", [60.0, None])
def test_bar_leaves_room_for_what_the_terminal_echoes(duration: float | None) -> None:
    """``^C`` behind the bar does not wrap, so that what is above can be taken away; a long name is cut."""
    screen, stream = live(width=40)
    screen.start(0, "a long name of a recording, longer than a line.wav", duration)
    line = stream.getvalue().rpartition("\x1b[?25h")[2]
    screen.close()
    assert "0:00" in line
    assert "…" in line
    assert "\n" not in line
    assert len(line) <= 37


def test_captions_are_not_kept_where_standard_output_shows_them() -> None:
    """On one terminal a finished utterance is there once, from standard output."""
    screen, stream = live(keep_captions=False)
    screen.start(0, "talk.wav", None)
    screen.caption(0, "hello there")
    screen.close()
    assert "hello there" not in stream.getvalue()


def test_long_unfinished_words_show_their_end() -> None:
    """Of a long sentence the newest two lines are shown, broken between words."""
    screen, stream = live(width=20)
    screen.start(0, "talk.wav", None)
    screen.interim(0, "the quick brown fox jumps over the lazy dog again and again")
    written = stream.getvalue()
    screen.close()
    assert "again and again" in written
    assert "quick" not in written


def test_several_streams_name_their_captions() -> None:
    """With several files at a time each caption says where it is from."""
    screen, stream = live()
    screen.start(0, "a.wav", None)
    screen.start(1, "b.wav", None)
    screen.caption(1, "hello")
    screen.close()
    assert "b.wav: hello\n" in stream.getvalue()


def test_unfinished_words_stand_above_their_own_bar() -> None:
    """In the order of the command line, whichever file began first."""
    screen, stream = live()
    screen.start(1, "b.wav", None)
    screen.start(0, "a.wav", None)
    screen.interim(1, "second words")
    screen.interim(0, "first words")
    last = stream.getvalue().rpartition("\x1b[2K")[2]
    screen.close()
    assert [line.strip() for line in last.splitlines()] == ["first words", "a.wav 0:00", "second words", "b.wav 0:00"]


def test_clearing_makes_room_for_another_hand() -> None:
    """While standard output is written, nothing transient is on the terminal."""
    screen, stream = live()
    screen.start(0, "talk.wav", None)
    with screen.cleared():
        before = stream.getvalue()
        assert before.endswith("\x1b[1A\x1b[2K")
    assert len(stream.getvalue()) > len(before)
    screen.close()
