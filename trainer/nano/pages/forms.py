"""Papers and windows to fill in: forms with boxed fields, dialogs; see `papers`."""

from __future__ import annotations

from functools import lru_cache

from . import phrases
from .canvas import Field, Rect, union
from .fonts import Font
from .papers import Sheet
from .tables import read_data
from .values import remark


def form(sheet: Sheet) -> float:
    """Boxed fields, their labels above, below or beside; digit cells, checks, a signature."""
    rng, canvas = sheet.rng, sheet.pen.canvas
    small, font = sheet.pen.font(rng.uniform(0.6, 0.9)), sheet.pen.font(rng.uniform(0.9, 1.3), 1)
    sheet.down(font, 1.3)
    sheet.write(sheet.left, remark(sheet.pen.lexicon, "title", sheet.language), font)
    concepts = rng.sample(phrases.concepts_of("forms"), rng.randint(4, 10))
    concepts += [""] * rng.randint(0, 4)
    rng.shuffle(concepts)
    place = rng.choice(["above", "above", "below", "left"])
    frames = rng.random() < 0.7
    pad = small.size * 0.4
    per_row = 1 if place == "left" else rng.choice([1, 2, 2, 3])
    width = (sheet.right - sheet.left) / per_row
    height = (small.bottom - small.top) + (font.bottom - font.top) + 3 * pad
    if place == "left":
        height = (font.bottom - font.top) + 2 * pad
    top = sheet.y + font.bottom + pad
    for index, concept in enumerate(concepts):
        column = index % per_row
        if column == 0 and index:
            top += height + (0 if frames else pad)
        left = sheet.left + column * width
        box = (left, top, left + width - pad, top + height)
        _box(sheet, concept, box, place, frames, small, font)
    top += height + pad
    if rng.random() < 0.6:
        line = top + font.size * 2
        canvas.draw.line((sheet.left, line, sheet.left + width * 0.8, line), fill=sheet.pen.ink)
        ink = _scribble(sheet, sheet.left + width * 0.1, line, min(width * 0.5, font.size * 7))
        sheet.y = line - small.top + pad
        key = sheet.label("signature")
        sheet.add("signature", key, "", sheet.write(sheet.left, key, small), ink)
        top = sheet.y
    return top + font.bottom


def _box(
    sheet: Sheet, concept: str, frame: Rect, place: str, frames: bool, small: Font, font: Font
) -> None:
    rng, canvas = sheet.rng, sheet.pen.canvas
    left, top, right, bottom = frame
    pad = small.size * 0.4
    if frames:
        canvas.draw.rectangle(frame, outline=sheet.pen.soft_ink())
    if concept:
        key, value = sheet.label(concept), sheet.values.value(concept)
    else:
        key, kind = sheet.pen.lexicon.key()
        value = sheet.pen.lexicon.value(kind)
    room = (right - left) * (0.4 if place == "left" else 0.9)
    key = sheet.pen.fit(small, key or concept.title(), room)
    start = left + pad if place != "left" else left + (right - left) * 0.42
    value = sheet.pen.fit(font, value, right - pad - start)
    if not key or not value:
        return
    upper = top + pad - (font if place == "below" else small).top
    sheet.y = bottom - pad - small.bottom if place == "below" else upper
    if place == "left":
        sheet.y = bottom - pad - font.bottom
    if rng.random() < 0.08 and place != "left":  # a choice of two, one of them ticked
        key_box = sheet.write(left + pad, key, small)
        sheet.y = bottom - pad - font.bottom if place == "above" else upper
        value, box = _checks(sheet, start, font, right)
    else:
        key_box = sheet.write(left + pad, key, small)
        if place != "left":
            sheet.y = bottom - pad - font.bottom if place == "above" else upper
        cells = concept in ("id_number", "account", "birth", "postcode", "date", "iban")
        step = font.length("0") * 1.7
        if cells and rng.random() < 0.35 and start + step * len(value) < right:
            box = _cells(sheet, value, start, step, font)
        else:
            box = sheet.write(start, value, font)
    sheet.add(concept, key, value, key_box, box)


def _cells(sheet: Sheet, value: str, x: float, step: float, font: Font) -> Rect:
    """Each character in a box of its own."""
    boxes = []
    for character in value:
        frame = (x, sheet.y + font.top - 2, x + step, sheet.y + font.bottom + 1)
        sheet.pen.canvas.draw.rectangle(frame, outline=sheet.pen.soft_ink())
        if character != " ":
            sheet.write(x + step / 2, character, font, "centre")
        boxes.append(frame)
        x += step
    return union(*boxes)


