"""The plugin ``webhook``: events as signed posts that arrive, and the command ``outbox`` that shows what waits."""

from streamclient_plugins.webhook.plugin import Webhook

__all__ = ["Webhook"]
