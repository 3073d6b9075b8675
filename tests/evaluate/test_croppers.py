from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hand_made_cropper import write_cropper
from PIL import Image, ImageDraw, ImageFont

from cropzoom.data.row import Row
from cropzoom.errors import CropperError
from cropzoom.evaluate.croppers import Blind, OcrCropper, Oracle, asked_row, make_croppers
from cropzoom.geometry import Box, Crop
from cropzoom.reading.ocr import OcrReader

PAGE = Image.new("RGB", (400, 200), "white")


class Looking:
    """Proposes a box whose width is the length of the question, in percent."""

    longest_edge = 512
    grey = True

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        width = len(question) / 100
        return [Crop(Box(0, 0, width, 0.1), 0.7)] if question else []


@contextmanager
def asking(row: Row) -> Iterator[None]:
    token = asked_row.set(row)
    yield
    asked_row.reset(token)


def row(name: str = "1", box: Box | None = None) -> Row:
    return Row(id=name, image=lambda: b"", question="q", box=box)


def test_the_oracle_has_the_rows_box_and_context() -> None:
    with asking(row(box=Box(0.5, 0.5, 0.6, 0.6))):
        (crop,) = Oracle().predict(PAGE, "whatever")
    # a quarter more, and 16 px on each side
    assert crop.box.width == pytest.approx(0.1 * 1.25 + 2 * 16 / 400)
    assert crop.box.height == pytest.approx(0.1 * 1.25 + 2 * 16 / 200)
    assert crop.box.centre == pytest.approx((0.55, 0.55))
    with asking(row(box=None)):
        assert Oracle().predict(PAGE, "whatever") == []


def test_blind_boxes_have_the_size_and_confidence_of_another_cropper() -> None:
    centre, anywhere = Blind(Looking()), Blind(Looking(), seed=0)
    for number in range(30):
        with asking(row(str(number))):
            (middle,) = centre.predict(PAGE, "x" * 30)
            (placed,) = anywhere.predict(PAGE, "x" * 30)
            assert anywhere.predict(PAGE, "x" * 30) == [placed]  # the same again
            assert anywhere.predict(PAGE, "") == []  # nothing where the other finds nothing
        assert middle.box.centre == pytest.approx((0.5, 0.5))
        for crop in (middle, placed):
            assert (crop.box.width, crop.box.height) == pytest.approx((0.3, 0.1))
            assert crop.confidence == 0.7
    # pictures come to it as to the other
    assert (centre.longest_edge, centre.grey) == (512, True)


def test_random_boxes_are_everywhere() -> None:
    anywhere, other = Blind(0.04, seed=0), Blind(0.04, seed=1)
    centres = []
    for number in range(300):
        with asking(row(str(number))):
            (crop,) = anywhere.predict(PAGE, "q")
            assert other.predict(PAGE, "q") != [crop]
        assert crop.box.area == pytest.approx(0.04)
        centres.append(crop.box.centre)
    for axis in zip(*centres, strict=True):
        # uniform between 0.1 and 0.9
        assert sum(axis) / 300 == pytest.approx(0.5, abs=0.05)
        assert min(axis) < 0.13 and max(axis) > 0.87


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cropper(tmp_path_factory.mktemp("cropper") / "darkest"))


def test_names_make_croppers(folder: str) -> None:
    names = ["none", "centre", "random:0.1", "oracle", folder, "nano"]
    found = make_croppers(names, seed=3)
    assert [one.name for one in found] == names
    assert found[0].cropper is None
    with asking(row()):
        black = PAGE.copy()
        black.paste((0, 0, 0), (300, 20, 320, 40))
        assert found[4].cropper is not None and found[1].cropper is not None
        (looked,) = found[4].cropper.predict(black, "q")
        (centre,) = found[1].cropper.predict(black, "q")
    # of the first that looks at the picture
    assert centre.box.area == pytest.approx(looked.box.area)
    assert len({one.identity for one in found}) == len(names)
    again = make_croppers(names, seed=3)
    assert [one.identity for one in again] == [one.identity for one in found]
    assert make_croppers(["random:0.1"], seed=4)[0].identity != found[2].identity


def test_the_size_is_taken_from_what_finds_it_fast(folder: str) -> None:
    pytest.importorskip("rapidocr")
    centre, _, looking = make_croppers(["centre", "ocr", folder])
    assert looking.identity in centre.identity
    centre, named, _, ocr = make_croppers(["centre", "centre:ocr", "none", "ocr"])
    assert ocr.identity in centre.identity and ocr.identity in named.identity


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["none", "centre"], r"centre needs a size.*centre:0\.03"),
        (["random:1.5"], "at most 1"),
        (["random:oracle", "random:none"], "proposes nothing"),
        (["none", "none"], "given twice"),
        (["no such cropper"], "--cropper no such cropper: .*none, thumbnail"),
        (["centre:no such cropper"], "no such cropper"),
    ],
)
def test_names_that_mean_nothing(names: list[str], said: str) -> None:
    with pytest.raises(CropperError, match=said):
        make_croppers(names)


def test_the_ocr_rival_finds_key_and_value() -> None:
    pytest.importorskip("rapidocr")
    page = Image.new("RGB", (900, 400), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(24)
    for y, key, value in ((40, "Invoice number", "4711"), (300, "Amount due", "86.20")):
        draw.text((40, y), key, "black", font)
        draw.text((600, y), value, "black", font)
    cropper = OcrCropper(OcrReader(threads=1))
    (crop,) = cropper.predict(page, "What is the amount due?")
    left, top, right, bottom = crop.box.to_pixels(900, 400)
    assert left < 40 and right > 600 + 50  # key and value
    assert top < 300 and bottom > 324
    assert top > 40 + 24  # not the other line
    assert 0.5 < crop.confidence <= 1
    assert cropper.predict(page, "Where is the giraffe?") == []
