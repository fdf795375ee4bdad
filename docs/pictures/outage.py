"""Draws ``outage.svg`` from a real run: a server that is killed and started again in the middle of a stream.

``make pictures`` runs it. A server of our own (``streamclient serve``, with the engine that hears words written in
tones) runs in a process of its own and is killed with SIGKILL; the client does what it always does. Everything in the
picture was recorded through public names: hooks, ``stats``, and the log.
"""

import argparse
import logging
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from streamclient import ListenOptions, ReconnectPolicy, Results, StreamClient, Transcript, hookimpl
from streamclient.server.engines.echo import tones

HERE = Path(__file__).parent
RATE = 32000
"""Bytes of a second of audio."""

WORDS = "every word\ncounts and\neven those\nof the dark\nminute are\nnot lost\nbut heard\nin the end"
BREAK_AT = 3.7
"""Seconds of audio after which the server is killed."""

DOWN = 1.3
"""Seconds until it is started again; its start takes another moment."""

CHUNK = 0.02


@frozen
class Final:
    """A final result as it came: when, what, where in the stream, and where by the server's own count."""

    at: float
    text: str
    start: float
    end: float
    raw_start: float


@define
class Run:
    """What was recorded; times are seconds since the stream was opened.

    Args:
        accepted: when, and how many seconds of audio ``send()`` had accepted by then.
        sent: the same, of what had gone out.
        finals: in order.
        attempts: when a connection was tried in vain.
        lost: when the connection was lost.
        back: when it was there again.
        why: what the client says of the loss.
        end: when the stream was closed.
    """

    accepted: list[tuple[float, float]] = Factory(list)
    sent: list[tuple[float, float]] = Factory(list)
    finals: list[Final] = Factory(list)
    attempts: list[float] = Factory(list)
    lost: float = 0.0
    back: float = 0.0
    why: str = ""
    end: float = 0.0


