"""``transcribe`` against a real service on this machine."""

import json
import logging
import os
import threading
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from streamclient.server import LocalServer
from tests.cli.conftest import invoke, write_wav
from tests.sources import test_web as web
from tests.support.plugins import install, write
from tests.support.service import Call, final, interim, metadata, obedient, serving

Capture = pytest.CaptureFixture[str]
HELLO = obedient(final("hello there", 0.0), final("good bye", 1.0), metadata(2.0))


def test_transcript_is_all_there_is_on_standard_output(wav: str, capsys: Capture) -> None:
    """Standard output has an utterance per line and nothing else; the file was sent as it is."""
    with serving(HELLO) as service:
        assert invoke(capsys, ["transcribe", wav, "--url", service.url]) == (0, "hello there\ngood bye\n", "")
    assert service.call.audio == Path(wav).read_bytes()
    assert "encoding" not in service.call.path
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamclient")]


def test_options_reach_the_service(wav: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to say an option has its place: -o over an option over the environment over a file."""
    Path("streamclient.toml").write_text(
        '[transcribe]\nmodel = "nova-2"\nlanguage = "de"\ndiarize = true\n'
        '[options]\nkeyterm = ["one"]\ntag = ["file"]\nmodel = "nova"\n'
    )
    monkeypatch.setenv("STREAMCLIENT_LANGUAGE", "fr")
    with serving(HELLO) as service:
        arguments = ["-m", "nova-3", "-o", "tag=a", "-o", "tag=b", "-o", "novel=1", "-o", "smart_format=false"]
        assert invoke(capsys, ["transcribe", wav, "--url", service.url, *arguments])[0] == 0
    query = service.call.path.partition("?")[2].split("&")
    for pair in ("model=nova-3", "language=fr", "diarize=true", "keyterm=one", "tag=a", "tag=b", "novel=1"):
        assert pair in query
    assert "smart_format=false" in query
    assert "tag=file" not in query


def test_interims_are_asked_for_where_they_are_needed(wav: str, capsys: Capture) -> None:
    """Interims come when asked for, by name or by what needs them, and are then among the events."""
    queries = []
    for arguments in ([], ["--interim"], ["-o", "utterance_end_ms=1000"]):
        with serving(obedient(interim("hel", 0.0), final("hello", 0.0), metadata())) as service:
            _, out, _ = invoke(capsys, ["transcribe", wav, "--json", *arguments, "--url", service.url])
        queries.append(service.call.path)
        assert ('"event":"interim"' in out) is (arguments == ["--interim"])
    assert ["interim_results=true" in query for query in queries] == [False, True, True]


def test_key_comes_from_the_environment_or_a_file(wav: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """STREAMCLIENT_API_KEY beats DEEPGRAM_API_KEY beats the file; a token is a bearer's."""
    sent = []
    Path("key.txt").write_text("from-file\n")
    Path("streamclient.toml").write_text('api_key = {file = "key.txt"}\n')
    for name in ("", "DEEPGRAM_API_KEY", "STREAMCLIENT_ACCESS_TOKEN", "STREAMCLIENT_API_KEY"):
        if name:
            monkeypatch.setenv(name, name.lower())
        with serving(HELLO) as service:
            code, _, err = invoke(capsys, ["transcribe", wav, "--url", service.url, "-vv"])
            assert code == 0
            assert "from-file" not in err
        sent.append(service.call.headers["Authorization"])
    assert sent == [
        "Token from-file",
        "Token deepgram_api_key",
        "Bearer streamclient_access_token",
        "Token streamclient_api_key",
    ]


def test_raw_audio_is_sent_with_its_format(capsys: Capture) -> None:
    """Raw audio comes with what its bytes do not say."""
    Path("call.raw").write_bytes(bytes(8000))
    with serving(HELLO) as service:
        arguments = ["--encoding", "mulaw", "--sample-rate", "8000", "--channels", "1"]
        assert invoke(capsys, ["transcribe", "call.raw", *arguments, "--url", service.url])[0] == 0
    assert "encoding=mulaw&sample_rate=8000&channels=1" in service.call.path


def test_several_files_come_in_the_order_of_the_command_line(capsys: Capture) -> None:
    """Files transcribed side by side come in order, whichever is first."""
    held = threading.Event()

    def script(call: Call) -> None:
        call.read_until()
        if len(call.audio) > 50_000:
            held.wait(30)
            call.end(final("first", 0.0), metadata())
        else:
            call.end(final("second", 0.0), metadata())
            held.set()

    files = [str(write_wav(Path("b.wav"), 2.0)), str(write_wav(Path("a.wav"), 1.0))]
    with serving(script) as service:
        code, out, _ = invoke(capsys, ["transcribe", *files, "-j", "2", "--url", service.url])
    assert (code, out) == (0, "first\n\nsecond\n")


def test_failed_file_does_not_stop_the_others(wav: str, capsys: Capture) -> None:
    """What can be transcribed is; the rest is named, and the code says "partly"."""
    with serving(HELLO) as service:
        code, out, err = invoke(capsys, ["transcribe", "nope.wav", wav, "--url", service.url])
    assert (code, out) == (6, "hello there\ngood bye\n")
    assert err.startswith("streamclient: error: There is no file 'nope.wav'.")
    assert err.count("\n") == 1


def test_formats_are_files(wav: str, capsys: Capture) -> None:
    """Several formats are written side by side, and each says the same."""
    with serving(HELLO) as service:
        arguments = ["-f", "txt", "-f", "json", "-f", "jsonl", "--output-dir", "out", "--url", service.url]
        code, out, err = invoke(capsys, ["transcribe", wav, *arguments])
    assert (code, out) == (0, "")
    assert "wrote out/talk.txt" in err
    assert Path("out/talk.txt").read_text() == "hello there\ngood bye\n"
    document = json.loads(Path("out/talk.json").read_text())
    assert (document["source"], document["text"], document["complete"]) == (wav, "hello there good bye", True)
    events = [json.loads(line) for line in Path("out/talk.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("utterance") == 2
    assert events[-1]["event"] == "close"


def test_json_is_an_event_per_line(wav: str, capsys: Capture) -> None:
    """``--json`` writes every event as an object of its own, with the name of its source."""
    with serving(HELLO) as service:
        code, out, _ = invoke(capsys, ["transcribe", wav, "--json", "--url", service.url])
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert {event["source"] for event in events} == {wav}
    assert [event["event"] for event in events] == [
        *("open", "final", "utterance", "final", "utterance"),
        *("message", "close"),
    ]


def test_json_can_go_with_files(wav: str, capsys: Capture) -> None:
    """Events on standard output and a transcript in a file are no contradiction."""
    with serving(HELLO) as service:
        code, out, _ = invoke(capsys, ["transcribe", wav, "--json", "-f", "txt", "--url", service.url])
    assert code == 0
    assert json.loads(out.splitlines()[0])["event"] == "open"
    assert Path("talk.txt").read_text() == "hello there\ngood bye\n"


def test_existing_file_is_kept(wav: str, capsys: Capture) -> None:
    """An older transcript is neither replaced unasked nor lost to a refused connection."""
    Path("talk.txt").write_text("old")
    arguments = ["transcribe", wav, "--out", "{stem}.txt"]
    with serving(HELLO) as service:
        code, _, err = invoke(capsys, [*arguments, "--url", service.url])
        assert (code, service.calls) == (2, [])
        assert "talk.txt exists already. Use --overwrite" in err
        service.refusal = lambda _: (402, {}, b"{}")
        assert invoke(capsys, [*arguments, "--overwrite", "--url", service.url])[0] == 3
        assert Path("talk.txt").read_text() == "old"
        service.refusal = lambda _: None
        assert invoke(capsys, [*arguments, "--overwrite", "--url", service.url])[0] == 0
    assert Path("talk.txt").read_text() == "hello there\ngood bye\n"


def test_file_that_cannot_be_written_is_an_error(wav: str, capsys: Capture) -> None:
    """A transcript that cannot be put where it belongs is no success."""
    Path("out").write_text("a file, not a directory")
    with serving(HELLO) as service:
        code, _, err = invoke(capsys, ["transcribe", wav, "--out", "out/{stem}.txt", "--url", service.url])
    assert code == 1
    assert "out/talk.txt cannot be written" in err
    assert not service.calls


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_directory_of_others_is_said_before_the_audio_is_sent(wav: str, capsys: Capture) -> None:
    """Nobody waits an hour to hear it."""
    Path("out").mkdir(mode=0o555)
    with serving(HELLO) as service:
        code, _, err = invoke(capsys, ["transcribe", wav, "--output-dir", "out/new", "--url", service.url])
    assert (code, service.calls) == (1, [])
    assert "out/new/talk.txt cannot be written: Permission denied." in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_file_that_fails_takes_no_other_with_it(wav: str, capsys: Capture) -> None:
    """Each of the other formats has all that was transcribed."""
    Path("talk.txt").symlink_to("/dev/full")
    with serving(HELLO) as service:
        formats = ["-f", "txt", "-f", "json", "-f", "srt"]
        code, _, err = invoke(capsys, ["transcribe", wav, *formats, "--overwrite", "--url", service.url])
    assert code == 1
    assert "talk.txt cannot be written: No space left on device." in err
    assert json.loads(Path("talk.json").read_text())["text"] == "hello there good bye"
    assert "hello there good bye" in Path("talk.srt").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_file_on_a_full_disk_is_one_sentence(wav: str, capsys: Capture) -> None:
    """The file is closed without a second complaint."""
    with serving(HELLO) as service:
        code, _, err = invoke(capsys, ["transcribe", wav, "--out", "/dev/full", "--overwrite", "--url", service.url])
    assert (code, err) == (1, "streamclient: error: /dev/full cannot be written: No space left on device.\n")


@pytest.mark.parametrize(("status", "code"), [(400, 1), (401, 3), (402, 3), (403, 3), (429, 4), (503, 5)])
def test_refusal_is_one_line_and_a_code(wav: str, capsys: Capture, status: int, code: int) -> None:
    """What the service refuses ends with one sentence, a next step and its code."""
    with serving(HELLO) as service:
        service.refusal = lambda _: (status, {}, b'{"err_msg": "No, thank you."}')
        result, out, err = invoke(capsys, ["transcribe", wav, "--url", service.url])
    assert (result, out) == (code, "")
    assert err.startswith("streamclient: error: ")
    assert err.count("\n") == 1


def test_refused_key_is_not_tried_for_every_file(wav: str, capsys: Capture) -> None:
    """With a wrong key one file is enough to know."""
    with serving(HELLO) as service:
        tried: list[Any] = []
        service.refusal = lambda request: tried.append(request) or (401, {}, b"{}")  # type: ignore[func-returns-value]
        assert invoke(capsys, ["transcribe", wav, wav, wav, "--url", service.url])[0] == 3
    assert len(tried) == 1


def test_nobody_listening_is_code_4(wav: str, capsys: Capture) -> None:
    """No connection at all is told from a refusal."""
    code, _, err = invoke(capsys, ["transcribe", wav, "--url", "ws://127.0.0.1:1"])
    assert code == 4
    assert "Nothing listens there" in err


def test_rejected_audio_is_code_5(wav: str, capsys: Capture) -> None:
    """Audio that the service cannot decode is told from a network that failed."""

    def script(call: Call) -> None:
        call.read()
        call.end(code=1008, reason="DATA-0000")

    with serving(script) as service:
        assert invoke(capsys, ["transcribe", wav, "--url", service.url])[0] == 5


def test_what_came_before_a_failure_is_kept(wav: str, capsys: Capture) -> None:
    """A stream that breaks leaves what it said, and an error."""

    def script(call: Call) -> None:
        call.read()
        call.end(final("hello there", 0.0), code=1008, reason="DATA-0000")

    with serving(script) as service:
        code, out, err = invoke(capsys, ["transcribe", wav, "--url", service.url])
    assert (code, out) == (5, "hello there\n")
    assert err.startswith("streamclient: error: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a file, an address, or - for standard input"),
        (["-", "-"], "only once"),
        (["talk.wav", "-f", "srtt"], "'srtt' is not one of"),
        (["talk.wav", "--encoding", "linear16"], "give its samples per second, for example sample_rate"),
        (["talk.wav", "--encoding", "linear16", "--sample-rate", "16000"], "is WAV audio, so an encoding must not"),
        (["talk.wav", "-o", "punctuate"], "NAME=VALUE"),
        (["talk.wav", "-m", "flux-general-en"], "Use a Nova model"),
        (["talk.wav", "--url", "ftp://x"], "url='ftp://x' is not allowed"),
        (["talk.wav", "-j", "0"], "0 is not in the range"),
        (["talk.wav", "--out", "-", "-f", "txt", "-f", "json"], "cannot share standard output"),
    ],
)
def test_wrong_use_is_code_2(wav: str, capsys: Capture, arguments: list[str], says: str) -> None:
    """Wrong use is said before any work, with what is right."""
    code, out, err = invoke(capsys, ["transcribe", *arguments])
    assert (code, out) == (2, "")
    assert says in " ".join(err.split())
    assert "Traceback" not in err


def test_misspelt_settings_are_named(wav: str, capsys: Capture) -> None:
    """An option that does not exist is refused in a file as it is on the command line."""
    Path("streamclient.toml").write_text('[transcribe]\nmodle = "nova-3"\n')
    code, _, err = invoke(capsys, ["transcribe", wav])
    assert code == 2
    assert "'modle', which means nothing; did you mean 'model'?" in err


def test_plugins_of_option_and_file_run(wav: str, capsys: Capture) -> None:
    """A plugin is switched on by its option or its table; what the option says wins over the table."""
    Path("streamclient.toml").write_text('[plugins.text]\npath = "table.txt"\n[plugins.jsonl]\npath = "table.jsonl"\n')
    with serving(HELLO) as service:
        assert invoke(capsys, ["transcribe", wav, "--plugin", "text:path=own.txt", "--url", service.url])[0] == 0
    assert Path("own.txt").read_text() == "hello there\ngood bye\n"
    assert Path("table.jsonl").exists()
    assert not Path("table.txt").exists()


def test_plugin_log_is_seen(wav: str, capsys: Capture) -> None:
    """The plugin ``log`` shows on standard error without asking for more."""
    with serving(HELLO) as service:
        _, _, err = invoke(capsys, ["transcribe", wav, "--plugin", "log", "--url", service.url])
    assert "hello there" in err
    assert logging.getLogger().level == logging.WARNING


def test_failing_plugin_is_named_and_the_transcript_is_whole(wav: str, capsys: Capture) -> None:
    """A plugin that raises costs nothing but a line and the code "partly"."""
    Path("bad.py").write_text(
        "from streamclient import hookimpl\n\n\n@hookimpl\ndef on_utterance():\n    raise ValueError('broken')\n"
    )
    with serving(HELLO) as service:
        code, out, err = invoke(capsys, ["transcribe", wav, "--plugin", "./bad.py", "--url", service.url])
    assert (code, out) == (6, "hello there\ngood bye\n")
    assert "plugin bad failed in on_utterance (ValueError: broken; -vv shows where)" in err
    assert "Traceback" not in err


def test_an_error_that_cannot_be_shown_costs_its_words_alone(wav: str, capsys: Capture) -> None:
    """A stranger's exception may raise when it is asked for its text."""
    Path("bad.py").write_text(
        "from streamclient import hookimpl\nclass Mute(Exception):\n    def __str__(self): raise ValueError\n"
        "@hookimpl\ndef on_utterance():\n    raise Mute\n"
    )
    with serving(HELLO) as service:
        code, out, err = invoke(capsys, ["transcribe", wav, "--plugin", "./bad.py", "--url", service.url])
    assert (code, out) == (6, "hello there\ngood bye\n")
    assert "plugin bad failed in on_utterance (Mute; -vv shows where)" in err


def test_what_a_plugin_prints_when_it_is_imported_is_no_transcript(
    wav: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Standard output has the transcript and nothing else."""
    install(tmp_path, "chatty", "1.0", {"chatty": "chatty_plugin:Plugin"})
    write(tmp_path, "print('hello')\nclass Plugin:\n    @hookimpl\n    def on_final(self): ...", "chatty_plugin.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    with serving(HELLO) as service:
        code, out, err = invoke(capsys, ["transcribe", wav, "--plugin", "chatty", "--url", service.url])
    assert (code, out) == (0, "hello there\ngood bye\n")
    assert "hello\n" in err


def test_unknown_plugin_is_said_before_any_work(wav: str, capsys: Capture) -> None:
    """A plugin that is not there is no reason to send half of the audio."""
    code, _, err = invoke(capsys, ["transcribe", wav, "--plugin", "lgo"])
    assert code == 2
    assert "There is no plugin 'lgo'" in err


def test_quiet_says_nothing(wav: str, capsys: Capture) -> None:
    """With ``-q`` only errors are left on standard error."""
    with serving(HELLO) as service:
        arguments = ["-q", "-f", "txt", "-f", "json", "--url", service.url]
        assert invoke(capsys, ["transcribe", wav, *arguments]) == (0, "", "")


def test_compressed_audio_is_sent_as_it_is_to_a_service(capsys: Capture) -> None:
    """A service that decodes gets the container untouched."""
    Path("talk.mp3").write_bytes(b"ID3\4" + bytes(9000))
    with serving(HELLO) as service:
        assert invoke(capsys, ["transcribe", "talk.mp3", "--url", service.url])[0] == 0
    assert service.call.audio == Path("talk.mp3").read_bytes()


def test_missing_extra_for_the_local_server_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed audio without PyAV is a sentence with the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    Path("talk.mp3").write_bytes(b"ID3\4" + bytes(9000))
    code, _, err = invoke(capsys, ["transcribe", "talk.mp3"])
    assert code == 1
    assert "pip install 'streamclient[audio]'" in err


def test_local_server_refuses_a_wrong_key(wav: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own server and our own command agree on what a wrong key is."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", "wrong-key")
    with LocalServer(engine="scripted", api_keys=["right-key"]) as server:
        code, _, err = invoke(capsys, ["transcribe", wav, "--url", server.url])
    assert code == 3
    assert "wrong-key" not in err
    assert "Check DEEPGRAM_API_KEY" in err


def test_words_are_the_local_servers(wav: str, capsys: Capture) -> None:
    """What our own server hears is what our own command prints."""
    with LocalServer(engine="scripted") as server:
        code, out, _ = invoke(capsys, ["transcribe", wav, "--url", server.url])
    assert code == 0
    assert out.split() == ["this", "is", "a", "test"]


def test_captions_are_two_more_formats(wav: str, capsys: Capture) -> None:
    """As files or on standard output, with limits of the user's own."""
    speech = obedient(final("hello there and all the best to you", 0.0), final("good bye", 3.0), metadata(4.0))
    with serving(speech) as service:
        code, out, _ = invoke(capsys, ["transcribe", wav, "-f", "vtt", "--captions", "lines=1", "--url", service.url])
    assert code == 0
    assert out.startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert out.endswith("\ngood bye\n\n")
    with serving(speech) as service:
        code, out, _ = invoke(capsys, ["transcribe", wav, "-f", "srt", "-f", "vtt", "-q", "--url", service.url])
    assert (code, out) == (0, "")
    assert Path("talk.srt").read_text().startswith("1\n00:00:00,000 --> ")
    assert Path("talk.vtt").read_text().startswith("WEBVTT\n\n")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("line_lenght=3", "--captions has no option 'line_lenght'; did you mean 'line_length'?"),
        ("line_length=3", "--captions: 'line_length' must be >= 8: 3"),
        ("lines=many", "--captions: lines='many' is not allowed; allowed is a whole number"),
    ],
)
def test_wrong_limits_of_captions_are_wrong_use(limits: str, message: str, wav: str, capsys: Capture) -> None:
    """Said before any work, with what is meant."""
    code, out, err = invoke(capsys, ["transcribe", wav, "-f", "vtt", "--captions", limits])
    assert (code, out) == (2, "")
    assert message in err


