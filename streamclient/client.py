"""The public face: one blocking client for one stream."""

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import attrs
from attrs import frozen

from streamclient import __version__
from streamclient.core.opening import Opening
from streamclient.core.protocol import Protocol
from streamclient.errors import CloseTimeout, ConnectTimeout, OptionsError, PluginOverrun, hides_arguments
from streamclient.events import Closed, Event, StreamState, StreamStats, Transcript
from streamclient.options import FluxOptions, ListenOptions
from streamclient.plugins import load_plugins
from streamclient.policies import BufferPolicy, ReconnectPolicy, Timeouts, TransportOptions
from streamclient.threads import lifecycle
from streamclient.threads.dispatch import Dispatcher
from streamclient.threads.session import Session
from streamclient.threads.worker import SLICE, Deadline, wait_for, was_called_within
from streamclient.wire.credentials import Credentials
from streamclient.wire.dialing import Address
from streamclient.wire.transport import Connection, connect

__all__ = ["StreamClient", "as_bytes"]

SERVICE_URL = "wss://api.deepgram.com"

WITH_LOCKS = tuple(f"streamclient.threads.{module}" for module in ("failures", "inbox", "spill", "tap"))
"""Modules with locks that callers take as well as the stream's threads. Who waits in one of them, for events or for
room, goes on once the stream is asked to end; nobody else is there for long."""

FAREWELL = 2.0
"""Seconds for a stream that was cut to let go of its threads."""


@frozen(eq=False)
class _View:
    """What hooks see of their stream."""

    id: str
    options: ListenOptions | FluxOptions
    _stream: "_Stream" = attrs.field(repr=False)

    @property
    def request_id(self) -> str | None:
        return next(reversed(self._stream.session.request_ids), None)

    @property
    def stats(self) -> StreamStats:
        return self._stream.stats()


