"""Guarantee 2: an outage that outlasts the policy, or cannot end well, has an end, and says what is missing."""

from typing import Any

import pytest

from streamclient import (
    AudioRejected,
    AuthenticationError,
    ConnectionLost,
    ReconnectPolicy,
    Span,
    StreamClient,
    StreamState,
)
from streamclient.testing.builders import SHA256_OF_NOTHING
from tests.support.outages import QUICK, RAW, SECOND, Witness, drop_after_audio, refuse_later
from tests.support.service import SOON, Call, final, interim, metadata, obedient, serving


def test_a_fatal_refusal_ends_the_outage_and_keeps_what_came() -> None:
    """A 401 on reconnecting is not tried again: the error names the span and says what the refusal, its cause, says."""

    def script(call: Call) -> None:
        call.read()
        call.say(final("hello there", 0.0, 0.25))
        call.read()
        call.reset()

    witness = Witness()
    with serving(script) as service:
        refuse_later(service, 401, {"dg-error": "The key has expired.", "dg-request-id": "the-refusal"})
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, plugins=[witness])
        client.open()
        client.send(SECOND)
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close(timeout=SOON)
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert "The service says: The key has expired. Request id the-refusal." in str(caught.value)
    assert caught.value.unconfirmed == Span(0.25, 2.0)
    assert not caught.value.retryable
    assert client.transcript.gaps == (Span(0.25, 2.0),)
    assert client.transcript.text == "hello there"
    assert not client.transcript.complete
    assert client.state is StreamState.FAILED
    assert witness.outages == ["lost"]
    assert len(witness.errors) == len(witness.closed) == 1


def test_attempts_are_bounded() -> None:
    """With max_attempts=3 a service that is gone is asked three times more."""
    asked = []
    with serving(drop_after_audio) as service:
        refuse_later(service, 503)
        refuse = service.refusal

        def count(request: Any) -> Any:
            asked.append(request.path)
            return refuse(request)

        service.refusal = count
        policy = ReconnectPolicy(initial_delay=0.0, max_attempts=3)
        client = StreamClient(RAW, url=service.url, reconnect=policy)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
    assert len(asked) == 4


def test_a_connection_that_never_works_counts_as_an_attempt() -> None:
    """A service that accepts and breaks without a word is not asked for ever."""
    with serving(drop_after_audio) as service:
        policy = ReconnectPolicy(initial_delay=0.0, max_attempts=3)
        client = StreamClient(RAW, url=service.url, reconnect=policy)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
        assert len(service.calls) == 4


def test_the_time_of_an_outage_is_bounded() -> None:
    """An outage longer than max_outage ends the stream."""
    with serving(drop_after_audio) as service:
        refuse_later(service, 503)
        policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.01, max_outage=0.1)
        client = StreamClient(RAW, url=service.url, reconnect=policy)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close(timeout=SOON)
    assert caught.value.unconfirmed == Span(0.0, 1.0)


def test_none_never_reconnects() -> None:
    """With reconnect=None a broken connection ends the stream."""
    with serving(drop_after_audio) as service:
        client = StreamClient(RAW, url=service.url, reconnect=None)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
        assert len(service.calls) == 1


def test_rejected_audio_is_never_sent_again() -> None:
    """Undecodable audio ends the stream, whatever the policy."""

    def script(call: Call) -> None:
        call.read()
        call.end(code=1008, reason="DATA-0000")

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(AudioRejected):
            client.close(timeout=SOON)
        assert len(service.calls) == 1


@pytest.mark.parametrize("reason", ["NET-0000", "Deepgram sent no text. See https://dpgr.am/net0000"])
def test_two_silent_servers_in_a_row_end_the_stream(reason: str) -> None:
    """Two NET-0000 without any result are a problem of the audio, and the error says so."""

    def script(call: Call) -> None:
        call.read()
        call.end(code=1011, reason=reason)

    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost) as caught:
            client.close(timeout=SOON)
        assert len(service.calls) == 2
    assert "audio" in (caught.value.hint or "")


def test_a_server_that_hears_nothing_twice_ends_the_stream() -> None:
    """A service that says each time that no byte arrived is not asked for ever, even if it ends as it should."""
    with serving(obedient(metadata(0.0, 0, SHA256_OF_NOTHING))) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost, match="none of 32000 bytes"):
            client.close(timeout=SOON)
        assert len(service.calls) == 2
    assert client.transcript.gaps == (Span(0.0, 1.0),)


def test_an_interim_of_a_stream_that_is_given_up_is_still_there() -> None:
    """What was heard preliminarily before an outage that outlasts the policy counts as received."""

    def script(call: Call) -> None:
        call.read()
        call.say(interim("almost said", 0.0, 0.25))
        call.reset()

    with serving(script) as service:
        refuse_later(service, 403)
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        with pytest.raises(ConnectionLost):
            client.close(timeout=SOON)
    assert client.transcript.text == "almost said"
