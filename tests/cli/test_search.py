"""The command ``search``, which the plugin sqlite brings."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import invoke
from tests.support.service import final, metadata, obedient, serving

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def kept(wav: str, capsys: Capture) -> Path:
    """A database with one transcript."""
    speech = obedient(final("good morning", 0.0), final("the invoice number is forty two", 1.0), metadata(3.0))
    with serving(speech) as service:
        assert invoke(capsys, ["transcribe", wav, "--plugin", "sqlite", "--url", service.url])[0] == 0
    return Path("transcripts.db")


def test_a_hit_is_a_line_that_says_where_and_when(kept: Path, capsys: Capture) -> None:
    """The audio, the day, the time in the audio, and the words around."""
    code, out, err = invoke(capsys, ["search", "invoice number"])
    assert (code, err) == (0, "")
    name, _, time, text = out.rstrip("\n").split("  ")
    assert (name, text) == ("talk", "the invoice number is forty two")
    assert time.startswith("0:00:01.")


def test_json_has_all_of_it(kept: Path, capsys: Capture) -> None:
    """One object per line."""
    code, out, _ = invoke(capsys, ["search", "number", "invoice", "--json", "-C", "1"])
    hit = json.loads(out)
    assert code == 0
    assert (hit["source"], hit["text"], hit["found"]) == (
        "talk",
        "the invoice number is forty two",
        ["invoice", "number"],
    )
    assert (hit["before"], hit["after"]) == (["good morning"], [])
    assert 1.0 < hit["time"] < 3.0


def test_context_stands_around_the_hit(kept: Path, capsys: Capture) -> None:
    """Indented; hits are apart then."""
    _, out, _ = invoke(capsys, ["search", "o*", "m*", "-C", "1"])
    assert out == ""
    _, out, _ = invoke(capsys, ["search", "morning", "-C", "1"])
    assert out.endswith("  good morning\n    the invoice number is forty two\n")


def test_nothing_found_is_exit_code_1_and_trouble_is_2(kept: Path, capsys: Capture) -> None:
    """As with grep."""
    assert invoke(capsys, ["search", "receipt"]) == (1, "", "")
    code, out, err = invoke(capsys, ["search", "receipt", "--database", "other.db"])
    assert (code, out) == (2, "")
    assert "There is no database other.db. Name one with --database" in err
    assert invoke(capsys, ["search"])[0] == 2
    assert invoke(capsys, ["search", "?"])[0] == 2
    Path("text.db").write_text("this is no database at all " * 50)
    assert invoke(capsys, ["search", "x", "-d", "text.db"])[0] == 2


def test_the_database_is_that_of_the_settings(kept: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin's table says where it writes; an option or the environment says otherwise."""
    kept.rename("kept.db")
    Path("streamclient.toml").write_text('[plugins.sqlite]\npath = "kept.db"\n')
    assert invoke(capsys, ["search", "invoice"])[0] == 0
    monkeypatch.setenv("STREAMCLIENT_DATABASE", "other.db")
    assert invoke(capsys, ["search", "invoice"])[0] == 2
    assert invoke(capsys, ["search", "invoice", "-d", "kept.db"])[0] == 0


def test_a_long_utterance_is_shortened_at_words(wav: str, capsys: Capture) -> None:
    """Some words around what was found are enough on a terminal."""
    text = " ".join(f"word{number}" for number in range(100))
    with serving(obedient(final(text, 0.0), metadata(3.0))) as service:
        invoke(capsys, ["transcribe", wav, "--plugin", "sqlite", "--url", service.url])
    _, out, _ = invoke(capsys, ["search", "word50"])
    shown = out.rstrip("\n").rpartition("  ")[2]
    assert shown.startswith("…word")
    assert shown.endswith("…")
    assert "word50" in shown
    assert len(shown) < 150
