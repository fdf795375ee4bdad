"""The page that tries the server out, in a real browser whose microphone plays the sample."""

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import jiwer
import pytest

from streamclient.server import Limits, LocalServer
from streamclient.server.engines.echo import EchoEngine, tones
from streamclient.server.engines.pocketsphinx import PocketsphinxEngine
from tests.server.test_audio import wav
from tests.support.chromium import BROWSER, Tab, browser, wait_for
from tests.support.encode import encode

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
SOON_OVER = Limits(handshake=3.0)
"""A browser opens connections in case it needs them; here their threads must not outlive a test."""
in_a_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server with a page, which hears tones."""
    with LocalServer(EchoEngine(), page=True, limits=SOON_OVER) as server:
        yield server


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser whose microphone says two lines in tones, again and again."""
    directory = tmp_path_factory.mktemp("browser")
    microphone = directory / "microphone.wav"
    microphone.write_bytes(wav(tones("Good morning, everybody.\nSecond line.").tobytes()))
    with browser(directory / "profile", microphone=microphone) as tab:
        yield tab


def open_page(tab: Tab, server: LocalServer) -> None:
    """As somebody does who was told the address."""
    tab.open(f"http://{server.host}:{server.port}/")


def lines(tab: Tab) -> list[str]:
    """The captions."""
    said: list[str] = tab.ask("[...document.querySelectorAll('#log span')].map(line => line.textContent)")
    return said


def wait_until_done(tab: Tab) -> None:
    """Until the server has closed the stream."""
    wait_for(lambda: tab.text("#state").startswith("done"))


@in_a_browser
def test_the_microphone_becomes_captions(tab: Tab, server: LocalServer) -> None:
    """Line by line while it is spoken, exactly, until somebody stops it; nothing fails unseen."""
    open_page(tab, server)
    tab.ask("window.failed = []; addEventListener('unhandledrejection', event => failed.push(String(event.reason)))")
    tab.click("#microphone")
    wait_for(lambda: {"Good morning, everybody.", "Second line."} <= set(lines(tab)))
    assert tab.text("#state") == "listening"
    tab.click("#stop")
    wait_until_done(tab)
    assert tab.ask("document.querySelector('#problem').hidden")
    assert not tab.ask("document.querySelector('#microphone').disabled")
    assert tab.ask("window.failed") == []


@in_a_browser
@pytest.mark.parametrize("kind", ["wav", "webm", "mp3"])
def test_a_file_becomes_captions(tab: Tab, server: LocalServer, tmp_path: Path, kind: str) -> None:
    """As it is, whatever container it is in."""
    file = tmp_path / f"spoken.{kind}"
    samples = tones("From a file.\nTo the end.")
    file.write_bytes(wav(samples.tobytes()) if kind == "wav" else encode(kind, samples))
    open_page(tab, server)
    tab.choose_file("#file", file)
    wait_until_done(tab)
    assert lines(tab) == ["From a file.", "To the end."]
    tab.click("#clear")
    assert lines(tab) == []


