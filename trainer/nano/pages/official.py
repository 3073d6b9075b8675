"""Papers with numbered boxes and typed labels: tax forms and memos; see `papers`."""

from __future__ import annotations

import re
from itertools import pairwise

from .canvas import Field, Rect, union
from .fonts import Font
from .papers import Sheet, wrapped
from .phrases import concepts_of, table
from .questions import own_questions
from .values import remark


def tax_form(sheet: Sheet) -> float:
    """Numbered boxes with long labels, or numbered lines with their amounts at the right."""
    rng = sheet.rng
    font, small = sheet.pen.font(rng.uniform(0.9, 1.2), 1), sheet.pen.font(rng.uniform(0.7, 0.95))
    bold = sheet.pen.font(rng.uniform(1.2, 1.8))
    sheet.down(bold, 1.2)
    text = remark(sheet.pen.lexicon, "title", sheet.language)
    title = sheet.pen.fit(bold, text, sheet.right - sheet.left)
    sheet.write(sheet.left, title, bold)
    number = rng.randint(1, 3)
    parts = [_grid, _numbered] if rng.random() < 0.4 else [rng.choice([_grid, _grid, _numbered])]
    for part in parts:
        sheet.down(small, rng.uniform(1.0, 2.0))
        number = part(sheet, font, small, number)
    return sheet.y + font.bottom


def long_label(sheet: Sheet) -> str:
    """Of several words, as offices have them."""
    rng = sheet.rng
    text = rng.choice(table("papers.txt")["tax label", "en"])
    for mark in "abcd":
        text = text.replace(f"{{{mark}}}", decoy(sheet))
    return text[0].upper() + text[1:]


def decoy(sheet: Sheet) -> str:
    """A word in small letters; now and then one of those that questions about others have."""
    common = table("applications.txt")
    if sheet.rng.random() < 0.35:
        return sheet.rng.choice(common.get(("common", sheet.language)) or common["common", "en"])
    return sheet.pen.lexicon.word().lower()


def _filling(sheet: Sheet, number: int) -> tuple[str, str, str, tuple[str, ...]]:
    """Concept, label, value and own questions of a box."""
    rng = sheet.rng
    suffix = rng.choice(["", "", "", "a", "b"])
    if rng.random() < 0.35:
        concept = rng.choice(concepts_of("tax"))
        return concept, sheet.label(concept) or concept.title(), sheet.values.value(concept), ()
    value = rng.choice([sheet.values.money(sheet.values.cents() * 20), sheet.pen.lexicon.code(),
                        sheet.values.money(sheet.values.cents() * 20)])  # fmt: skip
    own = own_questions("box", n=f"{number}{suffix}")
    return "", f"{number}{suffix} {long_label(sheet)}", value, own if rng.random() < 0.25 else ()


def _grid(sheet: Sheet, font: Font, small: Font, number: int) -> int:
    rng, canvas = sheet.rng, sheet.pen.canvas
    pad, width = small.size * 0.35, sheet.right - sheet.left
    lines = rng.randint(1, 3)
    height = lines * (small.bottom - small.top) * 1.1 + (font.bottom - font.top) * 1.3 + 2 * pad
    top = sheet.y
    right_aligned = rng.random() < 0.4
    for _ in range(rng.randint(4, 11)):
        cuts = sorted(rng.uniform(0.15, 0.85) for _ in range(rng.randint(0, 3)))
        cuts = [c for c, before in zip(cuts, [0.0, *cuts], strict=False) if c - before > 0.16]
        edges = [0.0, *cuts, 1.0]
        for start, end in pairwise(edges):
            left, right = sheet.left + start * width, sheet.left + end * width
            canvas.draw.rectangle((left, top, right, top + height), outline=sheet.pen.soft_ink())
            concept, label, value, own = _filling(sheet, number)
            number += 1
            boxes, texts = [], wrapped(small, label, right - left - 2 * pad, lines)
            for index, text in enumerate(texts):
                sheet.y = top + pad - small.top + index * (small.bottom - small.top) * 1.1
                boxes.append(sheet.write(left + pad, text, small))
            value = sheet.pen.fit(font, value, right - left - 2 * pad)
            if not boxes or not value or rng.random() < 0.2:
                continue
            sheet.y = top + height - pad - font.bottom
            align = "right" if right_aligned and not concept else "left"
            box = sheet.write(right - pad if align == "right" else left + pad, value, font, align)
            _put(sheet, concept, " ".join(texts), value, union(*boxes), box, own)
        top += height
    sheet.y = top
    return number


