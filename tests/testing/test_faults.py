"""Faults are data: written, read, drawn from a seed, and due at an exact moment."""

import json
from math import inf
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.testing import faults
from streamclient.testing.builders import interim, metadata, results
from streamclient.testing.faults import (
    Alter,
    Close,
    Dribble,
    Fault,
    Fragment,
    Ping,
    Refuse,
    Reset,
    Say,
    SlowHandshake,
    Stall,
    audio_bytes,
    audio_seconds,
    close_stream,
    finals,
    from_json,
    handshake,
    messages,
    random_schedule,
    to_json,
)
from streamclient.testing.mishaps import Mishaps, alter


@pytest.mark.parametrize("seed", range(50))
def test_a_schedule_survives_json(seed: int) -> None:
    """What is written to JSON and read again is the same schedule."""
    schedule = random_schedule(seed, 10.0)
    assert from_json(json.loads(json.dumps(to_json(schedule)))) == schedule


def test_every_fault_can_be_written_and_read() -> None:
    """Each kind of fault survives JSON, with all it has."""
    needed: dict[str, Any] = {"status": 503, "seconds": 1.0, "how": "double finals"}
    for kind in faults.FAULTS.values():
        required = [field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING]
        fault = kind(**{name: needed[name] for name in required})
        assert from_json(json.loads(json.dumps(to_json([[fault]])))) == [[fault]]


def test_a_fault_that_does_not_exist_is_named() -> None:
    """A schedule from a file says what is wrong with it."""
    with pytest.raises(ValueError, match="there is no fault 'Lightning'"):
        from_json([[{"fault": "Lightning", "after": {"what": "bytes", "count": 0}}]])


def test_a_fault_needs_no_moment() -> None:
    """One that is written by hand has the default."""
    assert from_json([[{"fault": "Refuse", "status": 503}], [{"fault": "Reset"}]]) == [[Refuse(503)], [Reset()]]


@pytest.mark.parametrize("schedule", [{}, [{}], [[7]], [[{"fault": "Reset", "after": 3}]], [[{}]], None])
def test_what_is_no_schedule_is_told(schedule: object) -> None:
    """Before any connection is made."""
    with pytest.raises(ValueError, match=r"schedule|fault"):
        from_json(schedule)


def test_the_same_seed_draws_the_same_schedule() -> None:
    """A failing schedule can be played again; another seed draws another."""
    assert random_schedule(7, 10.0) == random_schedule(7, 10.0)
    assert random_schedule(7, 10.0) != random_schedule(8, 10.0)


@given(
    position=st.integers(0, 5000),
    sizes=st.lists(st.integers(1, 900), max_size=12),
)
def test_audio_is_cut_to_the_byte(position: int, sizes: list[int]) -> None:
    """A fault after so many bytes comes after exactly so many, however the audio is cut; nothing is lost."""
    reset = Reset(after=audio_bytes(position))
    mishaps = Mishaps([reset])
    forwarded = 0
    struck_at = 0 if mishaps.opened() else None
    for size in sizes:
        for piece, due in mishaps.heard(bytes(size)):
            forwarded += len(piece)
            struck_at = forwarded if due else struck_at
    assert forwarded == sum(sizes)
    assert struck_at == (position if position <= forwarded else None)


def test_seconds_are_counted_in_the_bytes_of_the_encoding() -> None:
    """Half a second of 8 kHz mulaw is 4000 bytes."""
    mishaps = Mishaps([Reset(after=audio_seconds(0.5))], bytes_per_second=8000)
    assert [(len(piece), len(due)) for piece, due in mishaps.heard(bytes(5000))] == [(4000, 1), (1000, 0)]


def test_a_container_has_no_seconds() -> None:
    """Whoever counts seconds of audio whose bytes have no duration is told what to do."""
    with pytest.raises(ValueError, match="audio_bytes"):
        Mishaps([Reset(after=audio_seconds(0.5))])


def test_moments_are_counted_on_their_own() -> None:
    """Messages, finals and the messages since CloseStream each have a count; each fault comes once."""
    planned: list[Fault] = [
        SlowHandshake(1.0),
        Ping(after=messages(2)),
        Say(after=finals(2)),
        Close(after=close_stream()),
        Reset(after=close_stream(1)),
    ]
    slow, ping, say, close, reset = planned
    mishaps = Mishaps(planned)
    assert mishaps.in_handshake() == [slow]
    assert mishaps.opened() == []
    assert mishaps.said(results("one", 0, 1)) == []
    assert mishaps.said(interim("two", 1, 2)) == [ping]
    assert mishaps.said(results("two", 1, 2)) == [say]
    assert mishaps.asked_to_close() == [close]
    assert mishaps.said(metadata()) == [reset]
    assert mishaps.said(metadata()) == []


def test_refusals_meet_the_handshake() -> None:
    """A refusal needs no moment: it comes before there is a connection."""
    assert Refuse(429).after == handshake()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("double finals", [results("one", 0, 1), results("one", 0, 1)]),
        ("type is a number", [{**results("one", 0, 1), "type": 7}, results("one", 0, 1)]),
        ("no alternatives", [results("one", 0, 1)]),
    ],
)
def test_alterations_change_what_is_said(how: faults.Alteration, expected: list[object]) -> None:
    """Each alteration does to a final what it says."""
    assert [json.loads(text) for text in alter(json.dumps(results("one", 0, 1)), [Alter(how)])] == expected


def test_what_is_no_message_is_not_altered() -> None:
    """Garbage stays what it is."""
    assert alter("{", [Alter("unknown fields")]) == ["{"]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Close(70_000), "code is 70000"),
        (lambda: Close(1011, "ü" * 62), "124 bytes"),
        (lambda: Refuse(101), "status"),
        (lambda: Stall(-1.0), "seconds"),
        (lambda: Dribble(0), "size"),
        (lambda: Fragment(-1), "size"),
        (lambda: Alter("everything"), "'double finals'"),  # type: ignore[arg-type] # that is the test
        (lambda: Stall(1.0, "sends"), "'both', 'reads', 'writes'"),  # type: ignore[arg-type] # that is the test
        (lambda: Reset(after=audio_bytes(-1)), "count"),
        (lambda: Reset(after=audio_seconds(inf)), "count"),
    ],
)
def test_a_fault_that_makes_no_sense_is_told_at_once(make: Any, complaint: str) -> None:
    """Where it is written, and not by a thread when a client connects."""
    with pytest.raises(ValueError, match=complaint):
        make()
