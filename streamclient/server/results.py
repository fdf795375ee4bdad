"""The messages of ``/v1/listen`` as dictionaries (Deepgram: "Live Audio", server messages)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from streamclient.server.channel import ChannelEvent, Gap, Recognised, SpeechBegan
from streamclient.server.engines.base import Model, Word
from streamclient.server.wording import Wording

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
        language: which was asked for.
        punctuate: whether words carry ``punctuated_word``.
        wording: what is done to the words.
        late_utterance_end: whether every ``UtteranceEnd`` says that it comes late.
        extra: what the client wants echoed.
    """

    request_id: str
    model: Model
    channels: int = 1
    language: str = "en"
    punctuate: bool = False
    wording: Wording = Wording()
    late_utterance_end: bool = False
    extra: Mapping[str, str] = attrs.field(factory=dict)

    def event(self, event: ChannelEvent, channel: int) -> Message:
        """Make the message of one channel's event."""
        index = [channel, self.channels]
        if isinstance(event, Recognised):
            return self._results(event, index)
        if isinstance(event, SpeechBegan):
            return {"type": "SpeechStarted", "channel": index, "timestamp": seconds(event.time)}
        assert isinstance(event, Gap)
        end = -1 if self.late_utterance_end else seconds(event.last_word_end)
        return {"type": "UtteranceEnd", "channel": index, "last_word_end": end}

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
        return self.error("SchemaError", description, message=text)

    def error(self, variant: str, description: str, **fields: str) -> Message:
        """Make an error that ends nothing."""
        return {"type": "Error", "variant": variant, "description": description, **fields}

    def configured(self, keyterms: Sequence[str] | None) -> Message:
        """Make the answer to a ``Configure`` that was accepted."""
        message = {"type": "ConfigureSuccess", "request_id": self.request_id}
        return message if keyterms is None else message | {"keyterms": list(keyterms)}

    def not_configured(self, code: str, description: str) -> Message:
        """Make the answer to a ``Configure`` that changed nothing."""
        return {
            "type": "ConfigureFailure",
            "request_id": self.request_id,
            "code": code,
            "description": description,
        }

    def _results(self, result: Recognised, index: list[int]) -> Message:
        words = self.wording.apply(result.words, self.language)
        return {
            "type": "Results",
            "channel_index": index,
            "start": seconds(result.start),
            "duration": seconds(result.end - result.start),
            "is_final": result.is_final,
            "speech_final": result.speech_final,
            "from_finalize": result.from_finalize,
            "channel": {"alternatives": [self._alternative(words)], **self._search(words)},
            "metadata": {
                "request_id": self.request_id,
                "model_info": self._model_info(),
                "model_uuid": self.model.uuid,
                **self._extra(),
            },
        }

    def _search(self, words: Sequence[Word]) -> Message:
        return {"search": self.wording.hits(words)} if self.wording.search else {}

    def _alternative(self, words: Sequence[Word]) -> Message:
        confidences = [word.confidence for word in words]
        return {
            "transcript": " ".join(self._written(word) for word in words),
            "confidence": round(sum(confidences) / len(confidences), 4) if words else 0.0,
            "words": [self._word(word) for word in words],
            **({"languages": _languages(words)} if self._is_mixed else {}),
        }

    @property
    def _is_mixed(self) -> bool:
        return self.language == "multi"

    def _word(self, word: Word) -> Message:
        message: Message = {
            "word": word.text,
            "start": seconds(word.start),
            "end": seconds(word.end),
            "confidence": round(word.confidence, 4),
        }
        if self.punctuate:
            message["punctuated_word"] = self._written(word)
        if self._is_mixed and word.language:
            message["language"] = word.language
        return message

    def _written(self, word: Word) -> str:
        return word.punctuated if self.punctuate and word.punctuated else word.text

    def _model_info(self) -> Message:
        return {"name": self.model.name, "version": self.model.version, "arch": self.model.arch}

    def _extra(self) -> Message:
        return {"extra": dict(self.extra)} if self.extra else {}


def seconds(value: float) -> float:
    """Round to the microsecond, finer than any sample."""
    return round(value, 6)


def _languages(words: Sequence[Word]) -> list[str]:
    """The languages of the words, the one with the most words first."""
    return [language for language, _ in Counter(word.language for word in words if word.language).most_common()]
