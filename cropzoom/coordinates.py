"""Points and boxes from one picture to another: the crop, the picture as sent, as seen, as given.

A picture has four frames:

- "given": the pixels as the file stores them, before an EXIF or TIFF orientation turns them;
- "upright": the picture as people see it, in which cropzoom's boxes are;
- "sent": what went out in its place: the picture itself, a thumbnail of it, or a canvas on which a
  thumbnail stands beside crops;
- "crop": one crop, as sent.

Coordinates are of edges: the pixel in column 3 reaches from 3 to 4, the whole from 0 to the width.
Models answer in pixels, in fractions of the sides (0 to 1) or in thousandths of them (0 to 1000).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Frame = Literal["crop", "sent", "upright", "given"]
Unit = Literal["px", "fraction", "thousandths"]
Size = tuple[int, int]
Rect = tuple[float, float, float, float]
Point = tuple[float, float]

FRAMES = ("crop", "sent", "upright", "given")
_PER_SIDE = {"fraction": 1.0, "thousandths": 1000.0}


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture that went out in place of another.

    Args:
        size: (width, height) in px.
        whole: (left, top, right, bottom) in px, where it shows the whole picture.
    """

    size: Size
    whole: Rect


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture's frames lie to one another.

    Args:
        upright: (width, height) in px of the upright picture.
        orientation: of the file, 1 to 8, as EXIF and TIFF number them.
        canvas: what went out in its place; None where it went out as it was.
        cut: (left, top, right, bottom) of the crop in px of the upright picture; None: no crop.
        crop: (width, height) in px of the crop as sent; None: no crop.
        crop_at: where the canvas shows the crop, in its px; None where the crop is a picture of
            its own.
    """

    upright: Size
    orientation: int = 1
    canvas: Canvas | None = None
    cut: Rect | None = None
    crop: Size | None = None
    crop_at: Rect | None = None

    def size(self, frame: Frame) -> Size:
        """Return (width, height) of a frame in px.

        Raises:
            ValueError: there is no such frame.
        """
        if frame == "upright":
            return self.upright
        if frame == "crop":
            if self.crop is None:
                raise ValueError("there is no crop; choose the frame 'sent', 'upright' or 'given'")
            return self.crop
        if frame == "sent" and self.canvas is not None:
            return self.canvas.size
        if frame not in FRAMES:
            raise ValueError(f"no frame {frame!r}; there are {', '.join(FRAMES)}")
        # A picture that goes out as it was is turned by nobody on its way.
        width, height = self.upright
        return (height, width) if self.orientation >= 5 else (width, height)

    def point(
        self,
        point: Point,
        source: Frame,
        target: Frame,
        unit: Unit = "px",
        target_unit: Unit | None = None,
        seen: Size | None = None,
    ) -> Point:
        """Return where a point of one frame lies in another.

        Args:
            point: (x, y) in the source's unit.
            source, target: frames.
            unit: what the point is counted in.
            target_unit: what the result is counted in; None for the same.
            seen: (width, height) in px of the source frame as its pixels are counted, where the
                model shrank the picture before it looked; see `cropzoom.models.sight`.

        Raises:
            ValueError: an unknown frame or unit, or there is no crop.
        """
        width, height = self.size(source)
        across, down = _sides(seen or (width, height), unit)
        x, y = self._to_upright((point[0] * width / across, point[1] * height / down), source)
        x, y = self._from_upright((x, y), target)
        width, height = self.size(target)
        across, down = _sides((width, height), target_unit or unit)
        return x * across / width, y * down / height

    def box(
        self,
        box: Rect,
        source: Frame,
        target: Frame,
        unit: Unit = "px",
        target_unit: Unit | None = None,
        seen: Size | None = None,
    ) -> Rect:
        """Return where a box (x0, y0, x1, y1) of one frame lies in another; see `point`."""
        if source == "sent" and self.canvas is not None and self.crop_at is not None:
            # Both corners by the way of the middle, so that no box is torn apart.
            middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            width, height = self.size("sent")
            across, down = _sides(seen or (width, height), unit)
            scaled = middle[0] * width / across, middle[1] * height / down
            if _inside(scaled, self.crop_at):
                corners = _scaled(box, (across, down), self.crop_at, (width, height))
                return self.box(corners, "crop", target, "fraction", target_unit or unit)
            plain = Place(self.upright, self.orientation, self.canvas, self.cut, self.crop)
            return plain.box(box, source, target, unit, target_unit, seen)
        x0, y0 = self.point((box[0], box[1]), source, target, unit, target_unit, seen)
        x1, y1 = self.point((box[2], box[3]), source, target, unit, target_unit, seen)
        # Turned pictures swap their corners.
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def _to_upright(self, point: Point, frame: Frame) -> Point:
        whole = _whole(self.upright)
        if frame == "upright":
            return point
        if frame == "crop":
            assert self.cut is not None and self.crop is not None
            return _moved(point, _whole(self.crop), self.cut)
        if frame == "sent" and self.canvas is not None:
            if self.crop_at is not None and self.cut and _inside(point, self.crop_at):
                return _moved(point, self.crop_at, self.cut)
            return _moved(point, self.canvas.whole, whole)
        return _upright(point, self.upright, self.orientation)

    def _from_upright(self, point: Point, frame: Frame) -> Point:
        whole = _whole(self.upright)
        if frame == "upright":
            return point
        if frame == "crop":
            assert self.cut is not None and self.crop is not None
            return _moved(point, self.cut, _whole(self.crop))
        if frame == "sent" and self.canvas is not None:
            return _moved(point, whole, self.canvas.whole)
        return _stored(point, self.upright, self.orientation)


def _sides(size: Size, unit: Unit) -> Point:
    if unit == "px":
        return float(size[0]), float(size[1])
    if unit not in _PER_SIDE:
        raise ValueError(f"no unit {unit!r}; there are px, {', '.join(_PER_SIDE)}")
    return _PER_SIDE[unit], _PER_SIDE[unit]


def _whole(size: Size) -> Rect:
    return 0.0, 0.0, float(size[0]), float(size[1])


def _moved(point: Point, source: Rect, target: Rect) -> Point:
    x = (point[0] - source[0]) / (source[2] - source[0])
    y = (point[1] - source[1]) / (source[3] - source[1])
    return target[0] + x * (target[2] - target[0]), target[1] + y * (target[3] - target[1])


def _inside(point: Point, rect: Rect) -> bool:
    return rect[0] <= point[0] <= rect[2] and rect[1] <= point[1] <= rect[3]


def _scaled(box: Rect, unit: Point, rect: Rect, size: Size) -> Rect:
    """Return a box of a canvas in fractions of a rectangle on it."""
    first = box[0] * size[0] / unit[0], box[1] * size[1] / unit[1]
    second = box[2] * size[0] / unit[0], box[3] * size[1] / unit[1]
    x0, y0 = _moved(first, rect, (0.0, 0.0, 1.0, 1.0))
    x1, y1 = _moved(second, rect, (0.0, 0.0, 1.0, 1.0))
    return x0, y0, x1, y1


def _upright(point: Point, upright: Size, orientation: int) -> Point:
    """Return where a stored pixel is seen."""
    x, y = point
    width, height = upright
    if orientation >= 5:
        x, y = y, x
    if orientation in (2, 3, 6, 7):
        x = width - x
    if orientation in (3, 4, 7, 8):
        y = height - y
    return x, y


def _stored(point: Point, upright: Size, orientation: int) -> Point:
    """Return where a pixel that is seen is stored."""
    x, y = point
    width, height = upright
    if orientation in (2, 3, 6, 7):
        x = width - x
    if orientation in (3, 4, 7, 8):
        y = height - y
    return (y, x) if orientation >= 5 else (x, y)
