"""Prints what a stream costs with streamclient, as ratios to a plain websocket-client loop with two threads.

Both run in this process, by turns, against a server in a process of its own; so whatever else the machine does, it does
to both. Costs are this process's processor time, with all its threads and what the system does for them.
"""

import argparse
import contextlib
import functools
import gc
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import websocket
from attrs import frozen

from bench.streams import Heard, MakeStream, OurStream, PlainStream, UncheckedStream
from streamclient import ListenOptions, __version__

ROOT = Path(__file__).parents[1]
BYTES_PER_MILLISECOND = 32
LIVE_STREAMS = 10
"""Live streams at a time; one alone costs too little to be measured within seconds."""

LIVE_SECONDS = 1.0
SECONDS_AT_FULL_SPEED = 200
"""What `BufferPolicy` keeps in memory by default; no final covers any of it, so more would go to disk."""

RESULTS = 2000
DELAYED_RESULTS = 120
RESULT_INTERVAL = 0.004
CALL_INTERVAL = 0.2
TIMED = "import time; begin = time.process_time(); {}; print(time.process_time() - begin)"
OUR_STREAM = (
    "from streamclient import ListenOptions, StreamClient; "
    "client = StreamClient(ListenOptions(), url='{url}', api_key='none'); client.open(); client.abort()"
)
PLAIN_STREAM = "import websocket; ws = websocket.create_connection('{url}/v1/listen'); ws.shutdown()"


@frozen
class Question:
    """One line of the table.

    Args:
        title: what is measured.
        unit: of the figures.
        plain: measures plain websocket-client once.
        ours: measures streamclient once.
    """

    title: str
    unit: str
    plain: Callable[[], float]
    ours: Callable[[], float]


@frozen
class Bench:
    """Everything that is measured.

    Args:
        url: of the server.
        folder: for what is written.
        scale: how much is done for one figure; 1.0 gives steady ratios within two minutes.
    """

    url: str
    folder: Path
    scale: float

    def questions(self) -> list[Question]:
        """The lines of the table."""
        return [
            self._question("CPU, audio at full speed, 20 ms chunks", "s/hour", lambda make: self.upload(make, 20)),
            self._question("CPU, audio at full speed, 100 ms chunks", "s/hour", lambda make: self.upload(make, 100)),
            self._question("CPU, live audio, 20 ms chunks", "s/hour", lambda make: self.live(make, 20)),
            self._question("CPU, live audio, 100 ms chunks", "s/hour", lambda make: self.live(make, 100)),
            self._question("CPU, a call: audio, 5 results a second", "s/hour", self.call),
            self._call_question("  the same, with log, jsonl and captions", "log", "jsonl:path={}", "captions:path={}"),
            self._call_question("  the same, recorded", "record:path={}"),
            self._question("CPU, results through one plugin", "s/10,000", self.receive),
            self._question("  the same, plain without its text check", "s/10,000", self.receive, UncheckedStream),
            self._question("delay of a result", "ms", self.delay),
            self._question("  the same, plain without its text check", "ms", self.delay, UncheckedStream),
            self._import_question("CPU, import", "import streamclient"),
            self._import_question("  the same, and its client", "from streamclient import StreamClient"),
            self._import_question("  the same, and a first stream", OUR_STREAM, PLAIN_STREAM),
        ]

    def _question(
        self,
        title: str,
        unit: str,
        measure: Callable[[MakeStream], float],
        plain: MakeStream = PlainStream,
        ours: MakeStream = OurStream,
    ) -> Question:
        return Question(title, unit, lambda: measure(plain), lambda: measure(ours))

    def _call_question(self, title: str, *plugins: str) -> Question:
        path = self.folder / f"{{stream_id}}.{len(plugins)}"
        named = [plugin.format(f"{path}.{plugin.partition(':')[0]}") for plugin in plugins]
        return self._question(title, "s/hour", self.call, ours=functools.partial(OurStream, plugins=named))

    def _import_question(self, title: str, ours: str, plain: str = "import websocket") -> Question:
        return Question(title, "ms", lambda: self.load(plain), lambda: self.load(ours))

    def upload(self, make: MakeStream, chunk_ms: int) -> float:
        """Seconds of CPU for an hour of audio that is sent as fast as it is taken."""
        chunk = os.urandom(BYTES_PER_MILLISECOND * chunk_ms)
        count = self._scaled(SECONDS_AT_FULL_SPEED * 1000 / chunk_ms)
        stream = make(self.url, options(), Heard(0))
        begin = cpu()
        for _ in range(count):
            stream.send(chunk)
        check(stream.close(), count * len(chunk))
        return (cpu() - begin) * 3600 / (count * chunk_ms / 1000)

    def live(self, make: MakeStream, chunk_ms: int, **results: float) -> float:
        """Seconds of CPU for an hour of audio that is sent as it is spoken; several streams, one after the other."""
        chunk = os.urandom(BYTES_PER_MILLISECOND * chunk_ms)
        count = self._scaled(LIVE_SECONDS * 1000 / chunk_ms)
        all_heard = [Heard(int(results.get("results", 0))) for _ in range(LIVE_STREAMS)]
        streams = [make(self.url, options(**results), heard) for heard in all_heard]
        begin, pace = cpu(), time.monotonic()
        for turn in range(count * LIVE_STREAMS):
            sleep_until(pace + turn * chunk_ms / 1000 / LIVE_STREAMS)
            streams[turn % LIVE_STREAMS].send(chunk)
        for heard in all_heard:
            heard.wait()
        spent = cpu() - begin
        for stream in streams:
            check(stream.close(), count * len(chunk))
        return spent * 3600 / (count * LIVE_STREAMS * chunk_ms / 1000)

    def call(self, make: MakeStream) -> float:
        """The same with the results of such audio."""
        return self.live(make, 100, results=self._scaled(LIVE_SECONDS / CALL_INTERVAL), interval=CALL_INTERVAL)

    def receive(self, make: MakeStream) -> float:
        """Seconds of CPU for ten thousand results that come as fast as they are taken."""
        heard = Heard(self._scaled(RESULTS))
        begin = cpu()
        stream = make(self.url, options(results=heard.expected), heard)
        heard.wait()
        stream.close()
        return (cpu() - begin) * 10_000 / heard.expected

    def delay(self, make: MakeStream) -> float:
        """Milliseconds between the server's sending of a result and its arrival where it is used; the median."""
        heard = Heard(self._scaled(DELAYED_RESULTS))
        stream = make(self.url, options(results=heard.expected, interval=RESULT_INTERVAL), heard)
        heard.wait()
        stream.close()
        return median(heard.delays) * 1000

    def load(self, statement: str) -> float:
        """Milliseconds of CPU that a statement costs a new interpreter that finds all modules compiled."""
        timed = TIMED.format(statement.format(url=self.url))
        command = [sys.executable, "-X", f"pycache_prefix={self.folder}", "-c", timed]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        run = functools.partial(subprocess.run, command, env=environment, capture_output=True, text=True, check=True)
        run()  # the first may have to compile
        return float(run().stdout) * 1000

    def _scaled(self, amount: float) -> int:
        return max(round(amount * self.scale), 1)


