"""Data table, datasheet, form."""

from __future__ import annotations

from ..blocks import add, draw_value, icon, logo, pairs, paragraph, picture, table, text, title
from ..charts import labels, lines
from ..field_names import Name
from ..sheet import Sheet
from .screens import toggle


def data_table(sheet: Sheet) -> str:
    """One or two large tables: statistics, a spreadsheet, a results list, a price list."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.12)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.2, 1.0, 0.75, 0.6]), 8, 14)
    kind = rng.choice(["places", "goods", "people", "years", "words", "codes"])
    widths = {"places": 14, "goods": 16, "people": 15, "years": 7, "words": 14, "codes": 10}
    count = max(2, min(9, int((sheet.columns - widths[kind]) / rng.uniform(6.5, 10))))
    room = sheet.rows - 10
    blocks: list[str] = []
    number = 0
    while room > 8 and len(blocks) < 3:
        number += 1
        rows: dict[str, str] = {}
        start = rng.randint(1950, 2000)
        for i in range(max(3, min(30, int(room / (1.2 + look.pad / 3)) - 3))):
            row = {
                "places": lambda i: words.value("city"),
                "goods": lambda i: words.value("goods"),
                "people": lambda i: words.value("person"),
                "years": lambda i, start=start: str(start + i),  # type: ignore[misc]
                "words": lambda i: words.phrase(1, 3, "sentence"),
                "codes": lambda i: words.code(),
            }[kind](i)
            rows.setdefault(row.lower(), row)
            if rng.random() < 0.04 and len(rows) > 4:
                break
        if rng.random() < 0.4:
            columns = [
                Name(label, rng.choice(["count", "money", "percent", "int"]))
                for label in labels(sheet, count)
            ]
        elif rng.random() < 0.5:
            columns = [
                Name(n.text, n.kind if n.kind != "sentence" else "word")
                for n in sheet.names(
                    rng.choice(["metrics", "technical", "person", "nutrition", "shop"]), count
                )
            ]
        else:
            columns = [Name(words.title(1, 2), words.any_kind()) for _ in range(count)]
        columns = list({c.text.lower(): c for c in columns}.values())
        if rng.random() < 0.4:  # one kind of number throughout
            same = rng.choice(["int", "count", "percent", "money", "measure"])
            columns = [Name(c.text, same) for c in columns]
        caption = ""
        if rng.random() < 0.6:
            caption = f'<div style="margin:.8em 0 .4em;font-weight:{rng.choice([400, 700])}">Table {number}. {text(words.sentence(3, 8))}</div>'
        total = [words.value(c.kind) for c in columns] if rng.random() < 0.25 else None
        css = rng.choice(["width:100%", "width:100%", "margin:auto", ""])
        blocks.append(
            caption
            + table(
                sheet,
                list(rows.values()),
                columns,
                first=words.title(1, 1) if rng.random() < 0.7 else "",
                total=total,
                empty=rng.choice([0, 0, 0.1]),
                css=css,
            )
        )
        room -= len(rows) * (1.2 + look.pad / 3) + 6
    head = title(sheet, words.title(2, 5)) if rng.random() < 0.7 else ""
    note = f'<div class="faint" style="font-size:.8em;margin-top:.8em">{rng.choice(["Source", "Note", "*"])}: {text(words.sentence())}</div>'
    intro = paragraph(sheet, rng.randint(1, 3), "margin:.6em 0") if rng.random() < 0.3 else ""
    bar = ""
    if rng.random() < 0.15:  # a spreadsheet's letters
        bar = f'<div style="display:flex;justify-content:space-around;background:{look.panel};border:1px solid {look.line}">{"".join(f"<span>{c}</span>" for c in "ABCDEFGH"[: count + 1])}</div>'
    return f'<div style="padding:{rng.uniform(0.8, 4):.1f}em">{head}{intro}{bar}{"".join(blocks)}{note}</div>'


def datasheet(sheet: Sheet) -> str:
    """A device's specifications in two columns, with a drawing, features and tables of limits."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.03)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.414, 1.294]), 8, 12.5)
    device = sheet.part(
        f"{words.code()}",
        "",
        f"font-size:{rng.uniform(1.6, 2.6):.1f}em;font-weight:700;color:{look.accent}",
    )
    sheet.whole(device, "device")
    sub = sheet.part(words.phrase(2, 5, "title"))
    sheet.whole(sub, "subtitle")
    head = f'<div style="display:flex;justify-content:space-between;border-bottom:3px solid {look.accent};padding-bottom:.5em">{logo(sheet, words.company())}<div style="text-align:right"><div>{device.html}</div><div>{sub.html}</div></div></div>'
    names = sheet.names("technical", 24)
    columns: list[list[str]] = [[], []]
    width = (sheet.columns - 8) / 2 - 1.5
    for column in columns:
        room = sheet.rows - 12
        while room > 6:
            kind = rng.choices(
                ["pairs", "table", "list", "prose", "drawing", "chart"], [5, 3, 1.5, 1.5, 1, 1]
            )[0]
            band = rng.random() < 0.3
            css = (
                f"background:{look.accent};color:{look.on_accent};padding:.15em .4em"
                if band
                else f"border-bottom:1px solid {look.accent};color:{look.accent}"
            )
            column.append(
                f'<h2 style="font-size:1.1em;margin:1em 0 .4em;{css}">{text(words.title(1, 3))}</h2>'
            )
            room -= 3
            if kind == "pairs" and names:
                mine, names = names[: rng.randint(3, 8)], names[8:]
                column.append(
                    pairs(
                        sheet,
                        mine,
                        style=rng.choice(["grid", "edge", "table", "table", "leader", "inline"]),
                    )
                )
                room -= len(mine) * 1.8
            elif kind == "table":
                heads = [
                    Name(h, "int")
                    for h in rng.choice(
                        [
                            ("Min", "Typ", "Max"),
                            ("Min.", "Max."),
                            ("Value", "Unit"),
                            ("Symbol", "Rating"),
                        ]
                    )
                ]
                count = rng.randint(3, 9)
                rows = [n.text for n in sheet.names("technical", count)]
                units = ["V", "mA", "°C", "Hz", "kΩ", "ms", "%", "mm"]
                column.append(
                    table(
                        sheet,
                        rows,
                        heads,
                        values=lambda r, c, h=heads, units=units: (  # type: ignore[misc]
                            rng.choice(units)
                            if h[c].text == "Unit"
                            else (words.code() if h[c].text == "Symbol" else words.number())
                        ),
                        first=rng.choice(["Parameter", "Characteristic", ""]),
                    )
                )
                room -= count * 1.9 + 2
            elif kind == "list":
                count = rng.randint(3, 7)
                column.append(
                    f'<ul style="padding-left:1.3em">{"".join(f"<li>{text(words.sentence(3, 9))}</li>" for _ in range(count))}</ul>'
                )
                room -= count * 1.7
            elif kind == "prose":
                column.append(paragraph(sheet, 3))
                room -= 7
            elif kind == "chart":
                column.append(lines(sheet, width * sheet.em * 0.95, 10 * sheet.em))
                room -= 10
            else:
                sides = [words.value("measure") for _ in range(2)]
                w = width * sheet.em * 0.8
                h = 8 * sheet.em
                column.append(
                    f'<svg width="{w:.0f}" height="{h:.0f}" style="display:block;color:{look.ink}"><rect x="{w * 0.2:.0f}" y="{h * 0.15:.0f}" width="{w * 0.6:.0f}" height="{h * 0.55:.0f}" fill="none" stroke="currentColor" stroke-width="2"/>'
                    f'<circle cx="{w * 0.5:.0f}" cy="{h * 0.42:.0f}" r="{h * 0.15:.0f}" fill="none" stroke="currentColor"/><path d="M{w * 0.2:.0f} {h * 0.8:.0f}H{w * 0.8:.0f}" stroke="currentColor"/>'
                    f'<text x="{w * 0.5:.0f}" y="{h * 0.95:.0f}" text-anchor="middle">{sides[0]}</text><text x="{w * 0.82:.0f}" y="{h * 0.45:.0f}">{sides[1]}</text></svg>'
                )
                room -= 8
    body = "".join(f'<div style="flex:1;min-width:0">{"".join(c)}</div>' for c in columns)
    foot = f'<div class="faint" style="font-size:.75em;margin-top:1em;display:flex;justify-content:space-between"><span>{text(words.value("url"))}</span><span>{text(words.value("date"))}</span><span>{rng.randint(1, 20)}</span></div>'
    return f'<div style="padding:2.5em 4em">{head}<div class="row" style="gap:3em">{body}</div>{foot}</div>'


