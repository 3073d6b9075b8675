"""What templates are put together from: keys with values, tables, paragraphs, icons, pictures."""

from __future__ import annotations

import base64
import html
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


def text(value: str) -> str:
    """A text without a mark, escaped."""
    return html.escape(value)


def draw_value(sheet: Sheet, name: Name) -> str:
    """A value for a name; on few pages in Greek or Cyrillic letters."""
    if name.kind == "word" and sheet.rng.random() < 0.06:
        return sheet.words.foreign()
    return sheet.words.value(name.kind)


def add(sheet: Sheet, name: Name, key: Part, value: Part, **more: str | None) -> None:
    """Register a name's field."""
    kind = ASKED_AS.get(name.kind, name.kind)
    sheet.field(key, value, kind, questions=name.questions, **more)  # type: ignore[arg-type]


def pairs(
    sheet: Sheet,
    names: Sequence[Name],
    *,
    style: str | None = None,
    columns: int = 1,
    values: Sequence[str] | None = None,
    section: str | None = None,
    marked: bool = True,
) -> str:
    """Keys and values in one of the ways of `PAIR_STYLES`.

    Args:
        sheet: to write on.
        names: of the fields.
        style: how; drawn when not given.
        columns: pairs side by side.
        values: drawn when not given.
        section: the heading they stand under, by which the same key is told from another's.
        marked: whether keys have the page's colon.
    """
    rng, look = sheet.rng, sheet.look
    style = style or rng.choices(list(PAIR_STYLES), list(PAIR_STYLES.values()))[0]
    gap = rng.uniform(0.15, 0.9)
    ruled = rng.random() < 0.3
    cells: list[tuple[str, str]] = []
    align = rng.choice(["left"] * 5 + ["right"])
    key_align = "right" if style == "grid" and rng.random() < 0.15 else "left"
    for i, name in enumerate(names):
        shown = values[i] if values else draw_value(sheet, name)
        bare = not marked or style in ("above", "below", "boxed", "after")
        key = sheet.part(name.text, "", look.key_css) if bare else sheet.key(name.text)
        value = sheet.value(shown)
        if section:
            add(sheet, name, key, value, kind="under", column=section)
        else:
            add(sheet, name, key, value)
        cells.append((key.html, value.html))
    line = f"border-bottom:{look.border};" if ruled else ""
    pad = f"padding:{gap / 2:.2f}em 0;"
    if style == "inline":
        space = f"margin-left:{rng.uniform(0.3, 1.5):.2f}em"
        items = [
            f'<div style="{pad}{line}">{k}<span style="{space}">{v}</span></div>' for k, v in cells
        ]
    elif style in ("grid", "edge", "after"):
        first = rng.choice(["max-content", "max-content", f"{rng.randint(25, 60)}%"])
        if style == "edge":
            template, align = "1fr auto", "right"
        elif style == "after":
            template, first = f"{rng.choice(['max-content', '5em'])} 1fr", "auto"
        else:
            template = f"{first} 1fr"
        between = rng.uniform(0.5, 3.0) if first != "max-content" else rng.uniform(0.5, 6)
        items = []
        for k, v in cells:
            one, two = (v, k) if style == "after" else (k, v)
            items.append(
                f'<div style="{pad}{line}text-align:{key_align};padding-right:{between:.2f}em">{one}'
                f'</div><div style="{pad}{line}text-align:{align if style != "after" else "left"}">'
                f"{two}</div>"
            )
        per = max(1, columns)
        size = -(-len(items) // per)
        grids = [
            f'<div style="display:grid;grid-template-columns:{template};flex:1;align-content:start;'
            f'align-items:baseline">{"".join(items[i : i + size])}</div>'
            for i in range(0, len(items), size)
        ]
        return f'<div class="row" style="gap:{rng.uniform(1.5, 4):.1f}em">{"".join(grids)}</div>'
    elif style in ("above", "below"):
        order = (lambda k, v: k + v) if style == "above" else (lambda k, v: v + k)
        items = [
            f'<div style="{pad}{line}">' + order(f"<div>{k}</div>", f"<div>{v}</div>") + "</div>"
            for k, v in cells
        ]
    elif style == "leader":
        dots = f"flex:1;border-bottom:{rng.choice(['1px dotted', '2px dotted', '1px solid'])} {look.soft}"
        items = [
            f'<div class="row" style="{pad}align-items:baseline">{k}'
            f'<i style="{dots};margin:0 .4em"></i>{v}</div>'
            for k, v in cells
        ]
    elif style == "table":
        border = f"border:{look.border};" if rng.random() < 0.6 else f"border-bottom:{look.border};"
        tint = f"background:{look.panel};" if rng.random() < 0.4 else ""
        cell = f"padding:{gap / 2:.2f}em {rng.uniform(0.3, 1.2):.2f}em;{border}"
        per = max(1, columns)
        made = [f'<td style="{cell}{tint}">{k}</td><td style="{cell}">{v}</td>' for k, v in cells]
        lines = ["".join(made[i : i + per]) for i in range(0, len(made), per)]
        wide = "width:100%" if rng.random() < 0.7 else ""
        return f'<table style="{wide}">' + "".join(f"<tr>{r}</tr>" for r in lines) + "</table>"
    elif style == "boxed":
        box = (
            f"border:{look.border};border-radius:{look.radius};padding:.35em .6em;min-height:2em;"
            f"background:{look.paper if rng.random() < 0.6 else look.panel};"
        )
        if rng.random() < 0.3:
            box += f"min-height:{rng.uniform(2, 4):.1f}em;"
        inside = rng.random() < 0.3  # the label in the box, as on paper forms
        items = [
            f'<div style="{box}font-size:.95em"><div style="font-size:.75em">{k}</div>{v}</div>'
            if inside
            else f'<div style="{pad}"><div>{k}</div><div style="{box}">{v}</div></div>'
            for k, v in cells
        ]
    else:  # run
        mark = rng.choice([" | ", " • ", " · ", " / ", "&emsp;", "; "])
        return (
            f'<div style="{pad}">'
            + mark.join(f'<span style="white-space:nowrap">{k} {v}</span>' for k, v in cells)
            + "</div>"
        )
    if columns == 1:
        return "<div>" + "".join(items) + "</div>"
    return (
        f'<div style="display:grid;grid-template-columns:repeat({columns},1fr);'
        f'gap:{gap:.2f}em {rng.uniform(0.6, 2.5):.1f}em">{"".join(items)}</div>'
    )


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
    grid = rng.choice(["none", "none", "rows", "rows", "rows", "all", "all", "outer"])
    zebra = rng.random() < 0.3
    pad = f"padding:{rng.uniform(0.1, 0.7):.2f}em {rng.uniform(0.25, 1.1):.2f}em;"
    border = {"rows": f"border-bottom:{look.border};", "all": f"border:{look.border};"}.get(
        grid, ""
    )
    head_css = rng.choice(
        [
            f"font-weight:700;border-bottom:2px solid {look.ink};",
            f"background:{look.accent};color:{look.on_accent};",
            f"background:{look.panel};font-weight:600;",
            f"color:{look.faint};font-size:.82em;",
            f"font-weight:700;border-top:1px solid {look.ink};border-bottom:1px solid {look.ink};",
            "font-style:italic;",
        ]
    )
    numeric = [c.kind not in ("word", "goods", "person", "name", "status", "city") for c in columns]
    side = rng.choice(["right", "right", "right", "left", "center"])
    aligns = [side if n else rng.choice(["left", "left", "center"]) for n in numeric]
    row_css = rng.choice(["", "", "font-weight:600;", f"color:{look.accent};", "font-weight:700;"])
    numbered = rng.random() < 0.15
    number = (lambda label: f'<td style="{pad}{border}">{label}</td>') if numbered else lambda _: ""
    heads = [sheet.part(c.text) for c in columns]
    head = number("#") + f'<th style="{pad}{head_css}{border}">{text(first)}</th>'
    head += "".join(
        f'<th style="{pad}{head_css}{border}text-align:{a}">{h.html}</th>'
        for h, a in zip(heads, aligns, strict=True)
    )
    lines = []
    for r, row in enumerate(rows):
        tint = f"background:{look.panel};" if zebra and r % 2 else ""
        key = sheet.part(row, "", row_css)
        cells = [number(r + 1), f'<td style="{pad}{border}">{key.html}</td>']
        for c, column in enumerate(columns):
            shown = values(r, c) if values else draw_value(sheet, column)
            css_cell = f"{pad}{border}text-align:{aligns[c]}"
            if rng.random() < empty:
                blank = rng.choice(["&ndash;", "-", "", "n/a"])
                cells.append(f'<td style="{css_cell}">{blank}</td>')
                continue
            value = sheet.part(shown)
            kind = ASKED_AS.get(column.kind, column.kind)
            sheet.field(
                key, value, kind, kind="cell", column=column.text, questions=column.questions
            )
            cells.append(f'<td style="{css_cell}">{value.html}</td>')
        lines.append(f'<tr style="{tint}">{"".join(cells)}</tr>')
    if total is not None:
        label = rng.choice(["Total", "Sum", "Totals", "All"])
        top = f"border-top:2px solid {look.ink};font-weight:700;"
        cells = [number(""), f'<td style="{pad}{top}">{label}</td>']
        cells += [
            f'<td style="{pad}{top}text-align:{a}">{text(t)}</td>'
            for t, a in zip(total, aligns, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    outer = f"border:1px solid {look.line};" if grid == "outer" else ""
    return (
        f'<table class="num" style="{outer}{css}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def leaders(sheet: Sheet, rows: Sequence[tuple[str, str]], kind: str, value_kind: str) -> str:
    """Names with a value at the right edge: a contents page, a price list."""
    rng, look = sheet.rng, sheet.look
    dotted = rng.random() < 0.6
    fill = f"border-bottom:{rng.choice(['1px', '2px'])} dotted {look.soft};" if dotted else ""
    pad = rng.uniform(0.05, 0.5)
    lines = []
    for name, shown in rows:
        key, value = sheet.part(name), sheet.part(shown)
        sheet.field(key, value, value_kind, kind=kind)
        lines.append(
            f'<div class="row" style="align-items:baseline;padding:{pad:.2f}em 0">{key.html}'
            f'<i style="flex:1;margin:0 .4em;{fill}"></i>{value.html}</div>'
        )
    return "".join(lines)


def paragraph(sheet: Sheet, sentences: int, css: str = "") -> str:
    """Prose; now and then a sentence's next words are asked for."""
    rng = sheet.rng
    made = []
    for _ in range(sentences):
        line = sheet.words.sentence()
        words = line.split()
        if rng.random() < 0.3 and len(words) >= 8:
            at = rng.randint(0, len(words) - 6)
            size, after = rng.randint(2, 4), rng.randint(1, 2)
            key = sheet.part(" ".join(words[at : at + size]))
            value = sheet.part(" ".join(words[at + size : at + size + after]))
            sheet.field(key, value, kind="after")
            before, rest = " ".join(words[:at]), " ".join(words[at + size + after :])
            made.append(f"{text(before)} {key.html} {value.html} {text(rest)}")
        else:
            made.append(text(line))
    return f'<p style="{css}">{" ".join(made)}</p>'


def icon(sheet: Sheet, size: float = 1.1) -> str:
    """A line drawing of one em or so."""
    (shape,) = sheet.rng.choice(read_data("icons.txt"))
    fill = "currentColor" if sheet.rng.random() < 0.25 else "none"
    return (
        f'<svg viewBox="0 0 16 16" style="width:{size:.2f}em;height:{size:.2f}em;fill:{fill};'
        f'stroke:currentColor;stroke-width:1.5;vertical-align:-.15em;flex:none">{shape}</svg>'
    )


def picture(sheet: Sheet, css: str) -> str:
    """A photograph's stand-in, in colour, as `scenery.py` draws them."""
    rng = sheet.rng
    canvas = Canvas(Image.new("L", (rng.randint(120, 320), rng.randint(120, 320))))
    draw_scene(rng, canvas)
    colours = [
        tuple(rng.randint(low, high) for _ in range(3))
        for low, high in ((0, 90), (40, 220), (150, 255))
    ]
    tinted = ImageOps.colorize(canvas.image, colours[0], colours[2], colours[1])
    buffer = io.BytesIO()
    tinted.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" style="object-fit:cover;display:block;{css}">'


def logo(sheet: Sheet, company: str) -> str:
    """A firm's name, large, with a sign at times; the firm can be asked for."""
    rng, look = sheet.rng, sheet.look
    size = rng.uniform(1.3, 2.6)
    css = f"font-size:{size:.2f}em;font-weight:{rng.choice([400, 600, 700, 800])};"
    css += f"color:{rng.choice([look.ink, look.accent, look.accent])}"
    part = sheet.part(company, "", css)
    sheet.whole(part, "company name")
    sign = ""
    if rng.random() < 0.5:
        sign = f'<span class="accent" style="font-size:{size:.2f}em;margin-right:.3em">{icon(sheet, 1)}</span>'
    return f'<div class="head" style="display:flex;align-items:center">{sign}{part.html}</div>'


def title(sheet: Sheet, words: str, tag: str = "h1", css: str = "") -> str:
    """A heading that can be asked for."""
    size = sheet.rng.uniform(1.3, 2.4)
    part = sheet.part(words)
    sheet.whole(part, "title")
    return f'<{tag} style="font-size:{size:.2f}em;{css}">{part.html}</{tag}>'
