"""Recorded sessions: everything that went over the wire, one JSON object a line, without credentials.

The first line says what the file is. Every other line is one `streamclient.testing.entries.Entry`: what happened
(``what``), on which connection (``connection``) and when (``at``, seconds since the first request).
"""

import base64
import hashlib
import json
import logging
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from math import inf
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, get_origin
from urllib.parse import parse_qsl, quote, urlencode

import attrs

from streamclient import __version__
from streamclient.errors import StreamClientError
from streamclient.testing.entries import (
    Accepted,
    Audio,
    Closed,
    Control,
    Ended,
    Entry,
    Happening,
    Refused,
    Requested,
    Said,
)
from streamclient.testing.faults import Close, Refuse

__all__ = ["Cassette", "CassetteError", "CassetteWriter", "RecordedConnection"]

log = logging.getLogger("streamclient.testing")

VERSION = 1
KINDS: Mapping[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Requested, Accepted, Refused, Audio, Control, Said, Closed, Ended)
}
KEPT_HEADERS = re.compile(r"dg-.*|user-agent|content-type|retry-after|location|date|x-request-id")
"""All others may carry a secret, or say nothing."""
SECRET_NAMES = re.compile(r"(.*[_-])?(token|(api)?key|secret|password|authorization|credentials?|jwt)", re.IGNORECASE)
"""Of parameters, also of those in ``extra`` and in the query of a callback."""
FREE_FIELDS = {"path", "headers", "text", "reason", "body"}
"""Where client and server can write what they like, secrets too."""
REMOVED = "removed"
UNMISTAKABLE = 12
"""Characters of a secret that is no word; a shorter one is removed where it stands alone, or ``e`` would spoil all."""
LARGEST_FRAME = 1 << 26
"""Bytes; more is no audio."""


class CassetteError(StreamClientError):
    """A file is no cassette, or a broken one."""


class CassetteWriter:
    """Writes what a relay sees to a file; give it to the relay's ``recorders``.

    Credentials are left out: of headers only harmless ones are kept, and the key a client came with is removed
    wherever else it occurs. What was said is kept, so a cassette holds the transcript; with ``audio="hash"`` it does
    not hold the voices. When the disk is full, the cassette ends there, and what is relayed goes on; `close` tells it.

    Args:
        path: of the file, which must not exist.
        audio: ``"whole"``, or ``"hash"`` for the length of each frame, and the SHA-256 of all at the end.

    Raises:
        CassetteError: the file exists, or cannot be written.
    """

    def __init__(self, path: str | Path, audio: Literal["whole", "hash"] = "whole") -> None:
        self.path = Path(path)
        self._whole = audio == "whole"
        self._secrets: defaultdict[int, set[str]] = defaultdict(set)
        self._hashes: defaultdict[int, Any] = defaultdict(hashlib.sha256)
        self._lock = threading.Lock()
        self._failure: CassetteError | None = None
        try:
            self._file: IO[str] = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            raise CassetteError(f"{self.path} exists", hint="Choose another name, or move it away.") from None
        except OSError as error:
            raise self._cannot_be_written(error) from error
        created = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._write({"cassette": VERSION, "by": f"streamclient {__version__}", "created": created, "audio": audio})
        if self._failure is not None:
            raise self._failure

    def __call__(self, entry: Entry) -> None:
        """Write one line; any thread may call."""
        with self._lock:
            if not self._file.closed:
                self._write(self._line(entry))
                if self._failure is not None:
                    log.error("%s", self._failure)

    def close(self) -> None:
        """Close the file; what happens later is not recorded.

        Raises:
            CassetteError: not everything could be written.
        """
        with self._lock:
            self._file.close()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> "CassetteWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, entry: Entry) -> dict[str, Any]:
        what = entry.what
        if isinstance(what, Requested):
            self._secrets[entry.connection] = _secrets_in(what)
        secrets = self._secrets[entry.connection]
        fields = {
            name: _clean(value, secrets) if name in FREE_FIELDS else value
            for name, value in self._fields(entry.connection, what).items()
        }
        return {"at": round(entry.at, 6), "connection": entry.connection, "what": type(what).__name__.lower(), **fields}

    def _fields(self, connection: int, what: Happening) -> dict[str, Any]:
        if isinstance(what, Audio):
            self._hashes[connection].update(what.data)
            data = {"data": base64.b64encode(what.data).decode()} if self._whole else {}
            return {"bytes": len(what.data), **data}
        if isinstance(what, Ended):
            return {"how": what.how, "audio_sha256": self._hashes.pop(connection, hashlib.sha256()).hexdigest()}
        fields = attrs.asdict(what)
        if isinstance(what, Requested | Accepted | Refused):
            fields["headers"] = {name: value for name, value in what.headers.items() if KEPT_HEADERS.fullmatch(name)}
        if isinstance(what, Requested):
            fields["path"] = _clean_path(what.path, self._secrets[connection])
        return fields

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            self._failure = self._cannot_be_written(error)
            self._failure.__cause__ = error
            with suppress(OSError):  # it tries to write the rest of the line
                self._file.close()

    def _cannot_be_written(self, error: OSError) -> CassetteError:
        return CassetteError(f"{self.path} cannot be written: {error.strerror}")


def _secrets_in(request: Requested) -> set[str]:
    """What the client authenticates with, and what it says by the way that sounds like a secret."""
    given = request.headers.get("authorization", "").split()[-1:]
    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")][1:]
    asked = [value for name, value in _parameters(request.path) if SECRET_NAMES.fullmatch(name)]
    return {
        form for secret in (*given, *offered, *asked) for form in (secret, quote(secret), quote(secret, "")) if form
    }


