"""The first bytes of a stream: a container sent under the name of a raw encoding is found before it goes out.

Only what cannot be chance counts: four bytes that begin WAV, Ogg, FLAC, WebM or MP4, or the header of an ID3 tag. The
frames of MP3, ADTS and MPEG-TS begin with one or two bytes that speech has as well, so they do not.
"""

from streamclient.audio import sniff_container
from streamclient.errors import OptionsError

__all__ = ["Opening"]

ENOUGH = 12
"""Bytes that are looked at."""

HEADERLESS = frozenset({"linear16", "linear32", "mulaw", "alaw", "amr-nb", "amr-wb", "opus", "speex"})
"""Encodings whose audio comes without a container. FLAC and Ogg Opus have one, and G.729 is named with and without."""


class Opening:
    """Judges the first bytes, however they are cut; whoever accepts audio asks it first, under one lock.

    Args:
        encoding: of the stream's options.

    Attributes:
        is_judged: whether there is nothing more to look at.
    """

    def __init__(self, encoding: str | None) -> None:
        self._encoding = encoding
        self._accepted = b""
        self.is_judged = encoding not in HEADERLESS

    def check(self, audio: bytes) -> None:
        """Refuse a chunk with which the stream would begin like a container.

        Raises:
            OptionsError: it would. The chunk does not count as accepted.
        """
        if self.is_judged:
            return
        container = _certain_container(self._with(audio))
        if container is not None:
            raise OptionsError(
                f"encoding={self._encoding!r} is for audio without a container, but the audio begins like {container}",
                hint="Leave out encoding, sample_rate and channels: the service reads them from the container. "
                "Or send the bare audio, without its header. This chunk was not accepted.",
            )

    def accept(self, audio: bytes) -> None:
        """The chunk was checked, and is now part of the stream."""
        if not self.is_judged:
            self._accepted = self._with(audio)
            self.is_judged = len(self._accepted) == ENOUGH

    def _with(self, audio: bytes) -> bytes:
        return self._accepted + audio[: ENOUGH - len(self._accepted)]


def _certain_container(start: bytes) -> str | None:
    if start.startswith(b"ID3") and not _is_id3_header(start):
        return None
    return sniff_container(start)


def _is_id3_header(start: bytes) -> bool:
    """Three letters may be chance; with version, flags and a length of four times seven bits they are a tag."""
    if len(start) < 10:
        return False
    version, revision, flags = start[3:6]
    return version in (2, 3, 4) and revision != 0xFF and not flags & 0x0F and max(start[6:10]) < 0x80
