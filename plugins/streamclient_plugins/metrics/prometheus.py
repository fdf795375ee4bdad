"""The metrics for Prometheus: in its library's registry, in a text file, at an address."""

import os
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Histogram, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamclient_plugins.metrics.ledger import HISTOGRAMS, SUMS, Ledger, Sum

__all__ = ["Prometheus", "prometheus"]

SECONDS = "s"
BYTES = "By"


class _Sums(Collector):
    """What the ledger holds, at the moment somebody asks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """All metrics that are sums."""
        values = self._ledger.read()
        for metric in SUMS:
            family = _family(metric)
            for labels, value in values[metric.name].items():
                family.add_metric([value for _, value in labels], value)
            yield family


def _family(metric: Sum) -> Any:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(
        prometheus_name(metric.name, metric.unit), metric.about, labels=[_underscored(one) for one in metric.labels]
    )


def prometheus_name(name: str, unit: str) -> str:
    """A metric's name as Prometheus wants it: with its unit at the end."""
    suffix = {SECONDS: "_seconds", BYTES: "_bytes"}.get(unit, "")
    return _underscored(name) + suffix


def _underscored(name: str) -> str:
    return name.replace(".", "_")


class Prometheus:
    """The metrics of this process. There is one, as there is one registry.

    Args:
        ledger: holds the sums.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._endpoints: dict[tuple[str, int], Any] = {}
        self._histograms = {
            metric.name: Histogram(
                prometheus_name(metric.name, SECONDS),
                metric.about,
                ["deepgram_model"],
                buckets=metric.buckets,
                registry=self.registry,
            )
            for metric in HISTOGRAMS
        }
        self.registry.register(_Sums(ledger))
        # So that a program which shows the library's registry already shows ours too.
        REGISTRY.register(_All(self.registry))

    def observe(self, name: str, model: str, value: float) -> None:
        """Add a value to a histogram."""
        self._histograms[name].labels(model).observe(value)

    def serve(self, host: str, port: int) -> int:
        """Show the metrics at an address, from now on until the process ends; which port it is.

        Raises:
            OSError: the address cannot be had.
        """
        with self._lock:
            if (host, port) not in self._endpoints:
                self._endpoints[host, port] = start_http_server(port, host, self.registry)
            server, _ = self._endpoints[host, port]
        bound: int = server.server_port
        return bound

    def stop(self) -> None:
        """Show them nowhere any more."""
        with self._lock:
            for server, thread in self._endpoints.values():
                server.shutdown()
                server.server_close()
                thread.join()
            self._endpoints.clear()

    def write(self, path: Path) -> None:
        """Replace a file by the metrics as they are now, all at once."""
        write_to_textfile(os.fspath(path), self.registry)


class _All(Collector):
    """A registry within another one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """All metrics of it."""
        return iter(self._registry.collect())

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before it is asked."""
        return iter(())


@cache
def prometheus(ledger: Ledger) -> Prometheus:
    """The metrics of this process, made when they are first wanted."""
    return Prometheus(ledger)
