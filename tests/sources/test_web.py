"""Audio from the web, from real servers on this machine."""

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from streamclient.errors import AudioRejected, OptionsError
from streamclient.sources import AudioSource, MissingExtra, SourceError, audio_chunks, open_source
from streamclient.sources.files import RawFormat
from streamclient.sources.web import shown, web_path
from tests.sources.test_files import wav_bytes
from tests.support.ports import reserved_port

WAV = wav_bytes(20.0)
Answer = Callable[[BaseHTTPRequestHandler], None]


def pumps() -> list[str]:
    """Threads that still fetch something."""
    return [thread.name for thread in threading.enumerate() if thread.name == "streamclient-web"]


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A web server that answers each request so; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate of an authority that the environment trusts."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    return context


def file(data: bytes, kind: str = "audio/wav", **headers: str) -> Answer:
    """The answer that is a file."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


class Breaking:
    """Serves a file, and breaks off after some bytes of each answer.

    Args:
        data: the file.
        at: how many bytes of each answer come; ``None`` for all.
        tag: its ETag; changed while it is served if there are several.
        ranges: whether it can go on in the middle.
    """

    def __init__(self, data: bytes, *at: int | None, tags: tuple[str, ...] = ('"1"',), ranges: bool = True) -> None:
        self.data, self.at, self.tags, self.ranges = data, list(at), list(tags), ranges
        self.asked: list[str | None] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        """Answer."""
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        tag = self.tags.pop(0) if len(self.tags) > 1 else self.tags[0]
        same = request.headers.get("If-Range") == tag
        start = int(wanted[len("bytes=") : -1]) if wanted and same and self.ranges else 0
        body = self.data[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        if self.ranges:
            request.send_header("Accept-Ranges", "bytes")
        request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.at.pop(0) if self.at else None])


def read(source: AudioSource) -> bytes:
    """All bytes of a source."""
    with closing(source):
        return b"".join(source.chunks)


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


class TestFile:
    def test_it_is_given_whole_and_described(self) -> None:
        """Its container is seen, and its name is that of the path."""
        with serving(file(WAV)) as server:
            source = open_source(f"{server}/calls/my%20talk.wav?signature=secret")
            assert (source.container, source.stem, source.raw) == ("WAV", "my talk", None)
            assert source.name == f"{server}/calls/my%20talk.wav"
            assert read(source) == WAV
            assert b"".join(audio_chunks(f"{server}/talk.wav")) == WAV

    def test_raw_audio_comes_with_its_format(self) -> None:
        """And a container with one is refused, as with any file."""
        raw = RawFormat("mulaw", 8000, 1)
        with serving(file(bytes(5000))) as server:
            source = open_source(f"{server}/", raw)
            assert (source.raw, source.stem) == (raw, "127-0-0-1")
            assert read(source) == bytes(5000)
        with serving(file(WAV)) as server, pytest.raises(OptionsError, match="is WAV audio"):
            open_source(f"{server}/talk.wav", raw)

    def test_redirects_are_followed(self) -> None:
        """As a browser does."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            if request.path == "/talk":
                request.send_response(302)
                request.send_header("Location", "/real.wav")
                request.send_header("Content-Length", "0")
                request.end_headers()
            else:
                file(WAV)(request)

        with serving(answer) as server:
            assert read(open_source(f"{server}/talk")) == WAV

    def test_name_and_password_are_sent_and_not_shown(self) -> None:
        """They belong to the server."""
        seen: list[str | None] = []

        def answer(request: BaseHTTPRequestHandler) -> None:
            seen.append(request.headers["Authorization"])
            file(WAV)(request)

        with serving(answer) as server:
            source = open_source(server.replace("//", "//ann:p%40ss@") + "/talk.wav")
            assert read(source) == WAV
        assert seen == ["Basic YW5uOnBAc3M="]
        assert "ann" not in source.name

    def test_the_environments_proxy_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As by other programs, with its exceptions."""
        paths: list[str] = []

        def answer(request: BaseHTTPRequestHandler) -> None:
            paths.append(request.path)
            file(WAV)(request)

        with serving(answer) as server:
            monkeypatch.setenv("http_proxy", server)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert read(open_source("http://radio.invalid/talk.wav")) == WAV
            assert read(open_source(f"{server}/talk.wav")) == WAV
        assert paths == ["http://radio.invalid/talk.wav", "/talk.wav"]


class TestBreaks:
    def test_a_file_is_taken_up_where_it_broke_off(self) -> None:
        """As often as it brings something; not a byte is missing or there twice."""
        breaking = Breaking(WAV, 1000, 30_000, 5)
        with serving(breaking) as server:
            assert read(open_source(f"{server}/talk.wav")) == WAV
        assert breaking.asked == [None, "bytes=1000-", "bytes=31000-", "bytes=31005-"]

    @pytest.mark.parametrize(
        "breaking",
        [
            Breaking(WAV, 1000, ranges=False),
            Breaking(WAV, 1000, tags=('"1"', '"2"')),
            Breaking(WAV, 1000, tags=('W/"1"',)),
            Breaking(WAV, 1000, 0, 0, 0, 0, 0, 0),
        ],
        ids=["no ranges", "another file by now", "no strong tag", "nothing more comes"],
    )
    def test_where_that_cannot_be_it_is_an_error_at_the_end(self, breaking: Breaking) -> None:
        """What came is given before."""
        got: list[bytes] = []
        with (
            serving(breaking) as server,
            closing(open_source(f"{server}/talk.wav")) as source,
            pytest.raises(SourceError, match="broke off after 1000 bytes"),
        ):
            got.extend(source.chunks)
        assert b"".join(got) == WAV[:1000]

    def test_an_empty_answer_is_no_audio(self) -> None:
        """As with an empty file."""
        with serving(file(b"")) as server, pytest.raises(AudioRejected, match="is empty"):
            open_source(f"{server}/talk.wav")


class TestRadio:
    """A stream without a length and without an end."""

    @pytest.fixture(params=["http", "https"])
    def server(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """Sends a block, and nothing more until the test is over."""
        tls = trusted(tmp_path, monkeypatch) if request.param == "https" else None
        over = threading.Event()

        def answer(request: BaseHTTPRequestHandler) -> None:
            assert "Icy-MetaData" not in request.headers
            request.send_response(200)
            request.send_header("Content-Type", "audio/mpeg")
            request.end_headers()
            request.wfile.write(b"\xff\xfb" + bytes(998))
            over.wait(30)

        with serving(answer, tls) as address:
            yield address
            over.set()

    def test_it_comes_as_it_is_sent_and_can_be_stopped_in_the_middle(self, server: str) -> None:
        """The first block is there at once; a wish to stop ends the wait for the next, and no thread is left."""
        answers = iter([True, False])
        source = open_source(f"{server}/live", readable=lambda _: next(answers))
        assert source.stem == "live"
        assert len(read(source)) == 1000
        assert pumps() == []

    def test_closing_ends_a_wait_for_the_network(self, server: str) -> None:
        """Also one that has just begun."""
        source = open_source(f"{server}/live")
        assert next(source.chunks)
        assert pumps()
        source.close()
        assert pumps() == []

    def test_the_end_of_a_radio_is_its_end(self) -> None:
        """Who has no length cannot be too short."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            request.wfile.write(bytes(3000))

        with serving(answer) as server:
            assert len(read(open_source(f"{server}/live"))) == 3000

    def test_shoutcast_is_sent_to_ffmpeg(self) -> None:
        """Its first line is no HTTP."""
        with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:

            def answer() -> None:
                for _ in range(4):
                    try:
                        call, _ = listener.accept()
                    except OSError:
                        return
                    with call:
                        call.recv(4096)
                        call.sendall(b"ICY 200 OK\r\nicy-name: x\r\n\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            with pytest.raises(SourceError, match="cannot be opened") as caught:
                open_source(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert "ffmpeg -i ADDRESS" in str(caught.value)


class TestRefusals:
    def test_an_error_of_the_server_is_named(self) -> None:
        """With its number and its words."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_error(404)

        with (
            serving(answer) as server,
            pytest.raises(SourceError, match=r"/no\.wav cannot be opened: .* 404 Not Found"),
        ):
            open_source(f"{server}/no.wav?key=secret")

    @pytest.mark.parametrize(
        ("kind", "what"), [("text/html; charset=utf-8", "a web page"), ("audio/x-mpegurl", "a playlist")]
    )
    def test_what_is_no_audio_is_said(self, kind: str, what: str) -> None:
        """Before it is sent to a service that cannot decode it."""
        with serving(file(b"x" * 100, kind)) as server, pytest.raises(SourceError, match=f"is {what}, not audio"):
            open_source(f"{server}/")

    def test_no_server_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        """In one sentence, without what only the owner of the address should know."""
        refusal = r"talk\.wav cannot be opened: Connection refused\.$"
        with reserved_port() as port, pytest.raises(SourceError, match=refusal) as caught:
            open_source(f"http://ann:secret@127.0.0.1:{port}/talk.wav?key=hidden")
        assert "secret" not in str(caught.value)
        assert "hidden" not in str(caught.value)
        assert caplog.text == ""

    @pytest.mark.parametrize("address", ["http://[::1/talk.wav", "http://127.0.0.1:port/talk.wav"])
    def test_an_impossible_address_is_said(self, address: str) -> None:
        """It is no defect of ours."""
        with pytest.raises(SourceError, match="The address is not one"):
            open_source(address)
        with pytest.raises(SourceError, match="The address is not one"):
            audio_chunks(address)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self) -> None:
        """Else anybody could be the server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        with serving(file(WAV), context) as server, pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
            open_source(f"{server}/talk.wav")

    def test_a_certificate_of_the_environments_authority_is_accepted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the library for TLS has it."""
        with serving(file(WAV), trusted(tmp_path, monkeypatch)) as server:
            assert read(open_source(f"{server}/talk.wav")) == WAV

    def test_without_urllib3_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing else needs it."""
        monkeypatch.setitem(sys.modules, "urllib3", None)
        with pytest.raises(MissingExtra, match="needs the extra 'web'"):
            open_source("http://127.0.0.1/talk.wav")


def test_addresses_are_shown_without_secrets() -> None:
    """Neither names nor passwords nor signatures."""
    assert shown("https://ann:pw@example.com:8443/a/b.wav?sig=1#x") == "https://example.com:8443/a/b.wav"


@pytest.mark.parametrize(
    ("address", "stem"),
    [
        ("https://example.com/a/my%20talk.wav?x=1.2", "my talk"),
        ("http://radio.example.com", "radio-example-com"),
        ("http://radio.example.com/live/", "live"),
        ("s3://bucket/talk.wav", "talk"),
    ],
)
def test_files_made_from_an_address_are_called_after_it(address: str, stem: str) -> None:
    """Without what is no part of a file's name."""
    assert web_path(address).stem == stem


def test_the_scheme_can_be_written_in_capitals() -> None:
    """As in a browser."""
    with serving(file(WAV)) as server:
        assert read(open_source(f"{server.replace('http', 'HTTP')}/talk.wav")) == WAV
