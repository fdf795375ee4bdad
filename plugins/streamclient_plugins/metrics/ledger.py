"""What is measured, and the sums of it over all streams of a process; knows neither OpenTelemetry nor Prometheus.

Most numbers are read from the streams' own counters when somebody asks for them, so they cost nothing in between and
are right at that moment.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol

from attrs import frozen

from streamclient import StreamStats

__all__ = ["HISTOGRAMS", "SUMS", "Histogram", "Ledger", "Measured", "Sum", "measure"]

Labels = tuple[tuple[str, str], ...]
Measurement = tuple[str, Labels, float]
"""Metric, labels and value."""

LATENCY = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
DURATION = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)


@frozen
class Sum:
    """A metric whose value is read.

    Args:
        name: in dots, as OpenTelemetry writes it.
        kind: a counter only grows; of a gauge the open streams count, added up or the largest of them.
        unit: as UCUM writes it.
        about: what it means.
        labels: what its values are told apart by.
    """

    name: str
    kind: Literal["counter", "total", "largest"]
    unit: str
    about: str
    labels: tuple[str, ...] = ("deepgram.model",)


@frozen
class Histogram:
    """A metric whose values are told one by one.

    Args:
        name: in dots, as OpenTelemetry writes it.
        about: what it means, in seconds.
        buckets: their upper bounds.
    """

    name: str
    about: str
    buckets: tuple[float, ...]


BY_PLUGIN = ("plugin",)
BY_HOOK = ("plugin", "hook")

SUMS = (
    Sum("streamclient.streams", "total", "{stream}", "Open streams."),
    Sum("streamclient.audio.sent", "counter", "By", "Audio that the streams have accepted."),
    Sum("streamclient.audio.duration", "counter", "s", "The same in seconds of audio."),
    Sum("streamclient.frames.sent", "counter", "{frame}", "Frames of audio handed to the network."),
    Sum("streamclient.messages.received", "counter", "{message}", "Messages of the service."),
    Sum("streamclient.reconnects", "counter", "{reconnect}", "Connections after the first of a stream."),
    Sum("streamclient.lag", "largest", "s", "Audio sent and not covered by any result yet, of the worst open stream."),
    Sum("streamclient.send_queue.depth", "total", "s", "Accepted audio that waits to be sent."),
    Sum("streamclient.plugin_queue.depth", "total", "{event}", "Events that wait for a plugin.", BY_PLUGIN),
    Sum("streamclient.hook.calls", "counter", "{call}", "Calls of a plugin's hooks.", BY_HOOK),
    Sum("streamclient.hook.duration", "counter", "s", "Time spent in a plugin's hooks.", BY_HOOK),
    Sum("streamclient.events.dropped", "counter", "{event}", "Events a plugin was too slow for.", BY_PLUGIN),
    Sum("streamclient.errors", "counter", "{error}", "Streams that failed.", ("deepgram.model", "error.type")),
    Sum("streamclient.disconnects", "counter", "{outage}", "Outages that began.", ("deepgram.model", "error.type")),
    Sum("streamclient.plugin.errors", "counter", "{error}", "Failures of other plugins.", ("plugin", "error.type")),
)

HISTOGRAMS = (
    Histogram("streamclient.session.duration", "From the opening of a stream to its end.", DURATION),
    Histogram("streamclient.first_result.latency", "From the opening of a stream to its first words.", LATENCY),
    Histogram("streamclient.result.latency", "Audio sent and not covered by results yet, at each result.", LATENCY),
)
"""All told apart by the model."""


def measure(model: str, stats: StreamStats) -> Iterator[Measurement]:
    """What a stream's own counters say."""
    labels = (("deepgram.model", model),)
    yield "streamclient.streams", labels, 1
    yield "streamclient.audio.sent", labels, stats.audio_bytes
    yield "streamclient.audio.duration", labels, stats.audio_seconds
    yield "streamclient.frames.sent", labels, stats.frames_sent
    yield "streamclient.messages.received", labels, stats.messages_received
    yield "streamclient.reconnects", labels, stats.reconnects
    yield "streamclient.lag", labels, stats.lag
    yield "streamclient.send_queue.depth", labels, stats.buffered_seconds
    for plugin in stats.plugins:
        own = (("plugin", plugin.name),)
        yield "streamclient.plugin_queue.depth", own, plugin.waiting
        yield "streamclient.events.dropped", own, plugin.interims_shed + plugin.undelivered
        for hook in plugin.hooks:
            yield "streamclient.hook.calls", (*own, ("hook", hook.hook)), hook.calls
            yield "streamclient.hook.duration", (*own, ("hook", hook.hook)), hook.seconds


class Measured(Protocol):
    """A stream that is open."""

    def measurements(self) -> Iterable[Measurement]:
        """All its counters, now."""


class Ledger:
    """Sums over the streams that are open and those that have ended. Any thread may use it.

    A stream is asked under the lock, so that no counter is ever seen to go back.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything, whoever holds the lock: in a forked child, which has neither those streams nor threads."""
        self._lock = threading.Lock()
        self._open: list[Measured] = []
        self._left: deque[Measured] = deque()
        self._ended: dict[str, dict[Labels, float]] = {name: {} for name in KINDS}

    def begin(self, stream: Measured) -> None:
        """A stream is open."""
        with self._lock:
            self._settle()
            self._open.append(stream)

    def end(self, stream: Measured) -> None:
        """A stream has ended: what it counted stays."""
        self.leave(stream)
        with self._lock:
            self._settle()

    def leave(self, stream: Measured) -> None:
        """A stream will not say that it ends; takes no lock, because the garbage collector may call this anywhere."""
        self._left.append(stream)

    def count(self, name: str, **labels: str) -> None:
        """Something has happened once more; an underscore of a label stands for a dot."""
        key = tuple((label.replace("_", "."), value) for label, value in labels.items())
        with self._lock:
            _add(self._ended, [(name, key, 1.0)])

    def read(self) -> Mapping[str, Mapping[Labels, float]]:
        """The values of all metrics, now."""
        with self._lock:
            self._settle()
            values = {name: dict(of_metric) for name, of_metric in self._ended.items()}
            for stream in self._open:
                _add(values, stream.measurements())
        return values

    def _settle(self) -> None:
        while self._left:
            stream = self._left.popleft()
            if stream in self._open:
                self._open.remove(stream)
                # A gauge falls to zero, which says more than if it were gone.
                _add(
                    self._ended,
                    (
                        (name, labels, value if KINDS[name] == "counter" else 0.0)
                        for name, labels, value in stream.measurements()
                    ),
                )


def _add(values: dict[str, dict[Labels, float]], measured: Iterable[Measurement]) -> None:
    for name, labels, value in measured:
        of_metric = values[name]
        known = of_metric.get(labels, 0.0)
        of_metric[labels] = max(known, value) if KINDS[name] == "largest" else known + value


KINDS = {metric.name: metric.kind for metric in SUMS}
