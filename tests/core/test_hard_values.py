"""Answers that stand away from their label: the bundled cropper's box must hold them whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image, ImageDraw, ImageFont

from cropzoom import Cropper, load_cropper

WIDTH, HEIGHT, SIZE, MARGIN = 800, 1100, 24, 40
Rect = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def nano() -> Iterator[Cropper]:
    with load_cropper("nano") as cropper:
        yield cropper


class Paper:
    """A white page that lines are written on from the top, left and right."""

    def __init__(self, title: str) -> None:
        self.image = Image.new("RGB", (WIDTH, HEIGHT), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(SIZE)
        self.y = 60
        self.write(title, MARGIN)
        self.y += 80

    def write(self, text: str, x: float) -> Rect:
        self.draw.text((x, self.y), text, fill="black", font=self.font)
        return self.draw.textbbox((x, self.y), text, font=self.font)

    def row(self, left: str, right: str, step: int = 44) -> Rect:
        self.write(left, MARGIN)
        box = self.write(right, WIDTH - MARGIN - self.font.getlength(right))
        self.y += step
        return box

    def below(self, label: str, value: str) -> Rect:
        self.write(label, MARGIN)
        self.y += 34
        box = self.write(value, MARGIN)
        self.y += 70
        return box


def holds(cropper: Cropper, image: Image.Image, question: str, value: Rect) -> bool:
    (crop,) = cropper.predict(image, question)
    box, slack = crop.box, 2
    assert box.area < 0.3
    return (
        box.x0 * WIDTH <= value[0] + slack
        and box.y0 * HEIGHT <= value[1] + slack
        and box.x1 * WIDTH >= value[2] - slack
        and box.y1 * HEIGHT >= value[3] - slack
    )


def receipt() -> tuple[Image.Image, dict[str, Rect]]:
    paper, boxes = Paper("HARBOUR STATIONERY LTD"), {}
    for left, right in (
        ("A4 PAPER 500 SHEETS", "12.90"),
        ("BLUE INK CARTRIDGE", "31.50"),
        ("STAPLES 26/6", "2.10"),
        ("Total Sales (Excluding GST)", "43.87"),
        ("GST 6%", "2.63"),
        ("Total Sales (Inclusive GST)", "46.50"),
        ("Rounding Adjustment", "0.00"),
        ("CASH", "50.00"),
        ("CHANGE", "3.50"),
    ):
        boxes[left] = paper.row(left, right)
    return paper.image, boxes


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("What are the total sales inclusive GST?", "Total Sales (Inclusive GST)"),
        ("What are the total sales excluding GST?", "Total Sales (Excluding GST)"),
        ("What is the rounding adjustment?", "Rounding Adjustment"),
        ("What is the change?", "CHANGE"),
    ],
)
def test_long_labels_with_far_values(nano: Cropper, question: str, label: str) -> None:
    image, boxes = receipt()
    assert holds(nano, image, question, boxes[label])


@pytest.mark.parametrize("label", ["A4 PAPER 500 SHEETS", "BLUE INK CARTRIDGE", "STAPLES 26/6"])
def test_prices_in_a_far_right_column(nano: Cropper, label: str) -> None:
    image, boxes = receipt()
    assert holds(nano, image, f"How much was paid for {label.lower()}?", boxes[label])


@pytest.mark.parametrize("label", ["Policy holder", "Insured since", "Vehicle"])
def test_values_on_the_line_below(nano: Cropper, label: str) -> None:
    paper, boxes = Paper("Certificate of insurance"), {}
    for name, value in (
        ("Policy holder", "Marlene Oduya"),
        ("Insured since", "3 May 2019"),
        ("Vehicle", "Hatchback, five doors"),
        ("Branch office", "Canal Street 8, Elmbridge"),
        ("Premium", "412.00 a year"),
    ):
        boxes[name] = paper.below(name, value)
    assert holds(nano, paper.image, f"What is the {label.lower()}?", boxes[label])
