"""The plugin redact: what is to be redacted is nowhere any more, in no event, no transcript and no file."""

import json
import logging
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient import Event, ListenOptions, PluginError, StreamClient, TurnInfo, Utterance, Word, hookimpl
from streamclient.plugins import load_plugins
from streamclient_plugins.redact import Redact
from streamclient_plugins.redaction import KINDS, Redaction, as_pattern
from tests.support.service import LINEAR16, final, interim, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]


def words_of(*pairs: tuple[str, str]) -> tuple[Word, ...]:
    """Words from how they were spoken and how they are written."""
    return tuple(Word(spoken, float(n), n + 1.0, 0.9, text) for n, (spoken, text) in enumerate(pairs))


def redacted(pairs: list[tuple[str, str]], *patterns: str, text: str | None = None) -> tuple[str, list[str]]:
    """The text and the written words without what fits the patterns."""
    given_text = " ".join(written for _, written in pairs) if text is None else text
    cleaned, words = Redaction.of(patterns, "#").words(given_text, words_of(*pairs))
    assert [(word.start, word.end) for word in words] in ([], [(n, n + 1.0) for n in range(len(pairs))])
    return cleaned, [word.text for word in words]


class TestWhatIsFound:
    @pytest.mark.parametrize(
        ("pairs", "pattern", "text", "words"),
        [
            ([("hello", "Hello,"), ("john", "John.")], as_pattern("john"), "Hello, #.", ["Hello,", "#."]),
            ([("john's", "John's"), ("johnny", "Johnny")], as_pattern("john"), "#'s Johnny", ["#'s", "Johnny"]),
            ([("mary", "Mary"), ("ann", "Ann,"), ("hi", "hi")], as_pattern("mary ann"), "#, hi", ["#", "#,", "hi"]),
            ([("a", "a"), ("four", "4"), ("two", "2"), ("b", "b")], "four two", "a # b", ["a", "#", "#", "b"]),
            ([("four two", "42"), ("b", "b")], "four", "# b", ["#", "b"]),
            ([("a", "A"), ("b", "B")], "c", "A B", ["A", "B"]),
        ],
    )
    def test_text_and_words_are_redacted_alike(
        self, pairs: list[tuple[str, str]], pattern: str, text: str, words: list[str]
    ) -> None:
        """As written or as spoken; what stands around a find stays, and every word keeps its time."""
        assert redacted(pairs, pattern) == (text, words)

    def test_finds_that_touch_are_one(self) -> None:
        """Whichever patterns found them."""
        pairs = [("john", "John"), ("smith", "Smith")]
        assert redacted(pairs, as_pattern("john smith"), as_pattern("smith")) == ("#", ["#", "#"])

    def test_a_text_that_its_words_do_not_make_is_made_of_them(self) -> None:
        """Where the service formats a text apart from its words, the words win as soon as there is a find in them."""
        assert redacted([("a", "a"), ("secret", "secret")], "secret", text="A—secret!") == ("a #", ["a", "#"])

    def test_a_find_more_in_the_text_than_in_its_words_takes_all(self) -> None:
        """Its spoken form would be left, and nobody knows where."""
        pairs = [("twelve", "twelve"), ("thirty", "thirty"), ("ann", "Ann")]
        assert redacted(pairs, KINDS["digits"], as_pattern("ann"), text="1230 Ann") == ("#", [])

    def test_an_accent_may_be_typed_as_a_character_of_its_own(self) -> None:
        """As some systems do."""
        assert redacted([("café", "Café")], as_pattern("cafe\u0301")) == ("#", ["#"])

    @pytest.mark.parametrize("typed", ["o'brien", "o\u2019brien"])
    @pytest.mark.parametrize("written", ["O'Brien", "O\u2019Brien"])
    def test_an_apostrophe_may_be_any(self, typed: str, written: str) -> None:
        """A word processor makes it a curly one."""
        assert redacted([("hi", "Hi"), (written.lower(), written)], as_pattern(typed)) == ("Hi #", ["Hi", "#"])

    @pytest.mark.parametrize(
        ("said", "phrase", "text", "words"),
        [
            (
                ["\u6211\u8bf4", "\u4e2d\u6587", "\u597d"],
                "\u4e2d\u6587",
                "\u6211\u8bf4#\u597d",
                ["\u6211\u8bf4", "#", "\u597d"],
            ),
            (["\u6211\u8bf4\u4e2d\u6587"], "\u4e2d\u6587", "\u6211\u8bf4#", ["\u6211\u8bf4#"]),
            (["\u4e2d", "\u6587", "\u597d"], "\u4e2d\u6587", "#\u597d", ["#", "#", "\u597d"]),
            (["\u7528", "Visa", "\u4ed8"], "visa", "\u7528#\u4ed8", ["\u7528", "#", "\u4ed8"]),
            (["\u7528", "Visas"], "visa", "\u7528Visas", ["\u7528", "Visas"]),
        ],
    )
    def test_a_script_without_spaces(self, said: list[str], phrase: str, text: str, words: list[str]) -> None:
        """A word can begin and end between any two of its letters, and the text stays without spaces."""
        assert redacted([(word, word) for word in said], as_pattern(phrase), text="".join(said)) == (text, words)

    @pytest.mark.parametrize("number", ["4242424242424242", "4242 4242 4242 4242", "\u0967\u0968\u0969\u096a" * 4])
    def test_digits_of_any_script_between_any_letters(self, number: str) -> None:
        """A card number in the midst of Chinese, and one in the digits of India."""
        text = f"\u5361\u53f7{number}\u8c22\u8c22"
        assert redacted([(text, text)], KINDS["card"])[0] == "\u5361\u53f7#\u8c22\u8c22"

    def test_words_in_which_a_find_cannot_be_placed_are_left_out(self) -> None:
        """The safe direction."""
        assert redacted([("four", "four"), ("two", "two")], "42", text="It is 42.") == ("It is #.", [])

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("card", "4242 4242 4242 4242"),
            ("card", "4242-4242-4242-4242"),
            ("card", "four two four two four two four two four two four two four two four two"),
            ("phone", "+49 (30) 901820"),
            ("phone", "555-0199"),
            ("phone", "five five five oh one nine nine"),
            ("digits", "1234"),
            ("digits", "one two three"),
            ("email", "jane.doe@example.com"),
            ("email", "jane at example dot com"),
            ("email", "jane dot doe at example dot co dot uk"),
        ],
    )
    def test_kinds_are_found_written_and_spoken(self, kind: str, text: str) -> None:
        """With what people put between digits; what stands around stays."""
        assert Redaction.of([KINDS[kind]], "#").text(f"It is {text}, yes.") == "It is #, yes."

    @pytest.mark.parametrize("text", ["It is 12 o'clock.", "No one, too few.", "In a 4x4."])
    @pytest.mark.parametrize("kind", ["card", "phone", "digits", "email"])
    def test_a_few_digits_are_nothing(self, kind: str, text: str) -> None:
        """Not every number is a secret."""
        assert Redaction.of([KINDS[kind]], "#").text(text) == text

    @given(
        spoken=st.lists(st.sampled_from(["alpha", "beta", "secret", "Secret", "gamma"]), min_size=1, max_size=12),
        marks=st.lists(st.sampled_from(["", ",", ".", "?"]), min_size=12, max_size=12),
    )
    def test_nothing_is_left_and_nothing_else_is_taken(self, spoken: list[str], marks: list[str]) -> None:
        """Whatever is said: no secret stays anywhere, every other word stays in its place."""
        pairs = [(word.lower(), word + mark) for word, mark in zip(spoken, marks, strict=False)]
        text, words = redacted(pairs, as_pattern("secret"))

        assert "secret" not in (text + " ".join(words)).lower()
        assert len(words) == len(pairs)
        for (spoke, written), word in zip(pairs, words, strict=True):
            assert word == (written if spoke != "secret" else "#" + written[len(spoke) :])
        assert text == " ".join(words)


