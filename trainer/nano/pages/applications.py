"""Official forms: parts for several people with the same labels, ruled cells, combs for letters.

A label may say whom it means, or only the heading of its part does; then it can be asked for with
the party alone. See `papers`.
"""

from __future__ import annotations

from itertools import pairwise

from . import phrases
from .canvas import Field, Rect, union
from .fonts import Font
from .official import decoy, long_label
from .papers import Sheet
from .values import remark

_ROMAN = ("I", "II", "III", "IV", "V")


def _said(sheet: Sheet, what: str) -> tuple[str, ...]:
    table = phrases.table("applications.txt")
    return table.get((what, sheet.language)) or table[what, "en"]


def application(sheet: Sheet) -> float:
    """A title and small print, then a part for each of one to three parties."""
    rng = sheet.rng
    style = _Style(sheet)
    _head(sheet, style)
    parties = rng.sample(_said(sheet, "parties"), rng.choice([1, 2, 2, 3]))
    if rng.random() < 0.3:
        parties[0] = sheet.pen.lexicon.word()
    concepts, chosen = list(_said(sheet, "fields")), [""]
    for index, party in enumerate(parties):
        if index and rng.random() < 0.6:  # asked of the second as of the first
            chosen = [c for c in chosen if rng.random() < 0.85]
        else:
            chosen = rng.sample(concepts, rng.randint(3, 9)) + [""] * rng.randint(0, 4)
            rng.shuffle(chosen)
        _part(sheet, style, party if len(parties) > 1 or rng.random() < 0.3 else "", index, chosen)
        if rng.random() < 0.3:
            _prose(sheet, style.small, rng.randint(1, 3))
    sheet.down(style.small, 1.4)
    foot = f"{style.form_number} ({sheet.values.date()})"
    sheet.write(sheet.left, foot, style.small)
    sheet.write(sheet.right, f"Page 1 of {rng.randint(1, 9)}", style.small, "right")
    return sheet.y + style.small.bottom + style.pad


class _Style:
    """How one form looks: its fonts, rules, numbers and combs."""

    def __init__(self, sheet: Sheet) -> None:
        rng = sheet.rng
        self.small = sheet.pen.font(rng.uniform(0.65, 0.9))
        self.font = sheet.pen.font(rng.uniform(0.9, 1.15), 1)
        self.bold = sheet.pen.font(rng.uniform(1.1, 1.6))
        self.pad = self.small.size * rng.uniform(0.25, 0.5)
        self.gap = self.font.size * rng.choice([0.0, 0.2, 0.6, 1.2, 2.2])
        self.upper, self.numbered = rng.random() < 0.45, rng.random() < 0.5
        self.combs = rng.choice([0.0, 0.0, 0.3, 0.95])
        self.boxed = rng.random() < 0.6
        self.framed = rng.random() < 0.8
        self.number = 1
        self.form_number = sheet.pen.lexicon.code()


def _head(sheet: Sheet, style: _Style) -> None:
    rng, pen = sheet.rng, sheet.pen
    small, bold = style.small, style.bold
    for _ in range(rng.randint(0, 3)):  # in a corner: control numbers and dates
        sheet.down(small)
        key, kind = pen.lexicon.key()
        text = pen.fit(small, f"{key}: {pen.lexicon.value(kind)}", (sheet.right - sheet.left) / 2)
        sheet.write(sheet.right, text, small, "right")
    sheet.down(bold, 1.3)
    name = sheet.write(sheet.left, style.form_number, bold)
    own = _said(sheet, "form")
    pen.canvas.fields.append(Field("", style.form_number, name, name, "kind", "", None, own))
    for _ in range(rng.randint(1, 2)):
        text = remark(pen.lexicon, "title", sheet.language).upper()
        title = pen.fit(bold, text, sheet.right - sheet.left)
        sheet.down(bold, 1.1)
        sheet.write((sheet.left + sheet.right) / 2, title, bold, "centre")
    sheet.down(small, 0.5)
    _prose(sheet, small, rng.randint(0, 6))


