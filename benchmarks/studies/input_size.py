"""At what size should a cropper see a page? Hits and cost by input size, and rules that choose it.

nano is fully convolutional, so any size will do. Held-out pages of three sorts are looked at with
every size of `SIZES`; larger ones than the page is (times 1.1) change nothing. Rules are put
together from these looks: look again at a larger size where the first look is unsure; look again
at a window in the page's own pixels; a size that knows how high the text is (no rule for
practice, but a bound for those that guess it).

A rule is compared with what a fixed size would do at the same cost: between two sizes, with both
in turn. Cost is counted in megapixels of the net's input; its milliseconds are proportional.

    python benchmarks/studies/input_size.py --output benchmarks/results/input_size.json
"""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Annotated, Any

import typer
from PIL import Image
from rich.progress import track
from study import OutputOption, Question, ThreadsOption, cropper_name, markdown, percent, report

from cropzoom.cropper import load_cropper
from cropzoom.cropper.nano.nano_cropper import NanoCropper, preprocess
from cropzoom.data.row import Row
from cropzoom.errors import DataError
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.geometry import Box, Crop
from cropzoom.trainer.nano.pages import PageOptions
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test

SIZES = (512, 768, 1024, 1536, 2048, 2560)
WINDOW = 1024
"""Side of a second look, px of the page."""
LOOKS = 2
"""Most places that get a second look."""
HEIGHTS = (0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 12.0, 18.0, 27.0, 1e9)
"""Limits of the groups of text height, px of the net's input."""
FIRSTS = (1024, 1536)
"""Sizes after which windows are looked at."""
ALWAYS = 2.0
"""A confidence that no look has."""
LEGIBLE = 9.0
"""Text of this height, px, is large enough for the net: what the rule that knows it aims at."""

_PAGE = PageOptions(split="heldout", min_text=10.0, max_text=16.0, absent=0.0, questions=2)
SETS = {
    "page": _PAGE,
    "dense": replace(_PAGE, width=1800, height=2500, min_text=8.0, max_text=12.0),
    "scan": replace(_PAGE, width=1800, height=2500, min_text=16.0, max_text=40.0),
}
NAMES = {
    "page": "page: 768 x 1024 px, text 10-16 px",
    "dense": "dense: 1800 x 2500 px, text 8-12 px",
    "scan": "scan: 1800 x 2500 px, text 16-40 px",
}


@dataclass(frozen=True)
class Look:
    """What one or several runs of the net found, and took.

    Args:
        box: of the page.
        confidence: the cropper's.
        scale: px of the net's input for each px of the page.
        cost: megapixels of the net's input, padding included.
        milliseconds: of `predict`.
    """

    box: Box
    confidence: float
    scale: float
    cost: float
    milliseconds: float


NOTHING = Crop(Box(0, 0, 1, 1), 0.0)
"""Where a cropper proposes no box, the whole page is what one has."""


@dataclass(frozen=True)
class Asked(Question):
    """A question, and every look at its page.

    Args:
        sort: of the page, a key of `SETS`.
        height: of the value, px of the page.
        side: longest side of the page, px.
        fixed: by size.
        again: by size of the first look, looks at one, two, ... windows round its best boxes.
    """

    sort: str
    height: float
    side: int
    fixed: dict[int, Look]
    again: dict[int, list[Look]]


def surest(looks: Sequence[Look]) -> Look:
    """Return what the surest of several looks found, at the cost of all."""
    return replace(
        max(looks, key=lambda look: look.confidence),
        cost=sum(look.cost for look in looks),
        milliseconds=sum(look.milliseconds for look in looks),
    )


def upwards(first: int, then: int, sure: float) -> Callable[[Asked], Look]:
    """Look at a larger size where the first look is less than `sure`."""

    def rule(asked: Asked) -> Look:
        low, high = asked.fixed[first], asked.fixed[then]
        return low if low.confidence >= sure or high.cost <= low.cost else surest([low, high])

    return rule


def closer(first: int, windows: int, sure: float) -> Callable[[Asked], Look]:
    """Look again at windows of a page that the first look shrank and was less than `sure` of."""

    def rule(asked: Asked) -> Look:
        low = asked.fixed[first]
        if low.confidence >= sure or asked.side <= first:
            return low
        return surest([low, *asked.again[first][:windows]])

    return rule


def knowing(asked: Asked) -> Look:
    """Look at the smallest size at which the text is legible."""
    looks = asked.fixed.values()
    large = [look for look in looks if look.scale * asked.height >= LEGIBLE]
    return min(large, key=lambda look: look.cost) if large else asked.fixed[max(asked.fixed)]


