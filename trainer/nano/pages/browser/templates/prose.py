"""Letter, report with headings, slide."""

from __future__ import annotations

from ..blocks import leaders, logo, pairs, paragraph, picture, table, text, title
from ..charts import chart
from ..facts import fact
from ..field_names import Name
from ..sheet import Sheet
from .bills import address_block


def letter(sheet: Sheet) -> str:
    """A letterhead, an address, a reference line, and prose with facts in it."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.02)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.294]), 9, 15)
    company = words.company()
    head = f'<div style="display:flex;justify-content:space-between;align-items:flex-end">{logo(sheet, company)}<div class="soft" style="font-size:.85em;text-align:right">{text(words.value("address2"))}<br>{text(words.value("phone"))}</div></div>'
    refs = pairs(
        sheet,
        sheet.names("meeting", rng.randint(2, 4)),
        style=rng.choice(["inline", "grid", "above", "run", "run"]),
        columns=rng.choice([1, 2, 4]),
    )
    subject_key, subject = (
        sheet.part(rng.choice(["Subject", "Re", "RE", "Concerning"]), ":"),
        sheet.part(words.phrase(3, 7, "sentence")),
    )
    sheet.field(
        subject_key,
        subject,
        questions=("What is the letter about?", "What is the subject of the letter?"),
    )
    room = sheet.rows - 30
    body = []
    while room > 2:
        lines = rng.randint(1, 4)
        block = []
        for _ in range(lines):
            block.append(fact(sheet) if rng.random() < 0.3 else text(words.sentence(6, 16)))
        body.append(
            f'<p style="margin-top:1em;text-align:{rng.choice(["left", "justify"])}">{" ".join(block)}</p>'
        )
        room -= lines * 85 / max(20, sheet.columns) + 1
    signer = sheet.part(words.value("person"), "", "font-weight:600")
    sheet.whole(signer, "signature")
    sign = f'<p style="margin-top:1.5em">{rng.choice(["Yours sincerely", "Yours faithfully", "Kind regards"])},</p><div style="margin-top:2.5em">{signer.html}<div class="soft">{text(words.title(1, 3))}</div></div>'
    foot = (
        f'<div class="soft" style="margin-top:2em;border-top:1px solid {look.line};font-size:.75em">{pairs(sheet, sheet.names("invoice", 4), style="run")}</div>'
        if rng.random() < 0.4
        else ""
    )
    return f'<div style="padding:{rng.uniform(3, 7):.1f}em">{head}<div style="margin:2.5em 0 1.5em">{address_block(sheet, None)}</div>{refs}<div style="font-weight:700;margin-top:1.5em">{subject_key.html} {subject.html}</div>{"".join(body)}{sign}{foot}</div>'


def report(sheet: Sheet) -> str:
    """Headings, columns of prose, a contents list, figures and tables with captions."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.05)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.414, 1.294, 0.8]), 8, 14)
    columns = 2 if sheet.columns > 62 and rng.random() < 0.5 else 1
    width = (sheet.columns - 8) / columns - 2
    room = sheet.rows * columns * 0.85 - 10
    blocks: list[str] = []
    number, figure = rng.randint(1, 6), 0
    numbered = rng.random() < 0.5
    align = rng.choice(["left", "justify"])
    while room > 4 and len(blocks) < 30:
        kind = rng.choices(
            ["prose", "facts", "contents", "figure", "table", "list", "pairs"],
            [5, 4, 1, 2, 2, 1, 1.5],
        )[0]
        lead = f"{number}.{len(blocks) + 1} " if numbered else ""
        if rng.random() < 0.5:
            blocks.append(
                f'<h2 style="font-size:{rng.uniform(1.1, 1.4):.2f}em;margin-top:.9em;color:{rng.choice([look.ink, look.accent])}">{lead}{text(words.title(1, 4))}</h2>'
            )
            room -= 2.5
        if kind == "prose":
            count = rng.randint(2, 5)
            blocks.append(paragraph(sheet, count, f"margin-top:.6em;text-align:{align}"))
            room -= count * 55 / max(15, width * 2) + 1
        elif kind == "facts":
            count = rng.randint(2, 5)
            lines = [
                fact(sheet) if rng.random() < 0.6 else text(words.sentence()) for _ in range(count)
            ]
            blocks.append(f'<p style="margin-top:.6em;text-align:{align}">{" ".join(lines)}</p>')
            room -= count * 60 / max(15, width * 2) + 1
        elif kind == "contents":
            page, rows = rng.randint(1, 5), []
            for i in range(rng.randint(4, 10)):
                page += rng.randint(1, 12)
                rows.append(
                    (f"{i + 1}. {words.title(1, 4)}" if numbered else words.title(1, 4), str(page))
                )
            blocks.append(
                f'<div style="margin-top:.6em">{leaders(sheet, rows, "contents", "page")}</div>'
            )
            room -= len(rows) * 1.3
        elif kind in ("figure", "table"):
            figure += 1
            label = f"{'Figure' if kind == 'figure' else 'Table'} {figure}"
            key, caption = (
                sheet.part(label, rng.choice([":", "."])),
                sheet.part(words.sentence(3, 9).rstrip(".")),
            )
            sheet.field(
                key,
                caption,
                questions=(
                    f"What does {label.lower()} show?",
                    f"What is the caption of {label.lower()}?",
                ),
            )
            below = f'<div class="soft" style="font-size:.88em;margin:.3em 0">{key.html} {caption.html}</div>'
            if kind == "figure":
                height = rng.uniform(8, 14)
                inner = (
                    chart(sheet, width * sheet.em * 0.97, height * sheet.em)
                    if rng.random() < 0.8
                    else picture(sheet, f"width:100%;height:{height:.0f}em")
                )
                room -= height + 2
            else:
                count = max(1, min(5, int((width - 10) / 8)))
                heads = [Name(words.title(1, 2), words.any_kind()) for _ in range(count)]
                rows_ = list(
                    dict.fromkeys(words.phrase(1, 3, "sentence") for _ in range(rng.randint(3, 9)))
                )
                inner = table(sheet, rows_, heads, first=words.title(1, 1))
                room -= len(rows_) * 1.7 + 3
            blocks.append(
                f'<figure style="margin:.8em 0;break-inside:avoid">{below if kind == "table" else ""}{inner}{below if kind == "figure" else ""}</figure>'
            )
        elif kind == "list":
            items = [
                f"<li>{fact(sheet) if rng.random() < 0.3 else text(words.sentence(3, 10))}</li>"
                for _ in range(rng.randint(3, 6))
            ]
            tag = rng.choice(["ul", "ol"])
            blocks.append(
                f'<{tag} style="margin-top:.5em;padding-left:1.6em">{"".join(items)}</{tag}>'
            )
            room -= len(items) * 1.5
        else:
            count = rng.randint(3, 7)
            blocks.append(
                f'<div style="margin-top:.6em;break-inside:avoid">{pairs(sheet, sheet.names(rng.choice(["meeting", "metrics", "technical"]), count))}</div>'
            )
            room -= count * 1.8
    head = title(sheet, words.phrase(2, 7, rng.choice(["title", "sentence", "upper"])))
    author = ""
    if rng.random() < 0.6:
        by, who = (
            sheet.part("By" if rng.random() < 0.5 else "Author", rng.choice(["", ":"])),
            sheet.part(words.value("person")),
        )
        sheet.field(by, who, "name", questions=("Who is the author?", "Who wrote it?"))
        author = f'<div class="soft">{by.html} {who.html}, {text(words.value("date"))}</div>'
    strip = (
        f'<div class="faint" style="display:flex;justify-content:space-between;font-size:.8em;margin-bottom:1em"><span>{text(words.title(2, 4))}</span><span>{rng.randint(1, 300)}</span></div>'
        if rng.random() < 0.5
        else ""
    )
    return f'<div style="padding:{rng.uniform(2, 5):.1f}em 4em">{strip}{head}{author}<div style="columns:{columns};column-gap:2em;margin-top:1em">{"".join(blocks)}</div></div>'


