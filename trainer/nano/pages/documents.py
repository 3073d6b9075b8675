"""Drawn papers as pages: receipts, invoices, forms, statements and dialogs, worn and photographed.

As `render_page`, in the looks of what people really photograph; asked for by kind as often as by
label.
"""

from __future__ import annotations

import math
import random

from PIL import Image

from cropzoom.cropper.nano.phoc import split_words

from . import phrases
from .applications import application
from .canvas import Canvas, Field, union
from .damage import LEGIBLE, damage, inside, mapped, photograph, resampled, shrunk, squeezed
from .drawing import Page, PageOptions
from .fonts import Font, find_fonts, load_font
from .forms import dialog, form
from .layouts import Pen
from .ledgers import ledger
from .letters import letter
from .lexicon import Lexicon
from .official import memo, tax_form
from .papers import Paper, Sheet, invoice, receipt
from .questions import Question
from .scenery import draw_scene
from .statements import statement
from .values import Values
from .wear import worn

PAPERS: tuple[tuple[Paper, float], ...] = (
    (receipt, 5.0),
    (invoice, 2.5),
    (form, 2.5),
    (statement, 2.0),
    (dialog, 1.2),
    (ledger, 2.2),
    (tax_form, 2.4),
    (memo, 2.2),
    (application, 5.0),
    (letter, 3.5),
)
# Such may well be there without a label.
_UNLABELLED = phrases.concepts_of("unlabelled")
LANGUAGE_SHARES = {
    language: float(share)
    for (what, language), (share, *_) in phrases.table("papers.txt").items()
    if what == "share"
}


def render_document(rng: random.Random, options: PageOptions) -> Page:
    """Draw one paper. The same generator state and options give the same page on one machine.

    Args:
        rng: the only source of chance.
        options: of which `layout`, `languages` and `natural` are not used.

    Returns:
        A page of exactly `width` x `height` px; of a long paper a window, or all of it, smaller.
        A field's `value_kind` is its concept, see `phrases`.
    """
    papers, weights = zip(*PAPERS, strict=True)
    paper = rng.choices(papers, weights)[0]
    language = rng.choices(list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))[0]
    strip = options.width * (rng.uniform(0.55, 1.0) if paper is receipt else 1.0)
    size = math.exp(rng.uniform(math.log(options.min_text), math.log(options.max_text)))
    size = max(6.0, min(size, strip / (15 if paper is receipt else 20)))
    light, dark = rng.randint(190, 255), rng.randint(0, 90)
    ground, ink = (dark, light) if paper is dialog and rng.random() < 0.5 else (light, dark)
    tall = Canvas(Image.new("L", (round(strip), options.height * 3), ground))
    lexicon = Lexicon(rng, options.split)
    pen = Pen(tall, lexicon, rng, _faces(rng, options, paper is receipt), round(size), ink, ground)
    margin = size * rng.uniform(0.4, 2.0)
    sheet = Sheet(pen, Values(lexicon, language), margin, strip - margin, language, margin)
    bottom = min(tall.image.height, math.ceil(paper(sheet) + margin))
    tall.image = tall.image.crop((0, 0, tall.image.width, bottom))
    canvas, text = _on_page(rng, tall, options, size, ground)
    if not options.clean:
        canvas.image = worn(rng, canvas.image, text, ground)
        if rng.random() < 0.2 and paper is not dialog:
            canvas = photograph(rng, canvas, text)
        if rng.random() < 0.12:
            canvas = resampled(rng, canvas, text)
        canvas = damage(rng, canvas, ground)
        if rng.random() < 0.1 and text > 10:
            canvas = squeezed(rng, canvas)
    canvas = inside(canvas)
    fields = askable(canvas.fields)
    sample = rng.sample(fields, min(len(fields), options.questions))
    words = {part for word in canvas.words for part in split_words(word.text)}
    questions = []
    for field in sample:
        absent = rng.random() < options.absent
        missing = _absent(rng, lexicon, tall.fields, words, language) if absent else None
        questions.append(missing or ask_field(rng, field, language))
    return Page(canvas.image, canvas.words, fields, questions)


