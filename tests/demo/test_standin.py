from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from drawing import card
from PIL import Image

from cropzoom.geometry import Box
from cropzoom.reading.ocr import Line, OcrReader
from cropzoom.reading.standin import UNREADABLE, Page, StandIn, pick_answer, question_words


def page(*lines: tuple[str, int, int, int, int], confidence: float = 0.99) -> Page:
    """A page of 400 x 400 px; lines are (text, left, top, width, height)."""
    return Page(
        400,
        400,
        tuple(
            Line(text, Box.from_pixels(x, y, x + w, y + h, 400, 400), confidence)
            for text, x, y, w, h in lines
        ),
    )


RECEIPT = page(
    ("Subtotal", 20, 20, 60, 12),
    ("47.20", 300, 20, 40, 12),
    ("Service charge", 20, 40, 90, 12),
    ("5.31", 310, 40, 30, 12),
    ("TOTAL GBP", 20, 60, 70, 12),
    ("47.79", 300, 60, 40, 12),
    ("Table: 12", 20, 80, 60, 12),
    ("Cash point", 20, 100, 70, 12),
    ("Opening hours ........ 9 to 5", 20, 120, 200, 12),
)
PASS = page(
    ("GATE", 20, 20, 30, 10),
    ("SEAT", 120, 20, 30, 10),
    ("B27", 20, 32, 30, 14),
    ("18F", 120, 32, 30, 14),
    ("BOOKING", 20, 70, 50, 10),
    ("GROUP", 120, 70, 40, 10),
    ("QX7RDM", 20, 82, 60, 10),
    ("4", 120, 82, 8, 10),
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the total?", "47.79"),
        ("What is the subtotal?", "47.20"),
        ("How much was the service charge?", "5.31"),
        ("What's the table?", "12"),
        ("What are the opening hours?", "9 to 5"),
        ("What stands next to 'Service charge'?", "5.31"),
        ("What is the IBAN?", UNREADABLE),
    ],
)
def test_value_on_the_line_or_in_the_row(question: str, answer: str) -> None:
    assert pick_answer(question, [RECEIPT]).text == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which gate do I go to?", "B27"),
        ("What is my seat?", "18F"),
        ("What is the group?", "4"),
    ],
)
def test_value_below_a_label_though_another_label_is_beside_it(question: str, answer: str) -> None:
    assert pick_answer(question, [PASS]).text == answer


def test_what_is_read_better_wins_whichever_picture_it_is_in() -> None:
    bad = page(("Iotal", 20, 20, 60, 6), ("47.29", 300, 20, 40, 6), confidence=0.8)
    good = page(("Total", 20, 20, 60, 16), ("47.79", 300, 20, 40, 16))
    for pages, index in (([bad, good], 1), ([good, bad], 0)):
        reply = pick_answer("What is the total?", pages)
        assert (reply.text, reply.page) == ("47.79", index)


def test_a_larger_reading_is_trusted_more_than_a_surer_one() -> None:
    small = page(("Total", 20, 20, 60, 4), ("47.29", 300, 20, 40, 4), confidence=0.99)
    large = page(("Total", 20, 20, 60, 16), ("47.79", 300, 20, 40, 16), confidence=0.96)
    assert pick_answer("What is the total?", [small, large]).text == "47.79"


def test_a_useless_second_picture_changes_nothing() -> None:
    other = page(("Opening", 20, 20, 60, 16), ("Monday", 300, 20, 40, 16))
    assert pick_answer("What is the total?", [RECEIPT, other]).text == "47.79"


def test_no_pictures() -> None:
    reply = pick_answer("What is the total?", [])
    assert (reply.text, reply.page, reply.score) == (UNREADABLE, None, 0.0)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What's the payment due?", ["what's", "payment", "due"]),
        ("What comes after \u201cNet amount\u201d?", ["net", "amount"]),
        ("What is it?", ["what", "is", "it"]),
    ],
)
def test_question_words(question: str, words: list[str]) -> None:
    assert question_words(question) == words


def test_every_picture_is_seen_at_the_same_size(reader: OcrReader) -> None:
    stand_in = StandIn(side=300, reader=reader)
    assert stand_in.see(card([], (1200, 600))).size == (300, 150)
    assert stand_in.see(card([], (60, 120))).size == (150, 300)
    assert stand_in.see(card([], (3000, 1))).size == (300, 1)


def test_questions_asked_at_once_about_one_picture_read_it_once() -> None:
    class SlowReader(OcrReader):
        read_pictures = 0

        def read(self, image: Image.Image) -> list[Line]:
            self.read_pictures += 1
            time.sleep(0.05)
            return []

    reader = SlowReader()
    stand_in = StandIn(reader=reader)
    picture = card([], (600, 300))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stand_in.read, [picture] * 4))
    assert reader.read_pictures == 1
    stand_in.read(card([(10, 10, "another")], (600, 300)))
    assert reader.read_pictures == 2


def test_a_crop_makes_small_print_readable(stand_in: StandIn) -> None:
    full = card([(1000, 1000, "Batch number"), (1200, 1000, "L5127-08C")], (2200, 2200), text=17)
    question = "What is the batch number?"
    assert stand_in.answer(question, [full]).text != "L5127-08C"
    assert stand_in.answer(question, [full, full.crop((980, 980, 1340, 1040))]).text == "L5127-08C"
    assert stand_in.answer(question, [full, full.crop((100, 100, 460, 160))]).text != "L5127-08C"
