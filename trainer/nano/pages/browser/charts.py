"""Charts as inline SVG, whose labels and values can be asked for."""

from __future__ import annotations

import colorsys
import itertools
import math

from ..lexicon import MONTHS
from ..questions import own_questions
from .field_names import Name
from .page_words import ASKED_AS, DAYS
from .sheet import Sheet

_Place = tuple[float, float, str]  # x, y and anchor


def _colours(sheet: Sheet, count: int) -> list[str]:
    start, light = sheet.rng.random(), sheet.rng.uniform(0.4, 0.62)
    step = sheet.rng.choice([0.0, 0.618])
    found = []
    for i in range(count):
        shade = light if step else 0.25 + 0.5 * i / max(1, count)
        r, g, b = colorsys.hls_to_rgb((start + step * i) % 1, shade, 0.6)
        found.append(f"#{round(r * 255):02x}{round(g * 255):02x}{round(b * 255):02x}")
    return found


def labels(sheet: Sheet, count: int) -> list[str]:
    """Names of a chart's bars: months, days, years, quarters, towns or words."""
    rng, words = sheet.rng, sheet.words
    kind = rng.randrange(7)
    if kind == 0 and count <= 12:
        start = rng.randint(0, 12 - count)
        return MONTHS[start : start + count]
    if kind == 1 and count <= 7:
        return [day[:3] for day in DAYS[:count]]
    if kind == 2:
        year = rng.randint(1990, 2028 - count)
        return [str(year + i) for i in range(count)]
    if kind == 3 and count <= 8:
        year = rng.randint(2010, 2027)
        return [f"Q{i % 4 + 1} {year + i // 4}" for i in range(count)]
    source = "city" if kind == 4 else "word"
    found: dict[str, str] = {}
    while len(found) < count:
        label = words.value("city") if source == "city" else words.phrase(1, 2, "title")
        found.setdefault(label.lower(), label)
    return list(found.values())


def _amounts(sheet: Sheet, count: int) -> tuple[list[float], list[str], str]:
    """Heights, as shares of the largest, their texts, and their kind."""
    rng = sheet.rng
    top = 10 ** rng.uniform(1, 5)
    raw = [top * rng.uniform(0.08, 1) for _ in range(count)]
    form = rng.randrange(5)
    if form == 0:
        raw = [100 * value / top for value in raw]
        texts, kind = [f"{v:.0f}%" if top < 1000 else f"{v:.1f} %" for v in raw], "percent"
    elif form == 1:
        texts, kind = [sheet.words.money(round(v, 2)) for v in raw], "money"
    elif form == 2:
        texts, kind = [f"{v / 1000:.1f}k" if top > 1000 else f"{v:.1f}" for v in raw], "int"
    else:
        texts, kind = [f"{v:,.0f}" for v in raw], "int"
    most = max(raw)
    return [v / most for v in raw], texts, kind


def _questions(subject: str, label: str) -> tuple[str, ...]:
    return own_questions("chart", thing=subject.lower(), label=label) if subject else ()


def bars(sheet: Sheet, width: float, height: float, subject: str = "") -> str:
    """A bar chart, upright or lying, each bar with its value; `subject` is what is counted."""
    rng, em, html = sheet.rng, sheet.em, sheet.markup("charts")
    small = em * rng.uniform(0.7, 1.0)
    key_css = f"font-size:{small:.1f}px;color:{rng.choice([sheet.look.ink, sheet.look.soft])}"
    value_css = f"font-size:{small:.1f}px;font-weight:{rng.choice([400, 400, 700])}"
    upright = rng.random() < 0.6
    fitting = width / (6 * small) if upright else height / (1.6 * small)
    count = max(2, min(rng.randint(3, 12), int(fitting)))
    names = labels(sheet, count)
    if upright:
        count = max(2, min(count, int(width / (0.6 * small * (2 + max(map(len, names)))))))
        names = names[:count]
    shares, texts, kind = _amounts(sheet, count)
    colours = _colours(sheet, count)
    if rng.random() < 0.6:
        colours = colours[:1] * count
    made = []

    def named(name: str, key_at: _Place, shown: str, value_at: _Place) -> None:
        key, value = sheet.svg(*key_at, name, key_css), sheet.svg(*value_at, shown, value_css)
        sheet.field(key, value, kind, questions=_questions(subject, name))
        made.extend([key, value])

    bar = zip(names, shares, texts, colours, strict=True)
    if upright:
        floor, top = height - 1.8 * small, 1.8 * small
        made.append(html.rule(width, floor, 1))
        if rng.random() < 0.5:
            made += [html.rule(width, floor - (floor - top) * i / 4, 0.4) for i in range(1, 5)]
        slot = width / count
        thick = slot * rng.uniform(0.3, 0.85)
        inside = rng.random() < 0.15
        for i, (name, share, shown, fill) in enumerate(bar):
            x, y = slot * (i + 0.5), floor - (floor - top) * share
            made.append(html.rect(x - thick / 2, y, thick, floor - y, fill))
            at = y + 1.2 * small if inside and share > 0.3 else y - 0.4 * small
            named(name, (x, height - 0.4 * small, "middle"), shown, (x, at, "middle"))
    else:
        slot = height / count
        left = min(0.45 * width, max(len(n) for n in names) * small * 0.62 + small)
        room = width - left - max(len(t) for t in texts) * small * 0.65 - small
        right_edge = rng.random() < 0.3
        for i, (name, share, shown, fill) in enumerate(bar):
            y = slot * (i + 0.5)
            made.append(html.rect(left, y - slot * 0.32, max(1, room * share), slot * 0.64, fill))
            x = width - 2 if right_edge else left + room * share + 0.4 * small
            at, anchor = y + 0.35 * small, "end" if right_edge else "start"
            named(name, (left - 0.5 * small, at, "end"), shown, (x, at, anchor))
    return html.frame(width, height, made)


