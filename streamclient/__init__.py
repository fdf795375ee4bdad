"""Blocking, thread-based live transcription: every transcript of every byte of audio, in order, exactly once.

The public names live in the modules of this package and are imported when they are first used, so that a plugin or a
command pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamclient.audio import (
        Span as Span,
    )
    from streamclient.client import (
        StreamClient as StreamClient,
    )
    from streamclient.errors import (
        AudioRejected as AudioRejected,
    )
    from streamclient.errors import (
        AuthenticationError as AuthenticationError,
    )
    from streamclient.errors import (
        BadRequestError as BadRequestError,
    )
    from streamclient.errors import (
        CloseTimeout as CloseTimeout,
    )
    from streamclient.errors import (
        ConnectError as ConnectError,
    )
    from streamclient.errors import (
        ConnectionLost as ConnectionLost,
    )
    from streamclient.errors import (
        ConnectTimeout as ConnectTimeout,
    )
    from streamclient.errors import (
        InvalidState as InvalidState,
    )
    from streamclient.errors import (
        OptionsError as OptionsError,
    )
    from streamclient.errors import (
        PaymentRequiredError as PaymentRequiredError,
    )
    from streamclient.errors import (
        PermissionDeniedError as PermissionDeniedError,
    )
    from streamclient.errors import (
        PluginError as PluginError,
    )
    from streamclient.errors import (
        PluginOverrun as PluginOverrun,
    )
    from streamclient.errors import (
        RateLimitedError as RateLimitedError,
    )
    from streamclient.errors import (
        SendTimeout as SendTimeout,
    )
    from streamclient.errors import (
        ServiceUnavailableError as ServiceUnavailableError,
    )
    from streamclient.errors import (
        SpillError as SpillError,
    )
    from streamclient.errors import (
        StreamClientError as StreamClientError,
    )
    from streamclient.events import (
        Closed as Closed,
    )
    from streamclient.events import (
        Disconnected as Disconnected,
    )
    from streamclient.events import (
        Event as Event,
    )
    from streamclient.events import (
        Failed as Failed,
    )
    from streamclient.events import (
        HookStats as HookStats,
    )
    from streamclient.events import (
        Opened as Opened,
    )
    from streamclient.events import (
        PluginFailed as PluginFailed,
    )
    from streamclient.events import (
        PluginStats as PluginStats,
    )
    from streamclient.events import (
        Reconnected as Reconnected,
    )
    from streamclient.events import (
        StreamState as StreamState,
    )
    from streamclient.events import (
        StreamStats as StreamStats,
    )
    from streamclient.events import (
        Transcript as Transcript,
    )
    from streamclient.events import (
        Utterance as Utterance,
    )
    from streamclient.hookspecs import (
        StreamView as StreamView,
    )
    from streamclient.hookspecs import (
        hookimpl as hookimpl,
    )
    from streamclient.hookspecs import (
        source_stem as source_stem,
    )
    from streamclient.messages import (
        Alternative as Alternative,
    )
    from streamclient.messages import (
        ConfigureFailure as ConfigureFailure,
    )
    from streamclient.messages import (
        ConfigureSuccess as ConfigureSuccess,
    )
    from streamclient.messages import (
        Connected as Connected,
    )
    from streamclient.messages import (
        Entity as Entity,
    )
    from streamclient.messages import (
        Message as Message,
    )
    from streamclient.messages import (
        Metadata as Metadata,
    )
    from streamclient.messages import (
        Results as Results,
    )
    from streamclient.messages import (
        SearchHit as SearchHit,
    )
    from streamclient.messages import (
        SearchResult as SearchResult,
    )
    from streamclient.messages import (
        ServerError as ServerError,
    )
    from streamclient.messages import (
        ServerWarning as ServerWarning,
    )
    from streamclient.messages import (
        SpeechStarted as SpeechStarted,
    )
    from streamclient.messages import (
        TurnInfo as TurnInfo,
    )
    from streamclient.messages import (
        UnknownMessage as UnknownMessage,
    )
    from streamclient.messages import (
        UtteranceEnd as UtteranceEnd,
    )
    from streamclient.messages import (
        Word as Word,
    )
    from streamclient.options import (
        FluxOptions as FluxOptions,
    )
    from streamclient.options import (
        ListenOptions as ListenOptions,
    )
    from streamclient.plugins import (
        configure_plugin as configure_plugin,
    )
    from streamclient.policies import (
        BufferPolicy as BufferPolicy,
    )
    from streamclient.policies import (
        LanePolicy as LanePolicy,
    )
    from streamclient.policies import (
        ReconnectPolicy as ReconnectPolicy,
    )
    from streamclient.policies import (
        Timeouts as Timeouts,
    )
    from streamclient.policies import (
        TransportOptions as TransportOptions,
    )
    from streamclient.settings import (
        plugin_settings as plugin_settings,
    )
    from streamclient.shortcuts import (
        AudioInput as AudioInput,
    )
    from streamclient.shortcuts import (
        stream as stream,
    )
    from streamclient.shortcuts import (
        transcribe as transcribe,
    )
    from streamclient.threads.lifecycle import (
        close_all as close_all,
    )

__version__ = "0.1.0"

_HOMES = {
    "Span": "audio",
    "AudioInput": "shortcuts",
    "StreamClient": "client",
    "stream": "shortcuts",
    "transcribe": "shortcuts",
    "AudioRejected": "errors",
    "AuthenticationError": "errors",
    "BadRequestError": "errors",
    "CloseTimeout": "errors",
    "ConnectError": "errors",
    "ConnectionLost": "errors",
    "ConnectTimeout": "errors",
    "InvalidState": "errors",
    "OptionsError": "errors",
    "PaymentRequiredError": "errors",
    "PermissionDeniedError": "errors",
    "PluginError": "errors",
    "PluginOverrun": "errors",
    "RateLimitedError": "errors",
    "SendTimeout": "errors",
    "ServiceUnavailableError": "errors",
    "SpillError": "errors",
    "StreamClientError": "errors",
    "Closed": "events",
    "Disconnected": "events",
    "Event": "events",
    "Failed": "events",
    "HookStats": "events",
    "Opened": "events",
    "PluginFailed": "events",
    "PluginStats": "events",
    "Reconnected": "events",
    "StreamState": "events",
    "StreamStats": "events",
    "Transcript": "events",
    "Utterance": "events",
    "StreamView": "hookspecs",
    "hookimpl": "hookspecs",
    "source_stem": "hookspecs",
    "close_all": "threads.lifecycle",
    "Alternative": "messages",
    "ConfigureFailure": "messages",
    "ConfigureSuccess": "messages",
    "Connected": "messages",
    "Entity": "messages",
    "Message": "messages",
    "Metadata": "messages",
    "Results": "messages",
    "SearchHit": "messages",
    "SearchResult": "messages",
    "ServerError": "messages",
    "ServerWarning": "messages",
    "SpeechStarted": "messages",
    "TurnInfo": "messages",
    "UnknownMessage": "messages",
    "UtteranceEnd": "messages",
    "Word": "messages",
    "FluxOptions": "options",
    "ListenOptions": "options",
    "configure_plugin": "plugins",
    "BufferPolicy": "policies",
    "LanePolicy": "policies",
    "ReconnectPolicy": "policies",
    "Timeouts": "policies",
    "TransportOptions": "policies",
    "plugin_settings": "settings",
}

__all__ = ["__version__", *_HOMES]


if not TYPE_CHECKING:  # a type checker knows the names, and that there are no others

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
