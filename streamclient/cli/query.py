"""From words on the command line and in files to the options of a stream."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import attrs

from streamclient.errors import OptionsError
from streamclient.options import ListenOptions
from streamclient.sources.files import RawFormat

__all__ = ["DEFAULTS", "parse_parameters", "raw_format", "to_options", "unknown_parameters"]

DEFAULTS: Mapping[str, Any] = {"smart_format": True, "endpointing": 300}
"""What readers of a transcript want and the service does not do by itself: punctuation, and lines that do not end at
every breath (its default is 10 ms of silence)."""

RAW = ("encoding", "sample_rate", "channels")
FIELDS = {one.name: one for one in attrs.fields(ListenOptions) if one.name != "extra_query"}
TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_parameters(words: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` words; one name several times makes a list.

    Raises:
        OptionsError: a word has another form.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise OptionsError(
                f"-o {word!r} is not of the form NAME=VALUE",
                hint="For example: -o keyterm=Deepgram. A file to write is named with --out",
            )
        found.setdefault(name.strip().replace("-", "_"), []).append(value)
    return {name: _typed(name, values) for name, values in found.items()}


def _typed(name: str, values: list[str]) -> Any:
    """In the field's own type; what does not fit stays text, and the field refuses it by name."""
    if name not in FIELDS:
        return values if len(values) > 1 else values[0]
    kinds = get_args(FIELDS[name].type)
    if FIELDS[name].default == ():
        return tuple(values)
    if len(values) > 1:
        raise OptionsError(f"-o {name} is given {len(values)} times; it has one value")
    return _read(values[0], kinds or (FIELDS[name].type,))


def _read(word: str, kinds: tuple[Any, ...]) -> bool | int | str:
    if bool in kinds and word.lower() in TRUTHS:
        return TRUTHS[word.lower()]
    if int in kinds and re.fullmatch(r"[+-]?\d+", word):
        return int(word)
    return word


def unknown_parameters(names: Iterable[str]) -> list[str]:
    """A sentence for each parameter that is probably misspelt; it is sent all the same, being perhaps a newer one."""
    sentences = []
    for name in names:
        close = get_close_matches(name, FIELDS, n=1, cutoff=0.75)
        if name not in FIELDS and close:
            sentences.append(f"{name!r} is sent as it is, being no known parameter; did you mean {close[0]!r}?")
    return sentences


def raw_format(parameters: Mapping[str, Any]) -> RawFormat | None:
    """What the parameters say of raw audio; ``None`` for audio in a container.

    Raises:
        OptionsError: a rate or a number of channels without an encoding, or a wrong value.
    """
    given = {name: parameters[name] for name in RAW if parameters.get(name) is not None}
    ListenOptions(**given)
    return RawFormat(**given) if given else None


def to_options(parameters: Mapping[str, Any], raw: RawFormat | None) -> ListenOptions:
    """The options of a stream of audio in this format.

    Raises:
        OptionsError: a value is wrong, or two do not go together.
    """
    if str(parameters.get("model", "")).startswith("flux"):
        raise OptionsError(
            f"The model {parameters['model']} speaks another protocol (/v2/listen), which transcribe does not",
            hint="Use a Nova model, for example nova-3.",
        )
    chosen = {**DEFAULTS, **parameters, **dict.fromkeys(RAW), **(attrs.asdict(raw) if raw else {})}
    known = {name: value for name, value in chosen.items() if name in FIELDS}
    extra = {name: value for name, value in chosen.items() if name not in FIELDS}
    return ListenOptions(**known, extra_query=extra)
