"""The plugin ``text``: the transcript as readable text, written as it comes."""

from attrs import define, field

from streamclient import StreamView, Utterance, hookimpl
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

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Open the file."""
        self.open(stream)

    @hookimpl
    def on_utterance(self, stream: StreamView, utterance: Utterance) -> None:
        """Write one line."""
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


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds, as in ``0:01:02.50``."""
    hundredths = round(max(seconds, 0.0) * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"
