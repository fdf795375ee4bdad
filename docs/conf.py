"""Settings of the manual. Build it with ``make docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import streamclient

project = "streamclient"
author = "The streamclient authors"
project_copyright = "2026, the streamclient authors"
release = version = streamclient.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_code"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = "streamclient"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_show_sourcelink = False

default_role = "py:obj"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_preprocess_types = False

nitpicky = True
nitpick_ignore_regex = [
    # Without the network there is no other project's manual to point to.
    (
        "py:.*",
        r"(click|collections|contextlib|contextvars|django|flask|logging|numpy|os|pathlib|pluggy|pytest|ssl|types|typing)\..*",
    ),
    # Aliases of types, which are described where they are used.
    ("py:class", r"(.*\.)?(Event|Happening|Message|QueryValue|Raw|Recorder|Schedule|ScriptedWord|SpokenWord|T)"),
    # Constants that are named for readers of the source.
    ("py:data", r"STOP_BUDGET"),
]
