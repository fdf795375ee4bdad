"""Hostile input, for a bounded time; ``python -m tests.fuzz`` goes on for longer."""

import logging
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import change
from tests.fuzz.targets import SEEDS, TARGETS, shared_server

NAMES = sorted(TARGETS)


@pytest.fixture(autouse=True, scope="module")
def one_server() -> Iterator[None]:
    """The server of the target ``server_wire``; it outlives the inputs, not the module."""
    server = shared_server()
    logging.getLogger("streamclient.server").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("streamclient.server").setLevel(logging.NOTSET)
    server.stop()
    shared_server.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_seeds_break_nothing(name: str) -> None:
    """What fuzzing begins with, and what it once found."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.binary(max_size=200))
def test_any_bytes_break_nothing(name: str, data: bytes) -> None:
    """Bytes without any sense."""
    TARGETS[name](data)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_mutations_break_nothing(name: str, seed: int) -> None:
    """Bytes that once had sense."""
    draw = random.Random(seed)
    data = bytearray(draw.choice(SEEDS[name]))
    for _ in range(draw.randint(1, 8)):
        change(data, draw)
    TARGETS[name](bytes(data))
