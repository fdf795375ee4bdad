"""Stream the sample with Deepgram's own clients through the local server: the right words, and a normal close.

What runs in our environment is in ``tests/server/test_strangers.py``; here are the clients that need one of their own:
version 4 of the Python SDK, and the JavaScript SDK. One that cannot be installed here is skipped.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from streamclient import ListenOptions, transcribe
from streamclient.server import LocalServer
from streamclient.server.engines.pocketsphinx import PocketsphinxEngine
from streamclient.testing import DeepgramServer

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "samples" / "sense_and_sensibility.wav"
PYTHON_SDK = "deepgram-sdk==4.8.1"
JAVASCRIPT_SDK = "@deepgram/sdk@5"
KEY = "the-key"
PATIENCE = 300
"""Seconds for an installation, and for a client on a busy machine."""


def python_4(folder: Path) -> list[str]:
    """The command of the Python SDK."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", PYTHON_SDK]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL, timeout=PATIENCE)
    return [str(python), str(HERE / "python_4.py")]


def javascript(folder: Path) -> list[str]:
    """The command of the JavaScript SDK."""
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, JAVASCRIPT_SDK], check=True, timeout=PATIENCE)
    shutil.copy(HERE / "javascript.mjs", folder)
    return ["node", str(folder / "javascript.mjs")]


CLIENTS = {PYTHON_SDK: python_4, JAVASCRIPT_SDK: javascript}
"""Each client, and what installs it and gives its command, which is given URL, key and file, and has an environment."""


def check(name: str, command: list[str], recogniser: LocalServer, audio: Path, expected: str) -> None:
    """Run one client; what it printed and what arrived must be right."""
    with DeepgramServer(recogniser) as server:
        done = subprocess.run(
            [*command, server.url, KEY, audio],
            env={**os.environ, **server.environment, "DEEPGRAM_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["text"] == expected, done.stdout
        server.call.assert_closed_well()
        assert server.call.audio == audio.read_bytes()
        assert server.call.headers["authorization"] == f"Token {KEY}"
    print(f"{name}: {len(expected.split())} words, closed with 1000")


def main() -> None:
    """Check all."""
    pcm = SAMPLE.read_bytes()[44:]
    options = ListenOptions(encoding="linear16", sample_rate=16000)
    with tempfile.TemporaryDirectory() as name, LocalServer(PocketsphinxEngine()) as recogniser:
        audio = Path(name, "sample.raw")
        audio.write_bytes(pcm)
        expected = transcribe(pcm, options, url=recogniser.url).text
        for client, install in CLIENTS.items():
            try:
                command = install(Path(name))
            except (OSError, subprocess.SubprocessError) as error:
                print(f"{client}: skipped, it cannot be installed here ({error})")
            else:
                check(client, command, recogniser, audio, expected)


if __name__ == "__main__":
    main()
