"""Box: what must hold for any coordinates."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cropzoom import Box, Crop

unit = st.floats(0, 1)
any_float = st.floats(allow_nan=False, allow_infinity=False)
side = st.integers(1, 60_000)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, x1 = sorted((draw(unit), draw(unit)))
    y0, y1 = sorted((draw(unit), draw(unit)))
    assume(x0 < x1 and y0 < y1)
    return Box(x0, y0, x1, y1)


@st.composite
def pixel_boxes(draw: st.DrawFn) -> tuple[int, int, int, int, int, int]:
    width, height = draw(side), draw(side)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (
        x0,
        y0,
        draw(st.integers(x0 + 1, width)),
        draw(st.integers(y0 + 1, height)),
        width,
        height,
    )


@pytest.mark.parametrize(
    "coordinates",
    [
        (0.5, 0, 0.5, 1),
        (0.6, 0, 0.5, 1),
        (-0.1, 0, 1, 1),
        (0, 0, 1, 1.01),
        (math.nan, 0, 1, 1),
        (0, 0, 1, math.nan),
        (0, 0, math.inf, 1),
    ],
)
def test_impossible_boxes_are_refused_with_their_values(coordinates: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not a box") as caught:
        Box(*coordinates)
    assert str(float(coordinates[2])) in str(caught.value)


def test_frozen_and_plain_floats() -> None:
    import numpy as np

    box = Box(np.float32(0.25), 0, 1, np.float64(1))  # type: ignore[arg-type]
    assert all(type(value) is float for value in (box.x0, box.y0, box.x1, box.y1))
    with pytest.raises(FrozenInstanceError):
        box.x0 = 0.1  # type: ignore[misc]


@given(any_float, any_float, any_float, any_float, st.floats(1e-6, 1))
def test_ordered_repairs_anything_finite(
    x0: float, y0: float, x1: float, y1: float, least: float
) -> None:
    box = Box.ordered(x0, y0, x1, y1, min_side=least)
    assert min(box.width, box.height) >= least * (1 - 1e-9)
    assert box == Box.ordered(x1, y1, x0, y0, min_side=least)


@given(boxes())
def test_ordered_keeps_a_good_box(box: Box) -> None:
    assert Box.ordered(box.x0, box.y0, box.x1, box.y1, min_side=5e-324) == box


def test_ordered_refuses_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Box.ordered(math.nan, 0, 1, 1)
    with pytest.raises(ValueError, match="min_side"):
        Box.ordered(0, 0, 1, 1, min_side=0)


@given(pixel_boxes())
def test_pixels_survive_the_round_trip(values: tuple[int, int, int, int, int, int]) -> None:
    *edges, width, height = values
    assert Box.from_pixels(*edges, width, height).to_pixels(width, height) == tuple(edges)


@given(boxes(), side, side)
def test_pixels_cover_the_box_and_stay_inside(box: Box, width: int, height: int) -> None:
    left, top, right, bottom = box.to_pixels(width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert left <= box.x0 * width + 1e-5 and box.x1 * width - 1e-5 <= right
    assert right - left <= box.width * width + 2


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_an_empty_image_has_no_boxes(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no boxes"):
        Box(0, 0, 1, 1).to_pixels(*size)
    with pytest.raises(ValueError, match="no boxes"):
        Box.from_pixels(0, 0, 1, 1, *size)


@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_text_survives_the_round_trip(numbers: list[int]) -> None:
    x0, y0, x1, y1 = numbers
    text = f"[{x0}, {y0}, {x1}, {y1}]."
    if x0 < x1 and y0 < y1:
        assert Box.from_text(text).to_text() == text
    else:
        with pytest.raises(ValueError, match="not a box"):
            Box.from_text(text)
    repaired = Box.from_text(text, repair=True)
    assert repaired == Box.ordered(*(number / 100 for number in numbers))


@given(boxes())
def test_text_covers_the_box(box: Box) -> None:
    text = Box.from_text(box.to_text())
    assert text.x0 <= box.x0 + 1e-7 and box.x1 <= text.x1 + 1e-7
    assert text.y0 <= box.y0 + 1e-7 and box.y1 <= text.y1 + 1e-7


@given(st.text())
def test_from_text_never_raises_anything_else(text: str) -> None:
    with pytest.raises(ValueError, match="not a box"):
        Box.from_text(text)


@pytest.mark.parametrize("text", ["[12, 3, 60, 40]", " [12,3,60,40].\n"])
def test_from_text_accepts_loose_spacing(text: str) -> None:
    assert Box.from_text(text) == Box(0.12, 0.03, 0.6, 0.4)


@pytest.mark.parametrize(
    "text", ["[12, 3, 60, 40, 50].", "[-1, 3, 60, 40].", "[1.5, 3, 60, 40].", "[0, 0, 101, 40]."]
)
def test_from_text_refuses_other_forms(text: str) -> None:
    with pytest.raises(ValueError, match="not a box"):
        Box.from_text(text)


def test_iou_and_intersection_by_hand() -> None:
    left, right = Box(0, 0, 0.5, 1), Box(0.25, 0, 0.75, 1)
    assert left.intersection(right) == Box(0.25, 0, 0.5, 1)
    assert left.iou(right) == pytest.approx(0.25 / 0.75)
    assert left.iou(Box(0.5, 0, 1, 1)) == 0
    assert left.intersection(Box(0.5, 0, 1, 1)) is None
    assert left.centre == (0.25, 0.5)
    assert left.area == 0.5


@given(boxes(), boxes())
def test_iou_is_symmetric_and_in_range(a: Box, b: Box) -> None:
    assert 0 <= a.iou(b) <= 1
    assert a.iou(b) == b.iou(a)
    assert a.iou(a) == pytest.approx(1)


@given(boxes(), st.floats(1, 10), st.floats(0, 2), st.floats(0, 2))
def test_expand_contains_the_box_and_keeps_the_area(
    box: Box, scale: float, pad_x: float, pad_y: float
) -> None:
    grown = box.expand(scale, pad_x, pad_y)
    assert grown.x0 <= box.x0 and grown.y0 <= box.y0
    assert grown.x1 >= box.x1 and grown.y1 >= box.y1
    assert grown.width == pytest.approx(min(1, box.width * scale + 2 * pad_x), abs=1e-12)
    assert grown.height == pytest.approx(min(1, box.height * scale + 2 * pad_y), abs=1e-12)


def test_expand_shifts_at_the_border_and_centres_elsewhere() -> None:
    assert Box(0, 0, 0.25, 0.25).expand(2) == Box(0, 0, 0.5, 0.5)
    assert Box(0.25, 0.25, 0.75, 0.75).expand(pad_x=0.125) == Box(0.125, 0.25, 0.875, 0.75)


@pytest.mark.parametrize("arguments", [(0.5,), (math.nan,), (1, -0.1), (1, 0, math.inf)])
def test_expand_refuses_shrinking_and_nonsense(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="can't expand"):
        Box(0, 0, 0.5, 0.5).expand(*arguments)


def test_contains_point_counts_edges() -> None:
    box = Box(0.25, 0.25, 0.5, 0.5)
    assert box.contains_point(0.25, 0.5)
    assert not box.contains_point(0.24, 0.5)


@pytest.mark.parametrize("confidence", [-0.01, 1.01, math.nan])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Crop(Box(0, 0, 1, 1), confidence)
