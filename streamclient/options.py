"""What to ask the service for: every documented parameter a typed, validated field.

Sources: Deepgram's reference of ``/v1/listen`` and ``/v2/listen`` and the feature page of each parameter.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode, urlsplit

import attrs
from attrs import field, frozen

from streamclient.audio import AudioClock
from streamclient.errors import OptionsError

__all__ = ["FluxOptions", "ListenOptions", "QueryValue"]

QueryValue = bool | int | float | str | list[bool | int | float | str]

RAW_ENCODINGS = (
    "linear16", "linear32", "flac", "alaw", "mulaw", "amr-nb", "amr-wb", "opus", "ogg-opus", "speex", "g729",
)  # fmt: skip
FLUX_ENCODINGS = ("linear16", "linear32", "mulaw", "alaw", "opus", "ogg-opus")
FLUX_LANGUAGES = ("en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl")
REDACTIONS = ("true", "false", "numbers", "aggressive_numbers", "pci", "ssn")
MOST_KEYTERM_TOKENS = 500

Check = Callable[[Any], bool]


def _refuse(owner: object, name: str, value: object, allowed: str) -> OptionsError:
    return OptionsError(f"{type(owner).__name__}.{name}={value!r} is not allowed; allowed is {allowed}")


def _option(allowed: str, fits: Check, *, converter: Any = None, default: Any = None) -> Any:
    """One query parameter: ``None`` (or an empty list) leaves it out and so leaves the default to the service."""

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and not fits(value):
            raise _refuse(instance, attribute.name, value, allowed)

    return field(
        default=default,
        converter=converter,
        validator=check,
        metadata={"allowed": allowed},
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flag() -> Any:
    return _option("True or False", lambda value: isinstance(value, bool))


def _text(*, default: str | None = None) -> Any:
    def fits(value: Any) -> bool:
        return isinstance(value, str) and bool(value) and value == value.strip()

    return _option("a text that is not empty", fits, default=default)


def _choice(choices: Iterable[str]) -> Any:
    choices = tuple(choices)
    return _option("one of " + ", ".join(choices), lambda value: value in choices)


def _whole(least: int, most: int | None = None) -> Any:
    allowed = f"a whole number from {least} to {most}" if most else f"a whole number, at least {least}"

    def fits(value: Any) -> bool:
        return _is_whole(value) and value >= least and (most is None or value <= most)

    return _option(allowed, fits)


def _ratio(least: float, most: float) -> Any:
    def fits(value: Any) -> bool:
        return _is_number(value) and least <= value <= most

    return _option(f"a number from {least:g} to {most:g}", fits)


def _as_terms(value: Any) -> Any:
    """A bare text is one term; anything that can be gone through becomes a tuple."""
    if value is None:
        return ()
    if isinstance(value, str | bool):
        return (value,)
    return tuple(value) if isinstance(value, Iterable) else (value,)


def _terms(*, most: int | None = None, longest: int | None = None) -> Any:
    allowed = "a text or a list of texts that are not empty"
    allowed += f", at most {most}" if most else ""
    allowed += f", each at most {longest} characters" if longest else ""

    def fits_one(term: Any) -> bool:
        return isinstance(term, str) and bool(term.strip()) and (longest is None or len(term) <= longest)

    def fits(value: tuple[Any, ...]) -> bool:
        return all(map(fits_one, value)) and (most is None or len(value) <= most)

    return _option(allowed, fits, converter=_as_terms, default=())


def _as_redactions(value: Any) -> Any:
    return tuple(str(kind).lower() if isinstance(kind, bool) else kind for kind in _as_terms(value))


def _redactions(choices: tuple[str, ...]) -> Any:
    return _option(
        "one or several of " + ", ".join(choices),
        lambda value: all(kind in choices for kind in value),
        converter=_as_redactions,
        default=(),
    )


def _as_pairs(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(f"{key}:{content}" for key, content in value.items())
    return _as_terms(value)


def _extra_pairs() -> Any:
    def fits(value: tuple[Any, ...]) -> bool:
        return all(isinstance(pair, str) and ":" in pair[1:] and len(pair) <= 2048 for pair in value)

    allowed = "a mapping of texts, or texts like 'key:value', each at most 2048 characters"
    return _option(allowed, fits, converter=_as_pairs, default=())


def _as_query(value: Any) -> Any:
    """A copy, lists and all: what the caller does to its own afterwards changes nothing."""
    if not isinstance(value, Mapping):
        return value
    return {name: list(one) if isinstance(one, list | tuple) else one for name, one in value.items()}


def _extra_query() -> Any:
    def fits_one(value: Any) -> bool:
        return isinstance(value, bool | int | float | str)

    def fits(query: Any) -> bool:
        return isinstance(query, dict) and all(
            isinstance(name, str)
            and name
            and (fits_one(value) or (isinstance(value, list) and all(map(fits_one, value))))
            for name, value in query.items()
        )

    return field(
        factory=dict,
        converter=_as_query,
        validator=lambda instance, attribute, value: _require(fits(value), instance, attribute.name, value),
        hash=False,
        metadata={"allowed": "a mapping of names to bool, number, text or a list of those"},
    )


def _require(fits: bool, owner: object, name: str, value: object) -> None:
    if not fits:
        raise _refuse(owner, name, value, "a mapping of names to bool, number, text or a list of those")


def _word(value: bool | float | str) -> str:
    """Booleans are lower-case words on the wire; ``True`` would be refused."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(value: Any) -> list[str]:
    return [_word(one) for one in value] if isinstance(value, list | tuple) else [_word(value)]


