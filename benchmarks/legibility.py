"""Does the crop make the answer readable? Share of answers right with and without, on test pages.

The target is the reading stand-in of `cropzoom.evaluate.standin`, which sees pages and crops at
448 px. Pages come from the project's renderer, with fonts and words that training never uses.
Compared: no crop, crops of the cropper's size in the centre and at random, the cropper's own,
and the right one (oracle). Two measures:

  answered  the stand-in's reply is the answer (it is asked in the page's own wording, since a
            rule can't know that "what do I pay" means "Total"; the cropper gets the question)
  legible   the answer is read, correctly and in full, at its place, in the page or in the crop

    python benchmarks/legibility.py --pages 80 --output legibility.json
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cropzoom.cropper import Cropper, load_cropper
from cropzoom.evaluate.answers import is_exact, normalise
from cropzoom.evaluate.baselines import centre_box, oracle_box, random_box
from cropzoom.evaluate.ocr import OcrReader
from cropzoom.evaluate.standin import Page, StandIn, pick_answer
from cropzoom.geometry import Box

WAYS = ("none", "centre", "random", "cropper", "oracle")
MEASURES = ("answered", "legible")


@dataclass(frozen=True)
class Sample:
    """A question about a page. Give the same image object for all questions about one page.

    Args:
        image: upright RGB.
        question: what the cropper is given.
        answer: what counts as right.
        region: around key and value.
        value: around the value alone.
        key: the page's own words for what is asked; the stand-in gets the question where empty.
        kind: of question, for the breakdown.
    """

    image: Image.Image
    question: str
    answer: str
    region: Box
    value: Box
    key: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of one sample: per way, the two measures and the crop's area."""

    page: int
    kind: str
    question: str
    answer: str
    hit: bool
    confidence: float
    milliseconds: float
    answered: dict[str, bool]
    legible: dict[str, bool]
    area: dict[str, float]


def rendered_samples(
    pages: int, width: int, height: int, seed: int, text: tuple[float, float]
) -> Iterator[Sample]:
    """Yield questions about pages of the project's renderer, held-out fonts and words."""
    from cropzoom.trainer.synthetic import PageOptions, render_page

    # Text up to 16 px on a page of 1024 px is 7 px and less for the target.
    options = PageOptions(
        width=width, height=height, split="heldout", min_text=text[0], max_text=text[1], absent=0.0
    )
    made = number = 0
    while made < pages:
        page = render_page(random.Random(f"{seed}:{number}"), options)
        number += 1
        made += bool(page.questions)
        image = page.image.convert("RGB")
        for asked in page.questions:
            field = next(field for field in page.fields if field.value_box == asked.value_box)
            yield Sample(
                image=image,
                question=asked.text,
                answer=asked.answer,
                region=_box(asked.region, width, height),
                value=_box(asked.value_box, width, height),
                key=f'"{field.key}"',
                kind=field.kind,
            )


def _box(pixels: Sequence[float], width: int, height: int) -> Box:
    x0, y0, x1, y1 = pixels
    return Box.ordered(x0 / width, y0 / height, x1 / width, y1 / height, min_side=1e-3)