def _numbered(sheet: Sheet, font: Font, small: Font, number: int) -> int:
    rng, canvas = sheet.rng, sheet.pen.canvas
    width = sheet.right - sheet.left
    ruler = rng.random() < 0.6
    start = sheet.right - width * rng.uniform(0.16, 0.28)
    text_font = small if rng.random() < 0.5 else font
    for _ in range(rng.randint(6, 18)):
        label, texts, boxes = long_label(sheet), [], []
        if rng.random() < 0.5:
            label += ". " + sheet.pen.lexicon.phrase(2, 8, "sentence")
        texts = wrapped(text_font, label, start - sheet.left - text_font.size * 4, 2)
        if not texts:
            continue
        sheet.down(font, 1.15)
        sheet.write(sheet.left, str(number), text_font)
        for index, text in enumerate(texts):
            if index:
                sheet.down(text_font, 1.0)
            boxes.append(sheet.write(sheet.left + text_font.size * 2.2, text, text_font))
        dots = boxes[-1][2] + text_font.size
        if rng.random() < 0.6:
            while dots < start - text_font.size * 2:
                canvas.draw.text(
                    (dots, sheet.y), ".", fill=sheet.pen.ink, font=text_font.pil, anchor="ls"
                )
                dots += text_font.size * 0.8
        if ruler:
            sheet.write(start - text_font.size * 1.4, str(number), text_font)
            edge = (start, sheet.y + font.top - 1, sheet.right, sheet.y + font.bottom)
            canvas.draw.rectangle(edge, outline=sheet.pen.soft_ink())
        own = own_questions("line", n=str(number))
        number += 1
        if rng.random() < 0.15:
            continue
        value = sheet.values.money(sheet.values.cents() * 20)
        box = sheet.write(sheet.right - 3, value, font, "right")
        own = own if rng.random() < 0.3 else ()
        _put(sheet, "", " ".join(texts), value, union(*boxes), box, own)
    return number


def _put(
    sheet: Sheet, concept: str, key: str, value: str, key_box: Rect, box: Rect, own: tuple[str, ...]
) -> None:
    """Registers a field; of a long label people say a part, too."""
    key = re.sub(r"^\d+[ab]? ", "", key)
    words = key.split()
    if len(words) > 4 and not own and sheet.rng.random() < 0.5:
        own = (" ".join(words[: sheet.rng.randint(3, len(words))]).strip(" .,"),)
    sheet.pen.canvas.fields.append(Field(key, value, key_box, box, "pair", concept, None, own))


def memo(sheet: Sheet) -> float:
    """A typed sheet: capitals and colons, one or two to a line, on rules, lines of prose, ticks."""
    rng = sheet.rng
    font, bold = sheet.pen.font(), sheet.pen.font(rng.uniform(1.0, 1.5), 1)
    width = sheet.right - sheet.left
    sheet.down(bold, 1.2)
    title = sheet.pen.fit(bold, remark(sheet.pen.lexicon, "title", sheet.language).upper(), width)
    sheet.write((sheet.left + sheet.right) / 2, title, bold, "centre")
    ruled, upper = rng.random() < 0.6, rng.random() < 0.6
    stops = [sheet.left, sheet.left + width * rng.uniform(0.45, 0.6)]
    tab = width * rng.choice([0.0, 0.0, 0.18, 0.22])
    for _ in range(rng.randint(7, 26)):
        sheet.down(font, rng.uniform(1.1, 2.2))
        if rng.random() < 0.12:
            text = remark(sheet.pen.lexicon, "prose", sheet.language)
            sheet.write(sheet.left, sheet.pen.fit(font, text, width), font)
            continue
        count = rng.choice([1, 1, 2])
        for index in range(count):
            stop = stops[1] - font.size if index + 1 < count else sheet.right
            room = (stops[index], stop)
            _typed(sheet, room, 0.0 if index else tab, ruled, upper, font, 3 - count)
    return sheet.y + font.bottom


def _typed(
    sheet: Sheet,
    room: tuple[float, float],
    tab: float,
    ruled: bool,
    upper: bool,
    font: Font,
    most: int,
) -> None:
    """A label with a colon, and on up to `most` lines its value, or nothing."""
    rng, lexicon = sheet.rng, sheet.pen.lexicon
    left, right = room
    concept = rng.choice(concepts_of("memo")) if rng.random() < 0.4 else ""
    if concept:
        key, value = sheet.label(concept) or concept.title(), sheet.values.value(concept)
    else:
        key, kind = lexicon.key()
        value = lexicon.value(kind) if rng.random() < 0.6 else lexicon.phrase(1, 7, "title")
    key = (key.upper() if upper else key).rstrip(":") + ":"
    if font.length(key) > (right - left) * 0.6:
        return
    key_box = sheet.write(left, key, font)
    start = max(key_box[2] + font.length("n") * rng.uniform(0.4, 2.0), left + tab)
    if ruled:
        y = sheet.y + font.bottom * 0.5
        sheet.pen.canvas.draw.line((start, y, right, y), fill=sheet.pen.soft_ink())
    if rng.random() < 0.15:  # left empty
        return
    lines = wrapped(font, value, right - start, most)
    boxes = []
    for index, line in enumerate(lines):
        if index:
            sheet.down(font)
        boxes.append(sheet.write(start, line, font))
    if boxes:
        field = Field(key.rstrip(":"), " ".join(lines), key_box, union(*boxes), "pair", concept)
        sheet.pen.canvas.fields.append(field)
