"""Articles: an encyclopaedia's with a box of facts, and a paper in two columns."""

from __future__ import annotations

from ..blocks import banner, distinct, fact, paragraph, table
from ..charts import chart
from ..field_names import Name, made_up
from ..sheet import Sheet


def fact_box(sheet: Sheet, width: float) -> str:
    """A framed table of names and values under a title and a picture; wraps what is long."""
    rng, words = sheet.rng, sheet.words
    html = sheet.markup("fact_box")
    rows = []
    for name in sheet.names(sheet.pick("fact box subject"), 5, 14):
        rows.append(html.row(*sheet.entry(name)))
        if rng.random() < 0.1:
            rows.append(html.heading(words.title(1, 3)))
    return html.box(rows, words.title(1, 3), banner(sheet, 0.7, 6, 11, 0), width)


def encyclopaedia(sheet: Sheet) -> str:
    """Prose with links round a box of facts, a contents list, tables."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.08)
    sheet.size(rng.choice([0.65, 0.8, 1.0, 1.4]), 8, 13)
    link = rng.choice(["#0645ad", "#3366cc", sheet.look.accent])
    box = fact_box(sheet, min(24.0, sheet.columns * 0.42))
    html = sheet.markup("encyclopaedia", colour=link)

    def prose(count: int) -> str:
        return paragraph(sheet, count, "margin:.5em 0", html.link(words.phrase(1, 3, "lower")))

    head = sheet.whole(words.title(1, 3), "title of the article")
    blocks = [prose(rng.randint(2, 5))]
    room = sheet.rows * 0.8 - 10
    while room > 4:
        kind = rng.choices(["prose", "facts", "contents", "table"], [4, 3, 0.7, 1.5])[0]
        if rng.random() < 0.5:
            blocks.append(html.heading(words.title(1, 3)))
            room -= 2.5
        if kind == "prose":
            blocks.append(prose(rng.randint(2, 6)))
            room -= 5
        elif kind == "facts":
            blocks.append(html.facts([fact(sheet) for _ in range(rng.randint(1, 4))]))
            room -= 4
        elif kind == "contents":
            count = rng.randint(3, 7)
            rows = [(f"{i + 1} {words.title(1, 3)}", str(i * 3 + 2)) for i in range(count)]
            blocks.append(html.contents(rows))
            room -= count * 1.5
        else:
            heads = made_up(words, max(1, min(4, int(sheet.columns / 18))))
            names = distinct(rng.randint(3, 8), lambda: words.phrase(1, 2, "title"))
            grid = table(sheet, names, heads, first=words.title(1, 1), css="")
            blocks.append(html.table(grid))
            room -= len(names) * 1.8 + 3
    return html.page(head, box, blocks)


def paper(sheet: Sheet) -> str:
    """A scientific paper: title, authors, abstract, columns, ruled tables, figures."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.0)
    sheet.size(rng.choice([1.414, 1.294]), 8, 11)
    html = sheet.markup("paper")
    columns = rng.choice([1, 2, 2])
    width = (sheet.columns - 8) / columns - 1.5
    head = sheet.whole(words.phrase(4, 9, "title"), "title of the paper")
    names = [words.value("person") for _ in range(rng.randint(1, 4))]
    authors = sheet.whole(", ".join(names), "authors")
    blocks = []
    room, section, shown = sheet.rows * columns * 0.8 - 14, 1, 0
    while room > 4:
        kind = rng.choices(["prose", "facts", "table", "figure"], [4, 2, 2, 1])[0]
        if rng.random() < 0.4:
            blocks.append(html.heading(section, words.title(1, 3)))
            section, room = section + 1, room - 2.5
        if kind == "prose":
            count = rng.randint(3, 6)
            blocks.append(paragraph(sheet, count, "text-align:justify;text-indent:1em"))
            room -= count * 55 / max(15, width * 2) + 1
        elif kind == "facts":
            blocks.append(html.facts([fact(sheet) for _ in range(rng.randint(1, 3))]))
            room -= 4
        else:
            shown += 1
            label = f"{sheet.pick(f'{kind} label')} {shown}"
            mark = rng.choice([":", ".", ""])
            key, caption = sheet.caption(label, words.sentence(3, 7)[:-1], mark, label)
            if kind == "figure":
                height = rng.uniform(8, 12)
                inner = chart(sheet, width * sheet.em * 0.95, height * sheet.em)
                room -= height + 3
            else:
                kinds = rng.choice([["percent"], ["int"], ["percent", "count"], ["measure"]])
                heads = [
                    Name(words.phrase(1, 1, rng.choice(["title", "upper"])), rng.choice(kinds))
                    for _ in range(max(1, min(6, int((width - 9) / 6))))
                ]
                rows = distinct(rng.randint(3, 8), lambda: words.phrase(1, 2, "title"))
                first = sheet.pick("method")
                inner = html.ruled(table(sheet, rows, heads, first=first, css="margin:auto"))
                room -= len(rows) * 1.6 + 4
            blocks.append(html.figure(inner, key, caption, kind == "table"))
    margin = sheet.between(2, 6, 0)
    abstract = [words.sentence(), fact(sheet), words.sentence()]
    return html.page(columns, head, authors, margin, abstract, blocks)
