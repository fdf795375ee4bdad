"""How a stream behaves under stress: sound defaults, and a clear error for every value that makes no sense."""

from math import inf, nan
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamclient import BufferPolicy, OptionsError, ReconnectPolicy, Timeouts, TransportOptions

DEFAULTS: dict[Any, dict[str, object]] = {
    ReconnectPolicy: {
        "initial_delay": 0.5, "max_delay": 10.0, "multiplier": 2.0, "max_attempts": None, "max_outage": 300.0,
    },
    Timeouts: {
        "connect": 10.0, "send": 30.0, "close": 30.0, "keepalive": 4.0, "ping": 10.0, "pong": 10.0, "exit": 5.0,
    },
    BufferPolicy: {"max_memory": 8 * 1024 * 1024, "max_disk": 1024 * 1024 * 1024, "max_events": 1000},
    TransportOptions: {"proxy": None, "ca_file": None, "ssl_context": None, "headers": ()},
}  # fmt: skip


@pytest.mark.parametrize("policy", DEFAULTS)
def test_the_defaults_are_the_contracts(policy: Any) -> None:
    """Every field has one."""
    assert attrs.asdict(policy()) == DEFAULTS[policy]


@pytest.mark.parametrize("policy", DEFAULTS)
def test_policies_are_frozen_values(policy: Any) -> None:
    """Streams share them."""
    assert policy() == policy()
    assert hash(policy()) == hash(policy())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(policy(), attrs.fields(policy)[0].name, 1)


@pytest.mark.parametrize(
    ("policy", "name", "values"),
    [
        (ReconnectPolicy, "initial_delay", [-1, nan, inf, "1", True, None]),
        (ReconnectPolicy, "max_delay", [-0.1, inf]),
        (ReconnectPolicy, "multiplier", [0.9, inf, None]),
        (ReconnectPolicy, "max_attempts", [0, 1.5, True]),
        (ReconnectPolicy, "max_outage", [0, -1, nan]),
        *((Timeouts, name, [0, -1, nan, "1", True, None]) for name in DEFAULTS[Timeouts]),
        (BufferPolicy, "max_memory", [0, -1, 1.5, True, None]),
        (BufferPolicy, "max_disk", [-1, 0.5]),
        (BufferPolicy, "max_events", [0, 2.0]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(policy: Any, name: str, values: list[object]) -> None:
    """The field, the value and what is allowed."""
    for value in values:
        with pytest.raises(OptionsError) as caught:
            policy(**{name: value})

        assert str(caught.value).startswith(f"{policy.__name__}.{name}={value!r} is not allowed; allowed is a ")


@pytest.mark.parametrize(
    ("policy", "values"),
    [
        (ReconnectPolicy, {"initial_delay": 0, "max_delay": 0, "multiplier": 1, "max_attempts": 1, "max_outage": inf}),
        (Timeouts, dict.fromkeys(DEFAULTS[Timeouts], inf)),
        (BufferPolicy, {"max_memory": 1, "max_disk": 0, "max_events": 1}),
    ],
)
def test_the_limits_themselves_are_allowed(policy: Any, values: dict[str, object]) -> None:
    """Infinity switches a deadline off."""
    assert attrs.asdict(policy(**values)) == values


class TestTransportOptions:
    @pytest.mark.parametrize("headers", [{"X-Call": "7"}, [("X-Call", "7")], (("X-Call", 7),)])
    def test_headers_are_pairs_or_a_mapping(self, headers: Any) -> None:
        """Both become pairs of texts."""
        assert TransportOptions(headers=headers).headers == (("X-Call", "7"),)

    @pytest.mark.parametrize(
        "headers", [{"X": "a\r\nHost: evil"}, {"X\n": "a"}, {"": "a"}, {"X": "\0"}, {"a b": "c"}, {"ä": "c"}]
    )
    def test_a_header_that_is_none_is_refused(self, headers: Any) -> None:
        """One of two lines would smuggle in another one; others would break the handshake."""
        with pytest.raises(OptionsError, match="is not a header of one line"):
            TransportOptions(headers=headers)

    @pytest.mark.parametrize("headers", [5, ["x"], [("a", "b", "c")]])
    def test_headers_of_another_shape_are_refused(self, headers: Any) -> None:
        """With what they must be."""
        with pytest.raises(OptionsError, match="headers must be pairs of a name and a value"):
            TransportOptions(headers=headers)

    @pytest.mark.parametrize("name", ["proxy", "ca_file", "ssl_context"])
    def test_a_value_of_another_type_is_refused(self, name: str) -> None:
        """Here, and not at the first connection."""
        with pytest.raises(OptionsError, match=rf"TransportOptions.{name} is of the type int; allowed is a"):
            TransportOptions(**{name: 5})  # type: ignore[arg-type]  # what is tested

    def test_a_path_is_a_text_or_a_path(self) -> None:
        """As everywhere in Python."""
        assert TransportOptions(ca_file=Path("ca.pem")) == TransportOptions(ca_file="ca.pem")

    def test_the_repr_holds_no_secret(self) -> None:
        """A proxy's password and headers stay out of logs."""
        options = TransportOptions(proxy="http://user:hush@proxy:3128", headers={"X-Secret": "hush"})

        assert "hush" not in repr(options)
