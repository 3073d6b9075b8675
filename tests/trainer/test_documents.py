import random

import numpy as np
import pytest
from PIL import Image

from cropzoom.trainer.nano.pages import Page, PageOptions, phrases
from cropzoom.trainer.nano.pages.documents import render_document
from cropzoom.trainer.nano.pages.wear import worn

OPTIONS = PageOptions(416, 576, min_text=9.0, max_text=18.0, questions=12, absent=0.2)


def pages(count: int, options: PageOptions = OPTIONS) -> list[Page]:
    return [render_document(random.Random(f"test/{i}"), options) for i in range(count)]


def test_the_same_chance_draws_the_same() -> None:
    first, second = (render_document(random.Random(3), OPTIONS) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.questions == second.questions


def test_boxes_lie_on_the_page() -> None:
    for page in pages(20):
        assert page.image.size == (416, 576)
        for field in page.fields:
            for x0, y0, x1, y1 in (field.key_box, field.value_box):
                assert -1 <= x0 <= x1 <= 417
                assert -1 <= y0 <= y1 <= 577


def test_things_are_asked_for_by_kind_and_some_are_absent() -> None:
    drawn = pages(40)
    concepts = {field.value_kind for page in drawn for field in page.fields} - {""}
    assert {"company", "address", "date", "total", "phone"} <= concepts <= set(phrases.concepts())
    asked = [question for page in drawn for question in page.questions]
    share = sum(question.absent for question in asked) / len(asked)
    assert 0.03 < share < 0.25
    assert not [question for question in asked if "{" in question.text.replace('{"', "")]


def test_a_value_is_where_its_box_is() -> None:
    """On a clean page the ink in a box is dark, and beside it is the paper."""
    options = PageOptions(640, 800, min_text=14.0, max_text=14.0, clean=True, questions=1)
    inked = []
    for page in pages(12, options):
        grey = np.asarray(page.image, np.float32)
        for field in page.fields:
            x0, y0, x1, y1 = (round(v) for v in field.value_box)
            if x1 - x0 > 8:
                inked.append(float(np.ptp(grey[y0 : y1 + 1, x0 : x1 + 1])))
    assert len(inked) > 60
    assert min(inked) > 60


def test_total_is_the_sum_that_is_printed_once() -> None:
    for page in pages(30):
        totals = [field for field in page.fields if field.value_kind == "total"]
        assert len(totals) <= 1


@pytest.mark.parametrize("seed", range(8))
def test_wear_leaves_print_darker_than_paper(seed: int) -> None:
    image = Image.new("L", (200, 100), 240)
    image.paste(20, (50, 40, 150, 60))
    seen = np.asarray(worn(random.Random(seed), image, 16.0, 240), np.float32)
    assert seen.shape == (100, 200)
    assert seen[42:58, 60:140].mean() < seen[5:30].mean() - 20
