"""Invoice, receipt, bank statement."""

from __future__ import annotations

from ...questions import own_questions
from ..blocks import address, distinct, pairs, paragraph, picture, table
from ..field_names import Name
from ..sheet import Sheet


def invoice(sheet: Sheet) -> str:
    """Sender, receiver, particulars, items with prices, totals, how to pay."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    sheet.size(rng.choice([1.414, 1.414, 1.294, 1.1]), 8.5, 15)
    html = sheet.markup("invoice", margin=f"{rng.uniform(1.5, 5):.1f}em")
    kind = sheet.pick("invoice")
    if rng.random() < 0.3:
        kind = words.title(1, 2)
    head = [sheet.blocks.logo(words.company())]
    head.append(sheet.blocks.title(kind, f"color:{rng.choice([look.ink, look.accent])}"))
    if rng.random() < 0.4:
        head.reverse()
    banded = rng.random() < 0.2
    styles = "inline grid grid edge above table"
    meta = pairs(sheet, sheet.names("invoice", 2, 7), styles, (1, 1, 1, 2))
    people = [address(sheet, sheet.pick("billed to"))]
    if rng.random() < 0.5:
        people.append(address(sheet, sheet.pick("shipped to")))
    people.append(meta)
    if rng.random() < 0.4:
        people.reverse()
    most = max(3, min(16, int(sheet.rows - 34)))
    items = distinct(rng.randint(2, most), lambda: words.value("goods"))
    prices = []
    for _ in items:
        quantity = rng.choice([1, 1, 2, 3, 4, 5, 10, 12])
        price = round(10 ** rng.uniform(0.3, 3), 2)
        prices.append((quantity, price, round(quantity * price, 2)))
    signed = rng.random() < 0.5
    names = [Name(sheet.pick("quantity"), "count"), Name(sheet.pick("unit price"), "money")]
    names.append(Name(sheet.pick("line total"), "money"))

    def cell(row: int, column: int) -> str:
        shown = prices[row][column]
        return str(shown) if column == 0 else words.money(shown, signed)

    goods = table(sheet, items, names, values=cell, first=sheet.pick("goods"))
    subtotal = sum(p[2] for p in prices)
    total = subtotal + round(subtotal * rng.choice([0.05, 0.07, 0.19, 0.2, 0.25]), 2)
    sums = sheet.names("totals", 2, 6)
    amounts = [words.money(round(rng.uniform(0.02, 1.2) * subtotal, 2)) for _ in sums]
    for i, name in enumerate(sums):
        what = name.text.lower()
        if what in ("subtotal", "net total"):
            amounts[i] = words.money(subtotal)
        elif what in ("vat", "sales tax"):
            amounts[i] = words.money(total - subtotal)
        elif "total" in what or "due" in what:
            amounts[i] = words.money(total)
        elif name.kind != "money":
            amounts[i] = words.value(name.kind)
    summed = pairs(sheet, sums, "edge edge grid table leader", values=amounts)
    side = rng.choice(["margin-left:auto", "margin-left:auto", "margin-left:auto", ""])
    foot = pairs(sheet, sheet.names("invoice", 2, 5), columns=(1, 2, 3))
    notes = paragraph(sheet, rng.randint(1, 3), f"color:{look.soft};font-size:.9em")
    return html.page(head, banded, people, goods, summed, side, [notes, foot])


def receipt(sheet: Sheet) -> str:
    """A narrow strip: shop, items with prices, sums, particulars of the payment."""
    rng, words = sheet.rng, sheet.words
    sheet.size(rng.uniform(1.3, 3.2), 9.5, 24, fit=True)
    html = sheet.markup("receipt")
    company = words.company()
    css = f"font-size:{sheet.between(1.2, 2.2)}em;font-weight:700"
    head = html.head(sheet.whole(company, "shop", css))
    particulars = pairs(sheet, sheet.names("receipt", 2, 5), "inline inline edge run grid")
    kind = rng.choice(["goods", "goods", "dish"])
    room = max(4, int(sheet.rows * 0.45))
    items = distinct(rng.randint(2, min(22, room)), lambda: words.value(kind))
    if rng.random() < 0.3:
        items = [item.upper() for item in items]
    prices = [round(10 ** rng.uniform(0, 2), 2) for _ in items]
    signed = rng.random() < 0.3
    mode = rng.random()
    if mode < 0.5:
        rows = [(i, words.money(p, signed)) for i, p in zip(items, prices, strict=True)]
        goods = sheet.blocks.leaders(rows, "pair", "money")
    elif mode < 0.75:
        names = [Name(sheet.pick("pieces"), "small"), Name(sheet.pick("price"), "money")]

        def cell(row: int, column: int) -> str:
            return words.money(prices[row], signed) if column else str(rng.choice([1, 1, 1, 2, 3]))

        goods = table(sheet, items, names, values=cell, first=sheet.pick("article"))
    else:  # quantity and unit price on a line of their own
        goods = ""
        for item, price in zip(items, prices, strict=True):
            parts = sheet.pair(item, words.money(price, signed), "money")
            count = rng.randint(1, 5)
            goods += html.item(*parts, f"{count} x {words.money(round(price / count, 2), False)}")
    sums, size = sheet.names("totals", 2, 5), sheet.between(1, 1.4, 2)
    total = pairs(sheet, sums, "edge edge edge inline")
    foot = pairs(sheet, sheet.names("receipt", 1, 5), "inline edge run")
    inner = html.strip(head, particulars, goods, size, total, foot)
    photo, pad = rng.random() < 0.25, sheet.between(0.8, 2)
    if not photo:
        return html.page(inner, pad)
    margin = sheet.between(1, 4)
    below = picture(sheet, "position:absolute;inset:0;width:100%;height:100%")
    return html.photo(inner, pad, margin, below)


def bank_statement(sheet: Sheet) -> str:
    """Account, summary, and a list of bookings with a running balance."""
    rng, words = sheet.rng, sheet.words
    sheet.size(rng.choice([1.414, 1.294, 1.0, 0.75]), 8, 13)
    html, margin = sheet.markup("bank_statement"), sheet.between(1.5, 4.5)
    names = sheet.names("bank", 4, 10)
    half = len(names) // 2
    left = pairs(sheet, names[:half], "inline grid edge above")
    right = pairs(sheet, names[half:], "edge grid table above", (1, 1, 2))

    def booking() -> str:
        made = [words.value("goods"), words.company(), f"{words.title(1, 1)} {words.code()}"]
        return rng.choice([*made, f"Card {words.value('city')}"])

    rows = distinct(max(4, min(34, int(sheet.rows - 22))), booking)
    balance, day, lines = rng.uniform(100, 9000), 1, []
    month, year = rng.randint(1, 12), rng.randint(2012, 2030)
    for _ in rows:
        amount = round(rng.choice([-1, -1, -1, 1]) * 10 ** rng.uniform(0.5, 3.2), 2)
        balance, day = balance + amount, min(28, day + rng.randint(0, 2))
        lines.append((words.date(day, month, year), amount, balance))
    split = rng.random() < 0.4
    columns = [Name(sheet.pick("booked"), "date")]
    kinds = ("debit", "credit") if split else ("booking",)
    columns += [Name(sheet.pick(kind), "money") for kind in kinds]
    columns.append(Name("Balance", "money"))

    def cell(row: int, column: int) -> str:
        date, amount, left_over = lines[row]
        if column == 0:
            return date
        if column == len(columns) - 1:
            return words.money(left_over, False)
        if split and (amount > 0) != (column == 2):
            return "\u2013"
        sign = "" if split else "-" if amount < 0 else "+"
        return sign + words.money(abs(amount), False)

    bookings = table(sheet, rows, columns, values=cell, first=sheet.pick("payee"))
    logo = sheet.blocks.logo(words.company())
    title = sheet.pick("statement", words.title(1, 3))
    head = html.head(logo, sheet.blocks.title(title, "align-self:end"))
    who = address(sheet) if rng.random() < 0.5 else ""
    number = Name("Page", "word", own_questions("page"))
    shown = f"{rng.randint(1, 3)} of {rng.randint(3, 9)}"
    css = (sheet.look.key_css, sheet.look.value_css)
    page = sheet.entry(number, shown, mark=sheet.look.mark, css=css)
    return html.page(margin, head, who, left, right, bookings, *page)
