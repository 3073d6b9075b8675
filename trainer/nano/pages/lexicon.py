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

HELDOUT_SHARE = 0.12

# What forms, receipts and screens really call things. A name's kind decides its values; the
# aliases are how people ask for it without saying its name.
FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Total": (
        "money",
        (
            "How much do I have to pay?",
            "What is the amount to pay?",
            "How much was paid in all?",
            "What does it all cost?",
        ),
    ),
    "Amount due": ("money", ("How much do I owe?", "What must be paid?", "How much is owed?")),
    "Grand total": ("money", ("What is the final price?", "How much in all?")),
    "Balance": ("money", ("How much money is left?",)),
    "Subtotal": ("money", ("What is the sum before tax?",)),
    "Tax": ("money", ("How much tax was charged?", "What is the VAT?")),
    "VAT": ("money", ("How much tax is there?",)),
    "Discount": ("money", ("How much was taken off?", "What reduction was given?")),
    "Shipping": ("money", ("How much is delivery?", "What does postage cost?")),
    "Change": ("money", ("How much money was given back?",)),
    "Cash": ("money", ("How much was paid in cash?",)),
    "Deposit": ("money", ("How much was put down?",)),
    "Price": ("money", ("How much does it cost?", "What does it cost?")),
    "Salary": ("money", ("How much is earned?",)),
    "Rent": ("money", ("How much is the flat a month?",)),
    "Tip": ("money", ("How much gratuity was given?",)),
    "Date": ("date", ("When was it issued?", "What day is it from?", "When was this?")),
    "Due date": ("date", ("When must it be paid?", "What is the payment deadline?")),
    "Invoice date": ("date", ("When was the bill written?",)),
    "Date of birth": ("date", ("When was the person born?", "What is the birthday?")),
    "Expiry date": ("date", ("When does it run out?", "Until when is it valid?")),
    "Best before": ("date", ("When does it go bad?", "Until when can it be eaten?")),
    "Departure": ("time", ("When does it leave?", "What time does the train go?")),
    "Arrival": ("time", ("When does it get there?", "What time does it come in?")),
    "Boarding": ("time", ("When do we get on the plane?",)),
    "Opening hours": ("time", ("When are they open?",)),
    "Time": ("time", ("What o'clock is it?", "At what hour?")),
    "Invoice number": ("code", ("What is the number of the bill?",)),
    "Order number": ("code", ("Which order is it?", "What is the order ID?")),
    "Account number": ("code", ("Which account?",)),
    "Customer ID": ("code", ("What is the client's number?",)),
    "Reference": ("code", ("What should I quote?",)),
    "Serial number": ("code", ("What is the S/N?",)),
    "Part number": ("code", ("What is the P/N?",)),
    "Tracking number": ("code", ("How can I track the parcel?",)),
    "IBAN": ("code", ("To which bank account?",)),
    "Passport No.": ("code", ("What is the number of the passport?",)),
    "Licence plate": ("code", ("What is the registration of the car?",)),
    "Flight": ("code", ("Which plane is it?",)),
    "Gate": ("code", ("Where do I board?",)),
    "Seat": ("code", ("Where do I sit?",)),
    "Platform": ("int", ("Where does the train stop?",)),
    "Room": ("code", ("In which room is it?",)),
    "Lot": ("code", ("Which batch is it?",)),
    "Model": ("code", ("Which type of device is it?",)),
    "Version": ("version", ("Which release is installed?",)),
    "Serial": ("code", ()),
    "IP address": ("ip", ("What is the address of the host?",)),
    "Name": ("name", ("Who is it?", "What is the person called?")),
    "Customer": ("name", ("Who bought it?", "Who is the client?")),
    "Patient": ("name", ("Who is being treated?",)),
    "Passenger": ("name", ("Who is travelling?", "Who flies?")),
    "Cashier": ("name", ("Who served the customer?", "Who was at the till?")),
    "Author": ("name", ("Who wrote it?",)),
    "Manager": ("name", ("Who is in charge?",)),
    "Doctor": ("name", ("Who is the physician?",)),
    "Contact": ("name", ("Whom should I ask?",)),
    "Approved by": ("name", ("Who signed it off?",)),
    "Bill to": ("name", ("Who has to pay?",)),
    "Ship to": ("name", ("Who gets the parcel?",)),
    "Address": ("address", ("Where do they live?", "Where is it?")),
    "City": ("word", ("In which town?",)),
    "Country": ("word", ("Where does it come from?",)),
    "Destination": ("word", ("Where does it go to?",)),
    "From": ("word", ("Where does the journey start?",)),
    "To": ("word", ("Where does the journey end?",)),
    "E-mail": ("email", ("What is the mail address?", "Where can I write to?")),
    "Phone": ("phone", ("What number can I call?", "How can I reach them?")),
    "Fax": ("phone", ()),
    "Website": ("url", ("What is the web address?", "Where is it online?")),
    "Status": ("word", ("How does it stand?", "What state is it in?")),
    "Payment method": ("word", ("How was it paid?",)),
    "Colour": ("word", ("Which colour is it?",)),
    "Size": ("int", ("How big is it?",)),
    "Weight": ("measure", ("How heavy is it?", "How much does it weigh?")),
    "Net weight": ("measure", ("How much is in the pack?",)),
    "Height": ("measure", ("How tall is it?", "How high is it?")),
    "Length": ("measure", ("How long is it?",)),
    "Width": ("measure", ("How wide is it?",)),
    "Voltage": ("measure", ("How many volts?",)),
    "Power": ("measure", ("How many watts?",)),
    "Temperature": ("measure", ("How warm is it?", "How hot is it?")),
    "Pressure": ("measure", ()),
    "Dose": ("measure", ("How much should be taken?",)),
    "Energy": ("measure", ("How many calories?",)),
    "Protein": ("measure", ()),
    "Sugar": ("measure", ()),
    "Salt": ("measure", ()),
    "Fat": ("measure", ()),
    "Quantity": ("int", ("How many are there?", "How many pieces?")),
    "Age": ("int", ("How old is the person?",)),
    "Score": ("int", ("How many points?",)),
    "Pages": ("int", ("How long is the document?",)),
    "Guests": ("int", ("How many people?",)),
    "Points": ("int", ()),
    "Items": ("int", ("How many things were bought?",)),
    "Table": ("int", ("Where did they sit?",)),
    "Storage": ("measure", ("How much space is there?",)),
    "Memory": ("measure", ("How much RAM is there?",)),
    "Battery": ("percent", ("How full is the battery?",)),
    "Humidity": ("percent", ("How damp is it?",)),
    "Interest rate": ("percent", ("What interest is charged?",)),
    "Progress": ("percent", ("How far along is it?",)),
    "Growth": ("percent", ("How much did it grow?",)),
}
_UNITS = "kg g mg lb cm mm m km V W kW A Hz GB MB TB ml L bar kPa °C °F kcal kJ in oz min h".split()
LONG_MONTHS = """
January February March April May June July August September October November
December
""".split()
_ONSETS = """
b bl br c ch cl cr d dr f fl fr g gl gr h j k kl l m n p ph pl pr qu r s sc sh sl sm
sn sp st str t th tr tw v w wh y z
""".split()
_VOWELS = "a a a e e e i i o o u ai au ea ee ie io oa oo ou y".split()
_CODAS = [""] * 4 + "b ck d f g l ll m n n nd ng nt p r r rd rk rn s s ss st t t th x".split()
_ENDINGS = [""] * 4 + "ing ed er tion ment ness al ic ity ous s".split()


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
            return rng.choice(
                [
                    f"{day:02}/{month:02}/{year}",
                    f"{year}-{month:02}-{day:02}",
                    f"{day} {LONG_MONTHS[month - 1]} {year}",
                    f"{LONG_MONTHS[month - 1][:3]} {day}, {year}",
                    f"{day:02}.{month:02}.{year % 100:02}",
                    f"{day:02}.{month:02}.{year}",
                ]
            )
        if kind == "time":
            hour, minute = rng.randint(0, 23), rng.randint(0, 59)
            return rng.choice(
                [
                    f"{hour:02}:{minute:02}",
                    f"{hour % 12 + 1}:{minute:02} {rng.choice(['am', 'pm'])}",
                ]
            )
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
        return self.rng.choices(
            [
                "money",
                "date",
                "time",
                "int",
                "code",
                "percent",
                "measure",
                "name",
                "word",
                "email",
                "phone",
                "address",
                "version",
                "url",
            ],
            [4, 3, 2, 5, 4, 1, 3, 4, 6, 1, 1, 1, 1, 1],
        )[0]

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


def in_case(text: str, case: str) -> str:
    """A text in lower, upper, title or sentence case."""
    if case == "upper":
        return text.upper()
    if case == "lower":
        return text.lower()
    if case == "title":
        return " ".join(w[:1].upper() + w[1:] for w in text.split())
    return text[:1].upper() + text[1:]
