"""The plugin ``webhook``: posts events to a URL, signed, in order, and until they have arrived."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from attrs import define, field
from attrs.converters import optional

from streamclient import LanePolicy, StreamView, Transcript, hookimpl
from streamclient_plugins.facts import EventReporter
from streamclient_plugins.webhook.courier import Courier, Delivery
from streamclient_plugins.webhook.outbox import Outbox
from streamclient_plugins.webhook.sender import Sender
from streamclient_plugins.webhook.signing import Signer
from streamclient_plugins.webhook.target import Target

if TYPE_CHECKING:
    from streamclient_plugins.webhook.post import Poster

__all__ = ["OUTBOX_VARIABLE", "SECRET_VARIABLE", "URL_VARIABLE", "Webhook", "default_outbox"]

URL_VARIABLE = "STREAMCLIENT_WEBHOOK_URL"
SECRET_VARIABLE = "STREAMCLIENT_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
OUTBOX_VARIABLE = "STREAMCLIENT_WEBHOOK_OUTBOX"

EXTRA = "`pip install 'streamclient[webhook]'`"

EventName = Literal["open", "final", "utterance", "disconnect", "reconnect", "error", "plugin_error", "close"]


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(value.split() if isinstance(value, str) else value)


def _event_names(value: str | Iterable[str]) -> tuple[EventName, ...]:
    names = _texts(value)
    for name in names:
        if name not in get_args(EventName):
            raise ValueError(f"events={name!r} is not allowed; allowed is {' or '.join(get_args(EventName))}")
    return names  # type: ignore[return-value]  # just looked at


def default_outbox() -> Path:
    """The outbox of this user, where no other is named.

    Raises:
        ValueError: the package that knows where it is to be is not installed.
    """
    named = os.environ.get(OUTBOX_VARIABLE)
    if named:
        return Path(named).expanduser()
    try:
        from platformdirs import user_state_dir
    except ImportError as error:
        raise ValueError(f"outbox=PATH is needed, or platformdirs, which finds a place for it: {EXTRA}") from error
    return Path(user_state_dir("streamclient", appauthor=False)) / "outbox.sqlite"


@define(eq=False, kw_only=True)
class Webhook(EventReporter):
    """Post events as JSON to a URL, signed as Standard Webhooks, and again until they have arrived."""

    url: str = field(
        default="",
        repr=False,
        metadata={"help": f"Where to post to; default ${URL_VARIABLE}."},
    )
    secret: tuple[str, ...] = field(
        default=(),
        converter=_texts,
        repr=False,
        metadata={"help": f"Standard Webhooks secret to sign with, or several; default ${SECRET_VARIABLE}."},
    )
    events: tuple[EventName, ...] = field(
        default=("utterance", "close"), converter=_event_names, metadata={"help": "Which events to post."}
    )
    outbox: Path | None = field(
        default=None,
        converter=optional(Path),
        metadata={"help": f"File that keeps what is not delivered yet; default ${OUTBOX_VARIABLE}, else one per user."},
    )
    name: str = field(default="", metadata={"help": "What the receiver is called in the outbox; default its host."})
    timeout: float = field(default=15.0, metadata={"help": "Seconds for one post."})
    drain: float = field(
        default=3.0, metadata={"help": "Seconds to deliver what is left when the stream closes; the rest waits."}
    )
    max_waiting: int = field(default=100_000, metadata={"help": "Events that may wait for the receiver."})
    allow_private: bool = field(
        default=True, metadata={"help": "Whether to post to addresses that are not of the public internet."}
    )
    ca_file: str | None = field(
        default=None, metadata={"help": "Certificate authorities (PEM) to trust instead of the system's."}
    )
    lane_policy: LanePolicy = field(init=False, repr=False)
    path: Path = field(init=False, repr=False)
    _target: Target = field(init=False, repr=False)
    _senders: dict[str, Sender] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.url = self.url or os.environ.get(URL_VARIABLE, "")
        self.secret = self.secret or os.environ.get(SECRET_VARIABLE, "")  # type: ignore[assignment]  # converted
        self.path = (self.outbox or default_outbox()).expanduser().absolute()
        if not self.url:
            raise ValueError(f"url is needed: set ${URL_VARIABLE} or the option url")
        for name, least in (("timeout", 0.1), ("drain", 0), ("max_waiting", 1)):
            if not least <= getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} is not allowed; allowed is {least} or more")
        self._target = Target(self.url, Signer(self.secret), self.ca_file, self.allow_private, self.timeout, self.name)
        # At the end of a stream it is to wait for the receiver, which is no sign of trouble.
        self.lane_policy = LanePolicy(slow_after=self.drain + 2.0)
        # Early: before there is a stream that would go on without them.
        self._poster().close()
        Outbox(self.path).close()

    @property
    def endpoint(self) -> str:
        """What the receiver is called in the outbox."""
        return self._target.name

    @contextmanager
    def delivery(self, outbox: Outbox) -> Iterator[Delivery]:
        """Deliver from an outbox without a stream."""
        with closing(self._poster()) as poster:
            yield Delivery(outbox, self.endpoint, poster, self._lease)

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Begin to deliver, and post ``open``."""
        self._sender(stream).open()
        super().on_open(stream)

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Post ``close``, and deliver what can be delivered in the time there is."""
        try:
            super().on_close(stream, transcript)
        finally:
            sender = self._sender(stream)
            del self._senders[stream.id]
            sender.finish(self.drain)

    def report(self, stream: StreamView, event: str, facts: Mapping[str, Any]) -> None:
        """Put an event into the outbox, after those that it has failed to take before.

        Raises:
            OutboxFull: ``max_waiting`` events wait already; this one is not kept.
            sqlite3.Error: the disk is full, for example; it is tried again with the next event.
        """
        sender = self._sender(stream)
        if event in self.events:
            sender.add(event, facts)
        sender.keep()

    def _sender(self, stream: StreamView) -> Sender:
        """The stream's own; several streams may share the plugin."""
        if stream.id not in self._senders:
            courier = Courier(self.path, self.endpoint, self._poster(), stream.id, self._lease)
            self._senders[stream.id] = Sender(self.path, self.endpoint, stream.id, courier, self.max_waiting)
        return self._senders[stream.id]

    def _poster(self) -> "Poster":
        try:
            from streamclient_plugins.webhook.post import Poster
        except ImportError as error:
            raise ValueError(f"webhook needs h11: {EXTRA}") from error
        return Poster(self._target)

    @property
    def _lease(self) -> float:
        """Seconds for which a letter belongs to who sends it: a post, and a machine that takes its time."""
        return 2 * self.timeout + 5.0
