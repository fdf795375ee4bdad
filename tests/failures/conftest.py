"""Everything is logged, so that a secret in a log is found."""

import logging
from collections.abc import Iterator

import pytest
import websocket


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log all there is, with what websocket-client traces."""
    caplog.set_level(logging.DEBUG)
    websocket.enableTrace(True, handler=logging.NullHandler())
    logging.getLogger("websocket").addHandler(caplog.handler)
    yield
    logging.getLogger("websocket").removeHandler(caplog.handler)
    websocket.enableTrace(False)
