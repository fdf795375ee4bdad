"""Several sources side by side, and the thread that waits for them."""

import select
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from streamclient.cli.job import Job
from streamclient.cli.screen import Screen
from streamclient.cli.signals import SLICE, Interrupt

__all__ = ["run_jobs"]


def run_jobs(jobs: Sequence[Job], at_a_time: int, interrupt: Interrupt, screen: Screen) -> list[int]:
    """Run the jobs in threads, while this one waits for them and for the signals."""
    done, finished = socket.socketpair()
    finished.setblocking(False)
    with done, finished, ThreadPoolExecutor(at_a_time, "streamclient-job") as pool:
        futures = [pool.submit(job.run) for job in jobs]
        for future in futures:
            future.add_done_callback(lambda _: _wake(finished))
        _wait(futures, done, interrupt, lambda: _stop(jobs, interrupt, screen))
        return [future.result() for future in futures]


def _wake(sender: socket.socket) -> None:
    with suppress(BlockingIOError):  # thousands of wake-ups wait already
        sender.send(b"\0")


def _wait(
    futures: Sequence[Future[int]], done: socket.socket, interrupt: Interrupt, on_stop: Callable[[], None]
) -> None:
    watched: list[Any] = [done, interrupt]
    while not all(future.done() for future in futures):
        ready, _, _ = select.select(watched, [], [], SLICE)
        if done in ready:
            done.recv(4096)
        if interrupt in ready:
            watched.remove(interrupt)
            on_stop()


def _stop(jobs: Sequence[Job], interrupt: Interrupt, screen: Screen) -> None:
    if interrupt.signal is not None:
        what = "finishing what was sent" if any(job.has_sent for job in jobs) else "stopping"
        screen.notice(f"{what}; press Ctrl-C again to end at once")
    for job in jobs:
        job.cut_connecting()
