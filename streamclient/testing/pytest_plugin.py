"""Fixtures for pytest, found through the entry point group ``pytest11``.

Importing this imports pytest and nothing else: who installs streamclient and does not use the fixtures pays nothing,
and the coverage of the package under test is not disturbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamclient.server import LocalServer
    from streamclient.testing.recorder import StreamRecorder
    from streamclient.testing.server import DeepgramServer

SETTINGS = ("DEEPGRAM_", "STREAMCLIENT_")


@pytest.fixture
def deepgram_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeepgramServer]:
    """A scripted Deepgram server: tell it what to ``say``, then look at its ``calls``.

    The environment names it and has a key; settings of the machine are taken out of it. A stream that the test leaves
    open is an error.
    """
    from streamclient.testing.server import DeepgramServer

    yield from _serving(DeepgramServer(), monkeypatch)


@pytest.fixture(scope="session")
def _deepgram_engine() -> Iterator[LocalServer]:
    from streamclient.server import LocalServer

    with LocalServer("pocketsphinx") as server:
        yield server


@pytest.fixture
def deepgram_recogniser(_deepgram_engine: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeepgramServer]:
    """A Deepgram server that really recognises US English, far from Deepgram's accuracy.

    All tests of a session share the recogniser, which takes half a second to start; calls and faults are each test's
    own. The environment is that of ``deepgram_server``.
    """
    from streamclient.testing.server import DeepgramServer

    yield from _serving(DeepgramServer(_deepgram_engine), monkeypatch)


@pytest.fixture
def stream_recorder() -> StreamRecorder:
    """A plugin for a stream that remembers everything it is told."""
    from streamclient.testing.recorder import StreamRecorder

    return StreamRecorder()


@pytest.fixture
def no_stream_left() -> Iterator[None]:
    """A stream of streamclient's that the test leaves open is an error, whatever server it talks to."""
    from streamclient.testing.leaks import no_stream_left

    with no_stream_left():
        yield


def _serving(server: DeepgramServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeepgramServer]:
    import os

    from streamclient.testing.leaks import no_stream_left

    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    with no_stream_left(), server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
        server.assert_no_stream_left()
