"""Programs' windows: a dialog of native controls, a console, a spreadsheet."""

from __future__ import annotations

import html

from ..blocks import add, draw_value, icon, text
from ..field_names import Name, draw_names
from ..sheet import Part, Sheet

_SUBJECTS = ["settings", "technical", "invoice", "meeting", "health", "metrics"]


def title_bar(sheet: Sheet, name: str) -> str:
    """A window's name and its buttons."""
    rng, look = sheet.rng, sheet.look
    colour = rng.choice([(look.accent, look.on_accent), (look.panel, look.ink), ("#ddd", "#222")])
    signs = rng.choice(
        ["&minus; &#9633; &times;", "&#9679; &#9679; &#9679;", "&times;", "_ &#9744; x"]
    )
    shown = sheet.part(name)
    sheet.whole(shown, "title of the window")
    left = rng.random() < 0.3
    parts = [f"<span>{signs}</span>", f"<b>{shown.html}</b>"]
    if not left:
        parts.reverse()
    return (
        f'<div style="display:flex;justify-content:space-between;padding:.35em .7em;'
        f'background:{colour[0]};color:{colour[1]}">{"".join(parts)}</div>'
    )


def _control(sheet: Sheet, value: Part) -> str:
    """A value in something that looks like the browser's own controls."""
    rng = sheet.rng
    kind = rng.choice(["input", "input", "list", "area", "bare"])
    if kind == "bare":
        return value.html
    width = rng.uniform(8, 22)
    face = "background:#fff;color:#111;border:1px solid #767676;"
    if rng.random() < 0.3:
        face = "background:#fff;color:#111;border:2px inset #bbb;"
    arrow = (
        '<span style="margin-left:auto;padding-left:.5em">&#9662;</span>' if kind == "list" else ""
    )
    tall = (
        f"min-height:{rng.uniform(2.5, 4):.1f}em;align-items:flex-start;" if kind == "area" else ""
    )
    return (
        f'<span style="display:inline-flex;align-items:center;min-width:{width:.0f}em;{face}{tall}'
        f'padding:.15em .4em">{value.html}{arrow}</span>'
    )


def dialog(sheet: Sheet) -> str:
    """Labelled fields in framed groups, check boxes, buttons: as tools and web forms look unstyled."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.15)
    sheet.size(rng.choice([0.7, 0.8, 1.0, 1.2]), 9, 17, fit=rng.random() < 0.5)
    look = sheet.look
    room = sheet.rows - 8
    groups = []
    style = rng.choice(["beside", "beside", "above", "table"])
    width = rng.uniform(8, 18)
    right = "text-align:right;" if rng.random() < 0.3 else ""
    while room > 5:
        rows = []
        for name in draw_names(words, rng.choice(_SUBJECTS), rng.randint(2, 6)):
            key, value = sheet.key(name.text), sheet.part(draw_value(sheet, name))
            add(sheet, name, key, value)
            inner = _control(sheet, value)
            if style == "above":
                rows.append(f'<div style="margin:.35em 0"><div>{key.html}</div>{inner}</div>')
                room -= 3.2
            else:
                rows.append(
                    f'<div style="display:flex;margin:.3em 0;align-items:baseline;gap:.7em">'
                    f'<span style="width:{width:.1f}em;flex:none;{right}">{key.html}</span>{inner}</div>'
                )
                room -= 2
        for _ in range(rng.choice([0, 0, 1, 3])):
            box = rng.choice(["&#9745;", "&#9744;", "&#9673;", "&#9675;"])
            rows.append(f"<div>{box} {text(words.title(1, 4))}</div>")
            room -= 1.5
        if style == "table":
            body = (
                f'<div style="border:1px solid {look.line};padding:.2em .5em">{"".join(rows)}</div>'
            )
        else:
            legend = f'<legend style="padding:0 .4em">{text(words.title(1, 2))}</legend>'
            body = f'<fieldset style="border:1px solid {look.line};margin:.6em 0">{legend}{"".join(rows)}</fieldset>'
        groups.append(body)
        room -= 3
    buttons = "".join(
        f'<span style="border:1px solid #777;background:#eee;color:#111;padding:.2em 1.3em;margin-left:.6em">{w}</span>'
        for w in rng.sample(["OK", "Cancel", "Apply", "Help", "Submit", "Next &gt;", "Close"], 2)
    )
    return (
        f"{title_bar(sheet, words.title(1, 3))}"
        f'<div style="padding:.8em 1em">{"".join(groups)}<div style="text-align:right;margin-top:.6em">{buttons}</div></div>'
    )


def console(sheet: Sheet) -> str:
    """A terminal's or a plain text file's lines: keys with values, columns, logs, one width of letter."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.7)
    sheet.size(rng.choice([0.6, 0.7, 1.0, 1.3]), 9, 16)
    look = sheet.look
    room = sheet.rows - 3
    lines: list[str] = []

    def pad(part: Part, mark: str, width: int) -> str:
        return part.html + " " * max(1, width - len(part.text) - len(mark))

    while len(lines) < room:
        kind = rng.choice(["pairs", "pairs", "table", "log", "config", "prompt"])
        if kind in ("pairs", "config"):
            mark = rng.choice([":", ": ", "=", " =", ""]) if kind == "config" else ":"
            names = draw_names(words, rng.choice([*_SUBJECTS, "bank"]), rng.randint(3, 8))
            width = max(len(n.text) for n in names) + rng.randint(2, 8)
            aligned = rng.random() < 0.7
            dots = rng.random() < 0.15
            for name in names:
                key = sheet.part(name.text, mark)
                value = sheet.part(draw_value(sheet, name))
                add(sheet, name, key, value)
                gap = pad(key, mark, width)[len(key.html) :] if aligned else " "
                if dots:
                    gap = " " + "." * max(1, len(gap) - 2) + " "
                lines.append(f"{key.html}{gap}{value.html}")
        elif kind == "table":
            columns = [Name(words.title(1, 1), words.any_kind()) for _ in range(rng.randint(2, 4))]
            if len({c.text.lower() for c in columns}) < len(columns):
                continue
            rows = list(
                dict.fromkeys(words.phrase(1, 1, "lower") for _ in range(rng.randint(3, 8)))
            )
            cells = [[words.value(c.kind) for c in columns] for _ in rows]
            first = max(map(len, rows)) + 2
            widths = [
                max(len(c.text), *(len(row[i]) for row in cells)) + 2 for i, c in enumerate(columns)
            ]
            lines.append(
                " " * first
                + "".join(
                    html.escape(c.text.ljust(w)) for c, w in zip(columns, widths, strict=True)
                )
            )
            if rng.random() < 0.5:
                lines.append(rng.choice("-=") * (first + sum(widths)))
            for row, shown in zip(rows, cells, strict=True):
                key = sheet.part(row)
                line = pad(key, "", first)
                for column, cell, w in zip(columns, shown, widths, strict=True):
                    value = sheet.part(cell)
                    sheet.field(key, value, column.kind, kind="cell", column=column.text)
                    line += pad(value, "", w)
                lines.append(line)
        elif kind == "log":
            for _ in range(rng.randint(2, 6)):
                level = rng.choice(["INFO", "WARN", "ERROR", "DEBUG"])
                stamp = f"{words.value('date')} {words.value('time')}"
                lines.append(html.escape(f"[{stamp}] {level}: {words.sentence(3, 8)}"))
        else:
            lines.append(html.escape(f"$ {words.word()} --{words.word()} {words.word()}.txt"))
        lines.append("")
    colour = f"color:{rng.choice(['#33ff66', '#ffb000', look.ink, look.ink])};" if look.dark else ""
    bar = title_bar(sheet, words.title(1, 2)) if rng.random() < 0.4 else ""
    return f'{bar}<div class="mono" style="white-space:pre;padding:.8em 1em;{colour}">{chr(10).join(lines)}</div>'


