"""What the answers of an evaluation come to: scores, intervals, gains and losses, costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from cropzoom.data.row import Problem, Row
from cropzoom.data.test_set import TestSet
from cropzoom.evaluate.answer_file import Key, Outcome
from cropzoom.evaluate.intervals import PictureBootstrap, mcnemar, tango
from cropzoom.geometry import Box
from cropzoom.reading.metrics import cycle_accuracy

# Upper ends, as shares of the picture's area; evenly spaced by their logarithms.
_SIZES = ((0.0003, "under 0.03 %"), (0.001, "0.03 to 0.1 %"), (0.003, "0.1 to 0.3 %"),
          (0.01, "0.3 to 1 %"), (0.03, "1 to 3 %"), (1.0, "3 % and more"))  # fmt: skip
NO_BOX = "not known"

Prices = Mapping[str, tuple[float, float]]


def summarise(
    test: TestSet,
    outcomes: Mapping[Key, Outcome],
    targets: Sequence[str],
    croppers: Sequence[str],
    *,
    prices: Prices | None = None,
    margin: float = 0.01,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all figures as plain values, ready for `json.dumps`.

    Every estimate is {"mean", "interval"} with a 95 % bootstrap interval over pictures. A reply
    counts as right where it scores at least a half; with exact metrics that is the score itself.
    Failed requests have no score and are counted beside; pairs are the rows that both answered.

    Args:
        test: the rows.
        outcomes: of `evaluate`.
        targets, croppers: names, in the order to report.
        prices: dollars per million prompt and completion tokens, by target.
        margin: so much worse than without a crop, as a share of the answers, is not inferior.
        resamples, seed: of the bootstrap.
    """
    rows = {row.id: row for row in test.rows}
    failures = [
        {"row": outcome.row, "target": outcome.target, "cropper": outcome.cropper,
         "kind": outcome.failure, "detail": outcome.detail}
        for outcome in outcomes.values()
        if outcome.failure is not None and outcome.row in rows
    ]  # fmt: skip
    summary: dict[str, Any] = {
        "data": test.name,
        "metric": test.metric,
        "harness": test.harness,
        "rows": len(test.rows),
        "rows_without_answers": sum(not row.answers for row in test.rows),
        "problems": _counted(test.problems),
        "problem_rows": [vars(problem) for problem in test.problems],
        "failures": dict(Counter(str(failure["kind"]) for failure in failures)),
        "failed": failures,
        "margin": margin,
        "targets": {},
    }
    for target in targets:
        by_cropper = {
            cropper: [
                outcomes[key] for row in test.rows if (key := (row.id, target, cropper)) in outcomes
            ]
            for cropper in croppers
        }
        price = (prices or {}).get(target)
        summary["targets"][target] = {
            cropper: _figures(test, rows, cropper, by_cropper, price, margin, resamples, seed)
            for cropper in croppers
        }
    return summary


