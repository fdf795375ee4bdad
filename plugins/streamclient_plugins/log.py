"""The plugin ``log``: one line of standard logging for each utterance or final, and for what happens to the stream."""

import logging
from typing import Literal

from attrs import define, field

from streamclient import Results, StreamClientError, StreamView, Transcript, TurnInfo, Utterance, hookimpl
from streamclient_plugins.template import Clock, template_field, utterance_fields

__all__ = ["Log"]


@define(eq=False, kw_only=True)
class Log:
    """Log each utterance or final, and what happens to the stream."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = field(
        default="INFO", metadata={"help": "Level of the lines of transcript."}
    )
    logger: str = field(default="streamclient.transcript", metadata={"help": "Name of the logger."})
    per: Literal["utterance", "final"] = field(default="utterance", metadata={"help": "What makes a line."})
    format: str = template_field("{text}", "A line")
    _log: logging.Logger = field(init=False, repr=False)
    _finals: int = field(default=0, init=False, repr=False)
    _clock: Clock = field(factory=Clock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._log = logging.getLogger(self.logger)

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Tell the request id, which the service's support asks for."""
        self._finals = 0
        self._clock = Clock()
        self._log.info("Stream %s is open, request id %s", stream.id, stream.request_id)

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Log an utterance."""
        if self.per == "utterance":
            self._line(stream, utterance, utterance.index)

    @hookimpl
    def on_final(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Log a final, unless it is silence."""
        if self.per == "final" and result.transcript:
            self._line(stream, result, self._finals)
            self._finals += 1

    @hookimpl
    def on_disconnect(self, stream: StreamView, error: StreamClientError, retry_in: float) -> None:
        """Warn of an outage."""
        self._log.warning("Stream %s lost its connection, next attempt in %.1f s: %s", stream.id, retry_in, error)

    @hookimpl
    def on_reconnect(self, stream: StreamView, outage: float) -> None:
        """Tell the end of an outage."""
        self._log.info("Stream %s is connected again after %.1f s", stream.id, outage)

    @hookimpl
    def on_error(self, stream: StreamView, error: StreamClientError) -> None:
        """Log why the stream failed."""
        self._log.error("Stream %s failed: %s", stream.id, error)

    @hookimpl
    def on_plugin_error(self, stream: StreamView, plugin: str, hook: str, error: BaseException) -> None:
        """Log what another plugin raised, or that it was stopped, which happens in no hook."""
        what = f"failed in {hook}" if hook else "was stopped"
        self._log.error("Stream %s: plugin %s %s: %r", stream.id, plugin, what, error)

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:
        """Tell the end, and warn where the transcript is not complete."""
        level, extent = (logging.INFO, "complete") if transcript.complete else (logging.WARNING, "incomplete")
        self._log.log(
            level,
            "Stream %s is closed: %d utterances, %.1f s of audio, %s",
            stream.id,
            len(transcript.utterances),
            transcript.duration,
            extent,
        )

    def _line(self, stream: StreamView, said: Utterance | Results | TurnInfo, index: int) -> None:
        line = self.format.format(**utterance_fields(stream, self._clock, said, index))
        self._log.log(getattr(logging, self.level), "%s", line)
