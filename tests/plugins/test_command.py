"""The plugin command: a real program for each utterance, bounded in time, and named when it fails."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from streamclient import Closed, Opened, PluginError, Transcript
from streamclient.plugins import load_plugins
from streamclient_plugins.command import Command, CommandFailed
from tests.plugins.conftest import UTTERANCE, Play

SOON = 60.0
PYTHON = shlex.quote(sys.executable)
NEXT = attrs.evolve(UTTERANCE, index=1, text="ünd — so", speaker=None)


def script(code: str) -> Command:
    """A plugin that runs this Python program."""
    return Command(run=(sys.executable, "-c", code), timeout=SOON)


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_utterance_is_on_the_programs_standard_input(play: Play, tmp_path: Path) -> None:
    """One run after another, with the details in the environment."""
    code = (
        "import os, sys; text = sys.stdin.buffer.read().decode('utf-8'); e = os.environ\n"
        "names = 'STREAM_ID INDEX START END CHANNEL SPEAKER CONFIDENCE'.split()\n"
        "open('heard', 'a', encoding='utf-8').write(text + '|'.join(e['STREAMCLIENT_' + n] for n in names) + '\\n')"
    )

    assert play(script(code), [Opened(), UTTERANCE, NEXT, Closed(Transcript())]) == []

    assert (tmp_path / "heard").read_text("utf-8").splitlines() == [
        "Two teas.",
        "stream-1|0|1.000|2.000|1|1|0.625",
        "ünd — so",
        "stream-1|1|1.000|2.000|1||0.625",
    ]


def test_no_shell_reads_the_command(play: Play, tmp_path: Path) -> None:
    """What a shell would do with it stays text; quotes keep blanks together."""
    code = "import sys; open('arguments', 'w').write(repr(sys.argv[1:]))"

    assert play(f'command:run="{PYTHON} -c ""{code}"" $HOME; \'* a\' > x"', [UTTERANCE]) == []

    assert (tmp_path / "arguments").read_text() == "['$HOME;', '* a', '>', 'x']"


def test_once_at_the_end_with_the_whole_text(play: Play, tmp_path: Path) -> None:
    """An utterance per line, and whether it is complete."""
    code = "import os, sys; open('all', 'w').write(os.environ['STREAMCLIENT_COMPLETE'] + sys.stdin.read())"
    plugin = attrs.evolve(script(code), when="close")

    assert play(plugin, [UTTERANCE, Closed(Transcript((UTTERANCE, UTTERANCE), complete=True))]) == []

    assert (tmp_path / "all").read_text() == "1Two teas.\nTwo teas.\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "ended with exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
    ],
)
def test_a_program_that_fails_is_named_and_the_next_one_runs(play: Play, code: str, reason: str) -> None:
    """Each failure is an error of the plugin, with the program and its status."""
    raised = play(script(code), [UTTERANCE, NEXT])

    assert [(hook, type(error)) for hook, error in raised] == [("on_utterance", CommandFailed)] * 2
    assert str(raised[0][1]) == f"{sys.executable} {reason}"


def test_a_program_need_not_read_its_input(play: Play) -> None:
    """Even a text that no pipe holds."""
    assert play(script("pass"), [attrs.evolve(UTTERANCE, text="word " * 100_000)]) == []


def test_a_program_that_takes_too_long_is_killed_with_its_children(play: Play, tmp_path: Path) -> None:
    """Nothing of it is left."""
    plugin = Command(run=("sh", "-c", "sleep 60 & echo $$ $! > pids; wait"), timeout=1.0)

    ((_, error),) = play(plugin, [UTTERANCE])

    assert str(error) == "sh was killed after 1 s"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert gone(pids)


def gone(pids: list[int]) -> bool:
    """Wait until none of these processes is left."""
    end = time.monotonic() + SOON
    while any(map(is_alive, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_an_interpreter_that_ends_kills_what_runs(tmp_path: Path) -> None:
    """A program in the middle of its work does not outlive the one that started it."""
    child = "import os, time; open('pid.new', 'w').write(str(os.getpid())); os.rename('pid.new', 'pid'); time.sleep(60)"
    program = f"""
import os, sys, threading, time
from streamclient_plugins.command import Command
class View: id = "stream-1"
class Said: text = "x"; index = start = end = channel = confidence = 0; speaker = None
plugin = Command(run=(sys.executable, "-c", {child!r}), timeout=60.0)
threading.Thread(target=plugin.on_utterance, args=(View, Said), daemon=True).start()
while not os.path.exists("pid"): time.sleep(0.01)
"""

    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=SOON)

    assert gone([int((tmp_path / "pid").read_text())])


def test_a_forked_child_that_exits_kills_nothing_of_its_parents(tmp_path: Path) -> None:
    """The program runs to its end, and its status is that of its own."""
    child = "import sys; open('begun', 'w').close(); open('go').read(); open('heard', 'w').write(sys.stdin.read())"
    program = f"""
import os, sys, threading, time
from streamclient_plugins.command import Command
class View: id = "stream-1"
class Said: text = "x"; index = start = end = channel = confidence = 0; speaker = None
os.mkfifo("go")
command = Command(run=(sys.executable, "-c", {child!r}))
lane = threading.Thread(target=command.on_utterance, args=(View, Said))
lane.start()
while not os.path.exists("begun"):
    time.sleep(0.01)
forked = os.fork()
if forked == 0:
    sys.exit()
os.waitpid(forked, 0)
open("go", "w").close()
lane.join()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=tmp_path, timeout=SOON)

    assert (tmp_path / "heard").read_text() == "x\n"


def test_what_it_prints_goes_to_standard_error(tmp_path: Path) -> None:
    """Standard output is the transcript's."""
    program = """
import sys
from streamclient_plugins.command import Command
class View: id = "stream-1"
class Said: text = "x"; index = start = end = channel = confidence = 0; speaker = None
Command(run=(sys.executable, "-c", "print('printed')")).on_utterance(View, Said)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("", "printed\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("", "needs the option 'run'"),
        ("run=", "run names no program"),
        ("run=no-such-program-anywhere", "there is no program 'no-such-program-anywhere'"),
        ('run="sh \'x"', "cannot be split into words: No closing quotation"),
        ("run=sh,timeout=0", "allowed is a number above 0"),
        ("run=sh,timeout=nan", "allowed is a number"),
        ("run=sh,timeout=inf", "up to 86400"),
        ("run=sh,timout=1", "did you mean 'timeout'?"),
    ],
)
def test_what_cannot_work_is_refused_when_configured(options: str, reason: str) -> None:
    """Before there is anything to run it for."""
    with pytest.raises(PluginError) as caught:
        load_plugins([f"command:{options}"])

    assert reason in str(caught.value)


def test_a_program_that_has_gone_since_is_named(play: Play, tmp_path: Path) -> None:
    """Every failure has a name."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    plugin = Command(run=(os.fspath(program),))
    program.unlink()

    ((_, error),) = play(plugin, [UTTERANCE])

    assert str(error) == f"{program} cannot be started: No such file or directory"
