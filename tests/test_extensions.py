"""Extensions: installed modules that add commands, kinds of audio and recognisers; a broken one hurts nobody."""

import inspect
import json
import logging
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import click
import pytest
from click.testing import CliRunner

import streamclient
from streamclient import AudioInput, Results, StreamView, hookimpl, source_stem, stream, transcribe
from streamclient.cli import main
from streamclient.errors import AudioRejected, OptionsError
from streamclient.extensions import _loaded, find_extensions, registered
from streamclient.hookspecs import ExtensionHooks
from streamclient.server import EngineError, LocalServer
from streamclient.server.engines import load_engine
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.sources import AudioSource, SourceError, audio_chunks, open_source
from streamclient.sources.files import RawFormat

GOOD = '''
import io
import click
from streamclient import AudioRejected, hookimpl
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.sources import AudioSource

loads = []

@hookimpl
def register_commands(cli):
    loads.append("commands")

    @cli.command()
    @click.argument("word")
    def shout(word):
        """Say a word aloud."""
        click.echo(word.upper() + "!")
        return 5 if word == "five" else None

    @cli.command("transcribe")
    def rival():
        """Take a command that is not mine."""

def opened(address):
    what = address.partition(":")[2]
    if what == "broken":
        raise LookupError("no tape")
    if what == "silent":
        raise AudioRejected("The tape is empty")
    if what == "said":
        return AudioSource(name="a tape", stem="tape-1", chunks=iter([b"said"]))
    return io.BytesIO(what.encode() * 3)

@hookimpl
def register_sources(register):
    loads.append("sources")
    register("tape", opened)

@hookimpl
def register_engines(register):
    register("parrot", lambda: ScriptedEngine([("polly", 0.2, 0.5)]))
    register("pocketsphinx", lambda: None)
'''
BROKEN = {
    "stranger_gone": "raise SystemExit('not today')",
    "stranger_typo": "from streamclient import hookimpl\n@hookimpl\ndef register_comands(cli): ...",
    "stranger_none": "x = 1",
    "stranger_raises": "from streamclient import hookimpl\n@hookimpl\ndef register_commands(cli): 1 / 0",
    "stranger_quits": "from streamclient import hookimpl as h\n@h\ndef register_engines(register): raise SystemExit(3)",
    "stranger_rival": "import streamclient as s\n@s.hookimpl\ndef register_sources(register): register('tape', int)",
    "stranger_misuses": "from streamclient import hookimpl as h\n@h\ndef register_sources(register): register('x', 5)",
}


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution with a good extension and broken ones."""
    info = tmp_path / "stranger-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.2\n")
    modules = {"stranger_good": GOOD, **BROKEN}
    lines = [f"{name.removeprefix('stranger_')} = {name}\n" for name in modules]
    (info / "entry_points.txt").write_text("[streamclient.extensions]\n" + "".join(lines))
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code + "\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """Let extensions be looked for again, as in a new process."""
    _loaded.cache_clear()
    registered.cache_clear()
    vars(main).pop("added", None)


def test_the_hooks_have_the_names_and_arguments_of_the_contract() -> None:
    """Strangers depend on every one of them; each is documented and typed."""
    names = {name: getattr(streamclient, name) for name in streamclient.__all__} | {"click": click}
    hooks = {name: function for name, function in vars(ExtensionHooks).items() if not name.startswith("_")}

    arguments = {name: list(typing.get_type_hints(function, localns=names)) for name, function in hooks.items()}

    assert arguments == {
        "register_commands": ["cli", "return"],
        "register_sources": ["register", "return"],
        "register_engines": ["register", "return"],
    }
    assert all((inspect.getdoc(function) or "").endswith((".", ")")) for function in hooks.values())


@pytest.mark.usefixtures("stranger")
def test_broken_extensions_are_reported_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """Each is named with where it is and what is wrong, once; the good one works."""
    registered("register_sources")
    assert main.get_command(click.Context(main), "shout") is not None
    registered("register_engines", frozenset({"pocketsphinx"}))

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 9
    for said in (
        "The extension gone (stranger_gone of stranger) is skipped: Plugin 'gone' cannot be imported: SystemExit",
        "there is no hook 'register_comands'; did you mean 'register_commands'?",
        "is not a plugin: it implements no hook",
        "register_commands failed: ZeroDivisionError: division by zero",
        "register takes a name and something to call, not 'x' and 5",
        "register_commands: 'transcribe' exists already",
        "register_engines: 'pocketsphinx' exists already",
        "register_engines failed: SystemExit: 3",
        "The extension rival (stranger_rival of stranger) is skipped: register_sources: 'tape' exists already",
    ):
        assert said in caplog.text


@pytest.mark.usefixtures("stranger")
def test_an_extension_is_loaded_once_and_only_when_it_is_needed() -> None:
    """Our own commands, files and engines ask no extension."""
    assert main.get_command(click.Context(main), "plugins") is not None
    assert isinstance(load_engine("scripted"), ScriptedEngine)
    assert "stranger_good" not in sys.modules

    for _ in range(3):
        assert b"".join(audio_chunks("tape:ab")) == b"ababab"
        assert "shout" in main.list_commands(click.Context(main))

    assert sys.modules["stranger_good"].loads == ["sources", "commands"]


@pytest.mark.usefixtures("stranger")
def test_calls_of_extensions_are_traced_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every call of a hook is, where that is wanted."""
    monkeypatch.setenv("STREAMCLIENT_TRACE_PLUGINS", "1")
    registered("register_sources")

    said = capsys.readouterr().err
    assert "good.register_sources(register=<function" in said
    assert "misuses.register_sources raised TypeError after" in said


