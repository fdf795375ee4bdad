"""The plugin record: audio as it was sent, and every event beside it, safe at any moment."""

import json
import os
import struct
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from streamclient import Closed, ListenOptions, Opened, PluginError, StreamClient, Transcript, __version__, hookimpl
from streamclient.events import Audio
from streamclient_plugins.jsonl_schema import RECORDING_EVENTS, RECORDING_SCHEMA
from streamclient_plugins.record import Record
from tests.plugins.conftest import EVENTS, Play, View
from tests.support.service import metadata, obedient, serving

CLOSED = Closed(Transcript())
RAW = ListenOptions(encoding="linear16", sample_rate=16000)
CONTAINER_STARTS = {
    "wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "ogg": b"OggS\x00\x02",
    "flac": b"fLaC\x00\x00",
    "webm": b"\x1a\x45\xdf\xa3\x01",
    "mp3": b"ID3\x04\x00",
    "mp4": b"\x00\x00\x00\x18ftypM4A ",
    "aac": b"\xff\xf1\x50\x80",
    "ts": b"G\x40\x00\x10",
    "audio": b"\x00\x01\x02\x03",
}


def lines(path: Path | str = "stream-1.jsonl") -> list[dict[str, Any]]:
    """The lines of a recording, each checked against the schema."""
    validator = jsonschema.Draft202012Validator(RECORDING_SCHEMA, format_checker=jsonschema.FormatChecker())
    parsed = [json.loads(line) for line in Path(path).read_bytes().split(b"\n")[:-1]]
    for line in parsed:
        validator.validate(line)
    return parsed


def there() -> list[str]:
    """The names of all files."""
    return sorted(path.name for path in Path().iterdir())


def recording() -> dict[str, Any]:
    """The line that says what is recorded."""
    (line,) = [line for line in lines() if line["event"] == "recording"]
    return line


