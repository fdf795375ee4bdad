"""Audio from a microphone, by sounddevice (extra ``mic``).

======================  ==============================================  =============================
thread                  owns alone                                      never does
======================  ==============================================  =============================
PortAudio's             the device                                      wait, for anybody or anything
whoever iterates        taking blocks out of the buffer                 touch the device
======================  ==============================================  =============================
"""

import logging
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from streamclient.sources.errors import MissingExtra, SourceError

__all__ = ["BlockBuffer", "Microphone", "describe_devices"]

log = logging.getLogger("streamclient.sources")

BLOCK_SECONDS = 0.05
BUFFER_SECONDS = 60.0
"""How long the one who reads may be away."""


class BlockBuffer:
    """Blocks on their way from a thread that must not wait. When it is full, blocks are dropped and counted.

    Args:
        most: blocks it holds.
    """

    def __init__(self, most: int) -> None:
        self.dropped = 0
        self.ended = False
        self._most = most
        self._blocks: deque[bytes] = deque()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def put(self, block: bytes) -> None:
        """Add a block, or drop it; never waits. One thread calls it."""
        if len(self._blocks) >= self._most:
            self.dropped += 1
            return
        self._blocks.append(block)
        self._wake()

    def end(self) -> None:
        """There will be no more; never waits."""
        self.ended = True
        self._wake()

    def blocks(self, readable: Callable[[int], bool]) -> Iterator[bytes]:
        """Every block, as soon as it is there, until the end or until ``readable`` ends it.

        Args:
            readable: waits until there is something to read from the descriptor it is given; ``False`` ends it.
        """
        while readable(self._reader.fileno()):
            self._reader.recv(4096)
            yield from self._taken()
            if self.ended:
                break
        yield from self._taken()

    def close(self) -> None:
        """Give back what it holds; nothing can be put or taken any more."""
        self._reader.close()
        self._writer.close()

    def _taken(self) -> Iterator[bytes]:
        with suppress(IndexError):
            while True:
                yield self._blocks.popleft()

    def _wake(self) -> None:
        with suppress(OSError):  # it is full of earlier wake-ups, or closed
            self._writer.send(b"\0")


class Microphone:
    """The sound of a microphone as linear16, from now on; iterate it and close it, or use ``with``.

    Args:
        device: its number, or a part of its name; ``None`` for the system's default.
        sample_rate: samples per second, in Hz.
        channels: interleaved channels.

    Raises:
        MissingExtra: sounddevice is not installed.
        SourceError: there is no such microphone, or it cannot be used so.
    """

    def __init__(self, device: int | str | None = None, *, sample_rate: int = 16000, channels: int = 1) -> None:
        sounddevice = _import_sounddevice()
        self._buffer = BlockBuffer(round(BUFFER_SECONDS / BLOCK_SECONDS))
        self._reported = 0
        try:
            self._stream = sounddevice.RawInputStream(
                samplerate=sample_rate,
                blocksize=round(sample_rate * BLOCK_SECONDS),
                device=device,
                channels=channels,
                dtype="int16",
                callback=self._receive,
                finished_callback=self._buffer.end,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            self._buffer.close()
            raise _unusable(device, error) from error

    @property
    def dropped(self) -> float:
        """Seconds of sound that were lost, because nobody took them out in time."""
        return self._buffer.dropped * BLOCK_SECONDS

    def __iter__(self) -> Iterator[bytes]:
        """Its sound, until it is closed."""
        return self.blocks(_wait_readable)

    def blocks(self, readable: Callable[[int], bool]) -> Iterator[bytes]:
        """Its sound, until ``readable`` says ``False``; see `BlockBuffer.blocks`."""
        for block in self._buffer.blocks(readable):
            self._report()
            yield block

    def close(self) -> None:
        """Stop recording; what was recorded before can no longer be read."""
        self._stream.close()
        self._report()
        self._buffer.close()

    def __enter__(self) -> "Microphone":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, sound: Any, frames: int, time: Any, status: Any) -> None:  # noqa: ARG002 - PortAudio's order
        if status.input_overflow:
            self._buffer.dropped += 1
        self._buffer.put(bytes(sound))

    def _report(self) -> None:
        """Say that sound was lost: at once, and again when it has become twice as much."""
        if self._buffer.dropped > 2 * self._reported:
            self._reported = self._buffer.dropped
            log.warning("The microphone's sound was not taken in time: %.2f s are lost", self.dropped)


def describe_devices() -> str:
    """The sound devices of this machine, as text.

    Raises:
        MissingExtra: sounddevice is not installed.
        SourceError: its library PortAudio is not.
    """
    return str(_import_sounddevice().query_devices())


def _import_sounddevice() -> Any:
    try:
        import sounddevice  # type: ignore[import-untyped]  # it has no types
    except ImportError as error:
        raise MissingExtra("The microphone", "mic") from error
    except OSError as error:
        raise SourceError(
            f"The microphone cannot be used: {error}", hint="On Debian and Ubuntu: apt install libportaudio2."
        ) from error
    return sounddevice


def _unusable(device: int | str | None, error: Exception) -> SourceError:
    name = "The default microphone" if device is None else f"The microphone {device!r}"
    reason = str(error.args[0]) if error.args else str(error)
    return SourceError(
        f"{name} cannot be used: {reason}",
        hint="streamclient listen --list shows what there is; many devices only know --sample-rate 48000.",
    )


def _wait_readable(descriptor: int) -> bool:
    select.select([descriptor], [], [])
    return True
