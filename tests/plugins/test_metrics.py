"""The plugin metrics: read by the real SDK of OpenTelemetry and by Prometheus' own parser."""

import gc
import itertools
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import attrs
import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from streamclient import (
    Closed,
    Disconnected,
    Failed,
    HookStats,
    ListenOptions,
    Opened,
    PluginError,
    PluginFailed,
    PluginStats,
    Results,
    StreamClient,
    StreamStats,
    Transcript,
)
from streamclient.plugins import load_plugins
from streamclient_plugins.metrics.ledger import HISTOGRAMS, SUMS, Ledger, Measurement, measure
from streamclient_plugins.metrics.plugin import LEDGER, Metrics
from streamclient_plugins.metrics.prometheus import prometheus, prometheus_name
from tests.plugins.conftest import EVENTS, LOST, Play, View
from tests.support.service import final, metadata, obedient, serving

STATS = StreamStats(
    audio_bytes=64000,
    audio_seconds=2.0,
    frames_sent=8,
    messages_received=3,
    reconnects=1,
    lag=0.5,
    buffered_seconds=0.25,
    plugins=(
        PluginStats(
            name="log",
            waiting=4,
            interims_shed=2,
            undelivered=1,
            hooks=(HookStats(hook="on_final", calls=3, seconds=0.75, slowest=0.5),),
        ),
    ),
)
ROOT = Path(__file__).parents[2]
models = (f"model-{number}" for number in itertools.count())


@attrs.define(eq=False)
class Measured:
    """A stream with these counters."""

    model: str = "nova-3"
    stats: StreamStats = STATS

    def measurements(self) -> Iterable[Measurement]:
        """What they say."""
        return measure(self.model, self.stats)


@pytest.fixture
def view() -> View:
    """A stream with a model that no other test has: the metrics are those of the process."""
    return View(options=ListenOptions(model=next(models)), stats=STATS)


@pytest.fixture
def reader() -> InMemoryMetricReader:
    """What an SDK's exporter would get."""
    return InMemoryMetricReader()


@pytest.fixture
def plugin(reader: InMemoryMetricReader) -> Iterator[Metrics]:
    """The plugin, with a provider of the test's."""
    provider = MeterProvider([reader])
    yield Metrics(meter_provider=provider)
    provider.shutdown()


def collected(reader: InMemoryMetricReader, model: str | None = None) -> dict[str, list[Any]]:
    """The data points of each instrument, of one model."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [
            point
            for point in metric.data.data_points
            if model in (None, (point.attributes or {}).get("deepgram.model"))
        ]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def parsed(text: str, model: str | None = None) -> dict[str, float]:
    """The samples of a text, of one model, by name and the labels beside the model."""
    return {
        sample.name + "".join(f" {value}" for label, value in sample.labels.items() if label != "deepgram_model"): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if model in (None, sample.labels.get("deepgram_model"))
    }


class TestLedger:
    def test_open_streams_are_added_up(self) -> None:
        """Counters and depths; of the lag the worst counts."""
        ledger = Ledger()
        ledger.begin(Measured())
        ledger.begin(Measured(stats=attrs.evolve(STATS, lag=2.0)))

        values = {name: list(of_metric.values()) for name, of_metric in ledger.read().items()}

        assert values["streamclient.streams"] == [2]
        assert values["streamclient.audio.duration"] == [4.0]
        assert values["streamclient.send_queue.depth"] == [0.5]
        assert values["streamclient.plugin_queue.depth"] == [8]
        assert values["streamclient.events.dropped"] == [6]
        assert values["streamclient.hook.duration"] == [1.5]
        assert values["streamclient.lag"] == [2.0]

    def test_a_forked_child_counts_its_own_streams(self) -> None:
        """Whatever its parent's threads were doing just then."""
        program = """
import os, sys, time
from streamclient_plugins.metrics.plugin import LEDGER
class Measured:
    def measurements(self):
        yield "streamclient.streams", (), 1
LEDGER.begin(Measured())
LEDGER.count("streamclient.errors")
with LEDGER._lock:
    child = os.fork()
    if child == 0:
        counted = LEDGER.read()
        os._exit(any(counted.values()))
    # A child that waits for the lock would never end.
    end = time.monotonic() + 30
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, 9)
assert done == (child, 0), done
assert LEDGER.read()["streamclient.streams"] == {(): 1}
"""
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    def test_what_ended_streams_have_counted_stays(self) -> None:
        """What they had waiting is zero."""
        ledger = Ledger()
        stream = Measured()
        ledger.begin(stream)
        ledger.end(stream)
        ledger.end(stream)

        values = ledger.read()

        assert list(values["streamclient.audio.sent"].values()) == [64000]
        for gauge in ("streams", "lag", "send_queue.depth", "plugin_queue.depth"):
            assert list(values[f"streamclient.{gauge}"].values()) == [0]

    def test_models_and_plugins_are_told_apart(self) -> None:
        """By labels."""
        ledger = Ledger()
        ledger.begin(Measured("nova-3"))
        ledger.begin(Measured("nova-2"))

        values = ledger.read()

        assert values["streamclient.streams"] == {
            (("deepgram.model", "nova-3"),): 1,
            (("deepgram.model", "nova-2"),): 1,
        }
        assert values["streamclient.hook.calls"] == {(("plugin", "log"), ("hook", "on_final")): 6}

    def test_no_counter_goes_back(self) -> None:
        """Whatever happens while somebody reads: Prometheus would take that for a restart."""
        ledger = Ledger()
        seen = 0.0
        for number in range(1, 4):
            stream = Measured(stats=attrs.evolve(STATS, audio_bytes=number))
            ledger.begin(stream)
            for step in (ledger.read, lambda stream=stream: ledger.leave(stream), ledger.read):
                step()
                now = sum(ledger.read()["streamclient.audio.sent"].values())
                assert now >= seen
                seen = now

        assert seen == 6

    def test_every_measurement_is_of_a_known_metric(self) -> None:
        """With its labels, in their order."""
        known = {metric.name: metric.labels for metric in SUMS}

        for name, labels, _ in measure("nova-3", STATS):
            assert tuple(label for label, _ in labels) == known[name]


