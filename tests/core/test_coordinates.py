"""Points and boxes between crop, picture as sent and picture as given."""

from __future__ import annotations

import io
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cropzoom.coordinates import Canvas, Frame, Place, Rect, Unit
from cropzoom.errors import ImageError
from cropzoom.geometry import Box, Crop
from cropzoom.highlight import OUTLINE, highlight
from cropzoom.images import OpenedImage
from cropzoom.options import ZoomOptions
from cropzoom.report import CropReport, ImageReport, ZoomReport
from cropzoom.zoom import Zoom

# What a file with each orientation holds of a picture that is seen upright.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


FRAMES: list[Frame] = ["crop", "sent", "upright", "given"]
UNITS: list[Unit] = ["px", "fraction", "thousandths"]


def random_place(dice: random.Random) -> Place:
    """A picture with a crop, sent as it is, as a thumbnail or on a canvas."""
    width, height = dice.randint(1, 9000), dice.randint(1, 9000)
    left, top = dice.randrange(width), dice.randrange(height)
    right, bottom = dice.randint(left + 1, width), dice.randint(top + 1, height)
    crop = dice.randint(1, 2000), dice.randint(1, 2000)
    small = dice.randint(1, 1500), dice.randint(1, 1500)
    canvas, crop_at = None, None
    sent = dice.choice(["as given", "thumbnail", "canvas"])
    if sent == "thumbnail":
        canvas = Canvas(small, (0, 0, *small))
    if sent == "canvas":
        size = max(small[0], crop[0]), small[1] + crop[1] + 8
        canvas = Canvas(size, (0, 0, *small))
        crop_at = (0.0, small[1] + 8.0, float(crop[0]), float(size[1]))
    cut = left, top, right, bottom
    return Place((width, height), dice.randint(1, 8), canvas, cut, crop, crop_at)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_point_comes_back_within_a_pixel_of_the_original(seed: int) -> None:
    """From the picture as given to anywhere by anywhere, and back: 10,000 cases."""
    dice = random.Random(seed)
    for _ in range(50):
        place = random_place(dice)
        width, height = place.size("given")
        start = dice.random() * width, dice.random() * height
        point, frame, unit = start, FRAMES[3], UNITS[0]
        for step in dice.sample(FRAMES, 4):
            other = dice.choice(UNITS)
            point = place.point(point, frame, step, unit, other)
            frame, unit = step, other
        back = place.point(point, frame, "given", unit, "px")
        assert math.dist(back, start) <= 1, (place, start)


@given(
    seed=st.integers(0, 2**32),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
    unit=st.sampled_from(UNITS),
)
@settings(max_examples=300, deadline=None)
def test_a_box_of_the_crop_comes_back(
    seed: int, corners: tuple[float, float, float, float], unit: Unit
) -> None:
    place = random_place(random.Random(seed))
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    width, height = place.size("crop")
    box = x0 * width, y0 * height, x1 * width, y1 * height
    there = place.box(box, "crop", "given", "px", unit)
    assert there[0] <= there[2] and there[1] <= there[3]
    back = place.box(there, "given", "crop", unit, "px")
    # In px of the original: the crop may be enlarged.
    cut = place.cut
    assert cut is not None
    scale = max(width / (cut[2] - cut[0]), height / (cut[3] - cut[1]), 1.0)
    assert max(abs(a - b) for a, b in zip(back, box, strict=True)) <= scale


def test_by_hand() -> None:
    place = Place((1000, 500), cut=(200, 100, 400, 200), crop=(400, 200))
    assert place.point((200, 100), "crop", "given") == (300, 150)
    assert place.point((500, 500), "crop", "given", "thousandths", "px") == (300, 150)
    assert place.box((0, 0, 1, 1), "crop", "given", "fraction", "thousandths") == (
        200,
        200,
        400,
        400,
    )
    # The model shrank the crop to 100x50 before it looked.
    assert place.point((50, 25), "crop", "given", seen=(100, 50)) == (300, 150)


def test_by_hand_turned() -> None:
    """A phone's photograph: stored 500 wide and 1000 high, to be turned clockwise to be seen."""
    place = Place((1000, 500), orientation=6)
    assert place.size("given") == (500, 1000)
    # What is seen at the top right is stored at the top left.
    assert place.point((1000, 0), "upright", "given") == (0, 0)
    assert place.point((0, 0), "upright", "given") == (0, 1000)


