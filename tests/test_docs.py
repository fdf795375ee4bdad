"""The manual: every block of code in it runs, everything public is in it, and it is built without a warning."""

import doctest
import html
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import pytest

import streamclient
from streamclient import FluxOptions, ListenOptions
from streamclient.cli import COMMANDS, main
from streamclient.hookspecs import ExtensionHooks, StreamHooks
from streamclient.plugin_manager import hook_names
from streamclient.plugins import FoundPlugin, configure_plugin, find_plugins
from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from streamclient.settings import load_settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
TUTORIAL = DOCS / "tutorial.md"
"""Its commands run without a server, as they do for a newcomer."""
PAGES = [README, *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
BLOCK = re.compile(r"^```(?P<language>.+)\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
PROMPT = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
SHAPES = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
INVENTORY_HEAD = 4


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Language, code and line number of the blocks of a page; directives are not code."""
    text = page.read_text(encoding="utf-8")
    found = [
        (match["language"], match["code"], text.count("\n", 0, match.start()) + 1) for match in BLOCK.finditer(text)
    ]
    return [block for block in found if not block[0].startswith("{")]


def name_of(page: Path) -> str:
    """A page's name in the repository."""
    return page.relative_to(ROOT).as_posix()


def setup_commands() -> list[str]:
    """The commands of the README that need a fresh machine; ``.ci/run`` runs them."""
    return [code.strip() for language, code, _ in blocks(README) if language == "sh"]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """The server of ``STREAMCLIENT_URL``; it knows the words, the pages that recognise start one of their own."""
    with LocalServer(
        ScriptedEngine((ROOT / "samples" / "sense_and_sensibility.txt").read_text(), spacing=0.3)
    ) as running:
        yield running


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the samples and the manual, and an environment without settings of the user's."""
    for name in ("docs", "samples"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("STREAMCLIENT_", "DEEPGRAM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def run_console(code: str) -> None:
    """Run the commands of a block and compare what they print with what the page says."""
    for match in PROMPT.finditer(code):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", match["command"]], check=False, capture_output=True, text=True, timeout=150
        )
        assert done.returncode == 0, f"{match['command']}\n{done.stderr}"
        fits = doctest.OutputChecker().check_output(match["output"], done.stdout, SHAPES)
        assert fits or not match["output"], f"{match['command']}\n{done.stdout}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name_of)
def test_code_blocks_run(page: Path, server: LocalServer, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of a page runs, in order: Python as one program, commands with the output that is shown."""
    program: dict[str, object] = {"__name__": "__main__"}
    for language, code, line in blocks(page):
        offline = page == TUTORIAL and language == "console"
        monkeypatch.setenv("STREAMCLIENT_URL", "" if offline else server.url)
        if language == "python":
            exec(compile("\n" * line + code, str(page), "exec"), program)
        elif language == "console":
            run_console(code)
        else:
            assert language == "sh", f"{page}:{line}: a block of {language or 'nothing'} does not run"
            assert page == README, f"{page}:{line}: only the README sets up machines"


def test_readme_has_two_setup_commands() -> None:
    """The README sets up a fresh machine with exactly two commands: one transcribes a sample, one runs all tests."""
    first, second = setup_commands()

    words = shlex.split(first)
    assert words[-2] == "transcribe"
    assert (ROOT / words[-1]).is_file()
    assert ".venv/bin/pytest" in shlex.split(second)
    assert "tests/" not in second


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that exists."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manual, built with warnings as errors."""
    target = tmp_path_factory.mktemp("manual")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html"]
    done = subprocess.run([*build, str(DOCS), str(target)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return target


@pytest.fixture(scope="module")
def documented(manual: Path) -> set[str]:
    """Every name that has an entry in the reference."""
    inventory = (manual / "objects.inv").read_bytes().split(b"\n", INVENTORY_HEAD)[INVENTORY_HEAD]
    return {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}


@pytest.mark.slow
def test_public_names_are_in_the_reference(documented: set[str]) -> None:
    """Every public class, function and error has an entry."""
    values = {name: getattr(streamclient, name) for name in streamclient.__all__}
    expected = {f"streamclient.{name}" for name, value in values.items() if isinstance(value, type)}
    expected |= {
        f"streamclient.{name}" for name in ("transcribe", "stream", "close_all", "plugin_settings", "hookimpl")
    }

    assert expected - documented == set()


HOOKS = [(specs, hook) for specs in (StreamHooks, ExtensionHooks) for hook in hook_names(specs)]


@pytest.mark.slow
@pytest.mark.parametrize(("specs", "hook"), HOOKS)
def test_hooks_are_in_the_manual_with_their_exact_signature(specs: type, hook: str, manual: Path) -> None:
    """Name, arguments, types and what is returned, to the letter."""
    page = "reference/hooks.html" if specs is StreamHooks else "howto/extensions.html"
    name = re.escape(f"{specs.__module__}.{specs.__name__}.{hook}")
    entry = re.search(
        rf'<dt [^>]*id="{name}">(.*?)<a class="headerlink"', (manual / page).read_text("utf-8"), re.DOTALL
    )
    assert entry
    shown = html.unescape(re.sub(r"<[^>]*>", "", entry[1]))

    signature = str(inspect.signature(getattr(specs, hook))).replace("(self, ", "(").replace("->", "→")

    assert letters_of(shown) == letters_of(hook + signature)


def letters_of(signature: str) -> str:
    """A signature without blanks, quotes and the names of modules."""
    return re.sub(r"\b(?:\w+\.)+|[\s'\"]", "", signature)


@pytest.mark.parametrize(("specs", "hook"), HOOKS)
def test_every_hook_has_a_test(specs: type, hook: str) -> None:
    """Some plugin in the tests implements it, not only for the type checker."""
    pattern = re.compile(rf"@hookimpl[^\n]*\n *def {hook}\(")
    files = [file for file in (ROOT / "tests").rglob("*.py") if file.parent.name != "typing"]

    assert any(pattern.search(file.read_text(encoding="utf-8")) for file in files)


@pytest.mark.slow
def test_options_are_in_the_reference(manual: Path) -> None:
    """Every option of both endpoints has a row with its meaning."""
    page = (manual / "reference" / "options.html").read_text(encoding="utf-8")
    fields = {field.name for owner in (ListenOptions, FluxOptions) for field in attrs.fields(owner)}

    assert [name for name in fields if f'<span class="pre">{name}</span></code></p></td>' not in page] == []


@pytest.mark.slow
def test_plugins_are_in_the_reference(manual: Path) -> None:
    """Every first-party plugin has its name and its options in the reference."""
    page = (manual / "reference" / "plugins.html").read_text(encoding="utf-8")
    ours = [plugin for plugin in find_plugins() if plugin.distribution == "streamclient"]

    assert {plugin.name for plugin in ours} >= {"log", "jsonl", "text"}
    assert [plugin.name for plugin in ours if f"<strong>{plugin.name}</strong>" not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_in_the_reference(name: str, manual: Path) -> None:
    """Every command is there with every option it has."""
    page = (manual / "reference" / "command-line.html").read_text(encoding="utf-8")
    command = main.get_command(click.Context(main), name)
    assert command is not None
    options = [text for option in command.params if isinstance(option, click.Option) for text in option.opts]

    assert f"streamclient {name} --help" in page
    assert [text for text in options if text not in page] == []


@pytest.mark.slow
def test_example_extension_installs_and_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension of the manual, installed with pip: command, audio and recogniser work by their names."""
    install(DOCS / "examples" / "streamclient-beeps", workplace)
    monkeypatch.setenv("PYTHONPATH", "installed")
    program = """
from streamclient import transcribe
from streamclient.server import LocalServer

with LocalServer("beeps") as server:
    for audio in ("beeps:3", "beeps.wav"):
        print(transcribe(audio, url=server.url).text)
"""
    subprocess.run(["streamclient", "beeps", "3", "beeps.wav"], check=True)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout == "beep beep beep\n" * 2


def install(package: Path, workplace: Path) -> None:
    """Install a package of the manual with pip, into the folder ``installed``."""
    shutil.copytree(package, workplace / package.name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", "installed", f"./{package.name}"], check=True)


@pytest.mark.slow
def test_example_plugin_installs_and_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin of the manual, installed with pip, works by its name and with its options."""
    install(DOCS / "examples" / "streamclient-shout", workplace)
    monkeypatch.setenv("PYTHONPATH", "installed")
    test = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "streamclient-shout"]
    done = subprocess.run(test, check=False, capture_output=True, text=True)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout

    listed = subprocess.run(["streamclient", "plugins"], check=True, capture_output=True, text=True).stdout
    assert "shout  streamclient-shout 1.0  (streamclient_shout:Shout)" in listed


@pytest.mark.parametrize("plugin", [plugin for plugin in find_plugins() if plugin.distribution == "streamclient"])
def test_every_plugin_has_a_page(plugin: FoundPlugin) -> None:
    """With a sample of what it writes or does, and its options."""
    module = plugin.origin.partition(":")[0].rpartition(".")[2]
    pages = [DOCS / "plugins" / f"{name}.md" for name in (plugin.name, module)]
    (page,) = [page for page in pages if page.exists()][:1]
    text = page.read_text(encoding="utf-8")

    assert re.search(
        rf"--plugin '?{plugin.name}|\"{plugin.name}:|'{plugin.name}:|\.\. plugin-table:: {plugin.name}", text
    )
    assert [option.name for option in plugin.options if "plugin-table" not in text and option.name not in text] == []


def test_the_settings_of_the_manual_are_understood(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plugin and option in them exists, and secrets come from where they say."""
    for name in ("names.txt", "webhook.secret"):
        Path(name).write_text("Elinor\n")
    monkeypatch.setenv("TRANSCRIPTS_URL", "https://example.com/transcripts")
    shutil.copy(DOCS / "examples" / "streamclient.toml", workplace / "streamclient.toml")

    tables = load_settings(Path("streamclient.toml")).table("plugins")

    assert set(tables) == {"text", "redact", "webhook"}
    assert tables["webhook"]["secret"] == "Elinor"
    for name, table in tables.items():
        configure_plugin(name, table)
