"""Values by kind as papers print them: firms, addresses, amounts, dates, account numbers."""

from __future__ import annotations

import random

from .lexicon import DATES, Lexicon, written
from .phrases import table

_COUNTRIES = {"en": "GB", "de": "DE", "fr": "FR", "es": "ES", "it": "IT"}


def papers(what: str, language: str) -> tuple[str, ...]:
    """What papers print in a language, or in English: firm, street, title or heading."""
    words = table("papers.txt")
    return words.get((what, language), words[what, "en"])


def remark(lexicon: Lexicon, what: str, language: str) -> str:
    """Prose, a title, a greeting or a closing: two in three from `remarks.txt`, else made up.

    Those of the table carry the words of questions: what is asked for is not where they stand.
    """
    rng, own = lexicon.rng, table("remarks.txt")
    if what in ("prose", "title") and rng.random() < 0.35:
        return (
            lexicon.phrase(5, 14, "sentence") if what == "prose" else lexicon.phrase(2, 6, "title")
        )
    return rng.choice(own.get((what, language)) or own[what, "en"])


class Values:
    """Draws values from a lexicon's generator; one paper writes its amounts and dates one way."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        self.lexicon, self.language = lexicon, language
        rng = lexicon.rng
        self.comma = language != "en" and rng.random() < 0.85
        self.upper = rng.random() < 0.5
        self.dates = rng.choice(DATES["papers"])

    @property
    def rng(self) -> random.Random:
        """The only source of chance."""
        return self.lexicon.rng

    def cents(self) -> int:
        """A price in cents, most between 0.50 and 100."""
        return max(5, round(10 ** self.rng.uniform(1.7, 4.0)))

    def money(self, cents: int) -> str:
        """Cents as an amount."""
        text = f"{cents / 100:,.2f}"
        return text.translate(str.maketrans(",.", ".,")) if self.comma else text

    def company(self, language: str) -> str:
        """A firm's name."""
        name = self.lexicon.phrase(1, 3, "title")
        if self.rng.random() < 0.7:
            name = f"{name} {self.rng.choice(papers('firm', language))}"
        return name.upper() if self.upper else name

    def address(self, language: str) -> list[str]:
        """An address of one to three lines."""
        rng = self.rng
        form = rng.choice(papers("street", language))
        word = self.lexicon.word().title()
        street = form.replace("{w}", word).replace("{n}", str(rng.randint(1, 220)))
        code = f"{rng.randrange(1000, 99999)}"
        town = f"{code} {self.lexicon.word().title()}"
        lines = [street, town]
        if rng.random() < 0.4:
            lines.insert(1, self.lexicon.phrase(1, 3, "title"))
        if rng.random() < 0.15:
            lines = [", ".join(lines)]
        if rng.random() < 0.3:
            lines[-1] += f", {self.lexicon.word().title()}"
        return [line.upper() for line in lines] if self.upper else lines

    def title(self, language: str) -> str:
        """What the paper calls itself."""
        return self.rng.choice(papers("title", language))

    def date(self) -> str:
        """A day in the paper's way of writing."""
        rng = self.rng
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1990, 2027)
        return written(self.dates, day, month, year)

    def value(self, concept: str) -> str:
        """A value of a kind (see `phrases`)."""
        rng, digits = self.rng, self._digits
        if concept in ("date", "due", "birth", "expiry", "delivery"):
            return self.date()
        if concept in ("name", "cashier", "customer"):
            name = self.lexicon.phrase(1 if concept == "cashier" else 2, 2, "title")
            return name.upper() if self.upper else name
        if concept in ("surname", "first_name", "birthplace", "country", "state", "nationality"):
            word = self.lexicon.word()
            return word.upper() if self.upper else word.title()
        if concept in ("occupation", "employer"):
            return self.lexicon.phrase(1, 3, "title")
        if concept == "ssn":
            return rng.choice(
                [f"{digits(3)}-{digits(2)}-{digits(4)}", digits(9), self.lexicon.code()]
            )
        if concept in ("phone", "fax"):
            firsts = [f"0{digits(2)}-", f"+{digits(2)} ", f"0{digits(3)} / ", f"({digits(3)}) "]
            return rng.choice(firsts) + digits(3) + rng.choice([" ", "", "-"]) + digits(4)
        if concept in ("money", "balance", "deposit"):
            return self.money(self.cents() * 10)
        if concept == "method":
            return rng.choice(["CASH", "VISA", "Mastercard", "EC", "Bank transfer", "PayPal"])
        if concept == "iban":
            groups = [digits(4) for _ in range(rng.randint(3, 5))] + [digits(2)]
            return f"{_COUNTRIES.get(self.language, 'NL')}{digits(2)} {' '.join(groups)}"
        if concept == "bic":
            bank = "".join(rng.choices("ABCDEFGHKLMNPRSTUX", k=6))
            return bank + rng.choice(["XX", "2L", "FFXXX"])
        if concept == "tax_id":
            return rng.choice([digits(12), f"{self.language.upper()}{digits(9)}", digits(9)])
        if concept == "register":
            return f"{digits(6)}-{rng.choice('ADHKMTUVWX')}"
        if concept == "plate":
            letters = "".join(rng.choices("ABCDEFGHJKLMNPRSTVWX", k=3))
            return letters + rng.choice([" ", "-"]) + digits(4)
        if concept == "table":
            return rng.choice([digits(2), f"T{digits(2)}", digits(1)])
        if concept in ("terminal", "postcode", "approval"):
            return digits(rng.randint(2, 6))
        if concept == "time":
            hour, minute = rng.randint(0, 23), rng.randint(0, 59)
            seconds = f":{rng.randint(0, 59):02}" if rng.random() < 0.3 else ""
            return f"{hour:02}:{minute:02}{seconds}"
        if concept == "address":
            return ", ".join(self.address(self.language))
        if concept == "city":
            return self.lexicon.word().title()
        if concept == "weight":
            return f"{rng.uniform(0.1, 90):.{rng.randint(0, 3)}f} {rng.choice(['kg', 'g', 'lb'])}"
        if concept in ("email", "web"):
            return self.lexicon.value("email" if concept == "email" else "url")
        return self.lexicon.code()

    def _digits(self, count: int) -> str:
        return "".join(self.rng.choices("0123456789", k=count))
