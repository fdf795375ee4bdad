"""The plugin log: a line of standard logging for what is said and for what happens."""

import logging
from datetime import datetime, timezone

import pytest

from streamclient import Closed, PluginError, PluginFailed, PluginOverrun, Transcript
from streamclient.plugins import load_plugins
from tests.plugins.conftest import UTTERANCE, Play

Lines = list[tuple[str, str, str]]


def logged(caplog: pytest.LogCaptureFixture, play: Play, plugin: str) -> Lines:
    """Logger, level and text of each line, but for one that says that this machine is slow."""
    with caplog.at_level(logging.DEBUG):
        assert play(plugin) == []
    lines = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    return [line for line in lines if line[0] != "streamclient.plugins"]


def transcript_of(lines: Lines) -> list[str]:
    """The texts of the lines that are not about the stream."""
    return [text for _, _, text in lines if not text.startswith("Stream stream-1")]


def test_each_utterance_is_a_line(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """Its text, at level INFO."""
    lines = logged(caplog, play, "log")

    assert ("streamclient.transcript", "INFO", "Two teas.") in lines
    assert transcript_of(lines) == ["Two teas."]


def test_each_final_is_a_line_instead(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """Without the silent ones."""
    lines = logged(caplog, play, 'log:per=final,format="{index} {start:.1f}-{end:.1f} [{speaker}] {text}"')

    assert transcript_of(lines) == ["0 0.5-2.5 [1] Two teas.", "1 0.0-2.0 [-] and so"]


def test_level_logger_and_format_are_options(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """The line is a template with named fields."""
    names = "{stream_id} {request_id} {index} {start:.2f} {end:.2f} {channel} {speaker} {confidence:.3f} {text!r}"

    lines = logged(caplog, play, f'log:level=WARNING,logger=calls,format="{names}"')

    assert ("calls", "WARNING", "stream-1 request-1 0 1.00 2.00 1 1 0.625 'Two teas.'") in lines
    assert {name for name, _, _ in lines} == {"calls"}


def test_the_life_of_the_stream_is_logged(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """Each event at the level it deserves."""
    lines = [(level, text) for _, level, text in logged(caplog, play, "log") if text.startswith("Stream")]

    assert lines == [
        ("INFO", "Stream stream-1 is open, request id request-1"),
        ("WARNING", "Stream stream-1 lost its connection, next attempt in 0.5 s: The connection broke."),
        ("INFO", "Stream stream-1 is connected again after 1.5 s"),
        ("ERROR", "Stream stream-1: plugin other failed in on_final: ValueError('a bug')"),
        ("ERROR", "Stream stream-1 failed: The connection broke."),
        ("WARNING", "Stream stream-1 is closed: 1 utterances, 3.5 s of audio, incomplete"),
    ]


def test_a_complete_transcript_is_no_warning(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """The normal end is information."""
    with caplog.at_level(logging.INFO):
        play("log", [Closed(Transcript((UTTERANCE,), 2.0, complete=True))])

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Stream stream-1 is closed: 1 utterances, 2.0 s of audio, complete")
    ]


def test_a_stopped_plugin_is_said_to_be_stopped(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """It failed in no hook."""
    play("log", [PluginFailed("slow", "", PluginOverrun("It fell behind"))])

    assert caplog.messages == ["Stream stream-1: plugin slow was stopped: PluginOverrun('It fell behind')"]


@pytest.mark.parametrize("template", ["{nme}", "{}", "{0}", "{", "{start:d}", "{speaker:d}", "{text.nothing}"])
def test_a_wrong_format_is_refused_when_configured(template: str) -> None:
    """Not at the first line of a call."""
    with pytest.raises(
        PluginError, match=r"Plugin 'log' cannot be made: format=.* (known are \{stream_id\}|cannot be filled)"
    ):
        load_plugins([f'log:format="{template}"'])


def test_a_wrong_level_is_refused() -> None:
    """With the levels there are."""
    with pytest.raises(PluginError, match="level='LOUD' is not allowed; allowed is DEBUG or INFO or WARNING or ERROR"):
        load_plugins(["log:level=LOUD"])


def test_a_line_can_tell_the_time(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    """In the audio, and of the day at which it was spoken."""
    before = datetime.now(timezone.utc).astimezone()

    (line,) = transcript_of(logged(caplog, play, 'log:format="{start_clock} {end_clock} {at:%Y-%m-%dT%H:%M:%S.%f%z}"'))

    start, end, at = line.split()
    assert (start, end) == ("0:00:01.00", "0:00:02.00")
    assert 1 <= (datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z") - before).total_seconds() < 11
