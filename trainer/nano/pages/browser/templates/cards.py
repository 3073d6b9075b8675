"""Nutrition label, product label, badge: small things with few words."""

from __future__ import annotations

from ..blocks import add, draw_value, icon, logo, pairs, picture, table, text
from ..field_names import Name
from ..sheet import Sheet


def barcode(sheet: Sheet, css: str = "height:3em") -> str:
    """Strips of black, a number below them."""
    rng, x, strips = sheet.rng, 0, []
    for _ in range(rng.randint(30, 60)):
        width = rng.randint(1, 4)
        strips.append(f'<rect x="{x}" width="{width}" height="40"/>')
        x += width + rng.randint(1, 4)
    digits = "".join(rng.choices("0123456789", k=rng.choice([8, 12, 13])))
    return (
        f'<div style="text-align:center;background:#fff;color:#000;padding:.4em"><svg viewBox="0 0 {x} 40" '
        f'preserveAspectRatio="none" style="width:12em;{css};fill:#000">{"".join(strips)}</svg>'
        f'<div style="letter-spacing:.2em;font-size:.8em">{digits}</div></div>'
    )


def nutrition_label(sheet: Sheet) -> str:
    """The box of nutrients on a package: one column with shares, or per 100 g and per serving."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.05)
    look = sheet.look
    sheet.size(rng.uniform(0.9, 2.2), 9, 22, fit=True)
    heading = rng.choice(
        [
            "Nutrition Facts",
            "Nutrition Information",
            "Nutrition",
            "Typical values",
            "Nutrition declaration",
        ]
    )
    head = f'<h1 style="font-size:{rng.uniform(1.3, 2.2):.1f}em;font-weight:800">{heading}</h1>'
    serving = pairs(
        sheet,
        sheet.names("product", rng.randint(1, 3)),
        style=rng.choice(["inline", "edge", "grid"]),
    )
    names = sheet.names("nutrition", rng.randint(5, 14))
    bar = f'<div style="height:{rng.uniform(0.15, 0.7):.2f}em;background:{look.ink};margin:.3em 0"></div>'
    if rng.random() < 0.45:
        per = rng.choice(["100 g", "100ml", "100g"])
        heads = [f"per {per}", rng.choice(["per serving", "per portion", "per bar", "per slice"])]
        if rng.random() < 0.5:
            heads.append(rng.choice(["%RI*", "% DV", "RI"]))
        columns = [Name(h, "grams" if i < 2 else "share") for i, h in enumerate(heads)]

        def cell(row: int, column: int) -> str:
            return words.value("share" if column == 2 else names[row].kind)

        body = table(
            sheet,
            [n.text for n in names],
            columns,
            values=cell,
            first=rng.choice(["Typical values", "", "Nutrient"]),
        )
    else:
        rows = []
        shares = rng.random() < 0.6
        close = rng.random() < 0.6  # value next to its name, share at the edge
        for name in names:
            indent = rng.choice([0, 0, 1.2, 2.4]) if shares else 0
            weight = rng.choice([700, 400]) if indent == 0 else 400
            key, value = (
                sheet.part(name.text, "", f"font-weight:{weight}"),
                sheet.part(draw_value(sheet, name)),
            )
            add(sheet, name, key, value)
            right = ""
            if shares and rng.random() < 0.85:
                share = sheet.part(f"{rng.randint(0, 60)}%", "", "font-weight:700")
                sheet.field(
                    key,
                    share,
                    "percent",
                    kind="cell",
                    column=rng.choice(["daily value", "% DV", "% Daily Value"]),
                )
                right = share.html
            gap = ".4em" if close else "auto"
            rows.append(
                f'<div class="row" style="padding:{look.pad / 4:.2f}em 0 {look.pad / 4:.2f}em {indent}em;'
                f'border-top:1px solid {look.ink}">{key.html}<span style="margin-left:{gap}">{value.html}'
                f'</span><span style="margin-left:{"auto" if close else "2em"};min-width:3em;text-align:right">{right}</span></div>'
            )
        body = "".join(rows)
    foot = f'<div style="font-size:.75em;border-top:1px solid {look.ink};padding-top:.3em">{text(words.sentence(8, 24))}</div>'
    frame = f"border:{rng.choice([1, 2, 3])}px solid {look.ink};" if rng.random() < 0.7 else ""
    inner = f'<div style="{frame}background:{look.paper};padding:.6em .8em">{head}{serving}{bar}{body}{bar}{foot}</div>'
    back = rng.choice([look.paper, look.panel, look.accent])
    return f'<div style="background:{back};padding:{rng.uniform(0.3, 3):.1f}em">{inner}</div>'


def product_label(sheet: Sheet) -> str:
    """A package's, a bottle's, a type plate's label."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.25)
    look = sheet.look
    sheet.size(rng.uniform(0.5, 1.8), 10, 24, fit=True)
    brand = logo(sheet, words.company())
    product = sheet.part(
        words.value("goods"),
        "",
        f"font-size:{rng.uniform(1.5, 3.5):.1f}em;font-weight:700;line-height:1.1",
    )
    sheet.whole(product, "product name")
    big_name = rng.choice(sheet.names("product", 6))
    big = ""
    if rng.random() < 0.5:
        key, value = (
            sheet.part(big_name.text),
            sheet.part(draw_value(sheet, big_name), "", "font-size:1.6em;font-weight:700"),
        )
        add(sheet, big_name, key, value)
        big = f'<div style="margin:.5em 0">{value.html}<div>{key.html}</div></div>'
    taken = big_name.text.lower()
    names = [
        n
        for n in sheet.names(rng.choice(["product", "product", "technical"]), rng.randint(4, 10))
        if n.text.lower() != taken
    ]
    facts = pairs(sheet, names, columns=rng.choice([1, 1, 2, 3]))
    symbols = "".join(
        f'<span style="border:1.5px solid;padding:.3em;margin-right:.5em">{icon(sheet, 1.6)}</span>'
        for _ in range(rng.randint(0, 5))
    )
    notice = f'<div style="font-size:.8em;margin-top:.8em">{"".join(text(words.sentence()) + " " for _ in range(rng.randint(1, 5)))}</div>'
    bars = barcode(sheet) if rng.random() < 0.5 else ""
    image = (
        picture(sheet, f"width:100%;height:{rng.uniform(5, 12):.1f}em")
        if rng.random() < 0.35
        else ""
    )
    blocks = [
        facts,
        notice,
        f'<div style="display:flex;align-items:center;gap:1em;margin-top:.8em">{symbols}{bars}</div>',
    ]
    rng.shuffle(blocks)
    frame = rng.choice(["", f"border:2px solid {look.ink};border-radius:{look.radius};"])
    return (
        f'<div style="padding:{rng.uniform(0.4, 2):.1f}em"><div style="{frame}padding:1em">{brand}'
        f'<div style="text-align:{rng.choice(["left", "center"])}"><div class="head">{product.html}</div>{big}</div>{image}'
        f"{''.join(blocks)}</div></div>"
    )


