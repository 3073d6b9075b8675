"""Questions to train nano on against a reward: training pages of both renderers, with answers.

    python -m cropzoom.trainer.nano.pages.browser runs/pool --pages 2200 --seed 2 --grey
    python -m cropzoom.trainer.nano.pages.browser.pool_questions runs/pool --per-page 1 --seed 9
    python benchmarks/studies/grpo_nano_rows.py write runs/grpo-rows runs/pool/questions.jsonl
    python benchmarks/studies/grpo_nano_rows.py unsure runs/grpo-rows SFT-CROPPER
    cropzoom train grpo runs/grpo-rows/unsure.jsonl runs/nano-grpo --policy nano --model SFT-CROPPER

Boxes are written, too, but GRPO looks at them for its measurements only. `unsure` keeps what the
cropper is neither sure of nor blind to: of the rest, all samples earn the same and teach nothing.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from cropzoom import load_cropper
from cropzoom.trainer.nano.pages import PageOptions
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test

SEEN = 1024
"""Longest side, px, at which text heights are counted."""


def rendered(folder: Path, pages: int, seed: int) -> list[dict[str, Any]]:
    """Rows about pages of the Pillow renderer, one a page; pictures are written."""
    options = PageOptions(split="train", min_text=8.5, max_text=16.0, absent=0.0, questions=1)
    rows = []
    for row in rendered_test(pages, seed, options).rows:
        name = f"images/{row.image_id}.png"
        row.load().convert("L").save(folder / name)
        rows.append({"image": name, "question": row.question, "answers": list(row.answers)})
        assert row.box is not None
        rows[-1]["box"] = [row.box.x0, row.box.y0, row.box.x1, row.box.y1]
    return rows


def pooled(questions: Path, folder: Path, smallest: float) -> list[dict[str, Any]]:
    """Rows about a pool's pages whose answers nano can read; pictures are linked, or copied."""
    rows = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for line in questions.read_text("utf-8").splitlines():
        row = json.loads(line)
        path = questions.parent / row["image"]
        with Image.open(path) as image:
            width, height = image.size
        low, high = row["value"][1], row["value"][3]
        if (high - low) * height * min(1.0, SEEN / max(width, height)) >= smallest:
            rows.append({key: row[key] for key in ("question", "answers", "box")})
            rows[-1]["image"] = f"images/pool-{path.name}"
            if not (copy := folder / rows[-1]["image"]).exists():
                shutil.copyfile(path, copy)
    return rows


app = typer.Typer()


@app.command()
def write(
    folder: Annotated[Path, typer.Argument(help="For rows.jsonl and pictures.")],
    questions: Annotated[Path, typer.Argument(help="A training pool's questions.jsonl.")],
    pages: Annotated[int, typer.Option(help="Of the Pillow renderer.")] = 800,
    count: Annotated[int, typer.Option(help="Rows from the pool at most.")] = 1200,
    smallest: Annotated[float, typer.Option(help="Line height, px on a page of 1024 px.")] = 9.0,
    seed: Annotated[int, typer.Option()] = 11,
) -> None:
    """Write rows.jsonl."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    there = pooled(questions, folder, smallest)
    rows = rendered(folder, pages, seed) + draw.sample(there, min(count, len(there)))
    draw.shuffle(rows)
    _save(folder / "rows.jsonl", rows)


@app.command()
def unsure(
    folder: Annotated[Path, typer.Argument(help="With rows.jsonl.")],
    cropper: Annotated[str, typer.Argument(help="As for load_cropper.")],
    low: Annotated[float, typer.Option(help="Least confidence.")] = 0.1,
    high: Annotated[float, typer.Option(help="Highest confidence.")] = 0.95,
) -> None:
    """Write those rows to unsure.jsonl that lie between two confidences."""
    rows = [json.loads(line) for line in (folder / "rows.jsonl").open(encoding="utf-8")]
    kept = []
    with load_cropper(cropper) as loaded:
        for row in rows:
            found = loaded.predict(Image.open(folder / row["image"]), row["question"])
            if found and low <= found[0].confidence <= high:
                kept.append(row)
    _save(folder / "unsure.jsonl", kept)


def _save(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, "utf-8")
    typer.echo(f"{len(rows)} rows in {path}")


if __name__ == "__main__":
    app()
