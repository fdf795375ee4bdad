"""A process that records, as users run them, and the end that is made of it.

The audio encodes its own position, so whoever finds it knows what is missing.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from streamclient import ListenOptions
from tests.support.positions import RATE, Recogniser, audio
from tests.support.service import CLOSE_STREAM, Call, Script

ROOT = Path(__file__).parents[2]
CHUNK_SECONDS = 0.1
SPEED = 10
"""How many times as fast as it is spoken the audio is sent."""

PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from streamclient import ReconnectPolicy, StreamClient
from tests.support.positions import audio
from tests.support.recorder import CHUNK_SECONDS, SPEED, options

url, channels, blocks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = audio(blocks, channels)
size = int(CHUNK_SECONDS * 16000) * channels
client = StreamClient(options(channels), url=url, plugins=["record:path=call"])
with client:
    begin = time.monotonic()
    for number in range(0, len(data), size):
        client.send(data[number : number + size])
        print(number + size, flush=True)
        time.sleep(max(begin + (number / size + 1) * CHUNK_SECONDS / SPEED - time.monotonic(), 0))
"""


def options(channels: int = 1) -> ListenOptions:
    """Options for the audio that encodes its position."""
    more = {"channels": 2, "multichannel": True} if channels == 2 else {}
    return ListenOptions(encoding="linear16", sample_rate=RATE, interim_results=True, **more)  # type: ignore[arg-type]


def hearing(random: Random, channels: int = 1) -> Script:
    """A service that hears positions, now and then says finals, and finishes when asked to."""

    def script(call: Call) -> None:
        recogniser = Recogniser(random, channels)
        while (frame := call.read()) != CLOSE_STREAM:
            if isinstance(frame, bytes):
                recogniser.hear(frame)
                said = random.random()
                call.say(*(recogniser.finals() if said < 0.1 else recogniser.interims() if said < 0.5 else []))
        call.end(*recogniser.finish())

    return script


class Recorder:
    """The process, and what it says of itself.

    Args:
        process: running.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.accepted: list[tuple[float, int]] = []

    def run_for(self, seconds: float) -> None:
        """Let it send for so long, and take note of what it says was accepted."""
        assert self._process.stdout is not None
        while not self.accepted or time.monotonic() - self.accepted[0][0] < seconds:
            line = self._process.stdout.readline()
            assert line, "it ended by itself"
            self.accepted.append((time.monotonic(), int(line)))

    def kill(self) -> float:
        """Kill it as nothing can be caught; when that was."""
        now = time.monotonic()
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL, "it ended by itself"
        return now

    def accepted_before(self, moment: float) -> int:
        """Bytes that were accepted at this time, for sure."""
        return max((size for when, size in self.accepted if when <= moment), default=0)


@contextmanager
def recording(folder: Path, url: str, *, channels: int = 1, blocks: int = 3000) -> Iterator[Recorder]:
    """A process that records into a folder; it does not outlive the block."""
    program = PROGRAM.format(root=str(ROOT))
    command = [sys.executable, "-c", program, url, str(channels), str(blocks)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Recorder(process)
        finally:
            process.kill()


def recorded_bytes(folder: Path, blocks: int = 3000, channels: int = 1) -> int:
    """Bytes of audio on disk, which must be the start of what was sent."""
    header = 44
    found = (folder / "call.wav").read_bytes()[header:]
    assert audio(blocks, channels).startswith(found)
    return len(found)
