"""Nutrition label, product label, badge: small things with few words."""

from __future__ import annotations

from ..blocks import banner, pairs, picture, table
from ..field_names import Name
from ..sheet import Sheet


def nutrition_label(sheet: Sheet) -> str:
    """The box of nutrients on a package: one column with shares, or per 100 g and per serving."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.05)
    sheet.size(rng.uniform(0.9, 2.2), 9, 22, fit=True)
    html = sheet.markup("nutrition_label")
    head = html.title(sheet.pick("nutrition"))
    serving = pairs(sheet, sheet.names("product", 1, 3), "inline edge grid")
    names, bar = sheet.names("nutrition", 5, 14), html.bar()
    if rng.random() < 0.45:
        columns = [Name(sheet.pick(f"per {part}"), "grams") for part in ("100 g", "part")]
        if rng.random() < 0.5:
            columns.append(Name(sheet.pick("daily share"), "share"))

        def cell(row: int, column: int) -> str:
            return words.value("share" if column == 2 else names[row].kind)

        first = sheet.pick("nutrient")
        body = [table(sheet, [n.text for n in names], columns, values=cell, first=first)]
    else:
        body = []
        shares, close = rng.random() < 0.6, rng.random() < 0.6
        for name in names:
            indent = rng.choice([0, 0, 1.2, 2.4]) if shares else 0
            weight = rng.choice([700, 400]) if indent == 0 else 400
            key, value = sheet.entry(name, css=(f"font-weight:{weight}", ""))
            share = None
            if shares and rng.random() < 0.85:
                share = sheet.part(f"{rng.randint(0, 60)}%", "", "font-weight:700")
                sheet.field(key, share, "percent", kind="cell", column=sheet.pick("daily value"))
            body.append(html.row(key, value, share or "", indent, close))
    return html.page(head, serving, bar, body)


def product_label(sheet: Sheet) -> str:
    """A package's, a bottle's, a type plate's label."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.25)
    sheet.size(rng.uniform(0.5, 1.8), 10, 24, fit=True)
    html, blocks = sheet.markup("product_label"), sheet.blocks
    brand, goods = blocks.logo(words.company()), words.value("goods")
    css = f"font-size:{sheet.between(1.5, 3.5)}em;font-weight:700;line-height:1.1"
    product = sheet.whole(goods, "product name", css)
    large = rng.choice(sheet.names("product", 6))
    big = ""
    if rng.random() < 0.5:
        big = html.big(*sheet.entry(large, css=("", "font-size:1.6em;font-weight:700")))
    names = sheet.names(sheet.pick("label subject"), 4, 10)
    names = [name for name in names if name.text.lower() != large.text.lower()]
    facts = pairs(sheet, names, columns=(1, 1, 2, 3))
    symbols, notice = html.symbols(), html.notice()
    code = blocks.barcode() if rng.random() < 0.5 else ""
    image = banner(sheet, 0.35, 5, 12)
    below = [facts, notice, html.signs(symbols, code)]
    rng.shuffle(below)
    return html.page(brand, product, big, image, below)


def badge(sheet: Sheet) -> str:
    """An identity card, a membership card, a conference badge."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.2)
    upright = rng.random() < 0.4
    sheet.size(rng.uniform(1.3, 1.7) if upright else rng.uniform(0.55, 0.7), 11, 26)
    issuer = sheet.blocks.logo(words.company())
    kind = sheet.whole(sheet.pick("card type", words.title(1, 2)), "card type")
    size = f"width:{sheet.between(6, 9)}em;height:{sheet.between(7, 11)}em"
    photo = picture(sheet, f"{size};border-radius:{rng.choice(['0', '.4em', '50%'])}")
    holder = words.value("person")
    css = f"font-size:{sheet.between(1.2, 2)}em;font-weight:700"
    person = sheet.whole(holder, "holder", css)
    names = [n for n in sheet.names("person", 3, 8) if "name" not in n.text.lower()]
    styles, columns = "above above grid inline table", 1 if upright else (1, 2)
    facts = pairs(sheet, names, styles, columns)
    return sheet.markup("badge").page(upright, issuer, kind, photo, person, facts)
