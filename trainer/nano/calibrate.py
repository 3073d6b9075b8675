"""Choose how nano's logits become boxes and confidences, on pages kept for this.

    python -m cropzoom.trainer.nano.calibrate runs/nano --real FOLDER --output calibration.json

They are drawn pages with fonts and words of the *training* split, and the part of the real pages
that is neither trained on nor measured (`real_split.py`). Prints what each decoding would show
whole at which area, and the temperature at which the confidence of a box is the chance that it
holds the answer.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.nano_cropper import decode, preprocess
from cropzoom.cropper.nano.phoc import encode_question
from cropzoom.cropper.nano.pointer_spec import DecodeSpec, ImageSpec
from cropzoom.geometry import Box

from .checkpoint import load_checkpoint
from .decoding import CENTRE, LONGEST_EDGE, MAX_UPSCALE, PAD_PX, PRICE, SCALE
from .network import CELL, EDGE_BINS, Nano
from .pages import Page, PageOptions, render_page
from .pages.documents import render_document
from .real_pages import plain_page
from .real_split import read_pictures

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Of `min_confidence`, for the table of how many crops each lets through."""
TEMPERATURES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 1.8, 2.2)
START = DecodeSpec(CELL, EDGE_BINS, 0.5, SCALE, PAD_PX, 1.0, None, PRICE, CENTRE)
SEEN = ImageSpec(LONGEST_EDGE, 32, 255, MAX_UPSCALE, math.inf)
"""Pages come to the net as in the exported cropper."""


@dataclass(frozen=True)
class Output:
    """The net's logits for one question about a page, which the net saw with `size` px.

    `group`: drawn or a set of real pages; `value`: in fractions of the page, None where nothing
    answers.
    """

    group: str
    value: Box | None
    size: tuple[int, int]
    cells: np.ndarray
    absent: float
    edges: np.ndarray


def drawn_pages(count: int, seed: int) -> Iterator[tuple[str, Page]]:
    """Pages of several sizes with a longest side of 1024 px."""
    rng = random.Random(f"calibrate/{seed}")
    for _ in range(count):
        width, height = rng.choice([(736, 1024), (1024, 736), (576, 1024), (1024, 1024)])
        yield "drawn", render_page(rng, PageOptions(width, height, questions=5, absent=0.2))


def drawn_papers(count: int, seed: int) -> Iterator[tuple[str, Page]]:
    """Papers, whose questions are for kinds of things as often as for labels."""
    rng = random.Random(f"calibrate/papers/{seed}")
    for _ in range(count):
        width, height = rng.choice([(736, 1024), (800, 1120), (576, 1024)])
        options = PageOptions(width, height, min_text=9.0, max_text=16.0, questions=5, absent=0.2)
        yield "papers", render_document(rng, options)


def real_pages(folder: Path) -> Iterator[tuple[str, Page]]:
    """The real pages kept for choosing."""
    for picture in read_pictures(folder, "choice"):
        with Image.open(picture.path) as image:
            longest = max(image.size)
        yield picture.source, plain_page(picture, longest)


def outputs(net: Nano, meanings: Meanings | None, group: str, page: Page) -> Iterator[Output]:
    """Run the net over a page and its questions."""
    if not page.questions:
        return
    width, height = page.image.size
    pixels, size = preprocess(page.image, SEEN, SEEN.longest_edge)
    with torch.no_grad():
        view = net.pointer.view(net.pages(torch.from_numpy(pixels.astype(np.float32))[None, None]))
        for question in page.questions:
            words, mask = encode_question(question.text, meanings=meanings)
            count = max(1, int(mask.sum()))
            asked = net.questions(
                torch.from_numpy(words[None, :count]), torch.from_numpy(mask[None, :count])
            )
            pointing = net.pointer(view, None, asked)
            value = None
            if question.value_box is not None:
                x0, y0, x1, y1 = question.value_box
                value = Box.ordered(x0 / width, y0 / height, x1 / width, y1 / height)
            yield Output(
                group,
                value,
                size,
                pointing.cells[0].numpy(),
                float(pointing.absent[0, 0]),
                pointing.edges[0].numpy(),
            )


@dataclass(frozen=True)
class Outcome:
    """What one decoding made of one question; `whole`: the box holds the whole answer."""

    group: str
    answerable: bool
    whole: bool
    area: float
    confidence: float


