import random

import numpy as np
import pytest
from PIL import Image

from cropzoom.trainer.nano.pages import Page, PageOptions, phrases
from cropzoom.trainer.nano.pages.applications import application
from cropzoom.trainer.nano.pages.canvas import Canvas
from cropzoom.trainer.nano.pages.documents import render_document
from cropzoom.trainer.nano.pages.layouts import Pen
from cropzoom.trainer.nano.pages.ledgers import ledger
from cropzoom.trainer.nano.pages.letters import letter
from cropzoom.trainer.nano.pages.lexicon import Lexicon
from cropzoom.trainer.nano.pages.official import memo, tax_form
from cropzoom.trainer.nano.pages.papers import Paper, Sheet
from cropzoom.trainer.nano.pages.values import Values
from cropzoom.trainer.nano.pages.wear import _faxed, worn

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


@pytest.mark.parametrize("paper", [ledger, tax_form, memo, application, letter])
def test_papers_of_tables_and_boxes_have_fields_whose_values_are_there(paper: Paper) -> None:
    fields = 0
    for seed in range(6):
        sheet = blank_sheet(seed)
        bottom = paper(sheet)
        canvas = sheet.pen.canvas
        assert 0 < bottom <= canvas.image.height
        for field in canvas.fields:
            fields += 1
            x0, y0, x1, y1 = field.value_box
            held = [
                word.text
                for word in canvas.words
                if x0 - 1 <= (word.box[0] + word.box[2]) / 2 <= x1 + 1
                and y0 - 1 <= (word.box[1] + word.box[3]) / 2 <= y1 + 1
            ]
            letters = ("".join(held), field.value)
            written, wanted = ("".join(filter(str.isalnum, text)) for text in letters)
            assert written == wanted, field
    assert fields > 30


def test_a_party_is_asked_for_by_what_people_call_it() -> None:
    questions = {q for seed in range(8) for f in drawn(ledger, seed).fields for q in f.questions}
    assert any(q.startswith("Who is the ") for q in questions)
    assert any("address of the " in q for q in questions)


def test_a_fax_is_black_and_white() -> None:
    grey = np.tile(np.linspace(40, 220, 64, dtype=np.float32), (32, 1))
    seen = _faxed(random.Random(1), grey)
    assert set(np.unique(seen)) == {0.0, 255.0}
    assert seen[:, :16].mean() < 60 and seen[:, -16:].mean() > 200


def drawn(paper: Paper, seed: int) -> Canvas:
    sheet = blank_sheet(seed)
    paper(sheet)
    return sheet.pen.canvas


def blank_sheet(seed: int) -> Sheet:
    rng = random.Random(seed)
    canvas = Canvas(Image.new("L", (700, 3000), 255))
    lexicon = Lexicon(rng, "train")
    pen = Pen(canvas, lexicon, rng, [None, None], 14, 0, 255)
    return Sheet(pen, Values(lexicon, "en"), 20.0, 680.0, "en", 20.0)


def _sheet(seed: int) -> Sheet:
    rng = random.Random(f"form/{seed}")
    lexicon = Lexicon(rng, "train")
    canvas = Canvas(Image.new("L", (900, 3000), 240))
    return Sheet(
        Pen(canvas, lexicon, rng, [None], 14, 20, 240), Values(lexicon, "en"), 20, 880, "en"
    )


def test_the_same_label_in_two_parts_of_a_form_is_asked_for_by_whose_it_is() -> None:
    told_apart = 0
    for seed in range(30):
        sheet = _sheet(seed)
        application(sheet)
        fields = [field for field in sheet.pen.canvas.fields if field.key]
        parties = {
            name
            for name in phrases.table("applications.txt")["parties", "en"]
            if any(field.key.startswith(f"{name} ") for field in fields)
        }
        for name in parties:
            others = [key.partition(" ")[2] for key in (f.key for f in fields) if name not in key]
            for field in fields:
                if field.key.startswith(f"{name} ") and field.questions:
                    assert all(name in question.lower() for question in field.questions)
                    told_apart += field.key.partition(" ")[2] in others
    assert told_apart > 10


def test_letters_in_cells_stand_apart_and_in_the_box_of_the_value() -> None:
    spread = 0
    for seed in range(30):
        sheet = _sheet(seed)
        application(sheet)
        words = sheet.pen.canvas.words
        for field in sheet.pen.canvas.fields:
            x0, y0, x1, y1 = field.value_box
            inside = [
                word
                for word in words
                if len(word.text) == 1
                and x0 <= (word.box[0] + word.box[2]) / 2 <= x1
                and y0 <= (word.box[1] + word.box[3]) / 2 <= y1
            ]
            if len(inside) < 5:
                continue
            spread += 1
            letters = "".join(word.text for word in sorted(inside, key=lambda w: w.box[0]))
            assert letters == "".join(c for c in field.value if c not in " -"), field
    assert spread > 10
