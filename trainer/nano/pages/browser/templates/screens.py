"""What is on screens: settings, dashboard, e-mail."""

from __future__ import annotations

from ..blocks import add, draw_value, icon, pairs, paragraph, picture, table, text, title
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


def top_bar(sheet: Sheet) -> str:
    """A program's name, its menus, a search field, an account."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    colour = rng.choice(
        [(look.accent, look.on_accent), (look.panel, look.ink), (look.paper, look.ink)]
    )
    links = "".join(
        f'<span style="margin-left:1.5em">{text(words.title(1, 1))}</span>'
        for _ in range(rng.randint(0, 5))
    )
    search = f'<span style="border:1px solid {look.line};border-radius:{look.radius};padding:.2em 3em .2em .6em;opacity:.8">{rng.choice(["Search", "Find…", words.word()])}</span>'
    return (
        f'<div style="display:flex;align-items:center;gap:1em;white-space:nowrap;overflow:hidden;padding:.7em 1em;background:{colour[0]};color:{colour[1]};'
        f'border-bottom:1px solid {look.line}">{icon(sheet, 1.4)}<b>{text(words.title(1, 2))}</b><span class="grow">{links}</span>'
        f"{sheet.maybe(0.6, search)}{icon(sheet)}</div>"
    )


def side_bar(sheet: Sheet) -> str:
    """A list of places to go."""
    rng, words, look = sheet.rng, sheet.words, sheet.look
    chosen = rng.randint(0, 4)
    entries = []
    for i in range(rng.randint(5, 14)):
        css = f"background:{look.accent};color:{look.on_accent};" if i == chosen else ""
        count = (
            f'<span class="faint" style="margin-left:auto">{rng.randint(1, 99)}</span>'
            if rng.random() < 0.2
            else ""
        )
        sign = icon(sheet) + "&ensp;" if rng.random() < 0.8 else ""
        entries.append(
            f'<div style="display:flex;padding:.45em .8em;border-radius:{look.radius};{css}"><span>{sign}{text(words.title(1, 2))}</span>{count}</div>'
        )
    return f'<div style="width:{rng.uniform(11, 17):.1f}em;flex:none;padding:.8em;background:{look.panel};border-right:1px solid {look.line}">{"".join(entries)}</div>'


def control(sheet: Sheet, value: str) -> str:
    """A value in a text field, a list, or bare."""
    rng, look = sheet.rng, sheet.look
    kind = rng.choice(["field", "list", "bare", "bare", "chip"])
    if kind == "bare":
        return value
    if kind == "chip":
        return f'<span style="background:{look.panel};border-radius:1em;padding:.15em .8em">{value}</span>'
    arrow = "<span style='margin-left:auto'>▾</span>" if kind == "list" else ""
    return f'<span style="display:inline-flex;min-width:{rng.uniform(6, 15):.0f}em;border:1px solid {look.line};border-radius:{look.radius};padding:.3em .6em;background:{look.paper}">{value}{arrow}</span>'


def toggle(sheet: Sheet) -> str:
    """A switch."""
    look = sheet.look
    on = sheet.rng.random() < 0.5
    colour, at = (look.accent, "1.1em") if on else (look.faint, ".1em")
    return (
        f'<span style="display:inline-block;position:relative;width:2em;height:1em;border-radius:1em;background:{colour}">'
        f'<span style="position:absolute;left:{at};top:.1em;width:.8em;height:.8em;border-radius:50%;background:#fff"></span></span>'
    )


def settings(sheet: Sheet) -> str:
    """A program's settings or an account's details, in sections."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.35)
    narrow = screen_size(sheet)
    look = sheet.look
    room = sheet.rows - 8
    names = sheet.names("settings", 26)
    sections = []
    style = rng.choice(["rows", "rows", "cards", "pairs", "pairs"])
    while room > 4 and names:
        count = min(len(names), rng.randint(2, 6))
        mine, names = names[:count], names[count:]
        head = f'<h2 style="font-size:{rng.uniform(1, 1.4):.2f}em;margin:1em 0 .4em">{text(words.title(1, 3))}</h2>'
        if style == "pairs":
            columns = 1 if narrow else rng.choice([1, 1, 2, 3])
            body = pairs(
                sheet,
                mine,
                columns=columns,
                style=rng.choice(["grid", "edge", "above", "boxed", "boxed", "table"]),
            )
            room -= count * 3 / columns + 4
        else:
            rows = []
            for name in mine:
                key, value = (
                    sheet.part(name.text, "", look.key_css),
                    sheet.value(draw_value(sheet, name)),
                )
                add(sheet, name, key, value)
                hint = (
                    f'<div class="faint" style="font-size:.82em">{text(words.sentence(3, 9))}</div>'
                    if rng.random() < 0.35
                    else ""
                )
                sign = (
                    f'<span style="margin-right:.8em" class="soft">{icon(sheet, 1.3)}</span>'
                    if rng.random() < 0.4
                    else ""
                )
                end = control(sheet, value.html) + (
                    "&ensp;<span class='faint'>&rsaquo;</span>" if rng.random() < 0.3 else ""
                )
                rows.append(
                    f'<div style="display:flex;align-items:center;gap:.6em;padding:{look.pad:.2f}em .6em;border-bottom:1px solid {look.line}">{sign}<div class="grow">{key.html}{hint}</div><div style="text-align:right">{end}</div></div>'
                )
            for _ in range(rng.choice([0, 0, 1, 2])):
                rows.append(
                    f'<div style="display:flex;padding:{look.pad:.2f}em .6em;border-bottom:1px solid {look.line}"><span class="grow">{text(words.title(2, 4))}</span>{toggle(sheet)}</div>'
                )
            rng.shuffle(rows)
            card = (
                f"background:{look.panel};border-radius:{look.radius};" if style == "cards" else ""
            )
            body = f'<div style="{card}">{"".join(rows)}</div>'
            room -= len(rows) * (1.4 + look.pad) + 4
        sections.append(head + body)
    buttons = "".join(
        f'<span style="background:{c};color:{i};border:1px solid {look.line};border-radius:{look.radius};padding:.4em 1.2em;margin-right:.8em">{text(w)}</span>'
        for c, i, w in ((look.accent, look.on_accent, "Save"), (look.paper, look.ink, "Cancel"))
    )
    limit = rng.choice(["", f"max-width:{rng.randint(34, 60)}em"])
    main = f'<div class="grow" style="padding:0 {rng.uniform(0.8, 3):.1f}em;{limit}">{title(sheet, rng.choice(["Settings", "Preferences", "My account", "Profile", words.title(1, 2)]), css="margin-top:.6em")}{"".join(sections)}<div style="margin-top:1em">{buttons}</div></div>'
    bar = top_bar(sheet) if rng.random() < 0.8 else ""
    side = side_bar(sheet) if not narrow and rng.random() < 0.6 else ""
    return f'{bar}<div class="row" style="min-height:100%">{side}{main}</div>'