class _Stream:
    """Session and lanes of one stream; lives on when the client that made it is forgotten."""

    def __init__(self, view_id: str, session: Session, dispatcher: Dispatcher, timeouts: Timeouts) -> None:
        self.session = session
        self.dispatcher = dispatcher
        self.exit_budget = timeouts.exit
        self.feeder = 0
        self.is_draining = False
        self._id = view_id
        self._patience = timeouts.close

    def __repr__(self) -> str:
        return f"<stream {self._id}: {self.session.state.value}>"

    @property
    def is_finished(self) -> bool:
        return self.session.has_ended and self.dispatcher.is_drained

    @property
    def is_current(self) -> bool:
        """Whether one of the stream's own threads asks; it must not wait for the stream."""
        return self.session.is_current or self.dispatcher.is_current

    def request_close(self) -> None:
        self.session.request_close()

    def abort(self) -> None:
        self.session.abort()

    @property
    def is_interrupted(self) -> bool:
        """Whether a handler of a signal asks that has interrupted its own thread where it may hold a lock of ours."""
        return was_called_within(*WITH_LOCKS) or self.session.is_interrupted

    def drain(self) -> None:
        self.is_draining = True
        self.session.close_soon()

    def cut(self) -> None:
        self.session.cut()

    def after_fork(self) -> None:
        self.session.after_fork()
        self.dispatcher.after_fork()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the stream has ended and every plugin has had its last event."""
        return self.session.wait_ended(deadline) and self.dispatcher.wait(deadline, self._patience)

    def stats(self) -> StreamStats:
        errors = self.dispatcher.plugin_errors
        return attrs.evolve(
            self.session.stats(),
            interims_shed=self.dispatcher.interims_shed,
            plugin_errors=sum(errors.values()),
            plugin_errors_by_name=tuple(sorted(errors.items())),
            plugins=self.dispatcher.plugin_stats,
        )


class StreamClient:
    """A live transcription: send audio, get every transcript of it, in order, once.

    All methods may be called from any thread. In a ``with`` block the client is opened at the start; a clean exit
    closes it, an exception aborts it. Each client serves one stream.

    Args:
        options: what to ask of the service.
        api_key: Deepgram API key; without key and token, ``$DEEPGRAM_API_KEY``.
        access_token: temporary token, or a callable that is asked before every connection, in the sender thread; it
            has to come to an end by itself, for nothing can interrupt it.
        url: base, ``ws://host:port`` or ``wss://host``; default ``$STREAMCLIENT_URL``, else Deepgram.
        plugins: objects with hooks, names of installed plugins (with options: ``"jsonl:path=call.jsonl"``), or
            paths of ``.py`` files.
        reconnect: when to build a lost connection again; ``None`` for never.
        timeouts: deadlines.
        buffer: bounds.
        transport: proxy, certificate authorities, further headers.

    Raises:
        OptionsError: an argument is wrong.
        PluginError: a plugin cannot be found, loaded or configured.
    """

    @hides_arguments
    def __init__(
        self,
        options: ListenOptions | FluxOptions,
        *,
        api_key: str | None = None,
        access_token: str | Callable[[], str] | None = None,
        url: str | None = None,
        plugins: Iterable[object | str] = (),
        reconnect: ReconnectPolicy | None = ReconnectPolicy(),  # noqa: B008 - frozen
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        buffer: BufferPolicy = BufferPolicy(),  # noqa: B008 - frozen
        transport: TransportOptions = TransportOptions(),  # noqa: B008 - frozen
    ) -> None:
        _require("timeouts", timeouts, Timeouts)
        _require("buffer", buffer, BufferPolicy)
        _require("transport", transport, TransportOptions)
        if reconnect is not None:
            _require("reconnect", reconnect, ReconnectPolicy)
        self.id = os.urandom(16).hex()
        self._options = options
        self._timeouts = timeouts
        self._protocol = Protocol(options, timeouts, buffer, reconnect)
        connector = _Connector(stream_url(url, options), Credentials(api_key, access_token), transport, timeouts)
        dispatcher = Dispatcher(buffer.max_events)
        opening = Opening(options.encoding)
        session = Session(
            self.id[:8],
            self._protocol,
            opening,
            connector,
            dispatcher.publish,
            dispatcher.taps,
            dispatcher.transcript,
        )
        self._stream = _Stream(self.id, session, dispatcher, timeouts)
        view = _View(self.id, self._options, self._stream)
        for plugin in load_plugins(plugins):
            dispatcher.add(plugin, view)
        self._forgotten = weakref.finalize(self, _forget, self._stream)
        self._forgotten.atexit = False

    def __repr__(self) -> str:
        return f"<StreamClient {self.id}: {self.state.value}>"

    def __enter__(self) -> "StreamClient":
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif not self._stream.is_draining:  # or the exception may well come from that: it ends sending
            self.abort()

    def open(self) -> None:
        """Connect, and wait until the connection is open.

        Raises:
            ConnectError: or one of its kin: the service refused the stream or cannot be reached.
            InvalidState: the client was opened before.
        """
        stream = self._stream
        stream.session.begin()
        stream.feeder = threading.get_ident()
        try:
            lifecycle.watch(stream)
            stream.dispatcher.start()
            stream.session.start()
            # The sender keeps the deadline; only a name look-up that hangs, or a very busy machine, can make it late.
            if not wait_for(stream.session.opened, Deadline(self._timeouts.connect + FAREWELL)):
                raise ConnectTimeout(f"Not connected after {self._timeouts.connect:g} s")
        except BaseException:
            stream.session.abort()
            stream.session.end_unstarted()
            stream.wait(Deadline(FAREWELL))
            raise
        if stream.session.state is StreamState.FAILED:
            stream.wait(Deadline(self._timeouts.close))
            stream.session.check()

    def send(self, audio: bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        """Accept audio: it will be sent, in order, or an error will say which of it has no transcript.

        Returns as soon as the audio is accepted. Blocks while the buffer is full, because the network or the service
        takes audio more slowly than it comes. An empty chunk is ignored (its frame would end the stream).

        Args:
            audio: the next bytes of the stream; their boundaries mean nothing, but with ``encoding`` ``opus`` or
                ``speex``, where each chunk is a packet and is sent as one.
            timeout: seconds to wait for room; ``None`` for as long as it takes.

        Raises:
            SendTimeout: no room in time; the chunk was *not* accepted.
            OptionsError: ``encoding`` names raw audio, and the stream would begin like a container (WAV, Ogg, FLAC,
                WebM, MP4, or MP3 with an ID3 tag). The chunk was *not* accepted; the client can still be used.
            InvalidState: the client is not open.
            StreamClientError: the stream has failed; the error says how.
        """
        if type(audio) is not bytes:
            audio = as_bytes(audio)
        self._stream.feeder = threading.get_ident()
        self._stream.session.send(audio, timeout)

    def finalize(self, channel: int | None = None) -> None:
        """Ask for everything heard so far as finals; keeps its place among the audio, and does not wait.

        Args:
            channel: of one channel only, from 0.

        Raises:
            OptionsError: not a channel.
            InvalidState: the client is not open.
            StreamClientError: the stream has failed.
        """
        self._stream.session.send_control(self._protocol.finalize_message(channel))

    def configure(self, **changes: object) -> None:
        """Change settings in mid-stream; keeps its place among the audio. The answer comes as a message.

        Args:
            **changes: ``keyterms`` (a list of texts that replaces the whole list), ``numerals`` (bool).

        Raises:
            OptionsError: cannot be changed, or not to that.
            InvalidState: the client is not open.
            StreamClientError: the stream has failed.
        """
        self._stream.session.send_control(self._protocol.configure_message(changes))

    def close(self, timeout: float | None = None) -> Transcript:
        """End the stream well: all audio out, ``CloseStream``, all transcripts in, every plugin served.

        Idempotent, and callable from several threads. In a hook it only asks, and returns what is known; and so it does
        in a handler of a signal that has interrupted a call into the stream, which has to be finished first.

        Args:
            timeout: seconds for all of it; ``None`` for as long as the server makes progress
                (``Timeouts.close`` without any message is none), and each plugin (as long in one hook is none).

        Returns:
            The transcript, which says whether it is complete.

        Raises:
            CloseTimeout: the server did not finish in time; ``.transcript`` has all that came.
            StreamClientError: the stream has failed; the error says how.
        """
        stream = self._stream
        if stream.is_interrupted:
            stream.drain()
            # The interrupted call holds the session's lock.
            return stream.dispatcher.transcript(self._protocol.transcript())
        if stream.session.close_unopened():
            stream.dispatcher.deliver(Closed(self.transcript))
            return self.transcript
        stream.request_close()
        if stream.is_current:
            return self.transcript
        deadline = Deadline(timeout)
        if not stream.session.wait_ended(deadline):
            stream.session.abort(CloseTimeout(f"The stream did not end within {timeout:g} s"))
            stream.session.wait_ended(Deadline(FAREWELL))
        left = deadline.left()
        stream.dispatcher.wait(Deadline(left if left is None else max(left, FAREWELL / 4)), self._timeouts.close)
        stream.session.check()
        return self.transcript

    def abort(self) -> None:
        """Hang up now; what is not transcribed stays so. Does not raise, and does not wait for the server."""
        if self._stream.is_interrupted:
            self._stream.cut()
            return
        if self._stream.session.close_unopened():
            self._stream.dispatcher.deliver(Closed(self.transcript))
            return
        self._stream.abort()
        if not (self._stream.is_current or self._stream.session.forked):
            self._stream.wait(Deadline(FAREWELL))

    def events(self) -> Iterator[Event]:
        """All events of the stream, for those who rather pull than write hooks; ends when the stream has closed.

        Everything since `open` is there, whenever this is called; only interims that were superseded before are left
        out. A second iterator goes on where the first stopped.

        Yields:
            `Opened`, each server message, each `Utterance`, ..., and `Closed` at last.

        Raises:
            PluginOverrun: more than ``BufferPolicy.max_events`` events waited.
            InvalidState: in a forked child.
        """
        self._stream.session.check_process()
        self._stream.dispatcher.is_pulled = True
        return self._pull()

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._stream.session.state

    @property
    def transcript(self) -> Transcript:
        """What is known so far; from any thread, at any time."""
        return self._stream.session.transcript()

    @property
    def request_ids(self) -> tuple[str, ...]:
        """The service's name for each connection, for its support."""
        return self._stream.session.request_ids

    @property
    def stats(self) -> StreamStats:
        """The stream's counters now."""
        return self._stream.stats()

    def _pull(self) -> Iterator[Event]:
        inbox = self._stream.dispatcher.pulled
        while not inbox.is_drained:
            self._stream.session.check_process()
            event = inbox.get(SLICE)
            if event is not None:
                yield event
        if inbox.overrun:
            raise PluginOverrun(
                "The events were not taken fast enough",
                hint="Take them faster, or allow more (BufferPolicy.max_events).",
            )