class Recorder(logging.Handler):
    """The plugin that hears the events, and the handler that hears of failed attempts.

    Args:
        run: where to put them.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(logging.INFO)
        self.run = run
        self.began = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def emit(self, record: logging.LogRecord) -> None:
        if "is not connected" in record.getMessage():
            self.run.attempts.append(self.now)

    @hookimpl
    def on_open(self) -> None:
        self.began = time.monotonic()

    @hookimpl
    def on_final(self, result: Results) -> None:
        if result.transcript:
            words = result.words
            raw = result.raw["channel"]["alternatives"][0]["words"][0]["start"]
            self.run.finals.append(Final(self.now, result.transcript, words[0].start, words[-1].end, raw))

    @hookimpl
    def on_disconnect(self, error: Exception) -> None:
        self.run.lost, self.run.why = self.now, str(error)

    @hookimpl
    def on_reconnect(self) -> None:
        self.run.back = self.now

    @hookimpl
    def on_close(self, transcript: Transcript) -> None:
        assert transcript.complete
        self.run.end = self.now


class Server:
    """``streamclient serve`` in a process of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        serve = [sys.executable, "-m", "streamclient", "serve", "--engine", "echo", "--port", str(self.port)]
        self._process = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        match = re.search(r":(\d+)$", self._process.stderr.readline().strip())
        assert match
        self.port = int(match[1])

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def watching(client: StreamClient, recorder: Recorder) -> Iterator[None]:
    """Note what was accepted and what has gone out, as long as the block lasts."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            stats = client.stats
            recorder.run.accepted.append((recorder.now, stats.audio_seconds))
            recorder.run.sent.append((recorder.now, stats.audio_seconds - stats.buffered_seconds))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def record(speed: float) -> Run:
    """Run the stream.

    Args:
        speed: of the audio; 1.0 is that of speech.
    """
    random.seed(35)  # the delays between attempts have jitter
    audio = tones(WORDS, pause=0.25).tobytes()
    server, recorder = Server(), Recorder(Run())
    logger = logging.getLogger("streamclient.session")
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    client = StreamClient(
        ListenOptions(encoding="linear16", sample_rate=16000, endpointing=100),
        url=f"ws://127.0.0.1:{server.port}",
        plugins=[recorder],
        reconnect=ReconnectPolicy(initial_delay=0.3 / speed, max_delay=0.6 / speed),
    )
    try:
        with client, watching(client, recorder):
            speak(client, audio, speed, server)
    finally:
        server.kill()
        logger.removeHandler(recorder)
    return recorder.run


def speak(client: StreamClient, audio: bytes, speed: float, server: Server) -> None:
    """Send the audio as it would be spoken; in the middle of it the server goes away for a while."""
    began = time.monotonic()
    size = int(CHUNK * RATE)
    restart: threading.Timer | None = None
    for start in range(0, len(audio), size):
        client.send(audio[start : start + size])
        if restart is None and start / RATE >= BREAK_AT:
            server.kill()
            restart = threading.Timer(DOWN / speed, server.start)
            restart.start()
        time.sleep(max(began + (start + size) / RATE / speed - time.monotonic(), 0.0))
    assert restart is not None
    restart.join()


# The drawing.

WIDTH, HEIGHT = 880, 600
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 104, 556
INK, PALE, GRID = "#24292f", "#6e7781", "#e6e8eb"
BLUE, AMBER, GREEN, RED = "#0969da", "#bc4c00", "#1a7f37", "#cf222e"


class Picture:
    """An SVG that is put together piece by piece.

    Args:
        seconds: of the clock, on the x axis.
        audio: seconds of audio, on the y axis.
    """

    def __init__(self, seconds: float, audio: float) -> None:
        self._seconds = seconds
        self._audio = audio
        self._parts: list[str] = []

    def x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self._seconds

    def y(self, audio: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * audio / self._audio

    def add(self, tag: str, text: str = "", **attributes: Any) -> None:
        facts = " ".join(f'{name.replace("_", "-")}="{_short(value)}"' for name, value in attributes.items())
        self._parts.append(f"<{tag} {facts}>{escape(text)}</{tag}>" if text else f"<{tag} {facts}/>")

    def text(self, x: float, y: float, text: str, *, colour: str = INK, size: int = 13, **more: Any) -> None:
        self.add("text", text, x=x, y=y, fill=colour, font_size=size, **more)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 2.5, **more: Any) -> None:
        path = " ".join(f"{self.x(at):.1f},{self.y(audio):.1f}" for at, audio in points)
        self.add("polyline", points=path, fill="none", stroke=colour, stroke_width=width, **more)

    def __str__(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
        )
        title = "<title>A stream whose server is killed and started again</title>"
        panel = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
        return "\n".join([head, title, panel, *self._parts, "</svg>\n"])


def _short(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else escape(str(value))


def draw(run: Run) -> str:
    """The picture of a run."""
    picture = Picture(run.end * 1.12, run.accepted[-1][1] * 1.04)
    draw_axes(picture, run)
    draw_connections(picture, run)
    draw_audio(picture, run)
    draw_finals(picture, run)
    draw_legend(picture)
    return str(picture)


def draw_axes(picture: Picture, run: Run) -> None:
    """Seconds of the clock to the right, seconds of audio upwards."""
    for second in range(int(run.end) + 1):
        picture.add("line", x1=picture.x(second), x2=picture.x(second), y1=float(TOP), y2=float(BOTTOM), stroke=GRID)
        picture.text(picture.x(second), BOTTOM + 18, str(second), colour=PALE, text_anchor="middle")
    for second in range(int(run.accepted[-1][1]) + 1):
        y = picture.y(second)
        picture.add("line", x1=float(LEFT), x2=float(WIDTH - RIGHT), y1=y, y2=y, stroke=GRID)
        picture.text(LEFT - 8, y + 4, str(second), colour=PALE, text_anchor="end")
    picture.text((LEFT + WIDTH - RIGHT) / 2, BOTTOM + 36, "seconds on the clock", colour=PALE, text_anchor="middle")
    middle = (TOP + BOTTOM) / 2
    picture.text(
        18, middle, "seconds of audio", colour=PALE, text_anchor="middle", transform=f"rotate(-90 18 {middle})"
    )


def draw_connections(picture: Picture, run: Run) -> None:
    """The strip on top: a connection, none, another one; and the attempts in between."""
    for begin, end, colour, name in (
        (0.0, run.lost, GREEN, "connection 1"),
        (run.lost, run.back, RED, "no connection"),
        (run.back, run.end, GREEN, "connection 2"),
    ):
        left, right = picture.x(begin), picture.x(end)
        picture.add("rect", x=left, y=22, width=right - left - 1, height=22, rx=3, fill=colour, opacity=0.85)
        picture.text((left + right) / 2, 37, name, colour="#ffffff", text_anchor="middle", font_weight=600)
    left, right = picture.x(run.lost), picture.x(run.back)
    picture.add("rect", x=left, y=float(TOP), width=right - left, height=float(BOTTOM - TOP), fill=RED, opacity=0.06)
    for at in run.attempts:
        picture.text(picture.x(at), 64, "✕", colour=RED, text_anchor="middle", font_weight=700)
    picture.text(left - 6, 64, "attempts, a random while apart", colour=RED, text_anchor="end")
    picture.text(left, 92, "the server is killed", colour=RED, text_anchor="end", dx=-6)
    picture.text(right, 92, "it is there again: on_reconnect", colour=GREEN, dx=6)


def draw_audio(picture: Picture, run: Run) -> None:
    """What the caller has sent, and what has gone out on each connection."""
    picture.line(run.accepted, PALE, 1.5, stroke_dasharray="4 4")
    before = [point for point in run.sent if point[0] <= run.lost]
    after = [point for point in run.sent if point[0] >= run.back]
    caught_up = next((at for at, audio in after if audio >= before[-1][1]), run.end)
    resumed = resumed_at(run)
    picture.line(before, BLUE)
    picture.line([point for point in after if point[0] >= caught_up], BLUE)
    again = [(run.back, resumed), *(point for point in after if point[0] <= caught_up)]
    picture.line(again, AMBER, 3.5)
    picture.line([(run.lost, before[-1][1]), (run.back, resumed)], AMBER, 1.5, stroke_dasharray="2 4")
    last = max((final.at for final in run.finals if final.at <= run.lost), default=0.0)
    picture.line([(last, resumed), (run.back, resumed)], GREEN, 1.0, stroke_dasharray="2 4")
    picture.add("circle", cx=picture.x(run.back), cy=picture.y(resumed), r=4, fill=AMBER)
    picture.text(picture.x(run.back) + 10, picture.y(resumed) + 16, "sent again from the end", colour=AMBER)
    picture.text(picture.x(run.back) + 10, picture.y(resumed) + 32, "of the last final", colour=AMBER)


def resumed_at(run: Run) -> float:
    """Where the second connection began: so much the times of its server were moved."""
    first = next(final for final in run.finals if final.at > run.lost)
    return first.start - first.raw_start


def draw_finals(picture: Picture, run: Run) -> None:
    """Each final where it arrived, as long as its audio."""
    first = next(final for final in run.finals if final.at > run.lost)
    for final in run.finals:
        top, bottom = picture.y(final.end), picture.y(final.start)
        picture.add("rect", x=picture.x(final.at) + 2, y=top, width=5, height=bottom - top, rx=2, fill=GREEN)
        picture.text(picture.x(final.at) + 12, (top + bottom) / 2 + 4, final.text, colour=GREEN, font_weight=600)
        if final is first:
            moved = f"server: {final.raw_start:.2f} s, event: {final.start:.2f} s"
            picture.text(picture.x(final.at) + 12, (top + bottom) / 2 + 20, moved, colour=GREEN, size=12)


def draw_legend(picture: Picture) -> None:
    """What the lines are; the upper left is free."""
    for number, (colour, dashes, text) in enumerate(
        (
            (PALE, "4 4", "accepted by send(), which nothing stops"),
            (BLUE, "none", "sent"),
            (AMBER, "none", "sent again, as fast as the network takes it"),
            (GREEN, "none", "finals, when they arrived and which audio they cover"),
        )
    ):
        y = TOP + 22.0 + 20 * number
        picture.add(
            "line", x1=LEFT + 14.0, x2=LEFT + 44.0, y1=y, y2=y, stroke=colour, stroke_width=3, stroke_dasharray=dashes
        )
        picture.text(LEFT + 52, y + 4, text)


def main() -> None:
    """Record and draw."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--speed", type=float, default=1.0, help="of the audio; 1 is that of speech")
    parser.add_argument("--out", type=Path, default=HERE / "outage.svg", help="the file to write")
    arguments = parser.parse_args()
    arguments.out.write_text(draw(record(arguments.speed)), encoding="utf-8")


if __name__ == "__main__":
    main()
