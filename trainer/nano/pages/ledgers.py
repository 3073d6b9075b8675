"""Invoices between two named parties, with columns and a summary; see `papers`."""

from __future__ import annotations

from .canvas import Field, Rect, union
from .fonts import Font
from .papers import Sheet, wrapped
from .questions import own_questions
from .tables import read_data


def _rows_in(file: str, language: str) -> list[list[str]]:
    """A table's rows of a language, or else those of English."""
    rows = [row for row in read_data(file) if row[0] == language]
    return rows or [row for row in read_data(file) if row[0] == "en"]


def ledger(sheet: Sheet) -> float:
    """An invoice between two named parties: their blocks side by side, columns, a summary."""
    rng, values = sheet.rng, sheet.values
    font, bold = sheet.pen.font(), sheet.pen.font(rng.uniform(1.0, 1.4), 1)
    sheet.down(bold, 1.2)
    sheet.pair("invoice", values.value("invoice"), bold, sheet.left)
    sheet.down(font, rng.uniform(1.0, 2.5))
    sheet.pair("date", values.value("date"), font, sheet.left)
    sheet.down(font, rng.uniform(1.0, 3.0))
    top, lowest = sheet.y, sheet.y
    room = (sheet.right - sheet.left) / 2
    for column, (_, headings, names) in enumerate(_rows_in("parties.txt", sheet.language)):
        sheet.y = top
        _party(sheet, sheet.left + column * room, room * 0.94, headings, names, font, bold, column)
        lowest = max(lowest, sheet.y)
    sheet.y = lowest
    sheet.down(bold, rng.uniform(1.2, 2.5))
    sheet.write(sheet.left, rng.choice(["ITEMS", "Items", "Products", "Description"]), bold)
    total = _rows(sheet, font, bold)
    sheet.down(bold, rng.uniform(1.2, 2.5))
    _summary(sheet, total, font, bold)
    return sheet.y + font.bottom


def _party(
    sheet: Sheet,
    left: float,
    room: float,
    headings: str,
    names: str,
    font: Font,
    bold: Font,
    column: int,
) -> None:
    rng, values, fields = sheet.rng, sheet.values, sheet.pen.canvas.fields
    heading, name = rng.choice(headings.split("|")), rng.choice(names.split("|"))
    key_box = sheet.write(left, heading + rng.choice([":", ""]), bold)
    sheet.down(font, rng.uniform(1.0, 2.0))
    firm = sheet.pen.fit(font, values.company(sheet.language), room) or "A & B"
    firm_box = sheet.write(left, firm, font)
    english = sheet.language == "en"
    own = own_questions("party", name=name) if english else ()
    kind = "" if column else "company"
    fields.append(Field(heading, firm, key_box, firm_box, "pair", kind, None, own))
    lines, boxes = [], []
    for line in values.address(sheet.language):
        text = sheet.pen.fit(font, line, room)
        if text:
            sheet.down(font)
            lines.append(text)
            boxes.append(sheet.write(left, text, font))
    if boxes:
        own = own_questions("party address", name=name) if english else ()
        key, value, at = f"{heading} address", ", ".join(lines), union(key_box, firm_box)
        fields.append(Field(key, value, at, union(*boxes), "pair", "", None, own))
    sheet.down(font, rng.uniform(0.2, 1.2))
    for concept in ("tax_id", "iban", "phone", "email"):
        if rng.random() < (0.75 if concept == "tax_id" else 0.4 - 0.2 * column):
            sheet.down(font)
            label, value = sheet.label(concept) or concept, values.value(concept)
            if font.length(f"{label}: {value}") > room:
                continue
            at = sheet.write(left, f"{label}:", font)
            box = sheet.write(at[2] + font.length("n"), value, font)
            own = own_questions("party detail", name=name, label=label) if english else ()
            fields.append(Field(f"{heading} {label}", value, at, box, "pair", "", None, own))


_SHARES = (0.0, 0.06, 0.46, 0.55, 0.66, 0.78, 0.86, 1.0)
"""Where columns end, right-aligned, in shares of the width; the second starts at the left."""


