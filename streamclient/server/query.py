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

__all__ = ["ListenRequest", "Refusal", "invalid", "parse_request"]

T = TypeVar("T")

OTHER_ENCODINGS = ("speex", "g729")
"""Those the service decodes and this server does not."""
MODEL = re.compile(
    r"(nova-3|nova-2|nova|enhanced|base)(-[a-z]+)?|general|meeting|phonecall|finance|conversationalai|voicemail|video"
    r"|medical|custom|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
SWITCHES = (
    "multichannel", "interim_results", "vad_events", "punctuate", "smart_format", "numerals", "dictation",
    "profanity_filter", "diarize", "detect_entities", "mip_opt_out", "no_delay", "filler_words",
)  # fmt: skip
MAX_KEYTERM_TOKENS = 500


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
class ListenRequest:
    """A request for ``/v1/listen`` that makes sense.

    Attributes:
        model: what was asked for; this server recognises with what it has.
        language: BCP-47 tag.
        audio: its encoding, rate and channels, as far as they are not in the audio itself.
        multichannel: whether channels are recognised separately.
        punctuate: whether words carry ``punctuated_word``.
        channel: what concerns each channel.
        extra: to be echoed in results.
    """

    model: str = "base"
    language: str = "en"
    audio: AudioFormat = AudioFormat()
    multichannel: bool = False
    punctuate: bool = False
    channel: ChannelSettings = ChannelSettings()
    extra: Mapping[str, str] = attrs.field(factory=dict)


def parse_request(target: str) -> ListenRequest:
    """Read the target of a request (path and query).

    Raises:
        Refusal: with the status, code and text of the service.
    """
    url = urlsplit(target)
    if url.path != "/v1/listen":
        raise Refusal(404, "NOT_FOUND", f"There is nothing at {url.path}; live transcription is at /v1/listen.")
    query = Query(parse_qs(url.query, keep_blank_values=True))
    switches = {name: query.read(name, boolean, False) for name in SWITCHES}
    model = _model(query)
    _check_terms(query, model)
    _check_diarization(query)
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
        extra=dict(pair.partition(":")[::2] for pair in query.values.get("extra", ())),
    )


@attrs.frozen
class Query:
    """The names and values of a query string."""

    values: Mapping[str, Sequence[str]]

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
            raise invalid(f"`{name}` must be {error}; it is {given[0]!r}.") from None


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
        if text.startswith("flux"):
            raise invalid(f"The model {text} is served at /v2/listen.")
        if not MODEL.fullmatch(text):
            raise invalid("No such model/version combination found.")
        return text

    return query.read("model", parse, "base")


def _audio(query: Query) -> AudioFormat:
    def known(text: str) -> str:
        if text in OTHER_ENCODINGS:
            raise invalid(f"This server does not decode `encoding={text}`; it decodes {', '.join(ENCODINGS)}.")
        if text not in ENCODINGS:
            raise ValueError(f"one of {', '.join(ENCODINGS + OTHER_ENCODINGS)}")
        return text

    encoding = query.read("encoding", known, None)
    rate = query.read("sample_rate", integer(MIN_RATE, MAX_RATE, "Hz"), None)
    channels = query.read("channels", integer(1, MAX_CHANNELS, "channels"), 1)
    if encoding is None:
        return AudioFormat()
    if rate is None:
        raise invalid(f"`encoding={encoding}` needs `sample_rate`.")
    return AudioFormat(encoding, rate, channels)


def _utterance_end(query: Query, *, interim_results: bool) -> float | None:
    milliseconds = query.read("utterance_end_ms", integer(1_000, 5_000, "milliseconds"), 0)
    if milliseconds and not interim_results:
        raise invalid("`utterance_end_ms` needs `interim_results=true`.")
    return milliseconds / 1000 or None


def _check_terms(query: Query, model: str) -> None:
    if "keywords" in query.values and model.startswith("nova-3"):
        raise invalid("Keywords are not supported for Nova-3. Use keyterm instead.")
    terms = query.values.get("keyterm", ())
    if sum(len(term.split()) for term in terms) > MAX_KEYTERM_TOKENS:
        raise invalid("Keyterm limit exceeded. The maximum number of tokens across all keyterms is 500.")


def _check_diarization(query: Query) -> None:
    if "diarize" in query.values and "diarize_model" in query.values:
        raise invalid("`diarize` and `diarize_model` cannot be used together.")
    if query.values.get("diarize_model", ["latest"])[-1] not in ("latest", "v1"):
        raise invalid("`diarize_model` must be latest or v1.")
