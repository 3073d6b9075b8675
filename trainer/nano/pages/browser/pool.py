"""A folder of laid-out pages: written once by a browser, read many times by training.

`pages.jsonl` has one line a page (`record.py`), `images/` its picture, `pool.json` what it was
made with. Drawing a page from a pool cuts a window of the asked size out of it, damages it, and
asks questions, so one laid-out page is many.
"""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from cropzoom.errors import DataError
from cropzoom.files import locked, repaired, write_whole

from ..canvas import Canvas, Field, Rect, union
from ..damage import damage, inside, lit, mapped, photograph, resampled, squeezed
from ..drawing import Page, PageOptions, unambiguous
from ..fonts import Split
from ..languages import draw_language
from ..lexicon import Lexicon
from ..questions import Question, ask, ask_absent, turned
from .chromium import Browser
from .record import PageRecord, parse_record

_PAGES_A_BROWSER = 300
SMALLEST = 5.0
"""Texts less high than this (px) are not asked about."""


def write_pool(
    folder: Path, pages: int, seed: int, split: Split, *, workers: int = 1, grey: bool = False
) -> int:
    """Lay out pages, or those that are missing: the same for the same seed on one machine.

    Args:
        folder: made when missing; gone on with when it holds some of the same pages.
        pages: how many there will be.
        seed: of everything.
        split: of fonts, words and templates.
        workers: browsers at once.
        grey: store grey pictures, which is all that nano sees, and half as large.

    Returns:
        How many were laid out now.

    Raises:
        DataError: the folder holds pages of another seed or split, or is being written to.
        MissingDependencyError: playwright or Chromium is not installed.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return _write_pool(folder, pages, seed, split, workers, grey)


def _write_pool(folder: Path, pages: int, seed: int, split: Split, workers: int, grey: bool) -> int:
    made_with = {"seed": seed, "split": split, "grey": grey}
    about = folder / "pool.json"
    if about.exists():
        there = json.loads(about.read_text("utf-8"))
        if there != made_with:
            raise DataError(
                f"{folder} holds pages made with {there}, not {made_with}; take another folder"
            )
    write_whole(about, json.dumps(made_with))
    lines = folder / "pages.jsonl"
    lines.touch()
    start = repaired(lines).count(b"\n")
    with lines.open("ab") as file:
        for number, record in _records(range(start, pages), seed, split, workers):
            name = f"images/{number:06}.png"
            picture = io.BytesIO()
            (record.image.convert("L") if grey else record.image).save(picture, "PNG")
            write_whole(folder / name, picture.getvalue())
            file.write(record.line(name).encode() + b"\n")
            file.flush()
    return max(0, pages - start)


def _records(
    numbers: range, seed: int, split: Split, workers: int
) -> Iterator[tuple[int, PageRecord]]:
    chunks = [
        (seed, split, list(numbers[i : i + size]))
        for size in [_PAGES_A_BROWSER if workers <= 1 else 20]
        for i in range(0, len(numbers), size)
    ]
    if workers <= 1:
        for chunk in chunks:
            with Browser() as browser:
                for number in chunk[2]:
                    yield number, browser.render(f"{seed}/{split}/{number}", split)
        return
    # Spawned, for a driver's threads don't survive a fork.
    with get_context("spawn").Pool(workers) as group:
        for chunk, records in zip(chunks, group.imap(_chunk, chunks), strict=True):
            yield from zip(chunk[2], records, strict=True)


def _chunk(work: tuple[int, Split, list[int]]) -> list[PageRecord]:
    seed, split, numbers = work
    with Browser() as browser:
        return [browser.render(f"{seed}/{split}/{number}", split) for number in numbers]


class Pool:
    """The pages of a folder that `write_pool` made, read when asked for.

    Raises:
        DataError: the folder is no pool, or an empty one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.file = self.folder / "pages.jsonl"
        if not self.file.is_file():
            raise DataError(
                f"{folder} holds no pages.jsonl; make a pool with "
                "python -m cropzoom.trainer.nano.pages.browser"
            )
        self._starts: list[int] = []
        at = 0
        with self.file.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._starts.append(at)
                at += len(line)
        if not self._starts:
            raise DataError(f"{self.file} has no page yet")

    def __len__(self) -> int:
        return len(self._starts)

    def name(self, index: int) -> str:
        """The picture's path in the folder."""
        return str(_entry(self.file, self._starts[index])["image"])

    def record(self, index: int) -> PageRecord:
        """A page as it was laid out, its picture grey."""
        return _load(self.file, self._starts[index])


def _entry(file: Path, start: int) -> dict[str, Any]:
    with file.open("rb") as lines:
        lines.seek(start)
        entry: dict[str, Any] = json.loads(lines.readline())
        return entry


@lru_cache(maxsize=8)  # neighbours in a batch are windows of one page
def _load(file: Path, start: int) -> PageRecord:
    entry = _entry(file, start)
    with Image.open(file.parent / entry["image"]) as image:
        return parse_record(entry, image.convert("L"))


