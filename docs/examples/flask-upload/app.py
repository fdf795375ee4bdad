"""A view that transcribes an upload."""

from flask import Flask, request

from streamclient import transcribe

app = Flask(__name__)


@app.post("/transcribe")
def upload() -> dict[str, str]:
    """The words of the uploaded file."""
    return {"text": transcribe(request.files["audio"].stream).text}
