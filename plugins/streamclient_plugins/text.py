"""The plugin ``text``: the transcript as readable text, written as it comes."""

from attrs import define, field

from streamclient import StreamView, Utterance, hookimpl
from streamclient_plugins.template import Clock, clock_time, template_field, utterance_fields
from streamclient_plugins.writer import LineWriter, path_field

__all__ = ["Text"]


@define(eq=False, kw_only=True)
class Text(LineWriter):
    """Write each utterance as a line of text, as it comes."""

    path: str = path_field("{stem}.txt")
    timestamps: bool = field(default=False, metadata={"help": "Begin each line with its time in the audio."})
    labels: bool = field(
        default=True, metadata={"help": "Name the channel and the speaker, where the stream tells them apart."}
    )
    format: str | None = template_field(None, "A line, in place of timestamps and labels")
    _clock: Clock = field(factory=Clock, init=False, repr=False)

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Open the file."""
        self._clock = Clock()
        self.open(stream)

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Write one line."""
        if self.format is not None:
            self.write_line(self.format.format(**utterance_fields(stream, self._clock, utterance, utterance.index)))
            return
        time = f"[{clock_time(utterance.start)}] " if self.timestamps else ""
        label = label_of(utterance, multichannel=is_multichannel(stream)) if self.labels else ""
        text = " ".join(utterance.text.split())
        self.write_line(f"{time}{label}: {text}" if label else time + text)

    @hookimpl
    def on_close(self) -> None:
        """Close the file."""
        self.close()


def is_multichannel(stream: StreamView) -> bool:
    """Whether each channel of the stream is transcribed on its own."""
    return bool(getattr(stream.options, "multichannel", False))


def label_of(utterance: Utterance, *, multichannel: bool) -> str:
    """Who speaks, in the service's numbers, or nothing where it does not tell."""
    channel = [f"Channel {utterance.channel}"] if multichannel else []
    speaker = [] if utterance.speaker is None else [f"Speaker {utterance.speaker}"]
    return ", ".join(channel + speaker)
