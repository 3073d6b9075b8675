"""How a cropper does on real receipts, documents and screens that it was never trained on.

    python benchmarks/studies/real_pages.py FOLDER --output benchmarks/results/real_pages.json
    python benchmarks/studies/real_pages.py FOLDER -c nano -c OLD-CROPPER

FOLDER has the sets that `trainer/nano/real_split.py` tells of; its validation part is measured.
Whole: the best box holds the whole answer. Intervals are of 95 %, by drawing pictures anew. The
risk-coverage curve tells, for each least confidence, how many crops go out and how many of them
are wrong.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, cast

import typer
from PIL import Image

from cropzoom import load_cropper
from cropzoom.geometry import Box
from cropzoom.trainer.nano.real_split import SETS, Part, read_pictures

_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_DRAWS = 2000


@dataclass(frozen=True)
class Outcome:
    """What came of one question."""

    picture: str
    source: str
    kind: str
    whole: bool
    area: float
    confidence: float


def holds(box: Box, value: tuple[float, ...]) -> bool:
    """Whether a box holds a value whole, to a thousandth of the picture."""
    x0, y0, x1, y1 = value
    slack = 1e-3
    return (
        box.x0 <= x0 + slack
        and box.y0 <= y0 + slack
        and box.x1 >= x1 - slack
        and box.y1 >= y1 - slack
    )


def outcomes(
    folder: Path,
    source: str,
    part: Part,
    sets: Sequence[str] = SETS,
    pictures: int | None = None,
) -> list[Outcome]:
    """Ask a cropper every question of a part; of some sets, or of the first pictures of each."""
    results = []
    pages = [page for page in read_pictures(folder, part) if page.rows]
    pages = [page for one in sets for page in [p for p in pages if p.source == one][:pictures]]
    with load_cropper(source) as cropper:
        for picture in pages:
            with Image.open(picture.path) as file:
                image = file.convert("RGB")
            asked = [row.question for row in picture.rows]
            # Kinds other than nano have no `predict_many`.
            many = getattr(cropper, "predict_many", None)
            answers = many(image, asked) if many else [cropper.predict(image, q) for q in asked]
            for row, crops in zip(picture.rows, answers, strict=True):
                box = crops[0].box if crops else None
                results.append(
                    Outcome(
                        picture.path.name,
                        picture.source,
                        row.kind,
                        box is not None and holds(box, row.value),
                        box.area if box else 0.0,
                        crops[0].confidence if crops else 0.0,
                    )
                )
    return results


def interval(
    results: list[Outcome], figure: Callable[[list[Outcome]], float]
) -> tuple[float, float]:
    """Of 95 %, by the percentiles of a figure over pictures drawn with replacement."""
    pictures: dict[str, list[Outcome]] = {}
    for result in results:
        pictures.setdefault(result.picture, []).append(result)
    groups, rng = list(pictures.values()), random.Random(1)
    drawn = sorted(
        figure([r for group in rng.choices(groups, k=len(groups)) for r in group])
        for _ in range(_DRAWS)
    )
    return drawn[round(0.025 * _DRAWS)], drawn[round(0.975 * _DRAWS) - 1]


def whole(results: Iterable[Outcome]) -> float:
    """Share of answers that the best box holds whole."""
    return fmean(r.whole for r in results)


def summary(results: list[Outcome]) -> dict[str, Any]:
    """Figures of one group of questions."""
    low, high = interval(results, whole)
    return {
        "questions": len(results),
        "pictures": len({r.picture for r in results}),
        "whole": round(whole(results), 4),
        "interval": [round(low, 4), round(high, 4)],
        "area": round(fmean(r.area for r in results), 4),
        "confidence": round(fmean(r.confidence for r in results), 4),
    }


def risk_coverage(results: list[Outcome]) -> list[dict[str, float]]:
    """At each least confidence: what goes out, and what share of it, and of all, is wrong."""
    right = sum(r.whole for r in results)
    rows = []
    for threshold in _THRESHOLDS:
        out = [r for r in results if r.confidence >= threshold]
        wrong = sum(not r.whole for r in out)
        rows.append(
            {
                "min_confidence": threshold,
                "sent": round(len(out) / len(results), 4),
                "wrong_of_sent": round(wrong / max(1, len(out)), 4),
                "wrong_of_all": round(wrong / len(results), 4),
                "wrong_skipped": round(1 - wrong / max(1, len(results) - right), 4),
                "right_lost": round(1 - (len(out) - wrong) / max(1, right), 4),
            }
        )
    return rows


def main(
    folder: Annotated[Path, typer.Argument(help="Real pages.")],
    cropper: Annotated[list[str], typer.Option("-c", "--cropper")] = ["nano"],  # noqa: B006
    part: Annotated[str, typer.Option(help="train, choice or validation.")] = "validation",
    output: Annotated[Path | None, typer.Option(help="JSON of all figures.")] = None,
) -> None:
    """Measure; see the module's docstring."""
    document: dict[str, Any] = {"part": part, "croppers": {}}
    for source in cropper:
        with load_cropper(source) as loaded:
            name = f"{loaded.manifest.name} {loaded.manifest.version}"
        results = outcomes(folder, source, cast(Part, part))
        sets: dict[str, Any] = {}
        print(f"\n{name}: share of answers wholly in the best box\n")
        print("| set | kind | questions | whole | 95 % | area | confidence |")
        print("|---|---|---|---|---|---|---|")
        for kind_of in sorted({r.source for r in results}):
            own = [r for r in results if r.source == kind_of]
            kinds = {"": own} | {
                kind: [r for r in own if r.kind == kind] for kind in sorted({r.kind for r in own})
            }
            figures = {kind: summary(group) for kind, group in kinds.items()}
            sets[kind_of] = {
                "all": figures.pop(""),
                "kinds": figures,
                "risk_coverage": risk_coverage(own),
            }
            for kind, f in [("all", sets[kind_of]["all"]), *figures.items()]:
                low, high = f["interval"]
                print(
                    f"| {kind_of} | {kind} | {f['questions']} | {f['whole']:.3f} "
                    f"| {low:.2f} to {high:.2f} | {f['area']:.3f} | {f['confidence']:.2f} |"
                )
        document["croppers"][name] = sets
    if output is not None:
        output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
