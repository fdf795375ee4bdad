"""Audio that beeps, a recogniser that hears it, and a command that writes it to a file."""

import io
import math
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import click

from streamclient import OptionsError, hookimpl
from streamclient.server.engines import SAMPLE_RATE, Engine, Model, Recogniser, Samples, Word

LOUD = 1000
"""Amplitude above which a sample is part of a beep."""


@hookimpl
def register_sources(register: Callable[[str, Callable[[str], io.BytesIO]], None]) -> None:
    """Make ``beeps:3`` audio with three beeps."""
    register("beeps", open_beeps)


@hookimpl
def register_engines(register: Callable[[str, Callable[[], Engine]], None]) -> None:
    """Make ``streamclient serve --engine beeps`` hear them."""
    register("beeps", Beeps)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Make ``streamclient beeps 3 beeps.wav`` write them to a file."""

    @cli.command("beeps")
    @click.argument("count", type=click.IntRange(1))
    @click.argument("file", type=click.Path(path_type=Path))
    def write(count: int, file: Path) -> None:
        """Write a WAV file with some beeps."""
        file.write_bytes(make_beeps(count))
        click.echo(f"wrote {file}", err=True)


def open_beeps(address: str) -> io.BytesIO:
    """Open an address like ``beeps:3``."""
    count = address.partition(":")[2]
    if not count.isdecimal():
        raise OptionsError(f"{address!r} is not a number of beeps", hint="Three beeps are written beeps:3.")
    return io.BytesIO(make_beeps(int(count)))


def make_beeps(count: int) -> bytes:
    """A WAV file: half a second of tone, a second of silence, and again."""
    tone = [int(8000 * math.sin(2 * math.pi * 440 * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE // 2)]
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes(array("h", (tone + [0] * SAMPLE_RATE) * count).tobytes())
    return file.getvalue()


class Beeps(Engine):
    """Hears beeps, and nothing else."""

    name = "beeps"
    model = Model(name="beeps", version="1", arch="loudness")

    def recogniser(self, language: str) -> Recogniser:  # noqa: ARG002 - a beep is the same in all
        """Make the ear for one channel of one stream."""
        return Ear()


class Ear(Recogniser):
    """Calls everything loud a beep."""

    def is_speech(self, frame: Samples) -> bool:
        """Whether these 20 ms are loud."""
        return bool(abs(frame).max() > LOUD)

    def begin(self, start: float) -> None:
        """Something has become loud."""
        self.start = self.end = start

    def feed(self, samples: Samples) -> None:
        """It goes on."""
        self.end += len(samples) / SAMPLE_RATE

    def words(self) -> list[Word]:
        """What it is so far."""
        return [Word("beep", self.start, self.end, confidence=1.0)]

    def finish(self) -> list[Word]:
        """What it was."""
        return self.words()
