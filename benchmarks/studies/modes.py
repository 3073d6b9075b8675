"""Do answers survive when thumbnails and crops go out in place of pictures, and what is saved?

    modes.py tune --receipts FOLDER --output benchmarks/results/modes_tuning.json
    modes.py measure --receipts FOLDER --output benchmarks/results/modes.json
    modes.py told --receipts FOLDER --output benchmarks/results/modes_told.json

Rendered pages are asked about by the stand-in reader (`cropzoom.reading.standin`), which sees them
at 1,568 px, in the page's own words. FOLDER has the sets that `trainer/nano/real_split.py` tells
of; receipts have no labels for what is asked, so there a text reader (rapidocr) reads what is sent,
and an answer counts where it stands in what was read. Tokens are Claude's up to 4.6, which sees
1,568 px. `told` has a language model answer, SmolLM2-135M-Instruct, which is told what was read of
the receipts as they are and in `replace`. `tune` looks at other pages and shops than `measure`, and
at places only: whether a crop shows the answer whole. Rendered pages, and what the reader reads by
the pixels of the picture, are kept beside and in `--cache`, so another cropper is measured in
minutes; remove them where pages are drawn in another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from sent_pictures import (
    MODEL,
    SIDE,
    SMALL,
    Asked,
    Bench,
    CachedReader,
    receipts,
    rendered,
    thumbnail_alone,
)
from study import CropperOption, OutputOption, markdown, percent, report

from cropzoom import load_cropper
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.evaluate.summary import non_inferiority
from cropzoom.models import sight
from cropzoom.options import ZoomOptions
from cropzoom.reading.answers import is_contained
from cropzoom.reading.ocr import OcrReader
from cropzoom.trainer.rewards.readout import PACKAGE, FrozenReader

RESULTS = ("modes", "modes_told", "modes_tuning")
MARGIN = 0.01

ALONE = "thumbnail alone"
# At which side pictures are seen, and what goes out there.
WAYS: dict[str, tuple[dict[str, ZoomOptions | None], int]] = {
    "at 1568": (
        {
            "full picture": None,
            ALONE: None,
            "replace": ZoomOptions(mode="replace", target_side=0),
        },
        SIDE,
    ),
    "at 448": (
        {
            "full picture": None,
            "add": ZoomOptions(target_side=SMALL),
            "stitch": ZoomOptions(mode="stitch", target_side=SMALL),
        },
        SMALL,
    ),
}
# What `tune` tries, and the line above which a crop goes out.
THUMBNAILS = (256, 448)
CROPS = ((1, 0.0), (1, 0.15), (2, 0.0))
CONFIDENCES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8)
_SHOWN = (0.0, 0.3, 0.4, 0.6)

ReceiptsOption = Annotated[Path | None, typer.Option("--receipts", help="Real pages, if any.")]
PagesOption = Annotated[int, typer.Option(help="Rendered ones, with up to 4 questions each.")]
CacheOption = Annotated[Path, typer.Option(help="Of what was read.")]
_CACHE = Path("runs/modes.sqlite")
app = typer.Typer()


@dataclass(frozen=True)
class Outcome:
    """What came of a question: whether the answer was read, what it cost, whether a crop went."""

    right: bool
    tokens: int
    crop: bool


@app.command()
def tune(
    pages: PagesOption = 15,
    seed: int = 41,
    receipts_: ReceiptsOption = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = _CACHE,
    output: OutputOption = None,
) -> None:
    """Tokens against answers that are shown whole, for thumbnails, crops and confidences."""
    bench = Bench(load_cropper(cropper), OcrReader())
    sets = {"rendered": rendered(pages, seed, cache)}
    if receipts_ is not None:
        sets["receipts"] = receipts(receipts_, "choice")
    results: dict[str, Any] = {"cropper": bench.name, "seed": seed, "sets": {}}
    for name, questions in sets.items():
        curve = [
            point
            for side in THUMBNAILS
            for count, padding in CROPS
            for point in _points(bench, questions, side, count, padding)
        ]
        results["sets"][name] = {"questions": len(questions), "curve": curve}
    report(results, [_curve(results)], output)


def _points(
    bench: Bench, questions: Sequence[Asked], side: int, count: int, padding: float
) -> list[dict[str, float]]:
    options = ZoomOptions(
        mode="replace",
        thumbnail_side=side,
        max_crops=count,
        padding=padding,
        min_confidence=0.0,
        max_area=1.0,
    )
    sent = [bench.send(asked, options) for asked in questions]
    whole = [sight(MODEL, asked.size).tokens for asked in questions]
    points: list[dict[str, float]] = []
    for least in CONFIDENCES:
        goes = [bool(one.boxes) and one.confidence >= least for one in sent]
        tokens = sum(
            one.tokens if out else full for one, full, out in zip(sent, whole, goes, strict=True)
        )
        lost = sum(
            out and not any(box.covers(asked.value) for box in one.boxes)
            for asked, one, out in zip(questions, sent, goes, strict=True)
        )
        points.append(
            {
                "thumbnail": side,
                "crops": count,
                "padding": padding,
                "min_confidence": least,
                "tokens": tokens / sum(whole),
                "shown": 1 - lost / len(questions),
                "as_it_is": 1 - sum(goes) / len(questions),
            }
        )
    return points


@app.command()
def measure(
    pages: PagesOption = 80,
    seed: int = 7,
    receipts_: ReceiptsOption = None,
    pictures: Annotated[int | None, typer.Option(help="Most receipts; all by default.")] = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = _CACHE,
    output: OutputOption = None,
) -> None:
    """Answers and tokens with the defaults, and what stitching keeps at 448 px."""
    bench = Bench(load_cropper(cropper), CachedReader(cache))
    sets: dict[str, list[Asked]] = {}
    if receipts_ is not None:
        sets["receipts"] = receipts(receipts_, "validation", pictures)
    sets["rendered"] = rendered(pages, seed, cache)
    results: dict[str, Any] = {
        "cropper": bench.name,
        "seed": seed,
        "model": MODEL,
        "margin": MARGIN,
        "sets": {name: {} for name in sets},
    }
    for at, (ways, seen) in WAYS.items():
        for name, questions in sets.items():
            own = outcomes(bench, questions, ways, seen)
            results["sets"][name][at] = figures_of(questions, own)
            # Something to look at, and to keep, before all of it is done.
            report(results, _measured(results).values(), output)


@app.command()
def told(
    receipts_: Annotated[Path, typer.Option("--receipts", help="Real pages.")],
    pictures: Annotated[int | None, typer.Option(help="Most receipts; all by default.")] = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = _CACHE,
    model: Annotated[str | None, typer.Option(help="None: SmolLM2-135M-Instruct.")] = None,
    output: OutputOption = None,
) -> None:
    """Answers of a language model that is told what is read in what goes out."""
    bench = Bench(load_cropper(cropper), CachedReader(cache))
    questions = receipts(receipts_, "validation", pictures)
    ways, _ = WAYS["at 1568"]
    reader = FrozenReader.load(model, page_tokens=1024)
    results: dict[str, list[Outcome]] = {way: [] for way in ways}
    for asked in questions:
        for way, options in ways.items():
            sent = thumbnail_alone(asked) if way == ALONE else bench.send(asked, options)
            page, *parts = bench.texts(sent.urls, SIDE)
            answer = reader.answer(page, "\n".join(parts), asked.question)
            right = is_contained(answer, asked.answers)
            results[way].append(Outcome(right, sent.tokens, bool(sent.boxes)))
    figures: dict[str, Any] = {
        "cropper": bench.name,
        "model": MODEL,
        "margin": MARGIN,
        "reader": model or PACKAGE,
        "sets": {"told": {"at 1568": figures_of(questions, results)}},
    }
    report(figures, [_measured(figures)["told"]], output)


def outcomes(
    bench: Bench, questions: Sequence[Asked], ways: Mapping[str, ZoomOptions | None], side: int
) -> dict[str, list[Outcome]]:
    """Return what comes of each question in each way, at the side at which pictures are seen."""
    results: dict[str, list[Outcome]] = {way: [] for way in ways}
    for asked in questions:
        for way, options in ways.items():
            sent = thumbnail_alone(asked) if way == ALONE else bench.send(asked, options)
            right = bench.right(asked, sent.urls, side)
            results[way].append(Outcome(right, sent.tokens, bool(sent.boxes)))
    return results


def figures_of(
    questions: Sequence[Asked], results: Mapping[str, Sequence[Outcome]]
) -> dict[str, Any]:
    """Return the figures of each way; the first is what the others are compared with."""
    draws = PictureBootstrap([asked.page for asked in questions])
    first = next(iter(results.values()))
    before, whole = [one.right for one in first], sum(one.tokens for one in first)
    gained: list[int] = []
    figures: dict[str, Any] = {}
    for way, own in results.items():
        right = [one.right for one in own]
        tokens = sum(one.tokens for one in own)
        broken = [old and not new for old, new in zip(before, right, strict=True)]
        mended = [new and not old for old, new in zip(before, right, strict=True)]
        gains = [new - old for old, new in zip(before, right, strict=True)]
        figures[way] = {
            "answers": draws.share(right).to_dict(),
            "tokens": tokens / len(questions),
            "share": tokens / whole,
            "with_crop": sum(one.crop for one in own) / len(questions),
            "broken": sum(broken),
            "mended": sum(mended),
            "no_worse": non_inferiority(broken, mended, draws, MARGIN),
        }
        if way == "add":
            gained = gains
        if way == "stitch" and gained:
            figures[way]["of_add"] = draws.share(gains, gained).to_dict()
    pages = len({asked.page for asked in questions})
    return {"questions": len(questions), "pages": pages, "ways": figures}


def tables(
    results: Mapping[str, Any], told: Mapping[str, Any], tuning: Mapping[str, Any]
) -> dict[str, str]:
    """Return the page's tables."""
    return {**_measured(told), **_measured(results), "curve": _curve(tuning)}