def test_audio_from_the_web_is_transcribed(wav: str, capsys: Capture) -> None:
    """As a file is, byte by byte, and files are called after it."""
    data = Path(wav).read_bytes()
    with serving(HELLO) as service, web.serving(web.file(data)) as server:
        code, out, _ = invoke(capsys, ["transcribe", f"{server}/a/b.wav?key=1", "--url", service.url])
        assert (code, out) == (0, "hello there\ngood bye\n")
        assert service.call.audio == data
    with serving(HELLO) as service, web.serving(web.file(data)) as server:
        arguments = ["-f", "txt", "-f", "json", "--plugin", "text:path={stem}.log", "-q"]
        assert invoke(capsys, ["transcribe", f"{server}/a/b.wav?key=1", *arguments, "--url", service.url])[0] == 0
    assert {path.name for path in Path().iterdir()} >= {"b.txt", "b.json", "b.log"}


def test_what_came_before_the_web_broke_off_has_its_transcript(wav: str, capsys: Capture) -> None:
    """The stream ends properly, and then the failure is said; the work is partly done."""
    data = Path(wav).read_bytes()
    with serving(HELLO) as service, web.serving(web.Breaking(data, 10_000, ranges=False)) as server:
        code, out, err = invoke(capsys, ["transcribe", f"{server}/talk.wav", "--url", service.url])
    assert (code, out) == (6, "hello there\ngood bye\n")
    assert "talk.wav broke off after 10000 bytes" in err
    assert service.call.audio == data[:10_000]