def _prose(sheet: Sheet, font: Font, lines: int) -> None:
    for _ in range(lines):
        text = " ".join(decoy(sheet) for _ in range(sheet.rng.randint(8, 22))).capitalize() + "."
        if sheet.rng.random() < 0.5:
            text = remark(sheet.pen.lexicon, "prose", sheet.language)
        sheet.down(font)
        sheet.write(sheet.left, sheet.pen.fit(font, text, sheet.right - sheet.left), font)


def _part(sheet: Sheet, style: _Style, party: str, index: int, concepts: list[str]) -> None:
    """A heading and rows of cells."""
    rng, canvas = sheet.rng, sheet.pen.canvas
    named = rng.choice([0.0, 0.25, 0.9]) if party else 0.0  # labels that say whom they mean
    if party:
        heading = rng.choice(_said(sheet, "section")).replace("{i}", _ROMAN[index])
        shown = party.title() if rng.random() < 0.5 else party.upper()
        heading = heading.replace("{n}", str(index + 1)).replace("{P}", shown)
        sheet.down(style.bold, 1.3)
        band = (sheet.left, sheet.y + style.bold.top - 2, sheet.right, sheet.y + style.bold.bottom)
        if rng.random() < 0.5:
            shade = round(sheet.pen.paper + (sheet.pen.ink - sheet.pen.paper) * 0.2)
            canvas.draw.rectangle(band, fill=shade)
        heading = sheet.pen.fit(style.bold, heading, sheet.right - sheet.left)
        align = rng.choice(["left", "centre"])
        at = sheet.left + 3 if align == "left" else (sheet.left + sheet.right) / 2
        sheet.write(at, heading, style.bold, align)
    top = sheet.y + style.bold.bottom + (0 if style.framed else style.pad)
    width, left = sheet.right - sheet.left, list(concepts)
    while left:
        count = min(len(left), rng.choice([1, 1, 2, 2, 3, 4]))
        cuts = sorted(rng.uniform(0.2, 0.8) for _ in range(count - 1))
        edges = [0.0, *cuts, 1.0]
        if any(b - a < 0.2 for a, b in pairwise(edges)):
            edges = [i / count for i in range(count + 1)]
        small, font = style.small, style.font
        height = small.bottom - small.top + font.bottom - font.top + 3 * style.pad + style.gap
        for start, end in pairwise(edges):
            frame = (sheet.left + start * width, top, sheet.left + end * width, top + height)
            _cell(sheet, style, frame, left.pop(), party, named)
        top += height + (0 if style.framed else style.pad)
    sheet.y = top


def _cell(sheet: Sheet, style: _Style, frame: Rect, concept: str, party: str, named: float) -> None:
    rng, pen = sheet.rng, sheet.pen
    left, top, right, bottom = frame
    small, font, pad = style.small, style.font, style.pad
    if style.framed:
        pen.canvas.draw.rectangle(frame, outline=pen.soft_ink())
    label = sheet.label(concept) if concept else long_label(sheet)
    key = label = label or concept.replace("_", " ").title()
    if rng.random() < named:
        label = rng.choice(_said(sheet, "with")).replace("{k}", label).replace("{P}", party.title())
    if rng.random() < 0.25:
        label += " " + rng.choice(_said(sheet, "aside"))
    if style.numbered:
        label = f"{style.number}. {label}"
        style.number += 1
    label = pen.fit(small, label.upper() if style.upper else label, right - left - 2 * pad)
    sheet.y = top + pad - small.top
    if not label:
        return
    key_box = sheet.write(left + pad, label, small)
    beside = key_box[2] + font.size * 4 < right and rng.random() < 0.12
    if not beside:
        sheet.y = bottom - pad - font.bottom - rng.uniform(0.0, 0.5) * style.gap
    start = (key_box[2] if beside else left) + pad * 2
    if rng.random() < 0.12:
        value, box = _ticks(sheet, start, right, font)
        if value:
            _register(sheet, "", key, value, key_box, box, party)
        return
    value = sheet.values.value(concept) if concept else rng.choice(
        [sheet.values.money(sheet.values.cents() * 20), pen.lexicon.phrase(1, 3, "title")]
    )  # fmt: skip
    empty = rng.random() < 0.22
    step = font.length("0") * rng.uniform(1.5, 2.1)
    comb = rng.random() < style.combs
    if comb and start + step * 3 < right:
        if concept in ("name", "address") and rng.random() < 0.5:  # a group of cells for each
            value = (" " * rng.randint(2, 7)).join(value.split())
        value = value[: int((right - pad - start) / step)].rstrip()
        cells = int((right - pad - start) / step) if rng.random() < 0.6 else len(value)
        box = _comb(sheet, "" if empty else value, start, step, max(cells, len(value)), style)
    else:
        value = pen.fit(font, value, right - pad - start)
        if empty or not value:
            return
        box = sheet.write(start, value, font)
    if not empty and value:
        _register(sheet, concept, key, value, key_box, box, party)


