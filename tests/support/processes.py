"""Processes that a process of ours has started, and what became of them."""

import os
from pathlib import Path

import pytest

__all__ = ["children", "decoders", "descendants", "has_ended", "needs_proc"]

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")

PROGRAM = b"engines/utterances.py"


def children(pid: int) -> set[int]:
    """The living ones of a process."""
    # Where one ends while the list is made, the system may leave others out of it.
    return {child for child in _listed(pid) | _listed(pid) if not has_ended(child)}


def _listed(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(map(int, task.read_text().split()))
        except OSError:
            continue  # a thread that has ended
    return found


def descendants(pid: int) -> set[int]:
    """Children, and theirs."""
    return {one for child in children(pid) for one in {child} | descendants(child)}


def decoders(pid: int | None = None) -> set[int]:
    """The children of a process, of this one by default, that decode speech or fork those that do."""
    return {child for child in children(pid or os.getpid()) if PROGRAM in _command(child)}


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or one that only waits for its parent to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