def test_audio_and_every_event_are_recorded(play: Play) -> None:
    """The audio as a WAV file, the events as the plugin jsonl writes them, and what was asked for."""
    audio = bytes(range(256)) * 4

    assert play("record", [Audio(audio[:100]), *EVENTS[:-1], Audio(audio[100:]), EVENTS[-1]], View(options=RAW)) == []

    with wave.open("stream-1.wav") as file:
        assert file.getparams()[:4] == (1, 2, 16000, len(audio) // 2)
        assert file.readframes(1000) == audio
    assert {line["event"] for line in lines()} == set(RECORDING_EVENTS) - {"recovered"}
    asked = recording()
    assert (asked["audio"], asked["path"], asked["streamclient"]) == ("stream-1.wav", "/v1/listen", __version__)
    assert ["encoding", "linear16"] in asked["parameters"]


@pytest.mark.parametrize(
    ("encoding", "tag", "width"), [("linear16", 1, 2), ("linear32", 3, 4), ("mulaw", 7, 1), ("alaw", 6, 1)]
)
def test_the_header_tells_the_encoding_and_holds_before_the_end(
    play: Play, encoding: str, tag: int, width: int
) -> None:
    """While audio still comes the length is the one that means unknown; afterwards it is exact."""
    view = View(options=ListenOptions(encoding=encoding, sample_rate=8000, channels=2))
    frame = 2 * width

    plugin = Record()
    play(plugin, [Audio(bytes(10 * frame))], view)
    live = Path("stream-1.wav").read_bytes()
    play(plugin, [CLOSED], view)
    done = Path("stream-1.wav").read_bytes()

    for data, length in ((live, 0xFFFFFFFF), (done, 10 * frame)):
        assert struct.unpack("<HHIIHH", data[20:36]) == (tag, 2, 8000, 8000 * frame, frame, 8 * width)
        place = data.index(b"data")
        assert int.from_bytes(data[place + 4 : place + 8], "little") == length
        assert int.from_bytes(data[4:8], "little") == (0xFFFFFFFF if data is live else len(data) - 8)
        assert len(data) == place + 8 + 10 * frame
        assert (b"fact" in data[:place]) == (tag != 1)


def test_more_audio_than_a_header_can_tell_keeps_the_length_that_means_unknown(play: Play) -> None:
    """Four days of telephone audio: readers read to the end of the file."""
    plugin = Record()
    play(plugin, [Audio(b"abcdef")], View(options=RAW))
    os.truncate("stream-1.wav", 5 * 2**30)  # a hole, which takes no room

    assert play(plugin, [CLOSED]) == []

    with Path("stream-1.wav").open("rb") as file:
        header = file.read(44)
    assert header[4:8] == header[40:44] == b"\xff\xff\xff\xff"


def test_the_standard_library_reads_a_file_that_has_no_end_yet(play: Play) -> None:
    """Whoever looks into a running recording, or one whose process was killed, finds the audio so far."""
    plugin = Record()
    play(plugin, [Audio(b"abcdef")], View(options=RAW))

    with wave.open("stream-1.wav") as file:
        assert file.readframes(100) == b"abcdef"
    play(plugin, [CLOSED])


@pytest.mark.parametrize("suffix", CONTAINER_STARTS)
def test_a_container_is_kept_as_it_is_under_the_suffix_of_its_first_bytes(play: Play, suffix: str) -> None:
    """Nothing is added to it."""
    play("record", [Audio(CONTAINER_STARTS[suffix]), Audio(b"more"), CLOSED])

    assert Path(f"stream-1.{suffix}").read_bytes() == CONTAINER_STARTS[suffix] + b"more"
    assert recording()["audio"] == f"stream-1.{suffix}"


@pytest.mark.parametrize(("encoding", "suffix"), [("flac", "flac"), ("opus", "opus-packets"), ("amr-wb", "awb")])
def test_a_codec_is_kept_as_it_is_under_its_own_suffix(play: Play, encoding: str, suffix: str) -> None:
    """Whatever its first bytes look like."""
    play("record", [Audio(b"ID3"), CLOSED], View(options=ListenOptions(encoding=encoding, sample_rate=16000)))

    assert Path(f"stream-1.{suffix}").read_bytes() == b"ID3"


@pytest.mark.parametrize("path", ["talk", "talk.jsonl", "talk.wav", "talk.ogg"])
def test_the_path_may_name_either_file(play: Play, path: str) -> None:
    """Audio and lines lie side by side under one name."""
    play(f"record:path={path}", [Opened(), Audio(b"ab"), CLOSED], View(options=RAW))

    assert there() == ["talk.jsonl", "talk.wav"]


def test_standard_output_is_no_place_for_a_recording(play: Play) -> None:
    """It takes two files."""
    with pytest.raises(PluginError, match="standard output"):
        play("record:path=-", [])


def test_a_stream_without_audio_leaves_lines_alone(play: Play) -> None:
    """There is nothing to put into a file of audio."""
    play("record", [Opened(), CLOSED], View(options=RAW))

    assert there() == ["stream-1.jsonl"]
    assert [line["event"] for line in lines()] == ["open", "close"]


def test_a_plugin_object_can_record_one_stream_after_another(play: Play) -> None:
    """Each stream gets its own files."""
    plugin = Record()
    for name in ("one", "two"):
        assert play(plugin, [Audio(name.encode()), Opened(), CLOSED], View(id=name, options=RAW)) == []

    assert there() == ["one.jsonl", "one.wav", "two.jsonl", "two.wav"]


def test_secrets_are_not_recorded(play: Play) -> None:
    """Neither a callback's URL nor what looks like a key; a term to expect is no key."""
    options = ListenOptions(
        callback="https://user:hush@example.com/?k=hush",
        keyterm=["Dashwood"],
        extra_query={"access_token": "hush", "tomorrow": "yes"},
    )

    play("record", [Audio(b"OggS"), CLOSED], View(options=options))

    assert recording()["parameters"] == [["model", "nova-3"], ["keyterm", "Dashwood"], ["tomorrow", "yes"]]
    assert "hush" not in Path("stream-1.jsonl").read_text()


class TestExistingFiles:
    @pytest.mark.parametrize("name", ["talk.wav", "talk.ogg", "talk.jsonl"])
    def test_nothing_is_overwritten_unasked(self, play: Play, name: str) -> None:
        """Any file of the recording's name stops it, once, before anything is written."""
        Path(name).write_bytes(b"old")

        raised = play("record:path={stream_id}", [Audio(b"ab"), Opened(), CLOSED], View(id="talk", options=RAW))

        assert [(hook, type(error)) for hook, error in raised] == [("on_audio", FileExistsError)]
        assert "existing=overwrite" in str(raised[0][1])
        assert (there(), Path(name).read_bytes()) == ([name], b"old")

    def test_a_recording_is_overwritten_when_asked(self, play: Play) -> None:
        """Both of its files."""
        for audio in (b"first", b"second"):
            assert play("record:path=talk,existing=overwrite", [Audio(audio), CLOSED], View(options=RAW)) == []

        assert Path("talk.wav").read_bytes().endswith(b"second")
        assert len(lines("talk.jsonl")) == 2

    @pytest.mark.parametrize(
        "beside",
        [
            None,
            '{"event":"open"}\n',
            '{"event":"recording","audio":"talk.ogg"}\n',
            '{"event":"recording","audio":"talk.wav","path',
        ],
    )
    def test_audio_that_is_no_recording_is_never_overwritten(self, play: Play, beside: str | None) -> None:
        """It may be the very source that is being sent."""
        Path("talk.wav").write_bytes(b"the only copy")
        if beside:
            Path("talk.jsonl").write_text(beside)

        raised = play("record:path=talk,existing=overwrite", [Audio(b"ab"), CLOSED], View(options=RAW))

        assert [(hook, type(error)) for hook, error in raised] == [("on_audio", FileExistsError)]
        assert Path("talk.wav").read_bytes() == b"the only copy"


class Errors:
    """Keeps what is said of other plugins."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        self.said.append(f"{plugin} {hook} {type(error).__name__} {error}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_lines_that_cannot_be_written_cost_no_audio(play: Play) -> None:
    """Each failure is reported; the audio is there from its first byte."""
    Path("talk.jsonl").symlink_to("/dev/full")

    raised = play("record:path=talk", [Audio(b"abcd"), Audio(b"ef"), CLOSED], View(options=RAW))

    assert [hook for hook, _ in raised] == ["on_audio", "on_close"]
    with wave.open("talk.wav") as file:
        assert file.readframes(100) == b"abcdef"


FULL_DISK = """
import resource, sys
from streamclient import ListenOptions, StreamClient
sys.path.insert(0, {root!r})
from tests.plugins.test_record import Errors, RAW

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
errors = Errors()
client = StreamClient(RAW, url=sys.argv[1], plugins=["record:path=talk", errors])
with client:
    for _ in range(100):
        client.send(b"a" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(client.transcript.complete, client.stats.audio_bytes)
print(*errors.said, sep="\\n")
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_full_disk_ends_the_recording_and_not_the_stream(tmp_path: Path) -> None:
    """One clear error; what fitted is there, and the stream is complete."""
    script = FULL_DISK.format(root=str(Path(__file__).parents[2]))
    with serving(obedient(metadata())) as service:
        done = subprocess.run(
            [sys.executable, "-c", script, service.url], check=True, capture_output=True, text=True, cwd=tmp_path
        )
        assert len(service.call.audio) == 100_000

    outcome, *said = done.stdout.splitlines()
    assert outcome == "True 100000"
    (error,) = said
    assert error.startswith("record on_audio OSError ")
    assert "the recording ends here, the stream goes on: 'talk.wav'" in error
    assert (tmp_path / "talk.wav").stat().st_size == 20_000
    assert lines(tmp_path / "talk.jsonl")[-1]["event"] == "close"


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_disk_that_is_full_from_the_start_is_said_once(tmp_path: Path) -> None:
    """Not even the header fits; later audio is not tried again."""
    script = (
        f"import resource, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.plugins.test_record import RAW, Path\nfrom streamclient_plugins.audio_file import AudioFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: AudioFile(Path('talk.wav'), RAW, overwrite=False)\n"
        "except OSError as error: print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path
    )

    assert "the recording ends here" in done.stdout
    assert done.stderr == ""


def test_a_stream_is_recorded_from_its_first_byte_to_its_last(tmp_path: Path) -> None:
    """Through a real stream, by the plugin's name."""
    audio = os.urandom(50_000)
    plugin = f"record:path={tmp_path / 'talk'}"
    with serving(obedient(metadata())) as service, StreamClient(RAW, url=service.url, plugins=[plugin]) as client:
        for place in range(0, len(audio), 640):
            client.send(audio[place : place + 640])

    with wave.open(str(tmp_path / "talk.wav")) as file:
        assert file.readframes(50_000) == audio
    events = [line["event"] for line in lines(tmp_path / "talk.jsonl")]
    assert (sorted(events[:2]), events[-1]) == (["open", "recording"], "close")