@in_a_browser
def test_what_goes_wrong_is_said(tab: Tab, server: LocalServer, tmp_path: Path) -> None:
    """A file that is no audio, and a language that is refused."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear reader, this is no audio.")
    open_page(tab, server)
    tab.choose_file("#file", file)
    wait_for(lambda: "letter.txt is no audio" in tab.text("#problem"))
    tab.ask("document.querySelector('#language').value = '?'")
    tab.click("#microphone")
    wait_for(lambda: "refused" in tab.text("#problem"))
    assert not tab.ask("document.querySelector('#microphone').disabled")


@in_a_browser
def test_a_server_that_is_gone_is_said(tab: Tab) -> None:
    """In the middle of a stream, where the words that were seen stay; and when it is asked again."""
    command = [sys.executable, "-m", "streamclient", "serve", "--page", "--port", "0", "--engine", "echo"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = re.search(r"http://[^ ]+", process.stderr.readline() + process.stderr.readline())
        assert address is not None
        tab.open(address[0])
        tab.click("#microphone")
        seen = wait_for(lambda: lines(tab))
        process.kill()
    wait_for(lambda: "The server is gone" in tab.text("#problem"))
    assert lines(tab)[: len(seen)] == seen
    tab.click("#microphone")
    wait_for(lambda: "cannot be reached" in tab.text("#problem"))
    assert not tab.ask("document.querySelector('#microphone').disabled")


@in_a_browser
def test_two_clicks_on_the_microphone_are_one_stream(tab: Tab, server: LocalServer) -> None:
    """The browser takes its time to give it."""
    open_page(tab, server)
    tab.ask("window.opened = 0; const real = open; open = (...audio) => { window.opened++; return real(...audio); }")
    tab.ask("for (let i = 0; i < 2; i++) document.querySelector('#microphone').click()")
    wait_for(lambda: lines(tab))
    assert tab.ask("window.opened") == 1
    tab.click("#stop")
    wait_until_done(tab)


@in_a_browser
def test_a_key_opens_a_server_that_wants_one(tab: Tab, tmp_path: Path) -> None:
    """It goes with the subprotocol, because a browser sets no header."""
    file = tmp_path / "spoken.wav"
    file.write_bytes(wav(tones("Let me in.").tobytes()))
    with LocalServer(EchoEngine(), api_keys=["the-key"], page=True, limits=SOON_OVER) as server:
        open_page(tab, server)
        tab.choose_file("#file", file)
        wait_for(lambda: "API key" in tab.text("#problem"))
        tab.ask("document.querySelector('#key').value = 'the-key'")
        tab.choose_file("#file", file)
        wait_until_done(tab)
        assert lines(tab) == ["Let me in."]


@in_a_browser
def test_speech_into_the_microphone_is_recognised(tmp_path: Path) -> None:
    """The sample, by the real recogniser."""
    with (
        LocalServer(PocketsphinxEngine(decoders=1), page=True, limits=SOON_OVER) as server,
        browser(tmp_path / "profile", microphone=SAMPLE) as tab,
    ):
        open_page(tab, server)
        tab.choose_file("#file", SAMPLE)
        wait_until_done(tab)
        reference = SAMPLE.with_suffix(".txt").read_text().split()
        assert jiwer.wer(" ".join(reference), " ".join(lines(tab))) < 0.3
        tab.click("#clear")
        tab.click("#microphone")
        wait_for(lambda: "dashwood" in tab.text("#interim") or "dashwood" in " ".join(lines(tab)))


@in_a_browser
def test_the_page_fits_every_screen(tab: Tab, server: LocalServer) -> None:
    """Nothing is cut off or scrolls sideways, and light and dark differ."""
    open_page(tab, server)
    light, dark = tab.look(1200, 800), tab.look(1200, 800, dark=True)
    assert light != dark
    for width in (320, 390, 800, 1600):
        tab.look(width, 800)
        assert tab.ask("document.documentElement.scrollWidth") == width


@in_a_browser
def test_every_control_has_a_name(tab: Tab, server: LocalServer) -> None:
    """For those who hear the page: buttons, fields, the log of captions, the state and what went wrong."""
    open_page(tab, server)
    tab.ask("document.querySelector('details').open = true")
    nodes = [node for node in tab.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    roles = [node["role"]["value"] for node in nodes]
    named = ("button", "textbox", "checkbox", "spinbutton", "heading", "region", "DisclosureTriangle")
    controls = [node for node in nodes if node["role"]["value"] in named]
    assert len(controls) >= 10
    assert [node for node in controls if not node["name"]["value"].strip()] == []
    assert {"status", "log", "main", "banner", "contentinfo"} <= set(roles)


class References(HTMLParser):
    """Everything a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what would be fetched."""
        self.outside += [value or "" for name, value in attributes if name in ("src", "href") and value != "data:,"]


def test_the_page_needs_nothing_from_elsewhere(server: LocalServer) -> None:
    """One file, and a policy under which the browser would fetch nothing else."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", "/")
    response = connection.getresponse()
    page = response.read().decode()
    connection.close()
    references = References()
    references.feed(page)
    assert response.status == 200
    assert references.outside == []
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in (response.getheader("Content-Security-Policy") or "")


def test_there_is_no_page_unless_asked_for() -> None:
    """A server without it says 404."""
    with LocalServer(EchoEngine()) as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 404
        connection.close()
