"""What holds for every test: no thread of ours survives it, and the user's own settings do not reach it."""

import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

SOON = 5.0
"""Seconds that only elapse when a test is about to fail."""

settings.register_profile("same", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=explore
settings.load_profile("same")


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
