"""Papers of blocks: a heading over several lines, a label over its value without a frame; see
`papers`."""

from __future__ import annotations

from .canvas import Field, union
from .fonts import Font
from .papers import Sheet
from .phrases import concepts_of
from .values import papers, remark


def statement(sheet: Sheet) -> float:
    """Blocks under headings, values under labels in one to three columns, a line of prose."""
    rng = sheet.rng
    font, bold = sheet.pen.font(), sheet.pen.font(rng.uniform(1.0, 1.5), 1)
    sheet.down(bold, 1.4)
    title = sheet.pen.fit(
        bold, remark(sheet.pen.lexicon, "title", sheet.language), sheet.right - sheet.left
    )
    sheet.write(sheet.left, title or "Statement", bold)
    sheet.down(font, rng.uniform(0.5, 2.0))
    if rng.random() < 0.7:
        _blocks(sheet, font, bold if rng.random() < 0.5 else font)
    _facts(sheet, font, sheet.pen.font(rng.uniform(0.7, 1.0), rng.randint(0, 1)))
    for _ in range(rng.randint(0, 3)):
        sheet.down(font, 1.1)
        text = remark(sheet.pen.lexicon, "prose", sheet.language)
        sheet.write(sheet.left, sheet.pen.fit(font, text, sheet.right - sheet.left), font)
    return sheet.y + font.bottom


def _blocks(sheet: Sheet, font: Font, head: Font) -> None:
    """One or two addresses side by side, each under its heading, which is what asks for it."""
    rng = sheet.rng
    headings = papers("heading", sheet.language)
    count = rng.randint(1, 2)
    room = (sheet.right - sheet.left) / count
    top, lowest = sheet.y, sheet.y
    for column, heading in enumerate(rng.sample(headings, count)):
        left, sheet.y = sheet.left + column * room, top
        sheet.down(head)
        key_box = sheet.write(left, heading, head)
        lines = [sheet.values.value("customer"), *sheet.values.address(sheet.language)]
        boxes = []
        for line in lines:
            text = sheet.pen.fit(font, line, room - font.size)
            if text:
                sheet.down(font)
                boxes.append(sheet.write(left, text, font))
        if boxes:
            field = Field(heading, ", ".join(lines), key_box, union(*boxes), "pair", "")
            sheet.pen.canvas.fields.append(field)
        lowest = max(lowest, sheet.y)
    sheet.y = lowest
    sheet.down(font, rng.uniform(0.5, 2.0))


def _facts(sheet: Sheet, font: Font, small: Font) -> None:
    """Labels over values, without frames."""
    rng = sheet.rng
    concepts = rng.sample(concepts_of("statements"), rng.randint(3, 8))
    concepts += [""] * rng.randint(0, 3)
    rng.shuffle(concepts)
    columns = rng.choice([1, 1, 2, 3])
    room = (sheet.right - sheet.left) / columns
    gap, space = rng.uniform(0.9, 1.6), rng.uniform(0.3, 1.4)
    top = sheet.y
    for index, concept in enumerate(concepts):
        column = index % columns
        if column == 0:
            sheet.down(small, 1.0 + space)
            top = sheet.y
        sheet.y = top
        left = sheet.left + column * room
        if concept:
            key, value = sheet.label(concept) or concept.title(), sheet.values.value(concept)
        else:
            key, kind = sheet.pen.lexicon.key()
            value = sheet.pen.lexicon.value(kind)
        key = sheet.pen.fit(small, key, room - font.size)
        value = sheet.pen.fit(font, value, room - font.size)
        if key and value:
            key_box = sheet.write(left, key, small)
            sheet.down(font, gap)
            sheet.add(concept, key, value, key_box, sheet.write(left, value, font))
        else:
            sheet.down(font, gap)
