"""Plugins that hear the audio: every accepted byte, in order, promptly, and without harm to the stream."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from streamclient import (
    BufferPolicy,
    InvalidState,
    ListenOptions,
    PluginOverrun,
    ReconnectPolicy,
    Results,
    SendTimeout,
    StreamClient,
    Transcript,
    hookimpl,
)
from streamclient.threads import tap
from tests.support.service import LINEAR16, SOON, Call, final, metadata, obedient, serving

RAW = ListenOptions(**LINEAR16)  # type: ignore[arg-type]


class Hearer:
    """Keeps all audio it is given."""

    def __init__(self) -> None:
        self.audio = b""
        self.events: list[str] = []
        self._told = threading.Condition()

    @hookimpl
    def on_audio(self, audio: bytes) -> None:
        with self._told:
            self.audio += audio
            self._told.notify_all()

    @hookimpl
    def on_final(self, result: Results) -> None:
        self.events.append(f"{result.transcript} after {len(self.audio)}")

    @hookimpl
    def on_close(self) -> None:
        self.events.append(f"close after {len(self.audio)}")

    def has(self, size: int) -> bool:
        """Wait until it was given so many bytes."""
        with self._told:
            return self._told.wait_for(lambda: len(self.audio) >= size, SOON)


class Errors:
    """Keeps what is said of other plugins."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, BaseException]] = []
        self.failed = threading.Event()

    @hookimpl
    def on_plugin_error(self, plugin: str, hook: str, error: BaseException) -> None:
        self.failures.append((plugin, hook, error))
        self.failed.set()


def hearing(on_audio: Callable[[], object]) -> object:
    """A plugin that does this when it is given audio."""

    class Plugin:
        @hookimpl
        def on_audio(self) -> None:
            on_audio()

    return Plugin()


def test_every_accepted_byte_is_heard_before_its_results_and_before_the_end() -> None:
    """A result comes after the audio it is about, and close after all."""
    hearer = Hearer()

    def script(call: Call) -> None:
        heard = 0
        while heard < 20:
            heard += len(call.read()) // 100
            call.say(final(f"word{heard}", 0.0))
        call.read_until()
        call.end(metadata())

    chunks = [bytes([number]) * 100 for number in range(20)]
    with serving(script) as service, StreamClient(RAW, url=service.url, plugins=[hearer]) as client:
        for chunk in chunks:
            client.send(chunk)
            client.send(b"")
    assert hearer.audio == b"".join(chunks)
    *finals, close = hearer.events
    assert close == "close after 2000"
    for text in finals:
        word, size = text.removeprefix("word").split(" after ")
        assert int(size) >= 100 * int(word)


def test_audio_is_heard_while_there_is_no_connection() -> None:
    """An outage keeps no audio from those who hear it."""
    hearer = Hearer()
    lost = threading.Event()

    class Watch:
        @hookimpl
        def on_disconnect(self) -> None:
            lost.set()

    with serving(lambda call: call.reset()) as service:
        service_gone = service.url
        patient = ReconnectPolicy(initial_delay=60.0, max_delay=60.0)
        client = StreamClient(RAW, url=service_gone, plugins=[hearer, Watch()], reconnect=patient)
        client.open()
        assert lost.wait(SOON)
        client.send(b"ab")
        client.send(bytearray(b"cd"))
        assert hearer.has(4)
        client.abort()
    assert hearer.audio == b"abcd"
    assert hearer.events == ["close after 4"]


