"""Teachers: reading a model's boxes, searching a grid, finding text."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom.data.row import Row
from cropzoom.errors import DataError, LabelError
from cropzoom.geometry import Box
from cropzoom.reading.answers import find_answer
from cropzoom.reading.ocr import Line
from cropzoom.trainer.labels.teachers import (
    GridTeacher,
    NoBox,
    OcrTeacher,
    answers_by_votes,
    grid_boxes,
)
from cropzoom.trainer.labels.vlm_teacher import (
    LocalVlm,
    VlmTeacher,
    parse_box,
    processed_size,
)

BLANK = Image.new("RGB", (200, 100), "white")


def row(question: str = "What?", *answers: str) -> Row:
    return Row("q", BLANK, question, answers or ("it",))


# --- a model's numbers

SIZES = st.integers(1, 3000)


@cache
def smart_resize() -> Any:
    """Transformers' own; in release 5, one of its two homes needs torchvision."""
    package = "transformers.models.qwen2_vl.image_processing"
    homes = (f"{package}_pil_qwen2_vl", f"{package}_qwen2_vl")
    home = next(home for home in homes if importlib.util.find_spec(home))
    return importlib.import_module(home).smart_resize


@settings(max_examples=150, deadline=None)
@given(SIZES, SIZES, st.sampled_from([14, 28, 32]), st.integers(1, 40), st.integers(40, 3000))
def test_processed_size_is_that_of_transformers(
    width: int, height: int, factor: int, low: int, high: int
) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    least, most = low * factor**2, high * factor**2
    down, across = smart_resize()(height, width, factor, least, most)
    assert processed_size(width, height, factor, least, most) == (across, down)


@settings(max_examples=150, deadline=None)
@given(SIZES, SIZES, st.integers(4, 40), st.integers(200, 3000))
def test_a_picture_of_processed_size_is_left_alone(
    width: int, height: int, low: int, high: int
) -> None:
    assume(max(width, height) <= 50 * min(width, height))
    limits = 28, low * 784, high * 784
    size = processed_size(width, height, *limits)
    assert size[0] % 28 == 0 and size[1] % 28 == 0 and min(size) > 0
    assume(low * 784 <= size[0] * size[1] <= high * 784)
    assert processed_size(*size, *limits) == size


def test_processed_size_by_hand() -> None:
    limits = 28, 4 * 784, 1280 * 784
    # 1000/28 = 35.7 -> 36 x 28; 700/28 = 25.
    assert processed_size(1000, 700, *limits) == (1008, 700)
    # Too many pixels: 4000x2000 shrinks by sqrt(8e6 / 1003520) = 2.82 to 1416x708 -> 50, 25 x 28.
    assert processed_size(4000, 2000, *limits) == (1400, 700)
    # Too few: 20x40 grows by sqrt(3136 / 800) = 1.98 to 39.6x79.2 -> 2, 3 x 28.
    assert processed_size(20, 40, *limits) == (56, 84)
    with pytest.raises(ValueError, match="200 times"):
        processed_size(2010, 10, *limits)


BOX = Box(0.1, 0.2, 0.5, 0.8)


@pytest.mark.parametrize(
    "reply",
    [
        '{"bbox_2d": [100, 100, 500, 400]}',
        '```json\n[\n\t{"bbox_2d": [100, 100, 500, 400], "label": "total"}\n]\n```',
        '{"bbox_2d": [100, 100, 500, 400], "label": "to',  # cut off after the box
        "{'bbox': [100.0, 100.0, 500.0, 400.0],}",
        '{"bbox_2d": ["100", "100", "500", "400"]}',
        '{"bbox_2d": [[100, 100, 500, 400]]}',
        '{"bounding_box":[100,100,500,400]}',
        '{"box_2d": [100, 100, 400, 500]}',  # Gemini: y before x
        "<|object_ref_start|>it<|object_ref_end|><|box_start|>(100,100),(500,400)<|box_end|>",
        "(100,100),(500,400)",
        "<box>(100,100),(500,400)</box>",
        "<bbox>100, 100, 500, 400</bbox>",
        '{"x1": 100, "y1": 100, "x2": 500, "y2": 400}',
        "[100, 100, 500, 400].",
        "100, 100, 500, 400",
        "The picture [0, 0, 1000, 500] has it at [100, 100, 500, 400]",
        'In [0, 0, 10, 10] there is nothing. {"bbox_2d": [100, 100, 500, 400]}',
        # Several under keys: the one around them.
        '[{"bbox_2d": [100, 100, 200, 400]}, {"bbox_2d": [300, 200, 500, 300]}]',
    ],
)
def test_boxes_in_the_forms_that_models_use(reply: str) -> None:
    assert parse_box(reply, "pixels", (1000, 500)) == BOX


