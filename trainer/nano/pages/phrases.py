"""How people ask: for a kind of thing (its total, its seller), or for what a page prints.

The wordings lie in `data/`: names of things, sentences round a name, whole questions, questions
round a printed text, and prompts round a question. A new language is some more lines there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache

from .tables import read_data

Table = dict[tuple[str, str], tuple[str, ...]]
"""Forms by (concept or form of question, language)."""

_ARTICLE = re.compile(
    r"^(?:der|die|das|le|la|les|el|los|las|il|lo|i|gli|het|de|o|a|os|as)\s+|^l'", re.IGNORECASE
)
_WITH_ARTICLE = frozenset({"de", "fr", "es", "it", "nl", "pt"})
_WEIGHTS = {"en": 12.0, "de": 2.5, "fr": 1.0, "es": 1.0, "it": 0.8, "pt": 0.8, "nl": 0.6}
_OTHERS = 0.4
NAMED = 0.45
"""Share of the questions about a thing that call it by a name."""


@lru_cache(maxsize=16)
def table(name: str) -> Table:
    """A file of three columns: concept, language, forms with a bar between them."""
    forms: dict[tuple[str, str], list[str]] = {}
    for concept, language, row in read_data(name):
        forms.setdefault((concept, language), []).extend(row.split("|"))
    return {key: tuple(own) for key, own in forms.items()}


@lru_cache(maxsize=1)
def frames() -> dict[str, tuple[str, ...]]:
    """Sentences round a name, by language."""
    forms: dict[str, list[str]] = {}
    for language, row in read_data("frames.txt"):
        forms.setdefault(language, []).extend(row.split("|"))
    return {language: tuple(own) for language, own in forms.items()}


@lru_cache(maxsize=1)
def prompts() -> tuple[str, ...]:
    """What stands round a question, {q}, in real prompts."""
    return tuple(row[0] for row in read_data("prompts.txt"))


@lru_cache(maxsize=1)
def concepts() -> tuple[str, ...]:
    """What can be asked for by its kind: total, company, date, ..."""
    return tuple(dict.fromkeys(concept for concept, _ in table("names.txt")))


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """In which there are questions for kinds of things."""
    return tuple(sorted({language for _, language in _any_form()}))


def concepts_of(paper: str) -> tuple[str, ...]:
    """What a kind of paper shows, such as "forms"; see `papers.txt`."""
    return table("papers.txt")[f"{paper} concepts", "en"]


def bare(name: str, language: str) -> str:
    """A name without its article: "die Summe" -> "Summe"."""
    return _ARTICLE.sub("", name) if language in _WITH_ARTICLE else name


def _language(rng: random.Random, table: Table, concept: str, wish: str | None) -> str:
    there = sorted({language for own, language in table if own == concept})
    if wish in there and rng.random() < 0.55:
        return wish
    return rng.choices(there, [_WEIGHTS.get(language, _OTHERS) for language in there])[0]


def ask(rng: random.Random, concept: str, language: str | None = None) -> str:
    """A question for a kind of thing.

    Args:
        rng: the only source of chance.
        concept: one of `concepts()`.
        language: of the page, in which it is asked more often than in others.
    """
    tongue = _language(rng, _any_form(), concept, language)
    own, names = _questions(concept, tongue), table("names.txt").get((concept, tongue))
    if own and (not names or rng.random() >= NAMED):
        return _roughened(rng, rng.choice(own))
    assert names is not None
    name = rng.choice(names)
    if rng.random() < 0.06:
        return snake(name if tongue not in _WITH_ARTICLE else bare(name, tongue))
    return _roughened(rng, framed(rng.choice(frames()[tongue]), name, tongue))


@lru_cache(maxsize=1)
def _any_form() -> Table:
    """Only whose keys count: where there is any form."""
    return table("names.txt") | table("asks.txt") | table("wordings.txt")


@lru_cache(maxsize=1024)
def _questions(concept: str, tongue: str) -> tuple[str, ...]:
    key = (concept, tongue)
    return table("asks.txt").get(key, ()) + table("wordings.txt").get(key, ())


def ask_about(rng: random.Random, form: str, key: str, language: str | None = None) -> str:
    """A question that names what the page prints.

    Args:
        rng: the only source of chance.
        form: of the question: item (for its price), count, row, pair (for the value beside a
            label), find (a button), after (a text), line (a text itself).
        key: what the page prints.
        language: of the page.
    """
    keyed = table("keyed.txt")
    tongue = _language(rng, keyed, form, language)
    return _roughened(rng, rng.choice(keyed[form, tongue]).replace("{k}", key))


def in_prompt(rng: random.Random, question: str, share: float = 0.15) -> str:
    """The question as it is, or in a `share` of the cases with a prompt round it."""
    if rng.random() >= share:
        return question
    words = re.findall(r"\w+", question.lower())
    form = rng.choice(prompts()).replace("{s}", "_".join(words[-2:]))
    return form.replace("{q}", question)


def snake(name: str) -> str:
    """A name as a field of JSON: "due date" -> "due_date"."""
    return "_".join(re.findall(r"\w+", name.lower()))


def surface_forms() -> Iterator[tuple[str, str]]:
    """Every question that names no text of the page, with its concept."""
    for (concept, tongue), names in table("names.txt").items():
        for name in names:
            yield concept, snake(bare(name, tongue))
            for frame in frames()[tongue]:
                yield concept, framed(frame, name, tongue)
    for name in ("asks.txt", "wordings.txt"):
        for (concept, _), forms in table(name).items():
            for form in forms:
                yield concept, form


def framed(frame: str, name: str, tongue: str) -> str:
    """A sentence of `frames` with a name in it."""
    return frame.replace("{n}", name).replace("{b}", bare(name, tongue))


def _roughened(rng: random.Random, question: str) -> str:
    """As people type: now and then in small or in capital letters, without the mark."""
    chance = rng.random()
    if chance < 0.1:
        return question.lower().rstrip("?. ")
    if chance < 0.13:
        return question.upper()
    if chance < 0.2:
        return question.rstrip("?. ")
    return question
