"""The metrics as instruments of OpenTelemetry's API. Where they go is the business of the program and its SDK."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider

from streamclient import __version__
from streamclient_plugins.metrics.ledger import HISTOGRAMS, SUMS, Ledger

__all__ = ["OpenTelemetry", "opentelemetry"]


class OpenTelemetry:
    """The instruments of one meter provider.

    Args:
        ledger: holds the sums, which are read when the SDK asks.
        provider: makes them.
    """

    def __init__(self, ledger: Ledger, provider: MeterProvider) -> None:
        meter = provider.get_meter("streamclient", __version__)
        self._histograms = {
            metric.name: meter.create_histogram(
                metric.name, "s", metric.about, explicit_bucket_boundaries_advisory=metric.buckets
            )
            for metric in HISTOGRAMS
        }
        for metric in SUMS:
            make: Any = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
            make(metric.name, [_reader(ledger, metric.name)], metric.unit, metric.about)

    def observe(self, name: str, model: str, value: float) -> None:
        """Add a value to a histogram."""
        self._histograms[name].record(value, {"deepgram.model": model})


def _reader(ledger: Ledger, name: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def read(_: CallbackOptions) -> Iterator[Observation]:
        for labels, value in ledger.read()[name].items():
            yield Observation(value, dict(labels))

    return read


@cache
def opentelemetry(ledger: Ledger, provider: MeterProvider | None) -> OpenTelemetry:
    """The instruments of a provider, made when they are first wanted.

    Args:
        ledger: holds the sums.
        provider: ``None`` for the program's own, which need not be set yet.
    """
    return OpenTelemetry(ledger, provider or get_meter_provider())
