"""Processes that share an outbox, for tests to kill: ``tests.support.senders put|deliver PATH URL STREAM``."""

import sys
import time
from pathlib import Path

from streamclient_plugins.webhook import courier as courier_module
from streamclient_plugins.webhook.courier import Courier, Delivery
from streamclient_plugins.webhook.outbox import Letter, Outbox
from streamclient_plugins.webhook.post import Poster
from streamclient_plugins.webhook.target import Target

__all__ = ["ENDPOINT", "LEASE", "letter"]

ENDPOINT = "receiver"
LEASE = 0.5
SPEED = 1e6
"""How much faster the time of `deliver` goes."""


def letter(stream: str, number: int) -> Letter:
    """The letter of this number of a stream."""
    body = f'{{"stream": "{stream}", "number": {number}}}'.encode()
    return Letter(0, f"{stream}-{number}", ENDPOINT, stream, "utterance", body, 0.0)


def put(path: Path, url: str, stream: str) -> None:
    """Put letters, say which are kept, and deliver them and what others have left, until killed."""
    courier_module.LEFT_BEHIND = 0.0
    courier = Courier(path, ENDPOINT, Poster(Target(url, timeout=0.4)), stream, LEASE)
    courier.start()
    with Outbox(path) as outbox:
        for number in range(8):
            outbox.put(letter(stream, number), 10_000)
            print(number, flush=True)
            courier.notice()
        sys.stdin.read()


def deliver(path: Path, url: str, _: str) -> None:
    """Deliver until nothing is left, in fast time."""
    with Outbox(path) as outbox:
        delivery = Delivery(outbox, ENDPOINT, Poster(Target(url)), 20.0 * SPEED, lambda: time.time() * SPEED)
        while outbox.count(ENDPOINT):
            if delivery.deliver_one() is None:
                time.sleep(delivery.wait_time() / SPEED)


if __name__ == "__main__":
    {"put": put, "deliver": deliver}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
