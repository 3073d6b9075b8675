"""Articles: an encyclopaedia's with a box of facts, and a paper in two columns."""

from __future__ import annotations

from ..blocks import add, draw_value, leaders, paragraph, picture, table, text
from ..charts import chart
from ..facts import fact
from ..field_names import Name, draw_names
from ..sheet import Sheet


def fact_box(sheet: Sheet, width: float) -> str:
    """A framed table of names and values under a title and a picture; wraps what is long."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    line = f"border-bottom:1px solid {look.line};" if rng.random() < 0.4 else ""
    key_css = rng.choice(["font-weight:700;", "font-weight:700;", f"color:{look.soft};"])
    rows = []
    subjects = ["meeting", "technical", "metrics", "shop", "health"]
    for name in draw_names(words, rng.choice(subjects), rng.randint(5, 14)):
        key, value = sheet.part(name.text), sheet.part(draw_value(sheet, name))
        add(sheet, name, key, value)
        rows.append(
            f'<tr><td style="padding:.2em .6em .2em 0;{line}{key_css}width:{rng.choice([38, 42])}%">{key.html}</td>'
            f'<td style="padding:.2em 0;{line}">{value.html}</td></tr>'
        )
        if rng.random() < 0.1:
            rows.append(
                f'<tr><td colspan=2 style="text-align:center;font-weight:700;background:{look.panel}">{text(words.title(1, 3))}</td></tr>'
            )
    head = f'<div style="text-align:center;font-weight:700;font-size:1.15em;margin-bottom:.4em">{text(words.title(1, 3))}</div>'
    shot = (
        picture(sheet, f"width:100%;height:{rng.uniform(6, 11):.0f}em")
        if rng.random() < 0.7
        else ""
    )
    side = rng.choice(["right", "right", "right", "left"])
    gap = "0 0 1em 1.4em" if side == "right" else "0 1.4em 1em 0"
    return (
        f'<div style="float:{side};width:{width:.0f}em;margin:{gap};padding:.6em;border:1px solid {look.line};'
        f'background:{look.panel};font-size:.88em;line-height:1.35">{head}{shot}<table style="width:100%">{"".join(rows)}</table></div>'
    )


def encyclopaedia(sheet: Sheet) -> str:
    """Prose with links round a box of facts, a contents list, tables."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.08)
    sheet.size(rng.choice([0.65, 0.8, 1.0, 1.4]), 8, 13)
    look = sheet.look
    link = rng.choice(["#0645ad", "#3366cc", look.accent])

    def prose(count: int) -> str:
        linked = f'<span style="color:{link}">{text(words.phrase(1, 3, "lower"))}</span>.'
        return paragraph(sheet, count, "margin:.5em 0").replace("</p>", f" {linked}</p>")

    box = fact_box(sheet, min(24.0, sheet.columns * 0.42))
    heading = rng.choice(["border-bottom:1px solid #a2a9b1;", "", "font-weight:700;"])
    head = sheet.part(words.title(1, 3))
    sheet.whole(head, "title of the article")
    blocks = [prose(rng.randint(2, 5))]
    room = sheet.rows * 0.8 - 10
    while room > 4:
        kind = rng.choices(["prose", "facts", "contents", "table"], [4, 3, 0.7, 1.5])[0]
        if rng.random() < 0.5:
            blocks.append(
                f'<h2 style="font-size:1.35em;margin-top:.8em;{heading}">{text(words.title(1, 3))}</h2>'
            )
            room -= 2.5
        if kind == "prose":
            blocks.append(prose(rng.randint(2, 6)))
            room -= 5
        elif kind == "facts":
            lines = [fact(sheet) for _ in range(rng.randint(1, 4))]
            blocks.append(f'<p style="margin:.5em 0">{" ".join(lines)}</p>')
            room -= 4
        elif kind == "contents":
            rows = [
                (f"{i + 1} {words.title(1, 3)}", str(i * 3 + 2)) for i in range(rng.randint(3, 7))
            ]
            listed = leaders(sheet, rows, "contents", "page")
            blocks.append(
                f'<div style="border:1px solid {look.line};padding:.6em;width:22em;margin:.6em 0">{listed}</div>'
            )
            room -= len(rows) * 1.5
        else:
            count = max(1, min(4, int(sheet.columns / 18)))
            heads = [Name(words.title(1, 2), words.any_kind()) for _ in range(count)]
            names = list(
                dict.fromkeys(words.phrase(1, 2, "title") for _ in range(rng.randint(3, 8)))
            )
            blocks.append(
                f'<div style="margin:.8em 0">{table(sheet, names, heads, first=words.title(1, 1), css="")}</div>'
            )
            room -= len(names) * 1.8 + 3
    return (
        f'<div style="padding:{rng.uniform(1, 3):.1f}em"><h1 style="font-size:{rng.uniform(1.7, 2.2):.1f}em;'
        f'font-weight:400;{heading}margin-bottom:.4em">{head.html}</h1>{box}{"".join(blocks)}</div>'
    )


