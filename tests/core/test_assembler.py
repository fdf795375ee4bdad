"""Utterances from results: every final word in exactly one utterance, in order, for each channel on its own."""

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.core.assembler import Assembler
from streamclient.events import Utterance
from streamclient.messages import Message, Results, SpeechStarted, Word
from streamclient.testing.builders import SpokenWord, results
from tests.support.messages import final, gap, interim, parsed, summary


def assembled(*messages: Message) -> list[str]:
    """The texts of the utterances a stream of these messages has."""
    assembler = Assembler()
    for message in messages:
        assembler.receive(message)
    assembler.finish()
    return [utterance.text for utterance in assembler.utterances]


def completed(*messages: Message) -> list[list[str]]:
    """The texts of the utterances each message completes, and at last those that the end does."""
    assembler = Assembler()
    found = [*map(assembler.receive, messages), assembler.finish()]
    return [[utterance.text for utterance in utterances] for utterances in found]


# The boundaries.


def test_speech_final_ends_an_utterance_with_all_finals_before_it() -> None:
    """A long utterance is several finals; the last of them alone is not its text."""
    messages = final("please book", 0.0, 1.6), final("a table", 1.6, 2.9, speech_final=True)
    assert completed(*messages) == [[], ["please book a table"], []]


def test_answer_to_finalize_ends_an_utterance() -> None:
    """The answer to a Finalize is a boundary without speech_final."""
    assert completed(final("one", 0.0, 1.0, from_finalize=True)) == [["one"], []]


def test_utterance_end_ends_an_utterance() -> None:
    """Where noise keeps speech_final away, the gap between words is the boundary."""
    assert completed(final("one two", 0.0, 1.0), gap(1.0)) == [[], ["one two"], []]


def test_end_of_the_stream_ends_an_utterance() -> None:
    """Finals without any boundary are not lost at the end."""
    assert completed(final("one", 0.0, 1.0), final("two", 1.0, 2.0)) == [[], [], ["one two"]]


def test_what_finals_have_begun_is_known_before_it_ends() -> None:
    """Of each channel, numbered as if the stream ended now, without interims; and asking changes nothing."""
    assembler = Assembler()
    for message in [
        final("done", 0.0, 1.0, speech_final=True),
        final("right", 0.5, 1.5, channel=1, channels=2),
        final("one", 1.0, 2.0),
        final("two", 2.0, 3.0),
        interim("three", 3.0, 4.0),
    ]:
        assembler.receive(message)

    assert [(one.index, one.channel, one.text) for one in assembler.begun] == [(1, 0, "one two"), (2, 1, "right")]
    assert [one.text for one in assembler.utterances] == ["done"]
    assert [one.text for one in assembler.finish()] == ["one two three", "right"]
    assert assembler.begun == []


@pytest.mark.parametrize("boundary", ["speech_final", "from_finalize"])
def test_empty_boundary_flushes_what_is_pending(boundary: str) -> None:
    """A boundary may come with an empty final; what was said before it is still an utterance."""
    assert completed(final("one", 0.0, 1.0), final("", 1.0, 2.0, **{boundary: True})) == [[], ["one"], []]


@pytest.mark.parametrize(
    "message",
    [
        final("", 0.0, 1.0, speech_final=True),
        final("", 0.0, 1.0, from_finalize=True),
        final(" ", 0.0, 1.0, speech_final=True, words=()),
        gap(1.0),
        gap(-1),
        interim("", 0.0, 1.0),
        summary(),
        SpeechStarted(0.5),
    ],
)
def test_boundary_without_words_is_no_utterance(message: Message) -> None:
    """Silence, however it is reported, makes no empty utterance."""
    assert completed(message) == [[], []]


def test_utterance_end_of_minus_one_says_nothing_new() -> None:
    """The service sends -1 where the words were final already; what is pending goes on."""
    assert completed(final("one", 0.0, 1.0), gap(-1), final("two", 1.0, 2.0)) == [[], [], [], ["one two"]]


def test_utterance_end_after_speech_final_is_ignored() -> None:
    """The same pause is often reported twice."""
    assert completed(final("one", 0.0, 1.0, speech_final=True), gap(1.0)) == [["one"], [], []]


def test_late_utterance_end_leaves_newer_words_alone() -> None:
    """An UtteranceEnd older than the latest words ends only what was said before its gap."""
    messages = final("one", 0.0, 1.0), final("two", 3.0, 4.0), gap(1.0), final("three", 4.0, 5.0, speech_final=True)
    assert completed(*messages) == [[], [], ["one"], ["two three"], []]


