"""From words to options."""

import pytest

from streamclient.cli.query import parse_parameters, raw_format, to_options, unknown_parameters
from streamclient.errors import OptionsError
from streamclient.sources.files import RawFormat


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("smart_format=false", "smart_format", False),
        ("smart-format=Yes", "smart_format", True),
        ("endpointing=500", "endpointing", 500),
        ("endpointing=false", "endpointing", False),
        ("model=nova-2", "model", "nova-2"),
        ("keyterm=a=b", "keyterm", ("a=b",)),
        ("version=2", "version", "2"),
    ],
)
def test_known_parameter_has_its_type(word: str, name: str, value: object) -> None:
    """A field of ``ListenOptions`` is read in its own type."""
    assert parse_parameters([word]) == {name: value}


def test_repeated_parameter_is_a_list() -> None:
    """A list is written by giving its name again."""
    assert parse_parameters(["keyterm=a", "keyterm=b"]) == {"keyterm": ("a", "b")}
    assert parse_parameters(["novel=a", "novel=b"]) == {"novel": ["a", "b"]}


def test_repeated_single_value_is_refused() -> None:
    """A parameter with one value cannot be given two."""
    with pytest.raises(OptionsError, match="model is given 2 times"):
        parse_parameters(["model=a", "model=b"])


@pytest.mark.parametrize("word", ["smart_format", "=true", ""])
def test_word_of_another_form_is_refused(word: str) -> None:
    """What is not NAME=VALUE is named, with an example."""
    with pytest.raises(OptionsError, match="NAME=VALUE"):
        parse_parameters([word])


def test_unknown_parameter_goes_to_the_service_as_it_is() -> None:
    """What this version does not know may be newer than it; a probable slip is pointed out."""
    options = to_options(parse_parameters(["smart_fromat=true", "novel=1"]), None)
    assert dict(options.extra_query) == {"smart_fromat": "true", "novel": "1"}
    (sentence,) = unknown_parameters(["smart_fromat", "novel", "model"])
    assert "did you mean 'smart_format'" in sentence


def test_wrong_value_is_refused_by_name() -> None:
    """A value that does not fit is refused before any connection, with what is allowed."""
    with pytest.raises(OptionsError, match=r"endpointing='soon' is not allowed; allowed is"):
        to_options(parse_parameters(["endpointing=soon"]), None)


def test_defaults_suit_a_reader() -> None:
    """A transcript for people has punctuation and whole sentences, unless asked otherwise."""
    options = to_options({}, None)
    assert (options.model, options.smart_format, options.endpointing) == ("nova-3", True, 300)
    assert to_options({"smart_format": False}, None).smart_format is False


def test_raw_format_comes_from_the_source() -> None:
    """What is sent decides the encoding: audio decoded here is raw audio for the service."""
    raw = raw_format({"encoding": "mulaw", "sample_rate": 8000, "model": "nova-3"})
    assert raw == RawFormat("mulaw", 8000)
    options = to_options({"encoding": "mulaw", "sample_rate": 8000}, RawFormat("linear16", 16000, 2))
    assert (options.encoding, options.sample_rate, options.channels) == ("linear16", 16000, 2)
    assert to_options({}, None).encoding is None


@pytest.mark.parametrize("parameters", [{"sample_rate": 8000}, {"channels": 2}, {"encoding": "linear16"}])
def test_half_a_raw_format_is_refused(parameters: dict[str, object]) -> None:
    """A sample rate without an encoding, or the other way round, is refused before the file is opened."""
    with pytest.raises(OptionsError):
        raw_format(parameters)


def test_flux_is_refused_with_the_way_out() -> None:
    """A model of the other protocol gets a sentence, not the service's puzzlement."""
    with pytest.raises(OptionsError, match="Use a Nova model"):
        to_options({"model": "flux-general-en"}, None)
