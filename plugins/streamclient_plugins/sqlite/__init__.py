"""The plugin ``sqlite``: transcripts in one file, and the command ``search`` that finds a moment in them."""

from streamclient_plugins.sqlite.plugin import Sqlite
from streamclient_plugins.sqlite.search import Hit, search

__all__ = ["Hit", "Sqlite", "search"]
