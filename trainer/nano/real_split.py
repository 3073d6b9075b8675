"""Which real pages are trained on, chosen by, and only measured: by shop, the same everywhere.

A folder of real pages has the sets `sroie`, `softmatic`, `docs` and `ui`; each holds pictures,
`rows.jsonl` (questions with boxes, as `cropzoom train` reads them, and `value`, `key`, `kind`) and
`lines.jsonl` (every line of text with its box). Boxes are fractions of the picture.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SETS = ("sroie", "softmatic", "docs", "ui")
KEPT_APART = {"sroie": 0.3, "softmatic": 0.3, "docs": 0.25, "ui": 0.2}
"""Share of the shops, and of the other sets' pictures, that are never trained on."""
CHOICE = 0.2
"""Share of those on which decoding and temperature are chosen; the others are only measured."""

Part = Literal["train", "choice", "validation"]
Fractions = tuple[float, float, float, float]


@dataclass(frozen=True)
class Line:
    """A line of text and its box."""

    text: str
    box: Fractions


@dataclass(frozen=True)
class Row:
    """A question about a picture; `box` is label and answer, `value` the answer alone."""

    question: str
    answer: str
    box: Fractions
    value: Fractions
    key: str
    kind: str


@dataclass(frozen=True)
class RealPicture:
    """A picture with its lines and rows; `group` is what the split goes by."""

    path: Path
    source: str
    group: str
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]


def read_pictures(folder: Path, part: Part) -> list[RealPicture]:
    """The pictures of one part of all sets that the folder has, in the order of their names.

    Raises:
        FileNotFoundError: a set lacks its rows or lines.
    """
    pictures = []
    for source in SETS:
        if (folder / source).is_dir():
            pictures += [p for p in _read_set(folder / source) if part_of(p) == part]
    return pictures


def part_of(picture: RealPicture) -> Part:
    """Where a picture belongs; all pictures of one group belong to the same part."""
    digest = hashlib.sha256(f"{picture.source}/{picture.group}".encode()).digest()
    first, second = (int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in (0, 4))
    if first >= KEPT_APART[picture.source]:
        return "train"
    return "choice" if second < CHOICE else "validation"


def _read_set(folder: Path) -> list[RealPicture]:
    rows: dict[str, list[Row]] = {}
    for row in _json_lines(folder / "rows.jsonl"):
        rows.setdefault(row["image"], []).append(
            Row(
                row["question"],
                row["answers"][0],
                tuple(row["box"]),
                tuple(row["value"]),
                row["key"],
                row["kind"],
            )
        )
    pictures = []
    for page in sorted(_json_lines(folder / "lines.jsonl"), key=lambda page: str(page["image"])):
        lines = tuple(Line(line["text"], tuple(line["box"])) for line in page["lines"])
        own = tuple(rows.get(page["image"], ()))
        group = page["image"]
        if folder.name == "sroie":
            group = _shop(lines, own)
        pictures.append(RealPicture(folder / page["image"], folder.name, group, lines, own))
    return pictures


def _shop(lines: tuple[Line, ...], rows: tuple[Row, ...]) -> str:
    """The shop's name without what its branches write in their own ways."""
    name = next((row.answer for row in rows if row.kind == "company"), None)
    if name is None:
        name = lines[0].text if lines else ""
    name = re.sub(r"\b(sdn|bhd|s/b|enterprise|m)\b", " ", name.lower())
    return re.sub(r"[^a-z0-9]", "", name)


def _json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