def test_wav_of_a_rare_kind_is_decoded_for_the_local_server(wav: str, capsys: Capture) -> None:
    """What it does not know is decoded here, as any other container."""
    av: Any = pytest.importorskip("av")
    with av.open(wav) as source, av.open("rare.wav", "w") as target:
        stream = target.add_stream("adpcm_ima_wav", rate=16000, layout="mono")
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=16000, frame_size=stream.frame_size)
        for frame in chain(source.decode(audio=0), [None]):
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    with web.serving(web.file(Path("rare.wav").read_bytes())) as server:
        for source in ("rare.wav", f"{server}/rare.wav"):
            assert invoke(capsys, ["transcribe", source, "--local", "-q"]) == (0, "", "")


def test_plugins_of_several_files_write_a_file_for_each(tmp_path: Path, capsys: Capture) -> None:
    """The name of a plugin's file is made of the audio's, so that several at once do not collide."""
    files = [write_wav(tmp_path / f"{name}.wav", 0.1) for name in ("one", "two", "three")]
    with serving(HELLO) as service:
        arguments = ["transcribe", *map(str, files), "-j", "3", "-q", "--url", service.url]
        assert invoke(capsys, [*arguments, "--plugin", "text:path={stem}.out", "--plugin", "csv"])[0] == 0

    assert {path.name for path in Path().glob("*.out")} == {"one.out", "two.out", "three.out"}
    assert {path.name for path in Path().glob("*.csv")} == {"one.csv", "two.csv", "three.csv"}
    assert Path("two.out").read_text("utf-8") == "hello there\ngood bye\n"


