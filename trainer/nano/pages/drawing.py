"""A whole page: paper, columns of blocks, and the damage that a camera or a scanner does."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Canvas, Field, Word
from .damage import damage, shrunk
from .fonts import Split, find_fonts
from .languages import draw_language
from .layouts import BLOCKS, Pen
from .lexicon import Lexicon
from .questions import Question, ask, ask_absent
from .scenery import draw_scene


@dataclass(frozen=True)
class PageOptions:
    """What to draw.

    Attributes:
        width, height: the finished page, px.
        split: fonts and words of the training or of the held-out part.
        min_text, max_text: em size of body text on the finished page, px (drawn log-uniformly).
        layout: "page" for blocks in columns, "dense" for words side by side (to learn reading),
            "picture" for something without a word on it, as photographs are.
        questions: how many to ask at most.
        absent: share of questions that nothing on the page answers.
        clean: no blur, noise, rotation or JPEG.
        languages: share of pages in another language than English.
        natural: share of the questions without an answer that are about photographs.
        font_folders: where fonts lie; the system's folders when empty.
    """

    width: int = 768
    height: int = 1024
    split: Split = "train"
    min_text: float = 8.5
    max_text: float = 30.0
    layout: str = "page"
    questions: int = 4
    absent: float = 0.08
    clean: bool = False
    languages: float = 0.0
    natural: float = 0.0
    font_folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A grey picture (mode L), every word on it, and questions with exact boxes in px."""

    image: Image.Image
    words: list[Word]
    fields: list[Field]
    questions: list[Question]


def render_page(rng: random.Random, options: PageOptions) -> Page:
    """Render one page. The same generator state and options give the same page on one machine.

    Args:
        rng: the only source of chance.
        options: what to draw.

    Returns:
        A page of exactly `width` x `height` px. It may have no question when nothing fitted.
    """
    # Half of the pages are drawn larger and shrunk, as what a model sees of a scan is.
    shrink = rng.choice([1.0, 1.0, rng.uniform(1.2, 2.2)])
    width, height = round(options.width * shrink), round(options.height * shrink)
    paper, ink = _inks(rng)
    canvas = Canvas(_paper(rng, width, height, paper))
    size = math.exp(rng.uniform(math.log(options.min_text), math.log(options.max_text))) * shrink
    size = min(size, width / 16)
    language = draw_language(rng, options.languages)
    letters = language.alphabet if language else ""
    fonts = find_fonts(options.split, options.font_folders, letters)
    if letters and not fonts:
        fonts, language = find_fonts(options.split, options.font_folders), None
    families: tuple[str | None, ...] = fonts or (None,)
    family = rng.choice(families)
    both, lexicon = [family, rng.choice(families)], Lexicon(rng, options.split, language)
    pen = Pen(canvas, lexicon, rng, both, round(size), ink, paper)
    if options.layout == "picture":
        draw_scene(rng, canvas)
    elif options.layout == "dense":
        _dense(pen, width, height)
    else:
        _columns(pen, width, height)
    canvas = shrunk(canvas, options.width, options.height)
    if not options.clean:
        canvas = damage(rng, canvas, paper)
    fields = unambiguous(canvas.fields)
    chosen = rng.sample(fields, min(len(fields), options.questions))
    questions = [
        ask_absent(rng, pen.lexicon, canvas.fields, natural=options.natural)
        if rng.random() < options.absent
        else ask(rng, field, canvas.fields)
        for field in chosen
    ]
    if options.layout == "picture":
        questions = [
            ask_absent(rng, pen.lexicon, [], natural=options.natural)
            for _ in range(options.questions)
        ]
    return Page(canvas.image, canvas.words, fields, questions)


def _inks(rng: random.Random) -> tuple[int, int]:
    """Paper and ink grey; one page in six is light on dark."""
    light, dark = rng.randint(170, 255), rng.randint(0, 90)
    if rng.random() < 0.6:
        light, dark = rng.randint(240, 255), rng.randint(0, 50)
    return (dark, light) if rng.random() < 0.16 else (light, dark)


def _paper(rng: random.Random, width: int, height: int, grey: int) -> Image.Image:
    image = Image.new("L", (width, height), grey)
    if rng.random() < 0.2:  # uneven light
        tint = np.linspace(rng.uniform(-30, 0), rng.uniform(0, 30), width)[None, :]
        shade = np.linspace(rng.uniform(-20, 20), rng.uniform(-20, 20), height)[:, None]
        image = Image.fromarray(np.clip(grey + tint + shade, 0, 255).astype(np.uint8))
    if rng.random() < 0.15:  # panels of other tints
        draw = ImageDraw.Draw(image)
        for _ in range(rng.randint(1, 4)):
            x, y = rng.randint(0, width), rng.randint(0, height)
            other = max(0, min(255, grey + rng.randint(-25, 25)))
            corner = (x + rng.randint(20, width), y + rng.randint(20, height))
            draw.rectangle(((x, y), corner), fill=other)
    return image


def _columns(pen: Pen, width: int, height: int) -> None:
    rng = pen.rng
    margin = pen.size * rng.uniform(0.6, 3.0)
    room = (width - 2 * margin) / pen.size
    count = max(1, min(rng.choices((1, 2, 3), (6, 4, 1))[0], int(room / 14)))
    gutter = pen.size * rng.uniform(1.2, 3)
    column = (width - 2 * margin - gutter * (count - 1)) / count
    blocks, weights = zip(*BLOCKS, strict=True)
    top = margin
    if rng.random() < 0.4:
        top = blocks[5](pen, margin, margin, width - margin, height - margin)
    for index in range(count):
        left = margin + index * (column + gutter)
        y = top + pen.size * rng.uniform(0, 2)
        while y < height - margin - 2 * pen.size:
            block = rng.choices(blocks, weights)[0]
            y = block(pen, left, y, left + column, height - margin)
            y += pen.size * rng.uniform(0.5, 2.5)
            if rng.random() < 0.05:
                y += (height - y) * rng.random()


def _dense(pen: Pen, width: int, height: int) -> None:
    """Lines of unrelated words in several fonts and sizes: the most words a pixel."""
    rng, lexicon = pen.rng, pen.lexicon
    letters = lexicon.language.alphabet if lexicon.language else ""
    fonts = find_fonts(lexicon.split, (), letters) or (None,)
    y = pen.size * rng.uniform(0.2, 1.0)
    while y < height:
        if rng.random() < 0.3:
            pen.fonts = [rng.choice(fonts)]
        font = pen.font(rng.uniform(0.8, 1.6))
        y += -font.top + font.bottom + pen.size * rng.uniform(0.1, 0.6)
        if y > height - 2:
            break
        x = pen.size * rng.uniform(0.2, 1.0)
        while True:
            plain = rng.random() < 0.75
            text = lexicon.phrase(1, 2) if plain else lexicon.value(lexicon.any_kind())
            if x + font.length(text) > width - 2:
                break
            box = pen.canvas.text(x, y, text, font, pen.ink)
            x = box[2] + pen.size * rng.uniform(0.4, 2.0)


def unambiguous(fields: list[Field]) -> list[Field]:
    """Fields whose key (with column) stands once on the page, large enough to point at."""

    def name(f: Field) -> tuple[str, str]:
        return (f.key.lower(), (f.column or "").lower())

    counts: dict[tuple[str, str], int] = {}
    for f in fields:
        counts[name(f)] = counts.get(name(f), 0) + 1
    return [f for f in fields if counts[name(f)] == 1]