def badge(sheet: Sheet) -> str:
    """An identity card, a membership card, a conference badge."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.2)
    look = sheet.look
    upright = rng.random() < 0.4
    sheet.size(rng.uniform(1.3, 1.7) if upright else rng.uniform(0.55, 0.7), 11, 26)
    issuer = logo(sheet, words.company())
    kind = sheet.part(
        rng.choice(
            [
                "IDENTITY CARD",
                "Member Card",
                "STAFF",
                "Student ID",
                "Visitor",
                "Driving Licence",
                "Health card",
                words.title(1, 2),
            ]
        )
    )
    sheet.whole(kind, "card type")
    photo = picture(
        sheet,
        f"width:{rng.uniform(6, 9):.1f}em;height:{rng.uniform(7, 11):.1f}em;border-radius:{rng.choice(['0', '.4em', '50%'])}",
    )
    person = sheet.part(
        words.value("person"), "", f"font-size:{rng.uniform(1.2, 2):.1f}em;font-weight:700"
    )
    sheet.whole(person, "holder")
    names = [n for n in sheet.names("person", rng.randint(3, 8)) if "name" not in n.text.lower()]
    facts = pairs(
        sheet,
        names,
        style=rng.choice(["above", "above", "grid", "inline", "table"]),
        columns=1 if upright else rng.choice([1, 2]),
    )
    band = f"background:{look.accent};color:{look.on_accent};padding:.6em 1em;display:flex;justify-content:space-between;align-items:center"
    head = f'<div style="{band}"><div style="background:{look.paper};padding:.2em .5em">{issuer}</div><div>{kind.html}</div></div>'
    code = barcode(sheet, "height:2.2em") if rng.random() < 0.4 else ""
    shape = "text-align:center" if upright else "display:flex;gap:1.5em"
    centre = "display:inline-block" if upright else ""
    pattern = ""
    if rng.random() < 0.4:
        pattern = f"background:repeating-linear-gradient({rng.randint(0, 180)}deg,{look.paper},{look.paper} 6px,{look.panel} 6px,{look.panel} 12px);"
    return (
        f'<div style="{pattern}min-height:100%">{head}<div style="padding:1.2em;{shape}">'
        f'<div style="{centre}">{photo}</div><div class="grow" style="text-align:left"><div>{person.html}</div>'
        f"{facts}</div></div>{code}</div>"
    )
