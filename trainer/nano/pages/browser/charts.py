"""Charts as inline SVG, whose labels and values can be asked for."""

from __future__ import annotations

import colorsys
import html
import math

from .field_names import Name
from .page_words import ASKED_AS, DAYS, MONTHS
from .sheet import Sheet


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


def _frame(sheet: Sheet, width: float, height: float, body: str) -> str:
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" style="display:block;color:{sheet.look.ink}">'
        f"{body}</svg>"
    )


def _quiet(x: float, y: float, shown: str, css: str, anchor: str = "end") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{css}">'
        f"{html.escape(shown)}</text>"
    )


def _questions(subject: str, label: str) -> tuple[str, ...]:
    if not subject:
        return ()
    thing = subject.lower()
    return (
        f"What was the {thing} of {label}?",
        f"What is the {thing} for {label}?",
        f"How high is {label}?",
        f"What does the chart show for {label}?",
        f"What was {thing} in {label}?",
    )


def bars(sheet: Sheet, width: float, height: float, subject: str = "") -> str:
    """A bar chart, upright or lying, each bar with its value; `subject` is what is counted."""
    rng, em = sheet.rng, sheet.em
    small = em * rng.uniform(0.7, 1.0)
    key_css = f"font-size:{small:.1f}px;color:{rng.choice([sheet.look.ink, sheet.look.soft])}"
    value_css = f"font-size:{small:.1f}px;font-weight:{rng.choice([400, 400, 700])}"
    upright = rng.random() < 0.6
    widest = 6 * small
    count = max(
        2, min(rng.randint(3, 12), int(width / widest if upright else height / (1.6 * small)))
    )
    names = labels(sheet, count)
    if upright:
        count = max(2, min(count, int(width / (0.6 * small * (2 + max(map(len, names)))))))
        names = names[:count]
    shares, texts, kind = _amounts(sheet, count)
    colours = _colours(sheet, count)
    one = rng.random() < 0.6
    made = []
    if upright:
        floor, top = height - 1.8 * small, 1.8 * small
        made.append(f'<path d="M0 {floor:.1f}H{width:.1f}" stroke="{sheet.look.line}"/>')
        if rng.random() < 0.5:
            for i in range(1, 5):
                y = floor - (floor - top) * i / 4
                made.append(
                    f'<path d="M0 {y:.1f}H{width:.1f}" stroke="{sheet.look.line}" stroke-opacity=".4"/>'
                )
        slot = width / count
        thick = slot * rng.uniform(0.3, 0.85)
        inside = rng.random() < 0.15
        for i, (name, share, shown) in enumerate(zip(names, shares, texts, strict=True)):
            x, y = slot * (i + 0.5), floor - (floor - top) * share
            fill = colours[0] if one else colours[i]
            made.append(
                f'<rect x="{x - thick / 2:.1f}" y="{y:.1f}" width="{thick:.1f}" '
                f'height="{floor - y:.1f}" fill="{fill}"/>'
            )
            at = y + 1.2 * small if inside and share > 0.3 else y - 0.4 * small
            key = sheet.svg(x, height - 0.4 * small, name, key_css, "middle")
            value = sheet.svg(x, at, shown, value_css, "middle")
            sheet.field(key, value, kind, questions=_questions(subject, name))
            made += [key.html, value.html]
    else:
        slot = height / count
        left = min(0.45 * width, max(len(n) for n in names) * small * 0.62 + small)
        room = width - left - max(len(t) for t in texts) * small * 0.65 - small
        right_edge = rng.random() < 0.3
        for i, (name, share, shown) in enumerate(zip(names, shares, texts, strict=True)):
            y = slot * (i + 0.5)
            fill = colours[0] if one else colours[i]
            made.append(
                f'<rect x="{left:.1f}" y="{y - slot * 0.32:.1f}" width="{max(1, room * share):.1f}" '
                f'height="{slot * 0.64:.1f}" fill="{fill}"/>'
            )
            key = sheet.svg(left - 0.5 * small, y + 0.35 * small, name, key_css, "end")
            x = width - 2 if right_edge else left + room * share + 0.4 * small
            value = sheet.svg(
                x, y + 0.35 * small, shown, value_css, "end" if right_edge else "start"
            )
            sheet.field(key, value, kind, questions=_questions(subject, name))
            made += [key.html, value.html]
    return _frame(sheet, width, height, "".join(made))