@frozen(kw_only=True)
class _Options:
    path: ClassVar[str]
    extra_query: Mapping[str, QueryValue] = _extra_query()

    def query_pairs(self) -> list[tuple[str, str]]:
        """The query string as pairs; a list repeats its name (``keyterm=a&keyterm=b``)."""
        fields = attrs.asdict(self, recurse=False, filter=lambda attribute, _: attribute.name != "extra_query")
        chosen = {name: value for name, value in fields.items() if value is not None and value != ()}
        return [(name, word) for name, value in {**chosen, **self.extra_query}.items() for word in _words(value)]

    def query_string(self) -> str:
        """The query string as it goes into the URL."""
        return urlencode(self.query_pairs())

    def _require_raw_format(self, encoding: str | None, sample_rate: int | None) -> None:
        if encoding is None and sample_rate is not None:
            raise OptionsError(
                f"{type(self).__name__}.sample_rate={sample_rate} is only read with encoding",
                hint="Name the encoding of raw audio, or leave out both for audio in a container (WAV, Ogg, WebM).",
            )
        if encoding not in (None, "g729") and sample_rate is None:
            raise OptionsError(
                f"{type(self).__name__}.sample_rate=None is not allowed with encoding={encoding!r}",
                hint="Raw audio does not say it itself: give its samples per second, for example sample_rate=16000.",
            )


class _UnknownOption(OptionsError, TypeError):
    """A name that is no parameter: a wrong call, as Python sees it."""


_Kind = TypeVar("_Kind", bound=_Options)


def _naming_the_nearest(options: type[_Kind]) -> type[_Kind]:
    """A misspelt parameter is refused with the one that was meant."""
    make, names = options.__init__, attrs.fields_dict(options)
    make.__annotations__.update({name: each.type for name, each in names.items()})  # a converter's are no help

    @wraps(make)
    def init(self: _Kind, **values: Any) -> None:
        for name in values:
            if name not in names:
                close = get_close_matches(name, names, n=1)
                raise _UnknownOption(
                    f"{options.__name__} has no {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
                    hint="A parameter that this version does not know goes into extra_query.",
                )
        make(self, **values)

    options.__init__ = init  # type: ignore[assignment]  # the same call, with a better error
    return options


