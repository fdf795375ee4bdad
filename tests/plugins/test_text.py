"""The plugin text: one line for each utterance, as a person wants to read it."""

from pathlib import Path

import attrs
import pytest

from streamclient import Closed, FluxOptions, ListenOptions, Opened, Transcript, Utterance
from streamclient_plugins.template import clock_time
from tests.plugins.conftest import UTTERANCE, Play, View

MULTICHANNEL = View(options=ListenOptions(multichannel=True))
MONOLOGUE = attrs.evolve(UTTERANCE, speaker=None, channel=0)


def transcribe(play: Play, plugin: str, view: View, *utterances: Utterance) -> str:
    """What the plugin wrote of these utterances."""
    assert play(plugin, [Opened(), *utterances, Closed(Transcript())], view) == []
    return Path("stream-1.txt").read_text("utf-8")


def test_an_utterance_is_a_line(play: Play) -> None:
    """Nothing but the words where one person speaks on one channel."""
    assert transcribe(play, "text", View(), MONOLOGUE, MONOLOGUE) == "Two teas.\nTwo teas.\n"


@pytest.mark.parametrize(
    ("plugin", "view", "utterance", "line"),
    [
        ("text", View(), UTTERANCE, "Speaker 1: Two teas.\n"),
        ("text", MULTICHANNEL, MONOLOGUE, "Channel 0: Two teas.\n"),
        ("text", MULTICHANNEL, UTTERANCE, "Channel 1, Speaker 1: Two teas.\n"),
        ("text", View(options=FluxOptions(model="flux-general-en")), MONOLOGUE, "Two teas.\n"),
        ("text:labels=no", MULTICHANNEL, UTTERANCE, "Two teas.\n"),
        ("text:timestamps=yes", View(), MONOLOGUE, "[0:00:01.00] Two teas.\n"),
        ("text:timestamps=yes", MULTICHANNEL, UTTERANCE, "[0:00:01.00] Channel 1, Speaker 1: Two teas.\n"),
        (
            'text:format="{index} {start:.1f}-{end:.1f} S{speaker} {text}"',
            View(),
            UTTERANCE,
            "0 1.0-2.0 S1 Two teas.\n",
        ),
        ("text", View(), attrs.evolve(MONOLOGUE, text=" new\nline\u2028here "), "new line here\n"),
    ],
)
def test_labels_and_times_where_they_help(play: Play, plugin: str, view: View, utterance: Utterance, line: str) -> None:
    """Speakers and channels are named where the stream tells them apart; times where they are wanted."""
    assert transcribe(play, plugin, view, utterance) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00:00.00"), (59.994, "0:00:59.99"), (59.996, "0:01:00.00"), (3723.5, "1:02:03.50"),
     (360000, "100:00:00.00"), (-0.1, "0:00:00.00")],
)  # fmt: skip
def test_times_are_hours_minutes_and_seconds(seconds: float, text: str) -> None:
    """Rounded once, so that no minute has sixty seconds."""
    assert clock_time(seconds) == text
