"""What is seen of a plugin from outside: it is slow, and each call of its hooks."""

import logging
import re

import pytest

from streamclient import LanePolicy
from streamclient.hook_calls import HookCalls
from tests.support.processors import Listener, processor, run, take
from tests.support.service import final


def test_a_slow_hook_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the plugin's name and the hook's; its time is in the counters."""
    caplog.set_level(logging.WARNING, "streamclient.plugins")
    client = run(processor(take(0.03), LanePolicy(slow_after=0.02), "Sleepy"))

    (record,) = caplog.records
    assert re.fullmatch(r"The plugin Sleepy is slow: it took \d+\.\d\d s in process_utterance", record.getMessage())
    (stats,) = client.stats.plugins
    (hook,) = stats.hooks
    assert (stats.name, hook.hook, hook.calls) == ("Sleepy", "process_utterance", 5)
    assert 0.03 <= hook.slowest <= hook.seconds


def test_every_call_is_traced_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it and after it, with shortened arguments, what was raised, and the time; and without the key."""
    monkeypatch.setenv("STREAMCLIENT_TRACE_PLUGINS", "1")
    long = final(" ".join(["word"] * 100), 0.0)
    run(Listener(), processor(lambda _: 1 / 0, name="Broken"), said=[long], api_key="secret-key")

    lines = capsys.readouterr().err.splitlines()
    assert all(len(line) < 400 for line in lines)
    assert sum("Listener.on_message(message=Results(" in line for line in lines) == 1
    assert any("Broken.process_utterance(utterance=Utterance(" in line for line in lines)
    assert any("Broken.process_utterance raised ZeroDivisionError after " in line for line in lines)
    assert any("Listener.on_close(transcript=Transcript(" in line for line in lines)
    assert any("Listener.on_close took " in line and line.endswith(" ms") for line in lines)
    assert "secret-key" not in "\n".join(lines)


@pytest.mark.parametrize("value", ["", "0"])
def test_nothing_is_traced_where_that_is_switched_off(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that is set and says no."""
    monkeypatch.setenv("STREAMCLIENT_TRACE_PLUGINS", value)

    HookCalls("plugin", 1.0).call("on_open", lambda: None, {})

    assert capsys.readouterr().err == ""
