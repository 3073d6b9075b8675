"""The report of an evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image

from cropzoom.data.row import BadRow, Row
from cropzoom.data.test_set import TestSet
from cropzoom.demo.demo_page import STYLE
from cropzoom.errors import ImageError
from cropzoom.evaluate.answer_file import Key, Outcome
from cropzoom.geometry import Box
from cropzoom.images import encode_crop

EXAMPLES = 24
_MAX_LISTED = 100
_PICTURE_SIDE = 640
_CROP_SIDE = 480
_MAX_TEXT = 300

_OWN_STYLE = """
h2 { margin: 44px 0 14px } h3 { font-size: 17px; margin: 26px 0 8px }
.scroll { overflow-x: auto; background: var(--card); border-radius: 16px; box-shadow: var(--shade);
  padding: 8px 20px }
table { border-collapse: collapse; width: 100%; font-size: 14.5px;
  font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 9px 10px; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th { color: var(--soft); font-weight: 500 } th:first-child, td:first-child { text-align: left }
tr:last-child td { border-bottom: 0 } td small { color: var(--soft) }
.bar { position: relative; display: block; height: 14px; width: 160px; background: var(--page);
  border-radius: 4px; overflow: hidden }
.bar i { position: absolute; inset: 0 auto 0 0; background: var(--accent); opacity: .75 }
.bar b { position: absolute; top: 6px; height: 2px; background: var(--ink) }
ul.problems { font-size: 14px; color: var(--soft) } .problems code { color: var(--ink) }
.example { background: var(--card); border-radius: 20px; box-shadow: var(--shade); padding: 22px;
  margin-bottom: 22px; display: grid; gap: 24px; align-items: start;
  grid-template-columns: minmax(0, 4fr) minmax(0, 5fr) }
@media (max-width: 800px) { .example { grid-template-columns: minmax(0, 1fr) } }
.example .crop { max-width: 100%; border: 1px solid var(--line); border-radius: 8px }
.example dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; margin: 0 }
.example dt { color: var(--soft) } .example dd { margin: 0; overflow-wrap: anywhere }
.tag { font: 700 12px/20px system-ui, sans-serif; padding: 0 8px; border-radius: 6px;
  background: var(--bad-bg); color: var(--bad) }
"""


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
    """
    targets: Mapping[str, Mapping[str, Any]] = summary["targets"]
    sections = "".join(_target(name, figures) for name, figures in targets.items())
    shown = list(_examples(test, outcomes, targets, examples))
    harness = summary["harness"]
    metric = f"{summary['metric']}, as {harness}" if harness else summary["metric"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>cropzoom eval: {escape(summary['data'])}</title>"
        f"<style>{STYLE}{_OWN_STYLE}</style></head><body><main>"
        f"<h1>{escape(summary['data'])}</h1>"
        f'<p class="lead">{summary["rows"]} questions. Score: {escape(metric)}. '
        "Intervals: 95 %, by drawing whole pictures.</p>"
        f"{sections}{_problems(summary)}"
        + (f"<h2>Wrong with the crop</h2>{''.join(shown)}" if shown else "")
        + "</main></body></html>\n"
    )


def _target(name: str, figures: Mapping[str, Any]) -> str:
    html = f"<h2>Target <code>{escape(name)}</code></h2>" + _table(
        ["crop", "score", "", "against none", "p", "broke", "mended", "of the gap", "failed"],
        [_gains(cropper, found) for cropper, found in figures.items()],
    )
    html += "<h3>The crops, and what they cost</h3>" + _table(
        ["crop", "added", "mean area", "centre in region", "ms an answer", "ms of it crop",
         "prompt tokens", "$ an answer", "$"],
        [_costs(cropper, found) for cropper, found in figures.items()],
    )  # fmt: skip
    for key, title in (("by_size", "By size of the answer"), ("by_category", "By category")):
        groups: dict[str, int] = {}
        for cropper in figures.values():
            for label, group in cropper.get(key, {}).items():
                groups[label] = max(groups.get(label, 0), group["rows"])
        if len(groups) > 1:
            lines = [
                [escape(cropper)]
                + [
                    _percent(found[key][label]["score"]) if label in found.get(key, {}) else ""
                    for label in groups
                ]
                for cropper, found in figures.items()
            ]
            heads = [f"{escape(label)}<br>{count} questions" for label, count in groups.items()]
            html += f"<h3>{title}</h3>" + _table(["crop", *heads], lines)
    return html


def _gains(cropper: str, found: Mapping[str, Any]) -> list[str]:
    paired = found.get("against_none")
    cycles = found.get("cycle_accuracy")
    changes = ["", "", "", ""]
    if paired:
        changes = [
            _estimate(paired["difference"], signed=True),
            f"{paired['p']:.2g}",
            *(
                f"{paired[name]} <small>{_percent(paired[f'{name}_share']['mean'])}</small>"
                for name in ("broken", "mended")
            ),
        ]
    return [
        f"<b>{escape(cropper)}</b>",
        _estimate(found["score"])
        + (f"<br><small>by cycle {_percent(cycles)}</small>" if cycles is not None else ""),
        _bar(found["score"]),
        *changes,
        _estimate(found["gap_closed"]) if "gap_closed" in found else "",
        str(found["failed"] or ""),
    ]


