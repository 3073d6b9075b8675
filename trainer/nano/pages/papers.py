"""Papers with values by kind, as the real ones look: receipts and invoices; forms in `forms`.

Each paper writes from the top of a tall sheet and returns how far down it came. A field's
`value_kind` is its concept (see `phrases`) or empty; its `kind` is the form of question that names
its key: "pair", "item" or "find", or "kind" where nothing is printed beside the value.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from . import phrases
from .canvas import Field, Rect, union
from .fonts import Font
from .layouts import Pen
from .values import Values, remark

Paper = Callable[["Sheet"], float]


@dataclass
class Sheet:
    """What a paper is written on: a pen, the margins in px, the language of the labels."""

    pen: Pen
    values: Values
    left: float
    right: float
    language: str
    y: float = 0.0

    @property
    def rng(self) -> random.Random:
        """The only source of chance."""
        return self.pen.rng

    def label(self, concept: str) -> str:
        """What the paper prints beside a thing; may be empty."""
        table = phrases.table("labels.txt")
        forms = table.get((concept, self.language)) or table[concept, "en"]
        return self.rng.choice(forms)

    def add(self, concept: str, key: str, value: str, key_box: Rect, value_box: Rect) -> None:
        """Registers a value that can be asked for by its kind, and by its key if it has one."""
        form = "pair" if key.strip(" :.") else "kind"
        self.pen.canvas.fields.append(
            Field(key.strip(" :."), value, key_box, value_box, form, concept)
        )

    def down(self, font: Font, lines: float = 1.0) -> float:
        """The next baseline, `lines` lines further down."""
        self.y += lines * (font.bottom - font.top) * 1.18
        return self.y

    def write(self, x: float, text: str, font: Font, align: str = "left") -> Rect:
        """Writes on the present baseline: from x, up to x, or round x."""
        width = font.length(text)
        x -= {"left": 0.0, "right": width, "centre": width / 2}[align]
        return self.pen.canvas.text(x, self.y, text, font, self.pen.ink)

    def rule(self, font: Font) -> None:
        """A line across: drawn, of dashes or of equals signs."""
        style = self.rng.choice(["-", "=", "*", "line", "none", "none"])
        self.down(font, 0.8)
        if style == "line":
            y = self.y + font.top * 0.4
            self.pen.canvas.draw.line((self.left, y, self.right, y), fill=self.pen.ink)
        elif style != "none":
            text = style * int((self.right - self.left) / max(1.0, font.length(style)))
            self.pen.canvas.draw.text(
                (self.left, self.y), text, fill=self.pen.ink, font=font.pil, anchor="ls"
            )

    def pair(
        self, concept: str, value: str, font: Font, at: float, to: float | None = None
    ) -> Rect:
        """Label and value on the present line: side by side, or the value ending at `to`."""
        key = self.label(concept)
        if font.length(key) > 0.55 * (self.right - at):
            key = min((self.label(concept) for _ in range(6)), key=len)
        mark = self.rng.choice([":", ": ", " :", ""]) if key and key[-1] not in ":?" else ""
        if not key:
            box = self.write(to if to else at, value, font, "right" if to else "left")
            self.add(concept, "", value, box, box)
            return box
        key_box = self.write(at, key + mark, font)
        gap = font.length("n") * self.rng.uniform(0.4, 1.2)
        if to and key_box[2] + gap + font.length(value) < to:
            value_box = self.write(to, value, font, "right")
        else:
            value_box = self.write(key_box[2] + gap, value, font)
        self.add(concept, key, value, key_box, value_box)
        return union(key_box, value_box)

    def block(self, concept: str, lines: list[str], font: Font, x: float, align: str) -> None:
        """A value of several lines without a label, such as an address."""
        boxes = []
        for line in lines:
            self.down(font)
            boxes.append(self.write(x, line, font, align))
        box = union(*boxes)
        self.add(concept, "", ", ".join(lines), box, box)


def wrapped(font: Font, text: str, room: float, most: int) -> list[str]:
    """A text on at most `most` lines of `room` px; what does not fit is left away."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.length(f"{lines[-1]} {word}") <= room:
            lines[-1] = f"{lines[-1]} {word}"
        elif len(lines) == most or font.length(word) > room:
            break
        else:
            lines.append(word)
    return lines


