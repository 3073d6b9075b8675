"""The table of prompts in tests/data/prompts.txt, filled with the demo's questions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cropzoom.questions import Asking, Turn, asking

FILE = Path(__file__).parents[2] / "tests" / "data" / "prompts.txt"

OBJECTS = {
    "What is the total?": "total",
    "How much was the service charge?": "service charge",
    "What is the receipt number?": "receipt number",
    "Which gate do I go to?": "gate",
    "What is my seat?": "seat",
    "What is the booking reference?": "booking reference",
    "When is the departure?": "departure",
    "When is the payment due?": "payment due",
    "What is the IBAN?": "IBAN",
    "What is the BIC?": "BIC",
    "How much sodium is in it?": "sodium",
    "How much iron does it have?": "iron",
    "What is the batch number?": "batch number",
    "What is the available balance?": "available balance",
    "How much are the standing orders?": "standing orders",
    "How much is in Rainy day?": "Rainy day",
    "What is the ferritin level?": "ferritin level",
    "What is the result for platelets?": "platelets",
    "What is the creatinine value?": "creatinine",
    "When does the train to Harrow Cliffs leave?": "train to Harrow Cliffs",
    "What time is the train to Tamarind Cross?": "train to Tamarind Cross",
    "What is the serial number?": "serial number",
    "What speed does it run at?": "speed",
    "What is the current?": "current",
}
"""The demo's questions, and what each of them asks for."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A way to put a question: a conversation with slots, of which the last turn asks."""

    name: str
    held_out: bool
    turns: list[Turn] = field(default_factory=list)
    schemas: list[str] = field(default_factory=list)

    def asking(self, question: str) -> Asking:
        """What it asks with a question of the demo in its slots."""
        thing = OBJECTS.get(question, question)
        slots = {
            "question": question,
            "lower": question[:1].lower() + question[1:],
            "field": thing,
            "name": thing.lower().replace(" ", "_"),
        }

        def filled(text: str) -> str:
            return re.sub(r"\{(\w+)\}", lambda slot: slots.get(slot[1], slot[0]), text)

        turns = [
            Turn(turn.role, tuple(map(filled, turn.texts)), turn.pictures) for turn in self.turns
        ]
        schemas: list[dict[str, Any]] = [json.loads(filled(schema)) for schema in self.schemas]
        return asking(turns, len(turns) - 1, schemas)


def load_prompts() -> list[Prompt]:
    """The table, in the order of the file."""
    prompts: list[Prompt] = []
    held_out = False
    for chunk in re.split(r"^(?==== |### held out)", FILE.read_text(encoding="utf-8"), flags=re.M):
        held_out = held_out or chunk.startswith("### held out")
        if not chunk.startswith("=== "):
            continue
        title, _, rest = chunk.partition("\n")
        prompt = Prompt(title.removeprefix("=== ").strip(), held_out)
        for part in re.split(r"^(?=--- )", rest, flags=re.M)[1:]:
            head, _, text = part.partition("\n")
            role, *marks = head.removeprefix("--- ").split()
            if role == "schema":
                prompt.schemas.append(text.strip())
            else:
                texts = (text.strip("\n"),) if text.strip() else ()
                prompt.turns.append(Turn(role, texts, int("picture" in marks)))
        prompts.append(prompt)
    return prompts
