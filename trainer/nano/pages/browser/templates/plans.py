"""Menu and timetable."""

from __future__ import annotations

from ...questions import own_questions
from ..blocks import banner, distinct, pairs, table
from ..field_names import Name
from ..page_words import DAYS
from ..sheet import Sheet


def menu(sheet: Sheet) -> str:
    """Sections of dishes with prices; some with what is in them."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.3)
    sheet.size(rng.choice([1.414, 1.8, 1.2, 0.75]), 9, 16)
    shown, align = words.title(1, 3), rng.choice(["center", "left"])
    css = f"text-align:{align};font-size:{sheet.between(2, 3.5)}em"
    name = sheet.blocks.title(shown, css)
    columns = 2 if sheet.columns > 60 and rng.random() < 0.6 else 1
    described = rng.random() < 0.5
    lines = sheet.rows * columns * (0.4 if described else 0.55)
    sections: list[str] = []
    seen: set[str] = set()
    mode = rng.choice(["edge", "edge", "leader", "next", "below", "sizes"])
    html = sheet.markup("menu")
    signed = rng.random() < 0.4
    while lines > 4 and len(sections) < 7:
        head = sheet.pick("course", words.title(1, 2))
        count = min(int(lines), rng.randint(3, 9))
        lines -= count + 3
        dishes = []
        for _ in range(count):
            dish = words.value("dish")
            if rng.random() < 0.3:
                dish += f" {rng.choice(['with', '&', 'and', 'in'])} {words.word()}"
            if dish.lower() not in seen:
                seen.add(dish.lower())
                price = rng.choice([0.5, 0.9, 0.0, 0.25]) + rng.randint(2, 40)
                dishes.append((dish, words.money(price, signed)))
        if mode == "leader":
            body = sheet.blocks.leaders(dishes, "pair", "money")
        elif mode == "sizes":
            sizes = [Name(size, "money") for size in sheet.pick("sizes").split("/")]
            body = table(sheet, [dish for dish, _ in dishes], sizes)
        else:
            body = ""
            for dish, shown in dishes:
                asked = own_questions("cost", thing=dish.lower())
                css = f"font-weight:{html.weight}"
                parts = sheet.pair(dish, shown, "money", css=(css, ""), questions=asked)
                told = described and rng.random() < 0.8
                what = html.below(words.sentence(3, 9)) if told else ""
                sign = sheet.blocks.icon(0.9) if rng.random() < 0.1 else ""
                body += html.dish(mode, *parts, what, sign)
        sections.append(html.section(head, body))
    image = banner(sheet, 0.3, 6, 14, css="margin-top:1em")
    foot = words.sentence()
    hours = ""
    if rng.random() < 0.3:
        days = rng.sample(DAYS, 3)
        names = [Name(day, "hours", own_questions("hours", day=day)) for day in days]
        hours = pairs(sheet, names, "edge")
    return html.page(name, image, columns, sections, hours, foot)


def timetable(sheet: Sheet) -> str:
    """Stops and departures, a board of trains, or a week of lessons."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.35)
    kind = rng.choice(["stops", "board", "board", "week"])
    sheet.size(rng.choice([1.414, 1.0, 0.7, 0.6]), 9, 17)
    room = int(sheet.rows - 9)
    places = distinct(400, lambda: words.value("city"))
    if kind == "stops":
        rows = places[: max(4, min(20, room))]
        count = max(2, min(7, int((sheet.columns - 22) / 8)))
        lines = [f"{sheet.pick('line')} {rng.randint(1, 999)}" for _ in range(count)]
        columns = [Name(line, "time") for line in dict.fromkeys(lines)]
        starts = [rng.randint(300, 1200) for _ in columns]
        legs = [0]
        for _ in rows[1:]:
            legs.append(legs[-1] + rng.randint(2, 19))

        def leaving(row: int, column: int) -> str:
            return words.time(starts[column] + legs[row])

        first, empty = sheet.pick("stop"), rng.choice([0, 0.08])
        body = table(sheet, rows, columns, values=leaving, first=first, empty=empty)
    elif kind == "board":
        rows = places[: max(4, min(16, room))]
        kinds = {"leaving": "time", "platform": "small", "train": "code"}
        kinds |= {"arriving": "time", "remarks": "status"}
        options = [Name(sheet.pick(what), kind) for what, kind in kinds.items()]
        fit = max(2, int((sheet.columns - 18) / 9))
        columns = rng.sample(options, min(fit, rng.randint(2, 5)))
        body = table(sheet, rows, columns, first=sheet.pick("destination"))
    else:
        fit = max(2, min(7, int((sheet.columns - 8) / 10)))
        columns = [Name(day if rng.random() < 0.5 else day[:3], "goods") for day in DAYS[:fit]]
        start = rng.randint(6, 9) * 60
        rows = [words.time(start + 50 * i) for i in range(max(3, min(10, room // 2)))]
        subjects = [
            words.value("goods") if rng.random() < 0.5 else words.title(1, 2) for _ in range(9)
        ]

        def lesson(_row: int, _column: int) -> str:
            return rng.choice(subjects)

        first = rng.choice(["Time", ""])
        body = table(sheet, rows, columns, values=lesson, first=first, empty=0.2)
    head = sheet.blocks.title(sheet.pick("timetable", words.title(1, 3)))
    facts = ""
    if rng.random() < 0.5:
        facts = pairs(sheet, sheet.names("travel", 1, 4), "inline run grid")
    return sheet.markup("timetable").page(head, facts, body)
