"""A strict reader of WebVTT and SubRip, written from their rules and not from our writer; it names every fault."""

import html
import re
from dataclasses import dataclass, field

__all__ = ["Read", "ReadCue", "read_srt", "read_vtt"]

VTT_TIME = r"(?:(?P<{0}h>\d{{2,}}):)?(?P<{0}m>[0-5]\d):(?P<{0}s>[0-5]\d)\.(?P<{0}f>\d{{3}})"
VTT_TIMES = re.compile(f"{VTT_TIME.format('a')}[ \t]+-->[ \t]+{VTT_TIME.format('b')}")
SRT_TIME = r"(?P<{0}h>\d{{2,}}):(?P<{0}m>[0-5]\d):(?P<{0}s>[0-5]\d),(?P<{0}f>\d{{3}})"
SRT_TIMES = re.compile(f"{SRT_TIME.format('a')} --> {SRT_TIME.format('b')}")
TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-z]*)(?:\.[^ \t<>]*)?(?:[ \t](?P<annotation>[^<>]*))?>")
ENTITY = re.compile(r"&(?:amp|lt|gt|nbsp|lrm|rlm|#\d+|#x[0-9a-fA-F]+);")


@dataclass
class ReadCue:
    """A cue as a viewer gets it; times in milliseconds."""

    start: int
    end: int
    text: str
    voice: str = ""


@dataclass
class Read:
    """What a file holds, and what is wrong with it."""

    cues: list[ReadCue] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_vtt(document: str) -> Read:
    """Read WebVTT (W3C, WebVTT: The Web Video Text Tracks Format)."""
    read = Read()
    head, _, body = document.partition("\n\n")
    if head.rstrip("\n") != "WEBVTT":
        read.faults.append("no signature and blank line")
        return read
    for block in _blocks(body):
        _read_vtt_cue(block, read)
    return read


def read_srt(document: str) -> Read:
    """Read SubRip, as strictly as its strictest readers: numbers from 1, and a comma before the milliseconds."""
    read = Read()
    for number, block in enumerate(_blocks(document), 1):
        index, *rest = block
        if index != str(number):
            read.faults.append(f"number {index!r} instead of {number}")
        match = SRT_TIMES.fullmatch(rest[0]) if rest else None
        if match is None:
            read.faults.append(f"no times: {block}")
            continue
        _add(read, match, rest[1:], "\n".join(rest[1:]), "")
    return read


def _blocks(body: str) -> list[list[str]]:
    return [block.split("\n") for block in re.split(r"\n{2,}", body.strip("\n")) if block]


def _read_vtt_cue(block: list[str], read: Read) -> None:
    match = VTT_TIMES.fullmatch(block[0])
    if match is None:
        read.faults.append(f"no times: {block}")
        return
    text = "\n".join(block[1:])
    voice = _check_markup(text, read)
    _add(read, match, block[1:], html.unescape(TAG.sub("", text)), voice)


def _add(read: Read, match: "re.Match[str]", lines: list[str], text: str, voice: str) -> None:
    start, end = (_milliseconds(match, side) for side in "ab")
    if end <= start:
        read.faults.append(f"ends before it starts: {match[0]}")
    if read.cues and start < read.cues[-1].start:
        read.faults.append(f"starts before the one before: {match[0]}")
    if not "".join(lines).strip():
        read.faults.append(f"no text: {match[0]}")
    if any("-->" in line for line in lines):
        read.faults.append(f"an arrow in the text: {lines}")
    read.cues.append(ReadCue(start, end, text, voice))


def _milliseconds(match: "re.Match[str]", side: str) -> int:
    hours, minutes, seconds, rest = (int(match[side + part] or 0) for part in "hmsf")
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def _check_markup(text: str, read: Read) -> str:
    """Its voice; every tag must be known, annotated where needed and closed, and every other bracket escaped."""
    stack: list[str] = []
    voice = ""
    for tag in TAG.finditer(text):
        if tag["end"]:
            if not stack or stack.pop() != tag["name"]:
                read.faults.append(f"closes what is not open: {text!r}")
            continue
        stack.append(tag["name"])
        if tag["name"] not in ("v", "c", "i", "b", "u", "lang"):
            read.faults.append(f"unknown tag {tag[0]}")
        if tag["name"] == "v":
            voice = (tag["annotation"] or "").strip()
            if not voice:
                read.faults.append("a voice without a name")
    plain = TAG.sub("", text)
    if stack not in ([], ["v"]):
        read.faults.append(f"not closed: {stack}")
    if "<" in plain or ">" in plain:
        read.faults.append(f"a bracket that is not escaped: {plain!r}")
    if "&" in ENTITY.sub("", plain):
        read.faults.append(f"an ampersand that is not escaped: {plain!r}")
    return html.unescape(voice)
