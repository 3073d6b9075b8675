"""Other languages than English: what their pages call things, and how people ask for it there.

Latin languages lend their pages names and questions; Greek and Cyrillic ones their letters too,
of which made-up words are built.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .tables import forms, read_data


@dataclass(frozen=True)
class Language:
    """A language's names by the kind of their values, and its questions.

    Attributes:
        letters: consonants, vowels, endings and soft signs of another script, parted by spaces;
            empty where made-up words are Latin.
        names: by kind of value.
        asking: about any key {k}.
        by_kind: about a key whose value is of a kind.
        cell: about the row {k} and the column {c}.
    """

    letters: str
    names: dict[str, tuple[str, ...]]
    asking: tuple[str, ...]
    by_kind: dict[str, tuple[str, ...]]
    cell: tuple[str, ...]

    def forms(self, kind: str) -> tuple[str, ...]:
        """All questions about a key of a kind of value."""
        return self.asking + self.by_kind.get(kind, ())

    @property
    def alphabet(self) -> str:
        """What a font must be able to write: the script's own letters, small and capital."""
        letters = "".join(dict.fromkeys(self.letters.replace(" ", "")))
        return letters + letters.upper()

    def make_word(self, rng: random.Random) -> str:
        """A lower-case word of this script that nobody has seen; needs `letters`."""
        hard, vowels, last, soft = self.letters.split(" ")
        while True:
            word = rng.choice(vowels) if rng.random() < 0.2 else ""
            for _ in range(rng.choices((1, 2, 3, 4), (2, 5, 4, 1))[0]):
                word += rng.choice(hard)
                if rng.random() < 0.15:
                    word += rng.choice(hard)
                if soft and rng.random() < 0.04:
                    word += soft
                word += rng.choice(vowels)
            if rng.random() < 0.5:
                word += rng.choice(hard + last * 4)
            if len(word) <= 14:
                return word


def _languages() -> dict[str, Language]:
    letters: dict[str, str] = {}
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    questions: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in read_data("languages.txt"):
        code, (what, _, kind) = row[0], row[1].partition(" ")
        if what == "letters":
            letters[code] = " ".join(forms(row, 2))
        else:
            (names if what == "name" else questions).setdefault(code, {})[kind] = forms(row, 2)
    return {
        code: Language(letters.get(code, ""), names[code], own.pop(""), own, cell=own.pop("cell"))
        for code, own in questions.items()
    }


LANGUAGES = _languages()
"""By ISO 639-1 code."""

_SHARES = {"ru": 4, "uk": 1, "bg": 1, "el": 4, "de": 2, "fr": 2, "es": 2}


def draw_language(rng: random.Random, share: float) -> Language | None:
    """None for English, or another language with a chance of `share`; other scripts more often.

    `rng` is not touched when `share` is 0.
    """
    if share <= 0 or rng.random() >= share:
        return None
    codes = list(LANGUAGES)
    return LANGUAGES[rng.choices(codes, [_SHARES.get(c, 1) for c in codes])[0]]
