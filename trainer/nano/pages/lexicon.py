"""Words, keys and values to write on a page, split into training and held-out words."""

from __future__ import annotations

import random
import re
import sysconfig
import zlib
from functools import lru_cache
from pathlib import Path

from .fonts import Split
from .languages import Language
from .tables import forms, read_data

HELDOUT_SHARE = 0.12

FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    row[0]: (row[1], forms(row, 2)) for row in read_data("fields.txt")
}
"""What pages really call things: a name's kind decides its values; the rest is how people ask for
it without saying its name."""
_PIECES = {part: tuple(pieces.split(" ")) for part, pieces in read_data("syllables.txt")}
_UNITS, _MONTHS = _PIECES["units"], _PIECES["months"]
MONTHS = [month[:3] for month in _MONTHS]
_KINDS = {kind: int(weight) for kind, weight in read_data("kinds.txt")}
DATES = {row[0]: forms(row, 1) for row in read_data("dates.txt")}
"""Ways to write a date, for `written`, by who writes."""
_ONSETS, _VOWELS = _PIECES["onsets"], _PIECES["vowels"]
# Most syllables are open, most words without an ending.
_CODAS = ("",) * 4 + _PIECES["codas"]
_ENDINGS = ("",) * 4 + _PIECES["endings"]


def is_heldout(word: str) -> bool:
    """Whether a word never appears on a training page (in any case form)."""
    return zlib.crc32(word.lower().encode()) / 2**32 < HELDOUT_SHARE


@lru_cache(maxsize=1)
def _library_words() -> dict[Split, tuple[str, ...]]:
    """Words of the prose in Python's own library, which every machine has."""
    counts: dict[str, int] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for word in re.findall(r"\b[A-Za-z]?[a-z]{1,13}\b", path.read_text("utf-8", "ignore")):
            counts[word.lower()] = counts.get(word.lower(), 0) + 1
    words = sorted(w for w, n in counts.items() if n >= 3 and re.search("[aeiouy]", w))
    return {
        "train": tuple(w for w in words if not is_heldout(w)),
        "heldout": tuple(w for w in words if is_heldout(w) and len(w) > 2),
    }