def receipt(sheet: Sheet) -> float:
    """A till's strip: unlabelled head, items with prices at the far right, several totals."""
    rng, values = sheet.rng, sheet.values
    font, bold = sheet.pen.font(), sheet.pen.font(rng.uniform(1.0, 1.6), 1)
    _head(sheet, font, bold)
    if rng.random() < 0.6:
        sheet.down(font, 1.3)
        sheet.write((sheet.left + sheet.right) / 2, values.title(sheet.language), font, "centre")
    meta = phrases.concepts_of("receipt")
    concepts = [c for c in meta if rng.random() < (0.95 if c == "date" else 0.4)]
    rng.shuffle(concepts)
    late = rng.random() < 0.3  # below the totals
    if not late:
        _meta(sheet, concepts, font)
    amounts = items(sheet, font)
    totals(sheet, amounts, font, bold)
    if late:
        _meta(sheet, concepts, font)
    for _ in range(rng.randint(0, 3)):
        sheet.down(font, 1.2)
        said = remark(sheet.pen.lexicon, "prose", sheet.language)
        text = sheet.pen.fit(font, said, sheet.right - sheet.left)
        sheet.write((sheet.left + sheet.right) / 2, text, font, "centre")
    return sheet.y + font.bottom


def _head(sheet: Sheet, font: Font, bold: Font) -> None:
    rng, values = sheet.rng, sheet.values
    align = "centre" if rng.random() < 0.75 else "left"
    x = (sheet.left + sheet.right) / 2 if align == "centre" else sheet.left
    room = sheet.right - sheet.left
    sheet.down(bold, 1.2)
    name = sheet.pen.fit(bold, values.company(sheet.language), room) or "KIOSK"
    box = sheet.write(x, name, bold, align)
    sheet.add("company", "", name, box, box)
    contacts = [c for c in phrases.concepts_of("contact") if rng.random() < 0.4]
    if rng.random() < 0.35 and "register" not in contacts:
        sheet.down(font)
        sheet.write(x, f"({values.value('register')})", font, align)
    lines = [sheet.pen.fit(font, line, room) for line in values.address(sheet.language)]
    lines = [line for line in lines if line]
    if lines and rng.random() < 0.92:
        sheet.block("address", lines, font, x, align)
    rng.shuffle(contacts)
    for concept in contacts:
        sheet.down(font)
        value = values.value(concept)
        key = sheet.label(concept)
        text = f"{key}: {value}" if key else value
        if font.length(text) > room:
            continue
        whole = sheet.write(x, text, font, align)
        start = whole[0] + font.length(text[: len(text) - len(value)])
        sheet.add(concept, key, value, whole, (start, whole[1], whole[2], whole[3]))


def _meta(sheet: Sheet, concepts: list[str], font: Font) -> None:
    sheet.rule(font)
    rng = sheet.rng
    middle = sheet.left + (sheet.right - sheet.left) * rng.uniform(0.5, 0.6)
    index = 0
    while index < len(concepts):
        sheet.down(font)
        value = sheet.values.value(concepts[index])
        box = sheet.pair(concepts[index], value, font, sheet.left)
        index += 1
        if index < len(concepts) and box[2] < middle and rng.random() < 0.5:
            value = sheet.values.value(concepts[index])
            if middle + font.length("Telephone: ") + font.length(value) < sheet.right:
                sheet.pair(concepts[index], value, font, middle)
                index += 1


def items(sheet: Sheet, font: Font) -> list[int]:
    """Writes bought things; their prices in cents."""
    rng, values = sheet.rng, sheet.values
    sheet.rule(font)
    style = rng.choice(["line", "line", "below", "columns"])
    room = sheet.right - sheet.left
    suffix = rng.choice(["", "", "", " A", " SR", " *", " B"])
    case = rng.choice(["upper", "upper", "title", "lower"])
    cents = []
    for _ in range(rng.randint(1, 9)):
        price, count = values.cents(), rng.choice([1, 1, 1, 2, 3])
        amount = values.money(price * count) + suffix
        name = sheet.pen.lexicon.phrase(1, 4, case)
        if rng.random() < 0.25:
            name = f"{name} {rng.choice(['500G', '2L', '1KG', '6X', '250ML', '12PK', 'XL'])}"
        if style == "columns" or rng.random() < 0.1:
            name = f"{count} {'x ' if rng.random() < 0.3 else ''}{name}"
        width = room * (0.9 if style == "below" else 0.66)
        name = sheet.pen.fit(font, name, width) or "ITEM 1"
        sheet.down(font, 1.1)
        key_box = region = sheet.write(sheet.left, name, font)
        if style == "below":
            if rng.random() < 0.3:
                sheet.down(font)
                sheet.write(sheet.left, str(rng.randrange(10**6, 10**9)), font)
            sheet.down(font)
            each = f"{count} X {values.money(price)}"
            region = union(region, sheet.write(sheet.left + room * 0.3, each, font))
        elif style == "columns" and key_box[2] < sheet.left + room * 0.55:
            sheet.write(sheet.left + room * 0.72, values.money(price), font, "right")
        box = sheet.write(sheet.right, amount, font, "right")
        sheet.pen.canvas.fields.append(Field(name, amount, region, box, "item", ""))
        cents.append(price * count)
    return cents