def test_utterance_end_inside_a_final_splits_it() -> None:
    """A gap between two words of one final is a boundary between them."""
    message = final("one two", 0.0, 4.0, words=[("one", 0.0, 0.5), ("two", 3.0, 3.5)])
    assert completed(message, gap(0.5)) == [[], ["one"], ["two"]]


def test_utterance_end_of_an_old_utterance_leaves_a_new_interim_alone() -> None:
    """A repeated pause does not cut off what is being said now."""
    messages = final("one", 0.0, 1.0, speech_final=True), interim("two", 2.0, 3.0), gap(1.0), final("too", 2.0, 3.0)
    assert completed(*messages) == [["one"], [], [], [], ["too"]]


def test_speech_final_counts_as_final() -> None:
    """A result that says speech_final but not is_final is final."""
    assert completed(final("one", 0.0, 1.0, is_final=False, speech_final=True)) == [["one"], []]


# Interims.


def test_interims_replace_one_another() -> None:
    """Each interim covers everything since the last final."""
    assert assembled(interim("please", 0.0, 1.0), interim("please book", 0.0, 2.0)) == ["please book"]


def test_final_shorter_than_its_interim_drops_the_rest() -> None:
    """Words that a final leaves out come again in the next result."""
    messages = interim("please book a", 0.0, 2.0), final("please book", 0.0, 1.6), final("a table", 1.6, 2.9)
    assert assembled(*messages) == ["please book a table"]


def test_empty_final_drops_the_interim() -> None:
    """What the service took back was not said."""
    assert assembled(interim("hm", 0.0, 1.0), final("", 0.0, 1.0, speech_final=True)) == []


def test_empty_interim_replaces_an_interim() -> None:
    """An interim can be taken back by a later one."""
    assert assembled(interim("hm", 0.0, 1.0), interim("", 0.0, 2.0)) == []


def test_interim_at_the_end_is_the_best_there_is() -> None:
    """When the connection breaks, the last interim is all that is known of the last words."""
    assert assembled(final("one", 0.0, 1.0), interim("two", 1.0, 2.0)) == ["one two"]


def test_utterance_end_with_only_an_interim_uses_it() -> None:
    """The last transcript received is what was said before the gap."""
    assert completed(interim("one two", 0.0, 1.0), gap(1.0)) == [[], ["one two"], []]


def test_final_of_an_interim_already_used_does_not_repeat_it() -> None:
    """Words that were an utterance as an interim are not one again as a final."""
    messages = interim("one two", 0.0, 1.0), gap(1.0), final("one two", 0.0, 1.0, speech_final=True)
    assert completed(*messages) == [[], ["one two"], [], []]


def test_final_of_an_interim_already_used_still_brings_what_is_new() -> None:
    """A final that goes on after the interim's words brings the words after them."""
    messages = (
        interim("one", 0.0, 1.0),
        gap(1.0),
        interim("one two", 0.0, 2.0),
        final("one two three", 0.0, 3.0, speech_final=True),
    )
    assert completed(*messages) == [[], ["one"], [], ["two three"], []]


def test_pending_finals_go_before_the_interim() -> None:
    """With finals pending, an UtteranceEnd ends them; the interim waits for its own final."""
    messages = final("one", 0.0, 1.0), interim("too", 3.0, 4.0), gap(1.0), final("two", 3.0, 4.0)
    assert completed(*messages) == [[], [], ["one"], [], ["two"]]


# The values.


def test_utterance_has_the_facts_of_its_words() -> None:
    """Start and end are those of the first and the last word, the confidence is the mean over the words."""
    assembler = Assembler()
    assembler.receive(final("please", 0.0, 1.6, words=[("please", 0.31, 0.62)], confidence=0.8))
    utterance = assembler.receive(
        final("Book it.", 1.6, 3.0, words=[("book", 1.7, 2.0), ("it", 2.0, 2.3)], confidence=0.95, speech_final=True)
    )[0]
    assert utterance.words == (
        Word("please", 0.31, 0.62, 0.8),
        Word("book", 1.7, 2.0, 0.95),
        Word("it", 2.0, 2.3, 0.95),
    )
    assert utterance == Utterance(0, 0.31, 2.3, "please Book it.", utterance.words, 0, None, utterance.confidence)
    assert utterance.confidence == pytest.approx(0.9)


