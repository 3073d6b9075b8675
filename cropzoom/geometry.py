"""Boxes: the only place where coordinates are parsed, ordered, clamped, expanded and rounded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_TEXT = re.compile(r"\[\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\]\.?")

# 0.29 * 100 is 28.999999999999996: without a tolerance, a box made from whole pixels would grow
# by one when turned back into pixels.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Box:
    """A region of an upright image, in fractions of its width and height.

    Args:
        x0: left, 0 <= x0 < x1.
        y0: top, 0 <= y0 < y1.
        x1: right, x1 <= 1.
        y1: bottom, y1 <= 1.

    Raises:
        ValueError: a coordinate is not finite, out of range or out of order.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        for name in ("x0", "y0", "x1", "y1"):
            # Plain floats: a numpy scalar would end up in reports, where json refuses it.
            object.__setattr__(self, name, float(getattr(self, name)))
        # A comparison with NaN is false, so this refuses it too.
        if not (0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1):
            raise ValueError(
                f"not a box: ({self.x0}, {self.y0}, {self.x1}, {self.y1}); needs "
                "0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1. Box.ordered() repairs model output."
            )

    @classmethod
    def ordered(cls, x0: float, y0: float, x1: float, y1: float, min_side: float = 0.01) -> Box:
        """Make a box from what a model said: sorted, clamped to [0, 1], each side >= `min_side`.

        Args:
            x0, y0, x1, y1: corners in any order, in fractions; may lie outside [0, 1].
            min_side: shortest side allowed, in (0, 1]; a shorter one grows about its centre.

        Raises:
            ValueError: a coordinate is not finite, or `min_side` is out of range.
        """
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise ValueError(f"not a box: ({x0}, {y0}, {x1}, {y1}) has a value that is not finite")
        if not 0 < min_side <= 1:
            raise ValueError(f"min_side is {min_side}; needs 0 < min_side <= 1")
        left, right = sorted((_clamp(x0), _clamp(x1)))
        top, bottom = sorted((_clamp(y0), _clamp(y1)))
        left, right = _at_least(left, right, side=min_side)
        top, bottom = _at_least(top, bottom, side=min_side)
        return cls(left, top, right, bottom)

    @classmethod
    def from_pixels(
        cls, x0: float, y0: float, x1: float, y1: float, width: int, height: int
    ) -> Box:
        """Make a box from pixel edges of a `width` x `height` image (`x1`, `y1` exclusive).

        Raises:
            ValueError: the size is not positive, or the edges are out of order or outside.
        """
        if width < 1 or height < 1:
            raise ValueError(f"an image of {width}x{height} px has no boxes")
        return cls(x0 / width, y0 / height, x1 / width, y1 / height)

    @classmethod
    def from_text(cls, text: str, *, repair: bool = False) -> Box:
        """Parse the paper's text form, `[x0, y0, x1, y1].`: whole percents, 0 to 100.

        Args:
            text: spaces around numbers don't matter, nor does a missing full stop.
            repair: make a box of any four numbers, as `ordered` does.

        Raises:
            ValueError: the text has another form, or (without `repair`) the numbers make no box.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not a box: {text[:80]!r}; needs the form '[12, 3, 60, 40].'")
        x0, y0, x1, y1 = (int(number) / 100 for number in match.groups())
        return cls.ordered(x0, y0, x1, y1) if repair else cls(x0, y0, x1, y1)

    def to_text(self) -> str:
        """Return the paper's text form; rounds outwards to whole percents."""
        x0, y0, x1, y1 = self.to_pixels(100, 100)
        return f"[{x0}, {y0}, {x1}, {y1}]."

    def to_pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) in whole pixels of a `width` x `height` image.

        The low side is floored and the high side ceiled, so the pixels cover the box; the result
        is at least one pixel wide and high and lies inside the image.
        """
        if width < 1 or height < 1:
            raise ValueError(f"an image of {width}x{height} px has no boxes")
        left, right = _outwards(self.x0, self.x1, width)
        top, bottom = _outwards(self.y0, self.y1, height)
        return left, top, right, bottom

    @property
    def width(self) -> float:
        """Width in fractions of the image, in (0, 1]."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in fractions of the image, in (0, 1]."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Share of the image covered, in (0, 1]."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Middle (x, y) in fractions of the image."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def contains_point(self, x: float, y: float) -> bool:
        """Tell whether a point, in fractions of the image, lies in the box (edges count)."""
        return self.x0 <= x <= self.x1 and self.y0 <= y <= self.y1

    def covers(self, other: Box) -> bool:
        """Tell whether another box lies in this one, edges included."""
        return self.intersection(other) == other

    def intersection(self, other: Box) -> Box | None:
        """Return the common part of two boxes, or None where they don't overlap."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def iou(self, other: Box) -> float:
        """Return intersection over union with another box, in [0, 1]."""
        common = self.intersection(other)
        if common is None:
            return 0.0
        union = self.area + other.area - common.area
        # Areas of boxes a few ulps wide underflow to zero.
        return min(1.0, common.area / union) if union > 0 else float(self == other)

    def expand(self, scale: float = 1.0, pad_x: float = 0.0, pad_y: float = 0.0) -> Box:
        """Grow the box about its centre; the result contains the box.

        Where the grown box would stick out of the image it is shifted back inside, not cut, so a
        box in a corner gets as much context as one in the middle.

        Args:
            scale: factor on both sides, >= 1.
            pad_x: added at the left and at the right after scaling, in image widths, >= 0.
            pad_y: the same at top and bottom, in image heights.

        Raises:
            ValueError: a factor or padding is out of range.
        """
        if not (1 <= scale < math.inf and 0 <= pad_x < math.inf and 0 <= pad_y < math.inf):
            raise ValueError(
                f"can't expand by scale={scale}, pad_x={pad_x}, pad_y={pad_y}; "
                "needs a finite scale >= 1 and finite paddings >= 0"
            )
        left, right = _at_least(self.x0, self.x1, side=min(1.0, self.width * scale + 2 * pad_x))
        top, bottom = _at_least(self.y0, self.y1, side=min(1.0, self.height * scale + 2 * pad_y))
        return Box(left, top, right, bottom)


@dataclass(frozen=True, slots=True)
class Crop:
    """A box a cropper proposes.

    Args:
        box: where to look.
        confidence: estimated chance that the box holds what the question asks for, in [0, 1].

    Raises:
        ValueError: the confidence is not in [0, 1].
    """

    box: Box
    confidence: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "confidence", float(self.confidence))
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is {self.confidence}; needs 0 <= confidence <= 1")


def _clamp(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def _at_least(low: float, high: float, side: float) -> tuple[float, float]:
    """Widen [low, high] to `side` <= 1 about its middle and keep it inside [0, 1]."""
    if high - low >= side:
        return low, high
    start = min(max(0.0, (low + high - side) / 2), 1.0 - side)
    # min and max: rounding must not cut the interval that is being widened.
    return min(low, start), max(high, min(1.0, start + side))


def _outwards(low: float, high: float, size: int) -> tuple[int, int]:
    start = min(math.floor(low * size + _TOLERANCE), size - 1)
    stop = max(math.ceil(high * size - _TOLERANCE), start + 1)
    return start, stop
