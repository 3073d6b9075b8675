"""Questions about a page's fields, in the many ways people ask."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .canvas import Field, Rect, union
from .lexicon import FIELDS, Lexicon
from .tables import forms, read_data


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


FORMS = {row[0]: forms(row, 1) for row in read_data("questions.txt")}
"""Ways to ask, by how a field stands on the page; see the file."""
_OWN_FORMS = {row[0]: forms(row, 1) for row in read_data("own_questions.txt")}
_ALIASES = {name.lower(): aliases for name, (_, aliases) in FIELDS.items() if aliases}
_OWN = {"whole": 0.8, "fact": 0.85}  # how often a field's own questions are asked


def own_questions(what: str, **words: str) -> tuple[str, ...]:
    """Questions that fit one field alone, such as a caption; `words` of its page are in them."""
    return tuple(form.format(**words) for form in _OWN_FORMS[what])


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
    elif field.kind == "pair" and alone and f"only {field.value_kind}" in FORMS and roll < 0.5:
        form = rng.choice(FORMS[f"only {field.value_kind}"])
    elif field.kind == "pair" and f"kind {field.value_kind}" in FORMS and roll < 0.65:
        form = rng.choice(FORMS[f"kind {field.value_kind}"])
    else:
        form = rng.choice(FORMS[field.kind])
    text = form.replace("{k}", key).replace("{c}", field.column or "")
    if rng.random() < 0.12:
        text = f"{text} {rng.choice(FORMS['behind'])}"
    if rng.random() < 0.06:
        text = f"{rng.choice(FORMS['before'])} {text}"
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
        return Question(rng.choice(FORMS["natural"]), "", None, None, None)
    present = " ".join([*(f"{f.key} {f.column or ''}" for f in fields), text]).lower()
    while True:
        key, kind = lexicon.key()
        if not any(word in present for word in key.lower().split()):
            break
    own = lexicon.asking(kind)
    if own and rng.random() < 0.4:
        form = rng.choice(own)
    else:
        form = rng.choice(
            FORMS.get(f"kind {kind}", FORMS["pair"]) if rng.random() < 0.3 else FORMS["pair"]
        )
    return Question(form.replace("{k}", key), "", None, None, None)
