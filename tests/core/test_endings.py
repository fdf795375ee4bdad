"""What the end of a connection means, case by case."""

from typing import Any

import pytest

from streamclient.audio import Span
from streamclient.core.endings import Ending, explain
from streamclient.errors import AudioRejected, ConnectionLost
from streamclient.testing.builders import SHA256_OF_NOTHING
from tests.support.messages import EMPTY_SUMMARY, summary

NET_0000 = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
NET_0001 = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)


@pytest.mark.parametrize(
    ("facts", "retryable"),
    [
        pytest.param({"code": 1000}, True, id="1000 unasked"),
        pytest.param({"code": 1000, "metadata": summary()}, True, id="1000 unasked with a summary"),
        pytest.param({"code": 1005}, True, id="no code, unasked"),
        pytest.param({"code": 1001}, True, id="going away"),
        pytest.param({"code": 1001, "asked": True}, True, id="going away without a summary"),
        pytest.param({"code": 1006}, True, id="broken"),
        pytest.param({"code": 1006, "asked": True}, True, id="broken before the summary"),
        pytest.param({"code": 1006, "asked": True, "metadata": summary()}, True, id="broken, summary from before"),
        pytest.param({"code": 1011, "reason": "NET-0000"}, True, id="server silent"),
        pytest.param({"code": 1011, "reason": "NET-0001"}, True, id="client silent"),
        pytest.param({"code": 1011}, True, id="internal error"),
        pytest.param({"code": 1011, "asked": True}, True, id="internal error while closing"),
        pytest.param({"code": 1011, "asked": True, "metadata": summary(), "summarised": True}, True, id="at last"),
        pytest.param({"code": 1012}, True, id="restarting"),
        pytest.param({"code": 1013}, True, id="try again later"),
        pytest.param({"code": 1002}, False, id="protocol error"),
        pytest.param({"code": 1003, "reason": "MESSAGE-0000"}, False, id="message refused"),
        pytest.param({"code": 1007}, False, id="not UTF-8"),
        pytest.param({"code": 1008, "reason": "policy"}, False, id="policy"),
        pytest.param({"code": 1009, "reason": "BIG-0000"}, False, id="too big"),
        pytest.param({"code": 1010}, False, id="extension"),
        pytest.param({"code": 4001, "asked": True}, False, id="private"),
    ],
)
def test_unasked_or_abnormal_end_is_a_lost_connection(facts: dict[str, Any], retryable: bool) -> None:
    """The error has the server's code and reason, and says whether a retry makes sense."""
    error = explain(Ending(audio_sent=32000, request_id="id", unconfirmed=Span(0.5, 1.0), **facts))
    assert isinstance(error, ConnectionLost)
    assert (error.code, error.reason) == (facts["code"], facts.get("reason", ""))
    assert error.retryable is retryable
    assert error.unconfirmed == Span(0.5, 1.0)
    assert error.request_id == "id"
    assert error.hint
    assert str(facts["code"]) in str(error)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"code": 1000}, id="1000"),
        pytest.param({"code": 1000, "metadata": summary(), "summarised": True}, id="1000 with a summary"),
        pytest.param({"code": 1005}, id="no code"),
        pytest.param({"code": 1001, "metadata": summary(), "summarised": True}, id="going away, all said"),
        pytest.param({"code": 1006, "metadata": summary(), "summarised": True}, id="broken, all said"),
        pytest.param({"code": 1000, "metadata": EMPTY_SUMMARY, "audio_sent": 0}, id="nothing sent"),
        pytest.param(
            {"code": 1000, "metadata": summary(0.0, 0, sha256=SHA256_OF_NOTHING), "audio_sent": 0}, id="hash of nothing"
        ),
        pytest.param({"code": 1000, "metadata": summary(0.0, 1)}, id="no duration, but a channel"),
        pytest.param({"code": 1000, "metadata": summary(0.0, 0), "transcribed": True}, id="words came"),
    ],
)
def test_end_that_was_asked_for_is_no_error(facts: dict[str, Any]) -> None:
    """After CloseStream the server closes with 1000 or no code; or it has said all there is, and then breaks."""
    assert explain(Ending(**{"asked": True, "audio_sent": 32000, **facts})) is None


