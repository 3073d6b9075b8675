"""What templates are put together from: keys with values, tables, paragraphs, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

from PIL import Image, ImageOps

from ..canvas import Canvas
from ..scenery import draw_scene
from ..tables import read_data
from .field_names import Name
from .page_words import ASKED_AS
from .sheet import Part, Sheet

PAIR_STYLES = {
    "inline": 3,
    "grid": 5,
    "edge": 3,
    "above": 3,
    "below": 1,
    "leader": 1,
    "table": 3,
    "boxed": 2,
    "run": 1,
    "after": 1,
}
_UNMARKED = ("above", "below", "boxed", "after")
_WORDS = ("word", "goods", "person", "name", "status", "city")


def pairs(
    sheet: Sheet,
    names: Sequence[Name],
    style: str = "",
    columns: int | Sequence[int] = 1,
    *,
    values: Sequence[str] | None = None,
    section: str | None = None,
    marked: bool = True,
) -> str:
    """Keys and values in one of the ways of `PAIR_STYLES`.

    Args:
        sheet: to write on.
        names: of the fields.
        style: how; of several words one is drawn, of none any.
        columns: pairs side by side; one of several is drawn.
        values: drawn when not given.
        section: the heading they stand under, by which the same key is told from another's.
        marked: whether keys have the page's colon.
    """
    rng, look = sheet.rng, sheet.look
    style = rng.choice(style.split()) if " " in style else style
    columns = columns if isinstance(columns, int) else rng.choice(columns)
    style = style or rng.choices(list(PAIR_STYLES), list(PAIR_STYLES.values()))[0]
    gap = rng.uniform(0.15, 0.9)
    line = f"border-bottom:{look.border};" if rng.random() < 0.3 else ""
    align = rng.choice(["left"] * 5 + ["right"])
    key_align = "right" if style == "grid" and rng.random() < 0.15 else "left"
    mark = look.mark if marked and style not in _UNMARKED else ""
    asked = {"kind": "under", "column": section} if section else {}
    css = (look.key_css, look.value_css)
    cells = [
        sheet.entry(name, values[i] if values else None, mark=mark, css=css, **asked)
        for i, name in enumerate(names)
    ]
    html = sheet.markup(
        "pairs",
        cells=cells,
        columns=columns,
        gap=f"{gap:.2f}",
        half=f"{gap / 2:.2f}",
        pad=f"padding:{gap / 2:.2f}em 0;",
        line=line,
        align=align,
        key_align=key_align,
    )
    return getattr(html, style)()


def table(
    sheet: Sheet,
    rows: Sequence[str],
    columns: Sequence[Name],
    *,
    values: Callable[[int, int], str] | None = None,
    first: str = "",
    total: Sequence[str] | None = None,
    empty: float = 0.0,
    css: str = "width:100%",
) -> str:
    """A table whose cells are asked for by row and column; its look is drawn.

    Args:
        sheet: to write on.
        rows: the names of the rows, shown in the first column.
        columns: the other columns.
        values: of row and column; drawn when not given.
        first: the first column's heading.
        total: a last row, one text for each column of `columns`; "" for none.
        empty: share of cells with a dash.
        css: of the table.
    """
    rng, look = sheet.rng, sheet.look
    html = sheet.markup("table")
    side = rng.choice(["right", "right", "right", "left", "center"])
    aligns = [
        side if c.kind not in _WORDS else rng.choice(["left"] * 2 + ["center"]) for c in columns
    ]
    row_css = rng.choice(["", "", "font-weight:600;", f"color:{look.accent};", "font-weight:700;"])
    numbered = rng.random() < 0.15
    heads = [sheet.part(column.text) for column in columns]
    lines = []
    for r, row in enumerate(rows):
        key = sheet.part(row, "", row_css)
        cells: list[Part | str] = []
        for c, column in enumerate(columns):
            shown = values(r, c) if values else sheet.draw_value(column)
            if rng.random() < empty:
                cells.append(rng.choice(["\u2013", "-", "", "n/a"]))
                continue
            cells.append(value := sheet.part(shown))
            kind = ASKED_AS.get(column.kind, column.kind)
            sheet.field(
                key, value, kind, kind="cell", column=column.text, questions=column.questions
            )
        lines.append((key, cells))
    return html.table(first, heads, lines, aligns, total, numbered, css)


def paragraph(sheet: Sheet, sentences: int, css: str = "", end: str = "") -> str:
    """Prose; now and then a sentence's next words are asked for. `end`: more HTML in it."""
    rng = sheet.rng
    made: list[Part | str] = []
    for _ in range(sentences):
        line = sheet.words.sentence()
        words = line.split()
        if rng.random() < 0.3 and len(words) >= 8:
            at = rng.randint(0, len(words) - 6)
            middle = at + rng.randint(2, 4)
            after = middle + rng.randint(1, 2)
            key, value = " ".join(words[at:middle]), " ".join(words[middle:after])
            parts = sheet.pair(key, value, kind="after")
            made += [" ".join(words[:at]), *parts, " ".join(words[after:])]
        else:
            made.append(line)
    return sheet.blocks.paragraph(made, css, end)


