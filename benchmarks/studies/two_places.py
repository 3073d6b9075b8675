"""Do two crops help where a question needs two places? Several regions, measured.

Held-out pages of the project's renderer; each question asks for two of a page's values: "What are
the A and the B?", or which of two amounts is larger. Ways to show them:

    none         the page alone
    one          the cropper's best box (`max_crops=1`)
    two          its best two boxes for the one question (`max_crops=2`)
    any two      the same, however unsure it is (`min_confidence=0`)
    apart        one box for each half, asked as two questions: for a caller who can split it
    right two    a box round each answer and its key
    right union  the one box round both of those

A question counts as right if the reading stand-in at 448 px, which sees the page and the crops,
gives both values; it is asked for each by the page's own wording, since it knows no "and".

    python benchmarks/studies/two_places.py --output benchmarks/results/two_places.json
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Annotated, Any

import typer
from PIL import Image
from rich.progress import track
from study import (
    CropperOption,
    OutputOption,
    ThreadsOption,
    cropper_name,
    markdown,
    percent,
    report,
)

from cropzoom import Box, Cropper, ZoomOptions, load_cropper
from cropzoom.evaluate.croppers import oracle_box
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.reading.answers import is_exact
from cropzoom.reading.ocr import OcrReader
from cropzoom.reading.standin import StandIn, pick_answer
from cropzoom.trainer.nano.pages import render_page
from cropzoom.trainer.nano.pages.canvas import Field, Rect, union
from cropzoom.trainer.nano.pages.fonts import find_fonts
from cropzoom.trainer.nano.pages.rendered_rows import TEST_PAGES
from cropzoom.zoom import Zoom

WAYS = {
    "none": "no crop",
    "one": "best box",
    "two": "best two boxes",
    "any two": "best two, however unsure",
    "apart": "each half asked apart",
    "right two": "right two",
    "right union": "right ones in one box",
}
FORMS = {
    "both": (
        "What are the {a} and the {b}?",
        "What is the {a} and what is the {b}?",
        "Give the {a} and the {b}.",
    ),
    "larger": ("Which is larger, the {a} or the {b}?", "Is the {a} more than the {b}?"),
}
NEAR = 0.2
_AMOUNTS = ("money", "int", "percent")


@dataclass(frozen=True)
class Pair:
    """A question that needs two places.

    Args:
        page: which.
        kind: "both" or "larger".
        question: the whole.
        halves: the same asked apart.
        keys: as they stand on the page.
        answers: the two values.
        boxes: of key and value, for each.
        values: of the value alone, for each.
    """

    page: str
    kind: str
    question: str
    halves: tuple[str, str]
    keys: tuple[str, str]
    answers: tuple[str, str]
    boxes: tuple[Box, Box]
    values: tuple[Box, Box]


@dataclass(frozen=True)
class Shown:
    """What one way shows of one question, and what comes of it.

    Args:
        whole: which of the two values a crop shows whole.
        crops: how many there are.
        area: of all crops together, of the page; what overlaps counts twice, as it is sent twice.
        right: whether the stand-in gives both values.
    """

    whole: tuple[bool, bool]
    crops: int
    area: float
    right: bool


def choose(rng: random.Random, fields: list[Field]) -> tuple[str, list[Field]]:
    """Choose two fields, and how to ask: which is larger for half where there are such amounts."""
    comparable = [
        [field for field in fields if field.value_kind == kind]
        for kind in _AMOUNTS
        if sum(field.value_kind == kind for field in fields) >= 2
    ]
    if comparable and rng.random() < 0.5:
        return "larger", rng.sample(rng.choice(comparable), 2)
    return "both", rng.sample(fields, 2)


def ask_pair(
    rng: random.Random, page: str, kind: str, fields: list[Field], size: tuple[int, int]
) -> Pair:
    """Ask for two fields of a page of `size` px at once."""
    first, second = fields

    def box(rect: Rect) -> Box:
        x0, y0, x1, y1 = rect
        width, height = size
        return Box.ordered(x0 / width, y0 / height, x1 / width, y1 / height, min_side=1e-3)

    return Pair(
        page,
        kind,
        rng.choice(FORMS[kind]).format(a=first.key, b=second.key),
        (f"What is the {first.key}?", f"What is the {second.key}?"),
        (first.key, second.key),
        (first.value, second.value),
        (box(union(first.key_box, first.value_box)), box(union(second.key_box, second.value_box))),
        (box(first.value_box), box(second.value_box)),
    )


def pairs(pages: int, per_page: int, seed: int) -> Iterator[tuple[Image.Image, Pair]]:
    """Render pages, and ask about two fields of them `per_page` times."""
    number = made = 0
    while made < pages:
        rng = random.Random(f"{seed}:{number}")
        page = render_page(rng, TEST_PAGES)
        # The stand-in can be asked by key alone, not by row and column.
        fields = [field for field in page.fields if field.kind in ("pair", "contents")]
        if len(fields) >= 2:
            made += 1
            for _ in range(per_page):
                kind, two = choose(rng, fields)
                yield page.image, ask_pair(rng, str(number), kind, two, page.image.size)
        number += 1


def boxes_of(image: Image.Image, pair: Pair, cropper: Cropper) -> dict[str, list[Box]]:
    """Return what each way shows, as an application gets it with the default options."""
    zoom = Zoom(cropper, ZoomOptions(cache_size=0))

    def found(question: str, most: int, **changes: float) -> list[Box]:
        options = replace(zoom.options, max_crops=most, **changes)
        crops, _ = zoom.crops(image, question, options=options, strict=True)
        return [zoomed.crop.box for zoomed in crops]

    right = [oracle_box(box, *image.size) for box in pair.boxes]
    one, other = right
    return {
        "none": [],
        "one": found(pair.question, 1),
        "two": found(pair.question, 2),
        "any two": found(pair.question, 2, min_confidence=0.0),
        "apart": [box for half in pair.halves for box in found(half, 1)],
        "right two": right,
        "right union": [
            Box(
                min(one.x0, other.x0),
                min(one.y0, other.y0),
                max(one.x1, other.x1),
                max(one.y1, other.y1),
            )
        ],
    }


def show(image: Image.Image, pair: Pair, boxes: list[Box], stand_in: StandIn) -> Shown:
    """Look what crops show, and let the stand-in answer from the page and them."""
    views = [image, *(image.crop(box.to_pixels(*image.size)) for box in boxes)]
    seen = [stand_in.read(view) for view in views]
    replies = [pick_answer(f'"{key}"', seen).text for key in pair.keys]
    first, second = (any(box.covers(v) for box in boxes) for v in pair.values)
    return Shown(
        (first, second),
        len(boxes),
        sum(box.area for box in boxes),
        all(is_exact(said, [answer]) for said, answer in zip(replies, pair.answers, strict=True)),
    )


def summarise(asked: list[tuple[Pair, dict[str, Shown]]], resamples: int = 2000) -> dict[str, Any]:
    """Return shares by way with intervals, and by how the question is put and lies on the page."""
    draws = PictureBootstrap([pair.page for pair, _ in asked], resamples=resamples)
    parts = {
        "asked for both": [pair.kind == "both" for pair, _ in asked],
        "asked which is larger": [pair.kind == "larger" for pair, _ in asked],
        "places within a fifth of the page": [_apart(pair) < NEAR for pair, _ in asked],
        "places further apart": [_apart(pair) >= NEAR for pair, _ in asked],
    }

    def share(flags: list[bool], of: list[bool]) -> dict[str, object]:
        return draws.share([f and o for f, o in zip(flags, of, strict=True)], of).to_dict()

    ways = {}
    for way in WAYS:
        shown = [shows[way] for _, shows in asked]
        both = [all(one.whole) for one in shown]
        everything = [True] * len(asked)
        ways[way] = {
            "both": share(both, everything),
            "either": share([any(one.whole) for one in shown], everything),
            "right": share([one.right for one in shown], everything),
            "crops": fmean(one.crops for one in shown),
            "area": fmean(one.area for one in shown),
            "parts": {name: share(both, inside) for name, inside in parts.items()},
        }
    return {
        "questions": len(asked),
        "parts": {name: sum(inside) for name, inside in parts.items()},
        "ways": ways,
    }


def _apart(pair: Pair) -> float:
    (x, y), (u, v) = (box.centre for box in pair.boxes)
    return max(abs(x - u), abs(y - v))


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the tables `ways` and `parts`."""
    rows = [
        [
            said,
            *(percent(results["ways"][way][name]) for name in ("both", "either", "right")),
            f"{results['ways'][way]['crops']:.2f}",
            f"{results['ways'][way]['area']:.1%}",
        ]
        for way, said in WAYS.items()
    ]
    head = ["", "both values shown", "at least one", "both answered", "crops", "area"]
    shown = ("one", "any two", "apart")
    parts = [
        [
            f"{name} ({count})",
            *(percent(results["ways"][way]["parts"][name]) for way in shown),
        ]
        for name, count in results["parts"].items()
    ]
    return {
        "ways": markdown(head, rows),
        "parts": markdown(["both values shown", *(WAYS[way] for way in shown)], parts),
    }


def main(
    cropper: CropperOption = "nano",
    pages: Annotated[int, typer.Option(help="How many that have two values.")] = 50,
    per_page: Annotated[int, typer.Option(help="Questions about each.")] = 2,
    seed: Annotated[int, typer.Option(help="Of pages and questions.")] = 23,
    side: Annotated[int, typer.Option(help="What the stand-in sees, px.")] = 448,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """Print what two crops show of two places; write it with intervals."""
    if not find_fonts("heldout"):
        raise typer.BadParameter("no held-out fonts here; install those in trainer/nano/FONTS.txt")
    stand_in = StandIn(side=side, reader=OcrReader(threads=threads))
    asked = []
    with load_cropper(cropper) as loaded:
        for image, pair in track(
            pairs(pages, per_page, seed), description="asking", total=pages * per_page
        ):
            boxes = boxes_of(image, pair, loaded)
            shows = {way: show(image, pair, found, stand_in) for way, found in boxes.items()}
            asked.append((pair, shows))
    settings = {"cropper": cropper_name(loaded), "pages": pages, "per_page": per_page, "seed": seed}
    results = {"settings": {**settings, "side": side}, **summarise(asked)}
    report(results, tables(results).values(), output)


if __name__ == "__main__":
    typer.run(main)
