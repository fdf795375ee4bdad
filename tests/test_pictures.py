"""The pictures of the manual are of real runs, and can be drawn again."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
OUTAGE = PICTURES / "outage.svg"
SPOKEN = ["every word", "counts and", "even those", "of the dark", "minute are", "not lost", "but heard", "in the end"]


def texts(picture: Path) -> list[str]:
    """The texts of a picture, in order; it is well-formed, and has nothing but shapes and texts."""
    root = ET.parse(picture).getroot()
    tags = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert tags <= {"svg", "title", "rect", "line", "polyline", "circle", "text"}
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def assert_shows_an_outage(picture: Path) -> None:
    """Two connections with attempts between them, and every word once, in order."""
    shown = texts(picture)
    assert [text for text in shown if "connection" in text] == ["connection 1", "no connection", "connection 2"]
    assert [text for text in shown if text in SPOKEN] == SPOKEN
    assert "✕" in shown


def test_the_picture_of_an_outage_is_one() -> None:
    """What the manual shows has all its parts."""
    assert_shows_an_outage(OUTAGE)


@pytest.mark.slow
def test_the_picture_of_an_outage_can_be_drawn_again(tmp_path: Path) -> None:
    """A real server is killed and started again, in a third of the time."""
    target = tmp_path / "outage.svg"
    draw = [sys.executable, str(PICTURES / "outage.py"), "--speed", "3", "--out", str(target)]
    subprocess.run(draw, check=True, timeout=150)

    assert_shows_an_outage(target)
