"""Services that break, and a plugin that keeps what it is told of it."""

import threading
from collections.abc import Callable

from streamclient import ConnectionLost, ListenOptions, ReconnectPolicy, Results, Transcript, Utterance, hookimpl
from tests.support.service import LINEAR16, Call, Service, final, metadata

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
SECOND = bytes(32000)
QUICK = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
SLOW = ReconnectPolicy(initial_delay=60.0, max_delay=60.0)


class Witness:
    """Keeps what its hooks are told."""

    def __init__(self) -> None:
        self.finals: list[Results] = []
        self.utterances: list[Utterance] = []
        self.outages: list[str] = []
        self.errors: list[Exception] = []
        self.closed: list[Transcript] = []
        self.disconnected = threading.Event()
        self.reconnected = threading.Event()

    @hookimpl
    def on_final(self, result: Results) -> None:
        self.finals.append(result)

    @hookimpl
    def on_utterance(self, utterance: Utterance) -> None:
        self.utterances.append(utterance)

    @hookimpl
    def on_disconnect(self, error: Exception, retry_in: float) -> None:
        assert isinstance(error, ConnectionLost)
        assert retry_in >= 0
        self.outages.append("lost")
        self.disconnected.set()

    @hookimpl
    def on_reconnect(self, outage: float) -> None:
        assert outage >= 0
        self.outages.append("back")
        self.reconnected.set()

    @hookimpl
    def on_error(self, error: Exception) -> None:
        self.errors.append(error)

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        self.closed.append(transcript)


def breaking(*scripts: Callable[[Call], None]) -> Callable[[Call], None]:
    """A service that follows one script on each connection, the last one on all further ones."""
    remaining = list(scripts)

    def script(call: Call) -> None:
        (remaining.pop(0) if len(remaining) > 1 else remaining[0])(call)

    return script


def drop(call: Call) -> None:
    """Break at once."""
    call.reset()


def drop_after_audio(call: Call) -> None:
    """Break at the first frame."""
    call.read()
    call.reset()


def finish(call: Call) -> None:
    """Hear everything, say that it was two words a second, close."""
    call.read_until()
    seconds = len(call.audio) / 32000
    call.end(final("word", 0.0, seconds), metadata(seconds))


def refuse_later(service: Service, status: int, headers: dict[str, str] | None = None, times: int = 1_000_000) -> None:
    """Refuse connections after the first."""
    left = [times]

    def refusal(_request: object) -> tuple[int, dict[str, str], bytes] | None:
        if not service.calls or not left[0]:
            return None
        left[0] -= 1
        return status, headers or {}, b""

    service.refusal = refusal
