"""The command ``manage.py transcribe``: a file with the settings and the plugins of the project."""

from argparse import ArgumentParser
from io import FileIO
from typing import Any

import attrs
from django.core.management.base import BaseCommand, CommandError

from streamclient.errors import StreamClientError
from streamclient.events import Utterance
from streamclient.integrations.configuration import hooks_within
from streamclient.integrations.django import client_arguments_of, hooks_of_models
from streamclient.shortcuts import stream

__all__ = ["Command"]

STDIN = "-"


class Command(BaseCommand):
    """Transcribe audio with the settings of the project; each utterance is a line."""

    help = "Transcribe audio with the settings of the project; each utterance is a line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Its arguments."""
        parser.add_argument("audio", help="A file, an address, or - for standard input.")
        parser.add_argument("--model", "-m", help="Instead of that of the settings.")
        parser.add_argument("--language", "-l", help="Instead of that of the settings.")
        parser.add_argument(
            "--plugin",
            action="append",
            default=[],
            metavar="NAME[:OPTION=VALUE,...]",
            help="Beside those of the settings.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Transcribe.

        Raises:
            CommandError: it failed; what was transcribed before is printed.
        """
        try:
            self._transcribe(options)
        except (StreamClientError, OSError) as error:
            raise CommandError(str(error)) from error

    def _transcribe(self, options: dict[str, Any]) -> None:
        arguments = client_arguments_of(None, options["plugin"], {})
        changes = {name: options[name] for name in ("model", "language") if options[name]}
        arguments["options"] = attrs.evolve(arguments["options"], **changes)
        # Not ``sys.stdin``: a thread that waits in there when the program exits crashes it.
        source = FileIO(0, closefd=False) if options["audio"] == STDIN else options["audio"]
        events = stream(source, **arguments)
        with hooks_within(hooks_of_models):
            next(events)
        for event in events:
            if isinstance(event, Utterance):
                self.stdout.write(event.text)
