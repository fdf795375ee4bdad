"""The plugin ``captions``: live SubRip and WebVTT, and the same for a finished transcript."""

from streamclient_plugins.captions.formats import Format
from streamclient_plugins.captions.plugin import Captions
from streamclient_plugins.captions.style import Preset, Style, style_of
from streamclient_plugins.captions.text import CaptionText, to_captions

__all__ = ["CaptionText", "Captions", "Format", "Preset", "Style", "style_of", "to_captions"]