def _checks(sheet: Sheet, x: float, font: Font, right: float) -> tuple[str, Rect]:
    """Two boxes with words, one of them crossed; what is crossed and its place."""
    words = sheet.rng.choice([("Yes", "No"), ("Male", "Female"), ("New", "Used"), ("A", "B")])
    tick = sheet.rng.randrange(2)
    side = (font.bottom - font.top) * 0.7
    mark: Rect = (x, sheet.y - side, x + side, sheet.y)
    for index, word in enumerate(words):
        box = (x, sheet.y - side, x + side, sheet.y)
        sheet.pen.canvas.draw.rectangle(box, outline=sheet.pen.ink)
        if index == tick:
            for cross in (box, (box[0], box[3], box[2], box[1])):
                sheet.pen.canvas.draw.line(cross, fill=sheet.pen.ink, width=2)
        text = sheet.write(x + side * 1.4, word, font)
        if index == tick:
            mark = union(box, text)
        x = text[2] + font.size
    return words[tick], (mark[0], mark[1], min(mark[2], right), mark[3])


def _scribble(sheet: Sheet, x: float, y: float, width: float) -> Rect:
    rng, size = sheet.rng, sheet.pen.size
    points, at = [], x
    while at < x + width:
        points.append((at, y - size * 0.4 + rng.uniform(-1.0, 0.6) * size))
        at += width * rng.uniform(0.03, 0.12)
    sheet.pen.canvas.draw.line(points, fill=sheet.pen.ink, width=max(1, size // 9), joint="curve")
    heights = [point[1] for point in points]
    return (x, min(heights), points[-1][0], max(heights))


def dialog(sheet: Sheet) -> float:
    """A window: title, labelled inputs and switches, a list, buttons."""
    rng, canvas = sheet.rng, sheet.pen.canvas
    font, bold = sheet.pen.font(), sheet.pen.font(rng.uniform(1.1, 1.5), 1)
    soft = round(sheet.pen.paper + (sheet.pen.ink - sheet.pen.paper) * 0.15)
    sheet.down(bold, 1.3)
    title = sheet.pen.fit(bold, sheet.pen.lexicon.phrase(1, 3, "title"), sheet.right - sheet.left)
    sheet.write(sheet.left, title or "Options", bold)
    beside, far = rng.random() < 0.6, rng.random() < 0.4
    for _ in range(rng.randint(2, 7)):
        key, kind = sheet.pen.lexicon.key()
        key = sheet.pen.fit(font, key, (sheet.right - sheet.left) * 0.45) or "Mode"
        sheet.down(font, 1.7)
        key_box = sheet.write(sheet.left, key, font)
        if not beside:
            sheet.down(font, 1.4)
        start = sheet.left + (sheet.right - sheet.left) * (0.5 if beside else 0.01)
        value = sheet.pen.fit(font, sheet.pen.lexicon.value(kind), sheet.right - start - font.size)
        if not value:
            continue
        if far and beside:
            box = sheet.write(sheet.right, value, font, "right")
        else:
            edge = (start - 4, sheet.y + font.top - 3, sheet.right, sheet.y + font.bottom + 3)
            canvas.draw.rectangle(edge, fill=soft if rng.random() < 0.6 else None, outline=soft)
            box = sheet.write(start, value, font)
        sheet.add(label_concept(key), key, value, key_box, box)
    sheet.down(font, 2.2)
    x = sheet.right
    for text in rng.sample(_buttons(), rng.randint(1, 4)):
        width = font.length(text)
        if x - width - font.size * 2 < sheet.left:
            break
        frame = (x - width - font.size, sheet.y + font.top - 5, x, sheet.y + font.bottom + 5)
        canvas.draw.rounded_rectangle(frame, 4, fill=soft, outline=sheet.pen.soft_ink())
        box = sheet.write(x - font.size / 2, text, font, "right")
        canvas.fields.append(Field(text, text, box, box, "find", ""))
        x -= width + font.size * 2
    return sheet.y + font.bottom + 6


def label_concept(key: str) -> str:
    """The kind of thing that a label in English names, or empty."""
    for concept in phrases.concepts():
        if key in phrases.table("labels.txt").get((concept, "en"), ()):
            return concept
    return ""


@lru_cache(maxsize=1)
def _buttons() -> tuple[str, ...]:
    return tuple(text for row in read_data("buttons.txt") for text in row[0].split("|"))
