"""Guarantee 2: what happens from a break to the next connection."""

import json
import threading
import time
from pathlib import Path

import pytest

from streamclient import StreamClient, StreamState, Timeouts
from streamclient.testing.builders import SHA256_OF_NOTHING
from tests.support.outages import (
    QUICK,
    RAW,
    SECOND,
    SLOW,
    Witness,
    breaking,
    drop,
    drop_after_audio,
    finish,
    refuse_later,
)
from tests.support.service import SOON, Call, final, metadata, serving


def test_retry_after_is_honoured() -> None:
    """A service that asks for a second of peace gets it, even from a client that is closing."""
    with serving(breaking(drop_after_audio, finish)) as service:
        refuse_later(service, 429, {"Retry-After": "1"}, times=1)
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        began = time.monotonic()
        assert client.close(timeout=SOON).complete
        assert time.monotonic() - began >= 1.0


def test_closing_wakes_a_client_that_waits_to_try_again() -> None:
    """close() during the wait of an outage tries at once; nothing that was accepted in the outage is missing."""
    witness = Witness()
    with serving(breaking(drop, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=SLOW, plugins=[witness])
        client.open()
        assert witness.disconnected.wait(SOON)
        assert client.state is StreamState.RECONNECTING
        client.send(SECOND)
        transcript = client.close(timeout=SOON)
        assert len(service.calls[-1].audio) == len(SECOND)
    assert transcript.complete
    assert transcript.text == "word"


def test_aborting_wakes_a_client_that_waits_to_try_again() -> None:
    """abort() during the wait of an outage ends the stream at once."""
    witness = Witness()
    with serving(drop) as service:
        client = StreamClient(RAW, url=service.url, reconnect=SLOW, plugins=[witness])
        client.open()
        assert witness.disconnected.wait(SOON)
        began = time.monotonic()
        client.abort()
        assert time.monotonic() - began < SOON
        assert len(service.calls) == 1
    assert client.state is StreamState.CLOSED


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
def test_an_end_that_nobody_asked_for_is_an_outage(code: int) -> None:
    """A close frame before CloseStream, even a normal one, leads to another connection and the whole transcript."""
    witness = Witness()
    with serving(breaking(lambda call: call.end(code=code), finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, plugins=[witness])
        client.open()
        client.send(SECOND)
        assert witness.reconnected.wait(SOON)
        transcript = client.close(timeout=SOON)
        assert service.calls[-1].audio == SECOND
    assert transcript.complete
    assert transcript.text == "word"
    assert witness.outages == ["lost", "back"]


def test_the_plugins_log_and_jsonl_show_outages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each tells when the connection was lost and why, and when it was there again, between what was said."""
    caplog.set_level("INFO")
    path = tmp_path / "call.jsonl"

    def heard_and_broken(call: Call) -> None:
        call.read()
        call.say(final("before", 0.0, 0.25))
        call.end(code=1011, reason="NET-0001")

    with serving(breaking(heard_and_broken, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK, plugins=["log", f"jsonl:path={path}"])
        client.open()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete

    events = [json.loads(line) for line in path.read_text().splitlines()]
    told = ("open", "final", "disconnect", "reconnect", "close")
    assert [event["event"] for event in events if event["event"] in told] == [
        "open", "final", "disconnect", "reconnect", "final", "close",
    ]  # fmt: skip
    assert all("NET-0001" in event["error"]["message"] for event in events if event["event"] == "disconnect")
    lines = [record.getMessage() for record in caplog.records if record.name == "streamclient.transcript"]
    assert [line for line in lines if "lost its connection" in line and "NET-0001" in line]
    assert [line for line in lines if "connected again" in line]


def test_a_server_that_leaves_before_it_heard_anything_has_not_rejected_it() -> None:
    """Its summary is empty because it leaves, not because of the audio: another connection hears all of it."""
    of_nothing = metadata(0.0, 0, SHA256_OF_NOTHING)

    def leave(call: Call) -> None:
        call.read()
        call.end(of_nothing, code=1001)

    with serving(breaking(leave, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete
        assert service.calls[-1].audio == SECOND


def test_each_connection_asks_for_a_token_of_its_own() -> None:
    """A callable access_token is asked before every connection."""
    tokens = iter(["first", "second"])
    with serving(breaking(drop_after_audio, finish)) as service:
        client = StreamClient(RAW, url=service.url, access_token=lambda: next(tokens), reconnect=QUICK)
        client.open()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete
        assert [call.headers["Authorization"] for call in service.calls] == ["Bearer first", "Bearer second"]


def test_settings_are_applied_again_before_any_audio() -> None:
    """What configure() changed is the first thing a new connection hears."""

    def heard_and_broken(call: Call) -> None:
        while not call.texts:
            call.read()
        call.say(final("word", 0.0, 1.0))
        call.reset()

    with serving(breaking(heard_and_broken, finish)) as service:
        client = StreamClient(RAW, url=service.url, reconnect=QUICK)
        client.open()
        client.send(SECOND)
        client.configure(keyterms=["fjord"])
        assert service.wait_for_call()
        assert service.wait_for_call()
        client.send(SECOND)
        assert client.close(timeout=SOON).complete
        first, second = service.calls
    assert second.frames[0] == first.texts[0] == '{"type": "Configure", "keyterms": ["fjord"]}'


def test_a_new_connection_gets_signs_of_life() -> None:
    """KeepAlive goes on after an outage."""
    alive = threading.Event()

    def wait_for_keep_alive(call: Call) -> None:
        call.read_until('{"type": "KeepAlive"}')
        alive.set()
        finish(call)

    with serving(breaking(drop, wait_for_keep_alive)) as service:
        timeouts = Timeouts(keepalive=0.05)
        with StreamClient(RAW, url=service.url, reconnect=QUICK, timeouts=timeouts) as client:
            assert alive.wait(SOON)
            client.send(SECOND)
    assert client.transcript.complete
