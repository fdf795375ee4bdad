"""What differs between the two endpoints of the service: the words they use and how they end a stream.

The state machine in `streamclient.core.protocol` is one for both.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

from streamclient.core.assembler import Assembler
from streamclient.errors import OptionsError
from streamclient.messages import Message, Results
from streamclient.options import FluxOptions, ListenOptions, require_few_tokens

__all__ = ["Dialect", "dialect_for"]


class Dialect(Protocol):
    """One endpoint's words."""

    @property
    def close_stream(self) -> str:
        """Asks the server to finish and to end the stream."""

    @property
    def keep_alive(self) -> str | None:
        """Sent while no audio flows; ``None`` where websocket pings do that."""

    @property
    def normal_ends(self) -> tuple[int, ...]:
        """Close codes that end a stream well once `close_stream` was sent."""

    def finalize(self, channel: int | None) -> str:
        """Asks for everything buffered as finals."""

    def configure(self, changes: Mapping[str, Any]) -> str:
        """Changes settings in mid-stream. Raises `OptionsError`."""

    def configured(self, held: str | None, sent: str) -> str | None:
        """What a new connection must be told to be configured like this one, after this message was sent."""

    def assembler(self) -> Assembler:
        """A new assembler of utterances."""

    def final_end(self, message: Message) -> tuple[int, float] | None:
        """Channel and end, in seconds, of the span that a message makes final."""


class ListenDialect:
    """``/v1/listen`` (Deepgram: Live Audio API; Close Stream; Finalize; Audio Keep Alive; Configure)."""

    close_stream = '{"type": "CloseStream"}'
    keep_alive = '{"type": "KeepAlive"}'
    normal_ends = (1000, 1005)

    def finalize(self, channel: int | None) -> str:
        """Asks for everything buffered, of one channel or of all, as finals."""
        if channel is None:
            return '{"type": "Finalize"}'
        if not isinstance(channel, int) or isinstance(channel, bool) or channel < 0:
            raise OptionsError(f"finalize(channel={channel!r}) is not allowed; allowed is a channel from 0, or None")
        return json.dumps({"type": "Finalize", "channel": channel})

    def configure(self, changes: Mapping[str, Any]) -> str:
        """Replaces the keyterms, or switches features (``numerals``)."""
        message: dict[str, Any] = {"type": "Configure"}
        for name, value in changes.items():
            if name == "keyterms" and _is_list_of_texts(value):
                require_few_tokens("configure(keyterms=...)", value)
                message["keyterms"] = list(value)
            elif name == "features" and _is_switches(value):
                message.setdefault("features", {}).update(value)
            elif name == "numerals" and isinstance(value, bool):
                message.setdefault("features", {})["numerals"] = value
            else:
                raise OptionsError(
                    f"configure({name}={value!r}) is not allowed; allowed are keyterms (a list of texts), "
                    "numerals (True or False) and features (a mapping of names to True or False)"
                )
        if len(message) == 1:
            raise OptionsError("configure() needs keyterms, numerals or features to change")
        return json.dumps(message)

    def configured(self, held: str | None, sent: str) -> str | None:
        """The changes so far as one ``Configure``; later ones win."""
        change = json.loads(sent)
        if change["type"] != "Configure":
            return held
        old: dict[str, Any] = json.loads(held) if held else {}
        features = {**old.get("features", {}), **change.get("features", {})}
        return json.dumps({**old, **change, **({"features": features} if features else {})})

    def assembler(self) -> Assembler:
        """A new assembler of utterances."""
        return Assembler()

    def final_end(self, message: Message) -> tuple[int, float] | None:
        """Finals tile the audio of their channel."""
        if isinstance(message, Results) and message.is_final:
            return message.channel, message.end
        return None


def _is_list_of_texts(value: object) -> TypeGuard[list[str] | tuple[str, ...]]:
    return isinstance(value, list | tuple) and all(isinstance(term, str) and term for term in value)


def _is_switches(value: object) -> TypeGuard[Mapping[str, bool]]:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(switch, bool) for name, switch in value.items()
    )


def dialect_for(options: ListenOptions | FluxOptions) -> Dialect:
    """The dialect of the endpoint that these options are for."""
    if isinstance(options, ListenOptions):
        return ListenDialect()
    name = type(options).__name__
    path = getattr(options, "path", None)  # a caller without a type checker can give anything
    raise OptionsError(
        f"{name} is for {path}, which this version cannot stream to" if path else f"options is of the type {name}",
        hint="Use ListenOptions.",
    )
