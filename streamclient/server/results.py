"""The messages of ``/v1/listen`` as dictionaries (Deepgram: "Live Audio", server messages)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from streamclient.server.channel import ChannelEvent, Gap, Recognised, SpeechBegan
from streamclient.server.engines.base import Model, Word

__all__ = ["Message", "Messages"]

Message = dict[str, Any]
"""One message as it is before it is made JSON."""


@attrs.frozen
class Messages:
    """Makes the messages of one connection.

    Attributes:
        request_id: of the connection.
        model: which recognises.
        channels: how many channels are recognised separately.
        punctuate: whether words carry ``punctuated_word``.
        extra: what the client wants echoed.
    """

    request_id: str
    model: Model
    channels: int = 1
    punctuate: bool = False
    extra: Mapping[str, str] = attrs.field(factory=dict)

    def event(self, event: ChannelEvent, channel: int) -> Message:
        """Make the message of one channel's event."""
        index = [channel, self.channels]
        if isinstance(event, Recognised):
            return self._results(event, index)
        if isinstance(event, SpeechBegan):
            return {"type": "SpeechStarted", "channel": index, "timestamp": seconds(event.time)}
        assert isinstance(event, Gap)
        return {"type": "UtteranceEnd", "channel": index, "last_word_end": seconds(event.last_word_end)}

    def metadata(self, *, sha256: str, created: str, duration: float) -> Message:
        """Make the summary that ends a stream; ``duration`` 0 means that no audio was decoded."""
        message = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": sha256,
            "created": created,
            "duration": seconds(duration),
            "channels": self.channels if duration else 0,
        }
        if duration:
            uuid = self.model.uuid
            message |= {"models": [uuid], "model_info": {uuid: self._model_info()}}
        return message | self._extra()

    def schema_error(self, description: str, text: str) -> Message:
        """Make the answer to a text frame that is not understood; the stream goes on."""
        return {"type": "Error", "variant": "SchemaError", "description": description, "message": text}

    def configured(self, keyterms: Sequence[str] | None) -> Message:
        """Make the answer to a ``Configure`` that was accepted."""
        message = {"type": "ConfigureSuccess", "request_id": self.request_id}
        return message if keyterms is None else message | {"keyterms": list(keyterms)}

    def _results(self, result: Recognised, index: list[int]) -> Message:
        return {
            "type": "Results",
            "channel_index": index,
            "start": seconds(result.start),
            "duration": seconds(result.end - result.start),
            "is_final": result.is_final,
            "speech_final": result.speech_final,
            "from_finalize": result.from_finalize,
            "channel": {"alternatives": [self._alternative(result.words)]},
            "metadata": {
                "request_id": self.request_id,
                "model_info": self._model_info(),
                "model_uuid": self.model.uuid,
                **self._extra(),
            },
        }

    def _alternative(self, words: Sequence[Word]) -> Message:
        confidences = [word.confidence for word in words]
        return {
            "transcript": " ".join(self._written(word) for word in words),
            "confidence": round(sum(confidences) / len(confidences), 4) if words else 0.0,
            "words": [self._word(word) for word in words],
        }

    def _word(self, word: Word) -> Message:
        message = {
            "word": word.text,
            "start": seconds(word.start),
            "end": seconds(word.end),
            "confidence": round(word.confidence, 4),
        }
        return message | {"punctuated_word": self._written(word)} if self.punctuate else message

    def _written(self, word: Word) -> str:
        return word.punctuated if self.punctuate and word.punctuated else word.text

    def _model_info(self) -> Message:
        return {"name": self.model.name, "version": self.model.version, "arch": self.model.arch}

    def _extra(self) -> Message:
        return {"extra": dict(self.extra)} if self.extra else {}


def seconds(value: float) -> float:
    """Round to the microsecond, finer than any sample."""
    return round(value, 6)
