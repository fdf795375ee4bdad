"""A refused handshake, whatever it says."""

import json
from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.core.refusals import MOST_WORDS, refused, tunnel_refused
from streamclient.errors import ConnectError

NOW = 1_800_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["err_msg", "err_code", "message"]), inner),
)
BODIES = st.none() | st.binary() | JSON.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "dg-error", "dg-request-id", "x-dg-request-id"]), st.text())


@given(st.integers(100, 999), HEADERS, BODIES)
def test_any_answer_is_a_refusal_with_a_next_step(status: int, headers: dict[str, str], body: bytes | None) -> None:
    """Nothing that a server says raises anything else, and its words are shown up to a bound."""
    error = refused("host:443", status, headers, body, NOW)

    assert isinstance(error, ConnectError)
    assert error.status == status
    assert error.hint
    assert len(error.detail or "") <= MOST_WORDS
    assert error.retry_after is None or error.retry_after >= 0


@given(st.text())
def test_any_answer_of_a_proxy_is_a_refusal(line: str) -> None:
    """It says what to do next."""
    error = tunnel_refused("proxy:3128", "host:443", line)

    assert isinstance(error, ConnectError)
    assert error.hint


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (format_datetime(datetime.fromtimestamp(NOW + 30, timezone.utc), usegmt=True), 30.0),
        (format_datetime(datetime.fromtimestamp(NOW - 30, timezone.utc), usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("\u00b2", None),
        ("-1", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """What is neither is left alone."""
    assert refused("host:443", 429, {"retry-after": value}, None, NOW).retry_after == seconds
