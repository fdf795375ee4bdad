"""How captions look: what a line, a caption and the time of a caption may be, and the presets of the field."""

from collections.abc import Mapping
from math import inf
from typing import Any, Literal

import attrs
from attrs import field, frozen, validators

__all__ = ["PRESETS", "Preset", "Style", "style_of"]

Preset = Literal["netflix", "bbc", "608"]


@frozen(kw_only=True)
class Style:
    """The limits of captions.

    Args:
        line_length: columns of a line; a wide character (Chinese, Japanese, Korean, emoji) takes two.
        lines: lines of a caption.
        min_duration: seconds a caption stays at least, where the next one leaves it the time.
        max_duration: seconds a caption stays at most.
        reading_speed: columns per second that a viewer can read.
        gap: seconds between two captions of which one follows the other at once, so that the eye sees the change.

    Raises:
        ValueError: one of them cannot be.
    """

    line_length: int = field(default=42, validator=validators.ge(8))
    lines: int = field(default=2, validator=validators.ge(1))
    min_duration: float = field(default=5 / 6, validator=validators.gt(0))
    max_duration: float = field(default=7.0, validator=[validators.gt(0), validators.lt(inf)])
    reading_speed: float = field(default=20.0, validator=validators.gt(0))
    gap: float = field(default=1 / 12, validator=[validators.ge(0), validators.lt(inf)])

    def __attrs_post_init__(self) -> None:
        if self.min_duration > self.max_duration:
            raise ValueError(
                f"min_duration={self.min_duration:.2f} is longer than max_duration={self.max_duration:.2f}"
            )


PRESETS: Mapping[str, Style] = {
    "netflix": Style(),
    "bbc": Style(line_length=37, min_duration=1.0, max_duration=6.0, reading_speed=17.0, gap=0.08),
    "608": Style(line_length=32, min_duration=4 / 3, max_duration=6.0, reading_speed=16.0, gap=1 / 15),
}
"""By name: two frames of a film for streaming, of European television, and of analogue American television apart."""


def style_of(
    preset: Preset = "netflix",
    *,
    line_length: int | None = None,
    lines: int | None = None,
    min_duration: float | None = None,
    max_duration: float | None = None,
    reading_speed: float | None = None,
    gap: float | None = None,
) -> Style:
    """A preset with some limits of one's own.

    Args:
        preset: where to start from.
        line_length: as in `Style`, like the others; ``None`` is the preset's.
        lines: lines of a caption.
        min_duration: seconds.
        max_duration: seconds.
        reading_speed: columns per second.
        gap: seconds.

    Raises:
        ValueError: there is no such preset, or a limit cannot be.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r} is unknown; there are {', '.join(PRESETS)}")
    limits: dict[str, Any] = {
        "line_length": line_length,
        "lines": lines,
        "min_duration": min_duration,
        "max_duration": max_duration,
        "reading_speed": reading_speed,
        "gap": gap,
    }
    return attrs.evolve(PRESETS[preset], **{name: limit for name, limit in limits.items() if limit is not None})
