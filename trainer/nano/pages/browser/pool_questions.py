"""A pool as questions for `cropzoom eval` and `cropzoom train`: one JSONL file beside its pictures.

python -m cropzoom.trainer.nano.pages.browser.pool_questions runs/heldout
cropzoom eval runs/heldout/questions.jsonl -c none -c nano -c oracle
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import typer

from cropzoom.errors import CropZoomError
from cropzoom.files import write_whole

from ..canvas import Rect
from .pool import Pool, ask_field, askable, choose


def write_questions(folder: Path, per_page: int = 4, seed: int = 1) -> int:
    """Ask about each page of a pool and write `questions.jsonl` into it.

    A line has what `cropzoom.data.test_set.load_test` reads: `image`, `question`, `answers`, `box`
    (key and value), `value`, `key`, `category` (the template), and `kind` of the field besides.

    Args:
        folder: of the pool.
        per_page: at most so many questions a page.
        seed: of the questions.

    Returns:
        How many questions there are.

    Raises:
        DataError: the folder is no pool.
    """
    pool = Pool(folder)
    lines: list[str] = []
    for index in range(len(pool)):
        rng = random.Random(f"{seed}/{index}")
        record = pool.record(index)
        width, height = record.image.size
        fields = askable(record.fields)
        for number, field in enumerate(choose(rng, fields, per_page)):
            asked = ask_field(rng, field, fields)
            assert asked.region is not None and asked.value_box is not None
            row = {
                "id": f"{index}.{number}",
                "image": pool.name(index),
                "image_id": str(index),
                "question": asked.text,
                "answers": [asked.answer],
                "box": _fractions(asked.region, width, height),
                "value": _fractions(asked.value_box, width, height),
                "key": "" if field.kind == "whole" else field.key,
                "category": record.template,
                "kind": field.kind,
            }
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_whole(folder / "questions.jsonl", "".join(lines))
    return len(lines)


def _fractions(box: Rect, width: int, height: int) -> list[float]:
    sides = zip(box, (width, height, width, height), strict=True)
    return [round(min(1.0, max(0.0, side / full)), 5) for side, full in sides]


def main(
    folder: Annotated[Path, typer.Argument(help="A pool.")],
    per_page: Annotated[int, typer.Option(min=1, help="At most so many questions a page.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the questions.")] = 1,
) -> None:
    """Write questions about a pool's pages into its questions.jsonl."""
    try:
        count = write_questions(folder, per_page, seed)
    except CropZoomError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{count} questions in {folder / 'questions.jsonl'}")


if __name__ == "__main__":
    typer.run(main)
