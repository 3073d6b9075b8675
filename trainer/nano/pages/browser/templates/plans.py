"""Menu and timetable."""

from __future__ import annotations

from ..blocks import icon, leaders, pairs, picture, table, text, title
from ..field_names import Name
from ..page_words import DAYS
from ..sheet import Sheet


def menu(sheet: Sheet) -> str:
    """Sections of dishes with prices; some with what is in them."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.3)
    look = sheet.look
    sheet.size(rng.choice([1.414, 1.8, 1.2, 0.75]), 9, 16)
    name = title(
        sheet,
        words.title(1, 3),
        css=f"text-align:{rng.choice(['center', 'left'])};font-size:{rng.uniform(2, 3.5):.1f}em",
    )
    columns = 2 if sheet.columns > 60 and rng.random() < 0.6 else 1
    described = rng.random() < 0.5
    lines = sheet.rows * columns * (0.4 if described else 0.55)
    sections: list[str] = []
    seen: set[str] = set()
    mode = rng.choice(["edge", "edge", "leader", "next", "below", "sizes"])
    weight, italic = rng.choice([400, 600, 700]), rng.choice(["", "font-style:italic;"])
    signed = rng.random() < 0.4
    while lines > 4 and len(sections) < 7:
        head = rng.choice(
            [
                "Starters",
                "Mains",
                "Desserts",
                "Drinks",
                "Soups & salads",
                "Pasta",
                "Wine",
                "Breakfast",
                "Sides",
                "Coffee",
                words.title(1, 2),
            ]
        )
        count = min(int(lines), rng.randint(3, 9))
        lines -= count + 3
        dishes = []
        for _ in range(count):
            dish = words.value("dish")
            if rng.random() < 0.3:
                dish += f" {rng.choice(['with', '&', 'and', 'in'])} {words.word()}"
            if dish.lower() not in seen:
                seen.add(dish.lower())
                dishes.append(
                    (
                        dish,
                        words.money(rng.choice([0.5, 0.9, 0.0, 0.25]) + rng.randint(2, 40), signed),
                    )
                )
        if mode == "leader":
            body = leaders(sheet, dishes, "pair", "money")
        elif mode == "sizes":
            sizes = [
                Name(size, "money")
                for size in rng.choice(
                    [
                        ("Small", "Large"),
                        ("Glass", "Bottle"),
                        ("0.2 l", "0.75 l"),
                        ("Lunch", "Dinner"),
                    ]
                )
            ]
            body = table(sheet, [d for d, _ in dishes], sizes, first="")
        else:
            made = []
            for dish, price in dishes:
                key, value = sheet.part(dish, "", f"font-weight:{weight}"), sheet.part(price)
                sheet.field(key, value, "money", questions=(f"What does the {dish.lower()} cost?",))
                what = ""
                if described and rng.random() < 0.8:
                    what = f'<div style="{italic}color:{look.soft};font-size:.85em">{text(words.sentence(3, 9))}</div>'
                sign = f" {icon(sheet, 0.9)}" if rng.random() < 0.1 else ""
                if mode == "edge":
                    made.append(
                        f'<div style="padding:.25em 0"><div class="row" style="justify-content:space-between;gap:1em"><div>{key.html}{sign}</div>{value.html}</div>{what}</div>'
                    )
                elif mode == "next":
                    made.append(
                        f'<div style="padding:.25em 0">{key.html} &nbsp; {value.html}{sign}{what}</div>'
                    )
                else:
                    made.append(
                        f'<div style="padding:.35em 0;text-align:center">{key.html}{what}<div>{value.html}</div></div>'
                    )
            body = "".join(made)
        css = f"font-size:{rng.uniform(1.1, 1.6):.2f}em;color:{look.accent};margin:1em 0 .4em;text-align:{rng.choice(['left', 'center'])}"
        sections.append(
            f'<section style="break-inside:avoid"><h2 style="{css}">{text(head)}</h2>{body}</section>'
        )
    image = (
        picture(sheet, f"width:100%;height:{rng.uniform(6, 14):.1f}em;margin-top:1em")
        if rng.random() < 0.3
        else ""
    )
    foot = f'<div style="margin-top:1.5em;text-align:center;color:{look.soft}">{text(words.sentence())}</div>'
    hours = (
        pairs(
            sheet,
            [Name(day, "hours", (f"When are they open on {day}?",)) for day in rng.sample(DAYS, 3)],
            style="edge",
            columns=1,
        )
        if rng.random() < 0.3
        else ""
    )
    return (
        f'<div style="padding:{rng.uniform(1.5, 5):.1f}em">{name}{image}'
        f'<div style="columns:{columns};column-gap:4em">{"".join(sections)}</div>{hours}{foot}</div>'
    )


def timetable(sheet: Sheet) -> str:
    """Stops and departures, a board of trains, or a week of lessons."""
    rng, words = sheet.rng, sheet.words
    sheet.relook(0.35)
    kind = rng.choice(["stops", "board", "board", "week"])
    sheet.size(rng.choice([1.414, 1.0, 0.7, 0.6]), 9, 17)
    room = int(sheet.rows - 9)
    seen: dict[str, str] = {}
    for _ in range(400):
        place = words.value("city")
        seen.setdefault(place.lower(), place)
    places = list(seen.values())
    if kind == "stops":
        rows = places[: max(4, min(20, room))]
        count = max(2, min(7, int((sheet.columns - 22) / 8)))
        columns = [
            Name(
                f"{rng.choice(['Bus', 'Train', 'Line', 'RE', 'IC'])} {rng.randint(1, 999)}", "time"
            )
            for _ in range(count)
        ]
        columns = list({c.text: c for c in columns}.values())
        starts = [rng.randint(300, 1200) for _ in columns]
        legs = [0]
        for _ in rows[1:]:
            legs.append(legs[-1] + rng.randint(2, 19))
        body = table(
            sheet,
            rows,
            columns,
            values=lambda r, c: words.time(starts[c] + legs[r]),
            first=rng.choice(["Stop", "Station", ""]),
            empty=rng.choice([0, 0.08]),
        )
    elif kind == "board":
        rows = places[: max(4, min(16, room))]
        options = [
            Name(rng.choice(["Time", "Departs", "Departure"]), "time", ()),
            Name(rng.choice(["Platform", "Gate", "Track"]), "small"),
            Name(rng.choice(["Train", "Flight", "Line", "Service"]), "code"),
            Name(rng.choice(["Arrives", "Arrival"]), "time"),
            Name(rng.choice(["Status", "Remarks"]), "status"),
        ]
        fit = max(2, int((sheet.columns - 18) / 9))
        columns = rng.sample(options, min(fit, rng.randint(2, 5)))
        body = table(sheet, rows, columns, first=rng.choice(["Destination", "To", "From"]))
    else:
        fit = max(2, min(7, int((sheet.columns - 8) / 10)))
        columns = [Name(day if rng.random() < 0.5 else day[:3], "goods") for day in DAYS[:fit]]
        start = rng.randint(6, 9) * 60
        rows = [words.time(start + 50 * i) for i in range(max(3, min(10, room // 2)))]
        subjects = [
            words.value("goods") if rng.random() < 0.5 else words.title(1, 2) for _ in range(9)
        ]
        body = table(
            sheet,
            rows,
            columns,
            values=lambda _r, _c: rng.choice(subjects),
            first=rng.choice(["Time", ""]),
            empty=0.2,
        )
    head = title(
        sheet,
        rng.choice(
            ["Departures", "Timetable", "Arrivals", "Schedule", "Fahrplan", words.title(1, 3)]
        ),
    )
    facts = (
        pairs(
            sheet,
            sheet.names("travel", rng.randint(1, 4)),
            style=rng.choice(["inline", "run", "grid"]),
        )
        if rng.random() < 0.5
        else ""
    )
    note = (
        f'<div class="soft" style="font-size:.85em;margin-top:1em">{text(words.sentence())}</div>'
    )
    return f'<div style="padding:{rng.uniform(1, 4):.1f}em">{head}<div style="margin:.8em 0">{facts}</div>{body}{note}</div>'
