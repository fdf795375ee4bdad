"""What error pages and error trackers show: the frames of a traceback, with what their variables hold."""

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from streamclient import ListenOptions, StreamClient, StreamClientError, stream, transcribe
from streamclient.integrations.flask import Transcription
from streamclient.testing import Close, DeepgramServer, Fault, Garbage, Refuse, Reset, handshake, messages

KEY = "the-key-that-nobody-may-see"
RAW: dict[str, Any] = {"encoding": "linear16", "sample_rate": 16000}
OPTIONS = ListenOptions(**RAW)
WRONG: list[dict[str, Any]] = [
    {"timeouts": 3},
    {"plugins": ["nothing"]},
    {"access_token": "another"},
    {"no_argument": 1},
    {"url": "http://x/"},
    {"url": "ws://127.0.0.1:1", "reconnect": None},
]


def open_client(**arguments: Any) -> None:
    """Make a client, and open it."""
    with StreamClient(OPTIONS, **arguments):
        pass


def shown(error: BaseException | None) -> Iterator[str]:
    """Everything that the frames of an error and of its causes hold, but for those of these tests."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                yield from map(repr, frame.f_locals.values())
        error = error.__cause__ or error.__context__


USES: list[Callable[..., Any]] = [
    open_client,
    lambda **arguments: transcribe(bytes(3200), OPTIONS, **arguments),
    lambda **arguments: list(stream(bytes(3200), OPTIONS, **arguments)),
]


@pytest.mark.parametrize("use", USES, ids=["client", "transcribe", "stream"])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
def test_no_frame_of_an_error_holds_the_key(use: Callable[..., Any], wrong: dict[str, Any]) -> None:
    """Whatever is wrong with the other arguments."""
    with pytest.raises((StreamClientError, TypeError)) as caught:
        use(**{"api_key": KEY, **wrong})
    assert not [held for held in shown(caught.value) if KEY in held]


@pytest.mark.parametrize("key", [f"{KEY} {KEY}", KEY.encode()])
def test_no_frame_holds_a_key_that_is_none(key: Any) -> None:
    """Nearly the right one may be in it."""
    with pytest.raises(StreamClientError) as caught:
        StreamClient(OPTIONS, api_key=key)
    assert not [held for held in shown(caught.value) if KEY in held]


@pytest.mark.parametrize("use", [*USES[1:], lambda **_: Transcription().sse(bytes(3200))], ids=["one", "many", "sse"])
def test_nor_after_a_refusal(use: Callable[..., Any]) -> None:
    """It comes when everything has been made."""
    app = Flask(__name__)
    with DeepgramServer() as server, app.app_context(), pytest.raises(StreamClientError) as caught:
        server.break_next(Refuse(401))
        app.config.update(STREAMCLIENT_OPTIONS=RAW, STREAMCLIENT_API_KEY=KEY, STREAMCLIENT_URL=server.url)
        use(api_key=KEY, url=server.url)
    assert not [held for held in shown(caught.value) if KEY in held]


@pytest.mark.parametrize("token", [f"{KEY} {KEY}", KEY.encode()])
def test_no_frame_holds_what_a_callable_returned(token: Any) -> None:
    """It is asked by another thread, whose frames an error brings along."""
    with pytest.raises(StreamClientError, match="returned no token") as caught:
        open_client(access_token=lambda: token, url="ws://127.0.0.1:1", reconnect=None)
    assert not [held for held in shown(caught.value) if KEY in held]


@pytest.mark.parametrize("use", USES, ids=["client", "transcribe", "stream"])
@pytest.mark.parametrize("fault", [Garbage(), Reset(after=handshake()), Close(1011, after=messages(1))], ids=repr)
def test_nor_when_a_stream_breaks(use: Callable[..., Any], fault: Fault) -> None:
    """Before it is open, where the key is on its way, and after."""
    with DeepgramServer() as server, pytest.raises(StreamClientError) as caught:
        server.break_next(fault)
        use(api_key=KEY, url=server.url, reconnect=None)
    assert not [held for held in shown(caught.value) if KEY in held]


def read_badly() -> Iterator[bytes]:
    """Audio that ends with an error."""
    yield bytes(3200)
    raise LookupError("The file is gone.")


@pytest.mark.parametrize("use", [transcribe, lambda *source, **more: list(stream(*source, **more))])
def test_nor_when_the_source_cannot_be_read(use: Callable[..., Any]) -> None:
    """This error is not ours, and has all its frames."""
    with DeepgramServer() as server, pytest.raises(LookupError) as caught:
        use(read_badly(), OPTIONS, api_key=KEY, url=server.url)
    assert "read_badly" in [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert not [held for held in shown(caught.value) if KEY in held]


@pytest.mark.parametrize("name", ["connect", "sse"])
@pytest.mark.parametrize(
    "wrong", [{"OPTION": {}}, {"OPTIONS": {"modell": 1}}, {"TIMEOUTS": 3}, {"PLUGINS": ["nothing"]}]
)
def test_no_frame_holds_the_key_of_a_configuration(name: str, wrong: dict[str, Any]) -> None:
    """Not even the configuration as a whole, with the other secrets of the application."""
    app = Flask(__name__)
    app.config.update(
        {f"STREAMCLIENT_{key}": value for key, value in {"OPTIONS": RAW, "API_KEY": KEY, **wrong}.items()}
    )
    with app.app_context(), pytest.raises(StreamClientError) as caught:
        getattr(Transcription(app), name)(*[bytes(3200)] * (name == "sse"))
    assert not [held for held in shown(caught.value) if KEY in held]
