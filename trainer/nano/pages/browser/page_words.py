"""More kinds of words and values than `lexicon.py` has, in one style a page."""

from __future__ import annotations

import random
from functools import lru_cache

from ..fonts import Split
from ..languages import LANGUAGES, Language
from ..lexicon import DATES, Lexicon, in_case, is_heldout, written
from ..tables import forms, read_data

_WORDS = {row[0]: forms(row, 1) for row in read_data("page_words.txt")}
_ACCENTS = {n[-1]: letters for n, (letters, *_) in _WORDS.items() if n.startswith("accents ")}
DAYS = list(_WORDS["days"])


@lru_cache(maxsize=32)
def _real(name: str, split: Split) -> list[str]:
    """Real names of a kind; one counts as held out by its first word, for few have one alone."""
    return [w for w in _WORDS[name] if is_heldout(w.split()[0]) == (split == "heldout")]


ASKED_AS = {
    kind: name.removeprefix("asked as ")
    for name, kinds in _WORDS.items()
    if name.startswith("asked as ")
    for kind in kinds
}
"""The kinds of this file that have a kind of `questions.py` asking for the same; the others are
asked for as words."""


class Words(Lexicon):
    """Words and values of one page: its money, dates and letters keep one form.

    Held-out pages draw real names from the words that training pages don't use, and so do training
    pages from theirs; half of the time the words are made up, as in `Lexicon`.
    """

    def __init__(self, rng: random.Random, split: Split, language: Language | None = None) -> None:
        super().__init__(rng, split, language)
        self.accents = rng.uniform(0.08, 0.4) if language or rng.random() < 0.25 else 0.0
        self._money = rng.choice(["$", "$", "€", "£", "", "", "€ ", "CHF ", "kr ", "-€", "-USD"])
        self._comma = rng.random() < 0.2
        self._date = rng.choice(DATES["browser"])
        self._clock = rng.random() < 0.25

    def word(self) -> str:
        """A lower-case word, on some pages with diacritics."""
        word = super().word()
        if self.accents and self.rng.random() < self.accents:
            at = [i for i, c in enumerate(word) if c in _ACCENTS]
            if at:
                i = self.rng.choice(at)
                word = word[:i] + self.rng.choice(_ACCENTS[word[i]]) + word[i + 1 :]
        return word

    def foreign(self) -> str:
        """One to three words in Greek or Cyrillic."""
        language = LANGUAGES[self.rng.choice(["ru", "uk", "el"])]
        words = [language.make_word(self.rng) for _ in range(self.rng.randint(1, 3))]
        return in_case(" ".join(words), "title")

    def title(self, low: int = 1, high: int = 3) -> str:
        """A heading's words."""
        return self.phrase(low, high, self.rng.choice(["title", "title", "sentence", "upper"]))

    def sentence(self, low: int = 5, high: int = 14) -> str:
        """Words with a capital and a full stop, and a comma at times."""
        words = [self.word() for _ in range(self.rng.randint(low, high))]
        if len(words) > 6 and self.rng.random() < 0.4:
            words[len(words) // 2] += ","
        return in_case(" ".join(words), "sentence") + self.rng.choice([".", ".", ".", "!", "?"])

    def company(self) -> str:
        """A firm's name."""
        name = self.rng.choice([self.phrase(1, 2, "title"), self.phrase(1, 1, "upper")])
        return f"{name} {self.rng.choice(_WORDS['legal'])}" if self.rng.random() < 0.6 else name

    def money(self, amount: float, signed: bool = True) -> str:
        """An amount in the page's form."""
        text = f"{amount:,.2f}"
        if self._comma:
            text = text.replace(",", " ").replace(".", ",").replace(" ", ".")
        if not signed or not self._money:
            return text
        mark = self._money
        return f"{text} {mark[1:]}" if mark[0] == "-" else f"{mark}{text}"

    def date(self, day: int, month: int, year: int) -> str:
        """A date in the page's form."""
        return written(self._date, day, month, year)

    def time(self, minutes: int) -> str:
        """A time of day in the page's form."""
        hour, minute = divmod(minutes % 1440, 60)
        if self._clock:
            return f"{(hour - 1) % 12 + 1}:{minute:02} {'pm' if hour >= 12 else 'am'}"
        return f"{hour:02}:{minute:02}"

    def value(self, kind: str) -> str:
        """A value of a kind of `Lexicon`, or of this file."""
        rng = self.rng
        made_up = rng.random() < 0.4
        if kind in ("person", "name"):
            if made_up:
                return super().value("name")
            first, last = (_real(part, self.split) for part in ("first", "last"))
            return f"{rng.choice(first)} {rng.choice(last)}"
        if kind in ("city", "goods", "dish", "status", "country"):
            if made_up and kind != "status":
                return self.phrase(1, 3, "title")
            return rng.choice(_real(kind, self.split))
        if kind == "money":
            return self.money(round(10 ** rng.uniform(0, 4.2), 2), rng.random() < 0.9)
        if kind == "date":
            return self.date(rng.randint(1, 28), rng.randint(1, 12), rng.randint(1990, 2031))
        if kind == "time":
            return self.time(rng.randint(0, 1439))
        if kind == "hours":
            start = rng.randint(12, 44) * 15
            return f"{self.time(start)} \u2013 {self.time(start + rng.randint(4, 40) * 15)}"
        if kind == "datetime":
            return f"{self.value('date')} {self.time(rng.randint(0, 1439))}"
        if kind == "duration":
            hours = f"{rng.randint(1, 12)} h {rng.randint(0, 59):02} min"
            minutes, days = f"{rng.randint(2, 90)} min", f"{rng.randint(1, 30)} days"
            return rng.choice([hours, minutes, days, f"{rng.randint(1, 24)} months"])
        if kind == "grams":
            return f"{rng.uniform(0, 60):.{rng.randint(0, 1)}f}{rng.choice(['g', ' g'])}"
        if kind == "mg":
            return f"{rng.randint(1, 900)}{rng.choice(['mg', ' mg'])}"
        if kind == "kcal":
            return f"{rng.randint(20, 900)} {rng.choice(['kcal', 'kJ', 'Cal'])}"
        if kind == "kilobytes":
            return f"{rng.uniform(1, 999):.{rng.randint(0, 1)}f} {rng.choice(['KB', 'MB', 'GB'])}"
        if kind == "count":
            return str(round(10 ** rng.uniform(0, 3)))
        if kind == "small":
            return str(rng.randint(1, 12))
        if kind == "delta":
            sign = rng.choice(["+", "-", "▲ ", "▼ "])
            return f"{sign}{rng.uniform(0, 40):.1f}{rng.choice(['%', ' %'])}"
        if kind == "share":
            return f"{rng.randint(0, 100)}%"
        if kind == "address2":
            city = rng.choice(_real("city", self.split))
            return f"{super().value('address')}, {rng.randint(1000, 99999)} {city}"
        if kind == "company":
            return self.company()
        if kind == "sentence":
            return self.sentence(4, 16)
        if kind in ("email", "url"):
            keep, self.accents = self.accents, 0.0
            try:
                return super().value(kind)
            finally:
                self.accents = keep
        return super().value(kind)
