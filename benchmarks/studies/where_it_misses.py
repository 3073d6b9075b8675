"""Where does the crop policy look away? Hits by place, size, contrast, script and kind of question.

Three sets of held-out pages: the project's renderer in English and in other languages, and, where
a pool is given, pages that Chromium laid out:

    python -m cropzoom.trainer.nano.pages.browser runs/heldout --pages 90 --seed 6 --split heldout
    python -m cropzoom.trainer.nano.pages.browser.pool_questions runs/heldout
    python benchmarks/studies/where_it_misses.py runs/heldout/questions.jsonl \\
        --output benchmarks/results/where_it_misses.json

A hit is a crop whose centre lies in the region of key and value; whole, one that shows the value
whole.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.progress import track
from study import CropperOption, OutputOption, Question, cropper_name, markdown, percent, report

from cropzoom import ZoomOptions
from cropzoom.cropper import Cropper, load_cropper
from cropzoom.data.row import Row
from cropzoom.data.test_set import load_test
from cropzoom.errors import DataError
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.geometry import Box
from cropzoom.trainer.nano.pages import PageOptions
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test

ENGLISH = PageOptions(split="heldout", min_text=8.5, max_text=30.0, absent=0.0)
SETS = {
    "english": "rendered, English",
    "languages": "rendered, other languages",
    "browser": "laid out by Chromium",
}
HEIGHTS = (0.0, 8.0, 11.0, 15.0, 22.0, 1e9)
"""Limits of the groups of text height, px of a page whose longest side is 1024 px."""
CONTRASTS = (0.0, 0.35, 0.55, 0.75, 1.01)
"""Limits of the groups of contrast."""
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
UNSURE = ZoomOptions().min_confidence


@dataclass(frozen=True)
class Answer:
    """What the cropper made of a question.

    Args:
        question: with its boxes.
        groups: by the name of a breakdown, the label of the part this question belongs to.
        crop: the cropper's box; None where it proposes none.
        confidence: the cropper's, 0 for none.
    """

    question: Question
    groups: dict[str, str]
    crop: Box | None
    confidence: float

    @property
    def hit(self) -> bool:
        """Whether the crop's centre lies in the region."""
        return self.question.hit(self.crop)

    @property
    def whole(self) -> bool:
        """Whether the crop shows the value whole."""
        return self.question.whole(self.crop)


def place(x: float, y: float) -> str:
    """Return which ninth of the page a point lies in."""
    return f"{ROWS[min(2, int(3 * y))]} {COLUMNS[min(2, int(3 * x))]}"


def script(text: str) -> str:
    """Return the script of a text: Greek or Cyrillic where it has such a letter, else Latin."""
    letters = [character for character in text if character.isalpha()]
    for name in ("Greek", "Cyrillic"):
        if any(unicodedata.name(letter, "").startswith(name.upper()) for letter in letters):
            return name
    if not letters:
        return "no letters"
    return "Latin" if all(map(str.isascii, letters)) else "Latin with diacritics"


def contrast(image: Image.Image, box: Box) -> float:
    """Return how far ink and paper of a text are apart, in [0, 1]: its 2nd to its 98th percentile.

    Thin strokes are lighter than the ink they are drawn with, as they are to the cropper.
    """
    grey = np.asarray(image.convert("L").crop(box.to_pixels(*image.size)))
    low, high = np.percentile(grey, [2, 98])
    return float(high - low) / 255


def between(value: float, limits: tuple[float, ...], unit: str = "") -> str:
    """Return the label of the group of values that one belongs to."""
    for low, high in pairwise(limits):
        if low <= value < high:
            break
    if low <= 0:
        return f"below {high:g}{unit}"
    return f"{low:g}{unit} and more" if high == limits[-1] else f"{low:g} to {high:g}{unit}"


def ask(row: Row, kind: str, cropper: Cropper) -> Answer:
    """Ask one row. It needs its boxes."""
    assert row.box is not None and row.value is not None
    image = row.load()
    crops = cropper.predict(image, row.question)
    scale = 1024 / max(image.size)
    groups = {
        "all": "all",
        "place": place(*row.box.centre),
        "height": between(row.value.height * image.height * scale, HEIGHTS, " px"),
        "contrast": between(contrast(image, row.value), CONTRASTS),
        "script": script(row.key or row.question),
        "kind": kind,
    }
    if row.category:
        groups["template"] = row.category
    box, confidence = (crops[0].box, crops[0].confidence) if crops else (None, 0.0)
    question = Question(row.image_id, row.question, row.box, row.value)
    return Answer(question, groups, box, confidence)


def ask_all(rows: Iterable[tuple[Row, str]], cropper: Cropper) -> list[Answer]:
    """Ask rows with their kinds."""
    return [ask(row, kind, cropper) for row, kind in track(list(rows), description="asking")]


def pool_rows(questions: Path) -> Iterator[tuple[Row, str]]:
    """Return a pool's questions with their kinds, which rows have no place for."""
    kinds = [json.loads(line)["kind"] for line in questions.read_text("utf-8").splitlines()]
    return zip(load_test(questions).rows, kinds, strict=True)


def summarise(answers: list[Answer], resamples: int = 2000) -> dict[str, Any]:
    """Return shares by group, with intervals, and what the misses look at."""
    draws = PictureBootstrap([one.question.page for one in answers], resamples=resamples)
    groups: dict[str, dict[str, Any]] = {}
    for name in answers[0].groups:
        for label in sorted({one.groups[name] for one in answers}):
            inside = [one.groups[name] == label for one in answers]
            chosen = [one for one, its in zip(answers, inside, strict=True) if its]

            def share(flags: Iterable[bool], of: list[bool] = inside) -> dict[str, object]:
                return draws.share([f and o for f, o in zip(flags, of, strict=True)], of).to_dict()

            groups.setdefault(name, {})[label] = {
                "questions": len(chosen),
                "centre": share(one.hit for one in answers),
                "whole": share(one.whole for one in answers),
                "area": fmean(one.crop.area if one.crop else 0.0 for one in chosen),
                "unsure": fmean(one.confidence < UNSURE for one in chosen),
            }
    return {"questions": len(answers), "groups": groups, "misses": _misses(answers)}