@pytest.mark.parametrize(
    ("units", "reply"),
    [
        ("thousandths", "[100, 200, 500, 800]"),
        ("percent", "[10, 20, 50, 80]"),
        ("fractions", "[0.1, 0.2, 0.5, 0.8]"),
    ],
)
def test_boxes_in_other_units(units: Any, reply: str) -> None:
    assert parse_box(reply, units, (1000, 500)) == BOX


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no box in the reply"),
        ("I can't see it.", "no box in the reply"),
        ('{"bbox_2d": [100, 100, 500, 4', "no box in the reply"),  # 4 may have become 400
        ('{"bbox_2d": [100, 100, 500, 400, 7]}', "no box in the reply"),
        ('{"bbox_2d": [100, 100, 500]}', "no box in the reply"),
        ('{"bbox_2d": [nan, 100, 500, 400]}', "no box in the reply"),
        ('{"bbox_2d": null}', "no box in the reply"),
        ("On 1, 2, 3, 4 May it was", "no box in the reply"),
        ("[500, 100, 100, 400]", "inverted box"),
        ("[100, 100, 100, 400]", "inverted box"),
        ("[0.1, 0.2, 0.5, 0.8]", "box without a pixel"),  # fractions, not pixels
        ("[100, 100, 900, 900]", "box outside the picture"),  # thousandths, not pixels
        ("[-200, 0, 900, 400]", "box outside the picture"),
    ],
)
def test_replies_without_a_usable_box(reply: str, reason: str) -> None:
    with pytest.raises(NoBox) as caught:
        parse_box(reply, "pixels", (1000, 500))
    assert caught.value.reason == reason and caught.value.suspicious


def test_a_drift_over_the_edge_is_cut() -> None:
    assert parse_box("[-3, 100, 500, 540]", "pixels", (1000, 500)) == Box(0, 0.2, 0.5, 1)


FORMS = [
    '{{"bbox_2d": [{0}, {1}, {2}, {3}]}}',
    "[{0}, {1}, {2}, {3}]",
    "<|box_start|>({0},{1}),({2},{3})<|box_end|>",
    '{{"x1": {0}, "y1": {1}, "x2": {2}, "y2": {3}}}',
    '{{"box_2d": [{1}, {0}, {3}, {2}]}}',
]


@settings(max_examples=150, deadline=None)
@given(st.data(), SIZES, SIZES, st.sampled_from(FORMS))
def test_round_trip_errs_by_less_than_a_processed_pixel(
    data: st.DataObject, width: int, height: int, form: str
) -> None:
    """A box on the picture, said in whole pixels of the processed size, comes back."""
    assume(max(width, height) <= 200 * min(width, height))
    size = processed_size(width, height, 28, 4 * 784, 2560 * 784)
    corners = data.draw(st.tuples(*[st.floats(0, 1)] * 4))
    x0, x1 = sorted((corners[0], corners[2]))
    y0, y1 = sorted((corners[1], corners[3]))
    assume((x1 - x0) * size[0] > 2 and (y1 - y0) * size[1] > 2)
    true = Box(x0, y0, x1, y1)
    said = [round(true.x0 * size[0]), round(true.y0 * size[1])]
    said += [round(true.x1 * size[0]), round(true.y1 * size[1])]
    read = parse_box(form.format(*said), "pixels", size)
    assert abs(read.x0 - true.x0) * size[0] < 1 and abs(read.x1 - true.x1) * size[0] < 1
    assert abs(read.y0 - true.y0) * size[1] < 1 and abs(read.y1 - true.y1) * size[1] < 1


PIECES = st.sampled_from(
    ["[", "]", "(", ")", ", ", "12", "-3.5", '"bbox_2d": ', "<box>", "</box>", " ", "x1: ", "\n"]
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)))
def test_any_reply_gives_a_box_or_no_box(reply: str) -> None:
    for units in ("pixels", "fractions"):
        try:
            assert isinstance(parse_box(reply, units, (640, 480)), Box)  # type: ignore[arg-type]
        except NoBox as failure:
            assert failure.suspicious


