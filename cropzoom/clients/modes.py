"""What goes out in place of a picture: a thumbnail beside its crops, or both on one canvas.

Pure: a picture, its crops and a model's name in, pictures out. Sizes are chosen by what the model
sees and what it charges, see `cropzoom.models`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from cropzoom.coordinates import Canvas, Rect
from cropzoom.geometry import Box
from cropzoom.images import Encoded, ImageSource, OpenedImage, encode_crop, encode_picture
from cropzoom.models import Sight, Size, sight
from cropzoom.options import ZoomOptions
from cropzoom.zoom import Zoomed

# Below this a thumbnail shows hardly more than colours; sizes are tried in steps.
_LEAST_SIDE = 160
_STEP = 32
# White between what stands on a canvas, so that lines of text don't run into one another.
_GAP = 16
# Of a budget, crops may take such shares before they are shrunk: they hold the answer.
_SHARES = (0.75, 0.5, 0.25)
_WHOLE = Box(0, 0, 1, 1)


@dataclass(frozen=True, slots=True)
class Substitute:
    """What goes out in place of a picture.

    Args:
        image: a thumbnail, or a canvas with it and the crops.
        crops: those that are shown, surest first, with their places.
        beside: whether the crops go out as pictures of their own.
        tokens: what all of it costs.
    """

    image: Encoded
    crops: tuple[Zoomed, ...]
    beside: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class View:
    """How a model sees pictures of one request.

    Args:
        model: its name, None where it is unknown.
        detail: the level that the request asks for, None for the model's own.
        side: longest side, px, at which it really sees them; None for what its rule says.
    """

    model: str | None
    detail: str | None = None
    side: int | None = None

    def of(self, size: Size) -> Sight:
        """Return what the model sees of a picture."""
        seen = sight(self.model, size, self.detail)
        return seen if self.side is None else replace(seen, size=_shrunk(size, self.side))

    def tokens(self, image: Encoded) -> int:
        """Return what a picture costs."""
        return self.of((image.width, image.height)).tokens


def with_thumbnail(
    source: ImageSource, crops: Sequence[Zoomed], view: View, options: ZoomOptions
) -> Substitute | None:
    """Return a thumbnail and the crops, None where that would cost as much as the picture.

    Args:
        source: the picture.
        crops: surest first; the least sure are left out where the budget needs it.
        view: of the model that is asked.
        options: `thumbnail_side`, or as large as `budget` lets it be.

    Raises:
        ImageError: the picture can't be read.
    """
    opened = OpenedImage(source, max_pixels=options.max_pixels)
    size = opened.size
    most = view.of(size).tokens - 1
    largest = options.thumbnail_side
    if options.budget is not None:
        most, largest = min(most, options.budget), max(size)
    for shown in _choices(opened, crops, view, most, options):
        left = most - sum(view.tokens(crop.image) for crop in shown)
        side = next(
            (side for side in _sides(size, largest) if view.of(_shrunk(size, side)).tokens <= left),
            None,
        )
        if side is not None:
            image = thumbnail(opened, side)
            tokens = view.tokens(image) + sum(view.tokens(crop.image) for crop in shown)
            canvas = Canvas((image.width, image.height), (0, 0, image.width, image.height))
            return Substitute(image, _placed(shown, canvas), True, tokens)
    return None


def on_canvas(
    source: ImageSource,
    crops: Sequence[Zoomed],
    view: View,
    options: ZoomOptions,
    *,
    at_any_cost: bool = False,
) -> Substitute | None:
    """Return one picture with a thumbnail and the crops, in the order in which they are read.

    Args:
        source: the picture.
        crops: surest first; the least sure are left out where the budget needs it.
        view: of the model that is asked.
        options: `thumbnail_side` and `budget`.
        at_any_cost: make it even where the picture itself costs less: the server takes no
            second picture.

    Raises:
        ImageError: the picture can't be read.
    """
    opened = OpenedImage(source, max_pixels=options.max_pixels)
    size = opened.size
    most = None if at_any_cost else view.of(size).tokens
    if options.budget is not None:
        most = options.budget if most is None else min(most, options.budget)
    unknown = view.of(size).size is None
    best: tuple[list[Zoomed], _Layout] | None = None
    for shown in _choices(opened, crops, view, most, options):
        layout = _best_layout(size, shown, view, most, options.thumbnail_side)
        if layout is not None:
            best = shown, layout
            # Fewer crops where the model would see more of them shrunk.
            if unknown or view.of(layout.size).full:
                break
    if best is None:
        return None
    shown, layout = best
    image = _drawn(opened, shown, layout)
    canvas = Canvas(layout.size, layout.places[0])
    placed = _placed(shown, canvas, layout.places[1:])
    return Substitute(image, placed, False, view.tokens(image))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things stand on a canvas: the thumbnail first, then the crops; in px."""

    size: Size
    places: tuple[Rect, ...]


