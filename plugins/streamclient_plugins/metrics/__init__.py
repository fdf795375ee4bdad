"""The plugin ``metrics``: streams in numbers, for OpenTelemetry and Prometheus."""

from streamclient_plugins.metrics.plugin import Metrics

__all__ = ["Metrics"]
