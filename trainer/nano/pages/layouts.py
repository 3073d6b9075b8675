"""Blocks of a page: each fills the top of a column and returns how far down it came.

All share the signature of `Block`: they write on the pen's canvas, register the fields that can
be asked for, and return the y below which the next block may start.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .canvas import Canvas, Field, Rect, union
from .fonts import Font, load_font
from .lexicon import CASES, Lexicon


@dataclass
class Pen:
    """What a block writes with: canvas, words, the page's fonts, its ink and its base size."""

    canvas: Canvas
    lexicon: Lexicon
    rng: random.Random
    fonts: list[str | None]
    size: int
    ink: int
    paper: int

    def font(self, scale: float = 1.0, which: int = 0) -> Font:
        """One of the page's fonts at a multiple of the base size."""
        path = self.fonts[which % len(self.fonts)]
        return load_font(path, max(6, round(self.size * scale)))

    def fit(self, font: Font, text: str, width: float) -> str:
        """The text without the last words that would not fit; may be empty."""
        words = text.split()
        while words and font.length(" ".join(words)) > width:
            words.pop()
        return " ".join(words)

    def soft_ink(self) -> int:
        """An ink between the page's ink and its paper."""
        return round(self.ink + (self.paper - self.ink) * self.rng.uniform(0.0, 0.45))


Block = Callable[[Pen, float, float, float, float], float]


def _pair(pen: Pen, key: str, value: str, key_box: Rect, value_box: Rect, value_kind: str) -> None:
    own = pen.lexicon.asking(value_kind)
    field = Field(key.rstrip(" :."), value, key_box, value_box, "pair", value_kind, questions=own)
    pen.canvas.fields.append(field)


