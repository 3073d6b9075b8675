"""Data table, datasheet, form."""

from __future__ import annotations

from ...questions import own_questions
from ..blocks import pairs, paragraph, picture, table
from ..charts import labels, lines
from ..field_names import Name, made_up
from ..sheet import Sheet


def _columns(sheet: Sheet, count: int) -> list[Name]:
    """A large table's columns, all different."""
    rng = sheet.rng
    if rng.random() < 0.4:
        kinds = ["count", "money", "percent", "int"]
        columns = [Name(label, rng.choice(kinds)) for label in labels(sheet, count)]
    elif rng.random() < 0.5:
        names = sheet.names(sheet.pick("table subject"), count)
        columns = [Name(n.text, "word" if n.kind == "sentence" else n.kind) for n in names]
    else:
        columns = made_up(sheet.words, count)
    columns = list({c.text.lower(): c for c in columns}.values())
    if rng.random() < 0.4:  # one kind of number throughout
        same = rng.choice(["int", "count", "percent", "money", "measure"])
        columns = [Name(c.text, same) for c in columns]
    return columns


def data_table(sheet: Sheet) -> str:
    """One or two large tables: statistics, a spreadsheet, a results list, a price list."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.12)
    look, html = sheet.look, sheet.markup("data_table")
    sheet.size(rng.choice([1.414, 1.2, 1.0, 0.75, 0.6]), 8, 14)
    widths = {"city": 14, "goods": 16, "person": 15, "years": 7, "words": 14, "code": 10}
    kind = rng.choice(list(widths))
    made = {"words": lambda: words.phrase(1, 3, "sentence"), "code": words.code}
    make = made.get(kind, lambda: words.value(kind))
    count = max(2, min(9, int((sheet.columns - widths[kind]) / rng.uniform(6.5, 10))))
    room = sheet.rows - 10
    blocks: list[str] = []
    number = 0
    while room > 8 and len(blocks) < 3:
        number += 1
        rows: dict[str, str] = {}
        start = rng.randint(1950, 2000)
        for i in range(max(3, min(30, int(room / (1.2 + look.pad / 3)) - 3))):
            row = str(start + i) if kind == "years" else make()
            rows.setdefault(row.lower(), row)
            if rng.random() < 0.04 and len(rows) > 4:
                break
        columns = _columns(sheet, count)
        caption = html.caption(number) if rng.random() < 0.6 else ""
        total = [words.value(c.kind) for c in columns] if rng.random() < 0.25 else None
        css = rng.choice(["width:100%", "width:100%", "margin:auto", ""])
        first = words.title(1, 1) if rng.random() < 0.7 else ""
        empty, shown = rng.choice([0, 0, 0.1]), list(rows.values())
        grid = table(sheet, shown, columns, first=first, total=total, empty=empty, css=css)
        blocks.append(caption + grid)
        room -= len(rows) * (1.2 + look.pad / 3) + 6
    head = sheet.blocks.title(words.title(2, 5)) if rng.random() < 0.7 else ""
    note = html.note()
    intro = paragraph(sheet, rng.randint(1, 3), "margin:.6em 0") if rng.random() < 0.3 else ""
    bar = html.bar("ABCDEFGH"[: count + 1]) if rng.random() < 0.15 else ""
    return html.page(head, intro, bar, blocks, note)


def _limits(sheet: Sheet, columns: list[str], count: int) -> str:
    """A datasheet's table of so many limits."""
    heads = [Name(column, "int") for column in columns]
    rows = [name.text for name in sheet.names("technical", count)]

    def cell(_row: int, column: int) -> str:
        what = columns[column]
        if what == "Unit":
            return sheet.pick("unit")
        return sheet.words.code() if what == "Symbol" else sheet.words.number()

    return table(sheet, rows, heads, values=cell, first=sheet.pick("parameter"))


