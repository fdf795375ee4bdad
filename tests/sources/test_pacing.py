"""Audio at the speed of speech, with time as an argument."""

from streamclient.sources.pacing import paced


class Clock:
    """Time that passes only by waiting, and by how long the consumer takes."""

    def __init__(self) -> None:
        self.now = 5.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(round(seconds, 6))
        self.now += seconds
        return False


def test_block_comes_when_a_microphone_would_have_it() -> None:
    """Each 100 ms of audio come 100 ms after those before, whatever the blocks of the source."""
    clock = Clock()
    blocks = list(paced([bytes(2500), bytes(700)], 8000, clock.wait, clock))
    assert [len(block) for block in blocks] == [800, 800, 800, 100, 700]
    assert round(clock.now - 5.0, 6) == 0.4


def test_slow_consumer_does_not_delay_what_follows() -> None:
    """Time the consumer took is not waited for again."""
    clock = Clock()
    chunks = paced([bytes(2400)], 8000, clock.wait, clock)
    next(chunks)
    clock.now += 0.15
    list(chunks)
    assert clock.waits == [0.1, 0.0, 0.05]


def test_interrupted_wait_ends_the_audio() -> None:
    """An interrupt ends the audio at once."""
    assert list(paced([bytes(800)], 8000, lambda _: True, Clock())) == []