def _misses(answers: list[Answer]) -> dict[str, Any]:
    """Where crops go that miss, in shares of them."""
    misses = [(one, one.crop) for one in answers if one.crop is not None and not one.hit]
    if not misses:
        return {"count": 0}
    ways = {"line": 0, "column": 0, "elsewhere": 0}
    places = {f"{row} {column}": 0 for row in ROWS for column in COLUMNS}
    for one, crop in misses:
        x, y = crop.centre
        region = one.question.box
        assert region is not None
        beside, under = region.y0 <= y <= region.y1, region.x0 <= x <= region.x1
        ways["line" if beside else "column" if under else "elsewhere"] += 1
        places[place(x, y)] += 1
    return {
        "count": len(misses),
        "unsure": fmean(one.confidence < UNSURE for one, _ in misses),
        "value whole": fmean(one.whole for one, _ in misses),
        **{name: count / len(misses) for name, count in ways.items()},
        "places": {name: count / len(misses) for name, count in places.items()},
    }


BREAKDOWNS = {
    "all": "",
    "place": "at the ",
    "height": "text ",
    "contrast": "contrast ",
    "script": "",
    "kind": "kind ",
}
"""What the page shows, and what is put before its labels."""
TEMPLATES = {"template": "page "}
"""What only the terminal shows: who makes templates wants to see them all."""
_ORDER = [
    *(f"{row} {column}" for row in ROWS for column in COLUMNS),
    *(between(low, HEIGHTS, " px") for low in HEIGHTS[:-1]),
    *(between(low, CONTRASTS) for low in CONTRASTS[:-1]),
]


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the tables `parts` and `misses`."""
    return {"parts": _parts(results["sets"], BREAKDOWNS), "misses": _misses_table(results["sets"])}


def _parts(results: dict[str, Any], breakdowns: Mapping[str, str]) -> str:
    sets = [name for name in SETS if name in results]
    rows = []
    for breakdown, prefix in breakdowns.items():
        parts = [results[name]["groups"].get(breakdown, {}) for name in sets]
        for label in sorted({label for part in parts for label in part}, key=_position):
            rows.append([prefix + label, *(_cell(part.get(label)) for part in parts)])
    return markdown(["centre in the region", *(SETS[name] for name in sets)], rows)


def _position(label: str) -> tuple[int, str]:
    return (_ORDER.index(label) if label in _ORDER else len(_ORDER), label)


def _cell(part: dict[str, Any] | None) -> str:
    return "" if part is None else f"{percent(part['centre'])} ({part['questions']})"


def _misses_table(results: dict[str, Any]) -> str:
    sets = [name for name in SETS if name in results]
    misses = [results[name]["misses"] for name in sets]
    said = {
        "line": "on the right line, beside key and value",
        "column": "above or below them",
        "elsewhere": "elsewhere",
        "value whole": "value shown whole nevertheless",
        "unsure": f"confidence below {UNSURE:g}: not sent by default",
    }
    rows = [[text, *(f"{one.get(way, 0):.0%}" for one in misses)] for way, text in said.items()]
    for label in _ORDER[:9]:
        shares = (one.get("places", {}).get(label, 0) for one in misses)
        rows.append([f"crop at the {label}", *(f"{share:.0%}" for share in shares)])
    head = [f"{SETS[name]} ({one['count']})" for name, one in zip(sets, misses, strict=True)]
    return markdown(["of the misses", *head], rows)


def main(
    pool: Annotated[Path | None, typer.Argument(help="A pool's questions.jsonl.")] = None,
    cropper: CropperOption = "nano",
    pages: Annotated[int, typer.Option(help="Pages of each rendered set.")] = 150,
    seed: Annotated[int, typer.Option(help="Of the rendered sets.")] = 31,
    misses: Annotated[int, typer.Option(help="Print so many missed questions of each set.")] = 0,
    output: OutputOption = None,
) -> None:
    """Print hits by group; write them with their intervals."""
    foreign = replace(ENGLISH, languages=1.0)
    try:
        rows = {
            "english": _rendered(pages, seed, ENGLISH),
            "languages": _rendered(pages, seed, foreign),
        }
        if pool is not None:
            rows["browser"] = list(pool_rows(pool))
    except DataError as error:
        raise typer.BadParameter(str(error)) from error
    with load_cropper(cropper) as loaded:
        answers = {name: ask_all(part, loaded) for name, part in rows.items()}
    results = {
        "settings": {"cropper": cropper_name(loaded), "pages": pages, "seed": seed},
        "sets": {name: summarise(part) for name, part in answers.items()},
    }
    shown = [*tables(results).values(), _parts(results["sets"], TEMPLATES)]
    report(results, shown, output)
    for name, part in answers.items():
        for one in [one for one in part if not one.hit][:misses]:
            typer.echo(
                f"{name} page {one.question.page}, {one.groups['kind']}: {one.question.text}"
            )


def _rendered(pages: int, seed: int, options: PageOptions) -> list[tuple[Row, str]]:
    # A rendered row's category is its field's kind; this renderer has no templates.
    rows = rendered_test(pages, seed, options).rows
    return [(replace(row, category=""), row.category) for row in rows]


if __name__ == "__main__":
    typer.run(main)
