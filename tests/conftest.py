"""What holds for every test: no thread of ours survives it, and the user's own settings do not reach it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from streamclient.testing.leaks import no_thread_left
from streamclient.testing.schema import UnfaithfulMessage, check_message
from tests.support.processes import decoders

SOON = 30.0
"""Seconds that only elapse when a test is about to fail."""

settings.register_profile("same", deadline=None, max_examples=20, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=explore
settings.load_profile("same")


UNIT = {
    "core/test_assembler.py",
    "core/test_endings.py",
    "core/test_journal.py",
    "core/test_opening.py",
    "core/test_outage.py",
    "core/test_parsing.py",
    "core/test_protocol.py",
    "core/test_protocol_deadlines.py",
    "core/test_protocol_ends.py",
    "core/test_protocol_frames.py",
    "core/test_protocol_schedules.py",
    "core/test_refusals.py",
    "core/test_timeline.py",
    "test_audio.py",
    "test_errors.py",
    "test_events.py",
    "test_hookspecs.py",
    "test_options.py",
    "test_plugin_hooks.py",
    "test_plugin_options.py",
    "test_policies.py",
    "threads/test_dispatch.py",
    "threads/test_inbox.py",
    "threads/test_tap.py",
    "threads/test_worker.py",
    "wire/test_credentials.py",
}
"""Modules whose tests open no socket, start no process and recognise nothing."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """``-m unit`` does not even import the other modules."""
    other = collection_path.suffix == ".py" and not _is_unit(collection_path)
    return True if other and config.option.markexpr == "unit" else None


def _is_unit(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).as_posix() in UNIT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests."""
    for item in items:
        if _is_unit(item.path):
            item.add_marker("unit")


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    """Fail a test that leaves a thread of ours running."""
    with no_thread_left(SOON):
        yield


@pytest.fixture(autouse=True)
def no_process_survives() -> Iterator[None]:
    """Fail a test that leaves a process of a recogniser running."""
    if "streamclient.server.engines.decoders" not in sys.modules:  # a test that recognises nothing does not pay
        yield
        return
    before = decoders()
    yield
    assert not decoders() - before, "a server was not stopped, or an engine not closed"


@pytest.fixture(autouse=True)
def every_message_is_faithful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which our server says what the service would not say."""
    protocol = sys.modules.get("streamclient.server.protocol")
    if protocol is None:  # a test that does not serve does not pay
        yield
        return
    unfaithful: list[UnfaithfulMessage] = []
    say = protocol.ListenProtocol._say

    def checked(self: object, message: dict[str, object]) -> object:
        try:
            check_message(message)
        except UnfaithfulMessage as error:
            unfaithful.append(error)
        return say(self, message)

    monkeypatch.setattr(protocol.ListenProtocol, "_say", checked)
    yield
    assert not unfaithful, unfaithful[0]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take keys and settings of the machine out of the environment."""
    for name in list(os.environ):
        if name.startswith(("DEEPGRAM_", "STREAMCLIENT_")):
            monkeypatch.delenv(name)
