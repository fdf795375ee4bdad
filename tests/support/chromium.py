"""A headless Chromium, spoken to in its own protocol (Chrome DevTools Protocol): no more than our page needs."""

import base64
import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

PATIENCE = 120.0
"""Seconds that only elapse when a test is about to fail."""


def _find_browser() -> str | None:
    """The first that starts: where there is none, some systems have a program that says how to get it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path and not subprocess.run([path, "--version"], check=False, capture_output=True).returncode:
            return path
    return None


BROWSER = _find_browser()


@contextmanager
def browser(directory: Path, *, microphone: Path | None = None) -> Iterator["Tab"]:
    """Start it with an empty tab; its microphone plays a WAV file, again and again."""
    assert BROWSER
    switches = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--remote-debugging-port=0", "--remote-allow-origins=*", "--hide-scrollbars",
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", f"--user-data-dir={directory}",
    ]  # fmt: skip
    if microphone:
        switches.append(f"--use-file-for-fake-audio-capture={microphone}")
    process = subprocess.Popen(
        [BROWSER, *switches, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        tab = Tab(_address(directory / "DevToolsActivePort"))
        yield tab
        tab.close()
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _address(file: Path) -> str:
    # The file is there before all of it is written.
    found = wait_for(lambda: file.exists() and re.fullmatch(r"(\d+)\n(/devtools/browser/[\w-]{36})", file.read_text()))
    return f"ws://127.0.0.1:{found[1]}{found[2]}"


def wait_for(condition: Any) -> Any:
    """What the condition gives once it gives something."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)  # between two questions to another process
    return found


class Tab:
    """The one tab."""

    def __init__(self, address: str) -> None:
        self._socket: Any = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self._numbers = itertools.count(1)
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(info["targetId"] for info in targets if info["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol."""
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url: str) -> None:
        """Load a page."""
        self.ask("window.isLeft = true")  # by which it is told from the next, which may have the same address
        self.call("Page.navigate", url=url)
        wait_for(lambda: self.ask("!window.isLeft && document.readyState == 'complete'"))

    def ask(self, expression: str) -> Any:
        """The value of some JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click as a user would."""
        self.ask(f"document.querySelector({selector!r}).click()")

    def text(self, selector: str) -> str:
        """What is written there."""
        return str(self.ask(f"document.querySelector({selector!r}).innerText"))

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def look(self, width: int, height: int, *, dark: bool = False) -> bytes:
        """A picture of it, as PNG."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
