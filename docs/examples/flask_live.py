"""Live transcription in Flask: ``gunicorn --worker-class gthread --threads 8 flask_live:app``."""

from typing import Any

from flask import Flask, Response, request

from streamclient import ConnectError, hookimpl
from streamclient.integrations.flask import Transcription

app = Flask(__name__)
app.config["STREAMCLIENT_OPTIONS"] = {"model": "nova-3", "interim_results": True}
transcription = Transcription(app)


class Log:
    """A plugin that needs the application."""

    @hookimpl
    def on_utterance(self, utterance: Any) -> None:
        app.logger.info("%.1f %s", utterance.start, utterance.text)


@app.post("/transcripts")
def transcribe() -> dict[str, Any]:
    """An upload in, its transcript out; sent on while it comes."""
    with transcription.connect(plugins=[Log()]) as client:
        while chunk := request.stream.read(8192):
            client.send(chunk)
    return client.transcript.to_dict()


@app.post("/captions")
def captions() -> Response:
    """An upload in, its events out, while it comes."""
    return transcription.sse(request.stream)


@app.errorhandler(ConnectError)
def unavailable(error: ConnectError) -> tuple[dict[str, str], int]:
    """The service refuses, or cannot be reached."""
    return {"error": str(error)}, 503
