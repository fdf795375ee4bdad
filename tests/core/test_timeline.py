"""The stream's timeline: pure numbers."""

from streamclient.audio import Span
from streamclient.core.timeline import Coverage, moved, without_known
from streamclient.messages import Entity, Results, SearchHit, SearchResult, SpeechStarted, UtteranceEnd
from streamclient.testing.builders import results
from tests.support.messages import final, gap, interim, parsed


def test_every_time_of_a_result_is_moved_and_raw_is_not() -> None:
    """Start and words move together; the message as it came stays."""
    result = final("one two", 1.0, 2.0)
    placed = moved(result, 10.0)
    assert isinstance(placed, Results)
    assert (placed.start, placed.end) == (11.0, 12.0)
    assert [(word.start, word.end) for word in placed.words] == [(11.0, 11.5), (11.5, 12.0)]
    assert placed.raw is result.raw
    assert placed.raw["start"] == 1.0


def test_what_was_searched_for_moves_along() -> None:
    """Hits of a search are moved too; one before what was final is left out."""
    hits = [{"confidence": 0.9, "start": at, "end": at + 0.5, "snippet": "one"} for at in (1.0, 1.5)]
    message = results("one two", 1.0, 2.0)
    message["channel"]["search"] = [{"query": "one", "hits": hits}, {"hits": "odd"}]
    odd, placed = (
        parsed(message),
        moved(parsed({**message, "channel": {"search": message["channel"]["search"][:1]}}), 10.0),
    )
    assert isinstance(odd, Results)
    assert odd.search == ()
    assert isinstance(placed, Results)
    assert placed.search == (
        SearchResult("one", (SearchHit(0.9, 11.0, 11.5, "one"), SearchHit(0.9, 11.5, 12.0, "one"))),
    )
    rest = without_known(placed, 11.5)
    assert rest is not None
    assert [hit.start for found in rest.search for hit in found.hits] == [11.5]


def test_the_end_of_the_last_word_moves_unless_it_says_nothing() -> None:
    """-1 in UtteranceEnd is no time."""
    assert moved(gap(1.0), 10.0) == UtteranceEnd(11.0)
    assert moved(gap(-1), 10.0) == UtteranceEnd(-1)
    assert moved(SpeechStarted(0.0), 10.0) == SpeechStarted(10.0)


def test_audio_is_confirmed_where_every_channel_is_final() -> None:
    """The slowest channel decides, also one that has said nothing yet."""
    coverage = Coverage()
    assert coverage.receive(final("a", 0.0, 3.0, channels=2), (0, 3.0))
    assert coverage.confirmed == 0.0
    assert coverage.receive(final("b", 0.0, 2.0, channel=1, channels=2), (1, 2.0))
    assert coverage.confirmed == 2.0
    assert coverage.unconfirmed(5.0) == Span(2.0, 5.0)


def test_only_more_than_before_is_progress() -> None:
    """The same result again is no progress; one that reaches further is."""
    coverage = Coverage()
    assert coverage.receive(interim("a", 0.0, 1.0), None)
    assert not coverage.receive(interim("a", 0.0, 1.0), None)
    assert coverage.receive(final("a", 0.0, 1.0), (0, 1.0))
    assert not coverage.receive(final("a", 0.0, 1.0), (0, 1.0))


def test_what_was_final_is_not_said_again() -> None:
    """Of replayed audio only the words after the last final are new; a word's middle decides where it belongs."""
    result = final("one two three four", 0.0, 4.0)
    assert without_known(result, 0.0) is result
    assert without_known(result, 4.0) is None
    rest = without_known(result, 2.1)
    assert rest is not None
    assert (rest.transcript, rest.start, rest.end) == ("three four", 2.1, 4.0)
    rest = without_known(result, 1.9)
    assert rest is not None
    assert rest.transcript == "three four"


def test_a_script_without_spaces_stays_without() -> None:
    """What is left of a text is joined as the service joined it."""
    result = final("今日は", 0.0, 3.0, words=[("今", 0.0, 1.0), ("日", 1.0, 2.0), ("は", 2.0, 3.0)])
    rest = without_known(result, 1.0)
    assert rest is not None
    assert rest.transcript == "日は"


def test_entities_stay_where_no_word_is_gone() -> None:
    """Entities are dropped only with words, by whose numbers they go."""
    entity = Entity("NAME", "Ada", None, 0.9, 0, 1)
    result = Results(0.0, 2.0, True, alternatives=final("", 0.0, 2.0).alternatives, entities=(entity,))
    rest = without_known(result, 0.5)
    assert rest is not None
    assert rest.entities == (entity,)