def test_text_is_the_service_s_own() -> None:
    """Formatting that merges or replaces words is kept: the transcript is the text, not the words joined."""
    message = final("It costs $20.", 0.0, 1.0, words=[("it", 0.0, 0.2), ("costs", 0.2, 0.4), ("twenty", 0.4, 0.9)])
    assert assembled(message) == ["It costs $20."]


def test_result_without_words_is_kept_with_its_span() -> None:
    """A transcript that comes without words is not lost."""
    assembler = Assembler()
    assembler.receive(final("hello", 1.0, 2.0, words=()))
    assert assembler.finish() == [Utterance(0, 1.0, 2.0, "hello", (), 0, None, 0.9)]


def test_result_without_a_transcript_is_its_words() -> None:
    """Words that come without a transcript are not lost."""
    assert assembled(final("", 0.0, 1.0, words=[("hello", 0.0, 0.5), ("there", 0.5, 1.0)])) == ["hello there"]


def test_result_without_alternatives_is_silence() -> None:
    """An empty list of readings breaks nothing, and is a boundary if it says so."""
    empty = parsed({**results("", 1.0, 2.0, speech_final=True), "channel": {"alternatives": []}})
    assert completed(final("one", 0.0, 1.0), empty) == [[], ["one"], []]


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (["hello"], ["world"], "hello world"),
        (["今日", "は"], ["いい", "天気"], "今日はいい天気"),
        (["今日"], ["は"], "今日は"),
        (["です。"], ["はい。"], "です。はい。"),
        (["สวัสดี", "ครับ"], ["ผม"], "สวัสดีครับผม"),
        (["안녕하세요"], ["여러분"], "안녕하세요 여러분"),
    ],
)
def test_finals_are_joined_as_their_script_joins_words(first: list[str], second: list[str], whole: str) -> None:
    """One space between finals, and none where the language puts none between words."""

    def said(words: list[str], start: float) -> Results:
        glue = " " if whole.isascii() or "안" in whole else ""
        spoken = [(word, start + 0.1 * index, start + 0.1 * index + 0.1) for index, word in enumerate(words)]
        return final(glue.join(words), start, start + 1.0, words=spoken)

    assert assembled(said(first, 0.0), said(second, 1.0)) == [whole]


# Channels and speakers.


def test_channels_are_assembled_apart() -> None:
    """A boundary on one channel leaves the other alone, however their messages interleave."""
    messages = (
        final("left", 0.0, 1.0, channel=0, channels=2),
        final("right", 0.2, 1.2, channel=1, channels=2),
        final("side", 1.0, 2.0, channel=0, channels=2, speech_final=True),
        gap(1.2, channel=1),
    )
    assert completed(*messages) == [[], [], ["left side"], ["right"], []]


def test_end_of_the_stream_ends_every_channel() -> None:
    """Nothing pending on any channel is lost."""
    messages = final("right", 0.0, 1.0, channel=1, channels=2), final("left", 0.0, 1.0, channel=0, channels=2)
    assert completed(*messages)[-1] == ["left", "right"]


def test_change_of_speaker_starts_an_utterance() -> None:
    """Consecutive words of one speaker belong together, across finals; the others are utterances of their own."""
    assembler = Assembler()
    first = [("hello", 0.0, 0.5, 0), ("there", 0.5, 1.0, 0), ("hi", 1.0, 1.5, 1)]
    assembler.receive(final("Hello there. Hi.", 0.0, 1.5, words=first))
    assembler.receive(final("Nice day.", 1.5, 2.5, words=[("nice", 1.5, 2.0, 1), ("day", 2.0, 2.5, 1)]))
    said = [(utterance.speaker, utterance.text) for utterance in assembler.finish()]
    assert said == [(0, "hello there"), (1, "hi Nice day.")]


def test_word_that_cannot_be_placed_stays_with_the_speaker_before_it() -> None:
    """A result without words has no speaker of its own."""
    messages = final("one", 0.0, 1.0, words=[("one", 0.0, 1.0, 3)]), final("two", 1.0, 2.0, words=())
    assert assembled(*messages) == ["one two"]


# For any stream.


Turn = tuple[list[Message], float, float | None]
"""Messages, where the next final begins, and the start of the last word that is pending, if one is."""


