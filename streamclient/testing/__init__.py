"""A kit for testing what transcribes: a server that says what a test wants, breaks when it wants, and remembers.

The fixtures of ``streamclient.testing.pytest_plugin`` are there in every pytest that finds streamclient installed.
Everything else is imported from here. What recognises or serves needs the extra ``testing``.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamclient.testing.audio import numbered as numbered
    from streamclient.testing.audio import silence as silence
    from streamclient.testing.audio import spoken as spoken
    from streamclient.testing.audio import tone as tone
    from streamclient.testing.audio import wav as wav
    from streamclient.testing.calls import Call as Call
    from streamclient.testing.cassette import Cassette as Cassette
    from streamclient.testing.cassette import CassetteError as CassetteError
    from streamclient.testing.cassette import CassetteWriter as CassetteWriter
    from streamclient.testing.cassette import RecordedConnection as RecordedConnection
    from streamclient.testing.faults import After as After
    from streamclient.testing.faults import Alter as Alter
    from streamclient.testing.faults import Close as Close
    from streamclient.testing.faults import DelayMetadata as DelayMetadata
    from streamclient.testing.faults import Dribble as Dribble
    from streamclient.testing.faults import Fault as Fault
    from streamclient.testing.faults import Fin as Fin
    from streamclient.testing.faults import Fragment as Fragment
    from streamclient.testing.faults import Garbage as Garbage
    from streamclient.testing.faults import HalfOpen as HalfOpen
    from streamclient.testing.faults import NoClose as NoClose
    from streamclient.testing.faults import Ping as Ping
    from streamclient.testing.faults import Refuse as Refuse
    from streamclient.testing.faults import Reset as Reset
    from streamclient.testing.faults import Say as Say
    from streamclient.testing.faults import SlowHandshake as SlowHandshake
    from streamclient.testing.faults import StaleCredential as StaleCredential
    from streamclient.testing.faults import Stall as Stall
    from streamclient.testing.faults import audio_bytes as audio_bytes
    from streamclient.testing.faults import audio_seconds as audio_seconds
    from streamclient.testing.faults import close_stream as close_stream
    from streamclient.testing.faults import finals as finals
    from streamclient.testing.faults import handshake as handshake
    from streamclient.testing.faults import messages as messages
    from streamclient.testing.faults import random_schedule as random_schedule
    from streamclient.testing.leaks import no_stream_left as no_stream_left
    from streamclient.testing.recorder import StreamRecorder as StreamRecorder
    from streamclient.testing.relay import Relay as Relay
    from streamclient.testing.replay import ReplayServer as ReplayServer
    from streamclient.testing.schema import UnfaithfulMessage as UnfaithfulMessage
    from streamclient.testing.schema import check_message as check_message
    from streamclient.testing.server import DeepgramServer as DeepgramServer

_HOMES = {
    "numbered": "audio",
    "silence": "audio",
    "spoken": "audio",
    "tone": "audio",
    "wav": "audio",
    "Call": "calls",
    "Cassette": "cassette",
    "CassetteError": "cassette",
    "CassetteWriter": "cassette",
    "RecordedConnection": "cassette",
    "After": "faults",
    "Alter": "faults",
    "Close": "faults",
    "DelayMetadata": "faults",
    "Dribble": "faults",
    "Fault": "faults",
    "Fin": "faults",
    "Fragment": "faults",
    "Garbage": "faults",
    "HalfOpen": "faults",
    "NoClose": "faults",
    "Ping": "faults",
    "Refuse": "faults",
    "Reset": "faults",
    "Say": "faults",
    "SlowHandshake": "faults",
    "StaleCredential": "faults",
    "Stall": "faults",
    "audio_bytes": "faults",
    "audio_seconds": "faults",
    "close_stream": "faults",
    "finals": "faults",
    "handshake": "faults",
    "messages": "faults",
    "random_schedule": "faults",
    "no_stream_left": "leaks",
    "StreamRecorder": "recorder",
    "Relay": "relay",
    "ReplayServer": "replay",
    "UnfaithfulMessage": "schema",
    "check_message": "schema",
    "DeepgramServer": "server",
}

__all__ = [*_HOMES]


if not TYPE_CHECKING:  # a type checker knows the names, and that there are no others

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def _module(name: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("streamclient"):
            raise
        from streamclient.testing.missing import MissingKitError

        raise MissingKitError(f"The test kit needs {error.name}, which is not installed") from error


def __dir__() -> list[str]:
    return sorted(__all__)
