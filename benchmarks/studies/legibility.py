"""Does the crop make the answer readable? Share of answers right with and without, on test pages.

The target is the reading stand-in of `cropzoom.reading.standin`, which sees pages and crops at
448 px. Pages come from the project's renderer, with fonts and words that training never uses.
Compared: no crop, crops of the cropper's size in the centre and at random, the cropper's own,
and the right one (oracle). Two measures:

  answered  the stand-in's reply is the answer (it is asked in the page's own wording, since a
            rule can't know that "what do I pay" means "Total"; the cropper gets the question)
  legible   the answer is read, correctly and in full, at its place, in the page or in the crop

    python benchmarks/studies/legibility.py --pages 80 --output legibility.json
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from study import CropperOption, OutputOption, Question, ThreadsOption

from cropzoom.cropper import Cropper, load_cropper
from cropzoom.data.row import Row
from cropzoom.errors import DataError
from cropzoom.evaluate.croppers import centre_box, oracle_box, random_box
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.geometry import Box
from cropzoom.reading.answers import is_exact, normalise
from cropzoom.reading.ocr import OcrReader
from cropzoom.reading.standin import Page, StandIn, pick_answer
from cropzoom.trainer.nano.pages import PageOptions
from cropzoom.trainer.nano.pages.fonts import find_fonts
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test

WAYS = ("none", "centre", "random", "cropper", "oracle")
MEASURES = ("answered", "legible")


@dataclass(frozen=True)
class Outcome:
    """What came of one sample: per way, the two measures and the crop's area."""

    page: str
    kind: str
    question: str
    answer: str
    hit: bool
    confidence: float
    milliseconds: float
    answered: dict[str, bool]
    legible: dict[str, bool]
    area: dict[str, float]


def measure(rows: Iterable[Row], cropper: Cropper, stand_in: StandIn, seed: int) -> list[Outcome]:
    """Ask every row in every way. Rows need their boxes, and one answer."""
    generator = random.Random(seed)
    outcomes = []
    for row in rows:
        assert row.box is not None and row.value is not None
        image = row.load()
        start = time.perf_counter()
        crops = cropper.predict(image, row.question)
        spent = (time.perf_counter() - start) * 1000
        oracle = oracle_box(row.box, *image.size)
        found = crops[0].box if crops else None
        # Where the cropper proposes nothing, its size is taken from the oracle.
        like = found or oracle
        boxes = {
            "none": None,
            "centre": centre_box(like),
            "random": random_box(like, generator),
            "cropper": found,
            "oracle": oracle,
        }
        seen = {way: _readings(image, box, stand_in) for way, box in boxes.items()}
        asked = f'"{row.key}"' if row.key else row.question
        replies = {
            way: pick_answer(asked, [page for page, _ in views]) for way, views in seen.items()
        }
        outcomes.append(
            Outcome(
                page=row.image_id,
                kind=row.category,
                question=row.question,
                answer=row.answers[0],
                hit=Question(row.image_id, row.question, row.box, row.value).hit(found),
                confidence=crops[0].confidence if crops else 0.0,
                milliseconds=spent,
                answered={way: is_exact(replies[way].text, row.answers) for way in WAYS},
                legible={way: _legible(row.answers[0], row.value, seen[way]) for way in WAYS},
                area={way: box.area if box else 0.0 for way, box in boxes.items()},
            )
        )
    return outcomes


def _readings(image: Image.Image, box: Box | None, stand_in: StandIn) -> list[tuple[Page, Box]]:
    """Read the page and, if there is one, the crop; each with the part of the page it shows."""
    readings = [(stand_in.read(image), Box(0, 0, 1, 1))]
    if box is not None:
        pixels = box.to_pixels(*image.size)
        shown = Box.from_pixels(*pixels, *image.size)
        readings.append((stand_in.read(image.crop(pixels)), shown))
    return readings


def _legible(answer: str, value: Box, readings: list[tuple[Page, Box]]) -> bool:
    """Tell whether the answer was read where it stands."""
    wanted = normalise(answer)
    for page, shown in readings:
        text = ""
        for line in sorted(page.lines, key=lambda line: line.box.x0):
            y = value.centre[1]
            left = shown.x0 + line.box.x0 * shown.width
            right = shown.x0 + line.box.x1 * shown.width
            top = shown.y0 + line.box.y0 * shown.height
            bottom = shown.y0 + line.box.y1 * shown.height
            if top <= y <= bottom and left < value.x1 and right > value.x0:
                text += normalise(line.text)
        if wanted and wanted in text:
            return True
    return False


