"""A Whisper model of random numbers: everything of a real one but sense, in a megabyte."""

from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from ctranslate2.specs.whisper_spec import WhisperSpec

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WORDS = [*NUMBERS, "please", "book", "a", "table", "for"]
WIDTH = 64
LAYERS, HEADS = 1, 1
SPECIAL = ["endoftext", "startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech"]


def write_model(directory: Path) -> Path:
    """Write it; it hears any of its words, and says when."""
    tokens = _tokens()
    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    _fill(spec, tokens)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = spec.config.suppress_ids_begin = spec.config.lang_ids = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.save(str(directory))
    _write_tokenizer(tokens, directory / "tokenizer.json")
    return directory


def _tokens() -> list[str]:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    times = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    return [*letters, *(f"Ġ{word}" for word in WORDS), *(f"<|{name}|>" for name in SPECIAL), "<|notimestamps|>", *times]


def _write_tokenizer(tokens: list[str], path: Path) -> None:
    model = tokenizers.models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([token for token in tokens if token.startswith("<|")])
    tokenizer.save(str(path))


def _fill(spec: Any, tokens: list[str]) -> None:
    random = np.random.default_rng(1)

    def some(*shape: int) -> Any:
        return random.normal(0, 0.3, shape).astype(np.float32)

    def linear(layer: Any, rows: int, columns: int) -> None:
        layer.weight, layer.bias = some(rows, columns), some(rows)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def attention(layer: Any, *rows: int) -> None:
        norm(layer.layer_norm)
        for part, count in zip(layer.linear, rows, strict=True):
            linear(part, count, WIDTH)

    def block(layer: Any) -> None:
        attention(layer.self_attention, 3 * WIDTH, WIDTH)
        if hasattr(layer, "attention"):
            attention(layer.attention, WIDTH, 2 * WIDTH, WIDTH)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, 4 * WIDTH, WIDTH)
        linear(layer.ffn.linear_1, WIDTH, 4 * WIDTH)

    for convolution, channels in ((spec.encoder.conv1, 80), (spec.encoder.conv2, WIDTH)):
        convolution.weight, convolution.bias = some(WIDTH, channels, 3), some(WIDTH)
    spec.encoder.position_encodings.encodings = some(1500, WIDTH)
    spec.decoder.position_encodings.encodings = some(448, WIDTH)
    for side in (spec.encoder, spec.decoder):
        norm(side.layer_norm)
        for layer in side.layer:
            block(layer)
    embeddings = np.zeros((len(tokens), WIDTH), np.float32)
    said = [number for number, token in enumerate(tokens) if token.startswith("Ġ") or token == "<|endoftext|>"]
    embeddings[said] = some(len(said), WIDTH)
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = embeddings
