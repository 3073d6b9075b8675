"""What real pages call things, by subject, with the kind of value and how people ask for it.

The names lie in `data/subjects.txt`. A question may be asked without the name's own words, and
then only its meaning leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..lexicon import CASES, in_case
from ..tables import forms, read_data
from .page_words import Words


@dataclass(frozen=True)
class Name:
    """A field's name, its value's kind, and questions that fit it besides the general ones."""

    text: str
    kind: str
    questions: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def _names() -> dict[str, list[Name]]:
    subjects: dict[str, list[Name]] = {}
    for row in read_data("subjects.txt"):
        subjects.setdefault(row[0], []).append(Name(row[1], row[2], forms(row, 3)))
    return subjects


def draw_names(words: Words, subject: str, count: int) -> list[Name]:
    """Different names of fields of a subject; some are made up, of held-out pages half.

    On pages in another language the names are that language's, of any subject.
    """
    rng = words.rng
    real = _names()[subject]
    if words.language:
        real = [Name(text, kind, words.asking(kind)) for text, kind in words.own_names()]
    real = rng.sample(real, len(real))
    share = 0.8 if words.split == "train" else 0.5
    case = rng.choice(["as is", "as is", "as is", *CASES])
    chosen: list[Name] = []
    for _ in range(count):
        if real and rng.random() < share:
            name = real.pop()
        else:
            text, kind = words.phrase(1, 3), words.any_kind()
            name = Name(in_case(text, rng.choice(CASES)), kind)
        if case != "as is":
            name = Name(in_case(name.text, case), name.kind, name.questions)
        if name.text.lower() not in {other.text.lower() for other in chosen}:
            chosen.append(name)
    return chosen


def made_up(words: Words, count: int, longest: int = 2) -> list[Name]:
    """Names of any kind in made-up words, as tables' columns have them."""
    return [Name(words.title(1, longest), words.any_kind()) for _ in range(count)]
