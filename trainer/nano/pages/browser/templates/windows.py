"""Programs' windows: a dialog of native controls, a console, a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence

from ..blocks import distinct
from ..field_names import Name, made_up
from ..sheet import Part, Sheet

_Line = Sequence[Part | str]


def dialog(sheet: Sheet) -> str:
    """Labelled fields in framed groups, check boxes, buttons: as tools and forms look unstyled."""
    rng = sheet.rng
    sheet.relook(0.15)
    sheet.size(rng.choice([0.7, 0.8, 1.0, 1.2]), 9, 17, fit=rng.random() < 0.5)
    look, html = sheet.look, sheet.markup("dialog")
    room = sheet.rows - 8
    groups = []
    while room > 5:
        rows = []
        for name in sheet.names(sheet.pick("window subject"), 2, 6):
            parts = sheet.entry(name, mark=look.mark, css=(look.key_css, ""))
            rows.append(html.row(*parts))
            room -= 3.2 if html.style == "above" else 2
        for _ in range(rng.choice([0, 0, 1, 3])):
            rows.append(html.tick())
            room -= 1.5
        groups.append(html.group(rows))
        room -= 3
    return html.page(groups)


def _listed(sheet: Sheet, kind: str) -> list[_Line]:
    """A console's keys with values, or a configuration's."""
    rng = sheet.rng
    mark = rng.choice([":", ": ", "=", " =", ""]) if kind == "config" else ":"
    names = sheet.names(sheet.pick("console subject"), 3, 8)
    width = max(len(n.text) for n in names) + rng.randint(2, 8)
    aligned, dots = rng.random() < 0.7, rng.random() < 0.15
    lines: list[_Line] = []
    for name in names:
        key, value = sheet.entry(name, mark=mark)
        gap = _gap(key, width - len(mark)) if aligned else " "
        lines.append((key, f" {'.' * max(1, len(gap) - 2)} " if dots else gap, value))
    return lines


def _gap(part: Part, width: int) -> str:
    return " " * max(1, width - len(part.text))


def _table(sheet: Sheet) -> list[_Line]:
    """A console's columns; none where two have one name."""
    rng, words = sheet.rng, sheet.words
    columns = made_up(words, rng.randint(2, 4), 1)
    if len({column.text.lower() for column in columns}) < len(columns):
        return []
    rows = distinct(rng.randint(3, 8), lambda: words.phrase(1, 1, "lower"))
    cells = [[words.value(column.kind) for column in columns] for _ in rows]
    first = max(map(len, rows)) + 2
    widths = [max(len(c.text), *(len(row[i]) for row in cells)) + 2 for i, c in enumerate(columns)]
    lines: list[_Line] = [
        [" " * first, *(c.text.ljust(w) for c, w in zip(columns, widths, strict=True))]
    ]
    if rng.random() < 0.5:
        lines.append([rng.choice("-=") * (first + sum(widths))])
    for row, shown in zip(rows, cells, strict=True):
        key = sheet.part(row)
        line: list[Part | str] = [key, _gap(key, first)]
        for column, cell, width in zip(columns, shown, widths, strict=True):
            value = sheet.part(cell)
            sheet.field(key, value, column.kind, kind="cell", column=column.text)
            line += [value, _gap(value, width)]
        lines.append(line)
    return lines


def console(sheet: Sheet) -> str:
    """A terminal's or a plain text file's lines: keys with values, columns, logs."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.7)
    sheet.size(rng.choice([0.6, 0.7, 1.0, 1.3]), 9, 16)
    room = sheet.rows - 3
    lines: list[_Line] = []
    while len(lines) < room:
        kind = rng.choice(["pairs", "pairs", "table", "log", "config", "prompt"])
        if kind in ("pairs", "config"):
            lines += _listed(sheet, kind)
        elif kind == "table":
            made = _table(sheet)
            if not made:
                continue
            lines += made
        elif kind == "log":
            for _ in range(rng.randint(2, 6)):
                level = rng.choice(["INFO", "WARN", "ERROR", "DEBUG"])
                stamp = f"{words.value('date')} {words.value('time')}"
                lines.append([f"[{stamp}] {level}: {words.sentence(3, 8)}"])
        else:
            lines.append([f"$ {words.word()} --{words.word()} {words.word()}.txt"])
        lines.append([])
    return sheet.markup("console").page(lines)


def spreadsheet(sheet: Sheet) -> str:
    """Lettered columns and numbered rows of cells; a header row and names at the left."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.05)
    sheet.size(rng.choice([0.6, 0.7, 0.8, 1.2]), 8, 14)
    count = max(2, min(9, int((sheet.columns - 14) / rng.uniform(6, 10))))
    kinds = ["money", "count", "percent", "date", "int", "person", "code", "status"]
    same = rng.choice(["money", "count"]) if rng.random() < 0.4 else None
    heads = [Name(words.title(1, 1), same or rng.choice(kinds)) for _ in range(count)]
    html = sheet.markup("spreadsheet")
    rows = [html.letters(count + 1)]
    used = max(3, int(sheet.rows / 1.7) - 6 - rng.choice([0, 0, 5]))
    for _ in range(rng.choice([0, 0, 1, 2])):
        shown = words.title(1, 4) if rng.random() < 0.6 else ""
        rows.append(html.row(len(rows), shown, [("", "")] * count))
    bold = rng.choice(["font-weight:700;", "font-weight:700;background:#dde6f0;", ""])
    named = [(head.text, bold) for head in heads]
    rows.append(html.row(len(rows), words.title(1, 1), named, bold))
    for name in distinct(used, lambda: words.phrase(1, 2, "title")):
        key = sheet.part(name)
        cells: list[tuple[Part | str, str]] = []
        for head in heads:
            align = "" if head.kind in ("person", "status", "code") else "text-align:right;"
            if rng.random() < 0.05:
                cells.append(("", ""))
                continue
            value = sheet.part(words.value(head.kind))
            sheet.field(key, value, head.kind, kind="cell", column=head.text)
            cells.append((value, align))
        rows.append(html.row(len(rows), key, cells))
    return html.page(rows)
