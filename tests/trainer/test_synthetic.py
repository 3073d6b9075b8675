"""Rendered pages: reproducible, and their boxes are where the ink is."""

import random

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from cropzoom.trainer.nano.pages import PageOptions, render_page
from cropzoom.trainer.nano.pages.canvas import Canvas
from cropzoom.trainer.nano.pages.damage import damage
from cropzoom.trainer.nano.pages.fonts import find_fonts, load_font
from cropzoom.trainer.nano.pages.lexicon import Lexicon, is_heldout
from cropzoom.trainer.nano.pages.questions import FORMS


def clean(**changes: object) -> PageOptions:
    return PageOptions(width=384, height=512, clean=True, **changes)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_page() -> None:
    first, second = (render_page(random.Random(3), clean()) for _ in range(2))
    other = render_page(random.Random(4), clean())
    assert first.image.tobytes() == second.image.tobytes()
    assert first.questions == second.questions
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_every_question_has_ink_in_its_boxes(seed: int) -> None:
    page = render_page(random.Random(seed), clean(absent=0.0, questions=20))
    pixels = np.asarray(page.image).astype(int)
    assert page.image.size == (384, 512)
    for question in page.questions:
        assert question.region and question.key_box and question.value_box
        for box in (question.key_box, question.value_box):
            x0, y0, x1, y1 = box
            assert question.region[0] <= x0 and x1 <= question.region[2]
            assert question.region[1] <= y0 and y1 <= question.region[3]
            patch = pixels[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1]
            assert patch.size and np.ptp(patch) > 20, question


def test_a_word_fills_its_box_and_no_more() -> None:
    canvas = Canvas(Image.new("L", (300, 60), 255))
    canvas.text(20, 40, "Hxg mmm Hxg", load_font(None, 24), 0)
    ink = np.asarray(canvas.image) < 128
    assert [w.text for w in canvas.words] == ["Hxg", "mmm", "Hxg"]
    covered = np.zeros_like(ink)
    for word in canvas.words:
        x0, y0, x1, y1 = word.box
        covered[round(y0) - 1 : round(y1) + 1, round(x0) - 1 : round(x1) + 1] = True
        columns = np.flatnonzero(ink[:, round(x0) : round(x1)].any(0))
        assert columns[0] <= 3 and columns[-1] >= round(x1 - x0) - 5
    assert not (ink & ~covered).any()


def test_rotation_moves_boxes_with_the_ink() -> None:
    class Turned(random.Random):
        """Rotates by 4 degrees and does nothing else."""

        calls = 0

        def random(self) -> float:
            self.calls += 1
            return 0.0 if self.calls == 1 else 0.99

        def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
            return 4.0

    canvas = Canvas(Image.new("L", (400, 400), 255))
    canvas.text(280, 60, "MMMM", load_font(None, 20), 0)
    turned = damage(Turned(), canvas, 255)
    rows, columns = np.nonzero(np.asarray(turned.image) < 128)
    x0, y0, x1, y1 = turned.words[0].box
    assert abs(columns.min() - x0) <= 4 and abs(columns.max() - x1) <= 4
    assert y0 - 2 <= rows.min() and rows.max() <= y1 + 2
    assert rows.min() - y0 < 10 and y1 - rows.max() < 10


def test_no_word_or_font_is_in_both_splits() -> None:
    seen, heldout = (Lexicon(random.Random(1), split) for split in ("train", "heldout"))
    assert not any(is_heldout(seen.word()) for _ in range(500))
    assert all(is_heldout(heldout.word()) for _ in range(500))
    assert not set(find_fonts("train")) & set(find_fonts("heldout"))


def test_some_questions_without_an_answer_are_about_photographs() -> None:
    def absent(natural: float, layout: str) -> list[str]:
        options = clean(absent=1.0, natural=natural, layout=layout)
        pages = [render_page(random.Random(seed), options) for seed in range(4)]
        return [question.text for page in pages for question in page.questions]

    for layout in ("page", "picture"):
        assert set(absent(1.0, layout)) <= set(FORMS["natural"])
        assert not set(absent(0.0, layout)) & set(FORMS["natural"])
    assert len(set(absent(1.0, "picture"))) > 3


def test_absent_questions_name_nothing_on_the_page() -> None:
    rendered = 0
    for seed in range(8):
        page = render_page(random.Random(seed), clean(absent=1.0))
        text = " ".join(word.text for word in page.words).lower()
        rendered += len(page.questions)
        for question in page.questions:
            assert question.absent and question.answer == ""
        assert all(field.key.lower().split()[0] in text for field in page.fields)
    assert rendered > 10