@pytest.mark.usefixtures("stranger")
class TestCommands:
    def test_a_command_runs_with_its_exit_code(self) -> None:
        """Like one of ours."""
        done = CliRunner().invoke(main, ["shout", "hello"], standalone_mode=False)

        assert (done.output, done.return_value) == ("HELLO!\n", None)
        assert CliRunner().invoke(main, ["shout", "five"], standalone_mode=False).return_value == 5

    def test_the_help_lists_it_and_a_misspelling_finds_it(self) -> None:
        """Under a heading of its own."""
        text = CliRunner().invoke(main, ["--help"]).output

        assert "Commands of extensions:" in text
        assert "Say a word aloud." in text
        assert "Did you mean 'shout'?" in CliRunner().invoke(main, ["shuot"]).output

    def test_a_command_of_ours_stays_ours(self) -> None:
        """Nobody can take it over."""
        command = main.get_command(click.Context(main), "transcribe")

        assert command is not None
        assert command.help is not None
        assert "not mine" not in command.help

    def test_the_command_plugins_lists_extensions(self) -> None:
        """With their hooks, and the broken ones with their error."""
        text = CliRunner().invoke(main, ["plugins"]).output

        assert "good  stranger 1.2  (stranger_good)  extension" in text
        assert "hooks: register_commands, register_sources, register_engines" in text
        assert "error: Plugin 'gone' cannot be imported: SystemExit: not today" in text
        kinds = {one["name"]: one["kind"] for one in json.loads(CliRunner().invoke(main, ["plugins", "--json"]).output)}
        assert (kinds["good"], kinds["log"]) == ("extension", "plugin")


