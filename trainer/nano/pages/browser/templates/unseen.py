"""Templates of the held-out split alone: boarding pass, energy bill, lab report, shop page."""

from __future__ import annotations

from ...questions import own_questions
from ..blocks import pairs, paragraph, picture, table
from ..charts import bars
from ..field_names import Name
from ..sheet import Sheet


def boarding_pass(sheet: Sheet) -> str:
    """A ticket with a stub: small names above large values, in rows."""
    rng = sheet.rng
    sheet.relook(0.1)
    sheet.size(rng.choice([0.45, 0.6, 1.9]), 11, 22, fit=True)
    html = sheet.markup("boarding_pass")
    names = sheet.names("travel", 6, 11)
    rows = []
    while names:
        count = rng.randint(2, 4)
        rows.append(html.row(names[:count]))
        names = names[count:]
    return html.page(rows)


def energy_bill(sheet: Sheet) -> str:
    """A utility's bill: the sum in a large box, readings, use by month."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.02)
    sheet.size(1.414, 8.5, 13)
    html = sheet.markup("energy_bill")
    names = sheet.names("energy", 12)
    box = html.box(*sheet.entry(names[0], css=("", "font-size:2.2em;font-weight:700")))
    left = pairs(sheet, names[1:7], "inline grid above")
    rows = ["Day rate", "Night rate", "Standing charge", words.title(1, 2)]
    heads = [Name(head, "count") for head in ("Previous", "Present", "Units")]
    heads += [Name(head, "money") for head in ("Rate", "Charge")]
    body = table(sheet, rows, heads[: rng.randint(3, 5)], first="Meter")
    graph = bars(sheet, sheet.columns * sheet.em * 0.5, 9 * sheet.em, "Units")
    right = pairs(sheet, names[7:], "edge grid leader")
    logo = sheet.blocks.logo(words.company())
    title = sheet.blocks.title("Your electricity bill")
    prose = paragraph(sheet, rng.randint(4, 9), "font-size:.9em;margin-top:1.5em")
    return html.page(logo, title, left, box, body, graph, right, prose)


def lab_report(sheet: Sheet) -> str:
    """A patient's particulars and a table of results with units and limits."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.02)
    sheet.size(rng.choice([1.414, 1.294]), 8.5, 13)
    html = sheet.markup("lab_report")
    facts = pairs(sheet, sheet.names("health", 5, 9), "grid inline table", 2)
    sections = []
    room = sheet.rows - 22
    seen: set[str] = set()

    def cell(_row: int, column: int) -> str:
        if column == 1:
            return sheet.pick("lab unit")
        low = f"{rng.uniform(0, 50 if column else 200):.1f}"
        return f"{low} \u2013 {rng.uniform(50, 200):.1f}" if column else low

    while room > 5:
        rows = []
        for _ in range(min(int(room) - 2, rng.randint(3, 9))):
            row = words.phrase(1, 2, "sentence")
            if row.lower() not in seen:
                seen.add(row.lower())
                rows.append(row)
        columns = [Name("Result", "int")]
        columns += [Name(sheet.pick(what), "word") for what in ("unit column", "reference")]
        body = table(sheet, rows, columns, values=cell, first="Test")
        sections.append(html.section(body))
        room -= len(rows) * 1.8 + 4
    return html.page(facts, sections)


def shop_page(sheet: Sheet) -> str:
    """A product's page in a web shop."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.1)
    sheet.size(rng.choice([0.6, 0.75, 1.0]), 8.5, 14)
    html = sheet.markup("shop_page")
    name = sheet.blocks.title(words.value("goods"))
    names = sheet.names("shop", 6, 11)
    first = pairs(sheet, names[:4], "inline grid above")
    specs = pairs(sheet, names[4:], "table grid edge")
    button, cards = html.button(), []
    for _ in range(rng.randint(3, 5)):
        goods, price = words.value("goods"), words.value("money")
        asked = own_questions("cost", thing=goods.lower())
        parts = sheet.pair(goods, price, "money", css=("", "font-weight:700"), questions=asked)
        cards.append(html.card(picture(sheet, "width:100%;height:5em"), *parts))
    bar, photo = sheet.blocks.top_bar(), picture(sheet, "width:100%;height:16em")
    return html.page(bar, photo, name, first, button, paragraph(sheet, 3), specs, cards)