class TestOptions:
    def test_words_may_be_in_a_file(self, tmp_path: Path) -> None:
        """A word or a phrase in each line."""
        (tmp_path / "names.txt").write_text("john smith\n\nmary\n", encoding="utf-8")
        plugin = Redact(words_file=tmp_path / "names.txt")

        assert plugin.process_utterance(Utterance(0, 0.0, 1.0, "Mary, John Smith")).text == "[redacted], [redacted]"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ("", "there is nothing to redact"),
            ("word=", "there is nothing to redact"),
            ("pattern=(", "is not a regular expression"),
            ("pattern=x*", "fits the empty text"),
            ("words_file=nowhere.txt", "cannot be read"),
            ("kind=card,kind=iban", "allowed is card or phone or digits or email"),
            ("wrd=x", "did you mean 'word'?"),
        ],
    )
    def test_what_cannot_work_is_refused_when_configured(self, options: str, reason: str) -> None:
        """Not at the first secret."""
        with pytest.raises(PluginError) as caught:
            load_plugins([f"redact:{options}"])

        assert reason in str(caught.value)

    def test_turns_are_redacted_too(self) -> None:
        """Those of /v2/listen; an update has no words where only finals are shown."""
        plugin = Redact(word=("secret",))
        turn = TurnInfo(
            "EndOfTurn", 0, 0.0, 1.0, "A secret.", words_of(("a", "A"), ("secret", "secret.")), raw={"x": 1}
        )

        redacted = plugin.process_result(turn)
        assert redacted == attrs.evolve(
            turn, transcript="A [redacted].", words=words_of(("a", "A"), ("[redacted]", "[redacted]."))
        )
        assert redacted.raw == {}
        update = plugin.process_result(attrs.evolve(turn, event="Update"))
        assert (update.transcript, update.words) == ("", ())


