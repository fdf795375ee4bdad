"""Where the transcript goes."""

import io
import json
import os
from pathlib import Path

import pytest

from streamclient.cli.output import (
    CaptionWriter,
    FileSink,
    JsonWriter,
    StdoutSinks,
    Target,
    TextWriter,
    plan_targets,
)
from streamclient.cli.screen import Screen
from streamclient.errors import OptionsError, StreamClientError
from streamclient.events import Transcript, Utterance
from streamclient_plugins.captions import CaptionText

ONE = Utterance(0, 0.0, 1.0, "one")
TWO = Utterance(1, 1.0, 2.0, "two", channel=1, speaker=0)


def plan(*sources: str, **changes: object) -> list[list[Target]]:
    """Plan with the defaults of the command line."""
    settings: dict[str, object] = {
        "formats": ("txt",),
        "template": None,
        "directory": None,
        "overwrite": False,
        **changes,
    }
    return plan_targets(sources, settings.pop("formats"), **settings)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_format_goes_to_standard_output() -> None:
    """Without a word about files, the transcript is on standard output."""
    assert plan("a.wav", "b.wav") == [[Target("txt")], [Target("txt")]]
    assert plan("a.wav", formats=("txt", "json"), template="{stem}.{format}") != [[Target("txt"), Target("json")]]


def test_several_formats_go_to_files() -> None:
    """Several formats are files named after the audio, in the current directory."""
    paths = [target.path for target in plan("x/a.wav", formats=("txt", "json"))[0]]
    assert paths == [Path("a.txt"), Path("a.json")]


def test_directory_and_template_name_the_files() -> None:
    """A directory is where they go, a template is what they are called; standard input has a name too."""
    assert plan("x/a.wav", directory=Path("d"))[0][0].path == Path("d/a.txt")
    assert plan("x/a.wav", template="{parent}/{name}.{format}")[0][0].path == Path("x/a.wav.txt")
    assert plan("-", template="{stem}.txt")[0][0].path == Path("stdin.txt")
    assert plan("a.wav", template="-") == [[Target("txt")]]
    assert plan("https://example.com/x/talk.wav?key=1.2", directory=Path("d"))[0][0].path == Path("d/talk.txt")


@pytest.mark.parametrize("template", ["{what}", "{stem", "{stem!x}", "{}", "{stem.real}"])
def test_wrong_template_is_refused(template: str) -> None:
    """A template with a slip names the fields there are."""
    with pytest.raises(OptionsError, match=r"Fields are \{stem\}"):
        plan("a.wav", template=template)


def test_two_results_in_one_file_are_refused() -> None:
    """Nothing is overwritten by a neighbour."""
    with pytest.raises(OptionsError, match=r"Two results would be written to a\.txt"):
        plan("x/a.wav", "y/a.wav", template="{stem}.txt")


def test_existing_file_is_refused_unless_asked_for() -> None:
    """An older transcript is not lost by accident."""
    Path("a.txt").write_text("old")
    with pytest.raises(OptionsError, match="exists already"):
        plan("a.wav", template="{stem}.txt")
    assert plan("a.wav", template="{stem}.txt", overwrite=True)


def test_captions_of_several_files_need_files() -> None:
    """Two caption files after one another are none."""
    with pytest.raises(OptionsError, match="cannot share standard output as srt"):
        plan("a.wav", "b.wav", formats=("srt",))
    assert plan("a.wav", formats=("srt",)) == [[Target("srt")]]


def test_file_comes_with_its_first_text() -> None:
    """A file is not touched before there is something to write, and is whole after every write."""
    sink = FileSink(Path("deep/a.txt"))
    assert not Path("deep").exists()
    sink("one\n")
    assert Path("deep/a.txt").read_text() == "one\n"
    sink.close()


def test_file_that_came_meanwhile_is_not_overwritten() -> None:
    """What was not there when the work began is not overwritten either."""
    sink = FileSink(Path("a.txt"))
    Path("a.txt").write_text("other")
    with pytest.raises(StreamClientError, match=r"a\.txt cannot be written: File exists"):
        sink("one")


def test_text_is_an_utterance_per_line_with_nothing_missing() -> None:
    """Each utterance is a line as it comes; those that did not come as events come at the end, once."""
    lines: list[str] = []
    writer = TextWriter(lines.append, multichannel=True)
    writer.utterance(ONE)
    assert lines == ["Channel 0: one\n"]
    writer.end(Transcript((ONE, TWO)))
    assert "".join(lines) == "Channel 0: one\nChannel 1, Speaker 0: two\n"