@_naming_the_nearest
@frozen(kw_only=True)
class ListenOptions(_Options):
    """What to ask of ``/v1/listen`` (Nova, Enhanced, Base and custom models).

    ``None``, or an empty list, leaves a parameter out; the service's own default then holds. A bare text given for
    a list is one term.

    Args:
        model: the model, or the id of a custom one.
        version: version of the model.
        language: BCP-47 tag of the spoken language (``en-US``), or ``multi`` for several.
        encoding: encoding of raw audio; none for audio in a container.
        sample_rate: samples per second of raw audio, in Hz.
        channels: interleaved channels of raw audio.
        multichannel: transcribe each channel on its own (20 at most).
        interim_results: send preliminary results while speech goes on.
        endpointing: milliseconds of silence that end an utterance (speech_final); ``False`` switches it off.
        utterance_end_ms: milliseconds without a word after which UtteranceEnd is sent; needs interim_results.
        vad_events: send SpeechStarted.
        punctuate: add punctuation and capitals.
        smart_format: make numbers, dates and the like readable; implies punctuate.
        numerals: write numbers as digits.
        dictation: turn spoken punctuation ("comma") into marks; needs punctuate.
        profanity_filter: mask or remove profanity.
        diarize: tell speakers apart; diarize_model is the newer way to ask for it.
        diarize_model: tell speakers apart with this diarizer.
        detect_entities: mark entities in finals.
        redact: what to redact.
        keyterm: terms to expect (Nova-3), 500 tokens at most.
        keywords: words to expect, or ``word:boost`` (Nova-2 and older).
        search: terms to look for in the audio.
        replace: replacements like ``find:replacement``, or ``find`` alone to delete.
        extra: facts of your own that come back in the results' metadata.
        tag: labels for the usage report.
        callback: URL to which the service sends the results, instead of to this client.
        callback_method: HTTP method of the callback.
        mip_opt_out: opt out of the model improvement program.
        no_delay: do not hold finals back for formatting.
        filler_words: keep filler words (uh, um).
        alternatives: how many readings a result may have.
        extra_query: any other parameters, sent as they are; they win over fields of the same name.

    Raises:
        OptionsError: a wrong value, or values that do not go together; the message says what is allowed.
    """

    path: ClassVar[str] = "/v1/listen"

    model: str = _text(default="nova-3")
    version: str | None = _text()
    language: str | None = _text()
    encoding: str | None = _choice(RAW_ENCODINGS)
    sample_rate: int | None = _whole(1)
    channels: int | None = _whole(1)
    multichannel: bool | None = _flag()
    interim_results: bool | None = _flag()
    endpointing: int | bool | None = _option(
        "True, False, or a whole number of milliseconds, at least 0",
        lambda value: isinstance(value, bool) or (_is_whole(value) and value >= 0),
    )
    utterance_end_ms: int | None = _whole(1000, 5000)
    vad_events: bool | None = _flag()
    punctuate: bool | None = _flag()
    smart_format: bool | None = _flag()
    numerals: bool | None = _flag()
    dictation: bool | None = _flag()
    profanity_filter: bool | None = _flag()
    diarize: bool | None = _flag()
    diarize_model: str | None = _choice(("latest", "v1"))
    detect_entities: bool | None = _flag()
    redact: Sequence[str] | bool = _redactions(REDACTIONS)
    keyterm: Sequence[str] = _terms()
    keywords: Sequence[str] = _terms(most=100)
    search: Sequence[str] = _terms(most=50)
    replace: Sequence[str] = _terms()
    extra: Sequence[str] | Mapping[str, str] = _extra_pairs()
    tag: Sequence[str] = _terms(longest=128)
    callback: str | None = _text()
    callback_method: str | None = _choice(("POST", "GET", "PUT", "DELETE"))
    mip_opt_out: bool | None = _flag()
    no_delay: bool | None = _flag()
    filler_words: bool | None = _flag()
    alternatives: int | None = _whole(1)

    def __attrs_post_init__(self) -> None:
        if self.model is None:
            raise _refuse(self, "model", None, "the name of a model")
        self._require_raw_format(self.encoding, self.sample_rate)
        self._require_possible_audio()
        self._require_possible_features()
        self._require_terms_for_model()
        self._require_callback_address()

    @property
    def clock(self) -> AudioClock:
        """How bytes of this audio become seconds."""
        return AudioClock.of(self.encoding, self.sample_rate, self.channels)

    def _require_possible_audio(self) -> None:
        amr_rate = {"amr-nb": 8000, "amr-wb": 16000}.get(self.encoding or "")
        if amr_rate and self.sample_rate != amr_rate:
            raise _refuse(self, "sample_rate", self.sample_rate, f"{amr_rate} with encoding={self.encoding!r}")
        if self.encoding is None and self.channels is not None:
            raise _refuse(self, "channels", self.channels, "only together with encoding")
        if self.multichannel and (self.channels or 1) > 20:
            raise _refuse(self, "channels", self.channels, "at most 20 with multichannel")

    def _require_possible_features(self) -> None:
        if self.utterance_end_ms is not None and not self.interim_results:
            raise _refuse(self, "utterance_end_ms", self.utterance_end_ms, "only together with interim_results=True")
        if self.dictation and not (self.punctuate or self.smart_format):
            raise _refuse(self, "dictation", True, "only together with punctuate=True")
        if self.diarize is not None and self.diarize_model is not None:
            raise _refuse(self, "diarize_model", self.diarize_model, "only one of diarize and diarize_model")

    def _require_terms_for_model(self) -> None:
        if self.model.startswith("flux"):
            raise OptionsError(f"ListenOptions.model={self.model!r} is a Flux model", hint="Use FluxOptions for it.")
        if self.keywords and self.model.startswith("nova-3"):
            raise OptionsError(
                f"ListenOptions.keywords={self.keywords!r} is not supported by {self.model}",
                hint="Use keyterm.",
            )
        if self.keyterm and re.match(r"(nova-2|nova|enhanced|base)(-(?!3)|$)", self.model):
            raise OptionsError(
                f"ListenOptions.keyterm={self.keyterm!r} is not supported by {self.model}",
                hint="Use keywords, or a Nova-3 model.",
            )
        require_few_tokens("ListenOptions.keyterm", self.keyterm)

    def _require_callback_address(self) -> None:
        if self.callback is None:
            return
        try:
            address = urlsplit(self.callback)
            fits = address.scheme in ("http", "https", "ws", "wss") and bool(address.hostname)
            fits = fits and address.port in (None, 80, 443, 8080, 8443)
        except ValueError:
            fits = False
        if not fits:
            raise _refuse(self, "callback", self.callback, "an http or ws URL, port 80, 443, 8080 or 8443")


