"""What other programs read of our captions: W3C's parser, three Python libraries and a strict reader of our own.

The captions of the real sample are made once, by the recogniser; every reader gets them after each cue, and a process
that writes them is killed at any byte.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pysubs2
import pytest
import srt  # type: ignore[import-untyped]  # it has no types
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from streamclient import Transcript, Utterance, Word
from streamclient_plugins.captions import CaptionText, Format, to_captions
from tests.support.w3c import W3cParser, install_w3c_parser
from tests.support.webvtt import Read, read_srt, read_vtt

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "samples" / "sense_and_sensibility.wav"

GOOD = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\none\n\n00:00:02.000 --> 00:00:03.000\n<v Ann>two</v>\n\n"
FAULTS = {
    "no signature": GOOD.removeprefix("WEBVTT"),
    "no blank line after the signature": GOOD.replace("WEBVTT\n", "WEBVTT"),
    "four digits of milliseconds": GOOD.replace("01.000 -->", "01.1000 -->"),
    "two digits of milliseconds": GOOD.replace("01.000 -->", "01.00 -->"),
    "a comma": GOOD.replace("01.000 -->", "01,000 -->"),
    "sixty seconds": GOOD.replace("02.000\none", "60.000\none"),
    "sixty minutes": GOOD.replace("--> 00:00:02.000", "--> 00:60:02.000"),
    "ends when it starts": GOOD.replace("--> 00:00:02.000", "--> 00:00:01.000"),
    "starts that go back": GOOD.replace("00:00:02.000 -->", "00:00:00.500 -->"),
    "an arrow in the text": GOOD.replace("one", "one --> two"),
    "a blank line in the text": GOOD.replace("one", "one\n\nmore"),
    "an ampersand": GOOD.replace("one", "R&D"),
    "a bracket": GOOD.replace("one", "a <b c"),
    "a voice without a name": GOOD.replace("<v Ann>", "<v>"),
    "a tag that is not closed": GOOD.replace("one", "<i>one"),
}
"""What live captions of others have been seen to get wrong, and the like."""

NASTY = [
    "R&D <b>bold</b> a < b > c --> d",
    "&amp; &lt;v Ann&gt; {\\an8}top <i>",
    "two\n\nparagraphs\r\nand\u2028lines\u0085more",
    "null\0 bell\x07 escape\x1b[2J half \ud800 bom \ufeff",
    "<v Eve>not me</v> NOTE no note STYLE no style WEBVTT",
    "42",
    "שלום עולם, מה שלומך היום? طالما كنت أقول لك",
    "今日は、いい天気ですね。散歩に行きましょうか。「はい」と彼女は言った。",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0628\u062f\u0627\u0646\u0645 👩‍👩‍👧‍👦 e\u0301 ☃️",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
]


def said(text: str, start: float = 0.0, end: float = 4.0, **fields: int) -> Utterance:
    """An utterance with its words spread evenly."""
    words = text.split()
    step = (end - start) / max(len(words), 1)
    timed = (Word(word, start + n * step, start + (n + 1) * step) for n, word in enumerate(words))
    return Utterance(0, start, end, text, tuple(timed), **fields)


FORMATS: dict[str, Format] = {"vtt": "vtt", "srt": "srt"}
STRICT: dict[str, Callable[[str], Read]] = {"vtt": read_vtt, "srt": read_srt}

DAYS = 100 * 3600.0
DIFFICULT = Transcript(
    (
        *(said(text, 5.0 * number, 5.0 * number + 4, speaker=number % 3) for number, text in enumerate(NASTY)),
        said("almost a minute", 59.9996, 119.9996),
        said("", 130.0, 131.0),
        said("all at once", 140.0, 140.0),
        said("before", 139.0, 139.5),
        said("after a hundred hours", DAYS, DAYS + 2),
    )
)
"""Everything of the table of faults in one transcript."""


@pytest.fixture(scope="module")
def w3c(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> W3cParser:
    """W3C's parser; installed once into pytest's cache."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return install_w3c_parser(cache.mkdir("webvtt-parser") if cache else tmp_path_factory.mktemp("webvtt-parser"))


