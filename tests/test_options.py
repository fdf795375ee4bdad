"""What to ask for: every documented parameter, its query string, and a clear error for every wrong value."""

import inspect
import pickle
import re
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient import FluxOptions, ListenOptions, OptionsError
from streamclient.audio import AudioClock

LISTEN_PARAMETERS = [
    "model",
    "version",
    "language",
    "encoding",
    "sample_rate",
    "channels",
    "multichannel",
    "interim_results",
    "endpointing",
    "utterance_end_ms",
    "vad_events",
    "punctuate",
    "smart_format",
    "numerals",
    "dictation",
    "profanity_filter",
    "diarize",
    "diarize_model",
    "detect_entities",
    "redact",
    "keyterm",
    "keywords",
    "search",
    "replace",
    "extra",
    "tag",
    "callback",
    "callback_method",
    "mip_opt_out",
    "no_delay",
    "filler_words",
    "alternatives",
]
FLUX_PARAMETERS = [
    "model",
    "encoding",
    "sample_rate",
    "eot_threshold",
    "eager_eot_threshold",
    "eot_timeout_ms",
    "keyterm",
    "language_hint",
    "profanity_filter",
    "numerals",
    "redact",
    "mip_opt_out",
    "tag",
]


def pairs(**options: Any) -> list[tuple[str, str]]:
    """The query of these options without the default model."""
    return [pair for pair in ListenOptions(**options).query_pairs() if pair != ("model", "nova-3")]


def flux(**options: Any) -> FluxOptions:
    """Flux options with a model."""
    return FluxOptions(**{"model": "flux-general-en", **options})


def refusal(make: Any, **options: Any) -> str:
    """The text of the error."""
    with pytest.raises(OptionsError) as caught:
        make(**options)
    return str(caught.value)


class TestParameters:
    @pytest.mark.parametrize(
        ("options", "parameters"), [(ListenOptions, LISTEN_PARAMETERS), (FluxOptions, FLUX_PARAMETERS)]
    )
    def test_every_documented_parameter_is_a_field(self, options: Any, parameters: list[str]) -> None:
        """No more and no less, besides ``extra_query``."""
        fields = {field.name for field in attrs.fields(options)}

        assert fields == {*parameters, "extra_query"}

    @pytest.mark.parametrize("options", [ListenOptions, FluxOptions])
    def test_every_parameter_is_described(self, options: Any) -> None:
        """In the docstring, as ``help()`` and editors show it, and with its type in the signature."""
        parameters = inspect.signature(options).parameters
        described = inspect.getdoc(options) or ""

        for field in attrs.fields(options):
            assert re.search(rf"^    {field.name}: \S.*\.$", described, re.MULTILINE)
            assert field.metadata["allowed"]
            assert parameters[field.name].annotation == field.type

    def test_the_model_alone_is_sent_by_default(self) -> None:
        """Everything else is the service's to choose."""
        assert ListenOptions().query_string() == "model=nova-3"

    def test_paths_are_the_services(self) -> None:
        """The address is a base; the path comes from the options."""
        assert (ListenOptions.path, FluxOptions.path) == ("/v1/listen", "/v2/listen")

    def test_what_the_caller_does_to_its_own_query_changes_nothing(self) -> None:
        """The mapping and its lists are copied."""
        terms: list[bool | int | float | str] = ["tea"]
        query: dict[str, Any] = {"x": terms}
        options = ListenOptions(extra_query=query)
        terms.append("milk")
        query["y"] = 1

        assert options.query_string() == "model=nova-3&x=tea"

    def test_options_are_values(self) -> None:
        """Equal, hashable, picklable, frozen, changed by evolving a copy."""
        options = ListenOptions(keyterm=["tea"], extra_query={"x": [1, 2]})

        assert options == ListenOptions(keyterm=("tea",), extra_query={"x": [1, 2]})
        assert hash(options) == hash(ListenOptions(keyterm="tea"))
        assert pickle.loads(pickle.dumps(options)) == options
        assert attrs.evolve(options, punctuate=True).keyterm == ("tea",)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            options.model = "nova-2"  # type: ignore[misc]


