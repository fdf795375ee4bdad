"""Events one after another, and inboxes of them."""

from streamclient.events import Closed, Event, Opened, Transcript
from streamclient.threads.inbox import Inbox
from tests.support.messages import final, interim

SOON = 60.0
"""Seconds that only elapse when a test is about to fail."""

CLOSED = Closed(Transcript())
OPENED = Opened("id")


def finals(count: int) -> list[Event]:
    """Finals one after another."""
    return [final(f"word{number}", number, number + 1.0) for number in range(count)]


def interims(count: int, channel: int = 0) -> list[Event]:
    """Interims that supersede one another."""
    return [interim("so far", 0.0, number + 1.0, channel=channel, channels=2) for number in range(count)]


def filled(limit: int, *events: Event) -> Inbox:
    """An inbox with these events put in."""
    inbox = Inbox(limit)
    for event in events:
        inbox.put(event)
    return inbox


def emptied(inbox: Inbox) -> list[Event]:
    """All that waits."""
    events = []
    while (event := inbox.get(0)) is not None:
        events.append(event)
    return events