def paper(sheet: Sheet) -> str:
    """A scientific paper: title, authors, abstract, columns, ruled tables, figures."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.0)
    sheet.size(rng.choice([1.414, 1.294]), 8, 11)
    look = sheet.look
    columns = rng.choice([1, 2, 2])
    width = (sheet.columns - 8) / columns - 1.5
    head = sheet.part(words.phrase(4, 9, "title"))
    sheet.whole(head, "title of the paper")
    names = [words.value("person") for _ in range(rng.randint(1, 4))]
    authors = sheet.part(", ".join(names))
    sheet.whole(authors, "authors")
    blocks = []
    room, section, shown = sheet.rows * columns * 0.8 - 14, 1, 0
    while room > 4:
        kind = rng.choices(["prose", "facts", "table", "figure"], [4, 2, 2, 1])[0]
        if rng.random() < 0.4:
            blocks.append(
                f'<h2 style="font-size:1.15em;margin:.8em 0 .3em">{section}&ensp;{text(words.title(1, 3))}</h2>'
            )
            section, room = section + 1, room - 2.5
        if kind == "prose":
            count = rng.randint(3, 6)
            blocks.append(paragraph(sheet, count, "text-align:justify;text-indent:1em"))
            room -= count * 55 / max(15, width * 2) + 1
        elif kind == "facts":
            blocks.append(f"<p>{' '.join(fact(sheet) for _ in range(rng.randint(1, 3)))}</p>")
            room -= 4
        else:
            shown += 1
            label = f"{rng.choice(['Table', 'Tab.']) if kind == 'table' else rng.choice(['Figure', 'Fig.'])} {shown}"
            key, caption = (
                sheet.part(label, rng.choice([":", ".", ""])),
                sheet.part(words.sentence(3, 7)[:-1]),
            )
            sheet.field(
                key,
                caption,
                questions=(f"What does {label} show?", f"What is the caption of {label}?"),
            )
            under = f'<div style="font-size:.92em;text-align:center;margin:.3em 0">{key.html} {caption.html}.</div>'
            if kind == "figure":
                height = rng.uniform(8, 12)
                inner = chart(sheet, width * sheet.em * 0.95, height * sheet.em)
                room -= height + 3
            else:
                count = max(1, min(6, int((width - 9) / 6)))
                kinds = rng.choice([["percent"], ["int"], ["percent", "count"], ["measure"]])
                heads = [
                    Name(words.phrase(1, 1, rng.choice(["title", "upper"])), rng.choice(kinds))
                    for _ in range(count)
                ]
                rows = list(
                    dict.fromkeys(words.phrase(1, 2, "title") for _ in range(rng.randint(3, 8)))
                )
                grid = table(
                    sheet, rows, heads, first=rng.choice(["Method", "Model", ""]), css="margin:auto"
                )
                rule = f"1.5px solid {look.ink}"
                inner = f'<div style="border-top:{rule};border-bottom:{rule};margin:0 auto;width:max-content;max-width:100%">{grid}</div>'
                room -= len(rows) * 1.6 + 4
            blocks.append(
                f'<figure style="margin:.8em 0;break-inside:avoid">{under if kind == "table" else ""}{inner}{under if kind == "figure" else ""}</figure>'
            )
    abstract = f'<div style="margin:1em {rng.uniform(2, 6):.0f}em;font-size:.92em"><b>Abstract</b> {text(words.sentence())} {fact(sheet)} {text(words.sentence())}</div>'
    return (
        f'<div style="padding:4em 4em 2em"><div style="text-align:center"><h1 style="font-size:1.7em">{head.html}</h1>'
        f'<div style="margin-top:.6em">{authors.html}</div></div>{abstract}'
        f'<div style="columns:{columns};column-gap:2em">{"".join(blocks)}</div></div>'
    )
