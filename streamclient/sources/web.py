"""Audio from the web: files, and radio that never ends (Icecast), by urllib3 (extra ``web``).

======================  ==============================================  =============================
thread                  owns alone                                      never does
======================  ==============================================  =============================
whoever reads a file    the response and its connection                 wait for the pump for long
the pump                the response, and the write end of the pipe     touch the client or the screen
======================  ==============================================  =============================

There is a pump only where somebody must be able to stop while nothing comes: it connects, and copies what comes into a
pipe.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from streamclient.errors import StreamClientError
from streamclient.sources.errors import MissingExtra, SourceError
from streamclient.threads.worker import Deadline, Worker

__all__ = ["WebAudio", "WebPipe", "is_web_address", "require_audio_start", "shown", "web_path"]

BLOCK_BYTES = 8192
CONNECT, SILENCE = 10.0, 30.0
"""Seconds to connect, and to wait for the next byte."""
ATTEMPTS = 4
"""How often to go on with a file that broke off, without a byte in between."""
FAREWELL = 5.0

NOT_AUDIO = {
    "text/html": "a web page",
    "application/dash+xml": "a DASH playlist",
    "application/pls+xml": "a playlist",
    "application/vnd.apple.mpegurl": "a playlist",
    "application/x-mpegurl": "a playlist",
    "audio/mpegurl": "a playlist",
    "audio/x-mpegurl": "a playlist",
    "audio/x-scpls": "a playlist",
}
"""Types of what is found in place of audio."""


NOT_AUDIO_STARTS = {
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"#extm3u": "a playlist",
    b"[playlist]": "a playlist",
    b"<?xml": "a feed or a playlist",
}
"""First bytes of what is found in place of audio, in small letters; not every server names the type."""


def is_web_address(spec: str) -> bool:
    """Whether it is an address that this module opens."""
    return spec.lower().startswith(("http://", "https://"))


def require_audio_start(name: str, start: bytes) -> None:
    """Refuse what a person takes for audio and a decoder does not.

    Args:
        name: of the source.
        start: its first bytes.

    Raises:
        SourceError: it is a web page or a playlist.
    """
    start = start.lstrip().lower()
    for magic, kind in NOT_AUDIO_STARTS.items():
        if start.startswith(magic):
            raise _not_audio(name, kind)


def _not_audio(name: str, kind: str) -> SourceError:
    return SourceError(
        f"{name} is {kind}, not audio",
        hint="Give the address of the audio itself; ffmpeg finds it in a playlist: "
        "ffmpeg -i ADDRESS -f wav - | streamclient transcribe -",
    )


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for one that is no number
    except ValueError as error:
        raise SourceError(f"The address is not one: {error}", hint="Check its spelling.") from error
    return parts


def shown(address: str) -> str:
    """The address for messages: without what only its owner should know."""
    parts = _split(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def web_path(address: str) -> PurePosixPath:
    """What a file made from an address can be called: the end of its path, or else its host."""
    parts = _split(address)
    host = (parts.hostname or "audio").replace(".", "-")  # a dot would begin a suffix
    return PurePosixPath(PurePosixPath(unquote(parts.path)).name or host)


class WebAudio:
    """The bytes of one address, as they come; iterate once.

    A file that breaks off is taken up where it broke off, where its server can do that.

    Args:
        address: of audio.

    Raises:
        MissingExtra: urllib3 is not installed.
        SourceError: it cannot be had, or is no audio.
    """

    def __init__(self, address: str) -> None:
        self._urllib3 = _import_urllib3()
        self._address = address
        self._name = shown(address)
        self._pool = _pool(self._urllib3, address)
        self._position = 0
        self._interrupted = False
        self._response = self._get({})
        self._require_audio()
        self._resumable = _resumable(self._response)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._to_the_end()
        finally:
            self._response.close()
            self._pool.clear()

    def interrupt(self) -> None:
        """End the wait for the next byte of another thread; that one closes the connection."""
        self._interrupted = True
        with suppress(ValueError, RuntimeError, OSError):  # it has been read to its end, or its socket is gone
            self._response.shutdown()

    def _to_the_end(self) -> Iterator[bytes]:
        attempts = 0
        while True:
            try:
                for block in self._blocks():
                    attempts = 0
                    yield block
                return
            except self._urllib3.exceptions.HTTPError as error:
                if self._interrupted:
                    return
                attempts += 1
                if self._resumable is None or attempts > ATTEMPTS:
                    raise self._broken_off(error) from error
                self._resume(error)

    def _blocks(self) -> Iterator[bytes]:
        while block := self._response.read1(BLOCK_BYTES):
            self._position += len(block)
            yield block
        if self._response.length_remaining:
            raise self._urllib3.exceptions.ProtocolError(f"{self._response.length_remaining} bytes are missing")

    def _resume(self, error: Exception) -> None:
        self._response.close()
        self._response = self._get({"Range": f"bytes={self._position}-", "If-Range": str(self._resumable)})
        goes_on = self._response.headers.get("Content-Range", "").startswith(f"bytes {self._position}-")
        if not goes_on:
            raise self._broken_off(error) from error

    def _broken_off(self, error: Exception) -> SourceError:
        return SourceError(f"{self._name} broke off after {self._position} bytes: {_reason(error)}")

    def _get(self, headers: dict[str, str]) -> Any:
        try:
            return self._opened(headers)
        except self._urllib3.exceptions.HTTPError as error:
            raise SourceError(f"{self._name} cannot be opened: {_reason(error)}", hint=_hint(error)) from error

    def _opened(self, headers: dict[str, str]) -> Any:
        response = self._pool.request(
            "GET",
            self._address,
            headers={"User-Agent": "streamclient", **_authorisation(self._urllib3, self._address), **headers},
            preload_content=False,
            timeout=self._urllib3.Timeout(connect=CONNECT, read=SILENCE),
            # What it tries again it logs, with all of the address.
            retries=self._urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=10),
        )
        if response.status not in (200, 206):
            response.close()
            raise SourceError(f"{self._name} cannot be opened: the server says {response.status} {response.reason}")
        return response

    def _require_audio(self) -> None:
        kind = self._response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in NOT_AUDIO:
            self._response.close()
            raise _not_audio(self._name, NOT_AUDIO[kind])


class WebPipe:
    """The same as a file to read from, which another thread opens and fills.

    Args:
        address: of audio.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        reader, self._writer = os.pipe()
        self.file = FileIO(reader)
        self._audio: WebAudio | None = None
        self._error: StreamClientError | None = None
        self._pump = Worker("streamclient-web", self._copy)
        self._pump.start()

    def check(self) -> None:
        """To be called at the end of the file: whether that is the end of the audio.

        Raises:
            StreamClientError: it could not be opened, or it broke off.
        """
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file and end the thread; one that still connects ends by itself, and nobody waits for it."""
        self.file.close()
        if self._audio is not None:
            self._audio.interrupt()
        if self._audio is not None or self._error is not None:
            self._pump.wait(Deadline(FAREWELL))

    def _copy(self) -> None:
        try:
            self._audio = WebAudio(self._address)
            for block in self._audio:
                _write_all(self._writer, block)
        except BrokenPipeError:  # nobody wants more
            pass
        except StreamClientError as error:
            self._error = error
        finally:
            os.close(self._writer)


def _write_all(descriptor: int, block: bytes) -> None:
    while block:
        block = block[os.write(descriptor, block) :]


def _import_urllib3() -> Any:
    try:
        import urllib3
    except ImportError as error:
        raise MissingExtra("Audio from the web", "web") from error
    return urllib3


def _pool(urllib3: Any, address: str) -> Any:
    """Connections, through the proxy that the environment names."""
    from urllib.request import getproxies, proxy_bypass  # slow to import

    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme.lower())
    if proxy and not proxy_bypass(parts.netloc.rpartition("@")[2]):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _authorisation(urllib3: Any, address: str) -> dict[str, str]:
    parts = urlsplit(address)
    if not parts.username:
        return {}
    basic = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    headers: dict[str, str] = urllib3.util.make_headers(basic_auth=basic)
    return headers


def _resumable(response: Any) -> str | None:
    """What proves that a file is still the same; nothing where it cannot be taken up in the middle."""
    if response.length_remaining is None or response.headers.get("Accept-Ranges") != "bytes":
        return None
    tag: str = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _reason(error: Exception) -> str:
    """In the words of the operating system, where it has some: those of urllib3 name its own objects."""
    cause: BaseException | None = getattr(error, "reason", None) or error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__
    reason = getattr(error, "reason", None) or error
    return str(reason.args[-1] if getattr(reason, "args", ()) else reason)


def _hint(error: Exception) -> str | None:
    if "ICY" in str(error):
        return "It is an old Shoutcast server; ffmpeg knows it: ffmpeg -i ADDRESS -f wav - | streamclient transcribe -"
    return None