def lines(sheet: Sheet, width: float, height: float) -> str:
    """A line chart of one or two series with axes; points carry values, and are table cells."""
    rng, look = sheet.rng, sheet.look
    small = sheet.em * rng.uniform(0.65, 0.95)
    css, bold = f"font-size:{small:.1f}px;color:{look.soft}", f"font-size:{small:.1f}px"
    count = max(2, min(rng.randint(3, 9), int(width / (6.5 * small))))
    names = labels(sheet, count)
    count = max(
        2, min(count, int((width - 6 * small) / (0.6 * small * (2 + max(map(len, names))))))
    )
    names = names[:count]
    series = rng.choice([1, 1, 2])
    legend = [sheet.words.phrase(1, 2, "sentence") for _ in range(series)]
    colours = _colours(sheet, series)
    left, right, floor, top = 4.5 * small, width - 2 * small, height - 2 * small, 3.2 * small
    made = [
        f'<path d="M{left:.1f} {top:.1f}V{floor:.1f}H{right:.1f}" fill="none" stroke="{look.line}"/>'
    ]
    for i in range(5):
        y = floor - (floor - top) * i / 4
        made.append(_quiet(left - 0.5 * small, y + 0.35 * small, str(i * 25), css))
    keys = []
    for i, name in enumerate(names):
        x = left + (right - left) * (i + 0.5) / count
        keys.append(sheet.svg(x, height - 0.5 * small, name, css, "middle"))
        made.append(keys[-1].html)
    for s in range(series):
        shares, texts, kind = _amounts(sheet, count)
        band = (0.0, 1.0) if series == 1 else ((0.55, 1.0) if s == 0 else (0.0, 0.4))
        path = []
        for i, (share, shown) in enumerate(zip(shares, texts, strict=True)):
            x = left + (right - left) * (i + 0.5) / count
            y = floor - (floor - top) * (band[0] + share * (band[1] - band[0]) * 0.9)
            path.append(f"{x:.1f} {y:.1f}")
            value = sheet.svg(x, y - 0.5 * small, shown, bold, "middle")
            made.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{small * 0.22:.1f}" fill="{colours[s]}"/>'
            )
            made.append(value.html)
            if series == 1:
                sheet.field(keys[i], value, kind, questions=_questions(legend[0], names[i]))
            else:
                sheet.field(keys[i], value, kind, kind="cell", column=legend[s])
        made.append(
            f'<path d="M{"L".join(path)}" fill="none" stroke="{colours[s]}" '
            f'stroke-width="{rng.uniform(1.5, 3):.1f}"/>'
        )
        x = left + s * (right - left) / 2
        made.append(
            f'<rect x="{x:.1f}" y="{small * 0.6:.1f}" width="{small:.1f}" height="{small:.1f}" fill="{colours[s]}"/>'
        )
        made.append(_quiet(x + 1.4 * small, 1.5 * small, legend[s], css, "start"))
    return _frame(sheet, width, height, "".join(made))


def ring(sheet: Sheet, width: float, height: float) -> str:
    """A pie or a ring with a legend of shares at its right or below."""
    rng, em = sheet.rng, sheet.em
    small = em * rng.uniform(0.75, 1.0)
    css = f"font-size:{small:.1f}px"
    below = width < height * 1.3
    across = min(width, height) * (0.55 if below else 0.9)
    room = height - across - small if below else height
    count = max(2, min(rng.randint(3, 7), int(room / (1.7 * small))))
    names = labels(sheet, count)
    cuts = sorted(rng.sample(range(5, 96), count - 1))
    shares = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    colours = _colours(sheet, count)
    cx, cy, radius = (width / 2 if below else across / 2 + 2), across / 2 + 2, across / 2 * 0.95
    made, angle = [], -math.pi / 2
    for share, colour in zip(shares, colours, strict=True):
        end = angle + 2 * math.pi * share / 100
        x0, y0 = cx + radius * math.cos(angle), cy + radius * math.sin(angle)
        x1, y1 = cx + radius * math.cos(end), cy + radius * math.sin(end)
        made.append(
            f'<path d="M{cx:.1f} {cy:.1f}L{x0:.1f} {y0:.1f}A{radius:.1f} {radius:.1f} 0 '
            f'{int(share > 50)} 1 {x1:.1f} {y1:.1f}Z" fill="{colour}"/>'
        )
        angle = end
    if rng.random() < 0.5:
        made.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{radius * 0.6:.1f}" fill="{sheet.look.paper}"/>'
        )
    x = 2.0 if below else across + 2 * small
    first = across + 2 * small if below else (height - count * 1.7 * small) / 2 + small
    edge = rng.random() < 0.5
    for i, (name, share, colour) in enumerate(zip(names, shares, colours, strict=True)):
        y = first + i * 1.7 * small
        made.append(
            f'<rect x="{x:.1f}" y="{y - small * 0.8:.1f}" width="{small * 0.8:.1f}" height="{small * 0.8:.1f}" fill="{colour}"/>'
        )
        key = sheet.svg(x + 1.4 * small, y, name, css)
        value_x = width - small if edge else x + 1.4 * small + (len(name) + 2) * small * 0.62
        value = sheet.svg(
            value_x, y, f"{share}%", css + ";font-weight:600", "end" if edge else "start"
        )
        sheet.field(
            key,
            value,
            "percent",
            questions=(f"What share is {name}?", f"What percentage is {name}?"),
        )
        made += [key.html, value.html]
    return _frame(sheet, width, height, "".join(made))


def chart(sheet: Sheet, width: float, height: float, subject: Name | None = None) -> str:
    """One of the charts above."""
    kind = sheet.rng.choices(["bars", "lines", "ring"], [5, 3, 2])[0]
    if kind == "bars":
        known = subject and ASKED_AS.get(subject.kind, subject.kind)
        return bars(sheet, width, height, subject.text if subject and known else "")
    return lines(sheet, width, height) if kind == "lines" else ring(sheet, width, height)