def _figures(
    test: TestSet,
    rows: Mapping[str, Row],
    cropper: str,
    by_cropper: Mapping[str, list[Outcome]],
    price: tuple[float, float] | None,
    margin: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    outcomes = by_cropper[cropper]
    done = [outcome for outcome in outcomes if outcome.failure is None]
    scored = [outcome for outcome in done if outcome.score is not None]
    draws = PictureBootstrap([outcome.image for outcome in scored], resamples=resamples, seed=seed)
    scores = [outcome.score or 0.0 for outcome in scored]
    figures: dict[str, Any] = {
        "asked": len(outcomes),
        "failed": len(outcomes) - len(done),
        "score": draws.share(scores).to_dict(),
        "right": draws.share([outcome.right for outcome in scored]).to_dict(),
        **_crops(done, rows),
        **_costs(done, price),
    }
    cycles = [rows[outcome.row].cycle for outcome in scored]
    if scored and all(cycles):
        figures["cycle_accuracy"] = cycle_accuracy(scores, cycles)
    if cropper != "none" and by_cropper.get("none"):
        figures["against_none"] = _paired(by_cropper["none"], scored, margin, resamples, seed)
        figures["image_tokens_share"] = _share_of_tokens(by_cropper["none"], done)
        if by_cropper.get("oracle") and cropper != "oracle":
            figures["gap_closed"] = _gap(by_cropper, cropper, resamples, seed)
    figures["by_size"] = _groups(scored, lambda outcome: _size(rows[outcome.row]))
    categories = _groups(scored, lambda outcome: rows[outcome.row].category)
    if set(categories) - {""}:
        figures["by_category"] = categories
    return figures


def _crops(done: Sequence[Outcome], rows: Mapping[str, Row]) -> dict[str, Any]:
    areas = [sum(Box(*box).area for box in outcome.boxes) for outcome in done if outcome.boxes]
    looked = [
        (Box(*outcome.boxes[0]), box)
        for outcome in done
        if outcome.boxes and (box := rows[outcome.row].box) is not None
    ]
    hits = sum(region.contains_point(*crop.centre) for crop, region in looked)
    with_box = sum(rows[outcome.row].box is not None for outcome in done)
    return {
        "with_crop": len(areas) / len(done) if done else None,
        "mean_area": fmean(areas) if areas else None,
        # of all rows whose box is known: a missing crop misses, too
        "centre_in_region": hits / with_box if with_box and areas else None,
        "no_crop": dict(Counter(outcome.reason for outcome in done if outcome.reason is not None)),
    }


def _costs(done: Sequence[Outcome], price: tuple[float, float] | None) -> dict[str, Any]:
    prompt = [outcome.prompt_tokens for outcome in done if outcome.prompt_tokens is not None]
    completion = [one.completion_tokens for one in done if one.completion_tokens is not None]
    images = [outcome.image_tokens for outcome in done if outcome.image_tokens is not None]
    costs: dict[str, Any] = {
        "milliseconds": median(outcome.milliseconds for outcome in done) if done else None,
        "crop_milliseconds": median(outcome.crop_milliseconds for outcome in done)
        if done
        else None,
        "prompt_tokens": fmean(prompt) if prompt else None,
        "completion_tokens": fmean(completion) if completion else None,
        "tokens": sum(prompt) + sum(completion),
        "image_tokens": fmean(images) if images else None,
    }
    if price is not None and images:
        costs["image_dollars"] = sum(images) * price[0] / 1e6
    if price is not None and prompt:
        spent = (sum(prompt) * price[0] + sum(completion) * price[1]) / 1e6
        costs |= {"dollars": spent, "dollars_per_answer": spent / len(done)}
    return costs


def _share_of_tokens(none: Sequence[Outcome], own: Sequence[Outcome]) -> float | None:
    """Return the tokens of a cropper's pictures as a share of the pictures' own."""
    full = {outcome.row: outcome.image_tokens for outcome in none}
    pairs = [(full.get(outcome.row), outcome.image_tokens) for outcome in own]
    known = [(before, after) for before, after in pairs if before and after is not None]
    return sum(after for _, after in known) / sum(before for before, _ in known) if known else None


def _paired(
    none: Sequence[Outcome], own: Sequence[Outcome], margin: float, resamples: int, seed: int
) -> dict[str, Any]:
    before = {outcome.row: outcome for outcome in none if outcome.score is not None}
    pairs = [(before[outcome.row], outcome) for outcome in own if outcome.row in before]
    draws = PictureBootstrap([one.image for one, _ in pairs], resamples=resamples, seed=seed)
    broken = [one.right and not two.right for one, two in pairs]
    mended = [two.right and not one.right for one, two in pairs]
    return {
        "pairs": len(pairs),
        "difference": draws.share(
            [(two.score or 0.0) - (one.score or 0.0) for one, two in pairs]
        ).to_dict(),
        "broken": sum(broken),
        "mended": sum(mended),
        # of the answers that were right without the crop, and of those that were wrong
        "broken_share": draws.share(broken, [one.right for one, _ in pairs]).to_dict(),
        "mended_share": draws.share(mended, [not one.right for one, _ in pairs]).to_dict(),
        "p": mcnemar(sum(broken), sum(mended)),
        "non_inferiority": non_inferiority(broken, mended, draws, margin),
    }


def non_inferiority(
    broken: Sequence[bool], mended: Sequence[bool], draws: PictureBootstrap, margin: float
) -> dict[str, Any]:
    """Return whether answers are no worse than before, by more than a margin.

    Not inferior: the whole interval is above -margin. Inferior: all of it is below. Else it is
    open, and more questions would tell. The interval is the wider of two at each end: Tango's,
    which holds where few answers change, and the bootstrap over pictures, which holds where
    answers about one picture hang together.

    Args:
        broken, mended: for each pair, whether the answer turned wrong, or right.
        draws: over the pictures of the pairs.
        margin: share of the answers, above 0.
    """
    count = len(broken)
    low, high = tango(sum(broken), sum(mended), count)
    pictures = draws.share(
        [float(two) - float(one) for one, two in zip(broken, mended, strict=True)]
    )
    known = not math.isnan(pictures.low)
    interval = [min(low, pictures.low), max(high, pictures.high)] if known else [low, high]
    verdict = "open"
    if count and interval[0] > -margin:
        verdict = "not inferior"
    elif count and interval[1] < -margin:
        verdict = "inferior"
    return {
        "margin": margin,
        "difference": (sum(mended) - sum(broken)) / count if count else None,
        "interval": interval if count else [None, None],
        "tango": [low, high] if count else [None, None],
        "pictures": [pictures.low, pictures.high] if known else [None, None],
        "verdict": verdict,
    }


def _gap(
    by_cropper: Mapping[str, list[Outcome]], cropper: str, resamples: int, seed: int
) -> dict[str, object]:
    scores = {
        name: {one.row: one.score for one in by_cropper[name] if one.score is not None}
        for name in ("none", cropper, "oracle")
    }
    common = [
        outcome
        for outcome in by_cropper[cropper]
        if all(outcome.row in known for known in scores.values())
    ]
    draws = PictureBootstrap([one.image for one in common], resamples=resamples, seed=seed)
    columns = [[scores[name][one.row] for one in common] for name in ("none", cropper, "oracle")]
    return draws.gap_closed(*columns).to_dict()


def _groups(scored: Sequence[Outcome], name: Any) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[float]] = {}
    for outcome in scored:
        groups.setdefault(name(outcome), []).append(outcome.score or 0.0)
    order = {label: number for number, (_, label) in enumerate(_SIZES)}
    return {
        label: {"rows": len(groups[label]), "score": fmean(groups[label])}
        for label in sorted(groups, key=lambda label: (order.get(label, len(order)), label))
    }


def _size(row: Row) -> str:
    """Name the class of an answer's size: its share of the picture's area."""
    box = row.value or row.box
    if box is None:
        return NO_BOX
    return next(label for upper, label in _SIZES if box.area < upper or upper == 1.0)


def _counted(problems: Sequence[Problem]) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in problems))
