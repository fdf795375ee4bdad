"""Measures the recognition engines: words wrong, and how fast, on speech that anybody can put together again.

    python -m bench.recognition                              pocketsphinx, in one process and in several
    python -m bench.recognition --engine whisper:model=DIR   another one; may be given several times

The speech is what the repository ships, what pocketsphinx ships in its source distribution (pip fetches it), and what
flite reads aloud where it is installed (``apt-get install flite``). All goes through the server as a stream does, only
without sockets: in frames of 100 ms, with the voice activity and the cuts of a live stream. CPU is that of this
process; what pocketsphinx takes is seen without processes of its own.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import jiwer
from attrs import frozen

from streamclient.server.engines import Engine, load_engine
from streamclient.server.protocol import ListenProtocol
from streamclient.server.query import parse_request

ROOT = Path(__file__).parents[1]
RATE = 16_000
FRAME = RATE // 10 * 2
POCKETSPHINX = "pocketsphinx==5.1.1"
VOICES = ("slt", "rms", "awb")
SENTENCES = """\
the ship left the harbour before the sun was up
please send the report to the office by noon
she bought three red apples and a loaf of bread
a cold wind blew across the empty field
the meeting has been moved to the second floor
we walked along the river until it was dark
he forgot to close the window last night
the train to the city leaves in twenty minutes
my brother plays the piano better than i do
there is nothing new in the newspaper today
"""
SPOKEN = {
    "mr": "mister",
    "4": "four",
    "5": "five",
    "7": "seven",
    "8": "eight",
    "10": "ten",
    "20": "twenty",
    "harbor": "harbour",
}
"""What one engine writes and another one spells out."""
STREAMS = (1, 4, 8)
"""How many live ones at a time."""


@frozen
class Speech:
    """Some audio and what is said in it."""

    name: str
    pcm: bytes
    text: str

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self.pcm) / 2 / RATE


def main() -> None:
    """Print a table for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", metavar="NAME[:OPTION=VALUE]", help="default: pocketsphinx, twice")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        groups = {name: list(speech) for name, speech in collect(Path(directory)).items()}
    for spec in arguments.engine or ["pocketsphinx:processes=no", "pocketsphinx"]:
        with closing(load_engine(spec)) as engine:
            report(engine, spec, groups)


