"""When captions are shown, and in which order they are written."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamclient_plugins.captions import Style, style_of
from streamclient_plugins.captions.cues import Block
from streamclient_plugins.captions.timing import Cue, CueOrder, linger_of, show
from streamclient_plugins.captions.words import TimedWord

STYLE = style_of("netflix", min_duration=1.0, gap=0.1)


def block(start: int, end: int, text: str = "one") -> Block:
    """A caption whose words are spoken then."""
    return Block((TimedWord(text, start, end, spaced=False),), (text,))


def shown(*blocks: Block, style: Style = STYLE, free_from: int = 0) -> list[tuple[int, int]]:
    """When they are shown."""
    cues = show(blocks, style, free_from=free_from, linger=linger_of(style))
    return [(cue.start, cue.end) for cue in cues]


def test_a_caption_is_shown_while_its_words_are_spoken() -> None:
    """From the first to the last."""
    assert shown(block(1000, 3000)) == [(1000, 3000)]


def test_a_short_one_stays_as_long_as_reading_takes() -> None:
    """At least the shortest time, and at the speed of reading."""
    assert shown(block(1000, 1200)) == [(1000, 2000)]
    assert shown(block(1000, 1800, "x" * 32)) == [(1000, 2600)]
    assert shown(block(1000, 1200, "x" * 40)) == [(1000, 2200)]  # longer would delay what may come next too much


def test_it_goes_before_the_next_one() -> None:
    """By the gap, where words follow words."""
    assert shown(block(0, 2000), block(2000, 4000)) == [(0, 1900), (2000, 4000)]
    assert shown(block(0, 200), block(300, 2000)) == [(0, 200), (300, 2000)]


def test_a_short_silence_is_bridged() -> None:
    """A screen that is empty for a blink is worse than a caption that stays; a longer silence is silence."""
    assert shown(block(0, 2000), block(2400, 4000)) == [(0, 2300), (2400, 4000)]
    assert shown(block(0, 2000), block(2700, 4000)) == [(0, 2000), (2700, 4000)]


def test_no_caption_stays_longer_than_it_may() -> None:
    """Not even for a word that does not end."""
    assert shown(block(0, 60_000)) == [(0, 7000)]


def test_the_next_one_waits_for_what_stayed_for_its_readers() -> None:
    """Its start is late, its end is not."""
    assert shown(block(1500, 4000), free_from=2100) == [(2100, 4000)]


times = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 9000)), max_size=20)


@given(times, st.integers(0, 10_000))
def test_captions_of_a_channel_never_meet(spans: list[tuple[int, int]], free_from: int) -> None:
    """In order, at least the gap apart, each for some time and none for too long."""
    clock = 0
    blocks = []
    for silence, length in spans:
        blocks.append(block(clock + silence, clock + silence + length))
        clock += silence + length

    cues = show(blocks, STYLE, free_from=free_from, linger=linger_of(STYLE))

    assert [cue.lines for cue in cues] == [each.lines for each in blocks]
    assert all(0 < cue.end - cue.start <= 7000 for cue in cues)
    assert all(after.start - before.end >= 100 for before, after in pairwise(cues))
    assert all(cue.start >= max(each.start, free_from) for cue, each in zip(cues, blocks, strict=True))


@given(times)
def test_a_caption_is_never_late_by_more_than_the_shortest_time_and_a_gap(spans: list[tuple[int, int]]) -> None:
    """However fast utterances follow one another, live captions do not fall behind; each lasts a tenth of a second."""
    clock = free_from = 0
    for silence, length in spans:
        start, end = clock + silence, clock + silence + length + 101
        ((shown_at, gone_at),) = shown(block(start, end), free_from=free_from)
        assert shown_at - start <= 1000 + 100
        free_from, clock = gone_at + 100, end


class TestOrder:
    def test_cues_of_one_channel_go_at_once(self) -> None:
        """Nothing waits where there is nothing to wait for."""
        order = CueOrder()
        order.add(0, [Cue(0, 1000, ("one",)), Cue(1000, 2000, ("two",))])
        assert [cue.lines for cue in order.ready()] == [("one",), ("two",)]

    @staticmethod
    def heard(*results: tuple[int, int | None, int]) -> CueOrder:
        """Two channels with finals: channel, start of their words, end."""
        order = CueOrder()
        for channel, start, until in results:
            order.hear(channel, start, until, final=True, channels=2)
        return order

    def test_a_cue_waits_for_what_began_before_it_on_another_channel(self) -> None:
        """So that the file is in order although the longer utterance ends last."""
        order = self.heard((0, 1000, 4000), (1, 2000, 4000))
        order.add(1, [Cue(2000, 3000, ("uh-huh",))])
        assert list(order.ready()) == []

        order.hear(0, 1000, 8000, final=True, channels=2)
        order.add(0, [Cue(1000, 8000, ("a long story",))])
        assert [cue.lines for cue in order.ready()] == [("a long story",), ("uh-huh",)]

    def test_a_cue_waits_until_the_other_channel_has_been_heard(self) -> None:
        """What nothing is known of may hold an earlier word; silence settles it."""
        order = self.heard((0, 1000, 4000))
        order.add(0, [Cue(1000, 2000, ("hello?",))])
        assert list(order.ready()) == []

        order.hear(1, None, 3000, final=True, channels=2)
        assert [cue.lines for cue in order.ready()] == [("hello?",)]

    def test_a_cue_does_not_wait_for_what_began_after_it(self) -> None:
        """That one will come later in the file too."""
        order = self.heard((0, 2500, 4000), (1, 2000, 4000))
        order.add(1, [Cue(2000, 3000, ("first",))])
        assert [cue.lines for cue in order.ready()] == [("first",)]

    def test_an_interim_that_proves_to_be_silence_stops_nothing(self) -> None:
        """Only a final that has words begins an utterance for certain."""
        order = self.heard((1, 1500, 3000))
        order.hear(0, 1000, 2000, final=False, channels=2)
        order.add(1, [Cue(1500, 3000, ("one",))])
        assert list(order.ready()) == []

        order.hear(0, None, 3000, final=True, channels=2)
        assert len(list(order.ready())) == 1

    def test_waiting_has_an_end(self) -> None:
        """A speech without a pause does not keep the other side's captions from the screen; it is shown late."""
        order = self.heard((0, 1000, 2000), (1, 2000, 3000))
        order.add(1, [Cue(2000, 3000, ("hello?",))])
        assert list(order.ready()) == []
        order.hear(0, 1000, 17_001, final=True, channels=2)
        assert [cue.lines for cue in order.ready()] == [("hello?",)]

        order.add(0, [Cue(1000, 1500, ("a sermon",))])
        assert [(cue.start, cue.end) for cue in order.ready()] == [(2000, 2500)]

    def test_at_the_end_everything_goes(self) -> None:
        """Whatever it waits for."""
        order = self.heard((0, 1000, 2000))
        order.add(1, [Cue(2000, 3000, ("hello?",))])
        assert len(list(order.ready(everything=True))) == 1
