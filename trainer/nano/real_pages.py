"""Real pages as training sees them: cut, scaled and damaged anew, with questions from their lines.

What a picture's lines can be asked besides its rows is found by their looks: a name at the left and
an amount at the right of one line, a label and a colon, a telephone number.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import Image

from cropzoom.cropper.nano.phoc import split_words

from .pages import Page, Question, phrases
from .pages.canvas import Canvas, Field, Rect, Word, union
from .pages.damage import damage, inside, lit, mapped, photograph, resampled, squeezed
from .real_questions import ABSENT, AMOUNTS, KINDS, LABELLED, OTHERS
from .real_split import Line, RealPicture

_NARROW = dict.fromkeys("iljI.,:;'!|()[]ft1 ", 0.55) | dict.fromkeys("mwMW@%", 1.45)
_PRICE = re.compile(
    r"^(?:rm|\$|€|eur|usd)?\s*-?\d[\d.,]*[.,]\d\d(?:\s*[a-z]{0,3})?$", re.IGNORECASE
)
LARGEST_REGION = 0.15
"""A label and its value farther apart than this share of the picture are not shown together."""


WEIGHTS = {"sroie": 6.0, "softmatic": 1.2, "docs": 1.3, "ui": 2.0}
"""How often each set is drawn."""


class RealPages:
    """Pictures of one part, drawn by set: receipts most of the time.

    Args:
        pictures: at least one.
    """

    def __init__(self, pictures: list[RealPicture]) -> None:
        self.by_set: dict[str, list[RealPicture]] = {}
        for picture in pictures:
            self.by_set.setdefault(picture.source, []).append(picture)

    def draw(self, rng: random.Random, questions: int) -> list[Page]:
        """One or two pages of one size with up to `questions` questions together."""
        names = sorted(self.by_set)
        source = rng.choices(names, [WEIGHTS[name] for name in names])[0]
        longest = rng.randint(640, 1120)
        count = 2 if longest < 820 else 1
        first = rng.choice(self.by_set[source])
        pages = [real_page(rng, first, longest, questions // count)]
        for _ in range(count - 1):
            other = rng.choice(self.by_set[source])
            pages.append(real_page(rng, other, longest, questions // count))
        width = max(page.image.width for page in pages)
        height = max(page.image.height for page in pages)
        return [_padded(page, width, height) for page in pages]


def plain_page(picture: RealPicture, longest: int) -> Page:
    """The whole picture as it is, with the questions of its rows."""
    image = _load(picture.path)
    scale = min(longest / max(image.size), 1.1)
    width, height = (max(1, round(side * scale)) for side in image.size)
    seen = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)

    def px(b: Rect) -> Rect:
        return (b[0] * width, b[1] * height, b[2] * width, b[3] * height)

    questions = [
        Question(row.question, row.answer, px(row.box), px(row.box), px(row.value))
        for row in picture.rows
    ]
    words = list(_words(picture, width, height))
    return _padded(Page(seen, words, [], questions), width, height)


def _padded(page: Page, width: int, height: int) -> Page:
    """White at the right and below up to multiples of 32, as the cropper pads."""
    size = (-(-width // 32) * 32, -(-height // 32) * 32)
    if page.image.size == size:
        return page
    image = Image.new("L", size, 255)
    image.paste(page.image, (0, 0))
    return Page(image, page.words, page.fields, page.questions)


def real_page(rng: random.Random, picture: RealPicture, longest: int, questions: int) -> Page:
    """The picture or a window of it, `longest` px at its longest side, damaged, with questions."""
    image = _load(picture.path)
    width, height = image.size
    words, fields = list(_words(picture, width, height)), _fields(rng, picture, width, height)
    canvas = Canvas(image, words, fields)
    canvas = _cut(rng, canvas)
    scale = longest / max(canvas.image.size)
    size = (
        max(64, round(canvas.image.width * scale)),
        max(64, round(canvas.image.height * scale)),
    )
    x, y = size[0] / canvas.image.width, size[1] / canvas.image.height
    seen = canvas.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    canvas = mapped(canvas, seen, lambda b: (b[0] * x, b[1] * y, b[2] * x, b[3] * y))
    canvas = _damaged(rng, canvas)
    asked = _ask(rng, picture, canvas, questions)
    return Page(canvas.image, canvas.words, canvas.fields, asked)


@lru_cache(maxsize=1024)
def _load(path: Path) -> Image.Image:
    with Image.open(path) as image:
        grey = image.convert("L")
    return grey


def _text_height(canvas: Canvas) -> float:
    heights = sorted(w.box[3] - w.box[1] for w in canvas.words)
    return heights[len(heights) // 2] if heights else 12.0


def _cut(rng: random.Random, canvas: Canvas) -> Canvas:
    """All of it, or the part with text and a margin, or a window; with a border now and then."""
    width, height = canvas.image.size
    box: Rect = (0.0, 0.0, float(width), float(height))
    chance = rng.random()
    if canvas.words and chance < 0.55:
        text = union(*(w.box for w in canvas.words))
        near = [rng.uniform(0.0, 0.08) * max(width, height) for _ in range(4)]
        box = (text[0] - near[0], text[1] - near[1], text[2] + near[2], text[3] + near[3])
        if chance < 0.22:  # a window of it
            w, h = (
                (box[2] - box[0]) * rng.uniform(0.7, 1.0),
                (box[3] - box[1]) * rng.uniform(0.35, 0.8),
            )
            x = rng.uniform(box[0], box[2] - w)
            y = box[1] if rng.random() < 0.4 else rng.uniform(box[1], box[3] - h)
            box = (x, y, x + w, y + h)
    x0, y0 = max(0, round(box[0])), max(0, round(box[1]))
    x1, y1 = min(width, round(box[2])), min(height, round(box[3]))
    if x1 - x0 < 48 or y1 - y0 < 48:
        x0, y0, x1, y1 = 0, 0, width, height
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return canvas
    image = canvas.image.crop((x0, y0, x1, y1))
    moved = mapped(canvas, image, lambda b: (b[0] - x0, b[1] - y0, b[2] - x0, b[3] - y0))
    return inside(moved)


def _damaged(rng: random.Random, canvas: Canvas) -> Canvas:
    text = max(6.0, _text_height(canvas))
    chance = rng.random()
    if chance < 0.12:
        canvas = photograph(rng, canvas, text)
    elif chance < 0.25:
        canvas.image = lit(rng, canvas.image)
    elif chance < 0.37:
        canvas = resampled(rng, canvas, text)
    elif chance < 0.45:
        canvas = squeezed(rng, canvas)
    if rng.random() < 0.3:
        low, high = rng.uniform(0, 90), rng.uniform(150, 255)
        canvas.image = canvas.image.point([round(low + (high - low) * v / 255) for v in range(256)])
    if rng.random() < 0.08:
        canvas.image = canvas.image.point([255 - v for v in range(256)])
    return damage(rng, canvas, 255)


def _words(picture: RealPicture, width: int, height: int) -> Iterator[Word]:
    for line in picture.lines:
        for text, box in parts(line):
            x0, y0, x1, y1 = box
            total = sum(_NARROW.get(c, 1.0) for c in text)
            at, centres = 0.0, []
            for character in text:
                size = _NARROW.get(character, 1.0)
                centres.append((at + size / 2) / total)
                at += size
            yield Word(text, (x0 * width, y0 * height, x1 * width, y1 * height), tuple(centres))


def parts(line: Line) -> list[tuple[str, Rect]]:
    """The words of a line with the boxes that they have if letters are as wide as usual."""
    total = sum(_NARROW.get(c, 1.0) for c in line.text) or 1.0
    x0, y0, x1, y1 = line.box
    result, at = [], 0.0
    for text in re.split(r"( +)", line.text):
        size = sum(_NARROW.get(c, 1.0) for c in text) / total * (x1 - x0)
        if text.strip():
            result.append((text, (x0 + at, y0, x0 + at + size, y1)))
        at += size
    return result


def _fields(rng: random.Random, picture: RealPicture, width: int, height: int) -> list[Field]:
    """What can be asked for, in px. `kind` names the bank of questions, `questions` are ready."""

    def px(b: Rect) -> Rect:
        return (b[0] * width, b[1] * height, b[2] * width, b[3] * height)

    fields = []
    for row in picture.rows:
        large = (row.box[2] - row.box[0]) * (row.box[3] - row.box[1]) > LARGEST_REGION
        region = px(row.value if large else row.box)
        own = (row.question,)
        if rng.random() < 0.6:
            own = (_worded(rng, KINDS.get(row.kind, row.kind), row.key, picture),)
        fields.append(Field(row.key, row.answer, region, px(row.value), "row", row.kind, None, own))
    counts: dict[str, int] = {}
    for line in picture.lines:
        folded = " ".join(split_words(line.text))
        counts[folded] = counts.get(folded, 0) + 1
    for key, value, box, value_box, form in _readings(picture):
        if counts.get(" ".join(split_words(key)), 0) > 1:
            continue
        text = _worded(rng, form, key, picture)
        fields.append(Field(key, value, px(box), px(value_box), "line", form, None, (text,)))
    return fields


def _worded(rng: random.Random, form: str, key: str, picture: RealPicture) -> str:
    """A question for a concept, or one that names the key: "kv" and "pair", "item", "find"."""
    tongue = "de" if picture.source == "softmatic" else "en"
    if form in phrases.concepts():
        return phrases.ask(rng, form, tongue)
    key, chance = key.strip(" :.-()"), rng.random()
    if chance < 0.6:
        key = key.lower() if chance < 0.4 else key.title()
    return phrases.ask_about(rng, "pair" if form == "kv" else form, key, tongue)


def _readings(picture: RealPicture) -> Iterator[tuple[str, str, Rect, Rect, str]]:
    """Key, value, box of both, box of the value, and form of question for what lines say."""
    receipt = picture.source in ("sroie", "softmatic")
    for line in picture.lines:
        words = split_words(line.text)
        letters = sum(c.isalpha() for c in line.text)
        if letters < 3:
            continue
        label, colon, rest = line.text.partition(":")
        if colon and sum(c.isalpha() for c in label) >= 3 and len(label) < 34 and rest.strip():
            start = line.text.index(rest.strip(), len(label))
            share = sum(_NARROW.get(c, 1.0) for c in line.text[:start]) / max(
                1e-6, sum(_NARROW.get(c, 1.0) for c in line.text)
            )
            x0, y0, x1, y1 = line.box
            yield label, rest.strip(), line.box, (x0 + share * (x1 - x0), y0, x1, y1), "pair"
        for pattern, concept in LABELLED:
            if pattern.search(line.text) and not line.text.rstrip().endswith(":"):
                yield line.text, line.text, line.box, line.box, concept
        right = None if picture.source == "ui" else _right_of(picture, line, receipt)
        if right is not None and len(words) <= 7 and not (receipt and _vague(line.text, words)):
            form = "pair"
            if _PRICE.match(right.text.strip()):
                form = next((c for p, c in AMOUNTS if p.search(line.text)), "item")
            elif receipt and not line.text.rstrip().endswith(":"):
                continue
            yield line.text, right.text, union(line.box, right.box), right.box, form
        if not receipt and 1 <= len(words) <= 5 and len(line.text) < 40:
            yield line.text, line.text, line.box, line.box, "find"


def _vague(text: str, words: list[str]) -> bool:
    """Whether a receipt has several of it, so that nobody could tell which is meant."""
    several = re.search(r"total|amount|summe|betrag|jumlah|tax", text, re.IGNORECASE)
    return len(words) <= 2 and several is not None


def _right_of(picture: RealPicture, line: Line, last: bool) -> Line | None:
    """The line at the right of one, in the same row: the next, or on receipts the last."""
    _, y0, x1, y1 = line.box
    row = [
        other
        for other in picture.lines
        if other.box[0] >= x1 - 0.01
        and min(y1, other.box[3]) - max(y0, other.box[1])
        > 0.55 * min(y1 - y0, other.box[3] - other.box[1])
    ]
    row = [other for other in row if re.search(r"\w", other.text)]
    if not row:
        return None
    near = min(row, key=lambda other: other.box[0])
    if last:
        priced = [other for other in row if _PRICE.match(other.text.strip())]
        return max(priced, key=lambda other: other.box[0]) if priced else near
    return near if near.box[0] - x1 < 0.3 else None


def _ask(rng: random.Random, picture: RealPicture, canvas: Canvas, most: int) -> list[Question]:
    rows = [f for f in canvas.fields if f.kind == "row"]
    lines = [f for f in canvas.fields if f.kind == "line"]
    rng.shuffle(rows)
    rows = rows[: round(most * 0.6)]
    rng.shuffle(lines)
    lines = lines[: max(0, most - len(rows) - 1)]
    questions = []
    for field in rows + lines:
        region = union(field.key_box, field.value_box)
        wording = phrases.in_prompt(rng, field.questions[0])
        questions.append(Question(wording, field.value, region, field.key_box, field.value_box))
    text = " ".join(word.text for word in canvas.words).lower()
    missing: list[str] = []
    if rng.random() < 0.6 and len(canvas.words) > 3:
        pattern, concept = rng.choice(ABSENT)
        if concept in phrases.concepts() and not pattern.search(text):
            missing.append(phrases.ask(rng, concept))
    if rng.random() < 0.4:
        missing.append(rng.choice(OTHERS))
    # A window without a row's answer: the same question has no answer there.
    shown = {f.value_kind for f in canvas.fields if f.kind == "row"}
    for row in picture.rows:
        hidden = row.kind in ("address", "date", "total") and row.kind not in shown
        if hidden and row.answer[:6].lower() not in text and rng.random() < 0.2:
            missing.append(row.question)
    absent = [Question(phrases.in_prompt(rng, q), "", None, None, None) for q in missing]
    return questions + absent
