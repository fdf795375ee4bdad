"""Guarantee 6: each way in which a stream that stood may end has a name."""

import socket
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve

from streamclient import (
    AudioRejected,
    Closed,
    CloseTimeout,
    ConnectionLost,
    Failed,
    ListenOptions,
    Span,
    StreamClient,
    StreamClientError,
    StreamState,
    Timeouts,
    hookimpl,
)
from streamclient.testing import wav
from streamclient.testing.builders import SHA256_OF_NOTHING
from tests.support.failures import KEY, RAW, SECOND, WORDS, Failure, check
from tests.support.service import SOON, Call, Script, final, metadata, obedient, serving


class Hooks:
    """Keeps what it is told of failures."""

    def __init__(self) -> None:
        self.errors: list[StreamClientError] = []

    @hookimpl
    def on_error(self, error: StreamClientError) -> None:
        self.errors.append(error)


def leaving(code: int, reason: str = "", *messages: dict[str, Any]) -> Script:
    """A service that leaves at the first audio."""

    def script(call: Call) -> None:
        call.read()
        call.end(*messages, code=code, reason=reason)

    return script


def resetting(call: Call) -> None:
    """The connection breaks."""
    call.read()
    call.reset()


def vanishing(call: Call) -> None:
    """The connection ends without a close frame."""
    call.read()
    call.ws.socket.shutdown(socket.SHUT_RDWR)


def leaving_without_code(call: Call) -> None:
    """A close frame without a code."""
    call.read()
    call.ws.socket.sendall(b"\x88\x00")
    call.read_to_end()


def breaking_the_protocol(call: Call) -> None:
    """A frame with reserved bits."""
    call.read()
    with suppress(OSError):
        call.ws.socket.sendall(b"\xf1\x00")
    call.read_to_end()