def totals(sheet: Sheet, amounts: list[int], font: Font, bold: Font) -> None:
    """Writes what follows the items: sum, tax, cash, change and so on."""
    rng, values = sheet.rng, sheet.values
    total = sum(amounts)
    rows = {
        "quantity": str(len(amounts)),
        "subtotal": values.money(round(total / 1.06)),
        "discount": values.money(rng.choice([0, round(total * 0.1)])),
        "service": values.money(round(total * 0.1)),
        "tax": values.money(total - round(total / 1.06)),
        "rounding": values.money(rng.randint(0, 4)),
        "total": values.money(total),
        rng.choice(["cash", "card"]): values.money(math.ceil(total / 500) * 500),
        "change": values.money(math.ceil(total / 500) * 500 - total),
    }
    sheet.rule(font)
    at = sheet.left if rng.random() < 0.6 else sheet.left + (sheet.right - sheet.left) * 0.3
    sign = rng.choice(["", "", "", "RM ", "$", "EUR ", "€ "])
    for concept, amount in rows.items():
        if concept != "total" and rng.random() < 0.45:
            continue
        own = bold if concept == "total" and rng.random() < 0.6 else font
        sheet.down(own, 1.1)
        text = amount if concept == "quantity" else sign + amount
        sheet.pair(concept, text, own, at, sheet.right)


def invoice(sheet: Sheet) -> float:
    """A letter with a table: sender, recipient, facts, rows with amounts at the far right."""
    rng, values = sheet.rng, sheet.values
    font, bold = sheet.pen.font(), sheet.pen.font(rng.uniform(1.1, 2.0), 1)
    room = sheet.right - sheet.left
    sheet.down(bold, 1.2)
    at_right = rng.random() < 0.4
    x, align = (sheet.right, "right") if at_right else (sheet.left, "left")
    name = sheet.pen.fit(bold, values.company(sheet.language), room * 0.6) or "STUDIO"
    box = sheet.write(x, name, bold, align)
    sheet.add("company", "", name, box, box)
    lines = [sheet.pen.fit(font, line, room * 0.5) for line in values.address(sheet.language)]
    sheet.block("address", [line for line in lines if line] or ["1"], font, x, align)
    sheet.down(font, rng.uniform(1.0, 2.5))
    if rng.random() < 0.7:
        sheet.down(font)
        sheet.pair("customer", values.value("customer"), font, sheet.left)
        for line in values.address(sheet.language)[: rng.randint(0, 2)]:
            sheet.down(font)
            sheet.write(sheet.left, sheet.pen.fit(font, line, room * 0.5), font)
    facts = [c for c in phrases.concepts_of("invoice") if rng.random() < 0.55] or ["date"]
    start = sheet.left + room * rng.choice([0.0, 0.5, 0.55])
    for concept in facts:
        sheet.down(font, 1.1)
        to = sheet.right if rng.random() < 0.5 else None
        sheet.pair(concept, values.value(concept), font, start, to)
    sheet.down(font, rng.uniform(0.5, 2.0))
    amounts = items(sheet, font)
    totals(sheet, amounts, font, bold)
    foot = [c for c in phrases.concepts_of("foot") if rng.random() < 0.5]
    sheet.down(font, rng.uniform(1.0, 3.0))
    for concept in foot:
        sheet.down(font, 1.1)
        sheet.pair(concept, values.value(concept), font, sheet.left)
    for _ in range(rng.randint(0, 2)):
        sheet.down(font, 1.1)
        text = remark(sheet.pen.lexicon, "prose", sheet.language)
        sheet.write(sheet.left, sheet.pen.fit(font, text, room), font)
    return sheet.y + font.bottom