def _rows(sheet: Sheet, font: Font, bold: Font) -> int:
    """A table of what was sold, with some of eight columns; returns the sum in cents."""
    rng, values = sheet.rng, sheet.values
    width = sheet.right - sheet.left
    (_, *columns), *_ = _rows_in("columns.txt", sheet.language)
    names = [rng.choice(column.split("|")) for column in columns]
    shown = [0, 1, 2, *sorted(rng.sample([3, 4, 5, 6], rng.randint(1, 3))), 7]
    small = sheet.pen.font(rng.uniform(0.75, 1.0), 1)
    sheet.down(small, rng.uniform(1.3, 2.0))
    for column in shown:
        _in_column(sheet, column, names[column], small, width)
    if rng.random() < 0.6:
        y = sheet.y + small.bottom
        sheet.pen.canvas.draw.line((sheet.left, y, sheet.right, y), fill=sheet.pen.soft_ink())
    total = 0
    for index in range(rng.randint(1, 9)):
        price, count = values.cents(), rng.randint(1, 9)
        total += price * count
        gross = round(price * count * 1.1)
        texts = [f"{index + 1}", "", f"{count}", "each", values.money(price),
                 values.money(price * count), "10%", values.money(gross)]  # fmt: skip
        phrase = sheet.pen.lexicon.phrase(2, 9, "title")
        lines = wrapped(font, phrase, width * 0.36, 3) or ["Item"]
        sheet.down(font, rng.uniform(1.1, 1.7))
        boxes = {c: _in_column(sheet, c, texts[c], font, width) for c in shown if c != 1}
        first, key_boxes = sheet.y, []
        for number, line in enumerate(lines):
            sheet.y = first if number == 0 else sheet.down(font)
            key_boxes.append(sheet.write(sheet.left + width * 0.06, line, font))
        key = " ".join(" ".join(lines).split()[: rng.randint(2, 5)])
        column = rng.choice([c for c in shown if c > 1 and c != 3])
        own: tuple[str, ...] = ()
        if sheet.language == "en":
            what = names[column]
            own = own_questions("column", column=what, lower=what.lower(), key=key)
        form = "count" if column == 2 else "item" if column == 7 else "row"
        value_box = boxes[column]
        if form == "row" and not own:
            column, form, value_box = 7, "item", boxes[7]
        field = Field(key, texts[column], union(*key_boxes), value_box, form, "", None, own)
        sheet.pen.canvas.fields.append(field)
    return total


def _in_column(sheet: Sheet, column: int, text: str, font: Font, width: float) -> Rect:
    if column < 2:
        return sheet.write(sheet.left + width * _SHARES[column], text, font)
    return sheet.write(sheet.left + width * _SHARES[column], text, font, "right")


def _summary(sheet: Sheet, net: int, font: Font, bold: Font) -> None:
    """Net, tax and gross as columns, with a row for the sum; or the gross alone."""
    rng, values = sheet.rng, sheet.values
    width, sign = sheet.right - sheet.left, rng.choice(["", "", "$ ", "$", "€ "])
    tax = round(net * 0.1)
    concepts = ("subtotal", "tax", "total")
    amounts = dict(zip(concepts, (net, tax, net + tax), strict=True))
    at = dict(zip(concepts, (0.62, 0.8, 1.0), strict=True))
    sheet.write(sheet.left, rng.choice(["SUMMARY", "Summary", "Total"]), bold)
    sheet.down(font, rng.uniform(1.2, 2.0))
    heads = {}
    for concept in concepts:
        key = sheet.pen.fit(font, sheet.label(concept) or concept.title(), width * 0.2)
        heads[concept] = (key, sheet.write(sheet.left + width * at[concept], key, font, "right"))
    sheet.down(font, rng.uniform(1.1, 1.6))
    sheet.write(sheet.left + width * 0.3, "10%", font)
    single = rng.random() < 0.5
    for concept in concepts:
        x = sheet.left + width * at[concept]
        box = sheet.write(x, values.money(amounts[concept]), font, "right")
        if single:
            key, key_box = heads[concept]
            sheet.add(concept, key, values.money(amounts[concept]), key_box, box)
    if single:
        return
    sheet.down(font, rng.uniform(1.1, 1.6))
    word = {"en": "Total", "de": "Summe", "fr": "Total"}.get(sheet.language, "Total")
    row = sheet.write(sheet.left + width * 0.3, word, bold)
    for concept in concepts:
        text = sign + values.money(amounts[concept])
        box = sheet.write(sheet.left + width * at[concept], text, bold, "right")
        near = heads[concept][1] if concept != "total" or rng.random() < 0.5 else row
        sheet.add(concept, heads[concept][0], text, near, box)