def _measured(results: Mapping[str, Any]) -> dict[str, str]:
    head = ["", "answers", "image tokens", "difference, points", "verdict", "broke, mended"]
    shown = {}
    for name, figures in results["sets"].items():
        if "at 1568" not in figures:
            continue
        rows = []
        for way, row in figures["at 1568"]["ways"].items():
            test = row["no_worse"]
            low, high = (100 * end for end in test["interval"])
            compared = [
                f"{100 * test['difference']:+.1f} [{low:+.1f}, {high:+.1f}]",
                test["verdict"],
                f"{row['broken']}, {row['mended']}",
            ]
            rows.append(
                [
                    way if " " in way else f"`{way}`",
                    percent(row["answers"]),
                    f"{row['tokens']:,.0f} ({row['share']:.1%})",
                    *(compared if way != "full picture" else ["", "", ""]),
                ]
            )
        own = figures["at 1568"]
        head[0] = f"{own['questions']} questions about {own['pages']} pages"
        shown[name] = markdown(head, rows)
    head = ["", "full picture", "`add`", "`stitch`", "of what `add` gains"]
    rows = []
    for name, figures in results["sets"].items():
        if "at 448" in figures:
            own = figures["at 448"]
            rows.append(
                [
                    f"{name}, {own['questions']} questions about {own['pages']} pages",
                    *(percent(row["answers"]) for row in own["ways"].values()),
                    percent(own["ways"]["stitch"]["of_add"]),
                ]
            )
    return {**shown, "stitch": markdown(head, rows)}


def _curve(tuning: Mapping[str, Any]) -> str:
    sets = tuning["sets"]
    head = ["thumbnail, px", "crops", "padding", "`min_confidence`"]
    names = [f"{name} ({figures['questions']})" for name, figures in sets.items()]
    head += [f"{name}: {what}" for name in names for what in ("tokens", "shown", "as it is")]
    rows = []
    for points in zip(*(figures["curve"] for figures in sets.values()), strict=True):
        first = points[0]
        if first["min_confidence"] not in _SHOWN:
            continue
        cells = [str(first[key]) for key in ("thumbnail", "crops", "padding", "min_confidence")]
        for point in points:
            cells += [f"{point[key]:.1%}" for key in ("tokens", "shown", "as_it_is")]
        rows.append(cells)
    return markdown(head, rows)


if __name__ == "__main__":
    app()