def _parameters(url: str) -> Iterator[tuple[str, str]]:
    """The names and values of a query, with those that are inside a value."""
    for name, value in _query(url):
        yield name, value
        if name == "extra":
            inner, _, rest = value.partition(":")
            yield inner, rest
        elif name == "callback":
            yield from _query(value)


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("?")[2], keep_blank_values=True)


def _clean_path(path: str, secrets: set[str]) -> str:
    """Without what is named like a secret, and with clean values."""
    kept = [(name, _clean(_without_password(value), secrets)) for name, value in _query(path)]
    pairs = [(name, value) for name, value in kept if not SECRET_NAMES.fullmatch(name)]
    return path.partition("?")[0] + ("?" + urlencode(pairs) if pairs else "")


def _without_password(value: str) -> str:
    """A callback URL may have a user and a password before the host."""
    return re.sub(r"^(\w+://)[^/@]*@", rf"\1{REMOVED}@", value)


def _clean(value: Any, secrets: set[str]) -> Any:
    """Without these secrets, in texts or in the values of headers."""
    if isinstance(value, dict):
        return {name: _clean(one, secrets) for name, one in value.items()}
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        alone = secret if len(secret) < UNMISTAKABLE else None
        value = re.sub(rf"(?<!\w){re.escape(alone)}(?!\w)", REMOVED, value) if alone else value.replace(secret, REMOVED)
    return value


@attrs.frozen
class RecordedConnection:
    """What happened on one connection.

    Args:
        entries: in order.
    """

    entries: tuple[Entry, ...]

    @property
    def request(self) -> Requested:
        """What the client asked for."""
        request = self.entries[0].what
        assert isinstance(request, Requested)
        return request

    def of(self, kind: type[Any]) -> list[Any]:
        """Everything of one kind that happened."""
        return [entry.what for entry in self.entries if isinstance(entry.what, kind)]


@attrs.frozen
class Cassette:
    """A recorded session.

    Args:
        connections: in the order in which they were asked for.
        has_audio: whether the audio is there; otherwise it is silence of the recorded length.
    """

    connections: tuple[RecordedConnection, ...]
    has_audio: bool = True

    @classmethod
    def read(cls, path: str | Path) -> "Cassette":
        """Read a file; one that was cut off by a crash is read up to there.

        Raises:
            CassetteError: it cannot be read, or is no cassette.
        """
        try:
            lines = Path(path).read_bytes().split(b"\n")  # a text has more that ends lines
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CassetteError(f"{path} cannot be read: {reason}.") from error
        objects = list(_objects(path, lines))
        if not objects or objects[0].get("cassette") != VERSION:
            raise _no_cassette(path)
        by_connection: defaultdict[int, list[Entry]] = defaultdict(list)
        for number, line in enumerate(objects[1:], start=2):
            entry = _entry(path, number, line)
            by_connection[entry.connection].append(entry)
        connections = [RecordedConnection(tuple(by_connection[number])) for number in sorted(by_connection)]
        for connection in connections:
            if not isinstance(connection.entries[0].what, Requested):
                raise CassetteError(f"{path}: a connection does not begin with its request")
        return cls(tuple(connections), objects[0].get("audio") == "whole")


def _objects(path: str | Path, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    lines = [line for line in lines if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) > 1:
                return  # a crash in the middle of the last line
            found = None
        if not isinstance(found, dict):
            raise _no_cassette(path) if number == 1 else CassetteError(f"{path}, line {number}: no JSON object")
        yield found


def _no_cassette(path: str | Path) -> CassetteError:
    return CassetteError(
        f"{path} is no cassette of version {VERSION}",
        hint="A cassette is what this records: streamclient relay --cassette FILE",
    )


def _entry(path: str | Path, number: int, line: dict[str, Any]) -> Entry:
    fields = dict(line)
    try:
        connection, at, kind = int(fields.pop("connection")), float(fields.pop("at")), KINDS[fields.pop("what")]
        if not 0 <= at < inf:
            raise ValueError(f"at is {at}")
        return Entry(connection, at, _happening(kind, fields))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CassetteError(f"{path}, line {number}: not what a cassette holds ({error!r})") from error


def _happening(kind: type[Any], fields: dict[str, Any]) -> Happening:
    if kind is Audio:
        return Audio(base64.b64decode(fields["data"], validate=True) if "data" in fields else _silence(fields["bytes"]))
    known = {field.name: field.type for field in attrs.fields(kind)}
    for name, value in fields.items():
        if name in known and not isinstance(value, get_origin(known[name]) or known[name]):
            raise TypeError(f"{name} is {value!r:.60}")
    happening: Happening = kind(**{name: value for name, value in fields.items() if name in known})
    _check(happening)
    return happening


def _check(what: Happening) -> None:
    """Whether it could have been on a wire, and can be again.

    Raises:
        ValueError: it could not.
    """
    if isinstance(what, Closed):
        Close(what.code, what.reason)
    elif isinstance(what, Refused):
        Refuse(what.status)
    for value in attrs.asdict(what).values():
        for text in (*value, *value.values()) if isinstance(value, dict) else (value,):
            if isinstance(value, dict) and re.search("[\r\n]", text):
                raise ValueError(f"a header with a line end: {text!r:.60}")
            if isinstance(text, str):
                text.encode()


def _silence(size: int) -> bytes:
    if not 0 <= size <= LARGEST_FRAME:
        raise ValueError(f"a frame of {size} bytes")
    return bytes(size)
