"""What holds for every test: no thread of ours survives it, and the user's own settings do not reach it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

SOON = 5.0
"""Seconds that only elapse when a test is about to fail."""

settings.register_profile("same", deadline=None, max_examples=20, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=explore
settings.load_profile("same")


UNIT = {
    "test_assembler.py",
    "test_audio.py",
    "test_credentials.py",
    "test_dispatch.py",
    "test_endings.py",
    "test_errors.py",
    "test_events.py",
    "test_hookspecs.py",
    "test_journal.py",
    "test_opening.py",
    "test_options.py",
    "test_outage.py",
    "test_parsing.py",
    "test_plugin_hooks.py",
    "test_plugin_options.py",
    "test_policies.py",
    "test_protocol.py",
    "test_protocol_schedules.py",
    "test_tap.py",
    "test_timeline.py",
    "test_worker.py",
}
"""Modules whose tests open no socket, start no process and recognise nothing."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """``-m unit`` does not even import the other modules."""
    other = collection_path.suffix == ".py" and not _is_unit(collection_path)
    return True if other and config.option.markexpr == "unit" else None


def _is_unit(path: Path) -> bool:
    return path.name in UNIT and path.parent == Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests."""
    for item in items:
        if _is_unit(item.path):
            item.add_marker("unit")


def _living() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("streamclient-")}


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    """Fail a test that leaves a thread of ours running."""
    before = _living()
    yield
    end = time.monotonic() + SOON
    left = _living() - before
    for thread in left:
        thread.join(max(end - time.monotonic(), 0.0))
    names = sorted(thread.name for thread in left if thread.is_alive())
    assert not names, f"threads outlive their test: {', '.join(names)}"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take keys and settings of the machine out of the environment."""
    for name in list(os.environ):
        if name.startswith(("DEEPGRAM_", "STREAMCLIENT_")):
            monkeypatch.delenv(name)