class TestQuery:
    @pytest.mark.parametrize(
        ("options", "query"),
        [
            ({"punctuate": True, "diarize": False}, [("punctuate", "true"), ("diarize", "false")]),
            ({"endpointing": 300}, [("endpointing", "300")]),
            ({"endpointing": False}, [("endpointing", "false")]),
            ({"endpointing": 0}, [("endpointing", "0")]),
            ({"keyterm": ["two teas", "b"]}, [("keyterm", "two teas"), ("keyterm", "b")]),
            ({"keyterm": "one"}, [("keyterm", "one")]),
            ({"search": {"a": 1}}, [("search", "a")]),
            ({"redact": True}, [("redact", "true")]),
            ({"redact": ["pci", "ssn"]}, [("redact", "pci"), ("redact", "ssn")]),
            ({"extra": {"call": "7"}}, [("extra", "call:7")]),
            ({"extra": ["a:b"]}, [("extra", "a:b")]),
            (
                {"extra_query": {"x": True, "y": 1.5, "z": ["a", 2]}},
                [("x", "true"), ("y", "1.5"), ("z", "a"), ("z", "2")],
            ),
            ({"extra_query": {"punctuate": False}, "punctuate": True}, [("punctuate", "false")]),
            ({"keyterm": []}, []),
            ({"language": None}, []),
        ],
    )
    def test_options_become_pairs(self, options: dict[str, Any], query: list[tuple[str, str]]) -> None:
        """Booleans are lower-case words, lists repeat their name, extra_query wins."""
        assert pairs(**options) == query

    @given(st.lists(st.text(min_size=1).filter(str.strip), max_size=4))
    def test_any_text_survives_the_query_string(self, terms: list[str]) -> None:
        """Whatever the characters, the service reads what was given."""
        query = ListenOptions(search=[term.encode("utf-8", "replace").decode() for term in terms]).query_string()

        assert [term for name, term in parse_qsl(query, keep_blank_values=True) if name == "search"] == [
            term.encode("utf-8", "replace").decode() for term in terms
        ]

    def test_flux_numbers_are_decimal(self) -> None:
        """As the reference writes them."""
        assert flux(eot_threshold=0.8, eot_timeout_ms=6000).query_pairs() == [
            ("model", "flux-general-en"),
            ("eot_threshold", "0.8"),
            ("eot_timeout_ms", "6000"),
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("model", ""), ("model", None), ("model", 3), ("version", " x"), ("language", True), ("encoding", "mp3"),
            ("sample_rate", 0),
            ("sample_rate", "16000"), ("sample_rate", True), ("sample_rate", 16000.0), ("channels", 0),
            ("multichannel", "true"), ("multichannel", 1), ("interim_results", "yes"), ("endpointing", -1),
            ("endpointing", "true"), ("endpointing", 1.5), ("utterance_end_ms", 999), ("utterance_end_ms", 5001),
            ("diarize_model", "v2"), ("redact", "names"), ("redact", ["pci", ""]), ("keyterm", [""]), ("keyterm", [1]),
            ("keyterm", " "), ("keyterm", True), ("keywords", ["x"] * 101), ("search", ["x"] * 51), ("tag", "x" * 129),
            ("extra", "nocolon"),
            ("extra", {"k": "v" * 2048}), ("extra", 5), ("callback", "ftp://x"), ("callback", "http://x:9000"),
            ("callback", "nonsense"),
            ("callback", "http://[x"), ("callback_method", "PATCH"), ("alternatives", 0), ("extra_query", ["x"]),
            ("extra_query", {"x": object()}), ("extra_query", {"": 1}), ("extra_query", {1: 1}),
            ("extra_query", {"x": [[]]}),
        ],
    )  # fmt: skip
    def test_a_wrong_value_is_named_with_what_is_allowed(self, name: str, value: object) -> None:
        """The field, the value, and what is allowed, before any connection."""
        text = refusal(
            ListenOptions, **{"encoding": "linear16", "sample_rate": 8000, "interim_results": True, name: value}
        )

        assert f"ListenOptions.{name}=" in text
        assert "allowed is" in text

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("model", "nova-3"), ("model", None), ("sample_rate", 11025), ("encoding", "flac"), ("eot_threshold", 0.4),
            ("eot_threshold", True), ("eot_threshold", float("nan")),
            ("eager_eot_threshold", 0.95),
            ("eot_timeout_ms", 499), ("eot_timeout_ms", 1000.0),
            ("language_hint", "xx"), ("language_hint", [""]), ("redact", "pci"),
            ("redact", True), ("numerals", "on"),
        ],
    )  # fmt: skip
    def test_a_wrong_value_for_flux_is_named_too(self, name: str, value: object) -> None:
        """With the class it was given to."""
        options = {"model": "flux-general-multi", "encoding": "linear16", "sample_rate": 16000, name: value}

        assert f"FluxOptions.{name}=" in refusal(FluxOptions, **options)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"sample_rate": 16000}, "sample_rate=16000 is only read with encoding"),
            ({"encoding": "linear16"}, "sample_rate=None is not allowed with encoding='linear16'"),
            ({"channels": 2}, "channels=2 is not allowed; allowed is only together with encoding"),
            ({"encoding": "amr-nb", "sample_rate": 16000}, "sample_rate=16000 is not allowed; allowed is 8000"),
            ({"encoding": "amr-wb", "sample_rate": 8000}, "sample_rate=8000 is not allowed; allowed is 16000"),
            (
                {"encoding": "linear16", "sample_rate": 8000, "channels": 21, "multichannel": True},
                "channels=21 is not allowed; allowed is at most 20",
            ),
            ({"utterance_end_ms": 1000}, "utterance_end_ms=1000 is not allowed; allowed is only together with interim"),
            ({"dictation": True}, "dictation=True is not allowed; allowed is only together with punctuate=True"),
            ({"diarize": True, "diarize_model": "v1"}, "only one of diarize and diarize_model"),
            ({"model": "flux-general-en"}, "is a Flux model. Use FluxOptions for it."),
            ({"keywords": "tea:2"}, "is not supported by nova-3. Use keyterm."),
            ({"model": "nova-2-medical", "keyterm": "tea"}, "is not supported by nova-2-medical. Use keywords"),
            ({"keyterm": ["w " * 501]}, "keyterm has 501 words; allowed is 500 tokens"),
        ],
    )
    def test_an_impossible_combination_is_named(self, options: dict[str, Any], text: str) -> None:
        """What the service would refuse after connecting is refused here."""
        assert text in refusal(ListenOptions, **options)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"encoding": "opus"}, "sample_rate=None is not allowed with encoding='opus'"),
            ({"eager_eot_threshold": 0.8}, "eager_eot_threshold=0.8 is not allowed; allowed is at most eot_threshold"),
            ({"language_hint": "en"}, "only together with model='flux-general-multi'"),
            ({"keyterm": ["w"] * 501}, "keyterm has 501 words"),
        ],
    )
    def test_an_impossible_combination_for_flux_is_named(self, options: dict[str, Any], text: str) -> None:
        """The rules of the other dialect."""
        assert text in refusal(flux, **options)

    def test_an_unknown_option_is_a_type_error(self) -> None:
        """As for any Python call; ``extra_query`` passes anything."""
        with pytest.raises(TypeError, match="tomorrow") as caught:
            ListenOptions(tomorrow=1)  # type: ignore[call-arg]

        assert "extra_query" in str(caught.value)

    @pytest.mark.parametrize("options", [ListenOptions, flux])
    def test_a_misspelt_option_is_refused_with_the_one_that_was_meant(self, options: Any) -> None:
        """It is no wrong value, but the same kind of mistake."""
        assert "has no 'keyterms'; did you mean 'keyterm'?" in refusal(options, keyterms=["tea"])

    def test_an_options_error_is_a_value_error(self) -> None:
        """For programs that do not know this library."""
        with pytest.raises(ValueError, match="sample_rate"):
            ListenOptions(sample_rate=1)


