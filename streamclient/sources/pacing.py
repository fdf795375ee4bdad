"""Audio at the speed of speech, as a microphone would give it."""

from collections.abc import Callable, Iterable, Iterator
from time import monotonic

__all__ = ["BLOCK_SECONDS", "paced"]

BLOCK_SECONDS = 0.1


def paced(
    chunks: Iterable[bytes],
    bytes_per_second: float,
    wait: Callable[[float], bool],
    clock: Callable[[], float] = monotonic,
) -> Iterator[bytes]:
    """Yield the audio in blocks of 100 ms, each when a live source would have it whole.

    Args:
        chunks: the audio, in blocks of any size.
        bytes_per_second: how fast it is spoken.
        wait: waits for so many seconds; an answer of ``True`` means "interrupted", and ends the audio.
        clock: seconds on any timeline that never goes back.
    """
    started = clock()
    sent = 0
    for block in _pieces(chunks, max(int(bytes_per_second * BLOCK_SECONDS), 1)):
        sent += len(block)
        if wait(max(started + sent / bytes_per_second - clock(), 0.0)):
            return
        yield block


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    return (chunk[start : start + size] for chunk in chunks for start in range(0, len(chunk), size))
