"""What a reader can read: exact match and likelihood of the answer for many kinds of crops."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from pages import MARGIN, PAGE, Entry, Page, Pixels, draw_page, row_of, to_box

from cropzoom.geometry import Box
from cropzoom.trainer.rewards.accuracy import AnswerAccuracy
from cropzoom.trainer.rewards.crops import Look
from cropzoom.trainer.rewards.frozen_vlm import FrozenVlm
from cropzoom.trainer.rewards.likelihood import AnswerLikelihood

Kind = Callable[[random.Random, Page, Entry], Pixels | None]
_BINS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8)


def load_vlm(reader: Path) -> FrozenVlm:
    """Load a reader as any reward model is loaded; it is asked the bare question."""
    return FrozenVlm.load(str(reader), device="cpu", prompt="{question}", batch_size=64)


def rewards_of(vlm: FrozenVlm) -> tuple[AnswerAccuracy, AnswerLikelihood]:
    """The trainer's two rewards; crops come as they are cut, for the reader shrinks all of them."""
    accuracy = AnswerAccuracy(vlm, metric="exact", max_new_tokens=4, min_crop_side=0)
    return accuracy, AnswerLikelihood(vlm, min_crop_side=0)


def clipped(crop: Pixels) -> Pixels:
    """Cut a crop at the page's edges and round it outwards to whole px, as real crops are."""
    left, top = max(0, math.floor(crop[0])), max(0, math.floor(crop[1]))
    return left, top, min(PAGE, math.ceil(crop[2])), min(PAGE, math.ceil(crop[3]))


def scaled(crop: Pixels, wider: float, higher: float) -> Pixels:
    """Stretch a crop about its middle."""
    x, y = (crop[0] + crop[2]) / 2, (crop[1] + crop[3]) / 2
    width, height = (crop[2] - crop[0]) * wider / 2, (crop[3] - crop[1]) * higher / 2
    return clipped((x - width, y - height, x + width, y + height))


def moved(crop: Pixels, right: float, down: float) -> Pixels:
    """Shift a crop by px; what leaves the page is cut off, and half of the crop stays on it."""
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    left = min(max(crop[0] + right, -width / 2), PAGE - width / 2)
    top = min(max(crop[1] + down, -height / 2), PAGE - height / 2)
    return clipped((left, top, left + width, top + height))


def random_crop(rng: random.Random) -> Pixels:
    """Draw a crop of an ordinary size anywhere."""
    width, height = 46 * math.exp(rng.uniform(-0.6, 1)), 24 * math.exp(rng.uniform(-0.6, 1.3))
    left, top = rng.uniform(0, PAGE - width), rng.uniform(0, PAGE - height)
    return clipped((left, top, left + width, top + height))


def _beside(rng: random.Random, page: Page, entry: Entry) -> Pixels:
    return rng.choice([other for other in page.entries if other is not entry]).right_crop


def _near(rng: random.Random, _: Page, entry: Entry) -> Pixels:
    """Anything from the right crop to one that has little to do with it."""
    reach = rng.random() ** 1.5
    resized = scaled(
        entry.right_crop, math.exp(reach * rng.gauss(0, 0.6)), math.exp(reach * rng.gauss(0, 0.6))
    )
    return moved(resized, reach * rng.gauss(0, 20), reach * rng.gauss(0, 10))


KINDS: dict[str, Kind] = {
    "no crop": lambda *_: None,
    "random": lambda rng, *_: random_crop(rng),
    "another entry": _beside,
    "right": lambda *given: given[2].right_crop,
    "right, without margin": lambda *given: given[2].box,
    "value with margin": lambda *given: _padded(given[2].value_box),
    "2.5 times as wide": lambda *given: scaled(given[2].right_crop, 2.5, 1),
    "3 times as high": lambda *given: scaled(given[2].right_crop, 1, 3),
    "1.5 times as large": lambda *given: scaled(given[2].right_crop, 1.5, 1.5),
    "twice as large": lambda *given: scaled(given[2].right_crop, 2, 2),
    "near": _near,
}


def _padded(box: Pixels) -> Pixels:
    return clipped((box[0] - MARGIN, box[1] - MARGIN, box[2] + MARGIN, box[3] + MARGIN))


def measure(reader: Path, pages: int) -> dict[str, object]:
    """Ask a reader about fresh pages, with every kind of crop.

    Returns:
        For each kind the share of exact answers, the mean log-likelihood of the right answer
        (nats; guessing is -4.6) and the mean IoU with the right crop; over the "near" crops also
        the likelihood by IoU, and how well it tells crops that hold the value from others (AUC).
    """
    accuracy, likelihood = rewards_of(load_vlm(reader))
    results: dict[str, object] = {"pages": pages}
    for name, kind in KINDS.items():
        looks, overlaps, holding = [], [], []
        for index in range(pages):
            rng = random.Random(f"{name}/{index}")
            page = draw_page("measure", index)
            entry = rng.choice(page.entries)
            crop = kind(rng, page, entry)
            box = None if crop is None else to_box(crop)
            looks.append(Look(row_of(page, entry, f"measure/{index}"), page.image, box))
            if box is not None:
                overlaps.append(box.iou(to_box(entry.right_crop)))
                holding.append(holds(box, to_box(entry.value_box)))
        exact, likely = accuracy.worth(looks), likelihood.worth(looks)
        line = {"exact": round(fmean(exact), 3), "likelihood": round(fmean(likely), 2)}
        if overlaps:
            line["iou"] = round(fmean(overlaps), 2)
        results[name] = line
    results["likelihood by IoU"] = _by_overlap(overlaps, likely)
    results["AUC of holding the value"] = round(auc(likely, holding), 3)
    return results


def holds(box: Box, value: Box) -> bool:
    """Tell whether a box shows all of a value."""
    return box.x0 <= value.x0 and box.y0 <= value.y0 and value.x1 <= box.x1 and value.y1 <= box.y1


def _by_overlap(overlaps: Sequence[float], likely: Sequence[float]) -> dict[str, float]:
    groups: list[list[float]] = [[] for _ in range(len(_BINS) + 1)]
    for overlap, value in zip(overlaps, likely, strict=True):
        groups[bisect_left(_BINS, overlap)].append(value)
    names = [f"{low:g}-{high:g}" for low, high in zip((0, *_BINS), (*_BINS, 1), strict=True)]
    return {name: round(fmean(g), 2) for name, g in zip(names, groups, strict=True) if g}


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Chance that a positive has a higher score than a negative."""
    ranks = {
        index: rank for rank, index in enumerate(sorted(range(len(scores)), key=scores.__getitem__))
    }
    above = [ranks[index] for index, good in enumerate(positive) if good]
    good, bad = len(above), len(scores) - len(above)
    return (sum(above) - good * (good - 1) / 2) / (good * bad)