class Lexicon:
    """Draws words and values of one split from a seeded generator; in English, or `language`."""

    def __init__(self, rng: random.Random, split: Split, language: Language | None = None) -> None:
        self.rng = rng
        self.split = split
        self.language = language

    def word(self) -> str:
        """A lower-case word: half from real prose, half syllables nobody has seen."""
        if self.language and self.language.letters and self.rng.random() < 0.85:
            while True:
                word = self.language.make_word(self.rng)
                if is_heldout(word) == (self.split == "heldout"):
                    return word
        if self.rng.random() < 0.5:
            return self.rng.choice(_library_words()[self.split])
        while True:
            syllables = self.rng.choices((1, 2, 3), (3, 5, 2))[0]
            word = "".join(
                self.rng.choice(_ONSETS) + self.rng.choice(_VOWELS) + self.rng.choice(_CODAS)
                for _ in range(syllables)
            )
            word = (word + self.rng.choice(_ENDINGS))[:14]
            if is_heldout(word) == (self.split == "heldout"):
                return word

    def phrase(self, low: int, high: int, case: str | None = None) -> str:
        """`low` to `high` words in one case: lower, title, upper, or sentence."""
        words = [self.word() for _ in range(self.rng.randint(low, high))]
        return in_case(" ".join(words), case or self.rng.choice(CASES))

    def number(self) -> str:
        """A number as pages write them."""
        digits = self.rng.choices((1, 2, 3, 4, 5, 6), (2, 4, 4, 3, 2, 1))[0]
        value = self.rng.randrange(10 ** (digits - 1), 10**digits)
        form = self.rng.random()
        if form < 0.25:
            return f"{value:,}"
        if form < 0.4:
            return f"{value / 10:.1f}"
        return str(value)

    def code(self) -> str:
        """An identifier such as INV-20394 or 4471 2290."""
        rng = self.rng
        letters = "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=rng.randint(1, 4)))
        digits = "".join(rng.choices("0123456789", k=rng.randint(2, 8)))
        return rng.choice(
            [
                f"{letters}-{digits}",
                f"{letters}{digits}",
                digits,
                f"{digits[:4]} {digits[4:]}".strip(),
                f"#{digits}",
                f"{digits}-{letters}",
                f"{digits[:3]}/{letters}",
            ]
        )

    def value(self, kind: str) -> str:
        """A value of a kind: money, date, time, int, code, name, ... or 'word'."""
        rng = self.rng
        if kind == "money":
            amount = 10 ** rng.uniform(0, 4.5)
            sign = rng.choice(["$", "€", "£", "", "", "CHF ", "USD "])
            text = f"{amount:,.2f}" if rng.random() < 0.8 else f"{amount:,.0f}"
            return f"{text} €" if rng.random() < 0.1 else sign + text
        if kind == "date":
            day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2035)
            return written(rng.choice(DATES["pages"]), day, month, year)
        if kind == "time":
            hour, minute = rng.randint(0, 23), rng.randint(0, 59)
            twelve = f"{hour % 12 + 1}:{minute:02} {rng.choice(['am', 'pm'])}"
            return rng.choice([f"{hour:02}:{minute:02}", twelve])
        if kind == "int":
            return self.number()
        if kind == "code":
            return self.code()
        if kind == "version":
            return ".".join(str(rng.randint(0, 20)) for _ in range(rng.randint(2, 4)))
        if kind == "ip":
            return ".".join(str(rng.randint(0, 255)) for _ in range(4))
        if kind == "percent":
            return f"{rng.uniform(0, 100):.{rng.randint(0, 2)}f}{rng.choice(['%', ' %'])}"
        if kind == "measure":
            return f"{self.number()}{rng.choice([' ', ''])}{rng.choice(_UNITS)}"
        if kind == "name":
            return self.phrase(2, 3, "title")
        if kind == "email":
            domain = f"{self.word()}.{rng.choice(['com', 'org', 'net', 'de'])}"
            return f"{self.word()}.{self.word()}@{domain}"
        if kind == "url":
            return f"www.{self.word()}.{rng.choice(['com', 'org', 'net', 'io'])}"
        if kind == "phone":
            groups = " ".join("".join(rng.choices("0123456789", k=n)) for n in (3, 3, 4))
            return rng.choice([f"+{rng.randint(1, 99)} {groups}", groups.replace(" ", "-"), groups])
        if kind == "address":
            street = f"{self.phrase(1, 2, 'title')} {rng.choice(['St', 'Road', 'Ave', 'Lane'])}"
            return f"{rng.randint(1, 400)} {street}"
        return self.phrase(1, 3)

    def any_kind(self) -> str:
        """A kind of value, the common ones more often."""
        return self.rng.choices(list(_KINDS), list(_KINDS.values()))[0]

    def key(self) -> tuple[str, str]:
        """A field's name and the kind of its value: a common one, or words nobody uses as one."""
        if self.language:
            if self.rng.random() < 0.5:
                name, kind = self.rng.choice(self.own_names())
                return in_case(name, self.rng.choice(CASES)), kind
            return self.phrase(1, 3), self.any_kind()
        if self.rng.random() < (0.35 if self.split == "train" else 0.0):
            name = self.rng.choice(list(FIELDS))
            return in_case(name, self.rng.choice(CASES)), FIELDS[name][0]
        return self.phrase(1, 3), self.any_kind()

    def own_names(self) -> list[tuple[str, str]]:
        """Names of fields in the page's language, with kinds, that belong to the split."""
        found = [
            (name, kind)
            for kind, names in (self.language.names if self.language else {}).items()
            for name in names
            if is_heldout(name.split()[0]) == (self.split == "heldout")
        ]
        return found or [(self.phrase(1, 2), "word")]

    def asking(self, value_kind: str, cell: bool = False) -> tuple[str, ...]:
        """Questions about a field in the page's language; none in English, which has its own."""
        if self.language is None:
            return ()
        return self.language.cell if cell else self.language.forms(value_kind)


CASES = ("sentence", "sentence", "title", "title", "upper", "lower")


def written(form: str, day: int, month: int, year: int) -> str:
    """A date in a way of `DATES`."""
    names = {"long": _MONTHS[month - 1], "short": MONTHS[month - 1]}
    return form.format(d=day, m=month, y=year, yy=year % 100, **names)


def in_case(text: str, case: str) -> str:
    """A text in lower, upper, title or sentence case."""
    if case == "upper":
        return text.upper()
    if case == "lower":
        return text.lower()
    if case == "title":
        return " ".join(w[:1].upper() + w[1:] for w in text.split())
    return text[:1].upper() + text[1:]