class TestAccepted:
    @pytest.mark.parametrize(
        "options",
        [
            {"encoding": "g729"},
            {"encoding": "amr-nb", "sample_rate": 8000},
            {"model": "nova-2", "keywords": ["tea:2"]},
            {"model": "custom-model-id", "keyterm": "tea", "keywords": "tea"},
            {"model": "nova-3-medical", "keyterm": "tea"},
            {"model": "enhanced", "keywords": ["tea"]},
            {"smart_format": True, "dictation": True},
            {"callback": "wss://example.org:8443/x", "callback_method": "PUT"},
            {"interim_results": True, "utterance_end_ms": 1000},
            {"multichannel": True},
        ],
    )
    def test_what_the_service_accepts_is_accepted(self, options: dict[str, Any]) -> None:
        """No rule is stricter than the documentation."""
        ListenOptions(**options)

    @pytest.mark.parametrize(
        "options",
        [
            {"eot_threshold": 1, "eager_eot_threshold": 0.9},
            {"model": "flux-general-multi", "language_hint": ["en-GB", "pt"]},
            {"encoding": "ogg-opus", "sample_rate": 48000},
            {"redact": ["numbers"]},
        ],
    )
    def test_what_flux_accepts_is_accepted(self, options: dict[str, Any]) -> None:
        """No rule is stricter than the documentation."""
        flux(**options)


class TestClock:
    def test_raw_audio_has_a_clock(self) -> None:
        """Bytes of raw audio are seconds."""
        stereo = ListenOptions(encoding="linear16", sample_rate=8000, channels=2)

        assert stereo.clock == AudioClock(32000, 4)
        assert flux(encoding="mulaw", sample_rate=8000).clock == AudioClock(8000, 1)

    def test_other_audio_has_none(self) -> None:
        """Only the server can tell."""
        assert ListenOptions().clock == ListenOptions(encoding="flac", sample_rate=48000).clock == AudioClock()
        assert ListenOptions(encoding="opus", sample_rate=48000).clock == AudioClock(in_packets=True)
