"""What a client asks for in the URL of ``/v1/listen``, and the refusal of what makes no sense.

The names, values and combinations are those of Deepgram's "Live Audio" reference. Names this server does not know
are ignored, as the service does.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from streamclient.server.audio import ENCODINGS, AudioFormat
from streamclient.server.channel import ChannelSettings
from streamclient.server.pcm import MAX_CHANNELS, MAX_RATE, MIN_RATE
from streamclient.server.wording import Replacement, Wording

__all__ = ["TOO_MANY_KEYTERMS", "Callback", "ListenRequest", "Refusal", "are_few", "invalid", "parse_request"]

T = TypeVar("T")

RATES = {"amr-nb": (8_000,), "amr-wb": (16_000,), "g729": (8_000,), "speex": (8_000, 16_000, 32_000)}
"""Of encodings that have no others."""
MODEL = re.compile(
    r"(nova-3|nova-2|nova|enhanced|base)(-[a-z]+)?|general|meeting|phonecall|finance|conversationalai|voicemail|video"
    r"|medical|custom|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
FLUX = re.compile(r"flux[a-z0-9-]*")
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
SWITCHES = (
    "multichannel", "interim_results", "vad_events", "punctuate", "smart_format", "numerals", "dictation",
    "profanity_filter", "diarize", "detect_entities", "mip_opt_out", "no_delay", "filler_words",
)  # fmt: skip
MAX_KEYTERM_TOKENS = 500
TOO_MANY_KEYTERMS = "Keyterm limit exceeded. The maximum number of tokens across all keyterms is 500."
MAX_FIELDS = 2_000
"""Of a query: as many as all limits below allow, and some more."""
MOST = {"keywords": 100, "search": 50, "replace": 200}
"""How often a name may be repeated."""
LONGEST = {"tag": 128, "extra": 2048}
"""Characters of one value."""
CALLBACK_METHODS = ("POST", "GET", "PUT", "DELETE")
CALLBACK_SCHEMES = ("http", "https", "ws", "wss")
WITHOUT_EFFECT = (
    "dictation", "profanity_filter", "diarize", "diarize_model", "detect_entities", "redact", "filler_words",
    "alternatives", "version",
)  # fmt: skip
"""What the service can do and no engine here does."""


class Refusal(Exception):
    """The request is not served.

    Attributes:
        status: of the HTTP response.
        code: ``err_code`` of its body.
        message: ``err_msg`` of its body, and its header ``dg-error``.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@attrs.frozen
class Callback:
    """Where results are to go instead of the websocket.

    Attributes:
        url: an address of HTTP or of a websocket.
        method: of HTTP.
        inspect: whether they go to the websocket too.
    """

    url: str
    method: str = "POST"
    inspect: bool = False


@attrs.frozen
class ListenRequest:
    """A request for ``/v1/listen`` that makes sense.

    Attributes:
        model: what was asked for; this server recognises with what it has.
        language: BCP-47 tag.
        audio: its encoding, rate and channels, as far as they are not in the audio itself.
        multichannel: whether channels are recognised separately.
        punctuate: whether words carry ``punctuated_word``.
        channel: what concerns each channel.
        terms: to be expected: keyterms and keywords, without weights.
        wording: what is done to the words.
        callback: where results go, if not to the websocket.
        extra: to be echoed in results.
        tags: for the log.
        without_effect: names of what was asked for and is not done here, whatever the engine.
    """

    model: str = "base"
    language: str = "en"
    audio: AudioFormat = AudioFormat()
    multichannel: bool = False
    punctuate: bool = False
    channel: ChannelSettings = ChannelSettings()
    terms: tuple[str, ...] = ()
    wording: Wording = Wording()
    callback: Callback | None = None
    extra: Mapping[str, str] = attrs.field(factory=dict)
    tags: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()


def parse_request(target: str) -> ListenRequest:
    """Read the target of a request (path and query).

    Raises:
        Refusal: with the status, code and text of the service.
    """
    path, _, text = target.partition("?")
    if path != "/v1/listen":
        raise Refusal(404, "NOT_FOUND", f"There is nothing at {path[:100]!r}; live transcription is at /v1/listen.")
    query = Query(_parse_query(text))
    switches = {name: query.read(name, boolean, False) for name in SWITCHES}
    model = _model(query)
    _check_terms(query, model)
    _check_diarization(query)
    _check_sizes(query)
    return ListenRequest(
        model=model,
        language=query.read("language", language, "en"),
        audio=_audio(query),
        multichannel=switches["multichannel"],
        punctuate=any(switches[name] for name in ("punctuate", "smart_format", "detect_entities")),
        channel=ChannelSettings(
            interim_results=switches["interim_results"],
            endpointing=query.read("endpointing", endpointing, ChannelSettings().endpointing),
            utterance_end=_utterance_end(query, interim_results=switches["interim_results"]),
            vad_events=switches["vad_events"],
        ),
        terms=(*query.all("keyterm"), *(term.partition(":")[0] for term in query.all("keywords"))),
        wording=Wording(
            replacements=tuple(Replacement.parse(text) for text in query.all("replace")),
            search=query.all("search"),
            numerals=switches["numerals"] or switches["smart_format"],
        ),
        callback=_callback(query),
        extra=dict(pair.partition(":")[::2] for pair in query.all("extra")),
        tags=query.all("tag"),
        without_effect=tuple(name for name in WITHOUT_EFFECT if query.all(name)[-1:] not in ((), ("false",))),
    )