def test_replies_made_to_be_slow_are_not() -> None:
    # Quadratic matching of these would take minutes, and the suite's limit would tell.
    pieces = "[1, 2, ", "<box>", '"bbox_2d": [', "(1 , 2) , ", " \t", "1,", "[([([(1"
    for reply in (*(piece * 200_000 for piece in pieces), '"bbox_2d": [1, 2' + " " * 200_000):
        with pytest.raises(NoBox):
            parse_box(reply, "pixels", (640, 480))


def test_the_teacher_sends_the_processed_size_and_reads_in_it() -> None:
    sent: list[tuple[Image.Image, str]] = []

    def ask(image: Image.Image, prompt: str) -> str:
        sent.append((image, prompt))
        return f'{{"bbox_2d": [0, 0, {image.width // 2}, {image.height}]}}'

    teacher = VlmTeacher(ask, model="m", min_pixels=784, max_pixels=100 * 784)
    picture = Image.new("RGB", (1000, 333))
    asked = row("What is {this}?", "7 May", "7 may", "May 7")
    assert teacher.propose(asked, picture) == Box(0, 0, 0.5, 1)
    image, prompt = sent[0]
    # sqrt(333000 / 78400) = 2.061: 485x161.6 -> 17, 5 x 28.
    assert image.size == (476, 140)
    assert "What is {this}?" in prompt and "'7 May' or 'May 7'" in prompt
    assert "476 x 140 pixels" in prompt and '{"bbox_2d": [x1, y1, x2, y2]}, in pixels.' in prompt
    with pytest.raises(NoBox, match="too narrow"):
        teacher.propose(asked, Image.new("RGB", (900, 4)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"coordinates": "inches"},
        {"factor": 0},
        {"min_pixels": 100},
        {"min_pixels": 10_000, "max_pixels": 9_000},
        {"workers": 0},
        {"prompt": "Where is {it}?"},
        {"prompt": 'As {"bbox_2d": []}'},
    ],
)
def test_a_teacher_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        VlmTeacher(lambda *_: "", model="m", **wrong)


def test_a_local_model_is_asked_with_its_chat_template(tiny_idefics3: Path) -> None:
    """The tiny model knows nothing: what counts is that its very words come back."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    ask = LocalVlm(str(tiny_idefics3), device="cpu", max_tokens=6)
    image = Image.new("RGB", (60, 40), "red")
    said = ask(image, "Where?")
    processor = AutoProcessor.from_pretrained(tiny_idefics3)
    model = AutoModelForImageTextToText.from_pretrained(tiny_idefics3)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]}],
        add_generation_prompt=True,
    )
    inputs = processor(text=text, images=[image], return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    fresh = tokens[0, inputs["input_ids"].shape[1] :]
    assert said == processor.decode(fresh, skip_special_tokens=True)
    assert said != ask(Image.new("RGB", (60, 40), "blue"), "Say something else")
    with pytest.raises(NoBox):
        VlmTeacher(ask, model="tiny").propose(row(), image)


def test_a_local_model_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="can't load the model"):
        LocalVlm(str(tmp_path))


# --- grid


class Towards:
    """A reward that is the higher, the more a box is like another."""

    name = "towards"

    def __init__(self, target: Box | None = None, value: float = 1.0) -> None:
        self.target, self.value, self.calls = target, value, 0

    def __call__(self, rows: Sequence[Row], boxes: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        assert boxes.shape[0] == len(rows) == 1 and boxes.dtype == torch.float32
        assert isinstance(rows[0].image, Image.Image)  # decoded once, not once a batch
        if self.target is None:
            return torch.full(boxes.shape[:2], self.value)
        worth = [Box.ordered(*box).iou(self.target) for box in boxes[0].tolist()]
        return torch.tensor([worth])


def test_all_boxes_of_a_grid_by_hand() -> None:
    boxes = grid_boxes(2)
    # Four cells, then halves from the top left, then the whole.
    assert boxes == [
        Box(0, 0, 0.5, 0.5),
        Box(0.5, 0, 1, 0.5),
        Box(0, 0.5, 0.5, 1),
        Box(0.5, 0.5, 1, 1),
        Box(0, 0, 1, 0.5),
        Box(0, 0, 0.5, 1),
        Box(0.5, 0, 1, 1),
        Box(0, 0.5, 1, 1),
        Box(0, 0, 1, 1),
    ]
    assert len(grid_boxes(5)) == 15 * 15
    assert len(grid_boxes(2, max_area=0.5)) == 8 and len(grid_boxes(2, max_area=0.25)) == 4


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_the_grid_finds_the_best_box_whatever_the_batch(batch: int) -> None:
    target = Box(0.4, 0.2, 0.8, 0.4)
    reward = Towards(target)
    assert GridTeacher(reward, cells=5, batch=batch).propose(row(), BLANK) == target
    assert reward.calls == math.ceil(225 / batch)


def test_equal_rewards_go_to_the_smaller_box() -> None:
    class Holds(Towards):
        """1 where the box holds the cell's middle, as an accuracy would."""

        def __call__(self, rows: Sequence[Row], boxes: torch.Tensor) -> torch.Tensor:
            inside = [Box(*box).contains_point(0.6, 0.4) for box in boxes[0].tolist()]
            # Noise of floating point must not decide.
            return torch.tensor([inside]).float() + torch.rand(1, len(inside)) * 1e-6

    assert GridTeacher(Holds(), cells=4).propose(row(), BLANK) == Box(0.5, 0.25, 0.75, 0.5)


