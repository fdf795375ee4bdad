"""What the writing plugins promise of their files: nothing lost, nothing overwritten, every line whole."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path

import pytest

from streamclient import Closed, Opened, PluginError, Transcript, source_stem
from streamclient.plugins import load_plugins
from streamclient_plugins import writer as writer_module
from streamclient_plugins.text import Text
from streamclient_plugins.writer import LineWriter, create_file
from tests.plugins.conftest import UTTERANCE, Play, View

SHORT = (Opened(), UTTERANCE, Closed(Transcript()))
LINE = "Speaker 1: Two teas.\n"
IMPORTS = "from streamclient_plugins.writer import LineWriter\nclass View: id = 'stream-1'\n"


@pytest.fixture
def writer(tmp_path: Path) -> LineWriter:
    """An open writer of ``lines.txt``."""
    writer = LineWriter(path=str(tmp_path / "lines.txt"))
    writer.open(View())
    return writer


@pytest.fixture
def stem() -> Iterator[ContextVar[str | None]]:
    """The name of the audio, which this test may set."""
    token = source_stem.set(None)
    yield source_stem
    source_stem.reset(token)


class TestPath:
    def test_stream_and_date_are_filled_in(self, play: Play) -> None:
        """Streams do not fight for a file."""
        before = datetime.now(timezone.utc).date()

        assert play("text:path={date}_{stream_id}.txt", SHORT) == []

        (path,) = Path().iterdir()
        after = datetime.now(timezone.utc).date()
        assert path.name in {f"{day.isoformat()}_stream-1.txt" for day in (before, after)}

    def test_the_date_may_be_any_part_of_the_time(self, play: Play) -> None:
        """As ``strftime`` writes it."""
        assert play("text:path={date:%Y-%m-%d_%H.%M.%S}.txt", SHORT) == []

        (path,) = Path().iterdir()
        then = datetime.strptime(path.stem, "%Y-%m-%d_%H.%M.%S").replace(tzinfo=timezone.utc)
        assert abs((datetime.now(timezone.utc) - then).total_seconds()) < 60

    def test_the_stem_is_the_audios(self, play: Play, stem: ContextVar[str | None]) -> None:
        """Where the audio has a name; else the stream's id, so that streams still do not fight for a file."""
        assert play("text:path={stem}-{date}.txt", SHORT) == []
        stem.set("talk")
        assert play("text", SHORT) == []

        assert {path.name.partition("-20")[0] for path in Path().iterdir()} == {"stream-1", "talk.txt"}

    def test_a_file_whose_name_is_known_early_is_refused_early(self, play: Play, stem: ContextVar[str | None]) -> None:
        """Before there is a stream that would go on without its file."""
        stem.set("talk")
        Path("talk.txt").write_text("precious\n")

        with pytest.raises(PluginError, match=r"talk\.txt exists already"):
            play("text", SHORT)

    def test_the_file_is_opened_with_the_stream(self, play: Play) -> None:
        """A stream that never opens leaves no empty file behind."""
        assert play("text", [UTTERANCE, Closed(Transcript())]) == []

        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("{name}.txt", "has the unknown field {name}; known are {stem}, {stream_id}, {date}"),
            ("{streamid}.txt", "has the unknown field {streamid}; did you mean {stream_id}? Known are {stem}"),
            ("{}.txt", "has the unknown field {}"),
            ('""', "path is empty"),
            ("nowhere/x.txt", "there is no folder nowhere"),
            (".", "path='.' is a folder, not a file"),
            ("{", "path='{' cannot be filled in: Single '{' encountered"),
            ("{stem:{name}}.txt", "path='{stem:{name}}.txt' cannot be filled in: 'name'"),
            ("{stem:5d}.txt", "path='{stem:5d}.txt' cannot be filled in: Unknown format code"),
        ],
    )
    def test_a_path_that_cannot_work_is_refused_when_configured(
        self, path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before there is a stream that would go on without its file."""
        monkeypatch.chdir(tmp_path)

        with pytest.raises(PluginError) as caught:
            load_plugins([f"text:path={path}"])

        assert reason in str(caught.value)

    def test_an_existing_file_is_refused_when_configured(self, play: Play) -> None:
        """The error says how to go on."""
        Path("x.txt").write_text("precious\n")

        with pytest.raises(PluginError, match=r"'text' cannot be made: x\.txt exists already; set existing=append or"):
            play("text:path=x.txt", SHORT)

        assert Path("x.txt").read_text() == "precious\n"

    def test_an_existing_file_of_a_template_is_refused_by_the_hook(self, play: Play) -> None:
        """Reported once; the file is left alone."""
        Path("stream-1.txt").write_text("precious\n")

        ((hook, error),) = play("text", SHORT)

        assert (hook, type(error)) == ("on_open", FileExistsError)
        assert Path("stream-1.txt").read_text() == "precious\n"

    @pytest.mark.parametrize(("existing", "kept"), [("append", "old\n"), ("overwrite", "")])
    def test_an_existing_file_is_appended_to_or_overwritten_on_demand(
        self, play: Play, existing: str, kept: str
    ) -> None:
        """As the option says."""
        Path("x.txt").write_text("old\n")

        assert play(f"text:path=x.txt,existing={existing}", SHORT) == []

        assert Path("x.txt").read_text() == kept + LINE

    def test_a_file_that_comes_at_the_same_moment_is_not_written_into(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of two streams that make one file, one is told; neither looks whether the other has just been there."""
        monkeypatch.setattr(writer_module, "check_file", lambda *_: None)

        with create_file(tmp_path / "x.txt"), pytest.raises(FileExistsError):
            create_file(tmp_path / "x.txt")

    def test_a_device_is_no_file_to_lose(self, play: Play) -> None:
        """Writing to the null device needs no further option."""
        assert play(f"text:path={os.devnull}", SHORT) == []


class TestLines:
    def test_each_line_is_there_at_once(self, writer: LineWriter, tmp_path: Path) -> None:
        """Another program can follow the file."""
        writer.write_line("one")
        assert (tmp_path / "lines.txt").read_text() == "one\n"

        writer.write_line("two")
        assert (tmp_path / "lines.txt").read_text() == "one\ntwo\n"
        writer.close()

    def test_two_writers_can_append_to_one_file(self, tmp_path: Path) -> None:
        """Every line goes to the end of the file, wherever that is by now."""
        writers = [LineWriter(path=str(tmp_path / "both"), existing="append") for _ in range(2)]
        for writer in writers:
            writer.open(View())
        for number in range(4):
            writers[number % 2].write_line(str(number))
        for writer in writers:
            writer.close()

        assert (tmp_path / "both").read_text() == "0\n1\n2\n3\n"

    def test_a_rotated_file_is_left_alone_and_a_new_one_begun(self, writer: LineWriter, tmp_path: Path) -> None:
        """Whether the rotation leaves the name free or has made a file of it already."""
        path = tmp_path / "lines.txt"
        writer.write_line("one")
        path.rename(tmp_path / "lines.txt.1")
        writer.write_line("two")
        path.rename(tmp_path / "lines.txt.2")
        path.write_text("made by the rotation\n")
        writer.write_line("three")
        writer.close()

        assert (tmp_path / "lines.txt.1").read_text() == "one\n"
        assert (tmp_path / "lines.txt.2").read_text() == "two\n"
        assert path.read_text() == "made by the rotation\nthree\n"

    def test_a_rotation_that_leaves_no_place_costs_only_the_lines_of_that_time(self, tmp_path: Path) -> None:
        """Each of them is an error that says why; the next file is begun as soon as that is possible."""
        folder = tmp_path / "logs"
        folder.mkdir()
        writer = LineWriter(path=str(folder / "lines.txt"))
        writer.open(View())
        folder.rename(tmp_path / "old")
        for _ in range(2):
            with pytest.raises(FileNotFoundError, match="there is no folder"):
                writer.write_line("lost")
        folder.mkdir()

        writer.write_line("kept")
        writer.close()

        assert (folder / "lines.txt").read_text() == "kept\n"

    def test_a_killed_process_leaves_whole_lines(self, tmp_path: Path) -> None:
        """Nothing waits in a buffer of the process."""
        script = (
            "import os, signal\n" + IMPORTS + f"writer = LineWriter(path={str(tmp_path / 'x')!r}); writer.open(View)\n"
            "for number in range(3): writer.write_line(str(number))\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )

        done = subprocess.run([sys.executable, "-c", script], check=False)

        assert done.returncode == -signal.SIGKILL
        assert (tmp_path / "x").read_text() == "0\n1\n2\n"

    def test_a_forked_child_writes_nothing_twice(self, tmp_path: Path) -> None:
        """The child's copy of the plugin has nothing to write when it ends."""
        script = (
            "import os\n"
            + IMPORTS
            + f"writer = LineWriter(path={str(tmp_path / 'x')!r}); writer.open(View); writer.write_line('once')\n"
            "child = os.fork()\n"
            "if child: os.waitpid(child, 0); writer.write_line('parent'); writer.close()"
        )

        subprocess.run([sys.executable, "-c", script], check=True)

        assert (tmp_path / "x").read_text() == "once\nparent\n"

    def test_closing_twice_is_fine_and_writing_after_it_does_nothing(self, writer: LineWriter, tmp_path: Path) -> None:
        """A stream that fails can end in any order."""
        writer.close()
        writer.close()
        writer.write_line("late")

        assert (tmp_path / "lines.txt").read_text() == ""

    def test_a_plugin_object_can_serve_one_stream_after_another(self, play: Play) -> None:
        """Each stream gets its own file."""
        plugin = Text()

        assert play(plugin, SHORT) == []
        assert play(plugin, SHORT, View(id="stream-2")) == []

        assert sorted(path.name for path in Path().iterdir()) == ["stream-1.txt", "stream-2.txt"]


class TestFailures:
    def test_a_full_disk_is_raised_and_takes_no_half_line(self, tmp_path: Path) -> None:
        """What was written of a line is taken back, and later lines are tried again."""
        script = (
            "import resource\n" + IMPORTS + f"writer = LineWriter(path={str(tmp_path / 'x')!r}); writer.open(View)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))\n"
            "writer.write_line('first')\n"
            "try: writer.write_line('second')\n"
            "except OSError as error: print(type(error).__name__)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
            "writer.write_line('third'); writer.close()"
        )

        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

        assert done.stdout == "OSError\n"
        assert (tmp_path / "x").read_text() == "first\nthird\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_a_full_device_is_reported_for_each_line(self, play: Play) -> None:
        """No failure is silent while lines are lost, and each names the file."""
        raised = play("text:path=/dev/full", (Opened(), UTTERANCE, UTTERANCE, Closed(Transcript())))

        assert [(hook, type(error)) for hook, error in raised] == [("on_utterance", OSError)] * 2
        assert all(str(error).endswith("No space left on device: '/dev/full'") for _, error in raised)

    def test_a_reader_that_has_gone_is_reported_once(self, play: Play) -> None:
        """Nothing can ever be written there again."""
        os.mkfifo("pipe")
        reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
        writer = LineWriter(path="pipe")
        writer.open(View())
        writer.write_line("heard")
        assert os.read(reader, 100) == b"heard\n"
        os.close(reader)

        with pytest.raises(BrokenPipeError):
            writer.write_line("unheard")
        writer.write_line("unheard")


class TestStandardOutput:
    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a script that has an open writer of standard output."""
        start = IMPORTS + "writer = LineWriter(path='-')\n"
        return subprocess.run(
            [sys.executable, "-c", start + script],
            check=True,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )

    def test_lines_keep_their_place_among_what_is_printed(self) -> None:
        """What was printed before is flushed first."""
        done = self.run("print('a'); writer.open(View); writer.write_line('b — ü'); writer.close(); print('c')")

        assert done.stdout == "a\nb — ü\nc\n"

    def test_a_replaced_standard_output_is_written_to(self, capsys: pytest.CaptureFixture[str], play: Play) -> None:
        """A test runner's, for example."""
        assert play("text:path=-", SHORT) == []

        assert capsys.readouterr().out == LINE

    def test_a_pipe_that_does_not_block_gets_every_line(self) -> None:
        """Another program may have made it so; the writer waits for room."""
        script = (
            "import os, sys; os.set_blocking(1, False); writer.open(View)\n"
            "for number in range(3): writer.write_line(str(number) * 100_000)\n"
            "writer.close()"
        )

        done = self.run(script)

        assert done.stdout == "".join(f"{str(number) * 100_000}\n" for number in range(3))
