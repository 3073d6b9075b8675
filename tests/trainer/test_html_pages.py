"""Pages laid out by a browser: boxes are where the ink is; windows, perspective, pools."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

pytest.importorskip("torch")
pytest.importorskip("filelock")

from filelock import FileLock

from cropzoom.cropper.nano.phoc import character_class
from cropzoom.data.test_set import load_test
from cropzoom.errors import DataError
from cropzoom.trainer.nano.batches import Batch, Batches, make_batch
from cropzoom.trainer.nano.pages import Page, PageOptions, lexicon, render_page
from cropzoom.trainer.nano.pages.browser.blocks import PAIR_STYLES, pairs
from cropzoom.trainer.nano.pages.browser.chromium import Browser, find_chromium
from cropzoom.trainer.nano.pages.browser.field_names import Name
from cropzoom.trainer.nano.pages.browser.pool import Pool, pooled_page, window, write_pool
from cropzoom.trainer.nano.pages.browser.pool_questions import write_questions
from cropzoom.trainer.nano.pages.browser.record import PageRecord
from cropzoom.trainer.nano.pages.browser.sheet import Sheet
from cropzoom.trainer.nano.pages.browser.templates import HELDOUT, TRAIN
from cropzoom.trainer.nano.pages.canvas import Canvas, Field, Word
from cropzoom.trainer.nano.pages.damage import (
    corners_of,
    homography,
    in_perspective,
    inside,
    photograph,
    project,
)
from cropzoom.trainer.nano.pages.fonts import load_font

WIDTH = 157.0
GOLDEN = [
    (
        10,
        [
            "I need the Drum Eagle Drum. apple cloud",
            "Which branch of the bank is it, in digits? 9537288-YW",
            "Which number does REFERENCE have? QP08161",
        ],
    ),
    (
        53,
        [
            'What value does the field "1 x Forest" have? $24,740.25',
            "Find FOREST Stell Grape",
            "What did they enter for Subtotal? Answer briefly. CHF 5",
            "How much does 4 X FOREST BRIDGE SCEGGLOUSSPIER cost? £7.88",
        ],
    ),
    (
        92,
        [
            "Please answer: How many were bought? 93",
            "Which page does Drum start on? 39",
            "Page of Cloud? 51",
            "What PHOOMPHEECKPRE is printed here? 5057.5",
        ],
    ),
]


# --- the other renderer's pages stay what they are -----------------------------------------------


def test_the_pil_renderer_draws_the_same_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The held-out test set is a seed: one draw more or less would make it another.
    if round(ImageFont.load_default(20).getlength("Hamburgefonstiv"), 2) != WIDTH:
        pytest.skip("this Pillow draws its own font in another width")
    prose = ("apple", "bridge", "cloud", "drum", "eagle", "forest", "grape", "harbour")
    monkeypatch.setattr(lexicon, "_library_words", lambda: {"train": prose, "heldout": prose})
    options = PageOptions(width=384, height=512, font_folders=(str(tmp_path),))
    found = []
    for seed in range(3):
        page = render_page(random.Random(seed), options)
        found.append((len(page.words), [f"{q.text} {q.answer}" for q in page.questions]))
    assert found == GOLDEN


# --- perspective ---------------------------------------------------------------------------------


def test_a_homography_takes_the_corners_where_they_shall_go() -> None:
    target = ((10.0, 5.0), (95.0, 0.0), (100.0, 52.0), (0.0, 45.0))
    matrix = homography(corners_of(100, 50), target)
    for (x, y), (u, v) in zip(corners_of(100, 50), target, strict=True):
        seen = matrix @ np.array([x, y, 1.0])
        assert seen[:2] / seen[2] == pytest.approx((u, v))
    # Twice as large and moved by (3, 4): by hand.
    larger = homography(((0, 0), (1, 0), (1, 1), (0, 1)), ((3, 4), (5, 4), (5, 6), (3, 6)))
    assert project(larger, (0.5, 0.0, 1.0, 0.25)) == pytest.approx((4, 4, 5, 4.5))


def test_perspective_moves_boxes_with_the_ink() -> None:
    canvas = Canvas(Image.new("L", (400, 300), 255))
    canvas.text(260, 80, "MMMM", load_font(None, 20), 0)
    corners = ((30.0, 20.0), (380.0, 0.0), (400.0, 290.0), (0.0, 260.0))
    turned = in_perspective(canvas, corners, Image.new("L", (400, 300), 255))
    rows, columns = np.nonzero(np.asarray(turned.image) < 128)
    x0, y0, x1, y1 = turned.words[0].box
    assert x0 - 2 <= columns.min() <= x0 + 5 and x1 - 5 <= columns.max() <= x1 + 2
    assert y0 - 2 <= rows.min() <= y0 + 8 and y1 - 10 <= rows.max() <= y1 + 2


@pytest.mark.parametrize("seed", range(4))
def test_a_photograph_shows_words_where_it_says(seed: int) -> None:
    canvas = Canvas(Image.new("L", (600, 500), 255))
    for i in range(9):
        canvas.text(30 + 55 * i, 40 + 50 * i, "Mgm", load_font(None, 20), 0)
    shot = photograph(random.Random(seed), canvas, 20.0)
    pixels = np.asarray(shot.image).astype(int)
    assert len(shot.words) >= 7 and shot.image.size == (600, 500)
    for word in shot.words:
        x0, y0, x1, y1 = (round(side) for side in word.box)
        patch = pixels[y0:y1, max(0, x0) : x1]
        assert np.percentile(patch, 95) - patch.min() > 60, word


# --- windows of a pool made by hand --------------------------------------------------------------

GAP = 300


@pytest.fixture(scope="module")
def hand_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pages of 900 x 1200 px: keys at the left, values `GAP` px to their right."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "images").mkdir()
    with (folder / "pages.jsonl").open("w") as file:
        for number in range(2):
            canvas = Canvas(Image.new("L", (900, 1200), 255))
            fields = []
            for i in range(20):
                x, y = 30 + 110 * (i % 3), 60 + 55 * i
                key = canvas.text(x, y, f"Key{chr(97 + i)}", load_font(None, 20), 0)
                value = canvas.text(x + GAP, y, f"{number}{i * 7 + 100}", load_font(None, 20), 0)
                fields.append(
                    Field(f"Key{chr(97 + i)}", f"{number}{i * 7 + 100}", key, value, "pair", "int")
                )
            name = f"images/{number}.png"
            canvas.image.save(folder / name)
            record = PageRecord(canvas.image, "by hand", "train", 20.0, canvas.words, fields)
            file.write(record.line(name) + "\n")
        file.write('{"image": "images/2.png", "half a li')  # as a kill leaves it
    return folder


def test_a_pool_gives_back_what_was_put_in(hand_made: Path) -> None:
    pool = Pool(hand_made)
    assert len(pool) == 2 and pool.name(1) == "images/1.png"
    record = pool.record(1)
    assert record.image.size == (900, 1200) and record.em == 20.0
    assert [w.text for w in record.words[:2]] == ["Keya", "1100"]
    field = record.fields[3]
    assert (field.key, field.value, field.kind) == ("Keyd", "1121", "pair")
    assert field.value_box[0] - field.key_box[0] == pytest.approx(GAP, abs=0.2)


def test_no_pool_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cropzoom\.trainer\.nano\.pages\.browser"):
        Pool(tmp_path)
    (tmp_path / "pages.jsonl").write_text("")
    with pytest.raises(DataError, match="no page yet"):
        Pool(tmp_path)


@pytest.mark.parametrize("size", [(320, 320), (416, 576), (736, 1024)])
def test_windows_keep_only_whole_fields(hand_made: Path, size: tuple[int, int]) -> None:
    pool = Pool(hand_made)
    options = PageOptions(*size, min_text=8, max_text=16)
    kept = 0
    for seed in range(25):
        canvas, text = window(random.Random(seed), pool.record(0), options)
        pixels = np.asarray(canvas.image).astype(int)
        assert canvas.image.size == size and 8 * 0.9 <= text <= 20
        kept += len(canvas.fields)
        for field in canvas.fields:
            for box in (field.key_box, field.value_box):
                assert box[0] >= -1 and box[1] >= -1
                assert box[2] <= size[0] + 1 and box[3] <= size[1] + 1
                x0, y0, x1, y1 = (max(0, round(side)) for side in box)
                assert np.ptp(pixels[y0:y1, x0:x1]) > 100, field
            assert field.value_box[0] - field.key_box[0] == pytest.approx(GAP * text / 20, rel=0.02)
        names = {word.text for word in canvas.words}
        assert all(field.key in names and field.value in names for field in canvas.fields)
    assert kept > 25  # most windows show some


def test_pages_of_a_pool_ask_what_they_show(hand_made: Path) -> None:
    pool = Pool(hand_made)
    options = PageOptions(416, 576, min_text=8, max_text=16, questions=6, absent=0.4)
    present = absent = 0
    for seed in range(12):
        page = pooled_page(pool, 1, random.Random(seed), options)
        again = pooled_page(pool, 1, random.Random(seed), options)
        assert page.image.mode == "L" and page.image.size == (416, 576)
        assert page.image.tobytes() == again.image.tobytes() and page.questions == again.questions
        shown = {word.text.lower() for word in page.words}
        for question in page.questions:
            if question.region is None:
                absent += 1
                asked = {w.strip("?.:,\"'").lower() for w in question.text.split()}
                assert not asked & shown
            else:
                present += 1
                assert question.answer.lower() in shown
                assert question.region[2] <= 417 and question.region[3] <= 577
    assert present > 20 and absent > 10


def test_fields_that_are_cut_are_gone() -> None:
    canvas = Canvas(Image.new("L", (100, 100)))
    whole, cut = (10.0, 10.0, 40.0, 20.0), (80.0, 50.0, 120.0, 60.0)
    canvas.fields += [
        Field("a", "1", whole, whole, "pair"),
        Field("b", "2", whole, cut, "pair"),
        Field("c", "3", cut, whole, "pair"),
    ]
    assert [f.key for f in inside(canvas).fields] == ["a"]


def test_a_pool_changes_only_its_share_of_the_batches(hand_made: Path) -> None:
    def first(*pool: object) -> list[Batch]:
        return list(itertools.islice(Batches(3, 1, 1, 400, *pool), 3))  # type: ignore[arg-type]

    plain, none, pooled = first(), first(hand_made, 0.0), first(hand_made, 1.0)
    assert all(a.image.equal(b.image) for a, b in zip(plain, none, strict=True))
    other = [b for a, b in zip(plain, pooled, strict=True) if not a.image.equal(b.image)]
    assert other and all(len(batch.page) and len(batch.word) for batch in other)


def test_diacritics_greek_and_cyrillic_are_read_and_other_scripts_are_not() -> None:
    image = Image.new("L", (320, 64), 255)
    even = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
    words = [
        Word("Zü", (10, 10, 90, 26), (0.2, 0.6)),
        Word("Москва", (110, 10, 190, 26), even),
        Word("東京", (210, 10, 290, 26), (0.2, 0.6)),
    ]
    batch = make_batch([Page(image, words, [], [])], random.Random(1))
    # Columns of 16 px: the words that are read stand at their own places.
    assert sorted(int(column) * 16 // 100 for column in batch.word[:, 2]) == [0, 1]
    first = {int(row[2]) * 8: int(row[3]) for row in batch.character if row[2] * 8 < 100}
    assert first == {24: character_class("z"), 56: character_class("u")}


def test_a_pool_as_questions_for_the_evaluation(hand_made: Path) -> None:
    count = write_questions(hand_made, per_page=5, seed=2)
    test = load_test(hand_made / "questions.jsonl")
    assert count == len(test.rows) == 10 and not test.problems
    for row in test.rows:
        assert row.box and row.value and row.category == "by hand" and row.key
        assert row.box.x0 <= row.value.x0 and row.value.x1 <= row.box.x1 + 1e-6
        assert row.box.width * 900 > GAP


# --- markup --------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", PAIR_STYLES)
def test_a_section_may_be_without_fields(style: str) -> None:
    pytest.importorskip("jinja2")
    sheet = Sheet(random.Random(1), "train")
    assert "data-part" not in pairs(sheet, [], style) and not sheet.drafts
    names = [Name("Name <1>", "int", ("Which?",)), Name("Other", "int")]
    shown = pairs(sheet, names, style, 2, values=["A & B", "C"])
    assert "Name &lt;1&gt;" in shown and "A &amp; B" in shown
    assert [d.field.value for d in sheet.drafts] == ["A & B", "C"]
    assert sheet.drafts[0].field.questions == ("Which?",)


# --- the browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pytest.importorskip("playwright")
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine")
    with Browser() as opened:
        yield opened


PLAIN = """<!doctype html><body style="margin:0;background:#fff;color:#000;font:20px/2 sans-serif">
<div style="padding:20px"><span data-part=1>High due Hxg:</span>
<b data-part=2 style="margin-left:80px">12.50 Hxg</b></div>
<div style="width:90px;padding-left:20px"><span data-part=3>Falls into lines</span></div>
<div style="width:60px;overflow:hidden"><span data-part=4>Cut wordsthatgoon</span></div>
<div style="visibility:hidden"><span data-part=5>Hidden</span></div>
<div style="position:relative"><span data-part=6>Covered</span>
<i style="position:absolute;left:0;top:0;width:200px;height:40px;background:#ddd"></i></div>
<div style="position:absolute;top:390px"><span data-part=7>Below</span></div>
<img src="https://example.com/x.png" width=1 height=1>
<svg width=300 height=60 style="position:absolute;left:20px;top:320px">
<text x=30 y=40 data-part=8 style="font-size:18px">Bar Hxg</text></svg></body>"""


def test_boxes_of_words_and_parts_are_where_the_ink_is(browser: Browser) -> None:
    image, found = browser.layout(PLAIN, 400, 400)
    assert [word[0] for word in found["words"]] == [
        *("High", "due", "Hxg:", "12.50", "Hxg", "Falls", "into", "lines", "Cut", "Bar", "Hxg")
    ]
    parts = {int(number): part for number, part in found["parts"].items()}
    assert [n for n, part in sorted(parts.items()) if part["whole"]] == [1, 2, 3, 8]
    assert parts[1]["lines"] == 1 and parts[3]["lines"] >= 2
    ink = np.asarray(image.convert("L")).astype(int) < 128
    for number in (1, 2, 8):
        x0, y0, x1, y1 = (round(side) for side in parts[number]["box"])
        # Ink up to the box's edges, and none in a frame of 4 px round it.
        rows, columns = np.nonzero(ink[y0 - 6 : y1 + 6, x0 - 6 : x1 + 6])
        assert 4 <= rows.min() <= 8 and 4 <= columns.min() <= 9
        assert (y1 - y0) + 2 <= rows.max() <= (y1 - y0) + 7
        assert (x1 - x0) + 2 <= columns.max() <= (x1 - x0) + 7
    for _, box, centres in found["words"]:
        assert len(centres) and all(0 < c < 1 for c in centres) and list(centres) == sorted(centres)
        assert ink[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])].any()


@pytest.mark.parametrize("template", [*TRAIN, *HELDOUT])
def test_every_template_marks_what_it_shows(browser: Browser, template: str) -> None:
    record = browser.render(f"7/{template}", "train", template)
    width, height = record.image.size
    pixels = np.asarray(record.image).astype(int)
    assert record.fields and 300 <= max(width, height) <= 2500
    for word in record.words:
        assert len(word.centres) == len(word.text)
        assert word.box[0] < word.box[2] <= width + 1 and word.box[1] < word.box[3] <= height + 1
    for field in record.fields:
        for text, box in ((field.key, field.key_box), (field.value, field.value_box)):
            if field.kind == "whole" and text == field.key:
                continue  # its name does not stand on the page
            shown = [
                word.text
                for word in record.words
                if box[0] - 1 <= (word.box[0] + word.box[2]) / 2 <= box[2] + 1
                and box[1] - 1 <= (word.box[1] + word.box[3]) / 2 <= box[3] + 1
            ]
            broken = any(len(part) > 14 or "-" in part for part in text.split())
            assert broken or set(text.split()) <= {w.rstrip(" :.=") for w in shown} | set(shown)
            x0, y0, x1, y1 = (max(0, round(side)) for side in box)
            assert np.ptp(pixels[y0:y1, x0:x1], axis=(0, 1)).max() > 40, (field, box)


def test_the_same_seed_gives_the_same_page(browser: Browser) -> None:
    first, again = (browser.render("3", "heldout") for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.line("x") == again.line("x")
    assert browser.render("4", "heldout").line("x") != first.line("x")


def test_a_pool_goes_on_where_it_was_stopped(browser: Browser, tmp_path: Path) -> None:
    # `browser` for its skips; two drivers can't run in one thread, so this one makes its own.
    del browser

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "cropzoom.trainer.nano.pages.browser", str(tmp_path)]
        return subprocess.run([*program, *options], capture_output=True, text=True)

    assert run("--pages", "2", "--grey").returncode == 0
    lines = (tmp_path / "pages.jsonl").read_bytes()
    (tmp_path / "pages.jsonl").write_bytes(lines[:-50])
    assert "1 now" in run("--pages", "2", "--grey").stdout
    assert (tmp_path / "pages.jsonl").read_bytes() == lines
    assert Image.open(tmp_path / json.loads(lines.splitlines()[0])["image"]).mode == "L"
    other = run("--pages", "2", "--seed", "9")
    assert other.returncode == 1 and "another folder" in other.stderr


def test_two_processes_do_not_write_one_pool(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(DataError, match="another process"):
        write_pool(tmp_path, 1, 0, "train")
    assert not (tmp_path / "pages.jsonl").exists()