RULES: dict[str, Callable[[Asked], Look]] = {
    "768, then 1536 where below 0.5": upwards(768, 1536, 0.5),
    "768, then 2048 where below 0.5": upwards(768, 2048, 0.5),
    "1024, then 2048 where below 0.5": upwards(1024, 2048, 0.5),
    "1024, then 2560 where below 0.5": upwards(1024, 2560, 0.5),
    "1024, then a window": closer(1024, 1, ALWAYS),
    "1024, then two windows": closer(1024, 2, ALWAYS),
    "1536, then a window where below 0.5": closer(1536, 1, 0.5),
    f"smallest with text of {LEGIBLE:.0f} px": knowing,
}


def look(cropper: NanoCropper, image: Image.Image, question: str, count: int) -> list[Look]:
    """Return what one run finds, at most `count` boxes; each carries the cost of the run."""
    start = time.perf_counter()
    crops = cropper.predict(image, question, count) or [NOTHING]
    spent = (time.perf_counter() - start) * 1000
    pixels, (width, _) = preprocess(image, cropper.manifest.image, cropper.longest_edge)
    took = width / image.width, pixels.size / 1e6, spent
    return [Look(crop.box, crop.confidence, *took) for crop in crops]


def window(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the pixels of the window round a box's centre, shifted to lie on the page."""
    across, down = min(WINDOW, width), min(WINDOW, height)
    left = min(max(0, round(box.centre[0] * width - across / 2)), width - across)
    top = min(max(0, round(box.centre[1] * height - down / 2)), height - down)
    return left, top, left + across, top + down


def on_page(box: Box, part: tuple[int, int, int, int], width: int, height: int) -> Box:
    """Return a box of a window as a box of its page."""
    left, top, right, bottom = part
    across, down = right - left, bottom - top
    return Box.ordered(
        (left + box.x0 * across) / width,
        (top + box.y0 * down) / height,
        (left + box.x1 * across) / width,
        (top + box.y1 * down) / height,
        min_side=1e-4,
    )


def ask(row: Row, sort: str, croppers: dict[int, NanoCropper], firsts: Sequence[int]) -> Asked:
    """Look at a row's page with every size, and at windows after those in `firsts`."""
    assert row.box is not None and row.value is not None
    image = row.load()
    width, height = image.size
    fixed: dict[int, Look] = {}
    again: dict[int, list[Look]] = {}
    for size, cropper in croppers.items():
        largest = max(fixed, default=0)
        if largest >= cropper.manifest.image.max_upscale * max(image.size):
            # The page is not enlarged further, so this is the same input.
            fixed[size], again[size] = fixed[largest], []
            continue
        found = look(cropper, image, row.question, LOOKS if size in firsts else 1)
        fixed[size] = found[0]
        if size in firsts:
            again[size] = []
            for first in found if max(image.size) > size else []:
                part = window(first.box, width, height)
                near = look(croppers[WINDOW], image.crop(part), row.question, 1)[0]
                again[size].append(replace(near, box=on_page(near.box, part, width, height)))
    return Asked(
        f"{sort} {row.image_id}",
        row.question,
        row.box,
        row.value,
        sort,
        row.value.height * height,
        max(image.size),
        fixed,
        again,
    )


def summarise(asked: list[Asked], resamples: int = 2000) -> dict[str, Any]:
    """Return hits and costs of sizes and of rules, and hits by how high the net sees the text."""
    draws = PictureBootstrap([one.page for one in asked], resamples=resamples)
    parts = {sort: [one.sort == sort for one in asked] for sort in SETS}
    parts["all"] = [True] * len(asked)

    def share(values: Sequence[float], of: Sequence[float]) -> dict[str, object]:
        return draws.share([v * o for v, o in zip(values, of, strict=True)], of).to_dict()

    def entry(looks: Sequence[Look], fixed: dict[int, list[Look]]) -> dict[str, Any]:
        hits = [float(one.hit(look.box)) for one, look in zip(asked, looks, strict=True)]
        whole = [float(one.whole(look.box)) for one, look in zip(asked, looks, strict=True)]
        found = {}
        for name, of in parts.items():
            rival = mixture(asked, looks, fixed, of)
            found[name] = {
                "centre": share(hits, of),
                "whole": share(whole, of),
                "cost": _mean([look.cost for look in looks], of),
                "milliseconds": _mean([look.milliseconds for look in looks], of),
                "gain": share([hit - other for hit, other in zip(hits, rival, strict=True)], of),
            }
        return found

    fixed = {size: [one.fixed[size] for one in asked] for size in asked[0].fixed}
    return {
        "questions": {name: sum(of) for name, of in parts.items()},
        "sizes": {str(size): entry(looks, fixed) for size, looks in fixed.items()},
        "rules": {name: entry([rule(one) for one in asked], fixed) for name, rule in RULES.items()},
        "heights": _by_height(asked, draws),
    }


def _mean(values: Sequence[float], of: Sequence[bool]) -> float:
    return fmean(value for value, inside in zip(values, of, strict=True) if inside)


def mixture(
    asked: Sequence[Asked],
    looks: Sequence[Look],
    fixed: dict[int, list[Look]],
    of: Sequence[bool],
) -> list[float]:
    """Return each question's chance of a hit with the two fixed sizes that cost what looks do.

    They take turns so that their mean cost over `of` is that of `looks`; beyond the cheapest and
    the dearest size, that one alone.
    """
    costs = {size: _mean([look.cost for look in found], of) for size, found in fixed.items()}
    sizes = sorted(costs, key=lambda size: costs[size])
    wanted = _mean([look.cost for look in looks], of)
    above = bisect([costs[size] for size in sizes], wanted)
    low, high = sizes[max(0, above - 1)], sizes[min(above, len(sizes) - 1)]
    span = costs[high] - costs[low]
    turns = min(1.0, max(0.0, (wanted - costs[low]) / span)) if span else 0.0
    return [
        (1 - turns) * one.hit(one.fixed[low].box) + turns * one.hit(one.fixed[high].box)
        for one in asked
    ]


def _by_height(asked: list[Asked], draws: PictureBootstrap) -> dict[str, dict[str, Any]]:
    """Hits of all fixed sizes together, by the height of the value in the net's input."""
    found = {}
    for low, high in pairwise(HEIGHTS):
        hits, looks = [], []
        for one in asked:
            inside = [
                one.hit(look.box)
                for look in one.fixed.values()
                if low <= one.height * look.scale < high
            ]
            hits.append(sum(inside))
            looks.append(len(inside))
        label = f"{low:g} px and more" if high == HEIGHTS[-1] else f"{low:g} to {high:g} px"
        found[label] = {"looks": sum(looks), "centre": draws.share(hits, looks).to_dict()}
    return found


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the tables `sizes`, `heights` and `rules`."""
    large = [sort for sort in SETS if sort != "page"]
    sizes = [
        [
            size,
            *(percent(one[sort]["centre"]) for sort in SETS),
            *(percent(one[sort]["whole"]) for sort in large),
            f"{one['all']['cost']:.2f}",
            f"{one['dense']['milliseconds']:.0f}",
        ]
        for size, one in results["sizes"].items()
    ]
    count = results["questions"]
    heights = [
        [label, percent(one["centre"]), str(one["looks"])]
        for label, one in results["heights"].items()
    ]
    rules = [
        [
            name,
            *(percent(one[sort]["centre"]) for sort in SETS),
            percent(one["all"]["whole"]),
            f"{one['all']['cost']:.2f}",
            *(_points(one[sort]["gain"]) for sort in ("all", "dense")),
        ]
        for name, one in results["rules"].items()
    ]
    sorts = [f"{NAMES[sort]} ({count[sort]})" for sort in SETS]
    whole = [f"{sort}: value whole" for sort in large]
    gains = ["against fixed sizes of that cost", "dense alone"]
    return {
        "sizes": markdown(["longest side, px", *sorts, *whole, "megapixels", "ms, dense"], sizes),
        "heights": markdown(["text in the net's input", "centre in region", "looks"], heights),
        "rules": markdown(["rule", *SETS, "value whole", "megapixels", *gains], rules),
    }


def _points(gain: dict[str, Any]) -> str:
    low, high = gain["interval"]
    return f"{100 * gain['mean']:+.1f} [{100 * low:+.0f}, {100 * high:+.0f}]"


def main(
    cropper: Annotated[str, typer.Option(help="As for load_cropper; of nano's kind.")] = "nano",
    pages: Annotated[int, typer.Option(help="Of each sort.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the pages.")] = 41,
    threads: ThreadsOption = 1,
    output: OutputOption = None,
) -> None:
    """Print hits and costs by input size, and of rules that choose it."""
    croppers = {}
    for size in SIZES:
        loaded = load_cropper(cropper, threads=threads, longest_edge=size)
        if not isinstance(loaded, NanoCropper):
            raise typer.BadParameter(f"{cropper} has a fixed input size; take one of nano's kind")
        croppers[size] = loaded
    asked = []
    for sort, options in SETS.items():
        try:
            rows = rendered_test(pages, seed, options).rows
        except DataError as error:
            raise typer.BadParameter(str(error)) from error
        asked += [ask(row, sort, croppers, FIRSTS) for row in track(rows, description=sort)]
    settings = {"cropper": cropper_name(loaded), "pages": pages, "seed": seed, "threads": threads}
    results = {"settings": settings, **summarise(asked)}
    report(results, tables(results).values(), output)


if __name__ == "__main__":
    typer.run(main)
