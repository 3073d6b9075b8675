"""Choose how nano's logits become boxes and confidences, on pages made for this purpose.

    python -m cropzoom.trainer.nano.calibrate runs/nano --pages 120 --output calibration.json

The pages are new ones with fonts and words of the *training* split: the held-out ones are for
measuring, not for choosing. Prints what each decoding would cover at which area, and the
temperature at which the confidence of a box is the chance that it is right.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from cropzoom.cropper.nano.nano_cropper import decode, preprocess
from cropzoom.cropper.nano.phoc import encode_question
from cropzoom.cropper.nano.pointer_spec import DecodeSpec, ImageSpec
from cropzoom.geometry import Box

from .export import JOIN, LONGEST_EDGE, MAX_UPSCALE, load_checkpoint
from .network import CELL, EDGE_BINS, Nano
from .pages import PageOptions, Question, render_page

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Of `min_confidence`, for the table of how many crops each lets through."""
START = DecodeSpec(
    cell=CELL, edge=EDGE_BINS, quantile=0.7, scale=1.25, pad_px=16.0, temperature=1.0, join=JOIN
)


SEEN = ImageSpec(LONGEST_EDGE, 32, 255, MAX_UPSCALE, math.inf)
"""Pages come to the net as in the exported cropper."""


@dataclass(frozen=True)
class Output:
    """The net's logits for one question about a page, which the net saw with `size` px.

    `region`: of key and value, in fractions of the page; None where nothing answers.
    """

    question: Question
    region: Box | None
    size: tuple[int, int]
    cells: np.ndarray
    absent: float
    edges: np.ndarray


def outputs(net: Nano, pages: int, seed: int, absent: float) -> Iterator[Output]:
    """Run the net over pages of several sizes with a longest side of 1024 px."""
    rng = random.Random(f"calibrate/{seed}")
    for _ in range(pages):
        width, height = rng.choice([(736, 1024), (1024, 736), (576, 1024), (1024, 1024)])
        options = PageOptions(width, height, questions=5, absent=absent)
        page = render_page(rng, options)
        if not page.questions:
            continue
        with torch.no_grad():
            pixels, size = preprocess(page.image, SEEN, SEEN.longest_edge)
            reading = net.pages(torch.from_numpy(pixels.astype(np.float32))[None, None])
            words, masks = zip(*(encode_question(q.text) for q in page.questions), strict=True)
            pointing = net.point(
                reading,
                torch.from_numpy(np.stack(words)),
                torch.from_numpy(np.stack(masks)),
                torch.zeros(len(words), dtype=torch.long),
            )
        for i, question in enumerate(page.questions):
            region = None
            if question.region is not None:
                x0, y0, x1, y1 = question.region
                region = Box.ordered(x0 / width, y0 / height, x1 / width, y1 / height)
            yield Output(
                question,
                region,
                size,
                pointing.cells[i].numpy(),
                float(pointing.absent[i]),
                pointing.edges[i].numpy(),
            )


@dataclass(frozen=True)
class Outcome:
    """What one decoding made of one answerable question."""

    hit: bool
    covered: bool
    area: float
    confidence: float


def outcome(output: Output, spec: DecodeSpec) -> Outcome:
    """Decode; `hit`: the box is centred in the region; `covered`: it shows the whole region."""
    (crop,) = decode(output.cells, output.absent, output.edges, output.size, spec, 1)
    wanted = output.region
    if wanted is None:
        return Outcome(False, False, crop.box.area, crop.confidence)
    shown = crop.box.intersection(wanted)
    covered = shown is not None and shown.area >= 0.97 * wanted.area
    hit = wanted.contains_point(*crop.box.centre)
    return Outcome(hit, covered, crop.box.area, crop.confidence)


def log_loss(results: list[Outcome]) -> float:
    """Of `confidence` as the chance of `hit`; natural logarithm, mean."""
    p = np.clip([r.confidence for r in results], 1e-4, 1 - 1e-4)
    hit = np.array([r.hit for r in results])
    return float(-np.where(hit, np.log(p), np.log(1 - p)).mean())


def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help="A folder that train.py wrote.")],
    pages: Annotated[int, typer.Option()] = 120,
    seed: Annotated[int, typer.Option()] = 1,
    temperature: Annotated[
        float | None, typer.Option(help="Whose confidences to write; the best when not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON with the confidences' table.")] = None,
) -> None:
    """Print both tables; see the module's docstring."""
    net, _ = load_checkpoint(checkpoint)
    all_outputs = list(outputs(net, pages, seed, absent=0.2))
    answerable = [o for o in all_outputs if not o.question.absent]
    print(f"{len(answerable)} answerable questions, {len(all_outputs) - len(answerable)} others")
    print("quantile scale pad_px join   hit  covered  mean area")
    specs = [
        replace(START, quantile=quantile, scale=scale, pad_px=pad)
        for quantile in (0.5, 0.6, 0.7, 0.8, 0.9)
        for scale, pad in ((1.0, 8.0), (1.1, 8.0), (1.1, 16.0), (1.25, 16.0), (1.25, 24.0))
    ]
    specs += [replace(START, join=join) for join in (None, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)]
    for spec in specs:
        results = [outcome(o, spec) for o in answerable]
        hit, covered, area = (
            float(np.mean([getattr(r, name) for r in results]))
            for name in ("hit", "covered", "area")
        )
        settings = f"{spec.quantile:8} {spec.scale:5} {spec.pad_px:6} {spec.join or '-':>4}"
        print(f"{settings} {hit:6.3f} {covered:7.3f} {area:9.4f}")
    print(
        "temperature  log loss  mean confidence (share of 0.2 and more): hits, misses, unanswerable"
    )
    found: dict[float, dict[str, Any]] = {}
    for value in (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5):
        spec = replace(START, temperature=value)
        results = [outcome(o, spec) for o in all_outputs]
        groups: dict[str, list[float]] = {"hits": [], "misses": [], "unanswerable": []}
        for o, r in zip(all_outputs, results, strict=True):
            name = "unanswerable" if o.question.absent else "hits" if r.hit else "misses"
            groups[name].append(r.confidence)
        found[value] = {
            "temperature": value,
            "log_loss": log_loss(results),
            "groups": {
                name: {
                    "questions": len(v),
                    "mean": float(np.mean(v)),
                    "above": {str(t): float(np.mean(np.array(v) >= t)) for t in THRESHOLDS},
                }
                for name, v in groups.items()
                if v
            },
        }
        shown = "  ".join(
            f"{g['mean']:.3f} ({g['above']['0.2']:.2f})" for g in found[value]["groups"].values()
        )
        print(f"{value:11} {found[value]['log_loss']:9.4f}  {shown}")
    if output is not None:
        best = temperature or min(found, key=lambda value: float(found[value]["log_loss"]))
        source = {"pages": pages, "seed": seed}
        output.write_text(json.dumps({"settings": source, **found[best]}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(calibrate)
