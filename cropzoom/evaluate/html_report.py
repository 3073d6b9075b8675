"""The report of an evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from cropzoom.data.row import BadRow, Row
from cropzoom.data.test_set import TestSet
from cropzoom.errors import ImageError
from cropzoom.evaluate.answer_file import Key, Outcome
from cropzoom.geometry import Box
from cropzoom.templates import picture, render

EXAMPLES = 24
_MAX_LISTED = 100
_PICTURE_SIDE = 640
_CROP_SIDE = 480
_MAX_TEXT = 300
# Baselines, whose failures teach nothing.
_BLIND = ("none", "thumbnail", "random", "centre", "oracle")

Cell = dict[str, Any]
"""`text`, and `small` after it; or `bar`, an estimate to draw."""


def report_page(
    summary: Mapping[str, Any],
    test: TestSet,
    outcomes: Mapping[Key, Outcome],
    *,
    examples: int = EXAMPLES,
) -> str:
    """Return a complete HTML document.

    Args:
        summary: of `summarise`.
        test: the rows, whose pictures are fetched again for the examples.
        outcomes: of `evaluate`.
        examples: most failures shown with their pictures; each is some 100 KB.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    targets: Mapping[str, Mapping[str, Any]] = summary["targets"]
    failures = sorted(_failures(test, outcomes, targets), key=lambda failure: not failure[1])
    return render(
        "report.html.j2",
        summary=summary,
        targets=[_target(name, figures) for name, figures in targets.items()],
        problems=[
            *({"target": "", **problem} for problem in summary["problem_rows"]),
            *summary["failed"],
        ],
        listed=_MAX_LISTED,
        text=_MAX_TEXT,
        examples=[_example(*failure) for failure in islice(failures, examples)],
    )


