"""What a client may ask for."""

import pytest

from streamclient.server.audio import AudioFormat
from streamclient.server.query import Refusal, parse_request


def test_defaults_are_the_services() -> None:
    """Without options: containerised audio, finals only, 10 ms of endpointing."""
    request = parse_request("/v1/listen")
    assert (request.audio.encoding, request.multichannel, request.language) == (None, False, "en")
    assert (request.channel.interim_results, request.channel.endpointing, request.channel.utterance_end) == (
        False,
        0.01,
        None,
    )


def test_everything_asked_for_is_read() -> None:
    """Repeated keys, escapes and times in milliseconds."""
    request = parse_request(
        "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&channels=2&multichannel=true&interim_results=true"
        "&endpointing=300&utterance_end_ms=1000&vad_events=true&smart_format=true&keyterm=a&keyterm=b+c"
        "&extra=k:v%20w&extra=k:x&unknown=1"
    )
    assert (request.audio, request.multichannel) == (AudioFormat("mulaw", 8000, 2), True)
    assert (request.channel.endpointing, request.channel.utterance_end, request.channel.vad_events) == (0.3, 1.0, True)
    assert request.punctuate
    assert request.extra == {"k": "x"}


@pytest.mark.parametrize(("value", "seconds"), [("true", 0.01), ("false", None), ("0", 0.0), ("2500", 2.5)])
def test_endpointing_has_three_forms(value: str, seconds: float | None) -> None:
    """A number of milliseconds, ``true`` and ``false``."""
    assert parse_request(f"/v1/listen?endpointing={value}").channel.endpointing == seconds


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("punctuate=True", "punctuate"),
        ("interim_results=1", "interim_results"),
        ("encoding=linear16", "sample_rate"),
        ("encoding=linear17&sample_rate=16000", "encoding"),
        ("encoding=opus", "sample_rate"),
        ("encoding=speex&sample_rate=44100", "8000 or 16000 or 32000"),
        ("encoding=amr-nb&sample_rate=16000", "a `sample_rate` of 8000"),
        ("encoding=linear16&sample_rate=fast", "sample_rate"),
        ("encoding=linear16&sample_rate=0", "sample_rate"),
        ("channels=21", "channels"),
        ("endpointing=soon", "endpointing"),
        ("utterance_end_ms=1000", "interim_results"),
        ("utterance_end_ms=500&interim_results=true", "utterance_end_ms"),
        ("model=nova-33", "model"),
        ("model=flux-general-en", "/v2/listen"),
        ("model=nova-3&keywords=x", "Keywords"),
        ("keyterm=" + "a+" * 501, "500"),
        ("diarize=true&diarize_model=v1", "diarize_model"),
        ("diarize_model=v2", "diarize_model"),
        ("language=", "language"),
        ("sample_rate=1&sample_rate=2", "sample_rate"),
    ],
)
def test_nonsense_is_refused_by_name(query: str, named: str) -> None:
    """A wrong value or combination is a 400 that names it."""
    with pytest.raises(Refusal) as refused:
        parse_request(f"/v1/listen?{query}")
    assert (refused.value.status, refused.value.code) == (400, "INVALID_QUERY_PARAMETER")
    assert named in refused.value.message


def test_other_paths_are_not_found() -> None:
    """Only live transcription is served."""
    with pytest.raises(Refusal) as refused:
        parse_request("/v1/speak?model=aura")
    assert refused.value.status == 404


def test_an_empty_term_says_nothing() -> None:
    """What may be repeated is not asked for by an empty value."""
    request = parse_request("/v1/listen?search=&search=tea&replace=&keyterm=&tag=")
    assert (request.wording.search, request.wording.replacements) == (("tea",), ())
    assert (request.terms, request.tags) == ((), ())