def _forget(stream: _Stream) -> None:
    """A client was collected. This may run anywhere, so it takes no lock and does not wait."""
    if stream.session.state in (StreamState.NEW, StreamState.CLOSED, StreamState.FAILED) or stream.session.forked:
        return
    stream.session.keeps = stream  # or the exit hook would not know of it
    stream.session.close_soon()
    warnings.warn(f"{stream!r} was never closed; it is being closed now", ResourceWarning, stacklevel=2)


def _require(name: str, value: object, kind: type) -> None:
    """A caller without a type checker can give anything."""
    if not isinstance(value, kind):
        raise OptionsError(f"{name} is of the type {type(value).__name__}", hint=f"Use {kind.__name__}.")


def as_bytes(audio: bytearray | memoryview | bytes) -> bytes:
    """A copy that the caller cannot change any more."""
    if isinstance(audio, bytes | bytearray | memoryview):
        return bytes(audio)
    raise TypeError(f"Audio is bytes, bytearray or memoryview, not {type(audio).__name__}")


def stream_url(base: str | None, options: ListenOptions | FluxOptions) -> str:
    """The whole URL of a stream.

    Args:
        base: as `StreamClient` is given it.
        options: path and query.

    Raises:
        OptionsError: not a base.
    """
    base = base or os.environ.get("STREAMCLIENT_URL") or SERVICE_URL
    _require("url", base, str)
    try:
        parts = urlsplit(base)
        fits = parts.scheme in ("ws", "wss", "http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or parts.username is not None:
        shown = base if "@" not in base else "..."
        raise OptionsError(f"url={shown!r} is not allowed; allowed is ws://host:port or wss://host, without a query")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/") + options.path
    return urlunsplit((scheme, parts.netloc, path, options.query_string(), ""))


class _Connector:
    """Builds connections for a session; called in its sender thread."""

    def __init__(self, url: str, credentials: Credentials, transport: TransportOptions, timeouts: Timeouts) -> None:
        self._url = url
        self._credentials = credentials
        self._transport = transport
        self._timeouts = timeouts

    def __call__(self, cancelled: Callable[[], bool]) -> Connection:
        headers = [("User-Agent", f"streamclient/{__version__}"), *self._transport.headers]
        authorization = self._credentials.header(urlsplit(self._url).hostname or "")
        if authorization is not None:
            headers.append(("Authorization", " ".join(authorization)))
        secrets = authorization[1:] if authorization else ()
        address = Address(self._url, tuple(headers), tuple(secrets))
        return connect(address, self._transport, self._timeouts.connect, self._timeouts.send, cancelled)
