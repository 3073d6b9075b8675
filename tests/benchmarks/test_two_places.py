"""two_places.py: what is asked, what each way shows, and who could answer from it."""

from __future__ import annotations

import random

import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("rapidocr")

import two_places as study

from cropzoom.geometry import Box, Crop
from cropzoom.reading.ocr import OcrReader
from cropzoom.reading.standin import StandIn
from cropzoom.trainer.nano.pages.canvas import Field

SIZE = (1200, 1600)
FIELDS = [
    Field("Rent", "1430", (100, 100, 150, 120), (200, 100, 250, 120), "pair", "int"),
    Field("Deposit", "2860", (700, 1400, 770, 1420), (900, 1400, 950, 1420), "pair", "int"),
]


def pair(kind: str = "both") -> study.Pair:
    return study.ask_pair(random.Random(0), "7", kind, FIELDS, SIZE)


class Scripted:
    """A cropper that knows its boxes by question."""

    def __init__(self, crops: dict[str, list[Crop]]) -> None:
        self.crops = crops

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return self.crops[question][:k]


def test_a_pair_asks_for_both_and_knows_their_places() -> None:
    asked = pair()
    assert "Rent" in asked.question and "Deposit" in asked.question
    assert asked.halves == ("What is the Rent?", "What is the Deposit?")
    assert asked.boxes[0] == Box(100 / 1200, 100 / 1600, 250 / 1200, 120 / 1600)
    assert asked.values[1] == Box(900 / 1200, 1400 / 1600, 950 / 1200, 1420 / 1600)


def test_only_amounts_of_one_kind_are_compared() -> None:
    other = Field("Author", "Ann", (0, 0, 1, 1), (0, 0, 1, 1), "pair", "name")
    rng = random.Random(0)
    kinds = set()
    for _ in range(40):
        kind, two = study.choose(rng, [*FIELDS, other])
        kinds.add(kind)
        assert two[0] is not two[1] and (kind == "both" or other not in two)
    assert kinds == {"both", "larger"}
    assert all(study.choose(rng, [FIELDS[0], other])[0] == "both" for _ in range(20))


def test_ways_are_what_an_application_gets() -> None:
    asked = pair()
    first, second = Box(0.05, 0.05, 0.25, 0.1), Box(0.5, 0.85, 0.8, 0.9)
    cropper = Scripted(
        {
            asked.question: [Crop(first, 0.9), Crop(second, 0.1)],
            asked.halves[0]: [Crop(first, 0.9)],
            asked.halves[1]: [Crop(second, 0.8)],
        }
    )
    boxes = study.boxes_of(Image.new("L", SIZE, 255), asked, cropper)
    # The second is below min_confidence.
    assert {way: len(found) for way, found in boxes.items()} == {
        "none": 0,
        "one": 1,
        "two": 1,
        "any two": 2,
        "apart": 2,
        "right two": 2,
        "right union": 1,
    }
    assert boxes["apart"] == boxes["any two"] == [first, second]
    for box in (*asked.boxes, *boxes["right two"]):
        (union,) = boxes["right union"]
        assert union.intersection(box) == box


def test_both_values_have_to_be_read() -> None:
    """At 224 px, text of 22 px on 1600 is too small; in the crops it is not."""
    page = Image.new("L", SIZE, 255)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(22)
    for field in FIELDS:
        draw.text(field.key_box[:2], field.key, fill=0, font=font)
        draw.text(field.value_box[:2], field.value, fill=0, font=font)
    asked = pair()
    near, far = (box.expand(2) for box in asked.boxes)
    reader = StandIn(side=224, reader=OcrReader(threads=1))
    none, one, both, wide = (
        study.show(page, asked, boxes, reader)
        for boxes in ([], [near], [near, far], [Box(0, 0, 1, 1)])
    )
    assert not none.right and none.crops == 0 and none.whole == (False, False) and none.area == 0
    assert not one.right and one.whole == (True, False)
    assert both.right and both.whole == (True, True) and both.crops == 2
    assert both.area == pytest.approx(near.area + far.area)
    # The whole page shows both, and neither legibly.
    assert wide.whole == (True, True) and not wide.right


def test_shares_by_hand() -> None:
    def shown(whole: tuple[bool, bool], right: bool) -> study.Shown:
        return study.Shown(whole, 2, 0.1, right)

    one = dict.fromkeys(study.WAYS, shown((True, True), True))
    other = dict.fromkeys(study.WAYS, shown((True, False), False))
    result = study.summarise([(pair(), one), (pair("larger"), other)], resamples=20)
    way = result["ways"]["two"]
    assert way["both"]["mean"] == 0.5 and way["either"]["mean"] == 1 and way["right"]["mean"] == 0.5
    assert way["parts"]["asked for both"]["mean"] == 1
    assert way["parts"]["asked which is larger"]["mean"] == 0
    assert result["parts"]["places further apart"] == 2
    assert (
        "| best two boxes | 50.0 % [50, 50] | 100.0 % [100, 100] |" in study.tables(result)["ways"]
    )
