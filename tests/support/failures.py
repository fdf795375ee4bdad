"""What a caller is told of a failure, and that it holds no secret."""

import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from attrs import Factory, frozen

from streamclient import ListenOptions, StreamClient, StreamClientError, StreamState, Timeouts
from tests.support.ports import reserved_port
from tests.support.service import LINEAR16, SOON

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]
KEY = "sup3r-s3cret-k3y"
PASSWORD = "pr0xy-pa55word"
SECOND = bytes(32000)
WORDS = "Words of the service."
ARGUMENTS = {"api_key": KEY, "reconnect": None, "timeouts": Timeouts(connect=SOON)}

Scene = Callable[[], AbstractContextManager[dict[str, Any]]]
"""Makes a world in which a stream fails, and gives the client's arguments."""


@frozen(kw_only=True)
class Failure:
    """What a caller is to be told.

    Args:
        kind: class of the error.
        says: texts that it holds, in any order.
        hint: text of what to do next.
        retryable: whether doing the same again may help.
        facts: attributes it has.
    """

    kind: type[StreamClientError]
    says: tuple[str, ...] = ()
    hint: str
    retryable: bool
    facts: dict[str, Any] = Factory(dict)


def shown(error: BaseException) -> str:
    """Everything that a log, a report of a crash or another process may get of an error, local variables included."""
    parts = [repr(error), str(error), repr(vars(error)), repr(pickle.dumps(error))]
    parts += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "".join(parts)


def check(error: StreamClientError, expected: Failure, caplog: pytest.LogCaptureFixture) -> None:
    """The error is the one expected, and holds no secret."""
    assert type(error) is expected.kind, error
    for text in expected.says:
        assert text in str(error), error
    assert error.hint, error
    assert expected.hint in error.hint
    assert expected.hint in str(error)
    assert error.retryable is expected.retryable
    assert {name: getattr(error, name) for name in expected.facts} == expected.facts
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    everything = shown(error) + "".join(ours)  # websockets is the test's server
    assert KEY not in everything
    assert PASSWORD not in everything


def fails_to_open(arguments: dict[str, Any]) -> StreamClientError:
    """The error of an open() that cannot succeed; close() raises the same."""
    client = StreamClient(RAW, **{**ARGUMENTS, **arguments})
    with pytest.raises(StreamClientError) as caught:
        client.open()
    assert client.state is StreamState.FAILED
    with pytest.raises(type(caught.value)) as again:
        client.close()
    assert str(again.value) == str(caught.value)
    return caught.value


@contextmanager
def nothing_listens() -> Iterator[dict[str, Any]]:
    """A port that nobody has."""
    with reserved_port() as port:
        yield {"url": f"ws://127.0.0.1:{port}"}