class TestOpenTelemetry:
    def test_the_sdk_gets_every_metric(
        self, plugin: Metrics, reader: InMemoryMetricReader, play: Play, view: View
    ) -> None:
        """With its unit and its meaning."""
        play(plugin, EVENTS, view)

        data = reader.get_metrics_data()
        assert data is not None
        ((scope,),) = [resource.scope_metrics for resource in data.resource_metrics]
        assert scope.scope.name == "streamclient"
        units = {metric.name: metric.unit for metric in scope.metrics}
        assert units == {metric.name: metric.unit for metric in SUMS} | {metric.name: "s" for metric in HISTOGRAMS}
        assert all(metric.description for metric in scope.metrics)

    def test_an_open_stream_is_seen_as_it_is_now(
        self, plugin: Metrics, reader: InMemoryMetricReader, play: Play, view: View
    ) -> None:
        """While it goes on."""
        play(plugin, [Opened(), Results(0.0, 1.0)], view)

        now = {name: [point.value for point in points] for name, points in collected(reader, view.options.model).items()
               if not isinstance(next(iter(points), None), HistogramDataPoint)}  # fmt: skip
        play(plugin, [Closed(Transcript())], view)
        then = collected(reader, view.options.model)

        assert (now["streamclient.streams"], now["streamclient.lag"]) == ([1], [0.5])
        assert (now["streamclient.audio.sent"], now["streamclient.reconnects"]) == ([64000], [1])
        assert [point.value for point in then["streamclient.streams"]] == [0]
        assert [point.value for point in then["streamclient.audio.sent"]] == [64000]

    def test_latency_is_measured_at_each_result(
        self, plugin: Metrics, reader: InMemoryMetricReader, play: Play, view: View
    ) -> None:
        """And once to the first words of all, for which silence does not count."""
        words = next(event for event in EVENTS if isinstance(event, Results))
        play(plugin, [Opened(), Results(0.0, 1.0)], view)
        assert not collected(reader, view.options.model).get("streamclient.first_result.latency")
        play(plugin, [words, words, Closed(Transcript())], view)

        points = collected(reader, view.options.model)

        (latency,) = points["streamclient.result.latency"]
        assert (latency.count, latency.sum) == (3, 1.5)
        assert [point.count for point in points["streamclient.first_result.latency"]] == [1]
        assert [point.count for point in points["streamclient.session.duration"]] == [1]

    def test_errors_are_counted_by_name(
        self, plugin: Metrics, reader: InMemoryMetricReader, play: Play, view: View
    ) -> None:
        """Of the stream, of its outages and of other plugins."""
        guilty = f"guilty-{view.options.model}"
        events = [Disconnected(LOST, 1.0), PluginFailed(guilty, "on_final", KeyError("x")), Failed(LOST)]
        play(plugin, [Opened(), *events, Closed(Transcript())], view)

        points = collected(reader, view.options.model)
        for name in ("streamclient.disconnects", "streamclient.errors"):
            (point,) = points[name]
            assert (point.value, point.attributes["error.type"]) == (1, "ConnectionLost")
        (failure,) = [
            point for point in collected(reader)["streamclient.plugin.errors"] if point.attributes["plugin"] == guilty
        ]
        assert (failure.value, failure.attributes["error.type"]) == (1, "KeyError")

    def test_the_programs_own_provider_may_come_later(self) -> None:
        """What was counted before is there, once."""
        program = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from streamclient import Closed, Opened, Transcript