@pytest.mark.parametrize("buffer", [BufferPolicy(), BufferPolicy(max_memory=1000)], ids=["memory", "disk"])
def test_all_plugins_hear_the_order_the_service_hears(buffer: BufferPolicy) -> None:
    """However many threads send, the order of acceptance is one, also where audio goes over the disk."""
    hearers = [Hearer(), Hearer()]

    def send(sender: int) -> None:
        for number in range(200):
            client.send(bytes([sender, number]) * 50)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    with serving(obedient(metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=hearers, buffer=buffer)
        with client:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    heard = hearers[0].audio
    assert len(heard) == 4 * 200 * 100
    assert heard == hearers[1].audio
    assert heard == service.call.audio


def test_a_plugin_that_fails_hears_on() -> None:
    """An exception in on_audio is named and costs neither the stream nor the audio after it."""
    errors = Errors()
    bug = ValueError("a bug")
    heard: list[int] = []

    class Failing:
        @hookimpl
        def on_audio(self, audio: bytes) -> None:
            heard.append(len(audio))
            raise bug

    with serving(obedient(metadata())) as service:
        client = StreamClient(RAW, url=service.url, plugins=[Failing(), errors])
        with client:
            client.send(bytes(100))
            assert errors.failed.wait(SOON)
            client.send(bytes(100))
    assert sum(heard) == 200
    assert set(errors.failures) == {("Failing", "on_audio", bug)}
    assert client.transcript.complete


def test_send_waits_for_a_slow_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a plugin is bounded; a chunk that finds no room in time is not accepted, and nothing is lost."""
    monkeypatch.setattr(tap, "MOST_BYTES", 10_000)
    entered, release = threading.Event(), threading.Event()
    sizes: list[int] = []

    class Slow:
        @hookimpl
        def on_audio(self, audio: bytes) -> None:
            sizes.append(len(audio))
            entered.set()
            assert release.wait(SOON)

    with serving(obedient(metadata())) as service, StreamClient(RAW, url=service.url, plugins=[Slow()]) as client:
        client.send(bytes(100))
        assert entered.wait(SOON)
        for _ in range(10):
            client.send(bytes(1000))
        with pytest.raises(SendTimeout, match="plugin"):
            client.send(bytes(1000), timeout=0)
        assert client.stats.audio_bytes == 10_100
        waiting = threading.Thread(target=client.send, args=(bytes(7),))
        waiting.start()
        release.set()
        waiting.join(SOON)
        assert not waiting.is_alive()
    assert sizes[:2] in ([100, 10_000], [100, 10_007])
    assert sum(sizes) == 10_107


def test_a_hanging_plugin_is_stopped_and_the_stream_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that does not return is named and left behind; callers wait for it once, others hear everything."""
    monkeypatch.setattr(tap, "MOST_BYTES", 10_000)
    monkeypatch.setattr(tap, "PATIENCE", 3.0)
    release = threading.Event()
    hearer, errors = Hearer(), Errors()
    with serving(obedient(metadata())) as service:
        plugins = [hearing(lambda: release.wait(SOON)), hearer, errors]
        client = StreamClient(RAW, url=service.url, plugins=plugins)
        with client:
            for _ in range(100):
                client.send(bytes(1000))
            assert errors.failed.wait(SOON)
            assert hearer.has(100_000)
            release.set()
    ((plugin, hook, error),) = errors.failures
    assert (plugin, hook) == ("Plugin", "")
    assert isinstance(error, PluginOverrun)
    assert "took no audio" in str(error)
    assert client.stats.plugin_errors_by_name == (("Plugin", 1),)
    assert len(hearer.audio) == len(service.call.audio) == 100_000
    assert client.transcript.complete


def send_until_closed(client: StreamClient, accepted: threading.Semaphore) -> None:
    """Send small chunks until none is accepted."""
    with suppress(InvalidState):
        while True:
            client.send(bytes(10))
            accepted.release()


def test_close_waits_for_what_was_heard_last() -> None:
    """Audio accepted just before close, by any thread, is heard before on_close."""
    for _ in range(20):
        hearer = Hearer()
        with serving(obedient(metadata())) as service:
            client = StreamClient(RAW, url=service.url, plugins=[hearer])
            client.open()
            accepted = threading.Semaphore(0)
            sender = threading.Thread(target=send_until_closed, args=(client, accepted))
            sender.start()
            assert accepted.acquire(timeout=SOON)
            transcript: Transcript = client.close()
            sender.join(SOON)
        assert transcript.complete
        assert len(hearer.audio) == client.stats.audio_bytes == len(service.call.audio)
        assert hearer.events == [f"close after {client.stats.audio_bytes}"]