def test_a_plugin_does_not_write_over_what_is_there(wav: str, capsys: Capture) -> None:
    """It is said before anything is connected, and nothing is lost."""
    Path("precious.txt").write_text("precious\n")
    with serving(HELLO) as service:
        arguments = ["transcribe", wav, "--url", service.url, "--plugin"]
        code, out, err = invoke(capsys, [*arguments, "text:path=precious.txt"])
        assert (code, out) == (2, "")
        assert "precious.txt exists already; set existing=append or existing=overwrite" in err
        assert service.calls == []
        assert invoke(capsys, [*arguments, "text:path=precious.txt,existing=append"])[0] == 0

    assert Path("precious.txt").read_text("utf-8") == "precious\nhello there\ngood bye\n"


def test_what_a_plugin_takes_out_is_in_no_output(wav: str, capsys: Capture) -> None:
    """Neither on standard output nor on the screen nor in any file."""
    secret = obedient(interim("the sword", 0.0), final("the swordfish", 0.0), metadata())
    formats = [word for name in ("txt", "json", "jsonl", "srt", "vtt") for word in ("-f", name)]
    with serving(secret) as service:
        arguments = ["transcribe", wav, "--interim", "--json", *formats, "--url", service.url]
        code, out, err = invoke(capsys, [*arguments, "--plugin", "redact:word=swordfish"])

    assert code == 0
    written = [path.read_text("utf-8") for path in Path().iterdir() if path.suffix != ".wav" and path.is_file()]
    assert len(written) == 5
    assert "sword" not in "".join([out, err, *written])
    assert all("[redacted]" in text for text in written)