def pooled_page(pool: Pool, index: int, rng: random.Random, options: PageOptions) -> Page:
    """A window of a page of a pool, damaged, with questions.

    Text is between `min_text` and `max_text` px where the page is large enough; a page that can be
    read whole in the window is often shown whole.

    Args:
        pool: of laid-out pages.
        index: which page.
        rng: the only source of chance.
        options: of which `width`, `height`, `min_text`, `max_text`, `questions`, `absent` and
            `clean` are used.

    Returns:
        A page of exactly `width` x `height` px, only of what the window shows whole.
    """
    record = pool.record(index)
    canvas, text = window(rng, record, options)
    if not options.clean:
        if rng.random() < 0.2:
            canvas = photograph(rng, canvas, text)
        elif rng.random() < 0.1:
            canvas.image = lit(rng, canvas.image)
        if rng.random() < 0.12:
            canvas = resampled(rng, canvas, text)
        canvas = inside(damage(rng, canvas, _paper(canvas.image)))
        if rng.random() < 0.1 and text > 10:
            canvas = squeezed(rng, canvas)
    fields = askable(canvas.fields)
    questions = ask_some(rng, record, canvas, fields, options)
    return Page(canvas.image, canvas.words, fields, questions)


def window(rng: random.Random, record: PageRecord, options: PageOptions) -> tuple[Canvas, float]:
    """The page at some scale in a window of the asked size, and its text's size in px."""
    width, height = options.width, options.height
    page = record.image
    whole = min(width / page.width, height / page.height)
    scale = math.exp(rng.uniform(math.log(options.min_text), math.log(options.max_text)))
    scale = max(min(scale / record.em, 1.0), min(whole, 1.0))
    if record.em * whole >= 7.0 and rng.random() < 0.6:
        scale = min(whole, 1.2)
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    image = page.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    seen = Canvas(image, record.words, record.fields)
    fx, fy = size[0] / page.width, size[1] / page.height
    # Where something that can be asked about is seen, and else anywhere.
    regions = [union(f.key_box, f.value_box) for f in record.fields]
    fitting = [
        box for box in regions if (box[2] - box[0]) * fx < width and (box[3] - box[1]) * fy < height
    ]
    box = rng.choice(fitting) if fitting else (0.0, 0.0, 0.0, 0.0)
    left = _offset(rng, box[0] * fx, box[2] * fx, width, size[0])
    top = _offset(rng, box[1] * fy, box[3] * fy, height, size[1])
    ground = _paper(image) if rng.random() < 0.7 else rng.randint(0, 255)
    shown = Image.new("L", (width, height), ground)
    shown.paste(image, (-left, -top))

    def moved(b: Rect) -> Rect:
        return (b[0] * fx - left, b[1] * fy - top, b[2] * fx - left, b[3] * fy - top)

    return inside(mapped(seen, shown, moved)), record.em * scale


def _offset(rng: random.Random, low: float, high: float, room: int, size: int) -> int:
    """Where a window of `room` px begins, so that it shows `low` to `high` of `size` px."""
    if size <= room:  # the page is smaller: it lies somewhere in the window
        return -rng.randint(0, room - size)
    first, last = max(0, math.ceil(high - room)), min(size - room, math.floor(low))
    return rng.randint(first, last) if first <= last else rng.randint(0, size - room)


def _paper(image: Image.Image) -> int:
    """The grey of the picture's edge."""
    edge = image.crop((0, 0, image.width, 2))
    return int(max(enumerate(edge.histogram()), key=lambda pair: pair[1])[0])


def askable(fields: list[Field]) -> list[Field]:
    """Fields that are large enough, and the only ones of their name."""
    return [
        f
        for f in unambiguous(fields)
        if min(f.key_box[3] - f.key_box[1], f.value_box[3] - f.value_box[1]) >= SMALLEST
    ]


def choose(rng: random.Random, fields: list[Field], count: int) -> list[Field]:
    """Some of the fields; a table's many cells are drawn less often each than a lone title."""
    counts: dict[str, int] = {}
    for f in fields:
        counts[f.kind] = counts.get(f.kind, 0) + 1
    order = [
        rng.random() ** (math.sqrt(counts[f.kind]) * (3 if f.kind == "whole" else 1))
        for f in fields
    ]
    ranked = sorted(range(len(fields)), key=lambda i: -order[i])
    return [fields[i] for i in ranked[:count]]


def ask_some(
    rng: random.Random,
    record: PageRecord,
    canvas: Canvas,
    fields: list[Field],
    options: PageOptions,
) -> list[Question]:
    """Questions about what the window shows, and some about what it does not."""
    # A page's language is not known here; that of what is missing is drawn anew.
    lexicon = Lexicon(rng, record.split, draw_language(rng, options.languages))
    text = " ".join(word.text for word in record.words)
    visible = {word.text.lower().strip(".:,") for word in canvas.words}
    hidden = [
        f for f in record.fields if f.kind == "pair" and not visible & set(f.key.lower().split())
    ]
    asked = []
    for field in choose(rng, fields, options.questions):
        if rng.random() >= options.absent:
            asked.append(ask_field(rng, field, fields))
        elif hidden and rng.random() < 0.4:
            lost = replace(rng.choice(hidden), questions=())
            question = ask(rng, lost, []).text
            # An alias may fit something else that is in sight.
            if lost.key.lower() in question.lower():
                asked.append(Question(question, "", None, None, None))
        else:
            asked.append(ask_absent(rng, lexicon, record.fields, text, options.natural))
    return asked


def ask_field(rng: random.Random, field: Field, fields: list[Field]) -> Question:
    """A question about a field; of few by its value, where that stands once."""
    values = [f.value.lower() for f in fields]
    if (
        field.kind in ("pair", "cell", "contents")
        and rng.random() < 0.06
        and len(field.value) > 3
        and values.count(field.value.lower()) == 1
    ):
        field = turned(field)
    return ask(rng, field, fields)