def form(sheet: Sheet) -> str:
    """A form filled in: boxes, lines or a web form, in sections, with ticks."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.08)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.414, 1.294, 0.8]), 8.5, 15)
    head = title(
        sheet,
        rng.choice(
            [
                "Application form",
                "Registration",
                "Claim form",
                "Questionnaire",
                "Order form",
                words.title(2, 4),
            ]
        ),
    )
    hand = rng.random() < 0.25  # filled in by typewriter
    if hand:
        look.value_css += f";font-family:'{look.mono}',monospace"
    room = sheet.rows - 8
    sections: list[str] = []
    used: set[str] = set()
    number = 0
    style = rng.choice(["boxed", "boxed", "line", "line", "table", "above", "grid"])
    subjects = ["person", "person", "meeting", "invoice", "travel", "health", "product"]
    subjects += ["tax", "tax", "pay", "parcel", "certificate"]
    while room > 4 and len(sections) < 6:
        number += 1
        heading = rng.choice(
            [
                words.title(1, 3),
                f"Section {number}",
                f"{number}. {words.title(1, 2)}",
                f"Part {'ABCDEF'[number - 1]}",
            ]
        )
        names = [
            n
            for n in sheet.names(rng.choice(subjects), rng.randint(3, 9))
            if rng.random() < 0.1 or n.text.lower() not in used
        ]
        used |= {n.text.lower() for n in names}
        columns = rng.choice([1, 2, 2, 3]) if sheet.columns > 45 else rng.choice([1, 1, 2])
        if style == "line":
            made = []
            for name in names:
                key, value = sheet.key(name.text), sheet.value(draw_value(sheet, name))
                add(sheet, name, key, value)
                made.append(
                    f'<div class="row" style="align-items:baseline;gap:.5em;padding:.35em 0">{key.html}<span style="flex:1;border-bottom:1px {rng.choice(["solid", "dotted"])} {look.ink};padding-left:{rng.uniform(0, 3):.1f}em">{value.html}</span></div>'
                )
            body = f'<div style="display:grid;grid-template-columns:repeat({columns},1fr);gap:0 1.5em">{"".join(made)}</div>'
        else:
            body = pairs(
                sheet,
                names,
                style=style,
                columns=columns,
                section=heading if rng.random() < 0.3 and heading not in used else None,
            )
        room -= len(names) / columns * (3.6 if style in ("boxed", "above") else 2) + 4
        ticks = ""
        if rng.random() < 0.4:
            boxes = "".join(
                f'<span style="margin-right:1.5em"><span style="display:inline-block;width:.9em;height:.9em;border:1px solid {look.ink};vertical-align:-.1em">{icon(sheet, 0.8) if rng.random() < 0.4 else ""}</span> {text(words.title(1, 2))}</span>'
                for _ in range(rng.randint(2, 5))
            )
            ticks = f'<div style="margin-top:.6em">{boxes}{toggle(sheet) if rng.random() < 0.2 else ""}</div>'
            room -= 2
        bar = rng.choice(
            [
                f"background:{look.accent};color:{look.on_accent};padding:.25em .6em",
                f"border-bottom:2px solid {look.ink}",
                f"background:{look.panel};padding:.3em .6em",
                "",
            ]
        )
        sections.append(
            f'<h2 style="font-size:{rng.uniform(1, 1.3):.2f}em;margin:1.1em 0 .5em;{bar}">{text(heading)}</h2>{body}{ticks}'
        )
    photo = (
        f'<div style="float:right">{picture(sheet, "width:7em;height:9em")}</div>'
        if rng.random() < 0.12
        else ""
    )
    note = f'<p class="soft" style="font-size:.85em">{text(words.sentence(8, 20))}</p>'
    sign = ""
    if rng.random() < 0.5:
        key, value = (
            sheet.part(rng.choice(["Date", "Place, date"])),
            sheet.part(words.value("date")),
        )
        sheet.field(key, value, "date", questions=("When was it signed?",))
        sign = f'<div class="row" style="margin-top:2.5em;gap:4em"><div style="border-top:1px solid {look.ink};flex:1">{key.html}<div style="margin-top:-3.2em;height:3.2em">{value.html}</div></div><div style="border-top:1px solid {look.ink};flex:1">Signature</div></div>'
    return f'<div style="padding:{rng.uniform(1.5, 4.5):.1f}em">{photo}{head}{note}{"".join(sections)}{sign}</div>'
