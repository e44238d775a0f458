"""Text that can be read on its ground, whatever a theme makes of the two."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style

__all__ = ["LEAST_CONTRAST", "contrast", "legible"]

LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of usual size. Of Textual's themes every second has a badge that is below it."""

_STEPS = 20


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    """From 1, the same, to 21, black on white (WCAG 2.2, contrast ratio)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def legible(segment: Segment) -> Segment:
    """The segment with its text lighter or darker, as little as is needed. What a terminal colours itself stays."""
    style = segment.style
    if style is None or style.color is None or style.bgcolor is None:
        return segment
    text, ground = style.color.triplet, style.bgcolor.triplet
    if text is None or ground is None or contrast(text, ground) >= LEAST_CONTRAST:
        return segment
    return Segment(segment.text, style + Style(color=Color.from_triplet(_moved(text, ground))), segment.control)


@lru_cache(maxsize=64)
def _moved(text: ColorTriplet, ground: ColorTriplet) -> ColorTriplet:
    """The text's colour on its way to black or to white, as soon as it can be read."""
    end = max(ColorTriplet(0, 0, 0), ColorTriplet(255, 255, 255), key=lambda each: contrast(each, ground))
    for step in range(1, _STEPS):
        share = step / _STEPS
        mixed = ColorTriplet(*(round(a + (b - a) * share) for a, b in zip(text, end, strict=True)))
        if contrast(mixed, ground) >= LEAST_CONTRAST:
            return mixed
    return end


def _luminance(colour: ColorTriplet) -> float:
    red, green, blue = (_linear(part / 255) for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
