"""Where a reader expects a line or a caption to end: what punctuation, silence and small words say.

The costs are in the same unit as those of `streamclient_plugins.captions.cues`.
"""

import re

from streamclient_plugins.captions.words import TimedWord

__all__ = ["break_cost", "inside_cost"]

AFTER_SENTENCE, AFTER_CLAUSE, BEFORE_LEANING, ANYWHERE, INSIDE_UNSPACED, AFTER_LEANING = 0.0, 1.0, 3.0, 5.0, 6.0, 12.0
"""What a break costs, by where it is."""
SENTENCE_INSIDE = 5.0
"""A sentence that ends inside a caption."""
SILENCE = 18.0
"""A second of silence: so much cheaper is a break there, and so much dearer a caption that goes on over it."""
BREATH = 0.3
"""Seconds of silence that interrupt nothing."""

CLOSING = "[\"'\u2019\u201d\u00bb\u203a)\\]}\u300d\u300f\uff09]*$"
SENTENCE_END = re.compile("[.!?\u2026\u3002\uff01\uff1f\uff0e\u061f\u06d4\u0964\u0965]" + CLOSING)
CLAUSE_END = re.compile("[,;:\u2013\u2014\u060c\u061b\u3001\uff0c\uff1a\uff1b-]" + CLOSING)
ABBREVIATION = re.compile(
    r"(?:[^\W\d]|mr|mrs|ms|dr|prof|rev|st|jr|sr|vs|no|nr|vol|fig|bzw|ca|e\.g|i\.e|z\.b|d\.h)\.", re.IGNORECASE
)
"""A full stop after one of these, or after a single letter, ends no sentence."""

OPENING = "\"'\u201c\u2018\u201e\u00ab\u2039\u00bf\u00a1([."

ENGLISH = """
    a an the and but or nor so yet because although though while if when where who which that than as at by for from in
    into of off on onto over to under up with without about after before between during through until since not no my
    your his her its our their this these those is are was were be been am has have had do does did will would shall
    should can could may might must i you he she it we they there mr mrs ms dr very more most how what why
    much many some any every each such too quite rather just only
"""
GERMAN = """
    der die das den dem des ein eine einen einem einer eines und oder aber weil dass wenn als wie zu mit von vom zum zur
    im am ist sind nicht kein keine ich du er sie es wir ihr für auf aus bei nach über unter vor durch
"""
FRENCH = """
    le la les un une des du de et ou mais donc car que qui dont où dans par pour sur avec sans sous est sont je tu il
    elle nous vous ils elles ne au aux ce cette ces mon ma mes son sa ses leur
"""
SPANISH = """
    el los las lo una unos unas y o pero porque si en con sin sobre por para del al es mi tu su que como cuando
"""
ITALIAN = """
    il gli i uno e ma perché se con su per tra fra di da dal della del nel nella non mi ti ci vi suo sua
"""
PORTUGUESE = """
    o os as um uma uns umas mas em na nos nas da dos das com sem ao à não eu ele ela
"""
DUTCH = """
    de het een en of maar want omdat dat als in op aan met van voor door bij naar niet ik jij hij zij wij
"""
LEANING = frozenset("".join((ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, PORTUGUESE, DUTCH)).split())
"""Words that belong to what follows them: articles, prepositions, conjunctions, pronouns, auxiliaries."""


def break_cost(before: TimedWord, after: TimedWord) -> float:
    """Of ending a line or a caption between these two."""
    return max(_grammar_cost(before, after) - SILENCE * _silence(before, after), 0.0)


def inside_cost(before: TimedWord, after: TimedWord) -> float:
    """Of keeping these two in one caption."""
    silence = SILENCE * max(_silence(before, after) - BREATH, 0.0)
    return silence + (SENTENCE_INSIDE if _ends_sentence(before) else 0.0)


def _silence(before: TimedWord, after: TimedWord) -> float:
    return max(after.start - before.end, 0) / 1000


def _grammar_cost(before: TimedWord, after: TimedWord) -> float:
    if _ends_sentence(before):
        return AFTER_SENTENCE
    if CLAUSE_END.search(before.text):
        return AFTER_CLAUSE
    if _leans(before):
        return AFTER_LEANING
    if _leans(after):
        return BEFORE_LEANING
    return ANYWHERE if after.spaced else INSIDE_UNSPACED


def _ends_sentence(word: TimedWord) -> bool:
    return bool(SENTENCE_END.search(word.text)) and not ABBREVIATION.fullmatch(word.text)


def _leans(word: TimedWord) -> bool:
    return word.text.strip(OPENING).lower() in LEANING