def test_by_hand_on_a_canvas() -> None:
    """A page's thumbnail above its crop."""
    place = Place(
        (1000, 2000),
        canvas=Canvas((300, 700), (0, 0, 250, 500)),
        cut=(100, 100, 400, 200),
        crop=(600, 200),
        crop_at=(0, 510, 300, 610),
    )
    assert place.point((125, 250), "sent", "given") == (500, 1000)
    assert place.point((150, 560), "sent", "given") == (250, 150)
    assert place.box((0, 510, 300, 610), "sent", "given") == (100, 100, 400, 200)
    # A box drawn a little over the crop's edge is still the crop's.
    x0, y0, x1, y1 = place.box((0, 508, 300, 610), "sent", "given")
    assert (x0, x1, y1) == (100, 400, 200) and y0 == pytest.approx(98)


@pytest.mark.parametrize("wrong", [("nowhere", "px"), ("given", "inches")])
def test_what_there_is_not_is_named(wrong: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"no (frame|unit) '(nowhere|inches)'"):
        Place((10, 10)).point((1, 1), wrong[0], "upright", wrong[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no crop"):
        Place((10, 10)).point((1, 1), "crop", "upright")


class Fixed:
    """A cropper that points at one place."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return [Crop(self.box, 0.9)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_dot_is_found_where_the_file_holds_it(kind: str, orientation: int) -> None:
    """The crop's own pixels against the file's own pixels."""
    picture = Image.new("RGB", (240, 180), "white")
    picture.paste((0, 0, 0), (150, 40, 154, 44))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture.transpose(STORED[orientation]) if orientation in STORED else picture
    buffer = io.BytesIO()
    stored.save(buffer, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    zoom = Zoom(Fixed(Box(0.5, 0.1, 0.75, 0.4)), ZoomOptions(min_crop_side=300))
    (zoomed,), report = zoom.crops(buffer.getvalue(), "Where is the dot?")
    assert report.size == (240, 180)
    dark = np.asarray(Image.open(io.BytesIO(zoomed.image.data)).convert("L")) < 100
    ys, xs = np.nonzero(dark)
    found = report.crops[0].map_point(float(xs.mean()) + 0.5, float(ys.mean()) + 0.5)
    ys, xs = np.nonzero(np.asarray(stored.convert("L")) < 100)
    assert math.dist(found, (xs.mean() + 0.5, ys.mean() + 0.5)) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(orientation: int) -> None:
    """Pillow turns a TIFF while decoding it; it was turned again after that."""
    picture = Image.effect_noise((40, 30), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture.transpose(STORED[orientation]) if orientation in STORED else picture
    buffer = io.BytesIO()
    stored.save(buffer, "TIFF", exif=exif)
    opened = OpenedImage(buffer.getvalue())
    assert opened.full().tobytes() == picture.tobytes()
    assert opened.orientation == orientation
    # Given as a picture that nobody has decoded yet, too.
    assert OpenedImage(Image.open(buffer)).full().tobytes() == picture.tobytes()


def _report(*boxes: Box) -> ZoomReport:
    crops = tuple(CropReport(box, 0.9, 10, 10, 100) for box in boxes)
    return ZoomReport((ImageReport(0, (200, 100), crops, None, 1.0, False),), "?", None, 1.0)


def test_highlight_keeps_the_region_and_dims_the_rest() -> None:
    picture = Image.new("RGB", (200, 100), (10, 20, 30))
    shown = _report(Box(0.25, 0.2, 0.75, 0.8)).highlight(picture)
    assert shown.size == picture.size
    assert shown.getpixel((100, 50)) == (10, 20, 30)
    assert shown.getpixel((50, 20)) == (10, 20, 30), "the outline is around the region"
    assert shown.getpixel((49, 50)) == OUTLINE
    corner = shown.getpixel((2, 2))
    assert isinstance(corner, tuple) and corner[0] > 100
    assert picture.getpixel((100, 50)) == (10, 20, 30)


def test_highlight_without_a_crop_is_the_picture() -> None:
    picture = Image.new("RGB", (20, 10), (10, 20, 30))
    assert _report().highlight(picture).tobytes() == picture.tobytes()
    assert _report(Box(0, 0, 1, 1)).highlight(picture, index=3).tobytes() == picture.tobytes()
    assert _report().images[0].highlight(picture).size == (20, 10)


def test_highlight_of_what_is_no_picture() -> None:
    with pytest.raises(ImageError):
        highlight(b"nothing", [])


@given(
    box=st.tuples(*[st.floats(-1, 2)] * 4),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
@settings(max_examples=60, deadline=None)
def test_highlight_of_any_box(box: Rect, size: tuple[int, int]) -> None:
    region = Box.ordered(*box)
    assert highlight(Image.new("RGB", size), [region, region]).size == size


def test_a_report_without_a_place_says_so() -> None:
    with pytest.raises(ValueError, match="not known"):
        _report(Box(0, 0, 0.5, 0.5)).crops[0].map_point(1, 1)
