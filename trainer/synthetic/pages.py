"""A whole page: paper, columns of blocks, and the damage that a camera or a scanner does."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import Canvas, Field, Rect, Word
from .fonts import Split, find_fonts
from .layouts import BLOCKS, Pen
from .lexicon import Lexicon
from .questions import Question, ask, ask_absent


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
    fonts = find_fonts(options.split, options.font_folders) or (None,)
    family = rng.choice(fonts)
    pen = Pen(
        canvas,
        Lexicon(rng, options.split),
        rng,
        [family, rng.choice(fonts)],
        round(size),
        ink,
        paper,
    )
    if options.layout == "picture":
        _picture(rng, canvas)
    elif options.layout == "dense":
        _dense(pen, width, height)
    else:
        _columns(pen, width, height)
    canvas = _shrunk(canvas, options.width, options.height)
    if not options.clean:
        canvas = _damage(rng, canvas, paper)
    fields = _unambiguous(canvas.fields)
    chosen = rng.sample(fields, min(len(fields), options.questions))
    questions = [
        ask_absent(rng, pen.lexicon, canvas.fields)
        if rng.random() < options.absent
        else ask(rng, field, canvas.fields)
        for field in chosen
    ]
    if options.layout == "picture":
        questions = [ask_absent(rng, pen.lexicon, []) for _ in range(options.questions)]
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
            tint = max(0, min(255, grey + rng.randint(-25, 25)))
            draw.rectangle(
                (x, y, x + rng.randint(20, width), y + rng.randint(20, height)), fill=tint
            )
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
    fonts = find_fonts(lexicon.split) or (None,)
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
            text = (
                lexicon.phrase(1, 2) if rng.random() < 0.75 else lexicon.value(lexicon.any_kind())
            )
            if x + font.length(text) > width - 2:
                break
            box = pen.canvas.text(x, y, text, font, pen.ink)
            x = box[2] + pen.size * rng.uniform(0.4, 2.0)


def _picture(rng: random.Random, canvas: Canvas) -> None:
    """Cloudy noise of all sizes under shapes with soft and hard edges: a stand-in for nature."""
    width, height = canvas.image.size
    draw = np.random.default_rng(rng.getrandbits(32))
    scene = np.zeros((height, width), np.float32)
    cell, weight = max(width, height), 1.0
    while cell >= 2:
        coarse = draw.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
        cloud = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        scene += weight * np.asarray(cloud)
        cell, weight = cell // 2, weight * rng.uniform(0.5, 0.9)
    scene = (scene - scene.min()) / (float(np.ptp(scene)) + 1e-6) * 255
    canvas.image.paste(Image.fromarray(scene.astype(np.uint8)))
    for _ in range(rng.randint(0, 25)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = (width * rng.uniform(0.01, 0.4) for _ in range(2))
        shape = rng.choice([canvas.draw.ellipse, canvas.draw.rectangle, canvas.draw.line])
        shape((x, y, x + w, y + h), fill=rng.randint(0, 255))
    if rng.random() < 0.5:
        canvas.image.paste(canvas.image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4))))


def _scaled(box: Rect, x: float, y: float) -> Rect:
    return (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def _mapped(canvas: Canvas, image: Image.Image, change: Callable[[Rect], Rect]) -> Canvas:
    words = [replace(word, box=change(word.box)) for word in canvas.words]
    fields = [
        replace(f, key_box=change(f.key_box), value_box=change(f.value_box)) for f in canvas.fields
    ]
    return Canvas(image, words, fields)


def _shrunk(canvas: Canvas, width: int, height: int) -> Canvas:
    if canvas.image.size == (width, height):
        return canvas
    x, y = width / canvas.image.width, height / canvas.image.height
    image = canvas.image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return _mapped(canvas, image, lambda box: _scaled(box, x, y))


def _damage(rng: random.Random, canvas: Canvas, paper: int) -> Canvas:
    image = canvas.image
    if rng.random() < 0.2:
        angle = rng.gauss(0, 0.7)
        image = image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=paper)
        turn, (cx, cy) = math.radians(angle), (image.width / 2, image.height / 2)
        cos, sin = math.cos(turn), math.sin(turn)

        def rotated(box: Rect) -> Rect:
            corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
            xs = [cx + (x - cx) * cos + (y - cy) * sin for x, y in corners]
            ys = [cy - (x - cx) * sin + (y - cy) * cos for x, y in corners]
            return (min(xs), min(ys), max(xs), max(ys))

        canvas = _mapped(canvas, image, rotated)
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.35:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(
            0, rng.uniform(1, 12), (image.height, image.width)
        )
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(30, 90))
        image = Image.open(buffer).convert("L")
    canvas.image = image
    return canvas


def _unambiguous(fields: list[Field]) -> list[Field]:
    """Fields whose key (with column) stands once on the page, large enough to point at."""

    def name(f: Field) -> tuple[str, str]:
        return (f.key.lower(), (f.column or "").lower())

    counts: dict[tuple[str, str], int] = {}
    for f in fields:
        counts[name(f)] = counts.get(name(f), 0) + 1
    return [f for f in fields if counts[name(f)] == 1]
