"""The words by which a prompt's parts are told apart, of a dozen languages, folded.

Each set mixes the languages: a sentence's words are looked up, its language is never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from importlib.resources import files
from typing import TypeAlias

Words: TypeAlias = list[tuple[str, int, int]]
_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS = 64
_MOST_LETTERS = 40


def fold(text: str) -> str:
    """Lower case without diacritics: 'Zürich' -> 'zurich'."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words_of(text: str) -> Words:
    """The first words of a text, folded, with where they start and stop; "what's" is two."""
    words: Words = []
    for match in _WORD.finditer(text):
        words.append((fold(match[0][:_MOST_LETTERS]), match.start(), match.end()))
        if len(words) == _MOST_WORDS:
            break
    return words


def word_set(text: str) -> frozenset[str]:
    return frozenset(fold(text).split())


def read_table(name: str) -> dict[str, list[str]]:
    """A file of this folder: sections under `[NAME]`, their lines; `#` before a comment."""
    table: dict[str, list[str]] = {}
    section: list[str] = []
    for line in files(__package__).joinpath(name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = table.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return table


def read_sets(name: str) -> dict[str, frozenset[str]]:
    """As `read_table`, each section a set of folded words."""
    return {section: word_set(" ".join(lines)) for section, lines in read_table(name).items()}


_SETS = read_sets("words.txt")

ASKING = _SETS["ASKING"]
"""Words that begin a question, or a clause that asks."""

ASKING_FIRST = ASKING | _SETS["ASKING_FIRST"]
"""Those, and some that begin a question only as its first word."""

PREPOSITIONS = _SETS["PREPOSITIONS"]

POLITE = _SETS["POLITE"]

FUNCTION = _SETS["FUNCTION"]

PICTURE = _SETS["PICTURE"]
"""The picture or all that is in it: what such a word names is not a place to look at."""

PAPERS = _SETS["PAPERS"]

THINGS = _SETS["THINGS"]
"""What a picture may be of, or show among other things."""

TELLING = _SETS["TELLING"]
"""What stands around a question: asking to be told, where to look, that a question follows."""

LEADS = POLITE | FUNCTION | PICTURE | PAPERS | THINGS | TELLING

FINDING = _SETS["FINDING"]
"""Verbs of which the object is to be found in the picture."""

ANSWERS = _SETS["ANSWERS"]
"""What the answer is made of; its form is asked for, not a place in the picture."""

RULES = ANSWERS | _SETS["RULES"]
"""A sentence with such a word says how to answer."""

ROLES = _SETS["ROLES"]

WHOLE = _SETS["WHOLE"]
"""Verbs and nouns of tasks for which the whole picture is needed."""

SHOWING = _SETS["SHOWING"]
"""What a picture as a whole does: 'What does it show?'"""

PRONOUNS = _SETS["PRONOUNS"]

WHAT = _SETS["WHAT"]

WHOLE_FILLERS = SHOWING | _SETS["WHOLE_FILLERS"]

LANGUAGES = _SETS["LANGUAGES"]
"""What is translated or converted to."""


ARTICLES = _SETS["ARTICLES"]

REPLYING = _SETS["REPLYING"]
"""Verbs of how to answer."""

AND = _SETS["AND"]
"""Words between the last two of several fields; and those that begin a follow-up."""

COPULAS = _SETS["COPULAS"]
