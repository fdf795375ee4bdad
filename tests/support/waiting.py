"""Waiting for what has no event of its own."""

import time
from collections.abc import Callable

from tests.support.service import SOON


def wait_until(happened: Callable[[], bool]) -> None:
    """Look again and again, until it has happened or the test is about to fail."""
    end = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)