@st.composite
def finals(draw: st.DrawFn, channel: int, number: int, time: float, pending: float | None) -> Turn:
    """A final of up to four words by changing speakers, perhaps a boundary."""
    starts = [time + place * 0.25 for place in range(draw(st.integers(0, 4)))]
    words: list[SpokenWord] = [
        (f"final{channel}-{number}-{start}", start, start + 0.2, draw(st.integers(0, 2))) for start in starts
    ]
    flags = draw(st.sampled_from([{}, {}, {"speech_final": True}, {"from_finalize": True}]))
    end = time + max(len(words) * 0.25, 0.5)
    text = " ".join(word[0] for word in words)
    message = final(text, time, end, words=words, channel=channel, channels=3, **flags)
    return [message], end, None if flags else starts[-1] if starts else pending


def interim_words(channel: int, number: int, time: float) -> Results:
    """An interim of three words that are not quite those of the final."""
    words: list[SpokenWord] = [
        (f"interim{channel}-{number}-{start}", start, start + 0.1) for start in (time, time + 0.2, time + 0.4)
    ]
    text = " ".join(word[0] for word in words)
    return interim(text, time, time + 1.0, words=words, channel=channel, channels=3)


@st.composite
def channel_messages(draw: st.DrawFn, channel: int, *, gaps_in_interims: bool) -> list[Message]:
    """What a service says of one channel: finals that tile the audio, interims of what is to come, gaps."""
    messages: list[Message] = []
    time, pending = 0.0, None
    for number in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["final", "final", "interim", "gap", "late gap", "odd gap"]))
        if kind == "final":
            said, time, pending = draw(finals(channel, number, time, pending))
            messages += said
        elif kind == "interim":
            messages.append(interim_words(channel, number, time))
        elif kind == "gap" and pending is not None:
            messages.append(gap(time, channel))
            pending = None
        elif kind == "gap" and gaps_in_interims:
            messages.append(gap(time + draw(st.sampled_from([0.1, 0.3, 0.5])), channel))
        elif kind == "late gap" and pending is not None and pending > 0.1:
            messages.append(gap(draw(st.floats(0.0, pending - 0.1)), channel))
        elif kind == "odd gap":
            messages.append(gap(-1, channel))
    return messages


@st.composite
def streams(draw: st.DrawFn, *, gaps_in_interims: bool = False) -> list[Message]:
    """The channels' messages in any interleaving."""
    queues = [draw(channel_messages(channel, gaps_in_interims=gaps_in_interims)) for channel in range(3)]
    order = draw(st.permutations([channel for channel, queue in enumerate(queues) for _ in queue]))
    return [queues[channel].pop(0) for channel in order]


def final_words(messages: list[Message], channel: int) -> list[str]:
    """The words of the finals of a channel."""
    finals = [one for one in messages if isinstance(one, Results) and one.is_final and one.channel == channel]
    return [word.word for result in finals for word in result.words]


def words_of(utterances: list[Utterance], channel: int) -> list[str]:
    """The words of the utterances of a channel."""
    return [word.word for utterance in utterances if utterance.channel == channel for word in utterance.words]


@given(streams())
def test_every_final_word_is_in_exactly_one_utterance_in_order(messages: list[Message]) -> None:
    """Whatever the order of results and boundaries, no final word is lost, repeated or moved."""
    assembler = Assembler()
    by_message = list(chain.from_iterable(map(assembler.receive, messages)))
    for channel in range(3):
        seen = [word for word in words_of(by_message, channel) if word.startswith("final")]
        assert seen == final_words(messages, channel)[: len(seen)]
    utterances = by_message + assembler.finish()
    assert utterances == assembler.utterances
    for channel in range(3):
        said = [word for word in words_of(utterances, channel) if word.startswith("final")]
        assert said == final_words(messages, channel)


@given(streams(gaps_in_interims=True))
def test_utterances_are_well_formed(messages: list[Message]) -> None:
    """Indexes count up, none is empty or told twice, and text, times and speaker are those of the words.

    Of every stretch of a channel's audio there is one text: an interim's or a final's, never both.
    """
    assembler = Assembler()
    for message in messages:
        assembler.receive(message)
    assembler.finish()
    assert assembler.finish() == []
    assert [utterance.index for utterance in assembler.utterances] == list(range(len(assembler.utterances)))
    for utterance in assembler.utterances:
        assert utterance.words
        assert utterance.text == " ".join(word.text for word in utterance.words)
        assert {word.speaker for word in utterance.words} == {utterance.speaker}
        assert (utterance.start, utterance.end) == (utterance.words[0].start, utterance.words[-1].end)
    for channel in range(3):
        words = [word for utterance in assembler.utterances if utterance.channel == channel for word in utterance.words]
        assert all(later.start >= earlier.end - 0.001 for earlier, later in pairwise(words))
