"""Fuzz one target by hand: with atheris where it is installed, else by mutating the seeds at random."""

import argparse
import logging
import random
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fuzz.targets import SEEDS, TARGETS


def main() -> None:
    """Run until the time is over or something breaks; what broke it is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    try:
        atheris: Any = import_module("atheris")  # installed by hand
    except ModuleNotFoundError:
        mutate(arguments.target, arguments.seconds, random.Random(arguments.seed))
        return
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[arguments.target]):
            Path(corpus, str(number)).write_bytes(seed)
        limits = [f"-max_total_time={arguments.seconds}", "-max_len=4096", f"-seed={arguments.seed or 1}"]
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *limits, "-timeout=30", corpus], TARGETS[arguments.target])
        atheris.Fuzz()


def mutate(name: str, seconds: float, draw: random.Random) -> None:
    """Change the seeds a little, again and again."""
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = bytearray(draw.choice(SEEDS[name]))
        for _ in range(draw.randint(0, 8)):
            change(data, draw)
        try:
            TARGETS[name](bytes(data))
        except BaseException:
            print(f"{name} broke with {bytes(data)!r}")
            raise
        rounds += 1
    print(f"{name}: {rounds} inputs in {seconds:g} s, nothing broke")


WORDS = (
    b"\x00",
    b"\xff\xff\xff\xff",
    b"null",
    b"-1",
    b"1e999",
    b'"',
    b"{}",
    b"[]",
    b"\n",
    b"\r\n\r\n",
    b"NaN",
    b"true",
)


def change(data: bytearray, draw: random.Random) -> None:
    """One mutation."""
    at = draw.randrange(len(data) + 1)
    what = draw.randrange(4)
    if what == 0:
        data[at : at + draw.randint(1, 9)] = b""
    elif what == 1:
        data[at:at] = draw.choice(WORDS)
    elif what == 2 and data:
        data[at % len(data)] = draw.randrange(256)
    else:
        data[at:at] = data[draw.randrange(len(data) + 1) :][: draw.randint(1, 40)]


if __name__ == "__main__":
    main()
