"""A stranger's distribution, installed for each test that asks for it."""

import sys
from pathlib import Path

import pytest

from tests.support.plugins import install

STRANGER = '''
"""A stranger's plugins."""
import attrs
from streamclient import Results, hookimpl

made = []

@attrs.define
class Shout:
    """Shout every final.

    At length.
    """

    mark: str = attrs.field(default="!", metadata={"help": "What to shout with."})
    times: int = 1

    def __attrs_post_init__(self):
        made.append(self)

    @hookimpl
    def on_final(self, result: Results) -> None:
        print(result.transcript + self.mark * self.times)

def whisper(softly: bool = True) -> Shout:
    """Make a quiet one."""
    return Shout("." if softly else "")

def bare():
    return Shout()

@hookimpl
def on_close(transcript):
    print(transcript.text)
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's installed distribution with good plugins and broken ones."""
    install(
        tmp_path,
        "stranger",
        "1.2",
        {
            "shout": "stranger_plugins:Shout",
            "whisper": "stranger_plugins:whisper",
            "bare": "stranger_plugins:bare",
            "closing": "stranger_plugins",
            "gone": "stranger_has_no_such_module:Plugin",
            "exits": "stranger_exits:Plugin",
            "missing": "stranger_plugins:Missing",
        },
    )
    (tmp_path / "stranger_plugins.py").write_text(STRANGER)
    (tmp_path / "stranger_exits.py").write_text("raise SystemExit('not today')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger_plugins", raising=False)
    return tmp_path
