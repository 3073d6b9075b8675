"""Letter, report with headings, slide."""

from __future__ import annotations

from ...questions import own_questions
from ..blocks import address, distinct, fact, pairs, paragraph, picture, table
from ..charts import chart
from ..field_names import made_up
from ..sheet import Sheet


def letter(sheet: Sheet) -> str:
    """A letterhead, an address, a reference line, and prose with facts in it."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.02)
    sheet.size(rng.choice([1.414, 1.294]), 9, 15)
    html = sheet.markup("letter")
    head = html.head(sheet.blocks.logo(words.company()))
    refs = pairs(sheet, sheet.names("meeting", 2, 4), "inline grid above run run", (1, 2, 4))
    re, about = sheet.pick("subject"), words.phrase(3, 7, "sentence")
    subject = sheet.pair(re, about, mark=":", questions=own_questions("letter"))
    room = sheet.rows - 30
    body = []
    while room > 2:
        lines = rng.randint(1, 4)
        told = [fact(sheet) if rng.random() < 0.3 else words.sentence(6, 16) for _ in range(lines)]
        body.append(html.told(told))
        room -= lines * 85 / max(20, sheet.columns) + 1
    signer = sheet.whole(words.value("person"), "signature", "font-weight:600")
    sign, foot = html.sign(signer), ""
    if rng.random() < 0.4:
        foot = html.foot(pairs(sheet, sheet.names("invoice", 4), "run"))
    margin = sheet.between(3, 7)
    return html.page(margin, head, address(sheet), refs, subject, body, sign, foot)


def report(sheet: Sheet) -> str:
    """Headings, columns of prose, a contents list, figures and tables with captions."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.05)
    sheet.size(rng.choice([1.414, 1.414, 1.294, 0.8]), 8, 14)
    columns = 2 if sheet.columns > 62 and rng.random() < 0.5 else 1
    width = (sheet.columns - 8) / columns - 2
    room = sheet.rows * columns * 0.85 - 10
    blocks: list[str] = []
    number, figure = rng.randint(1, 6), 0
    numbered = rng.random() < 0.5
    html = sheet.markup("report")
    kinds = {
        "prose": 5,
        "facts": 4,
        "contents": 1,
        "figure": 2,
        "table": 2,
        "list": 1,
        "pairs": 1.5,
    }
    while room > 4 and len(blocks) < 30:
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        lead = f"{number}.{len(blocks) + 1} " if numbered else ""
        if rng.random() < 0.5:
            blocks.append(html.heading(lead))
            room -= 2.5
        if kind == "prose":
            count = rng.randint(2, 5)
            blocks.append(paragraph(sheet, count, f"margin-top:.6em;text-align:{html.align}"))
            room -= count * 55 / max(15, width * 2) + 1
        elif kind == "facts":
            count = rng.randint(2, 5)
            lines = [fact(sheet) if rng.random() < 0.6 else words.sentence() for _ in range(count)]
            blocks.append(html.told(lines))
            room -= count * 60 / max(15, width * 2) + 1
        elif kind == "contents":
            page, rows = rng.randint(1, 5), []
            for i in range(rng.randint(4, 10)):
                page += rng.randint(1, 12)
                rows.append((f"{f'{i + 1}. ' if numbered else ''}{words.title(1, 4)}", str(page)))
            blocks.append(html.block(sheet.blocks.leaders(rows, "contents", "page")))
            room -= len(rows) * 1.3
        elif kind in ("figure", "table"):
            figure += 1
            label, mark = f"{kind.title()} {figure}", rng.choice([":", "."])
            shown = words.sentence(3, 9).rstrip(".")
            key, caption = sheet.caption(label, shown, mark, label.lower())
            if kind == "figure":
                height = rng.uniform(8, 14)
                if rng.random() < 0.8:
                    inner = chart(sheet, width * sheet.em * 0.97, height * sheet.em)
                else:
                    inner = picture(sheet, f"width:100%;height:{height:.0f}em")
                room -= height + 2
            else:
                heads = made_up(words, max(1, min(5, int((width - 10) / 8))))
                names = distinct(rng.randint(3, 9), lambda: words.phrase(1, 3, "sentence"))
                inner = table(sheet, names, heads, first=words.title(1, 1))
                room -= len(names) * 1.7 + 3
            blocks.append(html.figure(inner, key, caption, kind == "table"))
        elif kind == "list":
            count = rng.randint(3, 6)
            lines = [
                fact(sheet) if rng.random() < 0.3 else words.sentence(3, 10) for _ in range(count)
            ]
            blocks.append(html.listed(lines))
            room -= count * 1.5
        else:
            count = rng.randint(3, 7)
            facts = pairs(
                sheet, sheet.names(rng.choice(["meeting", "metrics", "technical"]), count)
            )
            blocks.append(html.block(facts, "break-inside:avoid"))
            room -= count * 1.8
    head = sheet.blocks.title(words.phrase(2, 7, rng.choice(["title", "sentence", "upper"])))
    author = ""
    if rng.random() < 0.6:
        by, mark = "By" if rng.random() < 0.5 else "Author", rng.choice(["", ":"])
        asked = own_questions("author")
        parts = sheet.pair(by, words.value("person"), "name", mark=mark, questions=asked)
        author = html.author(*parts)
    return html.page(head, author, columns, blocks)


def slide(sheet: Sheet) -> str:
    """A heading, bullets, large numbers, a chart or a picture."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.3)
    sheet.size(rng.choice([0.5625, 0.5625, 0.75]), 13, 26)
    html = sheet.markup("slide")
    turn = rng.randint(0, 360) if rng.random() < 0.25 else None
    heading = words.phrase(2, 6, rng.choice(["title", "sentence"]))
    head = sheet.blocks.title(heading, f"color:{rng.choice([sheet.look.ink, sheet.look.accent])}")
    room = sheet.rows - 7

    def bullet() -> str:
        return fact(sheet) if rng.random() < 0.5 else words.phrase(3, 8, "sentence")

    def bullets() -> str:
        return html.bullets([bullet() for _ in range(max(2, min(6, int(room / 3))))])

    def numbers() -> str:
        names, size = sheet.names("metrics", 2, 4), sheet.between(1, 1.5)
        styles, columns = "below above below edge grid", (1, 2, len(names))
        return html.numbers(size, pairs(sheet, names, styles, columns, marked=False))

    def drawing() -> str:
        width, height = (sheet.columns / 2 - 4) * sheet.em, max(6, room * 1.1) * sheet.em
        return chart(sheet, width, height, rng.choice(sheet.names("metrics", 2)))

    def grid() -> str:
        heads = made_up(words, max(1, min(3, int(sheet.columns / 22))), 1)
        rows = distinct(max(2, min(7, int(room / 2.2))), lambda: words.title(1, 2))
        return table(sheet, rows, heads)

    def image() -> str:
        return picture(sheet, f"width:100%;height:{max(5, room):.0f}em")

    kinds = [bullets, bullets, numbers, drawing, drawing, grid, image]
    halves = [make() for make in rng.sample(kinds, 2)]
    if rng.random() < 0.25:
        halves = halves[:1]
    return html.page(turn, head, halves)
