"""What a recording lacks, and how what is heard later fits in."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.audio import Span
from streamclient.cli.missing import Heard, in_order, missing_spans, pieces, replays, united
from streamclient.core.timeline import moved
from streamclient.messages import Alternative, Results, TurnInfo, UtteranceEnd, Word
from tests.support.messages import final, gap, parsed
from tests.support.positions import BLOCK, RATE, Recogniser, assert_spoken, audio, spoken

times = st.floats(0, 100)
spans = st.lists(st.tuples(times, times).map(lambda pair: Span(min(pair), max(pair))), max_size=8)


def total(found: list[Span] | tuple[Span, ...]) -> float:
    """Seconds in all."""
    return sum(span.end - span.start for span in found)


class TestMissingSpans:
    def test_all_is_missing_where_nothing_is_covered(self) -> None:
        """From the first byte to the last."""
        assert missing_spans([], 5.0) == (Span(0.0, 5.0),)

    def test_what_lies_between_and_after_is_missing(self) -> None:
        """In whatever order the lines are, and where some overlap."""
        covered = [Span(4.0, 6.0), Span(1.0, 2.0), Span(5.0, 5.5)]

        assert missing_spans(covered, 9.0) == (Span(0.0, 1.0), Span(2.0, 4.0), Span(6.0, 9.0))

    def test_rounding_is_not_missing(self) -> None:
        """Times of the service are not exact to the millisecond."""
        assert missing_spans([Span(0.0, 1.001), Span(1.004, 3.0)], 3.002) == ()

    def test_finals_may_reach_beyond_the_audio(self) -> None:
        """And none is missing beyond it."""
        assert missing_spans([Span(0.0, 2.0), Span(7.0, 8.0)], 5.0) == (Span(2.0, 5.0),)

    @given(spans, times)
    def test_covered_and_missing_are_everything(self, covered: list[Span], duration: float) -> None:
        """Nothing is both, and what is neither is too short for a word."""
        missing = missing_spans(covered, duration)

        inside = [Span(span.start, min(span.end, duration)) for span in covered if span.start < duration]
        both = united([*missing, *inside], within=0.0)
        assert total(missing) + total(united(inside, within=0.0)) == pytest.approx(total(both))
        assert missing_spans(both, duration) == ()


class TestReplays:
    def test_a_replay_begins_in_the_pause_before_a_known_word(self) -> None:
        """The recogniser finds its feet in words that are known, and no word is cut."""
        words = [Word("one", 1.0, 1.4), Word("two", 8.9, 9.2), Word("three", 9.3, 9.8)]

        (replay,) = replays([Span(10.0, 20.0)], words, 60.0)

        assert replay.start == pytest.approx(9.25)
        assert replay.end == 20.5

    def test_without_words_near_it_begins_a_little_earlier(self) -> None:
        """As far as there is audio."""
        assert replays([Span(10.0, 20.0)], [], 60.0) == [Span(9.7, 20.5)]
        assert replays([Span(0.0, 20.0)], [], 20.2) == [Span(0.0, 20.2)]

    def test_near_spans_are_heard_in_one_go(self) -> None:
        """A connection costs more than some seconds of audio; those far away are heard alone."""
        missing = [Span(0.0, 1.0), Span(5.0, 6.0), Span(30.0, 31.0)]

        assert replays(missing, [], 60.0) == [Span(0.0, 6.5), Span(29.7, 31.5)]


def word_times(result: Heard) -> list[tuple[str, float, float]]:
    """The words of a result with their times."""
    assert isinstance(result, Results | TurnInfo)
    return [(word.word, word.start, word.end) for word in result.words]


class TestPieces:
    def test_a_final_within_what_is_missing_is_kept_as_it_is(self) -> None:
        """But for what names words by their number."""
        heard = final("so it goes", 2.0, 4.0, speech_final=True)

        assert pieces(heard, [Span(1.0, 5.0)], []) == [heard]

    def test_known_words_before_and_after_are_cut_off(self) -> None:
        """Also where they reach into it a little; the end of an utterance belongs to the last words."""
        words = [("one", 0.0, 1.1), ("two", 1.1, 2.0), ("three", 2.0, 2.9), ("four", 2.9, 4.0)]
        heard = final("One, two, three, four.", 0.0, 4.0, words=words, speech_final=True)

        (piece,) = pieces(heard, [Span(1.0, 3.0)], [Word("one", 0.0, 1.0), Word("four", 3.0, 4.0)])

        assert isinstance(piece, Results)
        assert (piece.start, piece.end, piece.transcript, piece.speech_final) == (1.0, 3.0, "two three", False)

    def test_a_final_over_two_spans_becomes_two(self) -> None:
        """What lies between them is known."""
        heard = final("one two three", 0.0, 3.0, speech_final=True)

        first, second = pieces(heard, [Span(0.0, 1.0), Span(2.0, 3.0)], [])

        assert (word_times(first), word_times(second)) == ([("one", 0.0, 1.0)], [("three", 2.0, 3.0)])
        assert [piece.speech_final for piece in (first, second) if isinstance(piece, Results)] == [False, True]

    def test_a_known_word_that_is_heard_a_little_later_is_not_taken_twice(self) -> None:
        """Its middle may seem to lie on the other side."""
        heard = final("two three", 0.9, 3.0, words=[("two", 0.95, 1.15), ("three", 1.2, 2.0)])

        (piece,) = pieces(heard, [Span(1.0, 3.0)], [Word("two", 0.8, 1.1)])

        assert word_times(piece) == [("three", 1.2, 2.0)]

    def test_a_word_that_a_final_cut_off_is_taken_once(self) -> None:
        """A final may end in the midst of a word and leave it to the next: most of it lies where nothing is missing."""
        heard = final("two three", 0.5, 4.0, words=[("two", 0.5, 1.1), ("three", 1.9, 2.2)])

        first, second = pieces(heard, [Span(1.0, 2.0), Span(2.05, 4.0)], [Word("one", 0.1, 0.55)])

        assert (word_times(first), word_times(second)) == ([("two", 0.5, 1.1)], [("three", 1.9, 2.2)])

    def test_scripts_without_spaces_stay_so(self) -> None:
        """The text is joined as the service joined it."""
        heard = final("你好世界", 0.0, 2.0, words=[("你好", 0.0, 1.0), ("世界", 1.0, 2.0)])

        (piece,) = pieces(heard, [Span(1.0, 2.0)], [])

        assert isinstance(piece, Results)
        assert piece.transcript == "世界"

    def test_text_without_words_goes_where_its_middle_is(self) -> None:
        """It cannot be cut."""
        heard = Results(0.0, 2.0, is_final=True, alternatives=(Alternative("hello", 0.9),))

        texts = [
            [piece.transcript for piece in pieces(heard, [span], []) if isinstance(piece, Results)]
            for span in (Span(0.5, 3.0), Span(1.5, 3.0))
        ]

        assert texts == [["hello"], [""]]

    def test_ends_of_utterances_and_turns_are_cut_too(self) -> None:
        """By the end of the last word; a turn keeps its number."""
        assert pieces(gap(2.0), [Span(1.0, 3.0)], []) == [gap(2.0)]
        assert pieces(gap(0.5), [Span(1.0, 3.0)], []) == []
        turn = TurnInfo("EndOfTurn", 7, 0.0, 2.0, "one two", (Word("one", 0.0, 1.0), Word("two", 1.0, 2.0)))

        (piece,) = pieces(turn, [Span(1.0, 5.0)], [])

        assert isinstance(piece, TurnInfo)
        assert (piece.turn_index, piece.start, piece.end, piece.transcript) == (7, 1.0, 2.0, "two")


def test_everything_is_put_in_order_of_time() -> None:
    """The end of an utterance comes after the finals it ends and before what follows."""
    first, second, end = final("one", 0.0, 1.0), final("two", 1.0, 2.0), gap(1.0)

    assert in_order([second, end, first]) == [first, end, second]
    assert in_order([UtteranceEnd(2.0), second, first]) == [first, second, UtteranceEnd(2.0)]


BLOCKS = 120


def finals_of(samples: bytes, random: Random, channels: int) -> list[Results]:
    """What a service says of audio, as finals that tile it."""
    recogniser = Recogniser(random, channels)
    said = []
    for place in range(0, len(samples), 3000):
        recogniser.hear(samples[place : place + 3000])
        said += recogniser.finals()
    said += recogniser.finish()
    return [message for one in said if isinstance(message := parsed(one), Results)]


@pytest.mark.parametrize("channels", [1, 2])
@given(seed=st.integers(0, 2**32))
def test_whatever_is_lost_is_found_again_exactly_once(channels: int, seed: int) -> None:
    """With any finals gone, on any channel, what is heard again completes the rest: each word once, at its place."""
    random = Random(seed)
    samples = audio(BLOCKS, channels)
    duration = BLOCKS * BLOCK / RATE
    kept = [one for one in finals_of(samples, random, channels) if random.random() < 0.7]
    missing = {
        channel: missing_spans([Span(one.start, one.end) for one in kept if one.channel == channel], duration)
        for channel in range(channels)
    }
    known = {channel: [w for one in kept if one.channel == channel for w in one.words] for channel in range(channels)}
    everything: list[Heard] = [*kept]
    words = [word for one in kept for word in one.words]
    for replay in replays([span for found in missing.values() for span in found], words, duration):
        first, last = round(replay.start * RATE), round(replay.end * RATE)
        heard = finals_of(samples[first * 2 * channels : last * 2 * channels], random, channels)
        for one in (moved(message, first / RATE) for message in heard):
            assert isinstance(one, Results)
            everything += pieces(one, missing[one.channel], known[one.channel])

    for channel in range(channels):
        finals = [one for one in in_order(everything) if isinstance(one, Results) and one.channel == channel]
        assert_spoken([word for one in finals for word in one.words], spoken(BLOCKS, channel))
        assert missing_spans([Span(one.start, one.end) for one in finals], duration) == ()
        for before, after in pairwise(finals):
            assert after.start >= before.end - 0.005
