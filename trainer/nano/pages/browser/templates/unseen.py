"""Templates of the held-out split alone: boarding pass, energy bill, lab report, shop page."""

from __future__ import annotations

from ..blocks import add, draw_value, icon, logo, pairs, paragraph, picture, table, text, title
from ..charts import bars
from ..field_names import Name
from ..sheet import Sheet
from .cards import barcode
from .screens import top_bar


def boarding_pass(sheet: Sheet) -> str:
    """A ticket with a stub: small names above large values, in rows."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.1)
    look = sheet.look
    sheet.size(rng.choice([0.45, 0.6, 1.9]), 11, 22, fit=True)
    names = sheet.names("travel", rng.randint(6, 11))
    lines = []
    while names:
        count = rng.randint(2, 4)
        mine, names = names[:count], names[count:]
        size = rng.choice([1, 1, 1.4, 2])
        cells = []
        for name in mine:
            key = sheet.part(name.text, "", f"font-size:.75em;color:{look.soft}")
            value = sheet.part(
                draw_value(sheet, name), "", f"font-size:{size}em;font-weight:700;line-height:1.15"
            )
            add(sheet, name, key, value)
            cells.append(f'<div style="flex:1"><div>{key.html}</div><div>{value.html}</div></div>')
        lines.append(f'<div class="row" style="gap:1.2em;margin:.6em 0">{"".join(cells)}</div>')
    band = f'<div style="background:{look.accent};color:{look.on_accent};padding:.5em 1em;display:flex;justify-content:space-between"><b>{text(words.company())}</b><span>BOARDING PASS</span>{icon(sheet)}</div>'
    code = barcode(sheet, "height:4em") if rng.random() < 0.7 else ""
    inner = f'{band}<div style="padding:.8em 1.2em">{"".join(lines)}</div>{code}'
    return f'<div style="padding:1.5em;background:{look.panel}"><div style="background:{look.paper};border-radius:1em;overflow:hidden;border:1px solid {look.line}">{inner}</div></div>'


def energy_bill(sheet: Sheet) -> str:
    """A utility's bill: the sum in a large box, readings, use by month."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.02)
    look = sheet.look
    sheet.size(1.414, 8.5, 13)
    names = sheet.names("energy", 12)
    big = names[0]
    key, value = (
        sheet.part(big.text),
        sheet.part(draw_value(sheet, big), "", "font-size:2.2em;font-weight:700"),
    )
    add(sheet, big, key, value)
    box = f'<div style="background:{look.accent};color:{look.on_accent};padding:1em;border-radius:{look.radius}"><div>{key.html}</div><div>{value.html}</div></div>'
    left = pairs(sheet, names[1:7], style=rng.choice(["inline", "grid", "above"]))
    rows = [Name(n, "count") for n in ("Day rate", "Night rate", "Standing charge")]
    heads = [
        Name(h, k)
        for h, k in (
            ("Previous", "count"),
            ("Present", "count"),
            ("Units", "count"),
            ("Rate", "money"),
            ("Charge", "money"),
        )
    ]
    body = table(
        sheet,
        [r.text for r in rows] + [words.title(1, 2)],
        heads[: rng.randint(3, 5)],
        first="Meter",
    )
    graph = bars(sheet, sheet.columns * sheet.em * 0.5, 9 * sheet.em, "Units")
    right = pairs(sheet, names[7:], style=rng.choice(["edge", "grid", "leader"]))
    head = f'<div style="display:flex;justify-content:space-between">{logo(sheet, words.company())}{title(sheet, "Your electricity bill")}</div>'
    prose = paragraph(sheet, rng.randint(4, 9), "font-size:.9em;margin-top:1.5em")
    return (
        f'<div style="padding:3em 3.5em">{head}<div class="row" style="gap:3em;margin:2em 0"><div class="grow">{left}</div><div style="width:40%">{box}</div></div>'
        f'{body}<div class="row" style="gap:2em;margin-top:2em"><div>{graph}</div><div class="grow">{right}</div></div>{prose}</div>'
    )


def lab_report(sheet: Sheet) -> str:
    """A patient's particulars and a table of results with units and limits."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.02)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.294]), 8.5, 13)
    facts = pairs(
        sheet,
        sheet.names("health", rng.randint(5, 9)),
        style=rng.choice(["grid", "inline", "table"]),
        columns=2,
    )
    units = ["mmol/L", "g/dL", "U/L", "mg/L", "%", "10^9/L", "µg/L"]
    sections = []
    room = sheet.rows - 22
    seen: set[str] = set()
    while room > 5:
        rows = []
        for _ in range(min(int(room) - 2, rng.randint(3, 9))):
            row = words.phrase(1, 2, "sentence")
            if row.lower() not in seen:
                seen.add(row.lower())
                rows.append(row)
        columns = [
            Name("Result", "int"),
            Name(rng.choice(["Unit", "Units"]), "word"),
            Name(rng.choice(["Reference", "Normal range"]), "word"),
        ]
        body = table(
            sheet,
            rows,
            columns,
            values=lambda _, c: (
                f"{rng.uniform(0, 200):.1f}"
                if c == 0
                else rng.choice(units)
                if c == 1
                else f"{rng.uniform(0, 50):.1f} \u2013 {rng.uniform(50, 200):.1f}"
            ),
            first="Test",
        )
        sections.append(
            f'<h2 style="font-size:1.1em;margin:1.2em 0 .3em">{text(words.title(1, 2))}</h2>{body}'
        )
        room -= len(rows) * 1.8 + 4
    return f'<div style="padding:3em">{logo(sheet, words.company())}<div style="margin:1.5em 0;border:1px solid {look.line};padding:.8em">{facts}</div>{"".join(sections)}</div>'


def shop_page(sheet: Sheet) -> str:
    """A product's page in a web shop."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.1)
    look = sheet.look
    sheet.size(rng.choice([0.6, 0.75, 1.0]), 8.5, 14)
    name = title(sheet, words.value("goods"))
    names = sheet.names("shop", rng.randint(6, 11))
    first = pairs(sheet, names[:4], style=rng.choice(["inline", "grid", "above"]))
    specs = pairs(sheet, names[4:], style=rng.choice(["table", "grid", "edge"]))
    button = f'<span style="display:inline-block;background:{look.accent};color:{look.on_accent};border-radius:{look.radius};padding:.6em 2.5em;margin:1em 0">{icon(sheet)} Add to basket</span>'
    cards = []
    for _ in range(rng.randint(3, 5)):
        key, value = (
            sheet.part(words.value("goods")),
            sheet.part(words.value("money"), "", "font-weight:700"),
        )
        sheet.field(key, value, "money", questions=(f"What does the {key.text.lower()} cost?",))
        cards.append(
            f'<div style="flex:1">{picture(sheet, "width:100%;height:5em")}<div>{key.html}</div><div>{value.html}</div></div>'
        )
    return (
        f'{top_bar(sheet)}<div class="row" style="gap:2.5em;padding:1.5em 2.5em"><div style="width:38%">{picture(sheet, "width:100%;height:16em")}</div>'
        f'<div class="grow">{name}{first}{button}{paragraph(sheet, 3)}</div></div>'
        f'<div style="padding:0 2.5em">{specs}<div class="row" style="gap:1.5em;margin-top:1.5em">{"".join(cards)}</div></div>'
    )
