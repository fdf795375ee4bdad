"""W3C's own WebVTT parser, the package ``webvtt-parser`` from npm, where node and npm are there."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["W3cParser", "install_w3c_parser"]

PACKAGE = "webvtt-parser@2.2.0"
SCRIPT = """
const {WebVTTParser} = require("webvtt-parser");
const entities = require("webvtt-parser/html-entities.json");
const documents = JSON.parse(require("fs").readFileSync(0, "utf8"));
const plain = (node) => node.type == "text" ? node.value : (node.children || []).map(plain).join("");
const parse = (text) => {
  const {cues, errors} = new WebVTTParser(entities).parse(text, "subtitles/captions/descriptions");
  return {errors: errors.map((error) => `${error.line}: ${error.message}`),
          cues: cues.map((cue) => [cue.startTime, cue.endTime, plain(cue.tree)])};
};
process.stdout.write(JSON.stringify(documents.map(parse)));
"""


class W3cParser:
    """The parser, installed in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def parse(self, documents: Sequence[str]) -> list[dict[str, Any]]:
        """For each document the ``errors`` and the ``cues``, each with start and end in seconds and plain text."""
        done = subprocess.run(
            ["node", "-e", SCRIPT],
            input=json.dumps(documents),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=150,
        )
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def errors(self, documents: Sequence[str]) -> list[list[str]]:
        """The errors of each document."""
        return [answer["errors"] for answer in self.parse(documents)]


def install_w3c_parser(cache: Path) -> W3cParser:
    """Install the parser, unless it is there; without node, npm or a registry the test is skipped."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed; the tests with our own strict reader have run all the same")
    if not (cache / "node_modules" / "webvtt-parser" / "parser.js").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(cache), PACKAGE]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=45)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot install {PACKAGE}: {error}")
    return W3cParser(cache)