def slide(sheet: Sheet) -> str:
    """A heading, bullets, large numbers, a chart or a picture."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.3)
    look = sheet.look
    sheet.size(rng.choice([0.5625, 0.5625, 0.75]), 13, 26)
    back = ""
    if rng.random() < 0.25:
        back = f"background:linear-gradient({rng.randint(0, 360)}deg,{look.paper},{look.panel});"
    head = title(
        sheet,
        words.phrase(2, 6, rng.choice(["title", "sentence"])),
        css=f"color:{rng.choice([look.ink, look.accent])}",
    )
    room = sheet.rows - 7

    def bullets() -> str:
        lines = []
        for _ in range(max(2, min(6, int(room / 3)))):
            lines.append(
                f'<li style="margin:.5em 0">{fact(sheet) if rng.random() < 0.5 else text(words.phrase(3, 8, "sentence"))}</li>'
            )
        return f'<ul style="padding-left:1.2em">{"".join(lines)}</ul>'

    def numbers() -> str:
        names = sheet.names("metrics", rng.randint(2, 4))
        return f'<div style="font-size:{rng.uniform(1, 1.5):.1f}em">{pairs(sheet, names, style=rng.choice(["below", "above", "below", "edge", "grid"]), columns=rng.choice([1, 2, len(names)]), marked=False)}</div>'

    def chart_() -> str:
        return chart(
            sheet,
            (sheet.columns / 2 - 4) * sheet.em,
            max(6, room * 1.1) * sheet.em,
            rng.choice(sheet.names("metrics", 2)),
        )

    def grid() -> str:
        heads = [
            Name(words.title(1, 1), words.any_kind())
            for _ in range(max(1, min(3, int(sheet.columns / 22))))
        ]
        return table(
            sheet,
            list(dict.fromkeys(words.title(1, 2) for _ in range(max(2, min(7, int(room / 2.2)))))),
            heads,
            first="",
        )

    def image() -> str:
        return picture(sheet, f"width:100%;height:{max(5, room):.0f}em")

    halves = [
        make() for make in rng.sample([bullets, bullets, numbers, chart_, chart_, grid, image], 2)
    ]
    if rng.random() < 0.25:
        halves = halves[:1]
    body = "".join(f'<div style="flex:1;min-width:0">{half}</div>' for half in halves)
    foot = f'<div class="faint" style="position:absolute;left:2em;right:2em;bottom:.6em;display:flex;justify-content:space-between;font-size:.6em"><span>{text(words.company())}</span><span>{rng.randint(1, 60)}</span></div>'
    return f'<div style="position:relative;height:{sheet.height}px;overflow:hidden;padding:1.4em 2em;{back}">{head}<div class="row" style="gap:2em;margin-top:1em">{body}</div>{foot}</div>'
