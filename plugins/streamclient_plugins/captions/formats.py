"""How a caption is written: WebVTT (W3C) and SubRip, which has no standard."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from streamclient_plugins.captions.timing import Cue

__all__ = ["HEADERS", "Format", "srt_label", "write_cue"]

Format = Literal["vtt", "srt"]

HEADERS = {"vtt": "WEBVTT\n\n", "srt": ""}
"""What a file begins with."""

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

MARKUP = re.compile(r"<(?=[/a-z])|\{(?=\\)|--(?=>)", re.IGNORECASE)
"""What players take for a tag, a style or a time; SubRip has no escapes."""

WORD_JOINER = "\u2060"
"""Not seen and not a space; after it, the rest of a tag is text."""


RIGHT_TO_LEFT = "\u202b{}\u202c"
"""An embedding. Players begin every line of SubRip at the left, and show the full stop of Hebrew or Arabic there."""


def write_cue(format: Format, number: int, cue: Cue, *, voice_before: str) -> str:  # noqa: A002 - as users call it
    """A cue with the blank line that ends it.

    Args:
        format: which.
        number: from 1; SubRip shows it.
        cue: what to show, and when.
        voice_before: who spoke in the cue before; SubRip names the speaker where that changes.
    """
    times = f"{clock_time(cue.start)} --> {clock_time(cue.end)}"
    if format == "vtt":
        return f"{times}\n{_vtt_text(cue)}\n\n"
    label = srt_label(cue.voice) if cue.voice != voice_before else ""
    return f"{number}\n{times.replace('.', ',')}\n{label}{_srt_text(cue.lines)}\n\n"


def srt_label(voice: str) -> str:
    """How SubRip names who speaks."""
    return f"[{voice}] " if voice else ""


def clock_time(milliseconds: int) -> str:
    """Hours, minutes, seconds and milliseconds, as in ``00:01:02.500``; the hours do not end at 24 or at 99."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{rest:03}"


def _vtt_text(cue: Cue) -> str:
    text = "\n".join(cue.lines).translate(ESCAPES)
    return f"<v {cue.voice.translate(ESCAPES)}>{text}</v>" if cue.voice else text


def _srt_text(lines: Sequence[str]) -> str:
    return "\n".join(_directed(MARKUP.sub(lambda match: match[0] + WORD_JOINER, line)) for line in lines)


def _directed(line: str) -> str:
    """A line that tells its direction, where that is not the usual one; as in WebVTT its first letter decides."""
    direction = next((kind for kind in map(unicodedata.bidirectional, line) if kind in ("L", "R", "AL")), "L")
    return line if direction == "L" else RIGHT_TO_LEFT.format(line)