def summarise(outcomes: list[Outcome], resamples: int, seed: int) -> dict[str, Any]:
    """Return shares with 95 % bootstrap intervals; whole pages are drawn, as their answers hang
    together."""
    draws = PictureBootstrap([o.page for o in outcomes], resamples=resamples, seed=seed)

    def flags(name: str, way: str) -> list[bool]:
        return [getattr(outcome, name)[way] for outcome in outcomes]

    def gap(name: str) -> dict[str, Any]:
        ways = (flags(name, way) for way in ("none", "cropper", "oracle"))
        return draws.gap_closed(*ways).to_dict()

    kinds = sorted({outcome.kind for outcome in outcomes})
    return {
        "pages": len({outcome.page for outcome in outcomes}),
        "questions": len(outcomes),
        "centre_in_region": draws.share([outcome.hit for outcome in outcomes]).to_dict(),
        "mean_area": {way: float(np.mean([o.area[way] for o in outcomes])) for way in WAYS},
        "median_milliseconds": float(np.median([outcome.milliseconds for outcome in outcomes])),
        **{
            name: {
                **{way: draws.share(flags(name, way)).to_dict() for way in WAYS},
                "gap_closed": gap(name),
            }
            for name in MEASURES
        },
        "by_kind": {
            kind: {
                "questions": sum(o.kind == kind for o in outcomes),
                "centre_in_region": float(np.mean([o.hit for o in outcomes if o.kind == kind])),
                **{
                    name: {
                        way: float(
                            np.mean([getattr(o, name)[way] for o in outcomes if o.kind == kind])
                        )
                        for way in WAYS
                    }
                    for name in MEASURES
                },
            }
            for kind in kinds
        },
    }


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the summary as a table."""
    table = Table(title=f"{summary['questions']} questions about {summary['pages']} pages")
    for heading in ("crop", "answered", "legible", "mean area"):
        table.add_column(heading, justify="left" if heading == "crop" else "right")
    for way in WAYS:
        shares = [_percent(summary[name][way]) for name in MEASURES]
        table.add_row(way, *shares, f"{summary['mean_area'][way]:.1%}")
    table.add_section()
    table.add_row("gap closed", *(_percent(summary[name]["gap_closed"]) for name in MEASURES), "")
    console.print(table)
    console.print(f"centre of the crop in the region: {_percent(summary['centre_in_region'])}")
    for kind, part in summary["by_kind"].items():
        answered = ", ".join(f"{way} {part['answered'][way]:.0%}" for way in WAYS)
        hits = f"centre in region {part['centre_in_region']:.1%}"
        console.print(f"  {kind}, {part['questions']} questions: {hits}; answered: {answered}")


def _percent(share: dict[str, Any]) -> str:
    low, high = share["interval"]
    return f"{share['mean']:.1%} [{low:.1%}, {high:.1%}]"


def main(
    cropper: CropperOption = "nano",
    pages: Annotated[int, typer.Option(help="Rendered.")] = 80,
    width: Annotated[int, typer.Option(help="Of a page, px.")] = 768,
    height: Annotated[int, typer.Option(help="Of a page, px.")] = 1024,
    # On an A4 page of 1024 px, 10 to 16 px are 8 to 13 pt: what print is set in.
    min_text: Annotated[float, typer.Option(help="Smallest body text, px.")] = 10.0,
    max_text: Annotated[float, typer.Option(help="Largest body text, px.")] = 16.0,
    side: Annotated[int, typer.Option(help="What the target sees, px.")] = 448,
    seed: Annotated[int, typer.Option(help="Of the pages.")] = 20250,
    threads: ThreadsOption = None,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2000,
    output: OutputOption = None,
) -> None:
    """Measure a cropper and print the table; the file gets every outcome, too."""
    settings = {name: str(value) for name, value in locals().items() if name != "output"}
    options = PageOptions(width, height, split="heldout", absent=0.0)
    options = replace(options, min_text=min_text, max_text=max_text)
    try:
        rows = rendered_test(pages, seed, options).rows
    except DataError as error:
        raise typer.BadParameter(str(error)) from error
    stand_in = StandIn(side=side, reader=OcrReader(threads=threads))
    with load_cropper(cropper) as loaded:
        outcomes = measure(track(rows, description="asking"), loaded, stand_in, seed)
    summary: dict[str, Any] = {"heldout_fonts": len(find_fonts("heldout"))}
    summary |= summarise(outcomes, resamples, seed)
    show(summary, Console())
    if output:
        content = {"settings": settings, **summary, "outcomes": [asdict(o) for o in outcomes]}
        output.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
