"""Receives the events of streams in Flask: ``flask --app webhook_flask run``."""

import os
from typing import Any

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
events: dict[str, Any] = {}  # in your program: a table whose key is the id


@app.post("/transcripts")
def receive() -> tuple[str, int]:
    try:
        event = Webhook(os.environ["WEBHOOK_SECRET"]).verify(request.get_data(), dict(request.headers))
    except WebhookVerificationError:
        return "", 401
    events.setdefault(request.headers["webhook-id"], event)
    return "", 204