def test_rewards_that_decide_nothing_are_failures() -> None:
    with pytest.raises(NoBox, match="all boxes equal"):
        GridTeacher(Towards(value=0.0)).propose(row(), BLANK)
    with pytest.raises(NoBox, match="not finite"):
        GridTeacher(Towards(value=math.nan)).propose(row(), BLANK)


def test_boxes_whose_reward_is_not_finite_are_passed_over() -> None:
    class Partly(Towards):
        def __call__(self, rows: Sequence[Row], boxes: torch.Tensor) -> torch.Tensor:
            worth = super().__call__(rows, boxes)
            worth[worth == 1] = math.nan
            worth[worth == 0] = math.inf
            return worth

    box = GridTeacher(Partly(Box(0, 0, 0.25, 0.25)), cells=4).propose(row(), BLANK)
    # The best that is left: half of it lies outside; the flat one comes first.
    assert box == Box(0, 0, 0.5, 0.25)


@pytest.mark.parametrize("wrong", [{"cells": 1}, {"cells": 21}, {"max_area": 0.01}, {"batch": 0}])
def test_grids_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        GridTeacher(Towards(), **wrong)


# --- text


class Page:
    """A reader that has read already: lines of (text, left, top), 10 px a letter, 20 px high."""

    def __init__(self, *lines: tuple[str, int, int], size: tuple[int, int] = (1000, 500)) -> None:
        self.image = Image.new("RGB", size, "white")
        self.reads = 0
        self.lines = [
            Line(
                text,
                Box.from_pixels(left, top, left + 10 * len(text), top + 20, *size),
                1.0,
            )
            for text, left, top in lines
        ]

    def read(self, image: Image.Image) -> list[Line]:
        self.reads += 1
        return self.lines

    def find(self, question: str, *answers: str) -> tuple[float, ...]:
        """Return the proposed box in px."""
        box = OcrTeacher(self).propose(row(question, *answers), self.image)
        width, height = self.image.size
        edges = (box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)
        return tuple(round(edge, 3) for edge in edges)


def test_a_line_that_is_the_answer() -> None:
    page = Page(("Invoice", 100, 50), ("4711", 300, 50), ("Total", 100, 90))
    assert page.find("Which invoice?", "4711") == (300, 50, 340, 70)
    assert page.find("Which invoice?", "total:") == (100, 90, 150, 110)


def test_the_part_of_a_line_is_in_proportion_to_its_letters() -> None:
    page = Page(("Total: 40.20 EUR", 100, 50))
    # Characters 7 to 12 of 16, 10 px each.
    assert page.find("What is the total?", "40.20") == (170, 50, 220, 70)
    assert find_answer("40.20", "Total: 40.20 EUR") == (7 / 16, 12 / 16)


def test_numbers_that_go_on_are_other_numbers() -> None:
    page = Page(("140.20", 100, 50), ("40.205", 100, 90), ("1,40.20", 100, 130))
    with pytest.raises(NoBox, match="answer not found"):
        page.find("How much?", "40.20")


def test_upright_text_has_no_part_from_left_to_right() -> None:
    page = Page()
    page.lines = [Line("Total 40", Box(0.1, 0.1, 0.12, 0.9), 1.0)]
    assert page.find("Total?", "40") == (100, 50, 120, 450)