@pytest.fixture(scope="module")
def sample() -> tuple[Utterance, ...]:
    """What the recogniser hears in the sample."""
    from streamclient import Timeouts, transcribe
    from streamclient.server import LocalServer

    with LocalServer(engine="pocketsphinx") as server:
        utterances = transcribe(str(SAMPLE), url=server.url, timeouts=Timeouts(close=120)).utterances
    assert len(utterances) > 1
    return utterances


def live(utterances: Sequence[Utterance], kind: str) -> list[str]:
    """The file after its header, and after each cue."""
    text = CaptionText(FORMATS[kind])
    pieces = [text.header, *(cue for utterance in utterances for cue in text.add(utterance)), *text.finish()]
    return ["".join(pieces[: number + 1]) for number in range(len(pieces))]


def spoken(utterances: Sequence[Utterance]) -> str:
    """The words without the space between them."""
    return "".join("".join(utterance.text.split()) for utterance in utterances)


def seen(read: Read) -> str:
    """The text of all cues without white space."""
    return "".join("".join(cue.text.split()) for cue in read.cues)


class TestTheCheck:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_our_reader_finds_every_fault(self, fault: str) -> None:
        """A check that finds nothing in what is wrong would prove nothing."""
        assert FAULTS[fault] != GOOD
        assert read_vtt(GOOD).faults == []
        assert read_vtt(FAULTS[fault]).faults

    def test_w3c_finds_every_fault(self, w3c: W3cParser) -> None:
        """So does W3C's parser."""
        good, *faulty = w3c.errors([GOOD, *FAULTS.values()])

        assert good == []
        assert dict(zip(FAULTS, faulty, strict=True)) == {
            fault: errors for fault, errors in zip(FAULTS, faulty, strict=True) if errors
        }