def _costs(cropper: str, found: Mapping[str, Any]) -> list[str]:
    crop = cropper != "none"
    spent = found.get("dollars")
    return [
        f"<b>{escape(cropper)}</b>",
        _percent(found["with_crop"]) if crop else "",
        _percent(found["mean_area"]),
        _percent(found["centre_in_region"]),
        _number(found["milliseconds"]),
        _number(found["crop_milliseconds"]) if crop else "",
        _number(found["prompt_tokens"]),
        "" if spent is None else f"{found['dollars_per_answer']:.2g}",
        "" if spent is None else f"{spent:.2f}",
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; columns that are empty in every row are left out."""
    kept = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    head = "".join(f"<th>{heads[at]}</th>" for at in kept)
    body = "".join(
        "<tr>{}</tr>".format("".join(f"<td>{row[at]}</td>" for at in kept)) for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _estimate(found: Mapping[str, Any], *, signed: bool = False) -> str:
    if found["mean"] is None:
        return ""
    low, high = found["interval"]
    mean = f"{found['mean']:+.1%}" if signed else f"{found['mean']:.1%}"
    sides = "" if low is None else f" <small>{low:.1%} to {high:.1%}</small>"
    return mean + sides


def _bar(found: Mapping[str, Any]) -> str:
    if found["mean"] is None or found["interval"][0] is None:
        return ""
    low, high = found["interval"]
    return (
        f'<span class="bar"><i style="width:{found["mean"]:.1%}"></i>'
        f'<b style="left:{low:.1%};width:{high - low:.1%}"></b></span>'
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _problems(summary: Mapping[str, Any]) -> str:
    lines = [
        f"<code>{escape(problem['row'])}</code> {escape(problem['kind'])}: "
        f"{escape(problem['detail'][:_MAX_TEXT])}"
        for problem in summary["problem_rows"]
    ]
    lines += [
        f"<code>{escape(failure['row'])}</code> {escape(failure['target'])}, "
        f"{escape(failure['cropper'])}: {escape(failure['kind'])}: "
        f"{escape(failure['detail'][:_MAX_TEXT])}"
        for failure in summary["failed"]
    ]
    if not lines:
        return ""
    more = len(lines) - _MAX_LISTED
    shown = "".join(f"<li>{line}</li>" for line in lines[:_MAX_LISTED])
    rest = f"<li>and {more} more, in summary.json</li>" if more > 0 else ""
    return (
        f'<h2>Not asked or not answered: {len(lines)}</h2><ul class="problems">{shown}{rest}</ul>'
    )


@dataclass(frozen=True)
class _Failure:
    row: Row
    without: Outcome | None
    outcome: Outcome
    broken: bool


def _examples(
    test: TestSet,
    outcomes: Mapping[Key, Outcome],
    targets: Mapping[str, Mapping[str, Any]],
    limit: int,
) -> Iterator[str]:
    """Yield the failures of real croppers, those first that were right without the crop."""
    found: list[_Failure] = []
    for row in test.rows:
        for target, croppers in targets.items():
            without = outcomes.get((row.id, target, "none"))
            for cropper in croppers:
                outcome = outcomes.get((row.id, target, cropper))
                blind = cropper.partition(":")[0] in ("none", "random", "centre", "oracle")
                if blind or outcome is None or outcome.score is None or outcome.right:
                    continue
                broken = without is not None and without.right
                found.append(_Failure(row, without, outcome, broken))
    found.sort(key=lambda failure: not failure.broken)
    for failure in found[:limit]:
        yield _example(failure)


def _example(failure: _Failure) -> str:
    row, outcome = failure.row, failure.outcome
    boxes = [Box(*box) for box in outcome.boxes]
    try:
        image = row.load()
    except (BadRow, ImageError) as error:
        picture, crop = f"<p>{escape(str(error)[:_MAX_TEXT])}</p>", ""
    else:
        places = "".join(_place(box) for box in boxes)
        shown = f'<img src="{_shrunk(image)}" alt="">'
        picture = f'<div class="shot">{shown}{places}</div>'
        crop = "".join(
            f'<p><img class="crop" src="{_cut(image, box)}" alt=""></p>' for box in boxes
        )
    said = [("expected", " | ".join(dict.fromkeys(row.answers)))]
    if failure.without is not None and failure.without.reply is not None:
        said.append(("without a crop", failure.without.reply))
    said.append((f"with {outcome.cropper}", outcome.reply or ""))
    if not boxes:
        said.append(("no crop", outcome.reason or ""))
    else:
        said.append(("confidence", f"{outcome.confidences[0]:.2f}"))
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v[:_MAX_TEXT])}</dd>" for k, v in said)
    tag = ' <span class="tag">right without the crop</span>' if failure.broken else ""
    asked = escape((row.plain or row.question)[:_MAX_TEXT])
    return (
        f'<div class="example">{picture}<div><p><b>{asked}</b>{tag}<br><small>'
        f"{escape(outcome.target)}, row {escape(row.id)}</small></p>{crop}"
        f"<dl>{facts}</dl></div></div>"
    )


def _place(box: Box) -> str:
    place = f"left:{box.x0:.3%};top:{box.y0:.3%};width:{box.width:.3%};height:{box.height:.3%}"
    return f'<div class="box" style="{place}"></div>'


def _shrunk(image: Image.Image) -> str:
    whole = Box(0, 0, 1, 1)
    return encode_crop(
        image, whole, min_side=0, max_side=_PICTURE_SIDE, photographic=True
    ).data_uri()


def _cut(image: Image.Image, box: Box) -> str:
    return encode_crop(image, box, min_side=0, max_side=_CROP_SIDE, photographic=True).data_uri()
