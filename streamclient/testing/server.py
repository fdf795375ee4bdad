"""The server of a test: scripted or real recognition behind a relay that watches and breaks."""

from collections.abc import Iterable
from types import TracebackType

from streamclient.server import LocalServer
from streamclient.testing.calls import PATIENCE, Call
from streamclient.testing.engine import KitEngine, ScriptedWord
from streamclient.testing.faults import Fault, Schedule
from streamclient.testing.relay import Recorder, Relay
from streamclient.testing.replay import ReplayServer

__all__ = ["DeepgramServer"]

API_KEY = "a-key-for-tests"


class DeepgramServer:
    """A Deepgram-compatible server for one test, on this machine; any client will do.

    Args:
        server: what recognises, running; the default is a server of its own that says what :meth:`say` was told, or
            hears :func:`streamclient.testing.spoken` audio. It has to be running for as long as this is.
        schedule: the faults of the first connection, of the second, and so on.
        recorders: called with everything that happens on a connection, by its thread.
    """

    def __init__(
        self,
        server: LocalServer | ReplayServer | None = None,
        *,
        schedule: Schedule = (),
        recorders: Iterable[Recorder] = (),
    ) -> None:
        self._engine = KitEngine()
        self._own = LocalServer(self._engine) if server is None else None
        self._server = server or self._own
        self._schedule = schedule
        self._recorders = tuple(recorders)
        self._relay: Relay | None = None

    def start(self) -> None:
        """Listen; returns when clients can connect."""
        if self._own:
            self._own.start()
        assert self._server
        self._relay = Relay(self._server.url, self._schedule, self._recorders)
        self._relay.start()

    def stop(self) -> None:
        """Cut the connections that are left, and end every thread."""
        try:
            self.relay.stop()
        finally:
            if self._own:
                self._own.stop()

    @property
    def relay(self) -> Relay:
        """What stands between the clients and the recognition.

        Raises:
            RuntimeError: the server has not been started.
        """
        if self._relay is None:
            raise RuntimeError("start the server first, or use it in a with statement")
        return self._relay

    @property
    def url(self) -> str:
        """Base of the URLs, ``ws://127.0.0.1:port``."""
        return self.relay.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables in which clients look for a key and a server.

        ``DEEPGRAM_HOST`` is read by ``ClientOptionsFromEnv`` of version 4 of ``deepgram-sdk``, ``DEEPGRAM_BASE_URL``
        and ``DEEPGRAM_URL`` by applications; newer official clients want the URL as an argument.
        """
        http = self.url.replace("ws://", "http://")
        return {
            "DEEPGRAM_API_KEY": API_KEY,
            "STREAMCLIENT_URL": self.url,
            "DEEPGRAM_HOST": http,
            "DEEPGRAM_BASE_URL": http,
            "DEEPGRAM_URL": self.url,
        }

    def say(self, script: str | Iterable[ScriptedWord], start: float | None = None, end: float | None = None) -> None:
        """Add to what is heard on every channel of the streams that begin from now on, whatever their audio is.

        Args:
            script: words with their start and end in seconds; or a text.
            start: where the text begins, in seconds. Without it the text is spread over all the audio there is,
                however short that is.
            end: where the text ends; the default is a usual pace.

        Raises:
            ValueError: parts with and without times are mixed, or words do not follow one another.
            RuntimeError: this server recognises what is said, and cannot be told.
        """
        self._check_scripted()
        self._engine.say(script, start, end)

    def forget(self) -> None:
        """Begin a new script.

        Raises:
            RuntimeError: this server recognises what is said, and has none.
        """
        self._check_scripted()
        self._engine.forget()

    def break_next(self, *faults: Fault) -> None:
        """Give the next connection that has none yet these faults; call it again for the one after.

        Raises:
            TypeError: something is no fault, such as ``Reset`` instead of ``Reset()``.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"a fault is a value such as Reset() or Refuse(503), not {fault!r}")
        self.relay.schedule.append(list(faults))

    @property
    def calls(self) -> list[Call]:
        """The connections so far, in the order in which clients asked for them."""
        return self.relay.calls

    @property
    def call(self) -> Call:
        """The only connection.

        Raises:
            AssertionError: there was none, or more than one.
        """
        assert len(self.calls) == 1, f"there were {len(self.calls)} connections, not one: {self.calls}"
        return self.calls[0]

    def wait_for_call(self, number: int = 0, timeout: float = PATIENCE) -> Call:
        """The connection of this number, counted from 0, as soon as a client has asked for it.

        Raises:
            AssertionError: nobody asked in time.
        """
        return self.relay.wait_for_call(number, timeout)

    def assert_no_stream_left(self) -> None:
        """Check that the clients have ended every connection, whatever client they are.

        Raises:
            AssertionError: one is still there.
        """
        for call in list(self.calls):
            assert call.has_ended(), f"a stream was left open; it has to be closed before the test ends: {call!r}"

    def _check_scripted(self) -> None:
        if self._own is None:
            raise RuntimeError("there is another server behind this one, which has no script; use deepgram_server")

    def __enter__(self) -> "DeepgramServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
