"""Sentences that tell something, and what one asks to be told it."""

from __future__ import annotations

import html

from .sheet import Sheet

# What stands before `{kind}`, the value, is the key; `{s}` is a made-up subject, in both.
_FACTS = [
    (
        "The meeting will take place on {date}.",
        "date",
        "When is the meeting?|On what day do they meet?",
    ),
    (
        "The meeting starts at {time}.",
        "time",
        "When does the meeting start?|At what time do they meet?",
    ),
    (
        "Please pay {money} by the end of the month.",
        "money",
        "How much should be paid?|What has to be paid?",
    ),
    ("Your order was shipped on {date}.", "date", "When was the order shipped?|When did it leave?"),
    ("The {s} costs {money} per unit.", "money", "What does the {s} cost?|How much is the {s}?"),
    (
        "The price of the {s} rose to {money}.",
        "money",
        "What is the price of the {s}?|How much is the {s} now?",
    ),
    (
        "The {s} was founded in {year}.",
        "date",
        "When was the {s} founded?|In which year did the {s} begin?",
    ),
    ("The {s} is located in {city}.", "word", "Where is the {s}?|In which town is the {s}?"),
    ("The {s} is led by {person}.", "name", "Who leads the {s}?|Who is the head of the {s}?"),
    ("The {s} was invented by {person}.", "name", "Who invented the {s}?"),
    ("The {s} opened on {date}.", "date", "When did the {s} open?"),
    ("The {s} weighs {measure}.", "measure", "How heavy is the {s}?|What does the {s} weigh?"),
    (
        "A total of {count} people took part.",
        "int",
        "How many people took part?|How many participants were there?",
    ),
    (
        "The {s} employs {count} people.",
        "int",
        "How many people work at the {s}?|How many employees does the {s} have?",
    ),
    (
        "The {s} grew by {percent} last year.",
        "percent",
        "By how much did the {s} grow?|What was the growth of the {s}?",
    ),
    ("About {percent} of the {s} were affected.", "percent", "What share of the {s} was affected?"),
    (
        "The deadline for the {s} is {date}.",
        "date",
        "When is the deadline for the {s}?|Until when is the {s} open?",
    ),
    ("Your reference number is {code}.", "code", "What is the reference number?"),
    (
        "Please contact {person} with any questions.",
        "name",
        "Whom can I contact?|Who answers questions?",
    ),
    ("For help call {phone}.", "phone", "Which number gives help?|What number can I call?"),
    ("Write to us at {email}.", "email", "Where can I write to?|What is the mail address?"),
    (
        "The password expires after {duration}.",
        "measure",
        "How long is the password valid?|When does the password expire?",
    ),
    (
        "The {s} lasts {duration}.",
        "measure",
        "How long does the {s} last?|What is the duration of the {s}?",
    ),
    (
        "Revenue of the {s} was {money}.",
        "money",
        "What was the revenue of the {s}?|How much did the {s} earn?",
    ),
    ("The flight leaves from gate {code}.", "code", "From which gate does it leave?"),
    (
        "The {s} is available in {small} colours.",
        "int",
        "In how many colours is the {s} available?",
    ),
    ("The {s} was sold to {company}.", "word", "Who bought the {s}?|To whom was the {s} sold?"),
    ("Turn the {s} to {measure} before use.", "measure", "To what should the {s} be set?"),
    (
        "The temperature of the {s} must not exceed {measure}.",
        "measure",
        "How hot may the {s} get?|What is the highest temperature of the {s}?",
    ),
    ("Interest of {percent} applies to the {s}.", "percent", "What interest applies to the {s}?"),
    ("Office hours are {hours}.", "time", "When is the office open?|What are the office hours?"),
    (
        "The rent of the {s} is {money} a month.",
        "money",
        "What is the rent of the {s}?|How much is the {s} a month?",
    ),
]
_UNSEEN = [
    ("Delivery of the {s} is planned for {date}.", "date", "When will the {s} be delivered?"),
    ("The {s} was signed by {person}.", "name", "Who signed the {s}?"),
    ("We owe the {s} {money}.", "money", "How much is owed to the {s}?"),
    ("The {s} can hold {count} visitors.", "int", "How many visitors fit into the {s}?"),
    ("The next {s} is in {city}.", "word", "Where is the next {s}?"),
    ("The gate of the {s} closes at {time}.", "time", "When does the gate of the {s} close?"),
]


def fact(sheet: Sheet) -> str:
    """A sentence with a value in it, as HTML; asked for by what the sentence says."""
    rng, words = sheet.rng, sheet.words
    pattern, kind, forms = rng.choice(_FACTS if sheet.split == "train" else _UNSEEN)
    subject = words.phrase(1, 2, "lower")
    lead, rest = pattern.replace("{s}", subject).split("{", 1)
    name, after = rest.split("}", 1)
    key = sheet.part(lead.strip(" []"))
    value = sheet.part(str(rng.randint(1850, 2025)) if name == "year" else words.value(name))
    questions = tuple(form.replace("{s}", subject) for form in forms.split("|"))
    sheet.field(key, value, kind, kind="fact", questions=questions)
    return f"{key.html} {value.html}{html.escape(after)}"