def lines(sheet: Sheet, width: float, height: float) -> str:
    """A line chart of one or two series with axes; points carry values, and are table cells."""
    rng, html = sheet.rng, sheet.markup("charts")
    small = sheet.em * rng.uniform(0.65, 0.95)
    bold = f"font-size:{small:.1f}px"
    css = f"{bold};color:{sheet.look.soft}"
    count = max(2, min(rng.randint(3, 9), int(width / (6.5 * small))))
    names = labels(sheet, count)
    fitting = (width - 6 * small) / (0.6 * small * (2 + max(map(len, names))))
    count = max(2, min(count, int(fitting)))
    names = names[:count]
    series = rng.choice([1, 1, 2])
    legend = [sheet.words.phrase(1, 2, "sentence") for _ in range(series)]
    colours = _colours(sheet, series)
    left, right, floor, top = 4.5 * small, width - 2 * small, height - 2 * small, 3.2 * small
    made = [html.axes(left, top, floor, right)]
    for i in range(5):
        y = floor - (floor - top) * i / 4
        made.append(html.label(left - 0.5 * small, y + 0.35 * small, i * 25, css))
    across = [left + (right - left) * (i + 0.5) / count for i in range(count)]
    below = height - 0.5 * small
    keys = [sheet.svg(x, below, "middle", name, css) for x, name in zip(across, names, strict=True)]
    made += keys
    for s in range(series):
        shares, texts, kind = _amounts(sheet, count)
        low, high = (0.0, 1.0) if series == 1 else ((0.55, 1.0) if s == 0 else (0.0, 0.4))
        points = []
        for i, (x, share, shown) in enumerate(zip(across, shares, texts, strict=True)):
            y = floor - (floor - top) * (low + share * (high - low) * 0.9)
            points.append((x, y))
            value = sheet.svg(x, y - 0.5 * small, "middle", shown, bold)
            made += [html.circle(x, y, small * 0.22, colours[s]), value]
            if series == 1:
                sheet.field(keys[i], value, kind, questions=_questions(legend[0], names[i]))
            else:
                sheet.field(keys[i], value, kind, kind="cell", column=legend[s])
        made.append(html.curve(points, colours[s]))
        x = left + s * (right - left) / 2
        made.append(html.rect(x, small * 0.6, small, small, colours[s]))
        made.append(html.label(x + 1.4 * small, 1.5 * small, legend[s], css, "start"))
    return html.frame(width, height, made)


def ring(sheet: Sheet, width: float, height: float) -> str:
    """A pie or a ring with a legend of shares at its right or below."""
    rng, html = sheet.rng, sheet.markup("charts")
    small = sheet.em * rng.uniform(0.75, 1.0)
    css = f"font-size:{small:.1f}px"
    below = width < height * 1.3
    across = min(width, height) * (0.55 if below else 0.9)
    room = height - across - small if below else height
    count = max(2, min(rng.randint(3, 7), int(room / (1.7 * small))))
    names = labels(sheet, count)
    cuts = [0, *sorted(rng.sample(range(5, 96), count - 1)), 100]
    shares = [b - a for a, b in itertools.pairwise(cuts)]
    colours = _colours(sheet, count)
    centre = ((width if below else across + 4) / 2, across / 2 + 2)
    radius = across / 2 * 0.95

    def edge(share: float) -> tuple[float, float]:
        angle = 2 * math.pi * share / 100 - math.pi / 2
        return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)

    made = [
        html.slice(centre, radius, edge(start), edge(end), end - start > 50, colour)
        for start, end, colour in zip(cuts, cuts[1:], colours, strict=False)
    ]
    if rng.random() < 0.5:
        made.append(html.circle(*centre, radius * 0.6, sheet.look.paper))
    x = 2.0 if below else across + 2 * small
    first = across + 2 * small if below else (height - count * 1.7 * small) / 2 + small
    at_edge = rng.random() < 0.5
    for i, (name, share, colour) in enumerate(zip(names, shares, colours, strict=True)):
        y = first + i * 1.7 * small
        made.append(html.rect(x, y - small * 0.8, small * 0.8, small * 0.8, colour))
        key = sheet.svg(x + 1.4 * small, y, "start", name, css)
        next_to = x + 1.4 * small + (len(name) + 2) * small * 0.62
        at, anchor = (width - small, "end") if at_edge else (next_to, "start")
        value = sheet.svg(at, y, anchor, f"{share}%", f"{css};font-weight:600")
        sheet.field(key, value, "percent", questions=own_questions("share", name=name))
        made += [key, value]
    return html.frame(width, height, made)


def chart(sheet: Sheet, width: float, height: float, subject: Name | None = None) -> str:
    """One of the charts above."""
    kind = sheet.rng.choices(["bars", "lines", "ring"], [5, 3, 2])[0]
    if kind == "bars":
        known = subject and ASKED_AS.get(subject.kind, subject.kind)
        return bars(sheet, width, height, subject.text if subject and known else "")
    return lines(sheet, width, height) if kind == "lines" else ring(sheet, width, height)