def _parse_query(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise invalid(f"The query has more than {MAX_FIELDS} parameters.") from None


@attrs.frozen
class Query:
    """The names and values of a query string."""

    values: Mapping[str, Sequence[str]]

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a name that may be repeated; an empty one says nothing."""
        return tuple(value for value in self.values.get(name, ()) if value)

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """Read one value; a wrong one is refused with what ``parse`` says is allowed."""
        if name not in self.values:
            return default
        given = self.values[name]
        if len(given) > 1:
            raise invalid(f"`{name}` was given {len(given)} times; once is allowed.")
        try:
            return parse(given[0])
        except ValueError as error:
            raise invalid(f"`{name}` must be {error}; it is {given[0]!r:.100}.") from None


def invalid(message: str) -> Refusal:
    """A value or combination that is not allowed."""
    return Refusal(400, "INVALID_QUERY_PARAMETER", message)


def boolean(text: str) -> bool:
    """Only the lower-case words are booleans."""
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def language(text: str) -> str:
    """Check the form of a language tag."""
    if not LANGUAGE.fullmatch(text):
        raise ValueError("a BCP-47 language tag such as en-US, or multi")
    return text


def integer(lowest: int, highest: int, unit: str) -> Callable[[str], int]:
    """Make a reader of whole numbers between two bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            raise ValueError(f"a whole number of {unit} from {lowest} to {highest}")
        return int(text)

    return parse


def endpointing(text: str) -> float | None:
    """Read milliseconds, ``true`` (the default length) or ``false`` (never)."""
    if text in ("true", "false"):
        return ChannelSettings().endpointing if text == "true" else None
    try:
        return integer(0, 3_600_000, "milliseconds")(text) / 1000
    except ValueError as error:
        raise ValueError(f"true, false or {error}") from None


def _model(query: Query) -> str:
    def parse(text: str) -> str:
        if FLUX.fullmatch(text):
            raise invalid(f"The model {text} is served at /v2/listen.")
        if not MODEL.fullmatch(text):
            raise invalid("No such model/version combination found.")
        return text

    return query.read("model", parse, "base")


def _audio(query: Query) -> AudioFormat:
    def known(text: str) -> str:
        if text not in ENCODINGS:
            raise ValueError(f"one of {', '.join(ENCODINGS)}")
        return text

    encoding = query.read("encoding", known, None)
    rate = query.read("sample_rate", integer(MIN_RATE, MAX_RATE, "Hz"), None)
    channels = query.read("channels", integer(1, MAX_CHANNELS, "channels"), 1)
    if encoding is None:
        return AudioFormat()
    if encoding == "g729" and rate is None:  # the one encoding that may be named without it
        (rate,) = RATES[encoding]
    if rate is None:
        raise invalid(f"`encoding={encoding}` needs `sample_rate`.")
    if rate not in RATES.get(encoding, (rate,)):
        allowed = " or ".join(map(str, RATES[encoding]))
        raise invalid(f"`encoding={encoding}` needs a `sample_rate` of {allowed}; it is {rate}.")
    return AudioFormat(encoding, rate, channels)


def _utterance_end(query: Query, *, interim_results: bool) -> float | None:
    milliseconds = query.read("utterance_end_ms", integer(1_000, 5_000, "milliseconds"), 0)
    if milliseconds and not interim_results:
        raise invalid("`utterance_end_ms` needs `interim_results=true`.")
    return milliseconds / 1000 or None


def _check_terms(query: Query, model: str) -> None:
    if "keywords" in query.values and model.startswith("nova-3"):
        raise invalid("Keywords are not supported for Nova-3. Use keyterm instead.")
    if not are_few(query.all("keyterm")):
        raise invalid(TOO_MANY_KEYTERMS)


def are_few(keyterms: Sequence[str]) -> bool:
    """Whether the keyterms are within the limit of the service."""
    return sum(len(term.split()) for term in keyterms) <= MAX_KEYTERM_TOKENS


def _check_sizes(query: Query) -> None:
    for name, most in MOST.items():
        if len(query.all(name)) > most:
            raise invalid(f"`{name}` was given {len(query.all(name))} times; {most} times are allowed.")
    for name, longest in LONGEST.items():
        if any(len(value) > longest for value in query.all(name)):
            raise invalid(f"`{name}` may have {longest} characters.")
    query.read("alternatives", integer(1, 10, "alternatives"), 1)


def _callback(query: Query) -> Callback | None:
    def method(text: str) -> str:
        if text.upper() not in CALLBACK_METHODS:
            raise ValueError(f"one of {', '.join(CALLBACK_METHODS)}")
        return text.upper()

    def address(text: str) -> str:
        if not _is_address(text):
            raise ValueError(f"a URL that begins with one of {', '.join(CALLBACK_SCHEMES)}")
        return text

    url = query.read("callback", address, None)
    how = query.read("callback_method", method, "POST")
    inspect = query.read("inspect_response", boolean, False)
    return Callback(url, how, inspect) if url else None


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in CALLBACK_SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:  # of brackets, or a port that is no port
        return False


def _check_diarization(query: Query) -> None:
    if "diarize" in query.values and "diarize_model" in query.values:
        raise invalid("`diarize` and `diarize_model` cannot be used together.")
    if query.values.get("diarize_model", ["latest"])[-1] not in ("latest", "v1"):
        raise invalid("`diarize_model` must be latest or v1.")
