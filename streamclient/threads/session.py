"""The threads of one stream around its state machine.

========== ======================================= =================================================
thread      owns alone                              never does
========== ======================================= =================================================
caller      the audio source, the wish to close,    touch the socket
            writing audio to disk
sender      the wire's write side, connecting,      call a plugin, wait for another thread of ours
            the deadlines, reading audio from disk
receiver    the wire's read side                    call a plugin, wait for one
========== ======================================= =================================================

One lock guards the `Protocol` and nothing else; no I/O, no waiting and no callback happens under it. Events are
published by the sender while the receiver has no connection to read, and by the receiver while it has one, so they have
one order. A session does not know the client that made it, so that a forgotten client can be collected.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

import attrs

from streamclient.core.actions import Connect, Finish, HangUp, Release, Wait, Write
from streamclient.core.journal import Room
from streamclient.core.opening import Opening
from streamclient.core.parsing import parse_message
from streamclient.core.protocol import Protocol
from streamclient.errors import CloseTimeout, ConnectError, ConnectionLost, InvalidState, SpillError, StreamClientError
from streamclient.events import Event, StreamState, StreamStats, Transcript
from streamclient.threads.spill import Spill, load
from streamclient.threads.tap import Taps
from streamclient.threads.worker import LAST_STEPS, SLICE, Bell, Deadline, Worker, is_held, wait_for, was_called_within
from streamclient.wire.transport import CLOSE, PING, PONG, TEXT, Connection, parse_close

__all__ = ["Session"]

log = logging.getLogger("streamclient.session")

Connector = Callable[[Callable[[], bool]], Connection]


class Session:
    """Runs one stream.

    Args:
        name: of the stream, for its threads.
        protocol: its state machine, guarded from now on by the session's lock.
        opening: judges its first bytes, under the same lock.
        connector: builds a connection; called in the sender thread with a question whether to give up.
        publish: takes events; called by one thread at a time, and must not wait.
        taps: for those who hear the accepted audio; complete when the stream begins.
        shown: what of a transcript callers may see; neither waits nor takes a lock.
    """

    def __init__(
        self,
        name: str,
        protocol: Protocol,
        opening: Opening,
        connector: Connector,
        publish: Callable[[Iterable[Event]], None],
        taps: Taps,
        shown: Callable[[Transcript], Transcript],
    ) -> None:
        self.opened = threading.Event()  # the first connection stands, or the stream has ended
        self.forked = False
        self.keeps: object = None  # alive while the threads are
        self._name = name
        self._protocol = protocol
        self._opening = opening
        self._takes_at_once = False
        self._connector = connector
        self._publish = publish
        self._taps = taps
        self._shown = shown
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._blocked = 0
        self._spill = Spill()
        self._bell = Bell()
        self._sender_waits = False
        self._close_soon = False
        self._give_up = False
        self._connection: Connection | None = None
        self._sender = Worker(f"streamclient-sender-{name}", self._send)
        self._receiver = Worker(f"streamclient-receiver-{name}", self._receive)
        self._to_read: Connection | None = None
        self._reading = Bell()

    # For callers, in any thread.

    def begin(self) -> None:
        """The stream is to begin; `start` must follow.

        Raises:
            InvalidState: it has begun before, this is a forked child, or its locks are not those of its threads.
        """
        self._check_threads()
        with self._lock:
            self.check_process()
            if self._protocol.state is not StreamState.NEW:
                raise InvalidState("The client was opened before", hint="Make a new StreamClient for each stream.")
            self._takes_at_once = self._opening.is_judged and not self._taps
            self._protocol.open(time.monotonic())

    def start(self) -> None:
        """Start the sender, which connects.

        Raises:
            InvalidState: no thread can be started; the stream has failed.
        """
        try:
            self._sender.start()
        except InvalidState as error:
            self.abort(error)
            raise

    def end_unstarted(self) -> None:
        """Publish the last event of a stream whose sender could not be started, or came not so far."""
        if not self._sender.was_started:
            self._finish()
            self.opened.set()

    def close_unopened(self) -> bool:
        """End a stream that never began; whether that is what it was."""
        with self._lock:
            unopened = self._protocol.state is StreamState.NEW
            if unopened:
                self._protocol.request_close(time.monotonic())
        if unopened:
            self.opened.set()
        return unopened

    def send(self, audio: bytes, timeout: float | None) -> None:
        """Accept a chunk of audio, waiting for room at most ``timeout`` seconds."""
        with self._lock:
            accepted = self._takes_at_once and self._protocol.accept(audio)
            wakes = accepted and self._sender_waits
            if wakes:
                self._sender_waits = False
        if wakes:
            self._bell.ring()
        if not accepted:
            self._send_when_possible(audio, Deadline(timeout))

    def _send_when_possible(self, audio: bytes, deadline: Deadline) -> None:
        """Wait for room, with the plugins that hear the audio and in memory or on disk."""
        if self._taps:
            self._wait_for_taps(deadline)
        accepted = False
        while not accepted:
            with self._lock:
                room = self._wait_for_room(len(audio), deadline)
                self._opening.check(audio)
                accepted = not audio or self._protocol.accept(audio)
                if accepted:
                    self._has_accepted(audio)
            if room is Room.DISK and not accepted:
                accepted = self._accept_on_disk(audio)
        self._bell.ring()
        self._taps.wake()

    def _wait_for_taps(self, deadline: Deadline) -> None:
        with self._lock:
            self._check_accepting()
        self._taps.wait_for_room(deadline)

    def _accept_on_disk(self, audio: bytes) -> bool:
        try:
            spilled = self._spill.write(audio)
        except SpillError as error:
            self._give_up_disk(error.with_traceback(None))  # its frames would keep the file alive
            return False
        try:
            with self._lock:
                self._check_accepting()
                self._opening.check(audio)
                self._protocol.accept_spilled(audio, spilled)
                self._has_accepted(audio)
        except StreamClientError:
            self._spill.forget()
            raise
        return True

    def _give_up_disk(self, error: SpillError) -> None:
        with self._lock:
            is_first = self._spill.error is None
            self._spill.error = self._spill.error or error
            self._protocol.refuse_disk()
        if is_first:
            log.warning("The stream %s goes on with memory alone: %s", self._name, error)

    def send_control(self, text: str) -> None:
        """Accept a control message, which keeps its place among the audio."""
        with self._lock:
            # A message is small; where audio would go to disk, it may stay in memory.
            self._wait_for_room(len(text), Deadline(None))
            self._protocol.send_control(text)
        self._bell.ring()

    def request_close(self) -> None:
        """Finish what was accepted, then ask the server to end the stream; does not wait."""
        with self._lock:
            self.check_process()
            self._protocol.request_close(time.monotonic())
            self._room.notify_all()
        self._bell.ring()

    def abort(self, error: StreamClientError | None = None) -> None:
        """End the stream now; does not wait."""
        if self.forked:
            return
        with self._lock:
            self._give_up = True
            self._protocol.abort(error)
            connection = self._connection
            self._room.notify_all()
        if connection is not None:
            connection.hang_up()
        self._bell.ring()

    # The same without a lock, for code that the garbage collector or a signal may run anywhere, even under the lock.

    @property
    def is_interrupted(self) -> bool:
        """Whether a handler of a signal asks that has interrupted its own thread under the lock."""
        return was_called_within(__name__) and is_held(self._lock)

    def close_soon(self) -> None:
        """Let the sender do what `request_close` does."""
        self._close_soon = True
        self._bell.ring()

    def cut(self) -> None:
        """Hang up, and let the sender do what `abort` does."""
        self._give_up = True
        connection = self._connection
        if connection is not None:
            connection.hang_up()
        self._bell.ring()

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._protocol.state

    @property
    def request_ids(self) -> tuple[str, ...]:
        """The service's names for the connections, in order."""
        return self._protocol.request_ids

    def transcript(self) -> Transcript:
        """All that is known now, and may be seen."""
        with self._lock:
            return self._shown(self._protocol.transcript())

    def check(self) -> None:
        """Raise what the stream has failed with, if it has."""
        with self._lock:
            self._check()

    def stats(self) -> StreamStats:
        """The counters now, and what happened to the audio on disk."""
        with self._lock:
            return attrs.evolve(self._protocol.stats(), spill_error=self._spill.error)

    def wait_ended(self, deadline: Deadline) -> bool:
        """Wait until the last event is published and the session's threads have ended; whether they have."""
        wait_for(self.opened, deadline.sooner(LAST_STEPS))  # open() may be about to start them, in another thread
        return self._sender.wait(deadline) and self._receiver.wait(deadline)

    @property
    def has_ended(self) -> bool:
        """Whether the last event has been published."""
        return self.opened.is_set() and not self._sender.is_running

    @property
    def is_current(self) -> bool:
        """Whether one of the session's own threads asks."""
        return self._sender.is_current or self._receiver.is_current

    def check_process(self) -> None:
        """Refuse to work in a forked child, whose copy of the connection is not its own."""
        if self.forked:
            raise InvalidState(
                "This stream belongs to the parent process", hint="Open a new StreamClient in the child process."
            )

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's connection, and of locks its threads may have held."""
        self.forked = True
        self._takes_at_once = False
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()

    def _check_threads(self) -> None:
        """Refuse to connect with threads that are not gevent's, once it has replaced what they would do it with."""
        if type(self._lock) is not type(threading.Lock()):
            raise InvalidState(
                "The client was made before gevent replaced Python's threads",
                hint="Call gevent's monkey.patch_all() first in the program, or make the client where it is used.",
            )

    # Under the lock.

    def _has_accepted(self, audio: bytes) -> None:
        """Once the first bytes are judged, and where no plugin hears it, nothing more is asked about any chunk."""
        self._opening.accept(audio)
        self._taps.add(audio)
        self._takes_at_once = self._opening.is_judged and not self._taps

    def _check(self) -> None:
        if self._protocol.error is None:
            return
        error = self._protocol.error.again()
        if isinstance(error, CloseTimeout):
            error.transcript = self._shown(self._protocol.transcript())
        raise error

    def _check_accepting(self) -> None:
        self.check_process()
        protocol = self._protocol
        if protocol.accepts_audio:
            return
        self._check()
        if protocol.state is StreamState.NEW:
            raise InvalidState("The stream is not open", hint="Call open() first, or use the client in a with block.")
        raise InvalidState(
            f"The stream is {protocol.state.value}", hint="Nothing can be sent after close() or abort()."
        )

    def _wait_for_room(self, size: int, deadline: Deadline) -> Room:
        """Wait, with the lock released, so that Ctrl-C can interrupt it anywhere."""
        self._check_accepting()
        room = self._protocol.room(size)
        if room is not Room.NONE:
            return room
        self._blocked += 1
        self._bell.ring()
        try:
            while (room := self._protocol.room(size)) is Room.NONE:
                left = deadline.left()
                if left == 0:
                    raise self._spill.no_room()
                self._room.wait(SLICE if left is None else min(left, SLICE))
                self._check_accepting()
            return room
        finally:
            self._blocked -= 1

    # The sender.

    def _send(self) -> None:
        try:
            # One receiver for all connections to come: an interpreter that exits may start no more threads.
            self._receiver.start()
        except InvalidState as error:
            self.abort(error)
        try:
            self._run()
        except BaseException as error:  # whatever it is, callers wait for the stream's end
            log.exception("The stream %s failed; this is a bug of streamclient", self._name)
            self._fail(error)
        try:
            self._finish()
        finally:
            self.opened.set()

    def _finish(self) -> None:
        self._hand_over(None)
        with self._lock:
            events = self._protocol.finish()
            self._room.notify_all()
        self._spill.forget()
        self._publish(events)

    def _run(self) -> None:
        """Do what the state machine says until it says that the stream has ended."""
        while True:
            with self._lock:
                now = time.monotonic()
                if self._close_soon:
                    self._protocol.request_close(now)
                if self._give_up:
                    self._protocol.abort()
                action = self._protocol.next_action(now, is_pressed=self._blocked > 0)
                self._sender_waits = isinstance(action, Wait)
                if self._blocked:
                    self._room.notify_all()
            if isinstance(action, Write):
                self._write(action)
            elif isinstance(action, Wait):
                self._bell.wait(None if action.until is None else action.until - now)
            elif isinstance(action, Connect):
                self._connect()
            elif isinstance(action, HangUp):
                assert self._connection is not None
                self._connection.hang_up()
            elif isinstance(action, Release):
                self._release(action)
            elif isinstance(action, Finish):
                return

    def _write(self, action: Write) -> None:
        assert self._connection is not None
        try:
            self._connection.write([(frame.kind, load(frame.payload)) for frame in action.frames])
        except ConnectionLost as error:
            with self._lock:
                self._protocol.write_failed(error, time.monotonic())
        except SpillError as error:
            with self._lock:
                self._protocol.abort(error.with_traceback(None))  # its frames would keep the file alive

    def _connect(self) -> None:
        try:
            self._check_threads()
            connection = self._connector(lambda: self._give_up)
        except StreamClientError as error:
            log.info("The stream %s is not connected: %s", self._name, error)
            with self._lock:
                self._protocol.connect_failed(error, time.monotonic())
            return
        with self._lock:
            self._connection = connection
            events = self._protocol.connected(connection.request_id, time.monotonic())
        self._publish(events)
        self._hand_over(connection)
        self.opened.set()

    def _hand_over(self, connection: Connection | None) -> None:
        """Let the receiver read a connection, or end; it has ended the last one, or soon will."""
        self._to_read = connection
        self._reading.ring()

    def _release(self, action: Release) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.release(answer_close=action.answer_close)
        self._publish(action.events)

    def _fail(self, error: BaseException) -> None:
        """After a bug of ours: nothing stays open, and the caller hears of it."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._protocol.abort(ConnectError(f"The stream failed inside streamclient: {error!r}"))
            self._protocol.receive_end(None)
        if connection is not None:
            connection.hang_up()

    # The receiver.

    def _receive(self) -> None:
        while self._reading.wait(None) and (connection := self._to_read) is not None:
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        close: tuple[int, str] | None = None
        error: StreamClientError | None = None
        try:
            close = self._read_until_close(connection)
        except StreamClientError as lost:
            error = lost
        except BaseException as bug:
            log.exception("Reading the stream %s failed; this is a bug of streamclient", self._name)
            error = ConnectionLost(f"Connection lost: reading failed: {bug!r}")
        finally:
            connection.end_reading()
            with self._lock:
                self._protocol.receive_end(close, error)
                self._room.notify_all()
            self._bell.ring()

    def _read_until_close(self, connection: Connection) -> tuple[int, str]:
        while True:
            opcode, payload = connection.receive()
            if opcode == TEXT:
                message = parse_message(payload)
                with self._lock:
                    events = self._protocol.receive_message(message, time.monotonic())
                    if self._blocked:
                        self._room.notify_all()
                self._publish(events)
            elif opcode == PING:
                with self._lock:
                    self._protocol.receive_ping(payload, time.monotonic())
                self._bell.ring()
            elif opcode == PONG:
                with self._lock:
                    self._protocol.receive_pong(time.monotonic())
            elif opcode == CLOSE:
                return parse_close(payload)