def require_few_tokens(name: str, terms: Sequence[str]) -> None:
    """A term has at least as many tokens as words, so this finds sure excess; the service counts exactly.

    Raises:
        OptionsError: too many, by the name of what has them.
    """
    words = sum(len(term.split()) for term in terms)
    if words > MOST_KEYTERM_TOKENS:
        raise OptionsError(f"{name} has {words} words; allowed is {MOST_KEYTERM_TOKENS} tokens in all")


@_naming_the_nearest
@frozen(kw_only=True)
class FluxOptions(_Options):
    """What to ask of ``/v2/listen`` (Flux: turns of a conversation).

    ``None``, or an empty list, leaves a parameter out.

    Args:
        model: the model; it decides the language.
        encoding: encoding of raw audio; none for audio in a container.
        sample_rate: samples per second of raw audio, in Hz.
        eot_threshold: confidence that ends a turn.
        eager_eot_threshold: confidence that may end a turn early.
        eot_timeout_ms: milliseconds of silence that end a turn in any case.
        keyterm: terms to expect, 500 tokens at most.
        language_hint: languages to expect (flux-general-multi).
        profanity_filter: mask or remove profanity.
        numerals: write numbers as digits.
        redact: what to redact.
        mip_opt_out: opt out of the model improvement program.
        tag: labels for the usage report.
        extra_query: any other parameters, sent as they are; they win over fields of the same name.

    Raises:
        OptionsError: a wrong value, or values that do not go together; the message says what is allowed.
    """

    path: ClassVar[str] = "/v2/listen"

    model: str = _choice(("flux-general-en", "flux-general-multi"))
    encoding: str | None = _choice(FLUX_ENCODINGS)
    sample_rate: int | None = _option(
        "8000, 16000, 24000, 44100 or 48000",
        lambda value: _is_whole(value) and value in (8000, 16000, 24000, 44100, 48000),
    )
    eot_threshold: float | None = _ratio(0.5, 1.0)
    eager_eot_threshold: float | None = _ratio(0.3, 0.9)
    eot_timeout_ms: int | None = _whole(500, 60000)
    keyterm: Sequence[str] = _terms()
    language_hint: Sequence[str] = _terms()
    profanity_filter: bool | None = _flag()
    numerals: bool | None = _flag()
    redact: Sequence[str] | bool = _redactions(("numbers", "aggressive_numbers"))
    mip_opt_out: bool | None = _flag()
    tag: Sequence[str] = _terms(longest=128)

    def __attrs_post_init__(self) -> None:
        self._require_raw_format(self.encoding, self.sample_rate)
        if self.model is None:
            raise _refuse(self, "model", None, "flux-general-en or flux-general-multi")
        if self.eager_eot_threshold is not None and self.eager_eot_threshold > (self.eot_threshold or 0.7):
            raise _refuse(self, "eager_eot_threshold", self.eager_eot_threshold, "at most eot_threshold")
        self._require_possible_languages()
        require_few_tokens("FluxOptions.keyterm", self.keyterm)

    @property
    def clock(self) -> AudioClock:
        """How bytes of this audio become seconds; Flux hears one channel."""
        return AudioClock.of(self.encoding, self.sample_rate, 1)

    def _require_possible_languages(self) -> None:
        if self.language_hint and self.model != "flux-general-multi":
            raise _refuse(self, "language_hint", self.language_hint, "only together with model='flux-general-multi'")
        for hint in self.language_hint:
            if hint.split("-")[0].lower() not in FLUX_LANGUAGES:
                raise _refuse(self, "language_hint", hint, "one of " + ", ".join(FLUX_LANGUAGES))