def askable(fields: list[Field]) -> list[Field]:
    """Fields that are the only ones of their key, and of their kind where they have no key."""
    keys = [field.key.lower() for field in fields]
    concepts = [field.value_kind for field in fields]
    return [
        field
        for field in fields
        if (field.key and keys.count(field.key.lower()) == 1)
        or (not field.key and concepts.count(field.value_kind) == 1)
    ]


def ask_field(rng: random.Random, field: Field, language: str) -> Question:
    """A question for a field: by its kind, or by what is printed."""
    unnamed = not field.key and not field.value_kind
    if field.questions and (unnamed or rng.random() < 0.6):
        text = rng.choice(field.questions)
    elif field.value_kind and (field.kind == "kind" or rng.random() < 0.65):
        text = phrases.ask(rng, field.value_kind, language)
    else:
        key = rng.choice([field.key, field.key, field.key.lower(), field.key.title()])
        form = "pair" if field.kind == "kind" else field.kind
        text = phrases.ask_about(rng, form, key, language)
    region = union(field.key_box, field.value_box)
    text = phrases.in_prompt(rng, text)
    return Question(text, field.value, region, field.key_box, field.value_box)


def _absent(
    rng: random.Random, lexicon: Lexicon, fields: list[Field], words: set[str], language: str
) -> Question | None:
    """A question for a kind of thing that is neither on the page nor on the rest of the paper."""
    present = {field.value_kind for field in fields}
    concept = rng.choice(phrases.concepts())
    labels = {
        word
        for (own, _), forms in phrases.table("labels.txt").items()
        if own == concept
        for form in forms
        for word in split_words(form)
        if len(word) > 2
    }
    if rng.random() < 0.4:
        key = lexicon.phrase(1, 3)
        if not words & set(split_words(key)):
            text = phrases.in_prompt(rng, phrases.ask_about(rng, "pair", key, language))
            return Question(text, "", None, None, None)
    if concept in _UNLABELLED or concept in present or words & labels:
        return None
    return Question(phrases.in_prompt(rng, phrases.ask(rng, concept)), "", None, None, None)


def _faces(rng: random.Random, options: PageOptions, till: bool) -> list[str | None]:
    """Two fonts; a till's are most often of one width."""
    fonts = find_fonts(options.split, options.font_folders)
    even = [path for path in fonts if till and _even(load_font(path, 20))]
    pool: tuple[str | None, ...] = tuple(even) if even and rng.random() < 0.65 else fonts or (None,)
    first = rng.choice(pool)
    return [first, first if rng.random() < 0.6 else rng.choice(pool)]


def _even(font: Font) -> bool:
    return abs(font.length("i") - font.length("M")) < 0.1


def _on_page(
    rng: random.Random, sheet: Canvas, options: PageOptions, size: float, ground: int
) -> tuple[Canvas, float]:
    """The sheet lying on a page of the asked size, whole or as a window; the text's size in px."""
    width, height = options.width, options.height
    scale = min(1.0, height / sheet.image.height)
    if scale < 1.0 and (size * scale < LEGIBLE or rng.random() < 0.4):
        scale = 1.0
    if scale < 1.0:
        small = [max(1, round(side * scale)) for side in sheet.image.size]
        sheet = shrunk(sheet, small[0], small[1])
    behind = ground if rng.random() < 0.5 else rng.randint(0, 255)
    page = Canvas(Image.new("L", (width, height), behind))
    if rng.random() < 0.25:
        draw_scene(rng, page)
    left = rng.randint(0, max(0, width - sheet.image.width))
    spare = height - sheet.image.height
    top = rng.randint(min(0, spare), max(0, spare))
    page.image.paste(sheet.image, (left, top))
    moved = mapped(sheet, page.image, lambda b: (b[0] + left, b[1] + top, b[2] + left, b[3] + top))
    return moved, size * scale