def outcome(output: Output, spec: DecodeSpec) -> Outcome:
    """Decode one output."""
    (crop,) = decode(output.cells, output.absent, output.edges, output.size, spec, 1)
    wanted, box, slack = output.value, crop.box, 1e-3
    whole = wanted is not None and (
        box.x0 <= wanted.x0 + slack
        and box.y0 <= wanted.y0 + slack
        and box.x1 >= wanted.x1 - slack
        and box.y1 >= wanted.y1 - slack
    )
    return Outcome(output.group, wanted is not None, whole, crop.box.area, crop.confidence)


def log_loss(results: Sequence[Outcome]) -> float:
    """Of `confidence` as the chance of `whole`; natural logarithm, mean."""
    p = np.clip([r.confidence for r in results], 1e-4, 1 - 1e-4)
    whole = np.array([r.whole for r in results])
    return float(-np.where(whole, np.log(p), np.log(1 - p)).mean())


def confidences(results: Sequence[Outcome]) -> dict[str, Any]:
    """Mean confidence, and the share above each threshold, of right, wrong and unanswerable."""
    groups: dict[str, list[float]] = {"hits": [], "misses": [], "unanswerable": []}
    for r in results:
        name = "unanswerable" if not r.answerable else "hits" if r.whole else "misses"
        groups[name].append(r.confidence)
    return {
        name: {
            "questions": len(v),
            "mean": float(np.mean(v)),
            "above": {str(t): float(np.mean(np.array(v) >= t)) for t in THRESHOLDS},
        }
        for name, v in groups.items()
        if v
    }


def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help="A folder that train.py wrote.")],
    pages: Annotated[int, typer.Option(help="Drawn pages, and as many papers.")] = 60,
    real: Annotated[Path | None, typer.Option(help="Folder of real pages.")] = None,
    seed: Annotated[int, typer.Option()] = 1,
    temperature: Annotated[
        float | None, typer.Option(help="Whose confidences to write; the best when not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON with the confidences' table.")] = None,
) -> None:
    """Print both tables; see the module's docstring."""
    net, _, meanings = load_checkpoint(checkpoint)
    sources = [
        *drawn_pages(pages, seed),
        *drawn_papers(pages, seed),
        *(real_pages(real) if real else ()),
    ]
    said = [o for group, page in sources for o in outputs(net, meanings, group, page)]
    answerable = [o for o in said if o.value is not None]
    names = sorted({o.group for o in said})
    print(f"{len(answerable)} answerable questions, {len(said) - len(answerable)} others")
    print("price scale pad_px " + "  ".join(f"{name:>16}" for name in names) + "  (whole, area)")
    for price in (0.5, 1.0, 1.5, 2.0, 3.0, 5.0):
        for scale, pad in ((1.0, 8.0), (1.05, 10.0), (1.1, 12.0)):
            spec = replace(START, price=price, scale=scale, pad_px=pad)
            results = [outcome(o, spec) for o in answerable]
            shown = []
            for name in names:
                own = [r for r in results if r.group == name]
                whole, area = np.mean([r.whole for r in own]), np.mean([r.area for r in own])
                shown.append(f"{whole:8.3f} {area:7.4f}")
            print(f"{price:5} {scale:5} {pad:6} " + "  ".join(shown))
    print("temperature  log loss  mean confidence (share of 0.2 and more): hits, misses, no answer")
    tables: dict[float, dict[str, Any]] = {}
    for value in TEMPERATURES:
        results = [outcome(o, replace(START, temperature=value)) for o in said]
        tables[value] = {
            "temperature": value,
            "log_loss": log_loss(results),
            "groups": confidences(results),
        }
        shown = [
            f"{g['mean']:.3f} ({g['above']['0.2']:.2f})" for g in tables[value]["groups"].values()
        ]
        print(f"{value:11} {tables[value]['log_loss']:9.4f}  {'  '.join(shown)}")
    if output is not None:
        best = temperature or min(tables, key=lambda value: float(tables[value]["log_loss"]))
        settings = {"pages": pages, "real": real is not None, "seed": seed}
        output.write_text(json.dumps({"settings": settings, **tables[best]}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(calibrate)