def spreadsheet(sheet: Sheet) -> str:
    """Lettered columns and numbered rows of cells; a header row and names at the left."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.05)
    sheet.size(rng.choice([0.6, 0.7, 0.8, 1.2]), 8, 14)
    wide = rng.uniform(6, 10)
    count = max(2, min(9, int((sheet.columns - 14) / wide)))
    kinds = ["money", "count", "percent", "date", "int", "person", "code", "status"]
    same = rng.choice(["money", "count"]) if rng.random() < 0.4 else None
    heads = [Name(words.title(1, 1), same or rng.choice(kinds)) for _ in range(count)]
    line = f"border:1px solid {rng.choice(['#ccc', '#ddd', '#bbb'])};"
    grey = "background:#eee;color:#444;text-align:center;font-weight:400;"
    pad = f"padding:.1em .4em;height:{rng.uniform(1.4, 1.9):.2f}em;white-space:nowrap;overflow:hidden;"
    letters = "".join(f'<td style="{line}{grey}">{chr(65 + i)}</td>' for i in range(count + 1))
    rows = [f'<tr><td style="{line}{grey}width:2em"></td>{letters}</tr>']
    used = max(3, int(sheet.rows / 1.7) - 6 - rng.choice([0, 0, 5]))
    top = rng.choice([0, 0, 1, 2])
    number = 1
    for _ in range(top):
        blank = f'<td style="{line}{pad}"></td>' * count
        shown = text(words.title(1, 4)) if rng.random() < 0.6 else ""
        rows.append(
            f'<tr><td style="{line}{grey}">{number}</td><td style="{line}{pad}">{shown}</td>{blank}</tr>'
        )
        number += 1
    bold = rng.choice(["font-weight:700;", "font-weight:700;background:#dde6f0;", ""])
    named = "".join(f'<td style="{line}{pad}{bold}">{text(h.text)}</td>' for h in heads)
    rows.append(
        f'<tr><td style="{line}{grey}">{number}</td><td style="{line}{pad}{bold}">{text(words.title(1, 1))}</td>{named}</tr>'
    )
    for name in dict.fromkeys(words.phrase(1, 2, "title") for _ in range(used)):
        number += 1
        key = sheet.part(name)
        cells = []
        for head in heads:
            align = "" if head.kind in ("person", "status", "code") else "text-align:right;"
            if rng.random() < 0.05:
                cells.append(f'<td style="{line}{pad}"></td>')
                continue
            value = sheet.part(words.value(head.kind))
            sheet.field(key, value, head.kind, kind="cell", column=head.text)
            cells.append(f'<td style="{line}{pad}{align}">{value.html}</td>')
        rows.append(
            f'<tr><td style="{line}{grey}">{number}</td><td style="{line}{pad}">{key.html}</td>{"".join(cells)}</tr>'
        )
    tools = "".join(f'<span style="margin-right:.8em">{icon(sheet)}</span>' for _ in range(8))
    bar = f'<div style="padding:.4em .8em;background:#f3f3f3;color:#333">{tools}</div>'
    return (
        f"{title_bar(sheet, words.title(1, 2)) if rng.random() < 0.5 else ''}{sheet.maybe(0.6, bar)}"
        f'<table style="background:#fff;color:#111;min-width:60%">{"".join(rows)}</table>'
    )
