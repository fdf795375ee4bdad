"""The application, as Django finds it."""

from django.apps import AppConfig
from django.core import checks

__all__ = ["StreamclientConfig"]


class StreamclientConfig(AppConfig):
    """Adds the command ``transcribe`` and the checks of the settings. It connects to nothing."""

    name = "streamclient.integrations.django"
    label = "streamclient"
    verbose_name = "Live transcription"

    def ready(self) -> None:
        """Register the checks."""
        from streamclient.integrations.django.checks import check_settings

        checks.register(check_settings)