def _best_layout(
    size: Size, crops: Sequence[Zoomed], view: View, most: int | None, largest: int
) -> _Layout | None:
    """Return the canvas with the largest thumbnail that the model sees in full, if it can."""
    parts = [(crop.image.width, crop.image.height) for crop in crops]
    affordable: list[_Layout] = []
    for side in _sides(size, largest):
        layouts = [arrange([_shrunk(size, side), *parts]) for arrange in (_column, _row)]
        fitting = [
            layout for layout in layouts if most is None or view.of(layout.size).tokens <= most
        ]
        seen = [layout for layout in fitting if view.of(layout.size).full]
        if seen:
            return min(seen, key=lambda layout: _cost(layout, view))
        affordable += fitting
    if not affordable:
        return None
    # Nobody knows what the model sees, or it sees less than any canvas: the crops count most.
    unknown = view.of(size).size is None
    return affordable[0] if unknown else min(affordable, key=lambda layout: max(layout.size))


def _cost(layout: _Layout, view: View) -> tuple[int, int]:
    return view.of(layout.size).tokens, layout.size[0] * layout.size[1]


def _column(parts: Sequence[Size]) -> _Layout:
    places: list[Rect] = []
    top = 0
    for width, height in parts:
        places.append((0, top, width, top + height))
        top += height + _GAP
    return _Layout((max(width for width, _ in parts), top - _GAP), tuple(places))


def _row(parts: Sequence[Size]) -> _Layout:
    turned = _column([(height, width) for width, height in parts])
    places = tuple((top, left, bottom, right) for left, top, right, bottom in turned.places)
    return _Layout((turned.size[1], turned.size[0]), places)


def _drawn(opened: OpenedImage, crops: Sequence[Zoomed], layout: _Layout) -> Encoded:
    canvas = Image.new("RGB", layout.size, "white")
    left, top, right, bottom = map(int, layout.places[0])
    small = opened.preview(max(right - left, bottom - top)).convert("RGB")
    small = small.resize((right - left, bottom - top), Image.Resampling.LANCZOS, reducing_gap=3.0)
    canvas.paste(small, (left, top))
    for crop, place in zip(crops, layout.places[1:], strict=True):
        with Image.open(io.BytesIO(crop.image.data)) as picture:
            canvas.paste(picture.convert("RGB"), (int(place[0]), int(place[1])))
    return encode_picture(canvas, photographic=opened.photographic)


def _placed(
    crops: Sequence[Zoomed], canvas: Canvas, at: Sequence[Rect | None] = ()
) -> tuple[Zoomed, ...]:
    """Return crops that know where they and their picture went."""
    spots = at or [None] * len(crops)
    return tuple(
        replace(
            crop,
            place=None if crop.place is None else replace(crop.place, canvas=canvas, crop_at=spot),
        )
        for crop, spot in zip(crops, spots, strict=True)
    )


def _choices(
    opened: OpenedImage,
    crops: Sequence[Zoomed],
    view: View,
    most: int | None,
    options: ZoomOptions,
) -> Iterator[list[Zoomed]]:
    """Return what to show, best first: all crops, smaller ones if a budget is given, fewer."""
    for count in range(len(crops), 0, -1):
        kept = list(crops[:count])
        yield kept
        if options.budget is None or most is None:
            continue
        for share in _SHARES:
            each = max(1, int(most * share / count))
            yield [
                crop if view.tokens(crop.image) <= each else _smaller(opened, crop, view, each)
                for crop in kept
            ]


def _smaller(opened: OpenedImage, crop: Zoomed, view: View, most: int) -> Zoomed:
    size = crop.image.width, crop.image.height
    sides = list(_sides(size, max(size)))
    side = next((side for side in sides if view.of(_shrunk(size, side)).tokens <= most), sides[-1])
    image = encode_crop(
        opened.full(),
        crop.crop.box,
        min_side=0,
        max_side=side,
        photographic=opened.photographic,
    )
    place = crop.place
    if place is not None:
        place = replace(place, crop=(image.width, image.height))
    return replace(crop, image=image, place=place)


def thumbnail(opened: OpenedImage, side: int) -> Encoded:
    """Return a picture shrunk to a longest side, px; a smaller one in its own size."""
    return encode_crop(
        opened.preview(side),
        _WHOLE,
        min_side=0,
        max_side=side,
        photographic=opened.photographic,
    )


def _sides(size: Size, largest: int) -> Iterator[int]:
    """Return longest sides to try, from the largest down."""
    side = min(largest, max(size))
    yield side
    yield from range(side - 1 - (side - 1) % _STEP, _LEAST_SIDE - 1, -_STEP)


def _shrunk(size: Size, side: int) -> Size:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