def _comb(sheet: Sheet, value: str, x: float, step: float, cells: int, style: _Style) -> Rect:
    """A place for each letter, in boxes or between ticks; returns the box of those written."""
    draw, font, ink = sheet.pen.canvas.draw, style.font, sheet.pen.soft_ink()
    top, bottom = sheet.y + font.top - 2, sheet.y + font.bottom + 1
    places = []
    if not style.boxed:
        draw.line((x, bottom, x + step * cells, bottom), fill=ink)
    for index in range(cells):
        letter = value[index] if index < len(value) else ""
        frame = (x, top, x + step, bottom)
        if letter == "-":  # a gap between groups
            draw.line((x + step * 0.3, sheet.y + font.top / 2, x + step * 0.7,
                       sheet.y + font.top / 2), fill=sheet.pen.ink, width=2)  # fmt: skip
        elif style.boxed:
            draw.rectangle(frame, outline=ink)
        else:
            draw.line((x, bottom - (bottom - top) * 0.3, x, bottom), fill=ink)
        if letter.strip() and letter != "-":
            sheet.write(x + step / 2, letter, font, "centre")
        if index < len(value):
            places.append(frame)
        x += step
    return union(*places) if places else (x, top, x, bottom)


def _ticks(sheet: Sheet, x: float, right: float, font: Font) -> tuple[str, Rect]:
    """Boxes with words behind, one of them crossed or none; what is crossed and its place."""
    rng, pen = sheet.rng, sheet.pen
    words = rng.sample(_said(sheet, "options"), rng.randint(2, 4))
    chosen, side = rng.randint(-1, len(words) - 1), (font.bottom - font.top) * 0.75
    said, place = "", (x, sheet.y - side, x + side, sheet.y)
    for index, word in enumerate(words):
        if x + side * 1.5 + font.length(word) > right:
            break
        box = (x, sheet.y - side, x + side, sheet.y)
        pen.canvas.draw.rectangle(box, outline=pen.ink)
        text = sheet.write(x + side * 1.5, word, font)
        if index == chosen:
            for cross in (box, (box[0], box[3], box[2], box[1])):
                pen.canvas.draw.line(cross, fill=pen.ink, width=2)
            said, place = word, union(box, text)
        x = text[2] + font.size
    return said, place


def _register(
    sheet: Sheet, concept: str, key: str, value: str, key_box: Rect, box: Rect, party: str
) -> None:
    """A field; that of a party is asked for with the party."""
    rng = sheet.rng
    own: tuple[str, ...] = ()
    whose = party
    if not party and rng.random() < 0.3:  # the page tells of one only, and does not say of whom
        whose = rng.choice(_said(sheet, "parties"))
    if whose:
        table = phrases.table("applications.txt")
        forms = list(_said(sheet, "asked"))
        if concept:
            forms += 2 * list(table.get((concept, sheet.language), ()))
        said = key.lower() if rng.random() < 0.7 else key
        own = tuple(f.replace("{p}", whose).replace("{k}", said) for f in forms)
        if party:  # only with its party is it the only one
            key, concept = f"{party} {key}", ""
    field = Field(key.strip(" :."), value, key_box, box, "pair", concept, None, own)
    sheet.pen.canvas.fields.append(field)