class TestSample:
    def test_w3c_accepts_the_file_after_every_cue(self, w3c: W3cParser, sample: tuple[Utterance, ...]) -> None:
        """At any moment a viewer can load what is there."""
        states = live(sample, "vtt")

        answers = w3c.parse(states)

        assert [answer["errors"] for answer in answers] == [[]] * len(states)
        assert [len(answer["cues"]) for answer in answers] == list(range(len(states)))
        words = "".join("".join(text.split()) for _, _, text in answers[-1]["cues"])
        assert words == spoken(sample)

    @pytest.mark.parametrize("kind", ["vtt", "srt"])
    def test_python_readers_accept_the_file_after_every_cue(self, kind: str, sample: tuple[Utterance, ...]) -> None:
        """Three libraries and our strict reader see as many cues as were written, with all words."""
        for number, document in enumerate(live(sample, kind)):
            for read in READERS[kind]:
                assert len(read(document)) == number
        assert seen(STRICT[kind](document)) == spoken(sample)

    def test_a_process_killed_at_any_byte_leaves_a_valid_file(
        self, w3c: W3cParser, sample: tuple[Utterance, ...], tmp_path: Path
    ) -> None:
        """The file is what was written up to there; its whole cues are valid, and no reader loses one of them."""
        whole = live(sample, "vtt")[-1].encode()
        limits = range(len(whole))
        kill_at(limits, sample, tmp_path)
        files = [(tmp_path / str(limit)).read_bytes() for limit in limits]
        assert files == [whole[:limit] for limit in limits]

        documents = [file.decode() for file in files]
        for document, answer in zip(documents, w3c.parse(documents), strict=True):
            cues = document.count("\n\n") - 1
            assert len(answer["cues"]) >= cues
            if cues > 0:
                written = document[: document.rindex("\n\n") + 2]
                assert read_vtt(written).faults == []
                assert len(read_vtt(written).cues) == cues

    def test_a_process_killed_at_any_moment_leaves_a_valid_file(self, tmp_path: Path) -> None:
        """The command itself, with kill -9 as soon as there is a cue."""
        target = tmp_path / "talk.vtt"
        command = [
            sys.executable,
            "-m",
            "streamclient",
            "transcribe",
            "-",
            "--local",
            "--plugin",
            f"captions:path={target}",
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(SAMPLE.read_bytes())
            process.stdin.flush()
            process.stdout.readline()  # the first utterance; the captions are on their way in another thread
            while not target.exists() or b"-->" not in target.read_bytes():
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "it ended by itself"

        read = read_vtt(target.read_text(encoding="utf-8"))
        assert read.faults == []
        assert read.cues


KILLED = """
import json, os, resource, signal, sys
from streamclient import Utterance, Word
from streamclient_plugins.captions import Captions

class View:
    id = "killed"
    options = None

def utterance(facts):
    return Utterance(**{**facts, "words": tuple(Word(**word) for word in facts["words"])})

utterances = [utterance(facts) for facts in json.load(sys.stdin)]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for limit in map(int, sys.argv[1:]):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        plugin = Captions(path=str(limit), format="vtt")
        plugin.on_open(View)
        for utterance in utterances:
            plugin.on_utterance(utterance)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGXFSZ, (limit, status)
"""
"""The system kills a process that writes beyond the limit of a file's size, in the middle of the write."""


def kill_at(limits: Sequence[int], utterances: Sequence[Utterance], folder: Path) -> None:
    """Let processes write these captions into files named after the byte at which each is killed."""
    import attrs

    facts = json.dumps([attrs.asdict(utterance) for utterance in utterances])
    subprocess.run([sys.executable, "-c", KILLED, *map(str, limits)], input=facts, text=True, cwd=folder, check=True)


class TestDifficult:
    def test_w3c_accepts_all_of_it(self, w3c: W3cParser) -> None:
        """At once and live, after every cue."""
        documents = [to_captions(DIFFICULT), *live(DIFFICULT.utterances, "vtt")]

        assert w3c.errors(documents) == [[]] * len(documents)

    @pytest.mark.parametrize("kind", ["vtt", "srt"])
    def test_python_readers_accept_all_of_it(self, kind: str) -> None:
        """As many cues as were written, no word missing."""
        document = to_captions(DIFFICULT, FORMATS[kind])

        counts = [len(read(document)) for read in READERS[kind]]

        assert counts == [document.count(" --> ")] * len(counts)

    def test_webvtt_shows_every_character(self) -> None:
        """What was said is what a viewer reads, markup included, in every script."""
        for text in (*NASTY, "00:00:00.000 --> 99:99:99.999"):  # pysubs2 takes the last for times, wherever it stands
            read = read_vtt(to_captions(Transcript((said(text),))))
            assert read.faults == []
            visible = "".join(
                character for character in text if character.isprintable() or character in "\u200c\u200d\ufeff"
            )
            assert seen(read) == "".join(visible.split())

    def test_times_go_on_after_a_hundred_hours(self) -> None:
        """They neither wrap nor lose digits."""
        assert "100:00:00.000 --> 100:00:0" in to_captions(DIFFICULT)
        assert "100:00:00,000 --> 100:00:0" in to_captions(DIFFICULT, "srt")


def strict_cues(kind: str) -> Callable[[str], Sequence[object]]:
    """The cues of a file without any fault."""

    def read(document: str) -> Sequence[object]:
        found = STRICT[kind](document)
        assert found.faults == []
        return found.cues

    return read


READERS: dict[str, list[Callable[[str], Sequence[object]]]] = {
    "vtt": [
        strict_cues("vtt"),
        lambda document: webvtt.from_string(document).captions,
        lambda document: pysubs2.SSAFile.from_string(document, format_="vtt").events,
    ],
    "srt": [
        strict_cues("srt"),
        lambda document: list(srt.parse(document)),
        lambda document: pysubs2.SSAFile.from_string(document, format_="srt").events,
        lambda document: webvtt.from_buffer(StringIO(document), format="srt").captions if document else [],
    ],
}
"""The cues of a file, as several libraries see them."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.lists(st.tuples(texts, st.floats(0, 100), st.floats(0, 20), st.integers(0, 2)), max_size=5))
def test_whatever_is_said_whenever_the_file_is_valid(spoken: list[tuple[str, float, float, int]]) -> None:
    """Live, for any text at any time on any channel, both formats are valid after every cue."""
    utterances = [said(text, start, start + long, channel=channel) for text, start, long, channel in spoken]
    for kind, read in STRICT.items():
        for document in live(utterances, kind):
            assert read(document).faults == []
