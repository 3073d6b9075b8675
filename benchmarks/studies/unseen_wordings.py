"""Questions that share no word with the page: does a cropper know what is meant?

    python benchmarks/studies/unseen_wordings.py --output benchmarks/results/unseen_wordings.json

The questions of `tests/data/unseen_wordings.tsv` were written apart from the grammar that training
asks by, those of `tests/data/fresh_wordings.tsv` later, after the tables that 0.7 was trained by.
Each is asked of a few drawn papers, in fonts and words that training never sees, that have what it
asks for and none of its words of four letters and more. Whole: the best box holds the
whole answer. Centre: its middle lies in label and answer. Intervals are of 95 %, by drawing
questions anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from cropzoom import load_cropper
from cropzoom.cropper.nano.phoc import split_words
from cropzoom.geometry import Box
from cropzoom.trainer.nano.pages import Page, PageOptions
from cropzoom.trainer.nano.pages.canvas import Field, Rect, union
from cropzoom.trainer.nano.pages.documents import render_document
from cropzoom.trainer.nano.pages.tables import read_table

OPTIONS = PageOptions(
    736, 1024, split="heldout", min_text=12.0, max_text=20.0, questions=0, absent=0.0
)
WORDINGS = Path(__file__).parents[2] / "tests" / "data" / "unseen_wordings.tsv"
_DRAWS = 2000


@dataclass(frozen=True)
class Trial:
    """A question, the page that it is asked of, and the field that answers."""

    question: str
    concept: str
    page: Page
    field: Field


@dataclass(frozen=True)
class Outcome:
    """What came of a trial."""

    question: str
    concept: str
    whole: bool
    centre: bool
    area: float


def trials(pages: int, each: int, seed: int, wordings: Path = WORDINGS) -> list[Trial]:
    """Every question with up to `each` pages that have its answer and none of its words."""
    papers = [render_document(random.Random(f"unseen/{seed}/{i}"), OPTIONS) for i in range(pages)]
    vocabularies = [
        {part for word in page.words for part in split_words(word.text)} for page in papers
    ]
    rng = random.Random(f"unseen/{seed}")
    selection = []
    for concept, question in read_table(wordings):
        words = {word for word in split_words(question) if len(word) > 3}
        fitting = [
            Trial(question, concept, page, field)
            for page, present in zip(papers, vocabularies, strict=True)
            for field in page.fields
            if field.value_kind == concept and field.value and not words & present
        ]
        selection += rng.sample(fitting, min(each, len(fitting)))
    return selection


def outcomes(source: str, selection: list[Trial]) -> list[Outcome]:
    """A cropper's best box for each trial."""
    results = []
    with load_cropper(source) as cropper:
        for trial in selection:
            width, height = trial.page.image.size
            crops = cropper.predict(trial.page.image.convert("RGB"), trial.question)
            region = union(trial.field.key_box, trial.field.value_box)
            box = crops[0].box if crops else Box(0.0, 0.0, 1.0, 1.0)
            x, y = (box.x0 + box.x1) / 2 * width, (box.y0 + box.y1) / 2 * height
            results.append(
                Outcome(
                    trial.question,
                    trial.concept,
                    bool(crops) and holds(box, trial.field.value_box, width, height),
                    bool(crops) and region[0] <= x <= region[2] and region[1] <= y <= region[3],
                    box.area if crops else 0.0,
                )
            )
    return results


def holds(box: Box, value: Rect, width: int, height: int) -> bool:
    """Whether a box holds a value, in px, whole; a px may be missing."""
    return (
        box.x0 * width <= value[0] + 1
        and box.y0 * height <= value[1] + 1
        and box.x1 * width >= value[2] - 1
        and box.y1 * height >= value[3] - 1
    )


def interval(results: list[Outcome], rate: Callable[[Outcome], float]) -> list[float]:
    """The mean and its 95 % interval, by drawing questions anew."""
    by_question: dict[str, list[float]] = {}
    for outcome in results:
        by_question.setdefault(outcome.question, []).append(rate(outcome))
    groups = list(by_question.values())
    rng = random.Random(0)
    means = sorted(
        fmean(value for group in rng.choices(groups, k=len(groups)) for value in group)
        for _ in range(_DRAWS)
    )
    return [
        round(fmean(rate(outcome) for outcome in results), 4),
        round(means[round(0.025 * _DRAWS)], 4),
        round(means[round(0.975 * _DRAWS)], 4),
    ]


def main(
    cropper: Annotated[list[str] | None, typer.Option("--cropper", "-c")] = None,
    pages: Annotated[int, typer.Option(help="Papers to draw.")] = 150,
    each: Annotated[int, typer.Option(help="Papers that a question is asked of.")] = 2,
    seed: Annotated[int, typer.Option()] = 7,
    wordings: Annotated[Path, typer.Option(help="Concepts and questions.")] = WORDINGS,
    output: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Measure croppers; see the module's docstring."""
    selection = trials(pages, each, seed, wordings)
    report: dict[str, object] = {
        "questions": len({trial.question for trial in selection}),
        "trials": len(selection),
        "pages": pages,
        "seed": seed,
        "wordings": wordings.name,
    }
    for source in cropper or ["nano"]:
        results = outcomes(source, selection)
        concepts = sorted({outcome.concept for outcome in results})
        report[source] = {
            "whole": interval(results, lambda outcome: outcome.whole),
            "centre": interval(results, lambda outcome: outcome.centre),
            "area": round(fmean(outcome.area for outcome in results), 4),
            "whole by kind": {
                concept: round(fmean(o.whole for o in results if o.concept == concept), 2)
                for concept in concepts
            },
        }
    text = json.dumps(report, indent=1)
    print(text)
    if output:
        output.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
