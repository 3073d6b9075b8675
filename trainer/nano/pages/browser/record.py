"""One laid-out page, and its line in a pool's JSONL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from ..canvas import Field, Rect, Word
from ..fonts import Split

_BOXES = ("key_box", "value_box")


@dataclass(frozen=True)
class PageRecord:
    """A picture with every word on it and what can be asked for; boxes are in its px.

    `em` is the body text's size in px.
    """

    image: Image.Image
    template: str
    split: Split
    em: float
    words: list[Word]
    fields: list[Field]

    def line(self, name: str) -> str:
        """A JSON object on one line, for a picture stored under a name."""
        return json.dumps(
            {
                "image": name,
                "size": self.image.size,
                "template": self.template,
                "split": self.split,
                "em": round(self.em, 2),
                "words": [[w.text, _short(w.box, 1), _short(w.centres, 3)] for w in self.words],
                "fields": [
                    asdict(f) | {name: _short(getattr(f, name), 1) for name in _BOXES}
                    for f in self.fields
                ],
            },
            ensure_ascii=False,
        )


def parse_record(entry: dict[str, Any], image: Image.Image) -> PageRecord:
    """The page of a pool's line and its picture."""
    words = [Word(text, _rect(box), tuple(centres)) for text, box, centres in entry["words"]]
    fields = [
        Field(**f | {n: _rect(f[n]) for n in _BOXES} | {"questions": tuple(f["questions"])})
        for f in entry["fields"]
    ]
    return PageRecord(image, entry["template"], entry["split"], entry["em"], words, fields)


def _rect(box: Sequence[float]) -> Rect:
    left, top, right, bottom = box
    return (left, top, right, bottom)


def _short(numbers: Sequence[float], digits: int) -> list[float]:
    return [round(number, digits) for number in numbers]
