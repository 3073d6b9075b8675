"""failures.py: what counts as a miss, which are shown, and the sheet of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib")
import failures as figure

from cropzoom.geometry import Box, Crop
from cropzoom.trainer.nano.real_split import RealPicture, Row

VALUE = (0.4, 0.4, 0.6, 0.5)
BOXES = {
    "whole": [Crop(Box(0.4, 0.4, 0.6, 0.5), 0.9)],
    "cut": [Crop(Box(0.4, 0.4, 0.58, 0.5), 0.9)],
    "elsewhere": [Crop(Box(0.0, 0.0, 0.2, 0.2), 0.4)],
    "none": [],
}


class Scripted:
    """A cropper that answers a question with the box of its name."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return BOXES[question]


def picture(path: Path, source: str, *asked: tuple[str, str]) -> RealPicture:
    Image.new("RGB", (80, 60), "white").save(path)
    rows = tuple(Row(question, "x", VALUE, VALUE, "", kind) for question, kind in asked)
    return RealPicture(path, source, "shop", (), rows)


def test_a_miss_has_a_crop_that_does_not_hold_the_answer(tmp_path: Path) -> None:
    asked = [(name, "total") for name in BOXES]
    page = picture(tmp_path / "a.png", "sroie", *asked)
    found = list(figure.misses([page], Scripted()))  # type: ignore[arg-type]
    assert [miss.row.question for miss in found] == ["cut", "elsewhere"]
    assert found[1].confidence == 0.4 and found[1].crop == Box(0.0, 0.0, 0.2, 0.2)


def test_each_kind_is_shown_before_any_twice(tmp_path: Path) -> None:
    pages = [
        picture(tmp_path / "a.png", "sroie", *[("cut", "total")] * 9, ("cut", "date")),
        picture(tmp_path / "b.png", "ui", ("cut", "find")),
    ]
    found = list(figure.misses(pages, Scripted()))  # type: ignore[arg-type]
    chosen = figure.choose(found, 3, seed=1)
    assert {miss.kind for miss in chosen} == {"sroie, total", "sroie, date", "ui, find"}
    figure.draw(figure.choose(found, 5, seed=1), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 500
