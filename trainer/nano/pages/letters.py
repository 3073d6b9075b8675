"""Letters: sender, recipient, date and subject without a label, a foot in columns; see `papers`."""

from __future__ import annotations

from .canvas import Field, union
from .fonts import Font
from .papers import Sheet, items, totals, wrapped
from .phrases import concepts_of
from .questions import own_questions
from .values import papers, remark


def letter(sheet: Sheet) -> float:
    """A letter as firms and offices write it; of some, the text is a table of amounts."""
    rng = sheet.rng
    font, small = sheet.pen.font(), sheet.pen.font(rng.uniform(0.65, 0.85))
    bold = sheet.pen.font(rng.uniform(1.0, 1.8), 1)
    foot = rng.sample(concepts_of("letter foot"), rng.randint(3, 7))
    _letterhead(sheet, font, small, bold, foot)
    sheet.down(font, rng.uniform(0.6, 2.5))
    _recipient(sheet, font, small)
    facts = [c for c in concepts_of("letter") if rng.random() < 0.3]
    start = sheet.left + (sheet.right - sheet.left) * rng.choice([0.0, 0.5, 0.6])
    if rng.random() < 0.75:
        _place_and_date(sheet, font)
    elif "date" not in facts:
        facts.append("date")
    for concept in facts:
        sheet.down(font, 1.1)
        sheet.pair(concept, sheet.values.value(concept), font, start)
    sheet.down(bold, rng.uniform(1.2, 2.2))
    subject = remark(sheet.pen.lexicon, "title", sheet.language)
    if rng.random() < 0.4:
        subject = f"{subject} {sheet.values.value('reference')}"
    subject = sheet.pen.fit(bold, subject, sheet.right - sheet.left)
    if subject:
        box = sheet.write(sheet.left, subject, bold)
        own = own_questions("letter")
        sheet.pen.canvas.fields.append(Field("", subject, box, box, "kind", "", None, own))
    sheet.down(font, 0.8)
    if rng.random() < 0.7:
        sheet.down(font, 1.2)
        sheet.write(sheet.left, papers_line(sheet, "greeting"), font)
    prose(sheet, font, rng.randint(2, 6))
    if rng.random() < 0.45:
        totals(sheet, items(sheet, font), font, sheet.pen.font(1.0, 1))
        prose(sheet, font, rng.randint(0, 2))
    _signed(sheet, font)
    _foot(sheet, small, [c for c in foot if rng.random() < 0.8])
    return sheet.y + font.bottom


def papers_line(sheet: Sheet, what: str) -> str:
    """A text of `remarks.txt` that fits on a line."""
    return remark(sheet.pen.lexicon, what, sheet.language)


def prose(sheet: Sheet, font: Font, sentences: int) -> None:
    """Sentences that name what may be asked for, one after the other in lines."""
    if not sentences:
        return
    text = " ".join(remark(sheet.pen.lexicon, "prose", sheet.language) for _ in range(sentences))
    sheet.down(font, 0.4)
    for line in wrapped(font, text, sheet.right - sheet.left, 8):
        sheet.down(font)
        sheet.write(sheet.left, line, font)


def _letterhead(sheet: Sheet, font: Font, small: Font, bold: Font, foot: list[str]) -> None:
    rng, values = sheet.rng, sheet.values
    align = rng.choice(["left", "left", "right", "centre"])
    x = {"left": sheet.left, "right": sheet.right, "centre": (sheet.left + sheet.right) / 2}[align]
    room = (sheet.right - sheet.left) * 0.7
    sheet.down(bold, 1.2)
    person = rng.random() < 0.3
    name = values.value("customer") if person else values.company(sheet.language)
    name = sheet.pen.fit(bold, name, room) or "STUDIO"
    box = sheet.write(x, name, bold, align)
    sheet.add("company", "", name, box, box)
    if rng.random() < 0.6:
        lines = [sheet.pen.fit(small, line, room) for line in values.address(sheet.language)]
        sheet.block("address", [line for line in lines if line] or ["1"], small, x, align)
    for concept in rng.sample(foot, min(len(foot), rng.randint(0, 2))):
        foot.remove(concept)
        sheet.down(small)
        value, key = values.value(concept), sheet.label(concept)
        text = f"{key}: {value}" if key else value
        if small.length(text) < room:
            whole = sheet.write(x, text, small, align)
            start = whole[2] - small.length(value)
            sheet.add(concept, key, value, whole, (start, whole[1], whole[2], whole[3]))


def _recipient(sheet: Sheet, font: Font, small: Font) -> None:
    """The window: who it is for, at the left, in some below a line of the sender's in small."""
    rng, values = sheet.rng, sheet.values
    room = (sheet.right - sheet.left) * 0.5
    left = sheet.left if rng.random() < 0.85 else sheet.left + room
    if rng.random() < 0.4:
        sender = " · ".join([values.company(sheet.language), *values.address(sheet.language)[-2:]])
        sheet.down(small)
        sheet.write(left, sheet.pen.fit(small, sender, room), small)
    lines = [values.value("customer"), *values.address(sheet.language)]
    if rng.random() < 0.3:
        lines.insert(rng.randint(0, 1), values.company(sheet.language))
    boxes, name = [], lines[0]
    for line in lines:
        text = sheet.pen.fit(font, line, room)
        if text:
            sheet.down(font)
            boxes.append(sheet.write(left, text, font))
    if boxes:
        sheet.add("customer", "", name, union(*boxes), boxes[0])


def _place_and_date(sheet: Sheet, font: Font) -> None:
    rng, values = sheet.rng, sheet.values
    date, place = values.date(), values.value("city")
    before = rng.choice([f"{place}, ", f"{place}, ", f"{place}, den " if sheet.language == "de" else
                         f"{place} ", ""])  # fmt: skip
    sheet.down(font, rng.uniform(1.0, 2.5))
    at_right = rng.random() < 0.7
    x, align = (sheet.right, "right") if at_right else (sheet.left, "left")
    whole = sheet.write(x, before + date, font, align)
    start = whole[0] + font.length(before)
    sheet.add("date", "", date, whole, (start, whole[1], whole[2], whole[3]))


def _signed(sheet: Sheet, font: Font) -> None:
    sheet.down(font, sheet.rng.uniform(1.0, 2.0))
    sheet.write(sheet.left, papers_line(sheet, "closing"), font)
    sheet.down(font, sheet.rng.uniform(1.2, 3.0))
    name = sheet.values.value("name")
    box = sheet.write(sheet.left, name, font)
    sheet.add("signature", "", name, box, box)


def _foot(sheet: Sheet, small: Font, concepts: list[str]) -> None:
    """Small, in one to three columns, some below a rule."""
    rng = sheet.rng
    sheet.down(small, rng.uniform(1.0, 3.0))
    if rng.random() < 0.6:
        sheet.rule(small)
    columns = rng.randint(1, 3)
    room = (sheet.right - sheet.left) / columns
    firm = papers("firm", sheet.language)
    rng.shuffle(concepts)
    top, lowest = sheet.y, sheet.y
    for column in range(columns):
        sheet.y = top
        if rng.random() < 0.4:
            sheet.down(small)
            text = f"{sheet.pen.lexicon.word().title()} {rng.choice(firm)}"
            sheet.write(sheet.left + column * room, sheet.pen.fit(small, text, room), small)
        for concept in concepts[column::columns]:
            value = sheet.values.value(concept)
            if small.length(value) + small.length("Telephone: ") < room:
                sheet.down(small)
                sheet.pair(concept, value, small, sheet.left + column * room)
        lowest = max(lowest, sheet.y)
    sheet.y = lowest
