"""What a program of a stranger looks like to a type checker; this file is checked and never run."""

from collections.abc import Iterator
from pathlib import Path

from typing_extensions import assert_never

from streamclient import (
    BufferPolicy,
    Closed,
    CloseTimeout,
    ConfigureFailure,
    ConfigureSuccess,
    Connected,
    ConnectError,
    ConnectionLost,
    Disconnected,
    Event,
    Failed,
    ListenOptions,
    Metadata,
    Opened,
    PluginFailed,
    Reconnected,
    ReconnectPolicy,
    Results,
    ServerError,
    ServerWarning,
    SpeechStarted,
    StreamClient,
    StreamState,
    Timeouts,
    Transcript,
    TransportOptions,
    TurnInfo,
    UnknownMessage,
    Utterance,
    UtteranceEnd,
    Word,
    close_all,
    stream,
    transcribe,
)


def chunks() -> Iterator[bytes]:
    """Audio from anywhere."""
    yield b""


def script() -> str:
    """The shape of a plain script."""
    options = ListenOptions(
        model="nova-3", encoding="linear16", sample_rate=16000, keyterm=["one", "two"], redact="pci", endpointing=300
    )
    with StreamClient(options, plugins=["log"], access_token=lambda: "token") as client:
        for chunk in chunks():
            client.send(chunk, timeout=1.0)
        client.finalize(channel=0)
        client.configure(keyterms=["three"])
    transcript: Transcript = client.transcript
    return transcript.text


def handler(audio: memoryview) -> tuple[Word, ...]:
    """The shape of a request handler."""
    client = StreamClient(
        ListenOptions(),
        url="ws://localhost:8080",
        reconnect=None,
        timeouts=Timeouts(connect=5),
        buffer=BufferPolicy(max_events=10),
        transport=TransportOptions(headers={"X-Request": "1"}),
    )
    try:
        client.open()
        client.send(audio)
        return client.close(timeout=30).words
    except CloseTimeout as error:
        return error.transcript.words if error.transcript else ()
    except ConnectError as error:
        raise SystemExit(f"{error.status} {error.request_id}") from error
    except ConnectionLost as error:
        raise SystemExit(f"{error.code} {error.unconfirmed}") from error


def puller(path: Path) -> list[str]:
    """The shape of a loop over events."""
    texts = []
    event: Event
    for event in stream(path):
        if isinstance(event, Utterance):
            texts.append(event.text)
        elif isinstance(event, Results) and event.is_final:
            texts.append(f"{event.start:.1f} {event.end:.1f}")
    return texts


def everything(event: Event) -> object:
    """The shape of a match over all events; none is forgotten."""
    match event:
        case Results(start=start, is_final=True, words=[first, *_]):
            return start + first.end
        case Results(transcript=text) | TurnInfo(transcript=text) | Utterance(text=text):
            return text.upper()
        case SpeechStarted(seconds) | UtteranceEnd(seconds) | Metadata(duration=seconds):
            return seconds + 1
        case ServerError(description=said) | ServerWarning(description=said) | ConfigureFailure(description=said):
            return said
        case Opened() | Connected() | ConfigureSuccess() | UnknownMessage():
            return None
        case Disconnected(error) | Failed(error):
            return error.hint
        case Reconnected(outage):
            return outage + 1
        case PluginFailed(plugin, hook, error=raised):
            return f"{plugin}.{hook}: {raised}"
        case Closed(transcript):
            return transcript.gaps
    assert_never(event)


def one_liner() -> bool:
    """The shortest shape."""
    close_all(timeout=1.0)
    return transcribe("talk.wav", api_key="key", reconnect=ReconnectPolicy(max_attempts=3)).complete


def mistakes(client: StreamClient) -> None:
    """Each line must stay an error."""
    client.send("text")  # type: ignore[arg-type]
    client.state = StreamState.OPEN  # type: ignore[misc]
    client.transcript.text = "other"  # type: ignore[misc]
    ListenOptions(modle="nova-3")  # type: ignore[call-arg]
    ListenOptions(punctuate="yes")  # type: ignore[arg-type]
    transcribe(7)  # type: ignore[arg-type]