def report(engine: Engine, spec: str, groups: dict[str, list[Speech]]) -> None:
    """Measure one engine."""
    transcribe(engine, next(iter(groups.values()))[0])  # loads what is loaded late
    print(f"\n{spec}: {engine.model.name} {engine.model.version}")
    print(f"{'speech':34} {'seconds':>8} {'words':>6} {'wrong':>7} {'CPU per second':>15}")
    for name, speeches in groups.items():
        began = time.process_time()
        heard = [normal(transcribe(engine, speech)) for speech in speeches]
        cost = time.process_time() - began
        said = [speech.text for speech in speeches]
        seconds = sum(speech.seconds for speech in speeches)
        words = sum(len(text.split()) for text in said)
        print(f"{name:34} {seconds:8.1f} {words:6d} {jiwer.wer(said, heard):7.1%} {cost / seconds:15.3f}")
    for count in STREAMS:
        late = lateness(engine, next(iter(groups.values()))[0], count)
        middle, most = late[len(late) // 2], late[len(late) * 99 // 100]
        print(
            f"{count} live at a time: behind by {middle:.3f} s at the median, {most:.3f} s for one frame in a hundred"
        )


def transcribe(engine: Engine, speech: Speech) -> str:
    """What the server makes of it."""
    with stream(engine) as protocol:
        outputs = [output for frame in frames(speech) for output in protocol.receive_audio(frame, 0.0)]
        outputs += protocol.receive_text('{"type": "CloseStream"}', 0.0)
    results = [output for output in outputs if isinstance(output, dict) and output["type"] == "Results"]
    return " ".join(filter(None, (result["channel"]["alternatives"][0]["transcript"] for result in results)))


@contextmanager
def stream(engine: Engine, query: str = "") -> Iterator[ListenProtocol]:
    """A stream without a socket."""
    request = parse_request(f"/v1/listen?encoding=linear16&sample_rate={RATE}&endpointing=300{query}")
    protocol = ListenProtocol(request, engine, "measured", 0.0)
    try:
        yield protocol
    finally:
        protocol.abandon()


def frames(speech: Speech) -> Iterator[bytes]:
    """In pieces of 100 ms."""
    for begin in range(0, len(speech.pcm), FRAME):
        yield speech.pcm[begin : begin + FRAME]


def lateness(engine: Engine, speech: Speech, count: int) -> list[float]:
    """Seconds from when a frame was spoken until all it led to is done, sorted, for so many live streams at a time.

    Their beginnings are spread over some seconds, as those of strangers are.
    """
    late: list[float] = []
    begin = time.perf_counter()

    def live(number: int) -> None:
        due = begin + number * 0.61
        with stream(engine, "&interim_results=true") as protocol:
            for frame in frames(speech):
                due += 0.1
                time.sleep(max(due - time.perf_counter(), 0))
                for _ in protocol.receive_audio(frame, 0.0):
                    pass
                late.append(time.perf_counter() - due)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(late)


# The speech.


def collect(directory: Path) -> dict[str, list[Speech]]:
    """All of it, by where it comes from."""
    tests = fetch_tests(directory)
    return {
        "the sample of this repository": [read(path) for path in [ROOT / "samples" / "sense_and_sensibility.wav"]],
        "LibriVox, from pocketsphinx": [read(path) for path in sorted((tests / "librivox").glob("*.wav"))],
        "card games, from pocketsphinx": list(cards(tests / "cards")),
        **{f"flite, voice {voice}": list(spoken(voice, directory)) for voice in VOICES},
    }


def fetch_tests(directory: Path) -> Path:
    """Pocketsphinx's own test data."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(directory), POCKETSPHINX], check=True)
    with tarfile.open(next(directory.glob("pocketsphinx-*.tar.gz"))) as archive:
        members = [member for member in archive.getmembers() if "/test/data/" in member.name]
        archive.extractall(directory, members, filter="data")
    return next(directory.glob("pocketsphinx-*/test/data"))


def read(path: Path) -> Speech:
    """A WAV file with its text beside it."""
    return Speech(path.stem, samples(path), normal(path.with_suffix(".txt").read_text(encoding="utf-8")))


def cards(directory: Path) -> Iterator[Speech]:
    """Files whose texts are in one list: ``text (name)``."""
    for line in (directory / "cards.transcription").read_text(encoding="utf-8").splitlines():
        text, _, name = line.rpartition(" (")
        yield Speech(name.strip(" )"), samples(directory / f"{name.strip(' )')}.wav"), normal(text))


def spoken(voice: str, directory: Path) -> Iterator[Speech]:
    """Sentences read by flite."""
    for index, sentence in enumerate(SENTENCES.splitlines()):
        path = directory / f"{voice}-{index}.wav"
        subprocess.run(
            ["flite", "-voice", voice, "-t", sentence, "-o", str(path)], check=True, stdout=subprocess.DEVNULL
        )
        yield Speech(path.stem, bytes(RATE) + samples(path) + bytes(RATE), sentence)


def samples(path: Path) -> bytes:
    """The samples of a WAV file."""
    with wave.open(str(path)) as reader:
        if (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{path} is not 16 kHz mono")
        data: bytes = reader.readframes(reader.getnframes())
        return data


def normal(text: str) -> str:
    """Words in lower case without marks, spelt as they are spoken."""
    words = text.replace("<s>", " ").replace("</s>", " ").lower().replace("-", " ").split()
    return " ".join(SPOKEN.get(word, word) for word in (word.strip('.,;:!?()"') for word in words) if word)


if __name__ == "__main__":
    main()
