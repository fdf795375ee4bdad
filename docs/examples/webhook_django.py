"""Receives the events of streams in Django: ``python webhook_django.py runserver``."""

import os
import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError

events: dict[str, Any] = {}  # in your program: a model whose primary key is the id


def receive(request: HttpRequest) -> HttpResponse:
    try:
        event = Webhook(os.environ["WEBHOOK_SECRET"]).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return HttpResponse(status=401)
    events.setdefault(request.headers["webhook-id"], event)
    return HttpResponse(status=204)


# The signature says who sends this, so it needs no CSRF token.
urlpatterns = [path("transcripts", csrf_exempt(require_POST(receive)))]

if not settings.configured:  # in your program: the settings module
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1", "localhost"], SECRET_KEY=os.urandom(32).hex())
    django.setup()
app = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