def boundless(call: Call) -> None:
    """A message without an end."""
    call.read()
    with suppress(OSError):
        call.ws.socket.sendall(b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")
        while True:
            call.ws.socket.sendall(b"a" * 1_000_000)


def lost(code: int, reason: str = "", *, retryable: bool, hint: str, says: tuple[str, ...] = ()) -> Failure:
    """A lost connection whose audio has no transcript."""
    facts = {"code": code, "reason": reason, "unconfirmed": Span(0.0, 1.0), "request_id": "request-0"}
    return Failure(kind=ConnectionLost, says=("request-0", *says, reason), hint=hint, retryable=retryable, facts=facts)


def rejected(code: int, reason: str = "", *, says: tuple[str, ...] = (), **differing: Any) -> Failure:
    """Audio that the service cannot use."""
    facts = {"code": code, "reason": reason, "request_id": "request-0"}
    expected = Failure(
        kind=AudioRejected,
        says=("request-0", *says, reason),
        hint="Raw audio needs encoding",
        retryable=False,
        facts=facts,
    )
    return evolve(expected, **differing)


NET_0000 = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
NET_0001 = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
DATA_0000 = "The payload cannot be decoded as audio. See https://dpgr.am/data0000"
EMPTY = metadata(0.0, 0)
NOT_ARRIVED = metadata(0.0, 0, sha256=SHA256_OF_NOTHING)

ENDS: dict[str, tuple[Script, Failure]] = {
    "1000 unasked": (leaving(1000), lost(1000, retryable=True, hint="WAV", says=("without being asked",))),
    "1000 with a summary, unasked": (leaving(1000, "", metadata()), lost(1000, retryable=True, hint="WAV")),
    "no code, unasked": (leaving_without_code, lost(1005, retryable=True, hint="WAV")),
    "1001": (leaving(1001), lost(1001, retryable=True, hint="again", says=("went away",))),
    "1002": (leaving(1002), lost(1002, retryable=False, hint="defect")),
    "1003 MESSAGE-0000": (leaving(1003, "MESSAGE-0000"), lost(1003, "MESSAGE-0000", retryable=False, hint="defect")),
    "1007": (leaving(1007), lost(1007, retryable=False, hint="defect")),
    "1008 with other words": (leaving(1008, WORDS), lost(1008, WORDS, retryable=False, hint="its words say why")),
    "1009 BIG-0000": (leaving(1009, "BIG-0000"), lost(1009, "BIG-0000", retryable=False, hint="defect")),
    "1011 NET-0000": (leaving(1011, "NET-0000"), lost(1011, "NET-0000", retryable=True, hint="match its encoding")),
    "1011 NET-0000 in words": (leaving(1011, NET_0000), lost(1011, NET_0000, retryable=True, hint="its encoding")),
    "1011 NET-0001": (
        leaving(1011, "NET-0001"),
        lost(1011, "NET-0001", retryable=True, hint="network stuck", says=("received nothing",)),
    ),
    "1011 NET-0001 in words": (
        leaving(1011, NET_0001),
        lost(1011, NET_0001, retryable=True, hint="network stuck", says=("received nothing",)),
    ),
    "1011": (leaving(1011), lost(1011, retryable=True, hint="again", says=("internal error",))),
    "1011 with words": (leaving(1011, WORDS), lost(1011, WORDS, retryable=True, hint="again")),
    "1012": (leaving(1012), lost(1012, retryable=True, hint="again", says=("restarts",))),
    "1013": (leaving(1013), lost(1013, retryable=True, hint="again", says=("overloaded",))),
    "a private code": (leaving(4001, WORDS), lost(4001, WORDS, retryable=False, hint="its words say why")),
    "a reset": (resetting, lost(1006, retryable=True, hint="network")),
    "an end without a word": (vanishing, lost(1006, retryable=True, hint="network")),
    "a breach of the protocol": (breaking_the_protocol, lost(1006, retryable=True, hint="request id", says=("rsv",))),
    "a boundless message": (boundless, lost(1006, retryable=False, hint="request id", says=("too large",))),
    "1008 DATA-0000": (leaving(1008, "DATA-0000"), rejected(1008, "DATA-0000")),
    "1008 DATA-0000 in words": (leaving(1008, DATA_0000), rejected(1008, DATA_0000)),
    "1008": (leaving(1008), rejected(1008)),
    "1002 DATA-0000": (leaving(1002, "DATA-0000"), rejected(1002, "DATA-0000")),
    "an empty summary, unasked": (leaving(1000, "", EMPTY), rejected(1000, says=("found no audio in 32000 bytes",))),
}
"""By itself, when it has heard some audio."""

ANSWERS: dict[str, tuple[Script, Failure]] = {
    "an empty summary": (obedient(EMPTY), rejected(1000, says=("found no audio in 32000 bytes",))),
    "a summary of nothing": (
        obedient(NOT_ARRIVED),
        Failure(
            kind=ConnectionLost,
            says=("request-0", "none of 32000 bytes"),
            hint="again",
            retryable=True,
            facts={"code": 1000, "unconfirmed": Span(0.0, 1.0)},
        ),
    ),
    "silence": (
        lambda call: call.read_to_end(),
        Failure(kind=CloseTimeout, says=("0.3 s while closing",), hint="Timeouts(close=", retryable=False),
    ),
}
"""In answer to CloseStream."""


@pytest.mark.parametrize("name", [*ENDS, *ANSWERS])
def test_each_end_of_a_stream_has_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each close code, both spellings of its reason, each way to break: send(), close(), hooks and events() agree."""
    script, expected = {**ENDS, **ANSWERS}[name]
    hooks = Hooks()
    timeouts = Timeouts(close=0.3 if name == "silence" else SOON)
    with serving(script) as service:
        client = StreamClient(RAW, url=service.url, timeouts=timeouts, plugins=[hooks], api_key=KEY, reconnect=None)
        client.open()
        client.send(SECOND)
        events = list(client.events()) if name in ENDS else []
        with pytest.raises(expected.kind) as caught:
            client.close(timeout=SOON)
        events += client.events()
    with pytest.raises(expected.kind) as again:
        client.send(b"more")

    check(caught.value, expected, caplog)
    assert str(again.value) == str(caught.value)
    failed, closed = events[-2:]
    assert isinstance(failed, Failed)
    assert isinstance(closed, Closed)
    assert [str(failed.error)] == [str(error) for error in hooks.errors] == [str(caught.value)]
    assert closed.transcript == client.transcript
    assert client.state is StreamState.FAILED
    assert not client.transcript.complete
    assert client.transcript.gaps == (Span(0.0, 1.0),)
    assert KEY not in repr(client) + repr(vars(client)) + repr(events)


def test_a_second_wav_file_is_not_lost_without_a_word() -> None:
    """A service hears one file and ends well; the error says so, and what the first one says is there."""
    with serving(obedient(final("hello there", 0.0), metadata(1.0))) as service:
        client = StreamClient(ListenOptions(), url=service.url)
        client.open()
        client.send(wav(SECOND))
        client.send(wav(SECOND))
        with pytest.raises(AudioRejected, match="new stream for each file"):
            client.close(timeout=SOON)
    assert client.transcript.text == "hello there"
    assert not client.transcript.complete


def test_no_audio_is_no_rejected_audio() -> None:
    """A stream without a byte of audio has an empty summary as well, and is complete."""
    for summary in (NOT_ARRIVED, EMPTY):
        with serving(obedient(summary)) as service, StreamClient(RAW, url=service.url) as client:
            pass
        assert client.transcript.complete