def card(sheet: Sheet, inner: str, css: str = "") -> str:
    """A framed area."""
    look = sheet.look
    frame = (
        f"border:1px solid {look.line};"
        if sheet.rng.random() < 0.7
        else "box-shadow:0 1px 5px rgba(0,0,0,.3);"
    )
    return f'<div style="{frame}border-radius:{look.radius};padding:{look.pad + 0.4:.1f}em;overflow:hidden;{css}">{inner}</div>'


def dashboard(sheet: Sheet) -> str:
    """Cards with large numbers, charts, a table."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.4)
    narrow = screen_size(sheet)
    look = sheet.look
    side = "" if narrow or rng.random() < 0.5 else side_bar(sheet)
    width = sheet.columns - (19 if side else 4)
    across = max(1, min(6, int(width / rng.uniform(11, 17))))
    names = sheet.names("metrics", rng.randint(across, 2 * across))
    cards = []
    order = rng.choice(["above", "above", "below", "beside"])
    big = rng.uniform(1.3, 2.4)
    for name in names:
        key = sheet.part(name.text, "", f"{look.key_css}")
        value = sheet.part(
            draw_value(sheet, name),
            "",
            f"font-size:{big:.2f}em;font-weight:{rng.choice([400, 600, 700])};line-height:1.2",
        )
        add(sheet, name, key, value)
        delta = ""
        if rng.random() < 0.5:
            change = sheet.part(
                words.value("delta"),
                "",
                f"color:{rng.choice(['#1a8a4a', '#c0392b', look.soft])};font-size:.85em",
            )
            sheet.field(
                key,
                change,
                "percent",
                kind="cell",
                column=rng.choice(["change", "trend", "growth"]),
            )
            delta = f"<div>{change.html} <span class='faint' style='font-size:.85em'>{text(words.phrase(1, 3, 'lower'))}</span></div>"
        sign = (
            f'<span class="accent" style="float:right">{icon(sheet, 1.5)}</span>'
            if rng.random() < 0.4
            else ""
        )
        if order == "above":
            inner = f"{sign}<div>{key.html}</div><div>{value.html}</div>{delta}"
        elif order == "below":
            inner = f"{sign}<div>{value.html}</div><div>{key.html}</div>{delta}"
        else:
            inner = f'<div style="display:flex;justify-content:space-between;align-items:center">{key.html}{value.html}</div>{delta}'
        cards.append(
            card(sheet, inner, f"background:{look.panel if rng.random() < 0.3 else look.paper}")
        )
    gap = rng.uniform(0.6, 1.6)
    grid = f'<div style="display:grid;grid-template-columns:repeat({across},1fr);gap:{gap:.1f}em">{"".join(cards)}</div>'
    rows_left = sheet.rows - 10 - -(-len(names) // across) * 6
    blocks: list[str] = []
    wide = 1 if narrow else rng.choice([1, 2, 2, 3])
    room = (width - gap * (wide - 1)) / wide
    while rows_left > 9 and len(blocks) < 9:
        height = rng.uniform(9, 16)
        made = []
        for _ in range(wide):
            subject = rng.choice(sheet.names("metrics", 3))
            head = f'<h3 style="font-size:1.05em;margin-bottom:.5em">{text(subject.text if rng.random() < 0.6 else words.title(1, 3))}</h3>'
            if rng.random() < 0.7 or room < 18:
                inner = chart(
                    sheet, (room - 2 * look.pad - 2.2) * sheet.em, height * sheet.em, subject
                )
            else:
                count = max(1, min(4, int((room - 10) / 8)))
                columns = [Name(n.text, n.kind) for n in sheet.names("metrics", count)]
                labels = list(
                    dict.fromkeys(
                        words.value(rng.choice(["city", "goods"])) for _ in range(int(height / 2))
                    )
                )
                inner = table(sheet, labels, columns, first=words.title(1, 1))
            made.append(card(sheet, head + inner))
        blocks.append(
            f'<div style="display:grid;grid-template-columns:repeat({wide},minmax(0,1fr));gap:{gap:.1f}em;margin-top:{gap:.1f}em">{"".join(made)}</div>'
        )
        rows_left -= (height + 4) / look.leading
    head = title(
        sheet,
        rng.choice(["Dashboard", "Overview", "Analytics", words.title(1, 2)]),
        css="margin:.4em 0",
    )
    if rng.random() < 0.3:
        blocks.reverse()
    bar = top_bar(sheet) if rng.random() < 0.7 else ""
    return f'{bar}<div class="row">{side}<div class="grow" style="padding:.6em 1.2em;min-width:0">{head}{grid}{"".join(blocks)}</div></div>'


def email(sheet: Sheet) -> str:
    """A message in a mail program."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.25)
    narrow = screen_size(sheet)
    look = sheet.look
    sender, receiver = words.value("person"), words.value("person")
    names = [
        Name(rng.choice(["From", "Sender"]), "person", ("Who sent the mail?", "Who wrote it?")),
        Name("To", "person", ("Who received the mail?", "Whom is it addressed to?")),
        Name(
            rng.choice(["Date", "Sent"]),
            "datetime",
            ("When was the mail sent?", "When was it written?"),
        ),
        Name("Subject", "word", ("What is the mail about?", "What is the subject of the mail?")),
    ]
    values = [
        f"{sender} <{words.value('email')}>" if rng.random() < 0.5 else sender,
        receiver if rng.random() < 0.5 else words.value("email"),
        words.value("datetime"),
        words.phrase(2, 6, "sentence"),
    ]
    if rng.random() < 0.4:
        names.append(Name(rng.choice(["Cc", "Reply-To", "Attachment"]), "email"))
        values.append(words.value("email"))
    head = pairs(
        sheet, names, style=rng.choice(["inline", "inline", "grid", "grid", "table"]), values=values
    )
    room = sheet.rows - 16
    body = [
        f"<p>{rng.choice(['Hi', 'Dear', 'Hello', 'Good morning'])} {text(receiver.split()[0])},</p>"
    ]
    while room > 3 and len(body) < 9:
        sentences = rng.randint(1, 5)
        body.append(paragraph(sheet, sentences, "margin-top:.9em"))
        room -= sentences * 1.3 + 1
        if rng.random() < 0.35 and room > 6:
            count = rng.randint(2, 5)
            body.append(
                f'<div style="margin:1em 0;padding:.6em;background:{look.panel}">{pairs(sheet, sheet.names(rng.choice(["meeting", "shop", "travel"]), count))}</div>'
            )
            room -= count * 1.8 + 1
    body.append(
        f'<p style="margin-top:1em">{rng.choice(["Best regards", "Kind regards", "Cheers", "Thanks"])},<br>{text(sender)}</p>'
    )
    side = ""
    if not narrow and rng.random() < 0.6:
        listed = "".join(
            f'<div style="padding:.5em .7em;border-bottom:1px solid {look.line}"><div class="row"><b class="grow">{text(words.value("person"))}</b><span class="faint" style="font-size:.8em">{words.time(rng.randint(0, 1439))}</span></div><div style="white-space:nowrap;overflow:hidden;text-overflow:ellipsis">{text(words.sentence(5, 9))}</div></div>'
            for _ in range(int(sheet.rows / 3.4))
        )
        side = f'<div style="width:{rng.uniform(14, 20):.1f}em;flex:none;border-right:1px solid {look.line}">{listed}</div>'
    image = picture(sheet, "width:60%;height:8em;margin-top:1em") if rng.random() < 0.15 else ""
    main = f'<div class="grow" style="padding:1em {rng.uniform(1, 3):.1f}em;min-width:0">{head}<hr style="border:0;border-top:1px solid {look.line}">{"".join(body)}{image}</div>'
    return f'{top_bar(sheet)}<div class="row">{side}{main}</div>'
