"""Invoice, receipt, bank statement."""

from __future__ import annotations

from ..blocks import add, leaders, logo, pairs, paragraph, picture, table, text, title
from ..field_names import Name
from ..sheet import Sheet


def address_block(sheet: Sheet, heading: str | None) -> str:
    """A name and an address on several lines, under a heading that asks for the name."""
    words, rng = sheet.words, sheet.rng
    lines = [words.value("address"), f"{rng.randint(1000, 99999)} {words.value('city')}"]
    if rng.random() < 0.4:
        lines.append(words.value("country"))
    who = sheet.part(words.value("person") if rng.random() < 0.5 else words.company())
    head = ""
    if heading:
        key = sheet.part(heading, rng.choice(["", ":"]), sheet.look.key_css)
        sheet.field(key, who, "name")
        head = f"<div>{key.html}</div>"
    rest = "".join(f"<div>{text(line)}</div>" for line in lines)
    return f"<div>{head}<div>{who.html}</div>{rest}</div>"


def invoice(sheet: Sheet) -> str:
    """Sender, receiver, particulars, items with prices, totals, how to pay."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    sheet.size(rng.choice([1.414, 1.414, 1.294, 1.1]), 8.5, 15)
    margin = f"{rng.uniform(1.5, 5):.1f}em"
    kind = rng.choice(
        ["Invoice", "INVOICE", "Tax Invoice", "Bill", "Quote", "Pro forma", "Rechnung"]
    )
    if rng.random() < 0.3:
        kind = words.title(1, 2)
    company = words.company()
    head = [
        logo(sheet, company),
        title(sheet, kind, css=f"color:{rng.choice([look.ink, look.accent])}"),
    ]
    if rng.random() < 0.4:
        head.reverse()
    top_css = "display:flex;justify-content:space-between;align-items:flex-start;"
    if rng.random() < 0.2:
        top_css += f"background:{look.accent};--c:{look.on_accent};padding:{margin};"
        head = [f'<div style="background:{look.paper};padding:.4em .8em">{h}</div>' for h in head]
    meta = pairs(
        sheet,
        sheet.names("invoice", rng.randint(2, 7)),
        style=rng.choice(["inline", "grid", "grid", "edge", "above", "table"]),
        columns=rng.choice([1, 1, 1, 2]),
    )
    blocks = [
        address_block(sheet, rng.choice(["Bill to", "Billed To", "Customer", "Invoice to", None]))
    ]
    if rng.random() < 0.5:
        blocks.append(address_block(sheet, rng.choice(["Ship to", "Deliver to", "From", "Seller"])))
    blocks.append(meta)
    if rng.random() < 0.4:
        blocks.reverse()
    people = "".join(f'<div style="flex:1">{b}</div>' for b in blocks)
    prices = []
    count = rng.randint(2, max(3, min(16, int(sheet.rows - 34))))
    items = list(dict.fromkeys(words.value("goods") for _ in range(count)))
    for _ in items:
        quantity, price = (
            rng.choice([1, 1, 2, 3, 4, 5, 10, 12]),
            round(10 ** rng.uniform(0.3, 3), 2),
        )
        prices.append((quantity, price, round(quantity * price, 2)))
    signed = rng.random() < 0.5
    kinds = [
        ("Qty", "Quantity", "Units", "Hours"),
        ("Unit price", "Price", "Rate", "Each"),
        ("Amount", "Total", "Line total", "Sum"),
    ]
    names = [
        Name(rng.choice(options), "count" if i == 0 else "money") for i, options in enumerate(kinds)
    ]

    def cell(row: int, column: int) -> str:
        quantity, price, amount = prices[row]
        return str(quantity) if column == 0 else words.money((price, amount)[column - 1], signed)

    goods = table(
        sheet,
        items,
        names,
        values=cell,
        first=rng.choice(["Description", "Item", "Product", "Service"]),
    )
    subtotal = sum(p[2] for p in prices)
    tax = round(subtotal * rng.choice([0.05, 0.07, 0.19, 0.2, 0.25]), 2)
    sums = sheet.names("totals", rng.randint(2, 6))
    amounts = [words.money(round(rng.uniform(0.02, 1.2) * subtotal, 2)) for _ in sums]
    for i, name in enumerate(sums):
        if name.text.lower() in ("subtotal", "net total"):
            amounts[i] = words.money(subtotal)
        elif name.text.lower() in ("vat", "sales tax"):
            amounts[i] = words.money(tax)
        elif "total" in name.text.lower() or "due" in name.text.lower():
            amounts[i] = words.money(subtotal + tax)
        elif name.kind != "money":
            amounts[i] = words.value(name.kind)
    total = pairs(
        sheet, sums, style=rng.choice(["edge", "edge", "grid", "table", "leader"]), values=amounts
    )
    side = rng.choice(["margin-left:auto", "margin-left:auto", "margin-left:auto", ""])
    foot = pairs(sheet, sheet.names("invoice", rng.randint(2, 5)), columns=rng.choice([1, 2, 3]))
    notes = paragraph(sheet, rng.randint(1, 3), f"color:{look.soft};font-size:.9em")
    gap = f"margin-top:{rng.uniform(1, 3.5):.1f}em"
    return (
        f'<div style="padding:{margin}"><div style="{top_css}">{"".join(head)}</div>'
        f'<div class="row" style="gap:2em;{gap}">{people}</div>'
        f'<div style="{gap}">{goods}</div>'
        f'<div style="width:{rng.randint(32, 65)}%;{side};{gap}">{total}</div>'
        f'<div style="{gap}">{"".join(rng.sample([notes, foot], 2))}</div></div>'
    )


def receipt(sheet: Sheet) -> str:
    """A narrow strip: shop, items with prices, sums, particulars of the payment."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    sheet.size(rng.uniform(1.3, 3.2), 9.5, 24, fit=True)
    mono = rng.random() < 0.6
    rule = rng.choice(
        [
            f'<div style="border-top:1px dashed {look.ink};margin:.6em 0"></div>',
            f'<div style="border-top:1px solid {look.ink};margin:.6em 0"></div>',
            f'<div data-quiet style="overflow:hidden;white-space:nowrap">{rng.choice("-=*_") * 200}</div>',
            "<br>",
        ]
    )
    shop = sheet.part(
        words.company(), "", f"font-size:{rng.uniform(1.2, 2.2):.1f}em;font-weight:700"
    )
    sheet.whole(shop, "shop")
    head = (
        f'<div style="text-align:center"><div>{shop.html}</div><div>{words.value("address")}</div>'
    )
    head += f"<div>{words.value('phone')}</div></div>"
    particulars = pairs(
        sheet,
        sheet.names("receipt", rng.randint(2, 5)),
        style=rng.choice(["inline", "inline", "edge", "run", "grid"]),
        columns=1,
    )
    kind = rng.choice(["goods", "goods", "dish"])
    room = max(4, int(sheet.rows * 0.45))
    items = list(dict.fromkeys(words.value(kind) for _ in range(rng.randint(2, min(22, room)))))
    if rng.random() < 0.3:
        items = [item.upper() for item in items]
    prices = [round(10 ** rng.uniform(0, 2), 2) for _ in items]
    signed = rng.random() < 0.3
    mode = rng.random()
    if mode < 0.5:
        goods = leaders(
            sheet,
            [(i, words.money(p, signed)) for i, p in zip(items, prices, strict=True)],
            "pair",
            "money",
        )
    elif mode < 0.75:
        names = [
            Name(rng.choice(["Qty", "Pcs"]), "small"),
            Name(rng.choice(["Price", "Amount", "EUR", "Total"]), "money"),
        ]
        goods = table(
            sheet,
            items,
            names,
            values=lambda r, c: (
                str(rng.choice([1, 1, 1, 2, 3])) if c == 0 else words.money(prices[r], signed)
            ),
            first=rng.choice(["Item", "Article", ""]),
        )
    else:  # quantity and unit price on a line of their own
        lines = []
        for item, price in zip(items, prices, strict=True):
            key, value = sheet.part(item), sheet.part(words.money(price, signed))
            sheet.field(key, value, "money")
            count = rng.randint(1, 5)
            detail = f"{count} x {words.money(round(price / count, 2), False)}"
            lines.append(
                f'<div>{key.html}</div><div class="row"><span class="grow" style="padding-left:1.5em">'
                f"{detail}</span>{value.html}</div>"
            )
        goods = "".join(lines)
    sums = sheet.names("totals", rng.randint(2, 5))
    big = f"font-size:{rng.uniform(1, 1.4):.2f}em"
    total = pairs(sheet, sums, style=rng.choice(["edge", "edge", "edge", "inline"]))
    foot = pairs(
        sheet,
        sheet.names("receipt", rng.randint(1, 5)),
        style=rng.choice(["inline", "edge", "run"]),
    )
    bars = ""
    if rng.random() < 0.4:
        x, strips = 0, []
        for _ in range(60):
            w = rng.randint(1, 4)
            strips.append(f'<rect x="{x}" width="{w}" height="40"/>')
            x += w + rng.randint(1, 4)
        bars = f'<svg viewBox="0 0 {x} 40" style="width:80%;height:3em;margin:1em 10% 0;fill:{look.ink}" preserveAspectRatio="none">{"".join(strips)}</svg>'
    thanks = f'<div style="text-align:center;margin-top:1em">{text(words.sentence(2, 5))}</div>'
    inner = f'{head}{rule}{particulars}{rule}{goods}{rule}<div style="{big}">{total}</div>{rule}{foot}{bars}{thanks}'
    photo = rng.random() < 0.25  # the strip on a table
    pad = f"padding:{rng.uniform(0.8, 2):.1f}em"
    font = 'class="mono"' if mono else ""
    if not photo:
        return f'<div {font} style="{pad}">{inner}</div>'
    return (
        f'<div style="position:relative;padding:3em {rng.uniform(1, 4):.1f}em">'
        f"{picture(sheet, 'position:absolute;inset:0;width:100%;height:100%')}"
        f'<div {font} style="position:relative;background:{look.paper};{pad}">{inner}</div></div>'
    )


