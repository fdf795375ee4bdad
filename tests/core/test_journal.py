"""What is accepted goes out once, in order, in frames of a bounded size."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient.core.journal import Journal, Room, Spilled


def take(journal: Journal) -> bytes | str:
    """The next frame, which is not on disk."""
    frame = journal.take()
    assert not isinstance(frame, Spilled)
    return frame


def taken(journal: Journal) -> list[bytes | str]:
    """All that waits."""
    frames = []
    while journal:
        frames.append(take(journal))
    return frames


def test_small_chunks_that_wait_are_joined() -> None:
    """Chunks that wait together leave in one frame."""
    journal = Journal(100, 0, 10, keeps=False)
    for chunk in (b"ab", b"cd", b"ef"):
        journal.add_audio(chunk)
    assert taken(journal) == [b"abcdef"]


def test_chunk_that_waits_alone_leaves_alone() -> None:
    """Nothing is held back in order to be joined."""
    journal = Journal(100, 0, 10, keeps=False)
    journal.add_audio(b"ab")
    assert journal.take() == b"ab"
    journal.add_audio(b"cd")
    assert journal.take() == b"cd"


def test_packets_leave_one_by_one() -> None:
    """Where a chunk is a packet it has a frame of its own, from memory and from disk, also when it is taken again."""
    journal, file = Journal(4, 100, 10, keeps=True, joins=False), object()
    packets: list[bytes | Spilled] = [b"ab", b"cd", Spilled(file, 0, 2), Spilled(file, 2, 2), Spilled(file, 4, 2)]
    for packet in packets:
        journal.add_audio(packet)
    assert [journal.take() for _ in packets] == packets
    journal.rewind()
    assert [journal.take() for _ in packets] == packets


def test_whole_chunk_is_not_copied() -> None:
    """The chunk of the usual case goes to the network as it is."""
    journal = Journal(100, 0, 10, keeps=False)
    chunk = bytes(8)
    journal.add_audio(chunk)
    assert journal.take() is chunk


def test_large_chunk_is_cut() -> None:
    """A frame is never longer than the limit, and the rest is joined with what follows."""
    journal = Journal(100, 0, 4, keeps=False)
    journal.add_audio(b"0123456789")
    journal.add_audio(b"ab")
    assert taken(journal) == [b"0123", b"4567", b"89ab"]


def test_control_message_keeps_its_place() -> None:
    """A control message leaves after the bytes before it and before the bytes after it."""
    journal = Journal(100, 0, 10, keeps=False)
    journal.add_audio(b"ab")
    journal.add_control("Finalize")
    journal.add_audio(b"cd")
    assert taken(journal) == [b"ab", "Finalize", b"cd"]


def test_taking_from_nothing_is_an_error() -> None:
    """The owner asks first whether something waits."""
    journal = Journal(100, 0, 10, keeps=False)
    assert not journal
    with pytest.raises(IndexError):
        journal.take()


def test_audio_is_counted() -> None:
    """Accepted, taken and waiting bytes are those of audio alone."""
    journal = Journal(100, 0, 4, keeps=False)
    journal.add_control("Finalize")
    journal.add_audio(bytes(10))
    assert (journal.audio_accepted, journal.audio_taken, journal.audio_waiting) == (10, 0, 10)
    journal.take()
    journal.take()
    assert (journal.audio_accepted, journal.audio_taken, journal.audio_waiting) == (10, 4, 6)


def test_room_is_what_the_bound_leaves() -> None:
    """Waiting audio and control messages both count, and taking them makes room again."""
    journal = Journal(10, 0, 4, keeps=False)
    journal.add_audio(bytes(4))
    journal.add_control("abc")
    assert journal.room(3) is Room.MEMORY
    assert journal.room(4) is Room.NONE
    journal.take()
    assert journal.room(7) is Room.MEMORY
    journal.take()
    assert journal.room(10) is Room.MEMORY


def test_chunk_larger_than_the_bound_fits_when_nothing_waits() -> None:
    """One chunk can always be accepted, or a stream of large chunks would never move."""
    journal = Journal(10, 0, 4, keeps=False)
    assert journal.room(1000) is Room.MEMORY
    journal.add_audio(bytes(1))
    assert journal.room(1000) is Room.NONE


CHUNKS = st.binary(min_size=1, max_size=30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), CHUNKS),
        st.tuples(st.just("control"), st.text("FKC", min_size=1, max_size=5)),
        st.tuples(st.just("take"), st.integers(1, 4)),
    ),
    max_size=40,
)


def joined(entries: list[bytes | str]) -> list[bytes | str]:
    """The entries with neighbouring audio as one, since boundaries of frames mean nothing."""
    whole: list[bytes | str] = []
    for entry in entries:
        last = whole[-1] if whole else None
        if isinstance(entry, bytes) and isinstance(last, bytes):
            whole[-1] = last + entry
        else:
            whole.append(entry)
    return whole


@given(steps=STEPS, max_bytes=st.integers(1, 60), frame_bytes=st.integers(1, 16))
def test_everything_comes_out_once_and_in_order(steps: list[tuple[str, Any]], max_bytes: int, frame_bytes: int) -> None:
    """Whatever comes in and however it is taken, the same bytes and messages come out, within the bounds."""
    journal = Journal(max_bytes, 0, frame_bytes, keeps=False)
    accepted: list[bytes | str] = []
    out: list[bytes | str] = []
    for kind, what in steps:
        if kind == "take":
            out += [take(journal) for _ in range(what) if journal]
        elif journal.room(len(what)) is Room.MEMORY:
            waited = bool(journal)
            (journal.add_audio if kind == "audio" else journal.add_control)(what)
            accepted.append(what)
            waiting = len(b"".join(x.encode() if isinstance(x, str) else x for x in accepted)) - sum(map(len, out))
            assert waiting <= max_bytes or not waited
        else:
            assert journal
    out += taken(journal)
    assert joined(out) == joined(accepted)
    assert all(frame for frame in out)
    assert all(len(frame) <= frame_bytes for frame in out if isinstance(frame, bytes))
    assert journal.audio_waiting == 0
    assert journal.audio_taken == sum(len(entry) for entry in accepted if isinstance(entry, bytes))


def test_very_many_tiny_chunks_do_not_cost_more_memory_than_allowed() -> None:
    """Each chunk costs more than its bytes, so their number is bounded too."""
    journal = Journal(4800, 0, 100, keeps=False)
    taken = 0
    while journal.room(1) is Room.MEMORY:
        journal.add_audio(b"a")
        taken += 1

    assert taken == 101


DISK = object()


def test_taken_audio_is_kept_until_it_is_confirmed() -> None:
    """What was sent can be sent again from the byte after the last confirmed one, with the messages in between."""
    journal = Journal(100, 0, 4, keeps=True)
    journal.add_audio(b"0123456789")
    journal.add_control("Finalize")
    journal.add_audio(b"ab")
    assert taken(journal) == [b"0123", b"4567", b"89", "Finalize", b"ab"]
    journal.confirm(6)
    journal.rewind()

    assert journal.audio_taken == journal.audio_confirmed == 6
    assert taken(journal) == [b"6789", "Finalize", b"ab"]


def test_rewinding_in_the_middle_of_a_chunk_loses_nothing() -> None:
    """A chunk of which a part was taken comes back whole."""
    journal = Journal(100, 0, 4, keeps=True)
    journal.add_audio(b"0123456789")
    assert journal.take() == b"0123"
    journal.rewind()

    assert joined(taken(journal)) == [b"0123456789"]


def test_confirmed_audio_makes_room() -> None:
    """Kept audio counts until it is confirmed."""
    journal = Journal(10, 0, 4, keeps=True)
    journal.add_audio(bytes(10))
    taken(journal)
    assert journal.room(1) is Room.NONE
    journal.confirm(4)

    assert journal.room(4) is Room.MEMORY
    assert journal.room(5) is Room.NONE


def test_a_frame_that_is_confirmed_in_part_makes_room_for_that_part() -> None:
    """Finals end anywhere; what is left of a frame must not hold up a caller for whom there would be room."""
    journal = Journal(10, 0, 10, keeps=True)
    journal.add_audio(b"0123456789")
    assert taken(journal) == [b"0123456789"]
    journal.confirm(3)
    assert [journal.room(size) for size in (3, 4)] == [Room.MEMORY, Room.NONE]
    journal.rewind()
    assert taken(journal) == [b"3456789"]
    journal.confirm(10)
    assert journal.room(10) is Room.MEMORY


def test_less_than_a_sample_holds_up_nobody() -> None:
    """No final will ever cover it, so a caller with a chunk larger than the buffer would wait for ever."""
    journal = Journal(1, 0, 10, keeps=True, sample_bytes=2)
    journal.add_audio(b"012")
    assert taken(journal) == [b"012"]
    journal.confirm(1)
    assert journal.room(5) is Room.NONE
    journal.confirm(2)
    assert journal.room(5) is Room.MEMORY


def test_what_gets_no_final_until_more_audio_comes_holds_up_no_large_chunk() -> None:
    """With no more than half of the bound kept, and nothing waiting, a chunk of any size is taken, one at a time."""
    journal = Journal(10, 0, 100, keeps=True)
    journal.add_audio(bytes(10))
    assert journal.room(6) is Room.NONE
    taken(journal)
    journal.confirm(4)
    assert journal.room(6) is Room.NONE
    journal.confirm(5)
    assert journal.room(6) is journal.room(1000) is Room.MEMORY
    journal.add_audio(bytes(1000))
    assert journal.room(1) is Room.NONE
    taken(journal)
    assert journal.room(1) is Room.NONE


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 30)),
            st.tuples(st.just("take"), st.just(0)),
            st.tuples(st.just("confirm"), st.integers(0, 400)),
            st.tuples(st.just("rewind"), st.just(0)),
        ),
        max_size=60,
    ),
    joins=st.booleans(),
    keeps=st.booleans(),
)
def test_room_is_what_is_left_of_the_bound(steps: list[tuple[str, int]], joins: bool, keeps: bool) -> None:
    """However audio is added, taken, confirmed and taken again, what may still be needed counts, and nothing else."""
    journal = Journal(100, 0, 8, keeps=keeps, joins=joins)
    for step, size in steps:
        if step == "add" and journal.room(size) is Room.MEMORY:
            journal.add_audio(bytes(size))
        elif step == "take" and journal:
            journal.take()
        elif step == "confirm":
            journal.confirm(size)
        elif step == "rewind":
            journal.rewind()
        left = 100 - (journal.audio_accepted - journal.audio_confirmed)
        assert journal.room(left) is Room.MEMORY
        assert journal.room(left + 1) is Room.NONE or left == 100 or (left >= 50 and not journal)


def test_what_memory_does_not_hold_goes_to_disk_and_keeps_its_place() -> None:
    """Beyond the bound of memory there is the disk's, and the order stays."""
    journal = Journal(4, 6, 4, keeps=True)
    journal.add_audio(b"0123")
    assert journal.room(3) is Room.DISK
    journal.add_audio(Spilled(DISK, 0, 3))
    journal.add_audio(Spilled(DISK, 3, 3))
    assert journal.room(1) is Room.NONE
    frames = [journal.take() for _ in range(3)]
    assert frames == [b"0123", Spilled(DISK, 0, 3), Spilled(DISK, 3, 3)]
    journal.confirm(5)
    journal.rewind()
    assert journal.take() == Spilled(DISK, 1, 2)


def test_a_disk_that_is_full_is_not_asked_again() -> None:
    """After an error of the disk there is memory alone."""
    journal = Journal(4, 100, 4, keeps=True)
    journal.add_audio(b"0123")
    journal.refuse_disk()

    assert journal.room(1) is Room.NONE