def datasheet(sheet: Sheet) -> str:
    """A device's specifications in two columns, with a drawing, features and tables of limits."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.03)
    look, html = sheet.look, sheet.markup("datasheet")
    sheet.size(rng.choice([1.414, 1.414, 1.294]), 8, 12.5)
    code = words.code()
    css = f"font-size:{sheet.between(1.6, 2.6)}em;font-weight:700;color:{look.accent}"
    device = sheet.whole(code, "device", css)
    subtitle = sheet.whole(words.phrase(2, 5, "title"), "subtitle")
    head = html.head(device, subtitle, sheet.blocks.logo(words.company()))
    names = sheet.names("technical", 24)
    columns: list[list[str]] = [[], []]
    width = ((sheet.columns - 8) / 2 - 1.5) * sheet.em
    kinds = {"pairs": 5, "table": 3, "list": 1.5, "prose": 1.5, "drawing": 1, "chart": 1}
    for column in columns:
        room = sheet.rows - 12
        while room > 6:
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            column.append(html.heading())
            room -= 3
            if kind == "pairs" and names:
                mine, names = names[: rng.randint(3, 8)], names[8:]
                column.append(pairs(sheet, mine, "grid edge table table leader inline"))
                room -= len(mine) * 1.8
            elif kind == "table":
                heads, count = sheet.pick("limits").split("/"), rng.randint(3, 9)
                column.append(_limits(sheet, heads, count))
                room -= count * 1.9 + 2
            elif kind == "list":
                count = rng.randint(3, 7)
                column.append(html.features(count))
                room -= count * 1.7
            elif kind == "prose":
                column.append(paragraph(sheet, 3))
                room -= 7
            elif kind == "chart":
                column.append(lines(sheet, width * 0.95, 10 * sheet.em))
                room -= 10
            else:
                sides = [words.value("measure") for _ in range(2)]
                column.append(html.drawing(width * 0.8, 8 * sheet.em, *sides))
                room -= 8
    return html.page(head, columns)


def form(sheet: Sheet) -> str:
    """A form filled in: boxes, lines or a web form, in sections, with ticks."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.08)
    look, html = sheet.look, sheet.markup("form")
    sheet.size(rng.choice([1.414, 1.414, 1.294, 0.8]), 8.5, 15)
    head = sheet.blocks.title(sheet.pick("form", words.title(2, 4)))
    if rng.random() < 0.25:  # filled in by typewriter
        look.value_css += f";font-family:'{look.mono}',monospace"
    room = sheet.rows - 8
    sections: list[str] = []
    used: set[str] = set()
    style = rng.choice(["boxed", "boxed", "line", "line", "table", "above", "grid"])
    while room > 4 and len(sections) < 6:
        number = len(sections) + 1
        heads = [words.title(1, 3), f"Section {number}", f"{number}. {words.title(1, 2)}"]
        heading = rng.choice([*heads, f"Part {'ABCDEF'[number - 1]}"])
        names = sheet.names(sheet.pick("form subject"), 3, 9)
        names = [n for n in names if rng.random() < 0.1 or n.text.lower() not in used]
        used |= {n.text.lower() for n in names}
        columns = rng.choice([1, 2, 2, 3]) if sheet.columns > 45 else rng.choice([1, 1, 2])
        if style == "line":
            css = (look.key_css, look.value_css)
            made = [html.line(*sheet.entry(name, mark=look.mark, css=css)) for name in names]
            body = html.lines(columns, made)
        else:
            section = heading if rng.random() < 0.3 and heading not in used else None
            body = pairs(sheet, names, style, columns, section=section)
        room -= len(names) / columns * (3.6 if style in ("boxed", "above") else 2) + 4
        ticks = ""
        if rng.random() < 0.4:
            ticks = html.ticks()
            room -= 2
        sections.append(html.section(heading, body, ticks))
    photo = ""
    if rng.random() < 0.12:
        photo = html.photo(picture(sheet, "width:7em;height:9em"))
    note, sign = words.sentence(8, 20), ""
    if rng.random() < 0.5:
        key, asked = rng.choice(["Date", "Place, date"]), own_questions("signed")
        sign = html.sign(*sheet.pair(key, words.value("date"), "date", questions=asked))
    return html.page(photo, head, note, sections, sign)
