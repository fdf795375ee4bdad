"""Lines made from a template: what the plugins that tell of utterances in words share."""

from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import Attribute, field, frozen

from streamclient import Results, StreamView, TurnInfo, Utterance
from streamclient_plugins.writer import fields_of, unknown_field

__all__ = ["FIELDS", "Clock", "clock_time", "template_field", "utterance_fields"]

MORNING = datetime(2000, 1, 1, tzinfo=timezone.utc)

FIELDS: dict[str, Any] = {
    "stream_id": "",
    "request_id": "",
    "index": 0,
    "start": 0.0,
    "end": 0.0,
    "start_clock": "0:00:00.00",
    "end_clock": "0:00:00.00",
    "at": MORNING,
    "text": "",
    "channel": 0,
    "speaker": "",
    "confidence": 0.0,
}
"""What a template can use, with values of the right types."""


def template_field(default: str | None, what: str) -> Any:
    """An option that is a template of a line."""
    names = ", ".join(f"{{{name}}}" for name in FIELDS)
    help_text = (
        f"{what}; its fields are {names}. {{start}} and {{end}} are seconds, {{at}} is the time of day, as in "
        "{at:%H:%M:%S}."
    )
    return field(default=default, validator=_check_template, metadata={"help": help_text})


def _check_template(_instance: object, attribute: "Attribute[Any]", template: str | None) -> None:
    if template is None:
        return
    shown = f"{attribute.name}={template!r}"
    try:
        names = fields_of(template)
    except ValueError as error:
        raise ValueError(f"{shown} cannot be filled in: {error}") from error
    for name in sorted(names):
        if name not in FIELDS:
            raise unknown_field(shown, name, tuple(FIELDS))
    try:
        template.format(**FIELDS)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{shown} cannot be filled in: {error}") from error


@frozen
class Clock:
    """The time of day at which the stream began; its audio is taken to be spoken as it comes.

    Args:
        began: when the stream was opened.
    """

    began: datetime = field(factory=lambda: datetime.now(timezone.utc).astimezone())

    def at(self, seconds: float) -> datetime:
        """The time of day, in the zone of this machine, at a place in the audio."""
        return self.began + timedelta(seconds=seconds)


def utterance_fields(stream: StreamView, clock: Clock, said: Utterance | Results | TurnInfo, index: int) -> Any:
    """What a template can say of an utterance or a final."""
    confidence = said.end_of_turn_confidence if isinstance(said, TurnInfo) else said.confidence
    speaker = said.speaker if isinstance(said, Utterance) else said.words[0].speaker if said.words else None
    return {
        "stream_id": stream.id,
        "request_id": stream.request_id or "-",
        "index": index,
        "start": said.start,
        "end": said.end,
        "start_clock": clock_time(said.start),
        "end_clock": clock_time(said.end),
        "at": clock.at(said.start),
        "text": " ".join((said.text if isinstance(said, Utterance) else said.transcript).split()),
        "channel": said.channel,
        "speaker": "-" if speaker is None else str(speaker),
        "confidence": confidence,
    }


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds, as in ``0:01:02.50``."""
    hundredths = round(max(seconds, 0.0) * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"
