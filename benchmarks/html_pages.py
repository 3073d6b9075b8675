"""Where a cropper looks away: hits by template and by kind of question on pages of a pool.

    python -m cropzoom.trainer.synthetic.html runs/heldout --pages 60 --seed 5 --split heldout
    python -m cropzoom.trainer.synthetic.html.questions runs/heldout
    python benchmarks/html_pages.py runs/heldout/questions.jsonl --cropper nano

A hit is a crop whose centre lies in the region of key and value; covered, one that shows the value
whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from cropzoom import load_cropper


def main(
    questions: Annotated[Path, typer.Argument(help="The pool's questions.jsonl.")],
    cropper: Annotated[str, typer.Option(help="As for load_cropper.")] = "nano",
    misses: Annotated[int, typer.Option(help="Print so many missed questions.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file for the shares.")] = None,
) -> None:
    """Print shares of hits."""
    predict = load_cropper(cropper).predict
    found: dict[tuple[str, str], list[tuple[bool, bool, float]]] = {}
    missed = []
    image_name, image = "", Image.new("RGB", (1, 1))
    for line in questions.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["image"] != image_name:
            image_name = row["image"]
            image = Image.open(questions.parent / image_name).convert("RGB")
        box = predict(image, row["question"])[0].box
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        left, top, right, bottom = row["box"]
        v = row["value"]
        hit = left <= x <= right and top <= y <= bottom
        whole = box.x0 <= v[0] and box.y0 <= v[1] and v[2] <= box.x1 and v[3] <= box.y1
        area = (box.x1 - box.x0) * (box.y1 - box.y0)
        for name in ("all", row["category"]), ("kind", row["kind"]), ("all", "all"):
            found.setdefault(name, []).append((hit, whole, area))
        if not hit:
            missed.append(f"{row['image']} {row['category']}/{row['kind']}: {row['question']}")
    shares = {}
    typer.echo(f"{'':26} questions  centre in region  value whole  mean area")
    for (group, name), rows in sorted(found.items()):
        hits, covered, areas = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        label = name if group == "all" else f"{group} {name}"
        typer.echo(f"{label:26} {len(rows):9} {hits:17.2f} {covered:12.2f} {areas:10.3f}")
        shares[label] = {"questions": len(rows), "centre": hits, "whole": covered, "area": areas}
    for text in missed[:misses]:
        typer.echo(text)
    if output is not None:
        output.write_text(json.dumps(shares, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