@pytest.mark.usefixtures("stranger")
class TestSources:
    def test_an_address_is_opened_by_its_scheme(self) -> None:
        """For the command line and for Python; the case of a scheme means nothing."""
        source = open_source("TAPE:ab", RawFormat("mulaw", 8000))

        assert (source.name, source.stem, b"".join(source.chunks)) == ("TAPE:ab", "ab", b"ababab")
        source.close()

    def test_the_container_is_known_by_its_first_bytes(self) -> None:
        """So that an encoding that contradicts it is refused, and the local server knows what to decode."""
        assert open_source("tape:fLaC-and-more").container == "FLAC"
        with pytest.raises(OptionsError, match="is FLAC audio"):
            open_source("tape:fLaC-and-more", RawFormat("mulaw", 8000))

    def test_an_opener_may_say_all_of_its_audio(self) -> None:
        """An AudioSource is used as it is, and is audio by itself."""
        source = open_source("tape:said")

        assert isinstance(source, AudioSource)
        assert source.stem == "tape-1"
        assert b"".join(audio_chunks(source)) == b"said"

    def test_a_failing_opener_is_an_error_with_a_name(self) -> None:
        """Our own errors pass; any other is told."""
        with pytest.raises(SourceError, match="tape:broken cannot be opened: LookupError: no tape"):
            open_source("tape:broken")
        with pytest.raises(AudioRejected, match="The tape is empty"):
            transcribe("tape:silent", api_key="x")

    def test_an_address_nobody_knows_is_refused_with_what_is_known(self) -> None:
        """A colon alone is part of a file's name."""
        with pytest.raises(SourceError, match="nothing here reads s3: addresses") as caught:
            open_source("s3://bucket/talk.wav")
        assert "tape:" in str(caught.value)
        with pytest.raises(SourceError, match="There is no file"):
            open_source("s3:talk")

    def test_a_file_of_that_name_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is there is not fetched."""
        monkeypatch.chdir(tmp_path)
        Path("tape:ab").write_bytes(b"a file")

        assert b"".join(audio_chunks("tape:ab")) == b"a file"
        with closing(open_source("tape:ab")) as source:
            assert source.path == Path("tape:ab")


@pytest.mark.usefixtures("stranger")
class TestEngines:
    def test_an_engine_serves_under_its_name(self) -> None:
        """Over a real websocket."""
        with LocalServer("parrot") as server:
            options = streamclient.ListenOptions(encoding="linear16", sample_rate=16000)
            assert transcribe(bytes(32000), options, url=server.url).text == "polly"

    def test_an_unknown_engine_is_refused_with_all_there_are(self) -> None:
        """Ours and theirs."""
        with pytest.raises(EngineError, match="parrot, pocketsphinx, scripted"):
            load_engine("parot")


class Ear:
    """Hears the stem."""

    def __init__(self) -> None:
        self.heard: str | None = ""

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        self.heard = source_stem.get()

    @hookimpl
    def on_final(self, result: Results) -> None:
        assert source_stem.get() == self.heard


class TestStem:
    """What files made from a stream's audio are called."""

    @pytest.mark.parametrize("by_name", [lambda file: file.name, lambda file: Path(file.name), lambda file: file])
    def test_hooks_know_the_file(self, tmp_path: Path, by_name: Callable[[BinaryIO], AudioInput]) -> None:
        """The one-liners say it for paths and files, and leave the caller's context as it was."""
        path = tmp_path / "long.talk.raw"
        path.write_bytes(bytes(32000))
        options = streamclient.ListenOptions(encoding="linear16", sample_rate=16000)
        ears = Ear(), Ear()
        with LocalServer(ScriptedEngine([("polly", 0.2, 0.5)])) as server:
            with path.open("rb") as file:
                transcribe(by_name(file), options, url=server.url, plugins=ears[:1])
            with path.open("rb") as file:
                list(stream(by_name(file), options, url=server.url, plugins=ears[1:]))

        assert [ear.heard for ear in ears] == ["long.talk"] * 2
        assert source_stem.get() is None

    def test_the_caller_may_say_it(self) -> None:
        """What stands when the stream is opened is what its hooks see."""
        options = streamclient.ListenOptions(encoding="linear16", sample_rate=16000)
        ear = Ear()
        token = source_stem.set("call-17")
        try:
            with LocalServer(ScriptedEngine([("polly", 0.2, 0.5)])) as server:
                transcribe(bytes(32000), options, url=server.url, plugins=[ear])
        finally:
            source_stem.reset(token)

        assert ear.heard == "call-17"


def test_ours_are_found_like_a_strangers() -> None:
    """Every installed extension of this distribution works."""
    assert [one.name for one in find_extensions() if one.distribution == "streamclient" and one.error] == []
