"""Live transcription in Django: ``gunicorn --worker-class gthread --threads 8 django_live:app``."""

import os
import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from streamclient import ConnectError
from streamclient.integrations.django import connect, sse


def transcribe(request: HttpRequest) -> HttpResponse:
    """An upload in, its transcript out; sent on while it comes."""
    with connect() as client:
        while chunk := request.read(8192):
            client.send(chunk)
    return JsonResponse(client.transcript.to_dict())


def captions(request: HttpRequest) -> HttpResponse:
    """An upload in, its events out, while it comes."""
    try:
        return sse(request)
    except ConnectError as error:
        return JsonResponse({"error": str(error)}, status=503)


# In your program, think of who may do this.
urlpatterns = [
    path("transcripts", csrf_exempt(require_POST(transcribe))),
    path("captions", csrf_exempt(require_POST(captions))),
]

if not settings.configured:  # in your program: the settings module
    settings.configure(
        INSTALLED_APPS=["streamclient.integrations.django"],
        STREAMCLIENT={"OPTIONS": {"model": "nova-3", "interim_results": True}},
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        SECRET_KEY=os.urandom(32).hex(),
    )
    django.setup()
app = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