def bank_statement(sheet: Sheet) -> str:
    """Account, summary, and a list of bookings with a running balance."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    sheet.size(rng.choice([1.414, 1.294, 1.0, 0.75]), 8, 13)
    margin = f"{rng.uniform(1.5, 4.5):.1f}em"
    names = sheet.names("bank", rng.randint(4, 10))
    half = len(names) // 2
    left = pairs(sheet, names[:half], style=rng.choice(["inline", "grid", "edge", "above"]))
    right = pairs(
        sheet,
        names[half:],
        style=rng.choice(["edge", "grid", "table", "above"]),
        columns=rng.choice([1, 1, 2]),
    )
    count = max(4, min(34, int(sheet.rows - 22)))
    rows: list[str] = []
    seen: set[str] = set()
    for _ in range(count):
        row = rng.choice(
            [
                words.value("goods"),
                words.company(),
                f"{words.title(1, 1)} {words.code()}",
                f"Card {words.value('city')}",
            ]
        )
        if row.lower() not in seen:
            seen.add(row.lower())
            rows.append(row)
    balance, day, lines = rng.uniform(100, 9000), 1, []
    month, year = rng.randint(1, 12), rng.randint(2012, 2030)
    for _ in rows:
        amount = round(rng.choice([-1, -1, -1, 1]) * 10 ** rng.uniform(0.5, 3.2), 2)
        balance, day = balance + amount, min(28, day + rng.randint(0, 2))
        lines.append((words.date(day, month, year), amount, balance))
    split = rng.random() < 0.4
    columns = [Name(rng.choice(["Date", "Booked", "Posted"]), "date")]
    columns += (
        [
            Name(rng.choice(["Debit", "Money out", "Withdrawals"]), "money"),
            Name(rng.choice(["Credit", "Money in", "Deposits"]), "money"),
        ]
        if split
        else [Name(rng.choice(["Amount", "Value", "Transaction"]), "money")]
    )
    columns.append(Name("Balance", "money"))

    def cell(row: int, column: int) -> str:
        date, amount, left_over = lines[row]
        if column == 0:
            return date
        if column == len(columns) - 1:
            return words.money(left_over, False)
        if split and (amount > 0) != (column == 2):
            return "\u2013"
        return (
            words.money(abs(amount), False)
            if split
            else f"{'-' if amount < 0 else '+'}{words.money(abs(amount), False)}"
        )

    bookings = table(
        sheet,
        rows,
        columns,
        values=cell,
        first=rng.choice(["Description", "Details", "Payee", "Text"]),
    )
    head = f'<div style="display:flex;justify-content:space-between">{logo(sheet, words.company())}'
    head += (
        title(
            sheet,
            rng.choice(["Account statement", "Statement", "Transactions", words.title(1, 3)]),
            css="align-self:end",
        )
        + "</div>"
    )
    who = address_block(sheet, None) if rng.random() < 0.5 else ""
    key, value = sheet.key("Page"), sheet.value(f"{rng.randint(1, 3)} of {rng.randint(3, 9)}")
    add(
        sheet,
        Name("Page", "word", ("Which page is this?", "How many pages are there?")),
        key,
        value,
    )
    gap = "margin-top:1.6em"
    return (
        f'<div style="padding:{margin}">{head}<div class="row" style="gap:3em;{gap}">'
        f'{who}<div class="grow">{left}</div><div class="grow">{right}</div></div>'
        f'<h2 style="{gap};font-size:1.2em">{text(words.title(1, 3))}</h2>'
        f'<div style="margin-top:.5em">{bookings}</div>'
        f'<div style="{gap};color:{look.soft};font-size:.85em">{key.html} {value.html} '
        f"{text(words.sentence(8, 20))}</div></div>"
    )