def options(**query: float) -> ListenOptions:
    """Options of a stream; the query tells the server what to send."""
    return ListenOptions(encoding="linear16", sample_rate=16000, extra_query=query)


def cpu() -> float:
    """Seconds of processor time of this process so far."""
    return time.process_time()


def sleep_until(moment: float) -> None:
    """Sleep to a monotonic time; not at all if that is past."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


def check(counted: int, sent: int) -> None:
    """A stream that lost audio must not look fast."""
    if counted != sent:
        raise SystemExit(f"The server counted {counted} of {sent} bytes; the figures would mean nothing.")


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    command = [sys.executable, "-m", "bench.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def answer(question: Question, rounds: int) -> tuple[float, float]:
    """The medians of plain websocket-client and of streamclient, measured by turns."""
    figures: list[tuple[float, float]] = []
    for turn in range(rounds):
        first, second = (question.plain, question.ours) if turn % 2 == 0 else (question.ours, question.plain)
        gc.collect()
        one = first()
        gc.collect()
        two = second()
        figures.append((one, two) if turn % 2 == 0 else (two, one))
    plain, ours = zip(*figures, strict=True)
    return median(plain), median(ours)


def print_table(bench: Bench, rounds: int, only: str) -> None:
    """Print each line as soon as it is known."""
    print(
        f"streamclient {__version__} next to websocket-client {websocket.__version__}, "
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores; medians of {rounds} rounds\n"
    )
    print(f"{'':42}{'unit':>10}{'plain':>10}{'ours':>10}{'ratio':>8}")
    for question in bench.questions():
        if only in question.title:
            plain, ours = answer(question, rounds)
            print(f"{question.title:42}{question.unit:>10}{plain:10.3f}{ours:10.3f}{ours / plain:8.2f}", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: half a minute instead of two")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each of the two, of which the median counts")
    parser.add_argument("--scale", type=float, default=1.0, help="how much is done in each turn, 1.0 as a rule")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the lines whose title has this text")
    wanted = parser.parse_args()
    scale = wanted.scale * (0.25 if wanted.quick else 1.0)
    rounds = min(wanted.rounds, 3) if wanted.quick else wanted.rounds
    with serving() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logging.basicConfig(filename=folder / "log", level=logging.INFO)
        print_table(Bench(url, folder, scale), rounds, wanted.only)


if __name__ == "__main__":
    main()
