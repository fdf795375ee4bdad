"""The plugin ``redact``: takes words out before any other plugin, the caller or the transcript sees them."""

from pathlib import Path
from typing import Literal

import attrs
from attrs import define, field

from streamclient import Alternative, LanePolicy, Results, TurnInfo, Utterance, hookimpl
from streamclient_plugins.redaction import KINDS, Redaction, as_pattern

__all__ = ["Redact"]


@define(eq=False, kw_only=True)
class Redact:
    """Take card numbers, names and the like out of what all others see."""

    word: tuple[str, ...] = field(default=(), metadata={"help": "A word or a phrase, whatever its case."})
    words_file: Path | None = field(default=None, metadata={"help": "File with a word or a phrase in each line."})
    pattern: tuple[str, ...] = field(default=(), metadata={"help": "A regular expression, whatever the case."})
    kind: tuple[Literal["card", "phone", "digits", "email"], ...] = field(
        default=(),
        metadata={
            "help": "Numbers of 12 to 19, 7 to 15 or at least 3 digits, written or spoken (English), or addresses."
        },
    )
    replacement: str = field(default="[redacted]", metadata={"help": "What stands in place of each find."})
    results: Literal["none", "finals", "all"] = field(
        default="finals",
        metadata={"help": "Which results keep their words, redacted; the others are without words for all plugins."},
    )
    required: bool = field(
        default=True, metadata={"help": "Withhold the words of what could not be redacted, should this plugin fail."}
    )
    _redaction: Redaction = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        phrases = [*self.word, *_phrases(self.words_file)]
        patterns = [*map(as_pattern, phrases), *self.pattern, *(KINDS[kind] for kind in self.kind)]
        if not patterns or not all(phrase.strip() for phrase in phrases):
            raise ValueError("there is nothing to redact; give at least one word, words_file, pattern or kind")
        self._redaction = Redaction.of(patterns, self.replacement)

    @property
    def lane_policy(self) -> LanePolicy:
        """What is not redacted is withheld, unless the user has said otherwise."""
        return LanePolicy(required=self.required)

    @hookimpl
    def process_utterance(self, utterance: Utterance) -> Utterance:
        """Redact it."""
        text, words = self._redaction.words(utterance.text, utterance.words)
        return attrs.evolve(utterance, text=text, words=words)

    @hookimpl
    def process_result(self, result: Results | TurnInfo) -> Results | TurnInfo:
        """Redact it, or take its words."""
        shown = self.results == "all" or (self.results == "finals" and result.is_final)
        if isinstance(result, TurnInfo):
            text, words = self._redaction.words(result.transcript, result.words) if shown else ("", ())
            return attrs.evolve(result, transcript=text, words=words, raw={})
        return attrs.evolve(
            result,
            alternatives=tuple(map(self._alternative, result.alternatives)) if shown else (),
            # An entity names words by their numbers and repeats their text, as what was searched for does.
            entities=(),
            search=(),
            raw={},
        )

    def _alternative(self, alternative: Alternative) -> Alternative:
        text, words = self._redaction.words(alternative.transcript, alternative.words)
        return attrs.evolve(alternative, transcript=text, words=words)


def _phrases(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"words_file={str(file)!r} cannot be read: {error}") from error
    return [line for line in lines if line.strip()]