def pairs(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """Rows of key and value: beside, in two columns, at the right edge, or with dotted leaders."""
    rng, canvas = pen.rng, pen.canvas
    key_font = pen.font(which=rng.randint(0, 1))
    value_font = pen.font(which=rng.randint(0, 1))
    style = rng.choice(["beside", "beside", "columns", "columns", "edge", "leader"])
    mark = rng.choice([":", ":", "", "", " :", "."]) if style != "leader" else ""
    line = key_font.size * rng.uniform(1.25, 2.3)
    column = left + (right - left) * rng.uniform(0.3, 0.6)
    ink, value_ink = pen.soft_ink(), pen.ink
    rule = rng.random() < 0.2
    y = top + line
    for _ in range(rng.randint(2, 12)):
        if y > bottom:
            break
        key, kind = pen.lexicon.key()
        key = pen.fit(key_font, key, (right - left) * 0.55)
        if not key:
            continue
        key_box = canvas.text(left, y, key + mark, key_font, ink)
        gap = value_font.length("n") * rng.uniform(0.6, 2.0)
        start = column if style == "columns" and column > key_box[2] + gap else key_box[2] + gap
        value = pen.fit(value_font, pen.lexicon.value(kind), right - start)
        if value:
            width = value_font.length(value)
            if style in ("edge", "leader"):
                start = right - width
            if style == "leader" and start - key_box[2] > 4 * gap:
                dots = "." * int((start - key_box[2] - gap) / max(1.0, key_font.length(".")))
                at = (key_box[2] + gap / 2, y)
                canvas.draw.text(at, dots, fill=ink, font=key_font.pil, anchor="ls")
            value_box = canvas.text(start, y, value, value_font, value_ink)
            _pair(pen, key, value, key_box, value_box, kind)
        if rule:
            canvas.draw.line((left, y + line * 0.35, right, y + line * 0.35), fill=pen.soft_ink())
        y += line
    return y - line + key_font.bottom


def boxes(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """A form: cells in a row, a small key above each value, with or without frames."""
    rng, canvas = pen.rng, pen.canvas
    key_font, value_font = pen.font(rng.uniform(0.7, 1.0)), pen.font(rng.uniform(0.9, 1.5), 1)
    framed, filled = rng.random() < 0.5, rng.random() < 0.25
    below = rng.random() < 0.12  # signatures, labels under a line: the key stands under the value
    pad = key_font.size * 0.5
    gap = key_font.size * rng.uniform(0.1, 0.5)
    height = 2 * pad + gap + (key_font.bottom - key_font.top) + (value_font.bottom - value_font.top)
    y = top + pad
    for _ in range(rng.randint(1, 4)):
        if y + height > bottom:
            break
        count = max(1, min(rng.randint(1, 4), int((right - left) / (key_font.size * 7))))
        width = (right - left) / count
        for index in range(count):
            x = left + index * width
            frame = (x, y, x + width - pad, y + height)
            if filled:
                canvas.draw.rectangle(frame, fill=round(pen.paper + (pen.ink - pen.paper) * 0.1))
            if framed:
                canvas.draw.rectangle(frame, outline=pen.soft_ink())
            key, kind = pen.lexicon.key()
            key = pen.fit(key_font, key, width - 3 * pad)
            value = pen.fit(value_font, pen.lexicon.value(kind), width - 3 * pad)
            if not key or not value:
                continue
            first, second = (value_font, key_font) if below else (key_font, value_font)
            upper = y + pad - first.top
            lower = upper + first.bottom + gap - second.top
            key_y, value_y = (lower, upper) if below else (upper, lower)
            key_box = canvas.text(x + pad, key_y, key, key_font, pen.soft_ink())
            value_box = canvas.text(x + pad, value_y, value, value_font, pen.ink)
            _pair(pen, key, value, key_box, value_box, kind)
        y += height + (0 if framed else pad)
    return y


def table(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """A table with a header row and named rows; asked for by row and column."""
    rng, canvas = pen.rng, pen.canvas
    font, head = pen.font(), pen.font(which=1)
    count = max(2, min(rng.randint(2, 6), int((right - left) / (font.size * 5.5))))
    first = rng.uniform(1.2, 2.2)
    edges = [
        left + (right - left) * (0 if i == 0 else (first + i - 1) / (first + count - 1))
        for i in range(count + 1)
    ]
    line = font.size * rng.uniform(1.3, 2.2)
    numbers = rng.random() < 0.7
    align_right = numbers and rng.random() < 0.5
    grid, banded, header_filled = rng.random() < 0.35, rng.random() < 0.25, rng.random() < 0.3
    pad = font.size * 0.35
    y = top + line
    names = [
        pen.fit(head, pen.lexicon.phrase(1, 2), edges[i + 1] - edges[i] - 2 * pad)
        for i in range(count)
    ]
    if header_filled:
        canvas.draw.rectangle((left, y - line * 0.75, right, y + line * 0.3), fill=pen.ink)
    heads: list[Rect | None] = []
    for i, name in enumerate(names):
        width = head.length(name)
        x = edges[i + 1] - pad - width if align_right and i else edges[i] + pad
        heads.append(
            canvas.text(x, y, name, head, pen.paper if header_filled else pen.ink) if name else None
        )
    figures = ["int", "money", "percent", "measure", "int"]
    kinds = [rng.choice(figures) if numbers else pen.lexicon.any_kind() for _ in range(count)]
    rows = 0
    for row in range(rng.randint(2, 12)):
        y += line
        if y > bottom:
            break
        if banded and row % 2:
            canvas.draw.rectangle(
                (left, y - line * 0.75, right, y + line * 0.3),
                fill=round(pen.paper + (pen.ink - pen.paper) * 0.08),
            )
        label = pen.fit(font, pen.lexicon.phrase(1, 3), edges[1] - edges[0] - 2 * pad)
        if not label:
            continue
        label_box = canvas.text(edges[0] + pad, y, label, font, pen.ink)
        rows += 1
        for i in range(1, count):
            if rng.random() < 0.06:
                continue
            value = pen.fit(font, pen.lexicon.value(kinds[i]), edges[i + 1] - edges[i] - 2 * pad)
            if not value:
                continue
            width = font.length(value)
            x = edges[i + 1] - pad - width if align_right else edges[i] + pad
            box = canvas.text(x, y, value, font, pen.ink)
            if heads[i] is not None:
                own = pen.lexicon.asking(kinds[i], cell=True)
                cell = Field(label, value, label_box, box, "cell", kinds[i], names[i], own)
                canvas.fields.append(cell)
    if grid:
        for edge in edges:
            canvas.draw.line((edge, top + line * 0.25, edge, y + line * 0.3), fill=pen.soft_ink())
    if grid or rng.random() < 0.4:
        canvas.draw.line((left, top + line * 1.35, right, top + line * 1.35), fill=pen.ink)
    return y + line * 0.3


def contents(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """Headings with page numbers, or a receipt's or menu's items with prices, at the right edge."""
    rng, canvas = pen.rng, pen.canvas
    font = pen.font(which=rng.randint(0, 1))
    prices = rng.random() < 0.5
    dotted = rng.random() < (0.3 if prices else 0.8)
    line = font.size * rng.uniform(1.2, 2.0)
    page = rng.randint(1, 30)
    y = top + line
    for _ in range(rng.randint(3, 14)):
        if y > bottom:
            break
        indent = 0 if prices else font.size * rng.choice([0, 0, 1, 1, 2])
        title = pen.fit(font, pen.lexicon.phrase(1, 5), (right - left) * 0.7 - indent)
        if not title:
            break
        if prices and rng.random() < 0.3:
            title = f"{rng.randint(1, 9)} x {title}"
        key_box = canvas.text(left + indent, y, title, font, pen.ink)
        page += rng.randint(0, 9)
        value = pen.lexicon.value("money") if prices else str(page)
        value_x = right - font.length(value)
        if value_x > key_box[2] + font.size:
            if dotted:
                step = font.length(".") * rng.choice([1.0, 1.0, 2.0])
                x = key_box[2] + step
                while x < value_x - 2 * step:
                    canvas.draw.text((x, y), ".", fill=pen.ink, font=font.pil, anchor="ls")
                    x += step
            box = canvas.text(value_x, y, value, font, pen.ink)
            kind, value_kind = ("pair", "money") if prices else ("contents", "page")
            own = pen.lexicon.asking(value_kind)
            canvas.fields.append(Field(title, value, key_box, box, kind, value_kind, questions=own))
        y += line
    return y - line + font.bottom


def prose(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """A paragraph; asked for by what comes after a phrase on one line."""
    rng, canvas, lexicon = pen.rng, pen.canvas, pen.lexicon
    font = pen.font(which=rng.randint(0, 1))
    line = font.size * rng.uniform(1.1, 1.7)
    y = top + line
    for _ in range(rng.randint(2, 9)):
        if y > bottom:
            break
        words: list[str] = []
        while font.length(" ".join(words)) < right - left and len(words) < 40:
            plain = rng.random() < 0.85
            word = lexicon.word() if plain else lexicon.value(lexicon.any_kind())
            mark = "," if rng.random() < 0.06 else "." if rng.random() < 0.05 else ""
            words.append(word + mark)
        text = pen.fit(font, " ".join(words), right - left)
        if rng.random() < 0.3:
            text = text[:1].upper() + text[1:]
        if not text:
            break
        canvas.text(left, y, text, font, pen.ink)
        parts = text.split(" ")
        if len(parts) >= 5 and rng.random() < 0.5:
            lead, tail = rng.randint(2, 3), rng.randint(1, 2)
            start = rng.randint(0, len(parts) - lead - tail)
            middle = start + lead
            key, value = " ".join(parts[start:middle]), " ".join(parts[middle : middle + tail])
            x0 = left + font.length(" ".join(parts[:start]) + " " if start else "")
            x1 = left + font.length(" ".join(parts[:middle]) + " ")
            upper, lower = y + font.top, y + font.bottom
            key_box = (x0, upper, x0 + font.length(key), lower)
            value_box = (x1, upper, x1 + font.length(value), lower)
            canvas.fields.append(Field(key, value, key_box, value_box, "after"))
        y += line
    return y - line + font.bottom


def heading(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """A large line of text, perhaps ruled or on a dark band."""
    rng, canvas = pen.rng, pen.canvas
    font = pen.font(rng.uniform(1.2, 2.6), 1)
    text = pen.fit(font, pen.lexicon.phrase(1, 4, rng.choice(CASES)), right - left)
    y = top - font.top + pen.size * 0.5
    if not text or y > bottom:
        return top + pen.size
    if rng.random() < 0.25:
        band = (left - 3, top, right, y + font.bottom + pen.size * 0.4)
        canvas.draw.rectangle(band, fill=pen.ink)
        canvas.text(left, y, text, font, pen.paper)
    else:
        x = (left + right - font.length(text)) / 2 if rng.random() < 0.3 else left
        canvas.text(x, y, text, font, pen.ink)
    if rng.random() < 0.3:
        under = (left, y + font.bottom + 2, right, y + font.bottom + 2)
        canvas.draw.line(under, fill=pen.ink, width=rng.randint(1, 3))
    return y + font.bottom + pen.size * 0.4


def figure(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """Something without words: a logo, bars, a barcode, a picture."""
    rng, draw = pen.rng, pen.canvas.draw
    height = min(bottom - top, pen.size * rng.uniform(2, 8))
    if height < pen.size:
        return top + pen.size
    width = min(right - left, height * rng.uniform(0.6, 3))
    y1 = top + height
    style = rng.choice(["disc", "bars", "code", "blocks", "rule"])
    if style == "disc":
        draw.ellipse((left, top + 2, left + height - 2, y1), fill=pen.soft_ink(), outline=pen.ink)
    elif style == "bars":
        step = max(3.0, width / rng.randint(3, 12))
        x = left
        while x < left + width:
            draw.rectangle((x, y1 - height * rng.random(), x + step * 0.7, y1), fill=pen.soft_ink())
            x += step
    elif style == "code":
        x = left
        while x < left + width:
            bar = rng.randint(1, 4)
            draw.rectangle((x, top, x + bar, y1), fill=pen.ink)
            x += bar + rng.randint(1, 4)
    elif style == "blocks":
        for _ in range(rng.randint(3, 20)):
            x, y = rng.uniform(left, left + width), rng.uniform(top, y1)
            x1, lower = x + rng.uniform(2, height), min(y1, y + rng.uniform(2, height))
            draw.rectangle((x, y, x1, lower), fill=rng.randint(0, 255))
    else:
        y1 = top + height / 2
        draw.line((left, y1, right, y1), fill=pen.ink, width=rng.randint(1, 4))
    return y1


def scattered(pen: Pen, left: float, top: float, right: float, bottom: float) -> float:
    """Free pairs, value beside or under the key, as on labels and dashboards."""
    rng, canvas = pen.rng, pen.canvas
    y = top
    for _ in range(rng.randint(1, 4)):
        key_font, value_font = pen.font(rng.uniform(0.8, 1.2)), pen.font(rng.uniform(0.9, 2.4), 1)
        key, kind = pen.lexicon.key()
        key = pen.fit(key_font, key, (right - left) * 0.6)
        value = pen.fit(value_font, pen.lexicon.value(kind), (right - left) * 0.9)
        if not key or not value:
            continue
        lengths = key_font.length(key), value_font.length(value)
        beside = sum(lengths) + pen.size < right - left and rng.random() < 0.4
        need = value_font.size * 1.3 + (0 if beside else key_font.size * 1.4)
        if y + need > bottom:
            break
        wide = sum(lengths) + pen.size if beside else max(lengths)
        x = left + rng.uniform(0, max(0.0, right - left - wide))
        if beside:
            base = y + need
            key_box = canvas.text(x, base, key, key_font, pen.soft_ink())
            value_box = canvas.text(key_box[2] + pen.size * 0.7, base, value, value_font, pen.ink)
        else:
            base = y - key_font.top + 2
            key_box = canvas.text(x, base, key, key_font, pen.soft_ink())
            base += key_font.bottom + pen.size * 0.25 - value_font.top
            value_box = canvas.text(x, base, value, value_font, pen.ink)
        _pair(pen, key, value, key_box, value_box, kind)
        y = union(key_box, value_box)[3] + pen.size * rng.uniform(0.4, 1.5)
    return y


BLOCKS: list[tuple[Block, float]] = [
    (pairs, 4.0),
    (boxes, 2.0),
    (table, 2.5),
    (contents, 1.5),
    (prose, 1.5),
    (heading, 1.2),
    (figure, 0.7),
    (scattered, 1.5),
]
