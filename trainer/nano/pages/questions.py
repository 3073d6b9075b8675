"""Questions about a page's fields, in the many ways people ask."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .canvas import Field, Rect, union
from .lexicon import FIELDS, Lexicon


@dataclass(frozen=True)
class Question:
    """A question, its answer, and where it stands (px). An absent one has no boxes.

    `region` is the key and the value together: what a crop must show to be read with certainty.
    """

    text: str
    answer: str
    region: Rect | None
    key_box: Rect | None
    value_box: Rect | None

    @property
    def absent(self) -> bool:
        """Whether nothing on the page answers."""
        return self.region is None


_PAIR = """
What is the {k}?|What is the {k}?|What's the {k}?|{k}?|{k}|{k}:|What is {k}?
What is the value of {k}?|What does {k} say?|What is written next to {k}?
What is written beside "{k}"?|What is given for {k}?|Find the {k}.|Find {k}|Tell me the {k}.
Read the {k}.|Read out the {k} please|Give me the {k}.|Which {k} is shown?|Which {k} is given?
What {k} is listed?|What {k} is printed here?|What is to the right of {k}?
What stands behind "{k}"?|What comes after {k}?|What follows {k}?|What is the {k} on this page?
What is the {k} in the document?|What is the {k} shown in the image?|Can you read the {k}?
Could you tell me what the {k} is?|Please extract the {k}.|Extract {k}
According to the document, what is the {k}?|Look at the picture. What is the {k}?
Do you see the {k}?|I need the {k}.|Show me the {k}|What did they enter for {k}?
What is stated under {k}?|What is below "{k}"?|What value does the field "{k}" have?
What is in the field {k}?|Which value belongs to {k}?|the {k} please|Let me know the {k}
How is the {k} given?|State the {k}.|Look up {k}
"""
_BY_KIND = {
    "money": "How much is the {k}?|How much is {k}?|What amount is given for {k}?"
    "|What is the price of {k}?|How much does {k} cost?|What does {k} cost?"
    "|What is charged for {k}?",
    "int": "How many {k}?|How many {k} are there?|What number is given for {k}?"
    "|What is the count of {k}?",
    "measure": "How much {k}?|How much is the {k}?|What is the measured {k}?",
    "percent": "What percentage is {k}?|How high is the {k}?|What share does {k} have?",
    "date": "When is the {k}?|What date is {k}?|On what day is the {k}?|When was {k}?",
    "time": "When is {k}?|At what time is the {k}?|What time is {k}?",
    "name": "Who is the {k}?|Who is {k}?|Whose name is given for {k}?|Who is named as {k}?",
    "address": "Where is the {k}?|Where is {k}?",
    "code": "What is the code of {k}?|Which number does {k} have?|What ID is given for {k}?",
    "email": "What is the e-mail of {k}?",
}
_CELL = """
What is the {c} of {k}?|What is the {c} of {k}?|What is the {c} for {k}?|{k} {c}|{c} of {k}
{c} {k}|What is {k}'s {c}?|In the row {k}, what is the {c}?|What is in row "{k}", column "{c}"?
What {c} does {k} have?|Which {c} has {k}?|What does the table give as {c} for {k}?
Read the {c} of {k}.|How much is the {c} of {k}?|How many {c} for {k}?
What value does {k} have under {c}?|Find {c} for {k}|Look at the table: what is the {c} of {k}?
What is shown for {k} in the column {c}?
"""
_CONTENTS = """
On which page is {k}?|On which page is "{k}"?|What page is {k} on?|Which page does {k} start on?
What is the page number of {k}?|Where do I find {k}?|Page of {k}?|{k}
At what page does "{k}" begin?
"""
_AFTER = """
What comes after "{k}"?|What follows "{k}"?|Which words come after {k}?|{k} ...
What stands after "{k}"?|Complete the sentence: {k}|What is written after {k}?
Which word follows "{k}"?|Continue: {k}
"""
_UNDER = """
What is the {k} under {c}?|What is the {k} in the section {c}?|What {k} is given under "{c}"?
Under {c}, what is the {k}?|In {c}, what does {k} say?|{c}: {k}?|Find the {k} in {c}.
"""
_WHOLE = """
What is the {k}?|Which {k} is shown?|Read the {k}.|{k}?|Tell me the {k}
"""
_FACT = """
What comes after "{k}"?|What follows "{k}"?|{k} ...|Complete the sentence: {k}
"""
_REVERSE = """
Which entry says {k}?|What is {k}?|What does {k} belong to?|What is listed with {k}?|{k}?
Which item has {k}?|Which row has {k}?|What stands next to {k}?|To what does "{k}" belong?
What is {k} the value of?|Which one is {k}?
"""
_NATURAL = """
What is in the picture?|Describe the image.|What is the man wearing?|How many birds are there?
Is the sky blue?|Where was the photo taken?|What is behind the house?|What kind of flower is it?
What is she holding?|Who is in the photo?|What breed is the dog?|What colour are the walls?
Is anyone smiling?|What is on the table?|How many windows does the building have?|Is it night?
What season is it?|What is the weather like?|What is the child playing with?|Are there any trees?
What vehicle is in the street?|Which fruit is in the bowl?|Is the door open?|What is on the roof?
What is the woman looking at?|How many boats are on the water?|Is the road wet?
What sport is played?|What material is the bench made of?|What is in the background?
Is there a bridge?|What is he riding?|What colour is the bird?|How many chairs are there?
What is growing in the field?|Is it a city?|Where is the picture taken?
What does the landscape look like?|Is the cat asleep?|What shape is the cloud?|What are they eating?
"""
_SUFFIXES = [
    "Answer briefly.",
    "Give a very brief answer.",
    "Answer with one word or number.",
    "Be short.",
    "Answer the question using a single word or phrase.",
    "Only the value.",
    "Reply with the answer only.",
]
_PREFIXES = [
    "Look at the image.",
    "Hi!",
    "Question:",
    "Please answer:",
    "Here is a document.",
    "You are a helpful assistant.",
    "Read carefully.",
]


def _forms(text: str) -> list[str]:
    return [form.strip() for line in text.strip().splitlines() for form in line.split("|")]


NATURAL = _forms(_NATURAL)
"""Questions about photographs, which no page of text answers."""
FORMS = {
    "pair": _forms(_PAIR),
    "cell": _forms(_CELL),
    "contents": _forms(_CONTENTS),
    "after": _forms(_AFTER),
    "under": _forms(_UNDER),
    "whole": _forms(_WHOLE),
    "fact": _forms(_FACT),
    "reverse": _forms(_REVERSE),
    **{kind: _forms(text) for kind, text in _BY_KIND.items()},
}
_ALIASES = {name.lower(): aliases for name, (_, aliases) in FIELDS.items() if aliases}
_OWN = {"whole": 0.8, "fact": 0.85}  # how often a field's own questions are asked
_BY_TYPE = {  # askable without a key when only one value of the kind is on the page
    "email": "What is the e-mail address?|Which e-mail is given?|What mail address is shown?",
    "phone": "What is the phone number?|Which telephone number is given?|What number can I call?",
    "url": "What is the web address?|Which website is named?|What is the URL?",
    "percent": "What percentage is shown?|Which percentage is given?",
    "ip": "What is the IP address?",
}


def ask(rng: random.Random, field: Field, others: list[Field]) -> Question:
    """One question about a field of a page whose fields are `others` (for what is unambiguous)."""
    key = field.key
    if rng.random() < 0.25:
        key = rng.choice([key.lower(), key.upper(), key.title()])
    alone = sum(f.value_kind == field.value_kind for f in others) == 1
    aliases = _ALIASES.get(field.key.lower(), ())
    roll = rng.random()
    if field.questions and rng.random() < _OWN.get(field.kind, 0.35):
        form = rng.choice(field.questions)
    elif field.kind == "pair" and aliases and roll < 0.3:
        form = rng.choice(aliases)
    elif field.kind == "pair" and alone and field.value_kind in _BY_TYPE and roll < 0.5:
        form = rng.choice(_BY_TYPE[field.value_kind].split("|"))
    elif field.kind == "pair" and field.value_kind in _BY_KIND and roll < 0.65:
        form = rng.choice(FORMS[field.value_kind])
    else:
        form = rng.choice(FORMS[field.kind])
    text = form.replace("{k}", key).replace("{c}", field.column or "")
    if rng.random() < 0.12:
        text = f"{text} {rng.choice(_SUFFIXES)}"
    if rng.random() < 0.06:
        text = f"{rng.choice(_PREFIXES)} {text}"
    if rng.random() < 0.08:
        text = text.lower().rstrip("?.")
    region = union(field.key_box, field.value_box)
    return Question(text, field.value, region, field.key_box, field.value_box)


def turned(field: Field) -> Field:
    """The field asked the other way round: by its value, for its key."""
    return Field(field.value, field.key, field.value_box, field.key_box, "reverse")


def ask_absent(
    rng: random.Random,
    lexicon: Lexicon,
    fields: list[Field],
    text: str = "",
    natural: float = 0.0,
) -> Question:
    """A question about a key that is not on the page, neither in a field nor in its `text`.

    With a chance of `natural` it is one about a photograph instead.
    """
    if natural and rng.random() < natural:
        return Question(rng.choice(NATURAL), "", None, None, None)
    present = " ".join([*(f"{f.key} {f.column or ''}" for f in fields), text]).lower()
    while True:
        key, kind = lexicon.key()
        if not any(word in present for word in key.lower().split()):
            break
    own = lexicon.asking(kind)
    if own and rng.random() < 0.4:
        form = rng.choice(own)
    else:
        form = rng.choice(FORMS.get(kind, FORMS["pair"]) if rng.random() < 0.3 else FORMS["pair"])
    return Question(form.replace("{k}", key), "", None, None, None)