from streamclient.plugins import load_plugins
from tests.plugins.conftest import View
from tests.plugins.test_metrics import STATS, collected

reader = InMemoryMetricReader()
for number in range(2):
    (plugin,) = load_plugins(["metrics"])
    for event in (Opened(), Closed(Transcript())):
        plugin.notify(View(stats=STATS), event, print)
    if number == 0:
        set_meter_provider(MeterProvider([reader]))
print([point.value for point in collected(reader)["streamclient.reconnects"]])
"""
        done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, cwd=ROOT)

        assert done.stdout == b"[2.0]\n"


class TestPrometheus:
    def test_a_text_file_is_kept(self, play: Play, view: View, tmp_path: Path) -> None:
        """While the stream goes on and at its end, and read by Prometheus' own parser."""
        play("metrics:path=metrics.prom,interval=0", [Opened(), Results(0.0, 1.0)], view)

        samples = parsed(Path("metrics.prom").read_text(), view.options.model)

        assert samples["streamclient_streams"] == 1
        assert samples["streamclient_audio_sent_bytes_total"] == 64000
        assert samples["streamclient_audio_duration_seconds_total"] == 2
        assert samples["streamclient_lag_seconds"] == 0.5
        assert samples["streamclient_result_latency_seconds_sum"] == 0.5
        assert samples["streamclient_result_latency_seconds_bucket 0.3"] == 0
        assert samples["streamclient_result_latency_seconds_bucket 0.5"] == 1

    def test_the_file_is_written_again_after_a_while_and_at_the_end(self, play: Play, view: View) -> None:
        """Not at each of many results; a plugin object that serves another stream counts its first words, too."""
        plugin, path = Metrics(path=Path("metrics.prom"), interval=600.0), Path("metrics.prom")
        words = next(event for event in EVENTS if isinstance(event, Results))

        for _ in range(2):
            play(plugin, [Opened(), words], view)
            path.unlink(missing_ok=True)
            play(plugin, [words], view)
            assert not path.exists()
            play(plugin, [Closed(Transcript())], view)

        samples = parsed(path.read_text(), view.options.model)
        assert samples["streamclient_first_result_latency_seconds_count"] == 2

    def test_the_file_can_be_named_after_the_process(self, play: Play, view: View) -> None:
        """Several of them do not overwrite each other's."""
        play("metrics:path=m-{pid}.prom", [Opened(), Closed(Transcript())], view)

        (path,) = Path().glob("m-*.prom")
        assert parsed(path.read_text(), view.options.model)["streamclient_session_duration_seconds_count"] == 1

    def test_an_address_shows_them(self, play: Play, view: View) -> None:
        """As long as the process lives."""
        served = prometheus(LEDGER)
        try:
            port = served.serve("127.0.0.1", 0)
            play("metrics", [Opened(), Closed(Transcript())], view)
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                samples = parsed(answer.read().decode(), view.options.model)
            with pytest.raises(PluginError, match=r"Plugin 'metrics' cannot be made: .*in use"):
                load_plugins([f"metrics:port={port}"])
        finally:
            served.stop()

        assert samples["streamclient_audio_sent_bytes_total"] == 64000

    def test_a_program_that_shows_its_own_shows_ours(self, play: Play, view: View) -> None:
        """They are in the library's registry."""
        play("metrics", [Opened(), Closed(Transcript())], view)

        samples = parsed(prometheus_client.generate_latest().decode(), view.options.model)

        assert samples["streamclient_audio_sent_bytes_total"] == 64000

    def test_names_have_their_unit(self) -> None:
        """As Prometheus wants it."""
        assert prometheus_name("streamclient.audio.sent", "By") == "streamclient_audio_sent_bytes"
        assert prometheus_name("streamclient.hook.calls", "{call}") == "streamclient_hook_calls"


