"""A microphone that hears what a test says: a sound device of ALSA that is a file."""

import ctypes.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["needs_sound", "speaking_into"]

ALSA = Path("/usr/share/alsa/alsa.conf")

SILENCE = 1 << 31
"""Bytes of silence after the sound; a file with a hole takes no space."""

needs_sound = pytest.mark.skipif(
    not (ctypes.util.find_library("portaudio") and ALSA.is_file()),
    reason="no PortAudio with ALSA here (Debian: apt install libportaudio2)",
)


@contextmanager
def speaking_into(folder: Path, arguments: Sequence[str], sound: bytes) -> Iterator["subprocess.Popen[str]"]:
    """Run Python with a microphone that hears these samples, and then silence; it does not outlive the block.

    The device has no clock: it hears as fast as it is listened to.

    Args:
        folder: for the device.
        arguments: of Python.
        sound: 16-bit samples.
    """
    device, settings = folder / "microphone.raw", folder / "alsa.conf"
    device.write_bytes(sound)
    os.truncate(device, SILENCE)
    settings.write_text(
        f'<{ALSA}>\npcm.!default {{ type file; slave.pcm "null"; file "/dev/null"; infile "{device}"; format "raw" }}\n'
    )
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ALSA_CONFIG_PATH": str(settings)},
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
