"""What is on screens: settings, dashboard, e-mail."""

from __future__ import annotations

from ...questions import own_questions
from ..blocks import distinct, pairs, paragraph, picture, table
from ..charts import chart
from ..field_names import Name
from ..sheet import Sheet


def screen_size(sheet: Sheet, low: float = 8.0, high: float = 14.0) -> bool:
    """A desktop's window, a tablet or a telephone; returns whether it is narrow."""
    shape = sheet.rng.choices(["desktop", "tablet", "phone"], [5, 2, 3])[0]
    if shape == "desktop":
        sheet.size(sheet.rng.choice([0.5625, 0.625, 0.6, 0.75]), low, high)
    elif shape == "tablet":
        sheet.size(sheet.rng.choice([1.33, 1.0]), low + 1, high + 2)
    else:
        sheet.size(sheet.rng.uniform(1.7, 2.2), 14, 22)
    return shape == "phone"


def settings(sheet: Sheet) -> str:
    """A program's settings or an account's details, in sections."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.35)
    narrow = screen_size(sheet)
    look = sheet.look
    html = sheet.markup("settings", pad=f"{look.pad:.2f}")
    room = sheet.rows - 8
    names = sheet.names("settings", 26)
    sections = []
    style = rng.choice(["rows", "rows", "cards", "pairs", "pairs"])
    while room > 4 and names:
        count = min(len(names), rng.randint(2, 6))
        mine, names = names[:count], names[count:]
        head = html.heading()
        if style == "pairs":
            columns = 1 if narrow else rng.choice([1, 1, 2, 3])
            body = pairs(sheet, mine, "grid edge above boxed boxed table", columns)
            room -= count * 3 / columns + 4
        else:
            css = (look.key_css, look.value_css)
            rows = [html.row(*sheet.entry(name, css=css)) for name in mine]
            rows += [html.switch() for _ in range(rng.choice([0, 0, 1, 2]))]
            rng.shuffle(rows)
            body = html.card(rows, style == "cards")
            room -= len(rows) * (1.4 + look.pad) + 4
        sections.append(head + body)
    limit = rng.choice(["", f"max-width:{rng.randint(34, 60)}em"])
    margin = sheet.between(0.8, 3)
    title = sheet.blocks.title(sheet.pick("settings", words.title(1, 2)), "margin-top:.6em")
    bar = sheet.blocks.top_bar() if rng.random() < 0.8 else ""
    side = sheet.blocks.side_bar() if not narrow and rng.random() < 0.6 else ""
    return html.page(bar, side, limit, margin, title, sections)


def dashboard(sheet: Sheet) -> str:
    """Cards with large numbers, charts, a table."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.4)
    narrow = screen_size(sheet)
    look, html = sheet.look, sheet.markup("dashboard")
    side = "" if narrow or rng.random() < 0.5 else sheet.blocks.side_bar()
    width = sheet.columns - (19 if side else 4)
    across = max(1, min(6, int(width / rng.uniform(11, 17))))
    names = sheet.names("metrics", across, 2 * across)
    cards = []
    order = rng.choice(["above", "above", "below", "beside"])
    big = f"font-size:{sheet.between(1.3, 2.4, 2)}em;line-height:1.2"
    for name in names:
        shown, weight = sheet.draw_value(name), rng.choice([400, 600, 700])
        key, value = sheet.entry(name, shown, css=(look.key_css, f"{big};font-weight:{weight}"))
        delta = ""
        if rng.random() < 0.5:
            changed, colour = words.value("delta"), rng.choice(["#1a8a4a", "#c0392b", look.soft])
            change = sheet.part(changed, "", f"color:{colour};font-size:.85em")
            sheet.field(key, change, "percent", kind="cell", column=sheet.pick("change"))
            delta = html.change(change)
        cards.append(html.number(order, key, value, delta))
    gap = rng.uniform(0.6, 1.6)
    grid = html.grid(across, f"{gap:.1f}", cards)
    rows_left = sheet.rows - 10 - -(-len(names) // across) * 6
    blocks: list[str] = []
    wide = 1 if narrow else rng.choice([1, 2, 2, 3])
    room = (width - gap * (wide - 1)) / wide
    while rows_left > 9 and len(blocks) < 9:
        height = rng.uniform(9, 16)
        made = []
        for _ in range(wide):
            subject = rng.choice(sheet.names("metrics", 3))
            head = html.head(subject.text if rng.random() < 0.6 else words.title(1, 3))
            if rng.random() < 0.7 or room < 18:
                size = (room - 2 * look.pad - 2.2) * sheet.em, height * sheet.em
                inner = chart(sheet, *size, subject)
            else:
                count = max(1, min(4, int((room - 10) / 8)))
                columns = [Name(n.text, n.kind) for n in sheet.names("metrics", count)]
                labels = distinct(
                    int(height / 2), lambda: words.value(rng.choice(["city", "goods"]))
                )
                inner = table(sheet, labels, columns, first=words.title(1, 1))
            made.append(html.card(head + inner))
        blocks.append(html.charts(wide, f"{gap:.1f}", made))
        rows_left -= (height + 4) / look.leading
    head = sheet.blocks.title(sheet.pick("dashboard", words.title(1, 2)), "margin:.4em 0")
    if rng.random() < 0.3:
        blocks.reverse()
    bar = sheet.blocks.top_bar() if rng.random() < 0.7 else ""
    return html.page(bar, side, head, grid, blocks)


def email(sheet: Sheet) -> str:
    """A message in a mail program."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.25)
    narrow = screen_size(sheet)
    html = sheet.markup("email")
    sender, receiver = words.value("person"), words.value("person")
    names = [
        Name(sheet.pick("sender"), "person", own_questions("mail from")),
        Name("To", "person", own_questions("mail to")),
        Name(sheet.pick("sent"), "datetime", own_questions("mail sent")),
        Name("Subject", "word", own_questions("mail subject")),
    ]
    values = [
        f"{sender} <{words.value('email')}>" if rng.random() < 0.5 else sender,
        receiver if rng.random() < 0.5 else words.value("email"),
        words.value("datetime"),
        words.phrase(2, 6, "sentence"),
    ]
    if rng.random() < 0.4:
        names.append(Name(sheet.pick("copy"), "email"))
        values.append(words.value("email"))
    head = pairs(sheet, names, "inline inline grid grid table", values=values)
    room = sheet.rows - 16
    body = [html.hello(receiver.split()[0])]
    while room > 3 and len(body) < 9:
        sentences = rng.randint(1, 5)
        body.append(paragraph(sheet, sentences, "margin-top:.9em"))
        room -= sentences * 1.3 + 1
        if rng.random() < 0.35 and room > 6:
            count = rng.randint(2, 5)
            subject = rng.choice(["meeting", "shop", "travel"])
            body.append(html.quoted(pairs(sheet, sheet.names(subject, count))))
            room -= count * 1.8 + 1
    body.append(html.regards(sender))
    mails = not narrow and rng.random() < 0.6
    side = html.mails(int(sheet.rows / 3.4)) if mails else ""
    css = "width:60%;height:8em;margin-top:1em"
    image = picture(sheet, css) if rng.random() < 0.15 else ""
    return html.page(side, head, body, image)
