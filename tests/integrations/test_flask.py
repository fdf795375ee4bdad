"""The Flask integration: in Flask's own test client, and the example of the manual behind gunicorn."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask, current_app, g, request

from streamclient import (
    AuthenticationError,
    FluxOptions,
    ListenOptions,
    OptionsError,
    PluginError,
    StreamClient,
    StreamState,
    StreamView,
    hookimpl,
)
from streamclient.integrations.configuration import as_options
from streamclient.integrations.flask import Transcription
from streamclient.integrations.sse import to_message
from tests.integrations.conftest import messages
from tests.plugins.conftest import EVENTS
from tests.support.service import Call, Service, final, interim, metadata, obedient, serving

FLUX = FluxOptions(model="flux-general-en")
RAW = {"encoding": "linear16", "sample_rate": 16000}


@pytest.fixture
def app() -> Flask:
    """An application with the extension."""
    app = Flask("test")
    app.config["STREAMCLIENT_OPTIONS"] = RAW
    Transcription(app)
    return app


@pytest.fixture
def transcription(app: Flask) -> Transcription:
    """Its extension."""
    found = app.extensions["streamclient"]
    assert isinstance(found, Transcription)
    return found


@contextmanager
def service_of(app: Flask, script: Callable[[Call], None]) -> Iterator[Service]:
    """A service that the application uses."""
    with serving(script) as service:
        app.config["STREAMCLIENT_URL"] = service.url
        yield service


class TestConfiguration:
    def test_a_client_is_made_from_it(self, app: Flask, transcription: Transcription) -> None:
        """All arguments of a client can come from there."""
        with service_of(app, obedient(final("hello world", 0.0), metadata())) as service, app.app_context():
            app.config["STREAMCLIENT_API_KEY"] = "k3y"
            with transcription.connect() as client:
                client.send(bytes(32000))

        assert client.transcript.text == "hello world"
        assert service.call.headers["Authorization"] == "Token k3y"
        assert "encoding=linear16" in service.call.path

    def test_a_request_can_ask_for_something_else(self, app: Flask, transcription: Transcription) -> None:
        """Its options and arguments win; its plugins are added."""
        heard: list[str] = []

        class Plugin:
            def __init__(self) -> None:
                self.name = "made"

            @hookimpl
            def on_close(self) -> None:
                heard.append("closed")

        app.config["STREAMCLIENT_PLUGINS"] = [Plugin]
        with serving(obedient(metadata())) as service, app.app_context():
            options = ListenOptions(model="nova-2", **RAW)  # type: ignore[arg-type]  # a mapping of both types
            with transcription.connect(options, plugins=[Plugin()], url=service.url):
                pass

        assert "model=nova-2" in service.call.path
        assert heard == ["closed", "closed"]

    def test_a_request_can_ask_as_the_configuration_does(self, app: Flask, transcription: Transcription) -> None:
        """With a mapping."""
        asked = {"model": "nova-2", **RAW}
        with (
            serving(obedient(metadata())) as service,
            app.app_context(),
            transcription.connect(asked, url=service.url),
        ):
            pass

        assert "model=nova-2" in service.call.path

    def test_a_text_is_no_list_of_plugins(self, app: Flask, transcription: Transcription) -> None:
        """Its letters are no plugins, wherever it stands."""
        with app.app_context(), pytest.raises(PluginError, match=re.escape("Write plugins=['log']")):
            transcription.connect(plugins="log")

        app.config["STREAMCLIENT_PLUGINS"] = "log"
        with app.app_context(), pytest.raises(PluginError, match=re.escape("Write plugins=['log']")):
            transcription.connect()

    def test_nothing_is_connected_before_it_is_used(self, app: Flask, transcription: Transcription) -> None:
        """And each use has a client of its own."""
        before = set(threading.enumerate())
        with service_of(app, obedient(metadata())) as service, app.app_context():
            first, second = transcription.connect(), transcription.connect()
            assert service.calls == []
            assert {first.state, second.state} == {StreamState.NEW}
            assert first.id != second.id
            assert len(set(threading.enumerate()) - before) == 1  # the service's

    def test_a_misspelt_key_is_refused(self, app: Flask, transcription: Transcription) -> None:
        """With what was probably meant, and without a value."""
        app.config["STREAMCLIENT_API_KEI"] = "hidden"

        with app.app_context(), pytest.raises(OptionsError, match="did you mean 'STREAMCLIENT_API_KEY'") as caught:
            transcription.connect()

        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("options", [{"modell": "x"}, 7, [1]])
    def test_wrong_options_are_refused(self, app: Flask, transcription: Transcription, options: object) -> None:
        """As such."""
        app.config["STREAMCLIENT_OPTIONS"] = options

        with app.app_context(), pytest.raises(OptionsError, match="must be options, or a mapping by name"):
            transcription.connect()

    def test_options_can_be_objects_and_of_both_versions(self) -> None:
        """Of a mapping the model says which."""
        assert isinstance(as_options(RAW), ListenOptions)
        assert isinstance(as_options({"model": "flux-general-en", **RAW}), FluxOptions)
        assert as_options(FLUX) is FLUX

    def test_several_applications_can_share_it(self) -> None:
        """It holds nothing of any."""
        transcription = Transcription()
        for text in ("one", "two"):
            app = Flask(text)
            app.config["STREAMCLIENT_OPTIONS"] = RAW
            transcription.init_app(app)
            with (
                service_of(app, obedient(final(text, 0.0), metadata())),
                app.app_context(),
                transcription.connect() as client,
            ):
                client.send(bytes(32000))
            assert client.transcript.text == text


class TestHooks:
    def test_every_call_has_an_application_context_of_its_own(self, app: Flask, transcription: Transcription) -> None:
        """Which is torn down after it: what a hook takes from a pool goes back."""
        torn_down: list[str] = []
        seen: list[tuple[str, str | None]] = []

        @app.teardown_appcontext
        def _note(_: BaseException | None) -> None:
            torn_down.append(threading.current_thread().name)

        class Plugin:
            @hookimpl
            def on_final(self) -> None:
                seen.append((current_app.name, g.get("of")))
                g.of = "a hook"

            @hookimpl
            def on_close(self) -> None:
                seen.append((current_app.name, g.get("of")))

        with service_of(app, obedient(final("hello", 0.0), metadata())), app.app_context():
            g.of = "the request"
            with transcription.connect(plugins=[Plugin()]) as client:
                client.send(bytes(32000))
            assert g.of == "the request"
            in_hooks = [name for name in torn_down if name.startswith("streamclient-plugin")]

        assert seen == [("test", None), ("test", None)]
        assert len(in_hooks) == 2

    def test_other_clients_are_left_alone(self, app: Flask, transcription: Transcription) -> None:
        """The scope is that of one stream."""
        outside: list[bool] = []

        class Plugin:
            @hookimpl
            def on_close(self, stream: StreamView) -> None:
                outside.append(bool(current_app))

        with service_of(app, obedient(metadata())) as service:
            with app.app_context(), transcription.connect():
                pass
            options = ListenOptions(**RAW)  # type: ignore[arg-type]  # a mapping of both types
            with StreamClient(options, url=service.url, plugins=[Plugin()]):
                pass

        assert outside == [False]


class TestServerSentEvents:
    def test_events_come_as_they_happen(self, app: Flask, transcription: Transcription) -> None:
        """While the audio is still coming."""
        more = threading.Event()

        def script(call: Call) -> None:
            call.read()
            call.say(interim("hel", 0.0), final("hello", 0.0))
            call.read_until()
            call.end(metadata())

        def audio() -> Iterator[bytes]:
            yield bytes(32000)
            assert more.wait(30)
            yield bytes(32000)

        app.add_url_rule("/", view_func=lambda: transcription.sse(audio()))
        with service_of(app, script):
            response = app.test_client().get("/", buffered=False)
            body = response.iter_encoded()
            names = [messages(next(body))[0][0] for _ in range(3)]
            more.set()
            rest = messages(b"".join(body))
            response.close()

        assert names == ["open", "interim", "final"]
        assert [name for name, _ in rest] == ["utterance", "close"]
        assert rest[-1][1]["text"] == "hello"
        assert (response.mimetype, response.headers["Cache-Control"]) == ("text/event-stream", "no-store")

    def test_an_upload_is_transcribed_while_it_comes(self, app: Flask, transcription: Transcription) -> None:
        """The body of the request is the source."""
        app.add_url_rule("/", methods=["POST"], view_func=lambda: transcription.sse(request.stream))
        with service_of(app, obedient(final("hello", 0.0), metadata())) as service:
            response = app.test_client().post("/", data=bytes(64000))
            told = messages(response.data)

        assert [name for name, _ in told] == ["open", "final", "utterance", "close"]
        assert service.call.audio == bytes(64000)

    @pytest.mark.parametrize("read", [0, 1])
    def test_nobody_listens_any_more(self, app: Flask, transcription: Transcription, read: int) -> None:
        """The stream ends, also where not a line was read."""
        gone = threading.Event()

        def endless() -> Iterator[bytes]:
            while not gone.wait(0.01):
                yield bytes(320)

        app.add_url_rule("/", view_func=lambda: transcription.sse(endless()))
        with service_of(app, lambda call: call.read_to_end()) as service:
            response = app.test_client().get("/", buffered=False)
            body = response.iter_encoded()
            for _ in range(read):
                next(body)
            response.close()
            assert service.wait_for_call().ended.wait(30)
            gone.set()

    def test_a_refusal_becomes_a_status(self, app: Flask, transcription: Transcription) -> None:
        """It is raised in the view, before there is a response."""
        app.register_error_handler(AuthenticationError, lambda error: (str(error.status), 502))
        app.add_url_rule("/", view_func=lambda: transcription.sse(b""))
        with service_of(app, obedient()) as service:
            service.refusal = lambda _: (401, {}, b"")
            response = app.test_client().get("/")

        assert (response.status_code, response.data) == (502, b"401")

    def test_a_failure_is_an_event(self, app: Flask, transcription: Transcription) -> None:
        """The response ends with it, and with what was transcribed."""
        app.add_url_rule("/", view_func=lambda: transcription.sse(bytes(32000), reconnect=None))

        def script(call: Call) -> None:
            call.read()
            call.say(final("hello", 0.0, 0.5))
            call.reset()

        with service_of(app, script):
            told = messages(app.test_client().get("/").data)

        assert [name for name, _ in told] == ["open", "final", "utterance", "error", "close"]
        assert told[-2][1]["error"]["type"] == "ConnectionLost"

    def test_every_event_that_is_told_is_one_message(self) -> None:
        """Whatever it says."""
        told = messages(b"".join(filter(None, map(to_message, EVENTS))))

        assert [name for name, _ in told] == [
            "open", "interim", "final", "utterance", "final", "interim", "final", "disconnect", "reconnect",
            "plugin_error", "error", "close",
        ]  # fmt: skip


def test_without_flask_it_says_what_to_install() -> None:
    """As an import error."""
    program = "import sys; sys.modules['flask'] = None; import streamclient.integrations.flask"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)

    assert "ImportError: streamclient.integrations.flask needs Flask. Install it with: pip install" in done.stderr