def said(*texts: str) -> list[dict[str, Any]]:
    """An interim and a final for each text; the last final names an entity, and has found what was searched for."""
    messages = [make(text, float(number)) for number, text in enumerate(texts) for make in (interim, final)]
    entity = {"label": "PASSWORD", "value": "swordfish", "raw_value": "swordfish", "confidence": 0.9}
    messages[-1]["entities"] = [{**entity, "start_word": 0, "end_word": 1}]
    hit = {"confidence": 0.9, "start": 0.0, "end": 1.0, "snippet": "the swordfish"}
    messages[-1]["channel"]["search"] = [{"query": "fish", "hits": [hit]}]
    return messages


@pytest.mark.parametrize("results", ["none", "finals", "all"])
def test_a_secret_is_nowhere(
    results: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in what plugins, files, logs, those who pull and the caller see."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    heard: list[object] = []

    class Ear:
        @hookimpl
        def on_message(self, message: object) -> None:
            heard.append(message)

        @hookimpl
        def on_close(self, transcript: object) -> None:
            heard.append(transcript)

    plugins = ["jsonl:path=all.jsonl", "text:path=all.txt", "log", Ear(), f"redact:word=swordfish,results={results}"]
    with serving(obedient(*said("the password is swordfish", "good bye"), metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=plugins)
        with client:
            client.send(b"audio")
    events: list[Event] = list(client.events())

    everything = [*events, *heard, client.transcript.to_dict(), caplog.text]
    everything += [getattr(one, "raw", None) for one in [*events, *heard]]  # which no repr shows
    everything += [path.read_text("utf-8") for path in tmp_path.iterdir()]
    assert "swordfish" not in repr(everything)
    assert client.transcript.text == "the password is [redacted] good bye"
    assert (tmp_path / "all.txt").read_text("utf-8") == "the password is [redacted]\ngood bye\n"
    shown = [bool(event["text"]) for event in _lines(tmp_path / "all.jsonl") if event["event"] in ("interim", "final")]
    assert shown == {"none": [False] * 4, "finals": [False, True] * 2, "all": [True] * 4}[results]


@pytest.mark.parametrize(("required", "text"), [("yes", "[withheld]"), ("no", "the password is swordfish")])
def test_what_could_not_be_redacted_is_withheld(required: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the plugin fail, unless its user has said otherwise."""
    monkeypatch.delattr(Redaction, "words")
    with serving(obedient(final("the password is swordfish", 0.0), metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[f"redact:word=swordfish,required={required}"])
        with client:
            client.send(b"audio")

    assert client.transcript.text == text


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