def _target(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    gains = ["crop", "score", "", "against none", "p", "broke", "mended", "no worse?", "of the gap",
             "failed"]  # fmt: skip
    costs = ["crop", "added", "mean area", "centre in region", "ms an answer", "ms of it crop",
             "image tokens", "$ of images", "prompt tokens", "$ an answer", "$"]  # fmt: skip
    groups = {}
    for key, title in (("by_size", "By size of the answer"), ("by_category", "By category")):
        labels: dict[str, int] = {}
        for cropper in figures.values():
            for label, group in cropper.get(key, {}).items():
                labels[label] = max(labels.get(label, 0), group["rows"])
        if len(labels) > 1:
            rows = [
                [
                    _cell(cropper),
                    *(
                        _cell(_percent(entry.get(key, {}).get(label, {}).get("score")))
                        for label in labels
                    ),
                ]
                for cropper, entry in figures.items()
            ]
            heads = [_cell(label, f"{count} questions") for label, count in labels.items()]
            groups[title] = _table([_cell("crop"), *heads], rows)
    return {
        "name": name,
        "gains": _table(map(_cell, gains), [_gains(*item) for item in figures.items()]),
        "costs": _table(map(_cell, costs), [_costs(*item) for item in figures.items()]),
        "groups": groups,
    }


def _gains(cropper: str, entry: Mapping[str, Any]) -> list[Cell]:
    paired = entry.get("against_none")
    cycles = entry.get("cycle_accuracy")
    score = _estimate(entry["score"])
    if cycles is not None:
        score["small"] += f", by cycle {_percent(cycles)}"
    changes = [_cell()] * 5
    if paired:
        changes = [
            _estimate(paired["difference"], signed=True),
            _cell(f"{paired['p']:.2g}"),
            *(
                _cell(str(paired[name]), _percent(paired[f"{name}_share"]["mean"]))
                for name in ("broken", "mended")
            ),
            _verdict(paired["non_inferiority"]),
        ]
    return [
        _cell(cropper),
        score,
        _bar(entry["score"]),
        *changes,
        _estimate(entry["gap_closed"]) if "gap_closed" in entry else _cell(),
        _cell(str(entry["failed"] or "")),
    ]


def _verdict(test: Mapping[str, Any]) -> Cell:
    low, high = test["interval"]
    if low is None:
        return _cell()
    return _cell(test["verdict"], f"{low:+.1%} to {high:+.1%}, margin {test['margin']:.1%}")


def _costs(cropper: str, entry: Mapping[str, Any]) -> list[Cell]:
    crop = cropper != "none"
    spent, share = entry.get("dollars"), entry.get("image_tokens_share")
    texts = [
        cropper,
        _percent(entry["with_crop"]) if crop else "",
        _percent(entry["mean_area"]),
        _percent(entry["centre_in_region"]),
        _number(entry["milliseconds"]),
        _number(entry["crop_milliseconds"]) if crop else "",
        _number(entry["image_tokens"]) + ("" if share is None else f" ({share:.0%})"),
        f"{entry['image_dollars']:.3g}" if "image_dollars" in entry else "",
        _number(entry["prompt_tokens"]),
        "" if spent is None else f"{entry['dollars_per_answer']:.2g}",
        "" if spent is None else f"{spent:.2f}",
    ]
    return [_cell(text) for text in texts]


def _table(
    heads: Iterator[Cell] | Sequence[Cell], rows: Sequence[Sequence[Cell]]
) -> dict[str, Any]:
    """Return a table without the columns that are empty in every row."""
    heads = list(heads)
    kept = [at for at in range(len(heads)) if any(row[at] != _cell() for row in rows)]
    return {
        "heads": [heads[at] for at in kept],
        "rows": [[row[at] for at in kept] for row in rows],
    }


def _cell(text: str = "", small: str = "") -> Cell:
    return {"text": text, "small": small, "bar": None}


def _bar(estimate: Mapping[str, Any]) -> Cell:
    if estimate["mean"] is None or estimate["interval"][0] is None:
        return _cell()
    low, high = estimate["interval"]
    return _cell() | {"bar": {"mean": estimate["mean"], "low": low, "high": high}}


def _estimate(estimate: Mapping[str, Any], *, signed: bool = False) -> Cell:
    if estimate["mean"] is None:
        return _cell()
    low, high = estimate["interval"]
    mean = f"{estimate['mean']:+.1%}" if signed else f"{estimate['mean']:.1%}"
    return _cell(mean, "" if low is None else f"{low:.1%} to {high:.1%}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


Failure = tuple[Outcome, bool, Row, "Outcome | None"]
"""What went wrong, whether it was right without the crop, its row, and the answer without."""


def _failures(
    test: TestSet,
    outcomes: Mapping[Key, Outcome],
    targets: Mapping[str, Mapping[str, Any]],
) -> Iterator[Failure]:
    """Yield the failures of real croppers."""
    for row in test.rows:
        for target, croppers in targets.items():
            without = outcomes.get((row.id, target, "none"))
            for cropper in croppers:
                outcome = outcomes.get((row.id, target, cropper))
                blind = re.split("[: ]", cropper)[0] in _BLIND
                if blind or outcome is None or outcome.score is None or outcome.right:
                    continue
                yield outcome, without is not None and without.right, row, without


def _example(outcome: Outcome, broken: bool, row: Row, without: Outcome | None) -> dict[str, Any]:
    boxes = [Box(*box) for box in outcome.boxes]
    shown: dict[str, Any] = {"picture": "", "crops": [], "problem": ""}
    try:
        image = row.load()
    except (BadRow, ImageError) as error:
        shown["problem"] = str(error)
    else:
        shown["picture"] = picture(image, _PICTURE_SIDE)
        shown["crops"] = [picture(image, _CROP_SIDE, box) for box in boxes]
    facts = {"expected": " | ".join(dict.fromkeys(row.answers))}
    if without is not None and without.reply is not None:
        facts["without a crop"] = without.reply
    facts[f"with {outcome.cropper}"] = outcome.reply or ""
    if boxes:
        facts["confidence"] = f"{outcome.confidences[0]:.2f}"
    else:
        facts["no crop"] = outcome.reason or ""
    return {
        **shown,
        "boxes": boxes,
        "question": row.plain or row.question,
        "broken": broken,
        "target": outcome.target,
        "row": row.id,
        "facts": facts,
    }