def measure(
    samples: Iterator[Sample], cropper: Cropper, stand_in: StandIn, seed: int
) -> list[Outcome]:
    """Ask every sample in every way."""
    generator = random.Random(seed)
    outcomes, pages = [], -1
    last: Image.Image | None = None
    for sample in samples:
        pages += sample.image is not last
        last = sample.image
        start = time.perf_counter()
        crops = cropper.predict(sample.image, sample.question)
        spent = (time.perf_counter() - start) * 1000
        oracle = oracle_box(sample.region, *sample.image.size)
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
        seen = {way: _readings(sample.image, box, stand_in) for way, box in boxes.items()}
        asked = sample.key or sample.question
        replies = {
            way: pick_answer(asked, [page for page, _ in views]) for way, views in seen.items()
        }
        outcomes.append(
            Outcome(
                page=pages,
                kind=sample.kind,
                question=sample.question,
                answer=sample.answer,
                hit=found is not None and sample.region.contains_point(*found.centre),
                confidence=crops[0].confidence if crops else 0.0,
                milliseconds=spent,
                answered={way: is_exact(replies[way].text, [sample.answer]) for way in WAYS},
                legible={way: _legible(sample, seen[way]) for way in WAYS},
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


def _legible(sample: Sample, readings: list[tuple[Page, Box]]) -> bool:
    """Tell whether the answer was read where it stands."""
    wanted = normalise(sample.answer)
    for page, shown in readings:
        text = ""
        for line in sorted(page.lines, key=lambda line: line.box.x0):
            y = sample.value.centre[1]
            left = shown.x0 + line.box.x0 * shown.width
            right = shown.x0 + line.box.x1 * shown.width
            top = shown.y0 + line.box.y0 * shown.height
            bottom = shown.y0 + line.box.y1 * shown.height
            if top <= y <= bottom and left < sample.value.x1 and right > sample.value.x0:
                text += normalise(line.text)
        if wanted and wanted in text:
            return True
    return False


def summarise(outcomes: list[Outcome], resamples: int, seed: int) -> dict[str, Any]:
    """Return shares with 95 % bootstrap intervals; whole pages are drawn, as their answers hang
    together."""
    generator = np.random.default_rng(seed)
    pages = sorted({outcome.page for outcome in outcomes})
    drawn = [generator.choice(pages, len(pages)) for _ in range(resamples)]
    sizes = _per_page(outcomes, pages, [True] * len(outcomes))

    def share(flags: list[bool]) -> dict[str, Any]:
        hits = _per_page(outcomes, pages, flags)
        ratios = [hits[draw].sum() / sizes[draw].sum() for draw in drawn]
        return {"mean": float(np.mean(flags)), "interval": _interval(ratios)}

    def gap(name: str) -> dict[str, Any]:
        counts = {
            way: _per_page(outcomes, pages, [getattr(o, name)[way] for o in outcomes])
            for way in WAYS
        }

        def closed(draw: np.ndarray) -> float:
            none, own, right = (counts[way][draw].sum() for way in ("none", "cropper", "oracle"))
            return float((own - none) / (right - none)) if right > none else float("nan")

        return {
            "mean": closed(np.array(pages)),
            "interval": _interval([closed(draw) for draw in drawn]),
        }

    kinds = sorted({outcome.kind for outcome in outcomes})
    return {
        "pages": len(pages),
        "questions": len(outcomes),
        "centre_in_region": share([outcome.hit for outcome in outcomes]),
        "mean_area": {way: float(np.mean([o.area[way] for o in outcomes])) for way in WAYS},
        "median_milliseconds": float(np.median([outcome.milliseconds for outcome in outcomes])),
        **{
            name: {
                **{way: share([getattr(o, name)[way] for o in outcomes]) for way in WAYS},
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


def _per_page(outcomes: list[Outcome], pages: list[int], flags: list[bool]) -> np.ndarray:
    counts = np.zeros(len(pages))
    for outcome, flag in zip(outcomes, flags, strict=True):
        counts[outcome.page] += flag
    return counts


def _interval(values: list[float]) -> list[float]:
    return [float(value) for value in np.nanpercentile(values, [2.5, 97.5])]


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


def main() -> None:
    """Measure a cropper and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cropper", default="nano", help="name or folder")
    parser.add_argument("--pages", type=int, default=80)
    parser.add_argument("--width", type=int, default=768, help="of a page, px")
    parser.add_argument("--height", type=int, default=1024, help="of a page, px")
    # On an A4 page of 1024 px, 10 to 16 px are 8 to 13 pt: what print is set in.
    parser.add_argument("--min-text", type=float, default=10.0, help="smallest body text, px")
    parser.add_argument("--max-text", type=float, default=16.0, help="largest body text, px")
    parser.add_argument("--side", type=int, default=448, help="what the target sees, px")
    parser.add_argument("--seed", type=int, default=20250)
    parser.add_argument("--threads", type=int, default=None, help="of the text reader")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--output", type=Path, help="JSON file with the summary and every outcome")
    arguments = parser.parse_args()
    from cropzoom.trainer.synthetic.fonts import find_fonts

    fonts = len(find_fonts("heldout"))
    if not fonts:
        parser.error("no held-out fonts on this machine; install those in trainer/nano/FONTS.txt")
    samples = list(
        rendered_samples(
            arguments.pages,
            arguments.width,
            arguments.height,
            arguments.seed,
            (arguments.min_text, arguments.max_text),
        )
    )
    stand_in = StandIn(side=arguments.side, reader=OcrReader(threads=arguments.threads))
    with load_cropper(arguments.cropper) as cropper:
        outcomes = measure(track(samples, description="asking"), cropper, stand_in, arguments.seed)
    summary = {"heldout_fonts": fonts}
    summary |= summarise(outcomes, arguments.resamples, arguments.seed)
    show(summary, Console())
    if arguments.output:
        settings = {key: str(value) for key, value in vars(arguments).items()}
        content = {"settings": settings, **summary, "outcomes": [asdict(o) for o in outcomes]}
        arguments.output.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