class TestPlugin:
    def test_a_real_stream(self, plugin: Metrics, reader: InMemoryMetricReader) -> None:
        """What its own counters say."""
        options = ListenOptions(model=next(models), encoding="linear16", sample_rate=16000)
        with (
            serving(obedient(final("hello world", 0.0), metadata())) as service,
            StreamClient(options, url=service.url, plugins=[plugin]) as client,
        ):
            client.send(bytes(32000))

        points = collected(reader, options.model)
        assert [point.value for point in points["streamclient.audio.duration"]] == [1.0]
        assert [point.value for point in points["streamclient.messages.received"]] == [client.stats.messages_received]
        assert [point.count for point in points["streamclient.result.latency"]] == [1]
        (calls,) = [
            point.value
            for point in points.get("streamclient.hook.calls", []) or collected(reader)["streamclient.hook.calls"]
            if (point.attributes["plugin"], point.attributes["hook"]) == ("Metrics", "on_final")
        ]
        assert calls >= 1

    def test_a_plugin_that_is_forgotten_leaves_what_it_counted(self, play: Play, view: View) -> None:
        """It may have been stopped."""
        play("metrics", [Opened()], view)
        gc.collect()

        values = LEDGER.read()

        labels = (("deepgram.model", view.options.model),)
        assert values["streamclient.streams"][labels] == 0
        assert values["streamclient.audio.sent"][labels] == 64000

    def test_without_a_library_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before there is a stream."""
        monkeypatch.setattr("streamclient_plugins.metrics.plugin.find_spec", lambda name: None)

        with pytest.raises(PluginError, match=r"metrics needs opentelemetry-api or prometheus-client: pip install"):
            load_plugins(["metrics"])
        with pytest.raises(PluginError, match=r"path and port need prometheus-client: pip install"):
            load_plugins(["metrics:port=0"])

    @pytest.mark.parametrize("missing", ["prometheus_client", "opentelemetry"])
    def test_one_library_is_enough(self, missing: str, play: Play, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
        """Either."""
        monkeypatch.setattr(
            "streamclient_plugins.metrics.plugin.find_spec", lambda name: None if name.startswith(missing) else sys
        )

        assert play("metrics", EVENTS, view) == []

    @pytest.mark.parametrize(
        ("option", "reason"),
        [
            ("path=x{id}.prom", "has the unknown field {id}"),
            ("path=x{.prom", "expected '}'"),
            ("interval=nan,path=x.prom", "interval='nan' is not allowed; allowed is a number"),
            ("port=99999", "port=99999 is not allowed; allowed is 0 to 65535"),
            ("path=.", "path='.' is a folder, not a file"),
        ],
    )
    def test_what_cannot_work_is_refused_with_its_name(self, option: str, reason: str) -> None:
        """Before there is a stream."""
        with pytest.raises(PluginError) as caught:
            load_plugins([f"metrics:{option}"])

        assert reason in str(caught.value)

    def test_a_port_that_is_taken_is_named(self) -> None:
        """By another process of the same program, most of the time."""
        with closing(socket.create_server(("127.0.0.1", 0))) as other:
            port = other.getsockname()[1]
            with pytest.raises(PluginError, match=rf"port={port} of host='127\.0\.0\.1' cannot be had: .*in use"):
                load_plugins([f"metrics:port={port}"])

    def test_a_folder_that_is_not_there_is_refused(self) -> None:
        """Before there is a stream."""
        with pytest.raises(PluginError, match="there is no folder nowhere"):
            load_plugins(["metrics:path=nowhere/x.prom"])
