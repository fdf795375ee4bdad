"""The plugin ``metrics``: what streams do, in numbers, for OpenTelemetry and Prometheus."""

import os
import time
import weakref
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from attrs.converters import optional

from streamclient import Results, StreamClientError, StreamView, Transcript, TurnInfo, hookimpl
from streamclient_plugins.metrics.ledger import Ledger, Measurement, measure
from streamclient_plugins.writer import fields_of, unknown_field

__all__ = ["LEDGER", "Metrics"]

LEDGER = Ledger()
"""Of this process: what collects metrics asks a process, not a stream."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LEDGER.begin_anew)

LAST_PORT = 65535

EXTRA = "pip install 'streamclient[metrics]'"


@frozen(eq=False)
class _Open:
    """A stream while it is open."""

    view: StreamView
    since: float = field(factory=time.monotonic)

    @property
    def model(self) -> str:
        return self.view.options.model

    @property
    def age(self) -> float:
        return time.monotonic() - self.since

    def measurements(self) -> Iterable[Measurement]:
        return measure(self.model, self.view.stats)


@define(eq=False, kw_only=True)
class Metrics:
    """Count and measure for OpenTelemetry and Prometheus."""

    path: Path | None = field(
        default=None,
        converter=optional(Path),
        metadata={"help": "Prometheus text file to keep up to date; {pid} is filled in."},
    )
    interval: float = field(default=15.0, metadata={"help": "Seconds after which the file is written again."})
    port: int | None = field(default=None, metadata={"help": "Port of an address for Prometheus, /metrics."})
    host: str = field(default="127.0.0.1", metadata={"help": "Address that the port belongs to."})
    meter_provider: Any = field(
        default=None, repr=False, metadata={"help": "OpenTelemetry's, where not the program's own; in Python only."}
    )
    _sinks: list[Any] = field(factory=list, init=False, repr=False)
    _prometheus: Any = field(default=None, init=False, repr=False)
    _stream: _Open | None = field(default=None, init=False, repr=False)
    _has_words: bool = field(default=False, init=False, repr=False)
    _written: float = field(default=0.0, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.interval >= 0:
            raise ValueError(f"interval={self.interval:g} is not allowed; allowed is 0 or more")
        if self.port is not None and not 0 <= self.port <= LAST_PORT:
            raise ValueError(f"port={self.port} is not allowed; allowed is 0 to {LAST_PORT}")
        for name in fields_of(str(self.path)) - {"pid"}:
            raise unknown_field(f"path={str(self.path)!r}", name, ["pid"])
        self._find_sinks()
        if self.port is not None:
            self._serve(self.port)
        if self.path is not None:
            self.path = Path(str(self.path).format(pid=os.getpid()))
            if not self.path.parent.is_dir():
                raise ValueError(f"path={str(self.path)!r}: there is no folder {self.path.parent}")
            if self.path.is_dir():
                raise ValueError(f"path={str(self.path)!r} is a folder, not a file")

    def _serve(self, port: int) -> None:
        try:
            self._prometheus.serve(self.host, port)
        except OSError as error:
            raise ValueError(
                f"port={port} of host={self.host!r} cannot be had: {error.strerror}. Each process needs its own"
            ) from error

    def _find_sinks(self) -> None:
        """Everything that is installed is served."""
        if _is_installed("prometheus_client"):
            from streamclient_plugins.metrics.prometheus import prometheus

            self._prometheus = prometheus(LEDGER)
            self._sinks.append(self._prometheus)
        elif self.path or self.port is not None:
            raise ValueError(f"path and port need prometheus-client: {EXTRA}")
        if _is_installed("opentelemetry.metrics"):
            from streamclient_plugins.metrics.opentelemetry import opentelemetry

            self._sinks.append(opentelemetry(LEDGER, self.meter_provider))
        if not self._sinks:
            raise ValueError(f"metrics needs opentelemetry-api or prometheus-client: {EXTRA}")

    @hookimpl
    def on_open(self, stream: StreamView) -> None:
        """Begin to count."""
        self._begin(stream)

    @hookimpl
    def on_interim(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Measure how far the results are behind the audio."""
        self._measure_result(stream, result)

    @hookimpl
    def on_final(self, stream: StreamView, result: Results | TurnInfo) -> None:
        """Measure how far the results are behind the audio."""
        self._measure_result(stream, result)

    @hookimpl
    def on_disconnect(self, stream: StreamView, error: StreamClientError) -> None:
        """Count an outage."""
        self._count(stream, "streamclient.disconnects", error)

    @hookimpl
    def on_error(self, stream: StreamView, error: StreamClientError) -> None:
        """Count a stream that failed."""
        self._count(stream, "streamclient.errors", error)

    @hookimpl
    def on_plugin_error(self, plugin: str, error: BaseException) -> None:
        """Count a failure of another plugin."""
        LEDGER.count("streamclient.plugin.errors", plugin=plugin, error_type=type(error).__name__)

    @hookimpl
    def on_close(self, stream: StreamView, transcript: Transcript) -> None:  # noqa: ARG002 - of no interest
        """Keep what was counted."""
        opened = self._begin(stream)
        self._observe("streamclient.session.duration", opened, opened.age)
        LEDGER.end(opened)
        self._stream = None
        self._write()

    def _begin(self, stream: StreamView) -> _Open:
        """Also where a stream has never opened: its failure counts."""
        if self._stream is None:
            self._stream = _Open(stream)
            self._has_words = False
            LEDGER.begin(self._stream)
            # A plugin that is stopped hears no `on_close`.
            weakref.finalize(self, LEDGER.leave, self._stream).atexit = False
        return self._stream

    def _measure_result(self, stream: StreamView, result: Results | TurnInfo) -> None:
        opened = self._begin(stream)
        if result.transcript and not self._has_words:
            self._has_words = True
            self._observe("streamclient.first_result.latency", opened, opened.age)
        self._observe("streamclient.result.latency", opened, stream.stats.lag)
        if time.monotonic() - self._written >= self.interval:
            self._write()

    def _observe(self, name: str, opened: _Open, value: float) -> None:
        for sink in self._sinks:
            sink.observe(name, opened.model, value)

    def _count(self, stream: StreamView, name: str, error: BaseException) -> None:
        LEDGER.count(name, deepgram_model=stream.options.model, error_type=type(error).__name__)

    def _write(self) -> None:
        if self.path is not None:
            self._written = time.monotonic()
            self._prometheus.write(self.path)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False