def test_the_place_beside_the_questions_words_wins() -> None:
    page = Page(
        ("12", 900, 460),  # a page number
        ("Chairs", 100, 100),
        ("7", 500, 100),
        ("Tables", 100, 140),
        ("12", 500, 140),
        ("Lamps", 100, 300),
        ("12", 500, 300),
    )
    assert page.find("How many lamps are there?", "12") == (500, 300, 520, 320)
    assert page.find("How many tables are there?", "12") == (500, 140, 520, 160)
    # No word of the question is on the page: the first in reading order.
    assert page.find("How much is it?", "12") == (900, 460, 920, 480)


def test_rare_words_count_more_than_frequent_ones() -> None:
    page = Page(
        ("price and tax", 100, 60),
        ("7", 500, 60),
        ("refund", 100, 200),
        ("7", 500, 200),
        *(("price and tax", 100, top) for top in (300, 360, 420)),
    )
    # Two words beside the one, each in four lines; one beside the other, in one line.
    assert page.find("Of price and tax, what is the refund?", "7") == (500, 200, 510, 220)


def test_a_line_in_the_words_of_the_question_beats_a_bare_one() -> None:
    page = Page(("12", 900, 460), ("12 lamps", 100, 100))
    assert page.find("How many lamps?", "12") == (100, 100, 120, 120)
    assert page.find("How many?", "12") == (900, 460, 920, 480)
    # Where nothing else decides, the bare one wins, though it comes later.
    page = Page(("Room 12 is closed", 100, 100), ("12", 900, 460))
    assert page.find("How many?", "12") == (900, 460, 920, 480)


def test_answers_over_lines() -> None:
    page = Page(
        ("The meeting is in New", 100, 100),
        ("York City on Monday", 100, 124),
        ("York", 700, 100),
        ("New", 100, 400),
    )
    assert page.find("Where?", "New York City") == (100, 100, 310, 144)
    # In one row, read as two lines.
    page = Page(("John", 100, 100), ("Smith", 150, 102), ("Smith", 600, 100))
    assert page.find("Who?", "John Smith") == (100, 100, 200, 122)
    page = Page(("John", 100, 100), ("Smith", 600, 300))
    with pytest.raises(NoBox, match="answer not found"):
        page.find("Who?", "John Smith")


def test_gaps_are_measured_in_letters_on_wide_and_tall_pictures() -> None:
    for size in ((4000, 300), (300, 4000)):
        near = Page(("John", 20, 100), ("Smith", 80, 100), size=size)
        assert near.find("Who?", "John Smith") == (20, 100, 130, 120)
        far = Page(("John", 20, 100), ("Smith", 150, 100), size=size)
        with pytest.raises(NoBox):
            far.find("Who?", "John Smith")


def test_answers_that_more_people_gave_come_first() -> None:
    assert answers_by_votes(row("?", "Pepsi", "coke", "Coke", "coca cola", "?!")) == [
        "coke",
        "coca cola",
        "Pepsi",
    ]
    page = Page(("Pepsi", 100, 100), ("Coke", 100, 200))
    assert page.find("Which?", "Pepsi", "Coke", "coke") == (100, 200, 140, 220)
    assert page.find("Which?", "Sprite", "Sprite", "Pepsi") == (100, 100, 150, 120)


def test_pages_without_text_or_with_dots_only() -> None:
    with pytest.raises(NoBox, match="no text found"):
        Page().find("What?", "x")
    with pytest.raises(NoBox, match="answer not found"):
        Page((".", 100, 100)).find("What?", "?")


def test_a_page_is_read_once_for_all_its_questions() -> None:
    page = Page(("12", 100, 100))
    teacher = OcrTeacher(page)
    for _ in range(3):
        teacher.propose(row("?", "12"), page.image)
    assert page.reads == 1
    teacher.propose(row("?", "12"), Image.new("RGB", (1000, 500), "grey"))
    assert page.reads == 2


def test_a_crowded_page_is_searched_in_reasonable_time() -> None:
    lines = [(f"ab{n}" if n % 3 else "a", 40 + 60 * (n % 12), 22 * (n // 12)) for n in range(250)]
    with pytest.raises(NoBox):
        Page(*lines).find("What?", *(f"a b {n} zz" for n in range(10)))
