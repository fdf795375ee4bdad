"""Engines that need a model: loading it, and what is said where there is none.

The tests with real models run where there are some: their directories are in $STREAMCLIENT_WHISPER_MODEL (one that
hears English) and $STREAMCLIENT_VOSK_MODEL (any).
"""

import os
import sys
import wave
from pathlib import Path

import jiwer
import numpy as np
import pytest

from streamclient.server import EngineError, LocalServer, MissingExtraError
from streamclient.server.engines import Engine, load_engine
from tests.support.wire import CLOSE, RAW, converse

SAMPLE = Path(__file__).parents[2] / "samples" / "sense_and_sensibility.wav"
REFERENCE = " ".join(SAMPLE.with_suffix(".txt").read_text().split())
MODELS = {name: os.environ.get(f"STREAMCLIENT_{name.upper()}_MODEL") for name in ("whisper", "vosk")}
"""Read before a fixture takes the variables away."""


def model_of(name: str) -> str:
    """Its directory, or no test."""
    pytest.importorskip({"whisper": "faster_whisper"}.get(name, name))
    directory = MODELS[name]
    if not directory:
        pytest.skip(f"$STREAMCLIENT_{name.upper()}_MODEL names no model")
    return directory


@pytest.fixture(scope="module")
def pcm() -> bytes:
    """The samples of the sample."""
    with wave.open(str(SAMPLE)) as reader:
        data: bytes = reader.readframes(reader.getnframes())
    return data


@pytest.fixture(scope="module")
def random_whisper(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Whisper with a model of random numbers: what it hears makes no sense, and everything else is real."""
    pytest.importorskip("faster_whisper")
    from tests.support.whisper_model import write_model

    return load_engine(f"whisper:model={write_model(tmp_path_factory.mktemp('model'))},threads=1")


def test_whisper_says_words_with_times(random_whisper: Engine, pcm: bytes) -> None:
    """In order, inside the utterance, with marks apart from the word; the wire carries them as any others."""
    query = RAW + "&interim_results=true&punctuate=true&keyterm=table"
    with LocalServer(random_whisper) as server:
        heard = converse(server, query, [pcm[:64_000], pcm[64_000:128_000], CLOSE])
    words = [word for m in heard.finals() for word in m["channel"]["alternatives"][0]["words"]]
    edges = [edge for word in words for edge in (word["start"], word["end"])]
    assert words
    assert edges == sorted(edges)
    assert edges[-1] <= 4.0
    assert all(word["word"] == word["punctuated_word"].lower() for word in words)
    assert any(not m["is_final"] for m in heard.of_type("Results"))


def test_whisper_knows_its_languages(random_whisper: Engine) -> None:
    """A model for English refuses others; what may turn out to be English is heard."""
    assert [random_whisper.understands(language) for language in ("en", "en-GB", "multi", "de")] == [True] * 3 + [False]


def test_an_interim_leaves_time_for_the_rest(random_whisper: Engine, pcm: bytes) -> None:
    """Asked again at once, it answers what it heard last; the final is always heard anew."""
    recogniser = random_whisper.recogniser("en")
    recogniser.begin(1.0)
    recogniser.feed(np.frombuffer(pcm[:32_000], np.int16))
    first = recogniser.words()
    recogniser.feed(np.frombuffer(pcm[32_000:64_000], np.int16))
    assert recogniser.words() is first
    assert recogniser.finish() is not first
    assert all(word.start >= 1.0 for word in first)


@pytest.mark.parametrize("name", ["whisper", "vosk"])
def test_without_a_model_the_engine_says_how_to_give_one(name: str, tmp_path: Path) -> None:
    """No model, and a directory that holds none."""
    pytest.importorskip({"whisper": "faster_whisper"}.get(name, name))
    with pytest.raises(EngineError, match=f"{name}:model=DIRECTORY.*STREAMCLIENT_{name.upper()}_MODEL"):
        load_engine(name)
    with pytest.raises(EngineError, match=r"It is a directory"):
        load_engine(f"{name}:model={tmp_path}")


@pytest.mark.parametrize(("name", "library"), [("whisper", "faster_whisper"), ("vosk", "vosk")])
def test_without_the_library_the_engine_names_the_extra(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the one of the server."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"streamclient.server.engines.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"needs {library}.*pip install 'streamclient\[{name}\]'"):
        load_engine(name)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("scripted:spacing=soon", "'scripted': spacing='soon' is not allowed"),
        ("pocketsphinx:decoder=2", "did you mean 'decoders'"),
        ("echo:x=1", "It has no options"),
        ("echo:x", "not an option with a value"),
    ],
)
def test_a_wrong_option_is_named(spec: str, said: str) -> None:
    """As a plugin's is."""
    with pytest.raises(EngineError, match="Engine ") as failure:
        load_engine(spec)
    assert said in str(failure.value)


@pytest.mark.parametrize("decoders", [0, -1])
def test_an_engine_without_decoders_is_refused(decoders: int) -> None:
    """It could hear nobody."""
    with pytest.raises(EngineError, match="1 decoder or more"):
        load_engine(f"pocketsphinx:decoders={decoders}")


def test_options_have_their_types() -> None:
    """A number is a number."""
    engine = load_engine("pocketsphinx:decoders=3")
    assert engine.pool.limit == 3  # type: ignore[attr-defined] # it is pocketsphinx


def test_a_real_whisper_model_hears_the_sample(pcm: bytes) -> None:
    """With hardly a word wrong, and with marks."""
    with LocalServer(load_engine(f"whisper:model={model_of('whisper')}")) as server:
        heard = converse(server, RAW, [pcm[i : i + 8_000] for i in range(0, len(pcm), 8_000)] + [b""])
        written = converse(server, RAW + "&punctuate=true", [pcm, CLOSE])
    assert jiwer.wer(REFERENCE.replace("mister", "mr"), " ".join(heard.words())) < 0.1
    assert written.finals()[0]["channel"]["alternatives"][0]["transcript"].rstrip()[-1] in ".,"


def test_a_real_vosk_model_hears_something(pcm: bytes) -> None:
    """Whatever its language is; word after word, with interims that grow."""
    with LocalServer(load_engine(f"vosk:model={model_of('vosk')}")) as server:
        heard = converse(server, RAW + "&interim_results=true", [pcm, CLOSE])
    words = [word for m in heard.finals() for word in m["channel"]["alternatives"][0]["words"]]
    assert len(words) > 5
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)
    assert any(m["channel"]["alternatives"][0]["transcript"] for m in heard.of_type("Results") if not m["is_final"])