def test_summary_without_the_fields_proves_nothing() -> None:
    """A field that is missing from the summary is not a zero."""
    for name in ("duration", "channels"):
        lacking = summary(0.0, 0)
        assert isinstance(lacking.raw, dict)
        del lacking.raw[name]
        assert explain(Ending(code=1000, asked=True, audio_sent=1, metadata=lacking)) is None


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"code": 1008, "reason": "DATA-0000"}, id="1008 DATA-0000"),
        pytest.param({"code": 1008, "reason": "Cannot decode. See https://dpgr.am/data0000"}, id="1008 with a link"),
        pytest.param({"code": 1008}, id="1008 without a reason"),
        pytest.param({"code": 1002, "reason": "DATA-0000"}, id="1002 as once documented"),
        pytest.param({"code": 1000, "metadata": EMPTY_SUMMARY}, id="empty summary"),
        pytest.param({"code": 1005, "metadata": EMPTY_SUMMARY}, id="empty summary, no code"),
        pytest.param({"code": 1006, "metadata": EMPTY_SUMMARY}, id="empty summary, then broken"),
    ],
)
def test_undecodable_audio_is_named(facts: dict[str, Any], asked: bool) -> None:
    """Bytes that are no audio to the service are rejected audio, however it says so; trying again does not help."""
    error = explain(Ending(asked=asked, audio_sent=32000, request_id="id", **facts))
    assert isinstance(error, AudioRejected)
    assert (error.code, error.reason) == (facts["code"], facts.get("reason", ""))
    assert error.request_id == "id"
    assert not error.retryable
    assert error.hint


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("code", [1000, 1005, 1006])
def test_the_hash_tells_audio_that_never_came_from_audio_that_is_none(code: int, asked: bool) -> None:
    """Bytes were sent, and the summary has the hash of none: they may be sound, and are sent again."""
    of_nothing = summary(0.0, 0, sha256=SHA256_OF_NOTHING)
    error = explain(Ending(code=code, asked=asked, audio_sent=32000, metadata=of_nothing, summarised=asked))

    assert isinstance(error, ConnectionLost)
    assert "none of 32000 bytes" in str(error)
    assert error.retryable


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
def test_a_server_that_leaves_early_has_not_rejected_the_audio(code: int) -> None:
    """It had not enough of the audio to find any in it."""
    error = explain(Ending(code=code, audio_sent=20, metadata=EMPTY_SUMMARY))

    assert isinstance(error, ConnectionLost)
    assert error.retryable


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("NET-0001", "NET-0001"),
        (NET_0000, "NET-0000"),
        (NET_0001, "NET-0001"),
        ("net0000", "NET-0000"),
        ("DATA-0000", "DATA-0000"),
        ("BIG-0000", "BIG-0000"),
        ("MESSAGE-0000", "MESSAGE-0000"),
        ("internet0001", None),
        ("", None),
        ("going down", None),
    ],
)
def test_reason_names_the_cause(reason: str, name: str | None) -> None:
    """The service writes the bare code or a sentence with a link; both name the cause."""
    assert Ending(code=1011, reason=reason).reason_id == name


@pytest.mark.parametrize(("reason", "hint"), [(NET_0000, "match its encoding"), (NET_0001, "received nothing")])
def test_timeouts_of_the_service_have_a_hint(reason: str, hint: str) -> None:
    """The error says in words what the service's code stands for, beside the service's own words."""
    error = explain(Ending(code=1011, reason=reason))
    assert isinstance(error, ConnectionLost)
    assert hint in str(error)
    assert reason in str(error)
