"""Who transcribes: a service with its key, or a server on this machine."""

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from streamclient.cli.screen import Screen
from streamclient.cli.signals import Interrupt
from streamclient.errors import SendTimeout, StreamClientError
from streamclient.policies import BufferPolicy, Timeouts
from streamclient.settings import Settings
from streamclient.sources.errors import MissingExtra

if TYPE_CHECKING:
    from streamclient.client import StreamClient
    from streamclient.options import ListenOptions

__all__ = ["Service", "ServiceChoice", "choose_service", "find_credentials", "send_all"]

SEND_SLICE = 0.2
"""Seconds after which a full buffer is left alone to look for a Ctrl-C."""

MOST_EVENTS = 20_000
"""Events that may wait for a reader of standard output who has paused; more than an hour of speech."""

ON_THIS_MACHINE = Timeouts(send=600.0, close=600.0)
"""A recogniser on this machine is there although it says nothing for long: the machine is slow, or busy."""


@frozen(kw_only=True)
class Service:
    """Who transcribes.

    Args:
        url: base URL.
        api_key: or ``None``.
        access_token: or ``None``.
        timeouts: deadlines.
        decodes: whether it decodes containers other than WAV itself.
    """

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    timeouts: Timeouts = Timeouts()
    decodes: bool = True

    def client(self, options: "ListenOptions", plugins: Iterable[object | str]) -> "StreamClient":
        """A client for one stream."""
        from streamclient.client import StreamClient

        return StreamClient(
            options,
            url=self.url,
            api_key=self.api_key,
            access_token=self.access_token,
            timeouts=self.timeouts,
            buffer=BufferPolicy(max_events=MOST_EVENTS),
            plugins=plugins,
        )


def send_all(client: "StreamClient", chunks: Iterable[bytes], interrupt: Interrupt) -> bool:
    """Send audio until somebody wishes to stop; whether all of it was sent."""
    for chunk in chunks:
        while not interrupt.requested:
            with suppress(SendTimeout):
                client.send(chunk, SEND_SLICE)
                break
        else:
            return False
    return True


class ServiceChoice(Protocol):
    """What a command was told of the service."""

    @property
    def settings(self) -> Settings:
        """The settings files."""

    @property
    def url(self) -> str | None:
        """Base URL."""

    @property
    def local(self) -> bool:
        """Whether to use this machine even with a key."""

    @property
    def timeout(self) -> float | None:
        """Seconds for a connection, and for a silent service."""


def choose_service(choice: ServiceChoice, table: str, screen: Screen, stack: ExitStack) -> Service:
    """The service that the command line, the environment and the files name; else one on this machine.

    Args:
        choice: what they say.
        table: of the settings, whose URL is worth a notice.
        screen: for notices.
        stack: stops a server on this machine.
    """
    timeouts: Timeouts | None = None
    if choice.timeout is not None:
        timeouts = Timeouts(connect=choice.timeout, send=choice.timeout, close=choice.timeout)
    api_key, access_token, _ = find_credentials(choice.settings)
    if choice.local or not (choice.url or api_key or access_token):
        why = "" if choice.local else "no API key, so "
        return Service(
            url=_local_url(why, screen, stack), api_key="local", timeouts=timeouts or ON_THIS_MACHINE, decodes=False
        )
    if choice.url and choice.url == choice.settings.table(table).get("url"):
        screen.notice(f"using {choice.url}, as the settings in {' and '.join(map(str, choice.settings.files))} say")
    return Service(url=choice.url, api_key=api_key, access_token=access_token, timeouts=timeouts or Timeouts())


def find_credentials(settings: Settings) -> tuple[str | None, str | None, str]:
    """API key, access token, and where they are from: the first place that has one of them decides."""
    environ = os.environ
    places: tuple[tuple[str, Mapping[str, str | None]], ...] = (
        ("$STREAMCLIENT_API_KEY", {"api_key": environ.get("STREAMCLIENT_API_KEY")}),
        ("$STREAMCLIENT_ACCESS_TOKEN", {"access_token": environ.get("STREAMCLIENT_ACCESS_TOKEN")}),
        ("$DEEPGRAM_API_KEY", {"api_key": environ.get("DEEPGRAM_API_KEY")}),
        (" and ".join(map(str, settings.files)), settings.secrets),
    )
    for name, place in places:
        if place.get("api_key") or place.get("access_token"):
            api_key = place.get("api_key") or None
            return api_key, None if api_key else place["access_token"], name
    return None, None, ""


def _local_url(why: str, screen: Screen, stack: ExitStack) -> str:
    try:
        from streamclient.server import LocalServer
    except StreamClientError as error:
        raise MissingExtra("Transcribing without an API key", "server") from error
    server = stack.enter_context(LocalServer(engine="pocketsphinx"))
    screen.notice(f"{why}{server.engine.name} transcribes here; its quality is not Deepgram's")
    return server.url
