"""Sentences that tell something, and what one asks to be told it."""

from __future__ import annotations

import html

from ..tables import read_data
from .sheet import Sheet


def fact(sheet: Sheet) -> str:
    """A sentence with a value in it, as HTML; asked for by what the sentence says."""
    rng, words = sheet.rng, sheet.words
    patterns = [row for row in read_data("facts.txt") if row[0] == sheet.split]
    _, pattern, kind, forms = rng.choice(patterns)
    subject = words.phrase(1, 2, "lower")
    lead, rest = pattern.replace("{s}", subject).split("{", 1)
    name, after = rest.split("}", 1)
    key = sheet.part(lead.strip(" []"))
    value = sheet.part(str(rng.randint(1850, 2025)) if name == "year" else words.value(name))
    questions = tuple(form.replace("{s}", subject) for form in forms.split("|"))
    sheet.field(key, value, kind, kind="fact", questions=questions)
    return f"{key.html} {value.html}{html.escape(after)}"