def test_text_cannot_steer_the_terminal() -> None:
    """Control characters and line breaks of the service stay out of the line."""
    lines: list[str] = []
    TextWriter(lines.append).utterance(Utterance(0, 0.0, 1.0, "one\x1b[2J\ntwo\x07\x9b"))
    assert lines == ["one[2J two\n"]


def test_captions_are_written_as_they_come_with_nothing_missing() -> None:
    """The header with the first cue, each cue as a text of its own, and at the end what did not come as an event."""
    texts: list[str] = []
    writer = CaptionWriter(texts.append, CaptionText("vtt", multichannel=True))
    writer.utterance(ONE)
    assert texts == ["WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v Channel 0>one</v>\n\n"]
    writer.end(Transcript((ONE, TWO)))
    assert texts[1:] == ["00:00:01.000 --> 00:00:02.000\n<v Channel 1, Speaker 0>two</v>\n\n"]


def test_captions_of_silence_are_a_valid_file() -> None:
    """A header, and nothing for SubRip, which has none."""
    texts: list[str] = []
    CaptionWriter(texts.append, CaptionText("vtt")).end(Transcript())
    CaptionWriter(texts.append, CaptionText("srt")).end(Transcript())
    assert texts == ["WEBVTT\n\n", ""]


CUT = Transcript((Utterance(0, 0.0, 1.0, "I will have"), Utterance(1, 1.25, 2.0, "two teas.")))


def captions_into(path: Path) -> None:
    """Write the captions of two halves of a sentence, as they come."""
    sink = FileSink(path, overwrite=True)
    writer = CaptionWriter(sink, CaptionText("srt"), CaptionText("srt"))
    for utterance in CUT.utterances:
        writer.utterance(utterance)
    assert path.read_text().count(" --> ") == 2
    try:
        writer.end(CUT)
    finally:
        sink.close()


def test_a_file_of_captions_is_better_in_the_end() -> None:
    """When it is known what came next, halves of a sentence are one caption; until then the file was valid, too."""
    captions_into(Path("a.srt"))
    assert Path("a.srt").read_text() == "1\n00:00:00,000 --> 00:00:02,000\nI will have two teas.\n\n"
    assert list(Path().iterdir()) == [Path("a.srt")]


def test_captions_behind_a_link_stay_as_they_came() -> None:
    """What the user made is not replaced by a file."""
    Path("real.srt").touch()
    Path("a.srt").symlink_to("real.srt")
    captions_into(Path("a.srt"))
    assert Path("a.srt").is_symlink()
    assert Path("real.srt").read_text().count(" --> ") == 2


def test_captions_that_cannot_be_bettered_are_kept() -> None:
    """A full disk costs what would have been better, and is said."""
    Path(f".a.srt.{os.getpid()}").mkdir()
    with pytest.raises(StreamClientError, match=r"a\.srt cannot be written"):
        captions_into(Path("a.srt"))
    assert Path("a.srt").read_text().count(" --> ") == 2


def test_json_is_one_document() -> None:
    """The document names its source and has everything the transcript has."""
    texts: list[str] = []
    writer = JsonWriter(texts.append, "a.wav")
    writer.utterance(ONE)
    assert texts == []
    writer.end(Transcript((ONE,), complete=True))
    document = json.loads("".join(texts))
    assert (document["source"], document["text"], document["complete"]) == ("a.wav", "one", True)


def test_streams_come_in_the_order_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The first unfinished stream writes at once, the others wait, and none is mixed with another."""
    sinks = StdoutSinks(3, Screen(io.StringIO()), lambda: None, separator="\n")
    first, second, third = (sinks.sink(number) for number in range(3))
    third("c1\n")
    first("a1\n")
    assert capsys.readouterr().out == "a1\n"
    second("b1\n")
    first("a2\n")
    sinks.finish(1)
    assert capsys.readouterr().out == "a2\n"
    sinks.finish(0)
    third("c2\n")
    sinks.finish(2)
    assert capsys.readouterr().out == "\nb1\n\nc1\nc2\n"


def test_stream_that_says_nothing_leaves_no_gap(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream without text is no empty paragraph."""
    sinks = StdoutSinks(3, Screen(io.StringIO()), lambda: None, separator="\n")
    sinks.finish(0)
    sinks.sink(1)("b\n")
    sinks.finish(1)
    sinks.finish(2)
    assert capsys.readouterr().out == "b\n"


def test_reader_that_has_gone_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads any more, the work is asked to stop, and nothing more is written."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    gone: list[bool] = []
    sinks = StdoutSinks(1, Screen(io.StringIO()), lambda: gone.append(True))
    sinks.sink(0)("one")
    sinks.sink(0)("two")
    assert gone == [True]
    assert sinks.gone