def fact(sheet: Sheet) -> str:
    """A sentence with a value in it; asked for by what the sentence says."""
    rng, words = sheet.rng, sheet.words
    patterns = [row for row in read_data("facts.txt") if row[0] == sheet.split]
    _, pattern, kind, forms = rng.choice(patterns)
    subject = words.phrase(1, 2, "lower")
    lead, rest = pattern.replace("{s}", subject).split("{", 1)
    name, after = rest.split("}", 1)
    value = str(rng.randint(1850, 2025)) if name == "year" else words.value(name)
    questions = tuple(form.replace("{s}", subject) for form in forms.split("|"))
    key = lead.strip(" []")
    return sheet.blocks.fact(*sheet.pair(key, value, kind, kind="fact", questions=questions), after)


def picture(sheet: Sheet, css: str) -> str:
    """A photograph's stand-in, in colour, as `scenery.py` draws them."""
    rng = sheet.rng
    canvas = Canvas(Image.new("L", (rng.randint(120, 320), rng.randint(120, 320))))
    draw_scene(rng, canvas)
    dark, middle, light = (
        tuple(rng.randint(low, high) for _ in range(3))
        for low, high in ((0, 90), (40, 220), (150, 255))
    )
    buffer = io.BytesIO()
    ImageOps.colorize(canvas.image, dark, light, middle).save(buffer, "JPEG", quality=80)
    return sheet.blocks.image(base64.b64encode(buffer.getvalue()).decode(), css)


def banner(
    sheet: Sheet, chance: float, low: float, high: float, digits: int = 1, css: str = ""
) -> str:
    """By chance a picture across its room, between `low` and `high` em high."""
    if sheet.rng.random() >= chance:
        return ""
    return picture(sheet, f"width:100%;height:{sheet.between(low, high, digits)}em;{css}")


def address(sheet: Sheet, heading: str = "") -> str:
    """A name and an address on several lines, under a heading that asks for the name."""
    words, rng = sheet.words, sheet.rng
    lines = [words.value("address"), f"{rng.randint(1000, 99999)} {words.value('city')}"]
    if rng.random() < 0.4:
        lines.append(words.value("country"))
    who = words.value("person") if rng.random() < 0.5 else words.company()
    if not heading:
        return sheet.blocks.address("", sheet.part(who), lines)
    mark, css = rng.choice(["", ":"]), (sheet.look.key_css, "")
    return sheet.blocks.address(*sheet.pair(heading, who, "name", mark=mark, css=css), lines)


def distinct(count: int, make: Callable[[], str]) -> list[str]:
    """Texts that differ in more than case: so many, or fewer where some came twice."""
    made: dict[str, str] = {}
    for _ in range(count):
        text = make()
        made.setdefault(text.lower(), text)
    return list(made.values())
